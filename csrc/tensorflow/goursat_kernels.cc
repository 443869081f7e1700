// The solver's operations on the CPU: validate, allocate, call the core.

#include <algorithm>
#include <cmath>
#include <new>
#include <string>
#include <vector>

#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/goursat_helpers.h"

namespace sigkernel {
namespace {

using tensorflow::DEVICE_CPU;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
namespace errors = tensorflow::errors;

template <class T>
T LargestIncrement(const KernelProblem<T>& problem, int64_t a, int64_t b) {
  const Paths<T>&X = problem.X, &Y = problem.Y;
  const int64_t D = X.channels;
  const T* x = X.values + a * X.length * D;
  const T* y = Y.values + b * Y.length * D;
  T largest = 0;
  for (int64_t i = 0; i < X.segments(); ++i)
    for (int64_t j = 0; j < Y.segments(); ++j) {
      T p = 0;
      for (int64_t d = 0; d < D; ++d)
        p += (x[(i + 1) * D + d] - x[i * D + d]) * (y[(j + 1) * D + d] - y[j * D + d]);
      largest = std::max(largest, std::abs(p));
    }
  return largest;
}

template <class T>
std::string DescribePair(const KernelProblem<T>& problem, int64_t pair) {
  const int64_t a = problem.is_gram() ? pair / problem.Y.count : pair;
  const int64_t b = problem.is_gram() ? pair % problem.Y.count : pair;
  const std::string names = PairNames(problem, pair);
  if (problem.static_kernel == StaticKernel::kRbf) {
    return tensorflow::strings::StrCat(names, ", under an RBF static kernel of variance ", problem.variance, ",");
  }
  return tensorflow::strings::StrCat(names, ", whose increments have inner products up to ",
                                     LargestIncrement(problem, a, b), ",");
}

template <class T>
absl::Status ReadVariance(OpKernelContext* context, T* variance) {
  const Tensor& input = context->input(2);
  if (!std::isfinite(input.scalar<T>()())) {
    return errors::InvalidArgument("variance must be one finite number, got ", input.DebugString());
  }
  *variance = input.scalar<T>()();
  return absl::OkStatus();
}

template <class T>
class SignatureKernelOp : public OpKernel {
 public:
  explicit SignatureKernelOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
    OP_REQUIRES_OK(context, ReadStaticKernel(context, &problem_.static_kernel));
    OP_REQUIRES_OK(context, ReadPairing(context, &problem_.pairing));
  }

  void Compute(OpKernelContext* context) override try {
    KernelProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadProblem(context, &problem));
    OP_REQUIRES_OK(context, ReadVariance(context, &problem.variance));
    OP_REQUIRES_OK(context, CheckFinite<T>(context->input(0), "X"));
    if (!problem.is_symmetric()) OP_REQUIRES_OK(context, CheckFinite<T>(context->input(1), "Y"));
    tensorflow::TensorShape shape({problem.X.count});
    if (problem.is_gram()) shape.AddDim(problem.Y.count);
    Tensor *k = nullptr, *plan = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &k));
    OP_REQUIRES_OK(context, context->allocate_output(1, shape, &plan));
    Plan* plans = plan->flat<Plan>().data();
    signature_kernel<T>(problem, WorkerThreads(context), k->flat<T>().data(), plans);
    OP_REQUIRES_OK(context, CheckPlans<T>(plans, problem.pairs(), [&](int64_t pair) {
                     return DescribePair(problem, pair);
                   }));
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(SweepMemoryError(failure));
  }

 private:
  KernelProblem<T> problem_;
};

template <class T>
class DirectionalDerivativeOp : public OpKernel {
 public:
  explicit DirectionalDerivativeOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
    OP_REQUIRES_OK(context, ReadStaticKernel(context, &problem_.static_kernel));
  }

  void Compute(OpKernelContext* context) override try {
    KernelProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadProblem(context, &problem));
    OP_REQUIRES_OK(context, ReadVariance(context, &problem.variance));
    const Tensor& direction = context->input(3);
    OP_REQUIRES_OK(context, CheckDirection(context->input(0), direction));
    OP_REQUIRES_OK(context, CheckFinite<T>(context->input(0), "X"));
    OP_REQUIRES_OK(context, CheckFinite<T>(context->input(1), "Y"));
    OP_REQUIRES_OK(context, CheckFinite<T>(direction, "direction"));
    Tensor *k = nullptr, *derivative = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, {problem.X.count}, &k));
    OP_REQUIRES_OK(context, context->allocate_output(1, {problem.X.count}, &derivative));
    std::vector<Plan> plan(problem.pairs());
    signature_kernel_directional<T>(problem, direction.flat<T>().data(), WorkerThreads(context), k->flat<T>().data(),
                                    derivative->flat<T>().data(), plan.data());
    OP_REQUIRES_OK(context, CheckPlans<T>(plan.data(), problem.pairs(), [&](int64_t pair) {
                     return DescribePair(problem, pair);
                   }));
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(SweepMemoryError(failure));
  }

 private:
  KernelProblem<T> problem_;
};

