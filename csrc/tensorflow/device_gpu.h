// A GPU as the ops use it: the members of Cpu (device_cpu.h), for tensors in the GPU's memory. The core is lent
// TensorFlow's stream, and scratch memory from TensorFlow's allocator. No CUDA header is needed.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/device/cuda_device.h"
#include "core/goursat/cuda/goursat_cuda.h"
#include "core/memory.h"
#include "core/signature/signature_cuda.h"
#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "xla/stream_executor/device_description.h"
#include "xla/stream_executor/stream.h"
#include "xla/stream_executor/stream_executor.h"

namespace sigkernel {

// Lives as long as an op's Compute: memory given back then is not used for anything before the stream is through.
class Gpu {
 public:
  static constexpr bool kIsHost = false;
  // The checks wait for the GPU, so they are made only where SIGKERNEL_TF_CHECK_NUMERICS=1 asks for them. Otherwise
  // NaN, infinite inputs and kernels that overflow give NaN.
  const bool checks_numerics = ChecksAreWanted();
  static const char* Name() { return tensorflow::DEVICE_GPU; }

  explicit Gpu(tensorflow::OpKernelContext* context) {
    auto* stream = context->op_device_context()->stream();
    device_.stream = static_cast<CUstream_st*>(stream->platform_specific_handle().stream);
    device_.multiprocessors = stream->parent()->GetDeviceDescription().core_count();
    device_.allocate = [this, context](int64_t bytes) -> void* {
      tensorflow::Tensor piece;
      const tensorflow::TensorShape shape({bytes});
      if (!context->allocate_temp(tensorflow::DT_INT8, shape, &piece).ok()) throw OutOfMemory(bytes);
      scratch_.push_back(piece);
      return piece.flat<tensorflow::int8>().data();
    };
  }
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  // The following three wait for the GPU.

  template <class N>
  N Read(const N* value) const {
    return read_cuda(value, 1, device_)[0];
  }

  template <class T>
  int64_t FirstNotFinite(const T* values, int64_t count) const {
    return first_not_finite_cuda<T>(values, count, device_);
  }

  int64_t FirstNotSolved(const Plan* plans, int64_t count) const {
    const std::vector<Plan> copy = read_cuda(plans, count, device_);
    const auto first = std::find_if(copy.begin(), copy.end(), [](Plan plan) { return plan < 0; });
    return first == copy.end() ? -1 : first - copy.begin();
  }

  // The core's functions do not wait for the GPU; signature() does where numerics are checked.

  template <class T>
  void signature_kernel(const KernelProblem<T>& problem, const T* variance, T* k, Plan* plan) const {
    signature_kernel_cuda<T>(problem, variance, device_, k, plan);
  }

  template <class T>
  void signature_kernel_directional(const KernelProblem<T>& problem, const T* variance, const T* direction, T* k,
                                    T* tangent, Plan* plan) const {
    signature_kernel_directional_cuda<T>(problem, variance, direction, device_, k, tangent, plan);
  }

  template <class T>
  void signature_kernel_backward(const KernelProblem<T>& problem, const T* variance, const Plan* plan, const T* upstream,
                                 T* dX, T* dY, T* d_variance) const {
    signature_kernel_backward_cuda<T>(problem, variance, device_, plan, upstream, dX, dY, d_variance);
  }

  template <class T>
  void solve_goursat(const GoursatProblem<T>& problem, T* k, Plan* plan) const {
    solve_goursat_cuda<T>(problem, device_, k, plan);
  }

  template <class T>
  void solve_goursat_backward(const GoursatProblem<T>& problem, const Plan* plan, const T* upstream,
                              T* d_increments) const {
    solve_goursat_backward_cuda<T>(problem, device_, plan, upstream, d_increments);
  }

  // Returns -1 where numerics are not checked.
  template <class T>
  int64_t signature(const SignatureProblem<T>& problem, T* result) const {
    signature_cuda<T>(problem, device_, result);
    if (!checks_numerics) return -1;
    const int64_t size = problem.rows() * problem.num_words;  // of one path's result
    const int64_t first = FirstNotFinite(result, problem.count * size);
    return first < 0 ? -1 : first / size;
  }

  template <class T>
  void signature_backward(const SignatureProblem<T>& problem, const T* result, const T* upstream, T* d_paths) const {
    signature_backward_cuda<T>(problem, device_, result, upstream, d_paths);
  }

 private:
  static bool ChecksAreWanted() {
    const char* value = std::getenv("SIGKERNEL_TF_CHECK_NUMERICS");
    return value != nullptr && std::strcmp(value, "") != 0 && std::strcmp(value, "0") != 0;
  }

  CudaDevice device_;
  std::vector<tensorflow::Tensor> scratch_;
};

}  // namespace sigkernel
