// How an operation lends the core its GPU: TensorFlow's stream, scratch memory of its allocator, and failures as a Status.
// No CUDA header is needed.
#pragma once

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "core/device/cuda_device.h"
#include "core/goursat/cuda/goursat_cuda.h"
#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/op_helpers.h"
#include "xla/stream_executor/device_description.h"
#include "xla/stream_executor/stream.h"
#include "xla/stream_executor/stream_executor.h"

namespace sigkernel {

// Lives as long as an operation's Compute: memory given back then is not used for anything before the stream is through.
class OpDevice {
 public:
  explicit OpDevice(tensorflow::OpKernelContext* context) {
    auto* stream = context->op_device_context()->stream();
    device.stream = static_cast<CUstream_st*>(stream->platform_specific_handle().stream);
    device.multiprocessors = stream->parent()->GetDeviceDescription().core_count();
    device.allocate = [this, context](int64_t bytes) -> void* {
      tensorflow::Tensor piece;
      if (!context->allocate_temp(tensorflow::DT_INT8, tensorflow::TensorShape({bytes}), &piece).ok()) throw OutOfMemory(bytes);
      scratch_.push_back(piece);
      return piece.flat<tensorflow::int8>().data();
    };
  }
  OpDevice(const OpDevice&) = delete;
  OpDevice& operator=(const OpDevice&) = delete;

  CudaDevice device;

 private:
  std::vector<tensorflow::Tensor> scratch_;
};

// Whether operations on a GPU wait for it and check what goes in and comes out, as those on a CPU always do.
inline bool ChecksNumerics() {
  const char* value = std::getenv("SIGKERNEL_TF_CHECK_NUMERICS");
  return value != nullptr && std::strcmp(value, "") != 0 && std::strcmp(value, "0") != 0;
}

// As CheckFinite, of paths on the GPU. Waits for it.
template <class T>
absl::Status CheckFiniteOnGpu(const tensorflow::Tensor& paths, const std::string& name, const CudaDevice& device) {
  const T* values = paths.flat<T>().data();
  const int64_t first = first_not_finite_cuda<T>(values, paths.NumElements(), device);
  if (first < 0) return absl::OkStatus();
  return NotFiniteError(paths, name, first, static_cast<double>(read_cuda<T>(values + first, 1, device)[0]));
}

inline absl::Status CudaStatus(const CudaError& failure) {
  return tensorflow::errors::Internal("sigkernel_tf's GPU code: ", failure.what());
}

}  // namespace sigkernel
