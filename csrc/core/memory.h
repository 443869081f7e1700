// Scratch memory, and what is thrown where there is no room for it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace sigkernel {

struct OutOfMemory : std::bad_alloc {
  explicit OutOfMemory(int64_t bytes) : needed(bytes) {}
  const char* what() const noexcept override { return "no room for a sweep's scratch memory"; }

  int64_t needed;  // bytes
};

// Memory aligned for SIMD registers. It grows when asked for more, and then loses what it held.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::free(memory_); }

  // Throws OutOfMemory.
  void* reserve(int64_t bytes) {
    if (bytes > size_) {
      std::free(memory_);
      size_ = (bytes + 63) / 64 * 64;
      memory_ = std::aligned_alloc(64, size_);
      if (memory_ == nullptr) {
        size_ = 0;
        throw OutOfMemory(bytes);
      }
    }
    return memory_;
  }

  template <class T>
  T* reserve_numbers(int64_t count) {
    return static_cast<T*>(reserve(std::max<int64_t>(count, 1) * sizeof(T)));
  }

 private:
  void* memory_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace sigkernel
