// What lets one source serve numbers and registers of them: an L, either of the two, read from and written to where V
// stand, which are L too or numbers.
#pragma once

#include <type_traits>

#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

template <class Number>
struct Lanes {
  static constexpr int kCount = 1;
  using Half = Number;
};
template <class T, int W>
struct Lanes<Pack<T, W>> {
  static constexpr int kCount = W;
  using Half = std::conditional_t<W == 2, T, Pack<T, W / 2>>;
};

template <class L, class V>
SIGKERNEL_INLINE L load(const V* from) {
  L to;
  __builtin_memcpy(&to, from, sizeof(L));
  return to;
}

template <class L, class V>
SIGKERNEL_INLINE void store(L number, V* to) {
  __builtin_memcpy(to, &number, sizeof(L));
}

// A number in all lanes.
template <class L, class V>
SIGKERNEL_INLINE L spread(V number) {
  if constexpr (std::is_same_v<L, V>) return number;
  else return L(number - typename L::Register{});
}

// The sum of the lanes that V does not have.
template <class V, class L>
SIGKERNEL_INLINE V gather(L number) {
  if constexpr (std::is_same_v<L, V>) return number;
  else {
    V sum = number[0];
    for (int lane = 1; lane < L::kLanes; ++lane) sum += number[lane];
    return sum;
  }
}

}  // namespace
}  // namespace sigkernel
