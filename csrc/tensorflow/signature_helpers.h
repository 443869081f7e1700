// What the signature's operations share on every device.
#pragma once

#include <string>

#include "core/signature/signature.h"
#include "tensorflow/op_helpers.h"

namespace sigkernel {

inline absl::Status SignatureMemoryError(const std::bad_alloc& failure) {
  return OutOfMemoryError(failure, "the signatures' scratch", "Pass fewer paths at a time or fewer words");
}

template <class T>
absl::Status ReadAttributes(tensorflow::OpKernelConstruction* context, SignatureProblem<T>* problem) {
  TF_RETURN_IF_ERROR(context->GetAttr("num_words", &problem->num_words));
  return context->GetAttr("stream", &problem->stream);
}

// What is known of the paths at run time alone.
template <class T>
absl::Status ReadPaths(const tensorflow::Tensor& paths, SignatureProblem<T>* problem) {
  const std::string shape = paths.shape().DebugString();
  if (paths.dims() != 3) {
    return tensorflow::errors::InvalidArgument("X must have rank 3, (paths, time steps, channels), got shape ", shape);
  }
  if (paths.dim_size(1) == 0) {
    return tensorflow::errors::InvalidArgument("X must have at least one time step, got shape ", shape,
                                   ": drop empty series first.");
  }
  if (paths.dim_size(2) == 0) {
    return tensorflow::errors::InvalidArgument("X must have at least one channel, got shape ", shape);
  }
  problem->paths = paths.flat<T>().data();
  problem->count = paths.dim_size(0);
  problem->length = paths.dim_size(1);
  problem->channels = paths.dim_size(2);
  return absl::OkStatus();
}

template <class T>
absl::Status OutputShape(const SignatureProblem<T>& problem, tensorflow::TensorShape* shape) {
  absl::Status status = shape->AddDimWithStatus(problem.count);
  if (problem.stream) status.Update(shape->AddDimWithStatus(problem.length));
  status.Update(shape->AddDimWithStatus(problem.num_words));
  if (status.ok()) return status;
  return tensorflow::errors::InvalidArgument("the signatures are too many to count: ", problem.num_words, " words for each of ",
                                 problem.rows(), " rows of ", problem.count, " paths. Lower the depth.");
}

template <class T>
absl::Status CheckSignatureGradient(const SignatureProblem<T>& problem, const tensorflow::Tensor& result,
                                    const tensorflow::Tensor& upstream) {
  tensorflow::TensorShape shape;
  TF_RETURN_IF_ERROR(OutputShape(problem, &shape));
  if (result.shape() == shape && upstream.shape() == shape) return absl::OkStatus();
  return tensorflow::errors::InvalidArgument("signature and upstream must have shape ", shape.DebugString(), ", got ",
                                             result.shape().DebugString(), " and ", upstream.shape().DebugString());
}

template <class T>
absl::Status SignatureOverflow(int64_t path) {
  return tensorflow::errors::InvalidArgument("the signature of X[", path, "] overflows ", sizeof(T) == 4 ? "float32" : "float64",
                                             ". Rescale the paths (divide them by a constant, or standardize them), or lower "
                                             "the depth.");
}

}  // namespace sigkernel
