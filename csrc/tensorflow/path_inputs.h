// The checks of the inputs that hold paths, [paths, time steps, channels], and the errors that they give.
#pragma once

#include <string>

#include "tensorflow/device_op.h"

namespace sigkernel {

inline absl::Status CheckPathsShape(const Tensor& paths, const std::string& name) {
  if (paths.dims() != 3) {
    return errors::InvalidArgument(name, " must have rank 3, (paths, time steps, channels), got shape ",
                                   paths.shape().DebugString());
  }
  if (paths.dim_size(1) == 0) {
    return errors::InvalidArgument(name, " must have at least one time step, got shape ", paths.shape().DebugString(),
                                   ": drop empty series first.");
  }
  if (paths.dim_size(2) == 0) {
    return errors::InvalidArgument(name, " must have at least one channel, got shape ", paths.shape().DebugString());
  }
  return absl::OkStatus();
}

// Names the path, time step and channel of the first NaN or infinity in the paths, where the device checks numerics.
template <class T, class Device>
absl::Status CheckFinite(const Device& device, const Tensor& paths, const std::string& name) {
  if (!device.checks_numerics) return absl::OkStatus();
  const T* values = paths.flat<T>().data();
  const int64_t first = device.FirstNotFinite(values, paths.NumElements());
  if (first < 0) return absl::OkStatus();
  const int64_t channels = paths.dim_size(2), length = paths.dim_size(1);
  return errors::InvalidArgument(
      name, " must hold finite numbers; path ", first / (length * channels), " has ", device.Read(values + first),
      " at time step ", first / channels % length, ", channel ", first % channels,
      ". Drop or fill missing values first (sigkernel_tf.paths.pad_ragged takes trailing NaNs as padding).");
}

}  // namespace sigkernel
