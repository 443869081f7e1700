// What the core asks of a GPU: a stream to launch on and memory to work in. Plain C++, for files that include no CUDA
// header.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

struct CUstream_st;  // what a cudaStream_t points to

namespace sigkernel {

struct CudaError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct CudaDevice {
  CUstream_st* stream = nullptr;
  int multiprocessors = 0;
  // Bytes aligned to 256 that live until all that was launched has run; throws OutOfMemory (memory.h).
  std::function<void*(int64_t bytes)> allocate;

  template <class T>
  T* allocate_numbers(int64_t count) const {
    return static_cast<T*>(allocate((count < 1 ? 1 : count) * static_cast<int64_t>(sizeof(T))));
  }
};

}  // namespace sigkernel
