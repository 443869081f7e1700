// Dual numbers: a value together with its derivative. A formula that is evaluated on them gives its own derivative,
// too.
#pragma once

#include "core/simd/pack.h"

namespace sigkernel {

// A value and its derivative in one direction.
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
  SIGKERNEL_INLINE friend Dual min(Dual a, Dual b) {
    const auto is_less = b.value.value < a.value.value;
    return {is_less ? b.value.value : a.value.value, is_less ? b.tangent.value : a.tangent.value};
  }
  SIGKERNEL_INLINE friend Dual max(Dual a, Dual b) {
    const auto is_less = a.value.value < b.value.value;
    return {is_less ? b.value.value : a.value.value, is_less ? b.tangent.value : a.tangent.value};
  }
};

template <class V>
SIGKERNEL_INLINE Dual<V> exp_of_negative(Dual<V> x) {
  const V value = exp_of_negative(x.value);
  return {value, value * x.tangent};
}

template <class V>
SIGKERNEL_INLINE Dual<V> root(Dual<V> x) {
  const V value = root(x.value);
  return {value, x.tangent / (value + value)};
}

}  // namespace sigkernel
