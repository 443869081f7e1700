// The truncated signature's operations on the CPU: validate, allocate, call the core.

#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/signature_helpers.h"

namespace sigkernel {
namespace {

using tensorflow::DEVICE_CPU;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
namespace errors = tensorflow::errors;

template <class T>
class SignatureOp : public OpKernel {
 public:
  explicit SignatureOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadAttributes(context, &problem_));
  }

  void Compute(OpKernelContext* context) override try {
    SignatureProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadPaths(context->input(0), &problem));
    // Where all increments are summed, into the words of one letter, a NaN or infinity of X shows there.
    const bool shows = problem.channels > 1 && problem.num_words > problem.channels && problem.length > 1;
    if (!shows) OP_REQUIRES_OK(context, CheckFinite<T>(context->input(0), "X"));
    TensorShape shape;
    OP_REQUIRES_OK(context, OutputShape(problem, &shape));
    Tensor* result = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &result));
    const int64_t first_overflow = signature<T>(problem, WorkerThreads(context), result->flat<T>().data());
    if (first_overflow < 0) return;
    OP_REQUIRES_OK(context, CheckFinite<T>(context->input(0), "X"));
    context->SetStatus(SignatureOverflow<T>(first_overflow));
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(SignatureMemoryError(failure));
  }

 private:
  SignatureProblem<T> problem_;
};

template <class T>
class SignatureGradOp : public OpKernel {
 public:
  explicit SignatureGradOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadAttributes(context, &problem_));
  }

  void Compute(OpKernelContext* context) override try {
    SignatureProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadPaths(context->input(0), &problem));
    const Tensor &result = context->input(1), &upstream = context->input(2);
    OP_REQUIRES_OK(context, CheckSignatureGradient(problem, result, upstream));
    Tensor* d_paths = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(0).shape(), &d_paths));
    signature_backward<T>(problem, WorkerThreads(context), result.flat<T>().data(), upstream.flat<T>().data(),
                          d_paths->flat<T>().data());
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(SignatureMemoryError(failure));
  }

 private:
  SignatureProblem<T> problem_;
};

SIGKERNEL_REGISTER(DEVICE_CPU, "SigkernelTfSignature", SignatureOp)
SIGKERNEL_REGISTER(DEVICE_CPU, "SigkernelTfSignatureGrad", SignatureGradOp)

}  // namespace
}  // namespace sigkernel
