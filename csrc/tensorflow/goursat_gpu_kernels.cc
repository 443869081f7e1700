// The solver's operations on a GPU. NaN, infinite inputs and kernels that overflow give NaN, for nothing waits for the GPU,
// unless SIGKERNEL_TF_CHECK_NUMERICS=1 asks for the CPU's checks.

#include "tensorflow/goursat_helpers.h"
#include "tensorflow/gpu_helpers.h"

namespace sigkernel {
namespace {

using tensorflow::DEVICE_GPU;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
namespace errors = tensorflow::errors;

// Runs compute(device), and makes a Status of what it throws.
template <class Compute>
void OnGpu(OpKernelContext* context, const Compute& compute) try {
  OpDevice op_device(context);
  compute(op_device.device);
} catch (const std::bad_alloc& failure) {
  context->SetStatus(SweepMemoryError(failure));
} catch (const CudaError& failure) {
  context->SetStatus(CudaStatus(failure));
}

template <class T>
absl::Status CheckInputs(OpKernelContext* context, const KernelProblem<T>& problem, const CudaDevice& device) {
  if (!ChecksNumerics()) return absl::OkStatus();
  TF_RETURN_IF_ERROR(CheckFiniteOnGpu<T>(context->input(0), "X", device));
  if (problem.is_symmetric()) return absl::OkStatus();
  return CheckFiniteOnGpu<T>(context->input(1), "Y", device);
}

template <class T, class Describe>
absl::Status CheckPlansOnGpu(const Plan* plan, int64_t count, const CudaDevice& device, const Describe& describe) {
  if (!ChecksNumerics()) return absl::OkStatus();
  return CheckPlans<T>(read_cuda(plan, count, device).data(), count, describe);
}

template <class T>
class SignatureKernelGpuOp : public OpKernel {
 public:
  explicit SignatureKernelGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
    OP_REQUIRES_OK(context, ReadStaticKernel(context, &problem_.static_kernel));
    OP_REQUIRES_OK(context, ReadPairing(context, &problem_.pairing));
  }

  void Compute(OpKernelContext* context) override {
    KernelProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadProblem(context, &problem));
    tensorflow::TensorShape shape({problem.X.count});
    if (problem.is_gram()) shape.AddDim(problem.Y.count);
    Tensor *k = nullptr, *plan = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &k));
    OP_REQUIRES_OK(context, context->allocate_output(1, shape, &plan));
    OnGpu(context, [&](const CudaDevice& device) {
      OP_REQUIRES_OK(context, CheckInputs(context, problem, device));
      Plan* plans = plan->flat<Plan>().data();
      signature_kernel_cuda<T>(problem, context->input(2).flat<T>().data(), device, k->flat<T>().data(), plans);
      OP_REQUIRES_OK(context, CheckPlansOnGpu<T>(plans, problem.pairs(), device,
                                                 [&](int64_t pair) { return PairNames(problem, pair); }));
    });
  }

 private:
  KernelProblem<T> problem_;
};

template <class T>
class DirectionalDerivativeGpuOp : public OpKernel {
 public:
  explicit DirectionalDerivativeGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
    OP_REQUIRES_OK(context, ReadStaticKernel(context, &problem_.static_kernel));
  }

  void Compute(OpKernelContext* context) override {
    KernelProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadProblem(context, &problem));
    const Tensor& direction = context->input(3);
    OP_REQUIRES_OK(context, CheckDirection(context->input(0), direction));
    Tensor *k = nullptr, *derivative = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, {problem.X.count}, &k));
    OP_REQUIRES_OK(context, context->allocate_output(1, {problem.X.count}, &derivative));
    OnGpu(context, [&](const CudaDevice& device) {
      OP_REQUIRES_OK(context, CheckInputs(context, problem, device));
      if (ChecksNumerics()) OP_REQUIRES_OK(context, CheckFiniteOnGpu<T>(direction, "direction", device));
      Plan* plan = device.allocate_numbers<Plan>(problem.pairs());
      signature_kernel_directional_cuda<T>(problem, context->input(2).flat<T>().data(), direction.flat<T>().data(), device,
                                           k->flat<T>().data(), derivative->flat<T>().data(), plan);
      OP_REQUIRES_OK(context, CheckPlansOnGpu<T>(plan, problem.pairs(), device,
                                                 [&](int64_t pair) { return PairNames(problem, pair); }));
    });
  }

 private:
  KernelProblem<T> problem_;
};