template <class T>
class SignatureKernelGradOp : public OpKernel {
 public:
  explicit SignatureKernelGradOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
    OP_REQUIRES_OK(context, ReadStaticKernel(context, &problem_.static_kernel));
    OP_REQUIRES_OK(context, ReadPairing(context, &problem_.pairing));
  }

  void Compute(OpKernelContext* context) override try {
    KernelProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadProblem(context, &problem));
    OP_REQUIRES_OK(context, ReadVariance(context, &problem.variance));
    const Tensor &plan = context->input(3), &upstream = context->input(4);
    OP_REQUIRES_OK(context, CheckUpstream(plan, upstream, problem.pairs(), "pairs"));
    Tensor *dx = nullptr, *dy = nullptr, *d_variance = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(0).shape(), &dx));
    OP_REQUIRES_OK(context, context->allocate_output(1, SecondGradientShape(problem, context->input(1)), &dy));
    OP_REQUIRES_OK(context, context->allocate_output(2, {}, &d_variance));
    signature_kernel_backward<T>(problem, WorkerThreads(context), plan.flat<Plan>().data(), upstream.flat<T>().data(),
                                 dx->flat<T>().data(), dy->flat<T>().data(), d_variance->flat<T>().data());
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(SweepMemoryError(failure));
  }

 private:
  KernelProblem<T> problem_;
};

template <class T>
absl::Status CheckIncrements(const GoursatProblem<T>& problem) {
  const T* end = problem.increments + problem.count * problem.rows * problem.columns;
  const T* bad = std::find_if_not(problem.increments, end, [](T value) { return std::isfinite(value); });
  if (bad == end) return absl::OkStatus();
  return NotFiniteIncrement(problem, bad - problem.increments, *bad);
}

template <class T>
class SolveGoursatOp : public OpKernel {
 public:
  explicit SolveGoursatOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
  }

  void Compute(OpKernelContext* context) override try {
    GoursatProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadIncrements(context, &problem));
    OP_REQUIRES_OK(context, CheckIncrements(problem));
    Tensor *k = nullptr, *plan = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, {problem.count}, &k));
    OP_REQUIRES_OK(context, context->allocate_output(1, {problem.count}, &plan));
    Plan* plans = plan->flat<Plan>().data();
    solve_goursat<T>(problem, WorkerThreads(context), k->flat<T>().data(), plans);
    OP_REQUIRES_OK(context, CheckPlans<T>(plans, problem.count, [&](int64_t n) {
                     const int64_t size = problem.rows * problem.columns;
                     const T* p = problem.increments + n * size;
                     T largest = 0;
                     for (int64_t i = 0; i < size; ++i) largest = std::max(largest, std::abs(p[i]));
                     return tensorflow::strings::StrCat("increments[", n, "], which reach ", largest, ",");
                   }));
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(SweepMemoryError(failure));
  }

 private:
  GoursatProblem<T> problem_;
};

template <class T>
class SolveGoursatGradOp : public OpKernel {
 public:
  explicit SolveGoursatGradOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSolver(context, &problem_.solver));
  }

  void Compute(OpKernelContext* context) override try {
    GoursatProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadIncrements(context, &problem));
    const Tensor &plan = context->input(1), &upstream = context->input(2);
    OP_REQUIRES_OK(context, CheckUpstream(plan, upstream, problem.count, "problems"));
    Tensor* d_increments = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(0).shape(), &d_increments));
    solve_goursat_backward<T>(problem, WorkerThreads(context), plan.flat<Plan>().data(), upstream.flat<T>().data(),
                              d_increments->flat<T>().data());
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(SweepMemoryError(failure));
  }

 private:
  GoursatProblem<T> problem_;
};

SIGKERNEL_REGISTER(DEVICE_CPU, "SigkernelTfSignatureKernel", SignatureKernelOp)
SIGKERNEL_REGISTER(DEVICE_CPU, "SigkernelTfSignatureKernelGrad", SignatureKernelGradOp)
SIGKERNEL_REGISTER(DEVICE_CPU, "SigkernelTfDirectionalDerivative", DirectionalDerivativeOp)
SIGKERNEL_REGISTER(DEVICE_CPU, "SigkernelTfSolveGoursat", SolveGoursatOp)
SIGKERNEL_REGISTER(DEVICE_CPU, "SigkernelTfSolveGoursatGrad", SolveGoursatGradOp)

}  // namespace
}  // namespace sigkernel
