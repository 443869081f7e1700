// Cuts scratch memory into arrays, and copies between them. It uses nothing of the standard library, so that files which are compiled for an
// instruction set can include it.
#pragma once

#include <cstdint>

#include "core/arithmetic.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

template <class V>
void copy(const V* from, int64_t count, V* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[i];
}

// Hands out one array after the other from a piece of memory. Without memory it only counts the bytes that are needed.
template <int64_t kAlignment>
class AlignedArena {
 public:
  explicit AlignedArena(void* memory = nullptr) : memory_(static_cast<char*>(memory)) {}

  template <class V>
  V* take(int64_t count) {
    char* piece = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += parts_of(count * static_cast<int64_t>(sizeof(V)), kAlignment) * kAlignment;
    return reinterpret_cast<V*>(piece);
  }

  int64_t used() const { return used_; }  // bytes

 private:
  char* memory_;
  int64_t used_ = 0;
};

using Arena = AlignedArena<64>;  // the bytes of the widest SIMD register

}  // namespace
}  // namespace sigkernel