template <class T>
class SignatureKernelGradGpuOp : public OpKernel {
 public:
  explicit SignatureKernelGradGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
    OP_REQUIRES_OK(context, ReadStaticKernel(context, &problem_.static_kernel));
    OP_REQUIRES_OK(context, ReadPairing(context, &problem_.pairing));
  }

  void Compute(OpKernelContext* context) override {
    KernelProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadProblem(context, &problem));
    const Tensor &plan = context->input(3), &upstream = context->input(4);
    OP_REQUIRES_OK(context, CheckUpstream(plan, upstream, problem.pairs(), "pairs"));
    Tensor *dx = nullptr, *dy = nullptr, *d_variance = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(0).shape(), &dx));
    OP_REQUIRES_OK(context, context->allocate_output(1, SecondGradientShape(problem, context->input(1)), &dy));
    OP_REQUIRES_OK(context, context->allocate_output(2, {}, &d_variance));
    OnGpu(context, [&](const CudaDevice& device) {
      signature_kernel_backward_cuda<T>(problem, context->input(2).flat<T>().data(), device, plan.flat<Plan>().data(),
                                        upstream.flat<T>().data(), dx->flat<T>().data(), dy->flat<T>().data(),
                                        d_variance->flat<T>().data());
    });
  }

 private:
  KernelProblem<T> problem_;
};

template <class T>
class SolveGoursatGpuOp : public OpKernel {
 public:
  explicit SolveGoursatGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
  }

  void Compute(OpKernelContext* context) override {
    GoursatProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadIncrements(context, &problem));
    Tensor *k = nullptr, *plan = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, {problem.count}, &k));
    OP_REQUIRES_OK(context, context->allocate_output(1, {problem.count}, &plan));
    OnGpu(context, [&](const CudaDevice& device) {
      if (ChecksNumerics()) {
        const int64_t first = first_not_finite_cuda<T>(problem.increments, context->input(0).NumElements(), device);
        OP_REQUIRES(context, first < 0, NotFiniteIncrement(problem, first, read_cuda(problem.increments + first, 1, device)[0]));
      }
      Plan* plans = plan->flat<Plan>().data();
      solve_goursat_cuda<T>(problem, device, k->flat<T>().data(), plans);
      OP_REQUIRES_OK(context, CheckPlansOnGpu<T>(plans, problem.count, device, [](int64_t n) {
                       return tensorflow::strings::StrCat("increments[", n, "]");
                     }));
    });
  }

 private:
  GoursatProblem<T> problem_;
};

template <class T>
class SolveGoursatGradGpuOp : public OpKernel {
 public:
  explicit SolveGoursatGradGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
  }

  void Compute(OpKernelContext* context) override {
    GoursatProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadIncrements(context, &problem));
    const Tensor &plan = context->input(1), &upstream = context->input(2);
    OP_REQUIRES_OK(context, CheckUpstream(plan, upstream, problem.count, "problems"));
    Tensor* d_increments = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(0).shape(), &d_increments));
    OnGpu(context, [&](const CudaDevice& device) {
      solve_goursat_backward_cuda<T>(problem, device, plan.flat<Plan>().data(), upstream.flat<T>().data(),
                                     d_increments->flat<T>().data());
    });
  }

 private:
  GoursatProblem<T> problem_;
};

SIGKERNEL_REGISTER(DEVICE_GPU, "SigkernelTfSignatureKernel", SignatureKernelGpuOp)
SIGKERNEL_REGISTER(DEVICE_GPU, "SigkernelTfSignatureKernelGrad", SignatureKernelGradGpuOp)
SIGKERNEL_REGISTER(DEVICE_GPU, "SigkernelTfDirectionalDerivative", DirectionalDerivativeGpuOp)
SIGKERNEL_REGISTER(DEVICE_GPU, "SigkernelTfSolveGoursat", SolveGoursatGpuOp)
SIGKERNEL_REGISTER(DEVICE_GPU, "SigkernelTfSolveGoursatGrad", SolveGoursatGradGpuOp)

}  // namespace
}  // namespace sigkernel
