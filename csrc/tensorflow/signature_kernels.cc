// The truncated signature's operations on the CPU: validate, allocate, call the core.

#include <string>

#include "core/signature.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/op_helpers.h"

namespace sigkernel {
namespace {

using tensorflow::DEVICE_CPU;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
namespace errors = tensorflow::errors;

absl::Status MemoryError(const std::bad_alloc& failure) {
  return OutOfMemoryError(failure, "the signatures' scratch", "Pass fewer paths at a time or fewer words");
}

template <class T>
absl::Status ReadAttributes(OpKernelConstruction* context, SignatureProblem<T>* problem) {
  TF_RETURN_IF_ERROR(context->GetAttr("num_words", &problem->num_words));
  return context->GetAttr("stream", &problem->stream);
}

// What is known of the paths at run time alone.
template <class T>
absl::Status ReadPaths(const Tensor& paths, SignatureProblem<T>* problem) {
  const std::string shape = paths.shape().DebugString();
  if (paths.dims() != 3) {
    return errors::InvalidArgument("X must have rank 3, (paths, time steps, channels), got shape ", shape);
  }
  if (paths.dim_size(1) == 0) {
    return errors::InvalidArgument("X must have at least one time step, got shape ", shape,
                                   ": drop empty series first.");
  }
  if (paths.dim_size(2) == 0) {
    return errors::InvalidArgument("X must have at least one channel, got shape ", shape);
  }
  problem->paths = paths.flat<T>().data();
  problem->count = paths.dim_size(0);
  problem->length = paths.dim_size(1);
  problem->channels = paths.dim_size(2);
  return absl::OkStatus();
}

template <class T>
absl::Status OutputShape(const SignatureProblem<T>& problem, TensorShape* shape) {
  absl::Status status = shape->AddDimWithStatus(problem.count);
  if (problem.stream) status.Update(shape->AddDimWithStatus(problem.length));
  status.Update(shape->AddDimWithStatus(problem.num_words));
  if (status.ok()) return status;
  return errors::InvalidArgument("the signatures are too many to count: ", problem.num_words, " words for each of ",
                                 problem.rows(), " rows of ", problem.count, " paths. Lower the depth.");
}

template <class T>
class SignatureOp : public OpKernel {
 public:
  explicit SignatureOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadAttributes(context, &problem_));
  }

  void Compute(OpKernelContext* context) override try {
    SignatureProblem<T> problem = problem_;
    OP_REQUIRES_OK(context, ReadPaths(context->input(0), &problem));
    OP_REQUIRES_OK(context, CheckFinite<T>(context->input(0), "X"));
    TensorShape shape;
    OP_REQUIRES_OK(context, OutputShape(problem, &shape));
    Tensor* result = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &result));
    const int64_t first_overflow = signature<T>(problem, WorkerThreads(context), result->flat<T>().data());
    OP_REQUIRES(context, first_overflow < 0,
                errors::InvalidArgument("the signature of X[", first_overflow, "] overflows ",
                                        sizeof(T) == 4 ? "float32" : "float64",
                                        ". Rescale the paths (divide them by a constant, or standardize them), or "
                                        "lower the depth."));
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(MemoryError(failure));
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
    TensorShape shape;
    OP_REQUIRES_OK(context, OutputShape(problem, &shape));
    OP_REQUIRES(context, result.shape() == shape && upstream.shape() == shape,
                errors::InvalidArgument("signature and upstream must have shape ", shape.DebugString(), ", got ",
                                        result.shape().DebugString(), " and ", upstream.shape().DebugString()));
    Tensor* d_paths = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(0).shape(), &d_paths));
    signature_backward<T>(problem, WorkerThreads(context), result.flat<T>().data(), upstream.flat<T>().data(),
                          d_paths->flat<T>().data());
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(MemoryError(failure));
  }

 private:
  SignatureProblem<T> problem_;
};

#define SIGKERNEL_REGISTER(NAME, OP)                                                              \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU).TypeConstraint<float>("T"), OP<float>);   \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU).TypeConstraint<double>("T"), OP<double>);
SIGKERNEL_REGISTER("SigkernelTfSignature", SignatureOp)
SIGKERNEL_REGISTER("SigkernelTfSignatureGrad", SignatureGradOp)
#undef SIGKERNEL_REGISTER

}  // namespace
}  // namespace sigkernel
