// Functions that let one source serve both numbers and registers of them. L and V stand for either of the two: memory
// that holds V is read and written as L, where V is the same type as L or the type of its lanes.
#pragma once

#include <type_traits>

#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// How many lanes a number or a register has, and the type with half as many.
template <class Number>
struct LanesOf {
  static constexpr int kCount = 1;
  using Half = Number;
};
template <class T, int W>
struct LanesOf<Pack<T, W>> {
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

template <class T>
SIGKERNEL_INLINE void set_lane(T& value, int, T number) {
  value = number;
}
template <class T, int W>
SIGKERNEL_INLINE void set_lane(Pack<T, W>& value, int lane, T number) {
  value.set(lane, number);
}
template <class T>
SIGKERNEL_INLINE T get_lane(T value, int) {
  return value;
}
template <class T, int W>
SIGKERNEL_INLINE T get_lane(Pack<T, W> value, int lane) {
  return value[lane];
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
