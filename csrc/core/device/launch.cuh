// How CUDA kernels are launched, and what they all use: dynamic shared memory, and counters by which a warp or block
// waits for another.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "core/arithmetic.h"
#include "core/device/cuda_device.h"

namespace sigkernel {

// Declares `name`, an unsigned char* to the block's dynamic shared memory, aligned to 16 bytes. All shared memory is
// dynamic: one array, laid out by the kernel.
#if defined(SIGKERNEL_CUDA_EMULATION)
#define SIGKERNEL_SHARED_MEMORY(name) unsigned char* const name = emulation::shared_memory()
#else
#define SIGKERNEL_SHARED_MEMORY(name) extern __shared__ __align__(16) unsigned char name[]
#endif

// Hands out arrays of a block's shared memory, one after the other, each from the first place where its type may stand. Every
// region of shared memory is taken from one. Without memory it only counts the bytes.
class SharedArena {
 public:
  static constexpr int kAlignment = 16;  // of the memory, and of what used() counts

  // From the byte `used` of the memory.
  __host__ __device__ explicit SharedArena(unsigned char* memory = nullptr, int used = 0) : memory_(memory), used_(used) {}

  template <class V>
  __host__ __device__ V* take(int count) {
    static_assert(alignof(V) <= kAlignment);
    const int first = aligned(used_, alignof(V));
    used_ = first + count * static_cast<int>(sizeof(V));
#if defined(__CUDA_ARCH__)  // no choice, after which the compiler would not know that the memory is shared
    return reinterpret_cast<V*>(memory_ + first);
#else
    return memory_ == nullptr ? nullptr : reinterpret_cast<V*>(memory_ + first);
#endif
  }
  __host__ __device__ int used() const { return aligned(used_, kAlignment); }

 private:
  static __host__ __device__ int aligned(int bytes, int alignment) { return (bytes + alignment - 1) / alignment * alignment; }

  unsigned char* const memory_;
  int used_;
};

constexpr int kWarp = 32;
// Bytes of a block. A kernel that wants more than the first must opt in, and is always opted in to the second, which every GPU has: threads
// that launch it at once, with this and that much, then do not undo each other's choice.
constexpr std::size_t kSharedWithoutAsking = 48 << 10, kSharedAtMost = 64 << 10;

constexpr int kBlockThreads = 128;  // of a block of the kernels that take one number in each thread

// The blocks of kBlockThreads for a kernel that strides over `numbers`.
inline int64_t blocks_for(int64_t numbers, const CudaDevice& device) {
  return std::min<int64_t>(parts_of(numbers, kBlockThreads), int64_t{device.multiprocessors} * 16);
}

// What an error means, with its cure where the cause is a driver that is older than this library's CUDA.
inline std::string meaning_of(cudaError_t error) {
  const bool is_driver_old = error == cudaErrorInsufficientDriver || error == cudaErrorUnsupportedPtxVersion;
  if (!is_driver_old) return cudaGetErrorString(error);
  constexpr int kMajor = CUDART_VERSION / 1000, kFirstDriver = kMajor >= 13 ? 580 : 525;
  int version = 0;
  cudaDriverGetVersion(&version);  // the newest CUDA that it knows
  return "NVIDIA's driver knows CUDA up to " + std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10) +
         ", but this library was compiled with CUDA " + std::to_string(kMajor) + ", which needs driver " + std::to_string(kFirstDriver) +
         " or newer. Update the driver, or call the operation inside `with tf.device(\"CPU\"):`";
}

inline void check_cuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw CudaError(std::string(what) + " failed: " + meaning_of(error));
}

// Throws CudaError where the launch is refused. Waits for nothing.
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), int64_t blocks, int threads, std::size_t shared_bytes,
            const CudaDevice& device, Arguments&&... arguments) {
  if (blocks == 0) return;
  if (shared_bytes > kSharedWithoutAsking) {
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kSharedAtMost)), name);
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = device.stream;
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, Parameters(std::forward<Arguments>(arguments))...);
  if (error == cudaSuccess) return;
  cudaGetLastError();  // forget it: the next launch is not to blame
  throw CudaError(std::string(name) + " could not be launched with " + std::to_string(blocks) + " blocks of " +
                  std::to_string(threads) + " threads and " + std::to_string(shared_bytes) +
                  " bytes of shared memory: " + meaning_of(error));
}

// A counter that one warp raises and another waits for. What was written before raise() is seen after wait_for().
// Called by all lanes of a warp together.
#if defined(SIGKERNEL_CUDA_EMULATION)
inline void raise_counter(int32_t* counter, int32_t value, int lane) {
  emulation::raise_counter(counter, value, lane, ~0u);
}
inline void wait_for_counter(const int32_t* counter, int32_t value) {
  emulation::wait_for_counter(counter, value, ~0u);
}
#else
__device__ inline void raise_counter(int32_t* counter, int32_t value, int lane) {
  __syncwarp();
  __threadfence();
  if (lane == 0) *static_cast<volatile int32_t*>(counter) = value;
}
__device__ inline void wait_for_counter(const int32_t* counter, int32_t value) {
  while (*static_cast<const volatile int32_t*>(counter) < value) __nanosleep(40);
  __threadfence();
  __syncwarp();
}
#endif

}  // namespace sigkernel
