// What the operations share: TensorFlow's thread pool as the core's ParallelFor, and the checks of a path's values.
#pragma once

#include <cmath>
#include <limits>
#include <new>
#include <string>

#include "core/memory.h"
#include "core/parallel.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/lib/core/threadpool.h"
#include "tensorflow/core/platform/errors.h"

namespace sigkernel {

#define SIGKERNEL_REGISTER(DEVICE, NAME, OP)                                                  \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE).TypeConstraint<float>("T"), OP<float>);   \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE).TypeConstraint<double>("T"), OP<double>);

inline ParallelFor WorkerThreads(tensorflow::OpKernelContext* context) {
  tensorflow::thread::ThreadPool* workers = context->device()->tensorflow_cpu_worker_threads()->workers;
  return [workers](int64_t count, int64_t cost, const std::function<void(int64_t, int64_t)>& body) {
    workers->ParallelFor(count, cost, body);
  };
}

// what: for instance "a sweep over the grid"; cure: what takes less.
inline absl::Status OutOfMemoryError(const std::bad_alloc& failure, const char* what, const char* cure) {
  const auto* sized = dynamic_cast<const OutOfMemory*>(&failure);
  const std::string needed = sized == nullptr ? "" : tensorflow::strings::StrCat(" another ", sized->needed >> 20, " MB");
  return tensorflow::errors::ResourceExhausted("sigkernel_tf ran out of memory: no room for", needed, " of ", what,
                                               ". ", cure, ".");
}

// Names the path, time step and channel of a NaN or infinity, the one at `place` in paths [N, L, D].
inline absl::Status NotFiniteError(const tensorflow::Tensor& paths, const std::string& name, int64_t place, double value) {
  const int64_t channels = paths.dim_size(2), length = paths.dim_size(1);
  return tensorflow::errors::InvalidArgument(
      name, " must hold finite numbers; path ", place / (length * channels), " has ", value, " at time step ",
      place / channels % length, ", channel ", place % channels,
      ". Drop or fill missing values first (sigkernel_tf.paths.pad_ragged takes trailing NaNs as padding).");
}

// Of paths in the host's memory: names the first.
template <class T>
absl::Status CheckFinite(const tensorflow::Tensor& paths, const std::string& name) {
  const T* values = paths.flat<T>().data();
  const int64_t count = paths.NumElements();
  bool is_finite = true;
  for (int64_t i = 0; i < count; ++i) is_finite &= std::abs(values[i]) <= std::numeric_limits<T>::max();  // no branch
  if (is_finite) return absl::OkStatus();
  int64_t first = 0;
  while (std::isfinite(values[first])) ++first;
  return NotFiniteError(paths, name, first, values[first]);
}

}  // namespace sigkernel
