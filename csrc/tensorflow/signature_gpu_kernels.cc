// The truncated signature's operations on a GPU; NaN and overflow as in goursat_gpu_kernels.cc.

#include "core/signature/signature_cuda.h"
#include "tensorflow/gpu_helpers.h"
#include "tensorflow/signature_helpers.h"

namespace sigkernel {
namespace {

using tensorflow::DEVICE_GPU;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

template <class Compute>
void OnGpu(OpKernelContext* context, const Compute& compute) try {
  OpDevice op_device(context);
  compute(op_device.device);
} catch (const std::bad_alloc& failure) {
  context->SetStatus(SignatureMemoryError(failure));
} catch (const CudaError& failure) {
  context->SetStatus(CudaStatus(failure));
}

template <class T>
class SignatureGpuOp : public OpKernel {
 public:
  explicit SignatureGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadAttributes(context, &problem_));
  }

  void Compute(OpKernelContext* context) override {
    SignatureProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadPaths(context->input(0), &problem));
    TensorShape shape;
    OP_REQUIRES_OK(context, OutputShape(problem, &shape));
    Tensor* result = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &result));
    OnGpu(context, [&](const CudaDevice& device) {
      if (ChecksNumerics()) OP_REQUIRES_OK(context, CheckFiniteOnGpu<T>(context->input(0), "X", device));
      T* values = result->flat<T>().data();
      signature_cuda<T>(problem, device, values);
      if (!ChecksNumerics()) return;
      const int64_t first = first_not_finite_cuda<T>(values, result->NumElements(), device);
      OP_REQUIRES(context, first < 0, SignatureOverflow<T>(first / (problem.rows() * problem.num_words)));
    });
  }

 private:
  SignatureProblem<T> problem_;
};

template <class T>
class SignatureGradGpuOp : public OpKernel {
 public:
  explicit SignatureGradGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadAttributes(context, &problem_));
  }

  void Compute(OpKernelContext* context) override {
    SignatureProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadPaths(context->input(0), &problem));
    const Tensor &result = context->input(1), &upstream = context->input(2);
    OP_REQUIRES_OK(context, CheckSignatureGradient(problem, result, upstream));
    Tensor* d_paths = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(0).shape(), &d_paths));
    OnGpu(context, [&](const CudaDevice& device) {
      signature_backward_cuda<T>(problem, device, result.flat<T>().data(), upstream.flat<T>().data(), d_paths->flat<T>().data());
    });
  }

 private:
  SignatureProblem<T> problem_;
};

SIGKERNEL_REGISTER(DEVICE_GPU, "SigkernelTfSignature", SignatureGpuOp)
SIGKERNEL_REGISTER(DEVICE_GPU, "SigkernelTfSignatureGrad", SignatureGradGpuOp)

}  // namespace
}  // namespace sigkernel
