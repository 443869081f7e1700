// Scratch memory for what is compiled for an instruction set: no template of the standard library, nothing to link.
#pragma once

#include <cstdint>

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// Hands out a piece of memory bit by bit. Without memory it only counts.
class Arena {
 public:
  explicit Arena(void* memory) : memory_(static_cast<char*>(memory)) {}

  template <class V>
  V* take(int64_t count) {
    char* piece = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += (count * static_cast<int64_t>(sizeof(V)) + 63) / 64 * 64;
    return reinterpret_cast<V*>(piece);
  }

  int64_t used() const { return used_; }

 private:
  char* memory_;
  int64_t used_ = 0;
};

}  // namespace
}  // namespace sigkernel
