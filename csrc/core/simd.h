// A register of W numbers, one for each of W problems solved side by side, with a number's arithmetic.
//
// A file that is compiled for an instruction set has widths of its own (sixteen, eight or four floats; half as many
// doubles), so what it instantiates from a template over packs never meets another file's at link time.
#pragma once

#include <cstdint>
#include <type_traits>

namespace sigkernel {

#define SIGKERNEL_INLINE __attribute__((always_inline)) inline
#define SIGKERNEL_NOINLINE __attribute__((noinline))

template <class T, int W>
struct Pack {
  using Scalar = T;
  using Register __attribute__((vector_size(W * sizeof(T)))) = T;
  static constexpr int kLanes = W;

  Register value;

  Pack() = default;
  SIGKERNEL_INLINE Pack(Register r) : value(r) {}
  SIGKERNEL_INLINE explicit Pack(double number) : value(T(number) - Register{}) {}

  SIGKERNEL_INLINE T operator[](int lane) const { return value[lane]; }
  SIGKERNEL_INLINE void set(int lane, T number) { value[lane] = number; }

  SIGKERNEL_INLINE Pack& operator+=(Pack other) { value += other.value; return *this; }
  SIGKERNEL_INLINE Pack& operator-=(Pack other) { value -= other.value; return *this; }
  SIGKERNEL_INLINE Pack& operator*=(Pack other) { value *= other.value; return *this; }
  SIGKERNEL_INLINE friend Pack operator+(Pack a, Pack b) { return a.value + b.value; }
  SIGKERNEL_INLINE friend Pack operator-(Pack a, Pack b) { return a.value - b.value; }
  SIGKERNEL_INLINE friend Pack operator*(Pack a, Pack b) { return a.value * b.value; }
  SIGKERNEL_INLINE friend Pack abs(Pack a) { return a.value < 0 ? -a.value : a.value; }
  SIGKERNEL_INLINE friend Pack min(Pack a, Pack b) { return b.value < a.value ? b.value : a.value; }
  SIGKERNEL_INLINE friend Pack max(Pack a, Pack b) { return a.value < b.value ? b.value : a.value; }
};

// Every number moves one lane up; `first` enters the first lane.
template <class T, int W>
SIGKERNEL_INLINE Pack<T, W> shift_in(Pack<T, W> pack, T first) {
  using Index = Pack<std::conditional_t<sizeof(T) == 8, int64_t, int32_t>, W>;
  typename Index::Register from;
  for (int lane = 0; lane < W; ++lane) from[lane] = lane == 0 ? W : lane - 1;
  return __builtin_shuffle(pack.value, Pack<T, W>(first).value, from);
}

// A value and its derivative in one direction: a rule evaluated on it gives the derivative of the rule.
template <class V>
struct Dual {
  V value, tangent;

  Dual() = default;
  SIGKERNEL_INLINE explicit Dual(double number) : value(number), tangent(0) {}
  SIGKERNEL_INLINE Dual(V value, V tangent) : value(value), tangent(tangent) {}

  SIGKERNEL_INLINE Dual& operator+=(Dual other) { return *this = *this + other; }
  SIGKERNEL_INLINE Dual& operator*=(Dual other) { return *this = *this * other; }
  SIGKERNEL_INLINE friend Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.tangent + b.tangent}; }
  SIGKERNEL_INLINE friend Dual operator-(Dual a, Dual b) { return {a.value - b.value, a.tangent - b.tangent}; }
  SIGKERNEL_INLINE friend Dual operator*(Dual a, Dual b) {
    return {a.value * b.value, a.value * b.tangent + a.tangent * b.value};
  }
};

}  // namespace sigkernel
