// A SIMD register of W numbers, such as one for each of W problems that are solved side by side, with the arithmetic of
// numbers.
//
// A file that is compiled for an instruction set has widths of its own (sixteen, eight or four floats; half as many
// doubles), so what it instantiates from a template over packs never meets another file's at link time.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/host_device.h"
#include "core/inverse_factorials.h"

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
  SIGKERNEL_INLINE friend Pack operator/(Pack a, Pack b) { return a.value / b.value; }
  SIGKERNEL_INLINE friend Pack abs(Pack a) { return a.value < 0 ? -a.value : a.value; }
  SIGKERNEL_INLINE friend Pack min(Pack a, Pack b) { return b.value < a.value ? b.value : a.value; }
  SIGKERNEL_INLINE friend Pack max(Pack a, Pack b) { return a.value < b.value ? b.value : a.value; }
};

// Whether no lane has a finite number.
template <class T, int W>
SIGKERNEL_INLINE bool none_is_finite(Pack<T, W> pack) {
  for (int lane = 0; lane < W; ++lane)
    if (pack[lane] - pack[lane] == 0) return false;
  return true;
}

// Whether a is above b in some lane.
template <class T, int W>
SIGKERNEL_INLINE bool any_above(Pack<T, W> a, Pack<T, W> b) {
  constexpr int kWords = W * static_cast<int>(sizeof(T)) / 8;
  const auto above = reinterpret_cast<typename Pack<int64_t, kWords>::Register>(b.value < a.value);
  int64_t any = 0;
  for (int n = 0; n < kWords; ++n) any |= above[n];
  return any != 0;
}

// Every number moves one lane up; `first` enters the first lane.
template <class T, int W>
SIGKERNEL_INLINE Pack<T, W> shift_in(Pack<T, W> pack, T first) {
  using Index = Pack<std::conditional_t<sizeof(T) == 8, int64_t, int32_t>, W>;
  typename Index::Register from;
  for (int lane = 0; lane < W; ++lane) from[lane] = lane == 0 ? W : lane - 1;
  return __builtin_shuffle(pack.value, Pack<T, W>(first).value, from);
}

// The last lane's number comes first.
template <class T, int W>
SIGKERNEL_INLINE Pack<T, W> reversed(Pack<T, W> pack) {
  using Index = Pack<std::conditional_t<sizeof(T) == 8, int64_t, int32_t>, W>;
  typename Index::Register from;
  for (int lane = 0; lane < W; ++lane) from[lane] = W - 1 - lane;
  return __builtin_shuffle(pack.value, from);
}

// rows[a] lane b becomes rows[b] lane a, by log2(W) rounds in which the first half is interleaved with the second.
template <class T, int W>
SIGKERNEL_INLINE void transpose(Pack<T, W> (&rows)[W]) {
  using Index = typename Pack<std::conditional_t<sizeof(T) == 8, int64_t, int32_t>, W>::Register;
  Index low, high;
  for (int lane = 0; lane < W; ++lane) {
    low[lane] = lane / 2 + lane % 2 * W;
    high[lane] = low[lane] + W / 2;
  }
  SIGKERNEL_UNROLL for (int round = 1; round < W; round *= 2) {
    Pack<T, W> mixed[W];
    SIGKERNEL_UNROLL for (int a = 0; a < W / 2; ++a) {
      mixed[2 * a] = __builtin_shuffle(rows[a].value, rows[a + W / 2].value, low);
      mixed[2 * a + 1] = __builtin_shuffle(rows[a].value, rows[a + W / 2].value, high);
    }
    SIGKERNEL_UNROLL for (int a = 0; a < W; ++a) rows[a] = mixed[a];
  }
}

// How a register's numbers are made of bits, unsigned, for they may wrap. A whole number n plus kShift has n in its last
// bits.
template <class T, int W>
struct BitsOf {
  using Register = typename Pack<std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>, W>::Register;
  static constexpr int kMantissa = sizeof(T) == 8 ? 52 : 23, kBias = sizeof(T) == 8 ? 1023 : 127;
  static constexpr double kShift = 1.5 * static_cast<double>(int64_t{1} << kMantissa);

  SIGKERNEL_INLINE static Register of(Pack<T, W> x) { return reinterpret_cast<Register>(x.value); }
  SIGKERNEL_INLINE static Pack<T, W> number(Register bits) {
    return reinterpret_cast<typename Pack<T, W>::Register>(bits);
  }
  // 2^n of n + kShift.
  SIGKERNEL_INLINE static Pack<T, W> power_of_two(Pack<T, W> shifted) {
    return number((of(shifted) << kMantissa) + of(Pack<T, W>(1)));
  }
};

// 2^n of a whole number n; 0 where that would be denormal, and the largest power where it would be infinite.
template <class T, int W>
SIGKERNEL_INLINE Pack<T, W> power_of_two(Pack<T, W> n) {
  using Bits = BitsOf<T, W>;
  const Pack<T, W> bounded = max(min(n, Pack<T, W>(Bits::kBias)), Pack<T, W>(-Bits::kBias));
  return Bits::power_of_two(bounded + Pack<T, W>(Bits::kShift));
}

// The n for which |x| is at least 2^n and below 2^(n + 1). x must be neither 0 nor denormal.
template <class T, int W>
SIGKERNEL_INLINE Pack<T, W> binary_exponent(Pack<T, W> x) {
  using Bits = BitsOf<T, W>;
  const auto biased = Bits::of(abs(x)) >> Bits::kMantissa;
  return Bits::number(biased + Bits::of(Pack<T, W>(Bits::kShift))) - Pack<T, W>(Bits::kShift + Bits::kBias);
}

// The square root of numbers that are not negative.
template <class T, int W>
SIGKERNEL_INLINE Pack<T, W> root(Pack<T, W> x) {
  T numbers[W];
  __builtin_memcpy(numbers, &x, sizeof(x));
  for (int lane = 0; lane < W; ++lane)
    numbers[lane] = sizeof(T) == 8 ? T(__builtin_sqrt(numbers[lane])) : T(__builtin_sqrtf(numbers[lane]));
  __builtin_memcpy(&x, numbers, sizeof(x));
  return x;
}

// e^x to an ulp or two for x <= 0; what would be denormal is 0. As 2^n e^f, |f| <= ln 2 / 2, by e^f's Taylor polynomial.
template <class T, int W>
SIGKERNEL_INLINE Pack<T, W> exp_of_negative(Pack<T, W> x) {
  using V = Pack<T, W>;
  using Bits = BitsOf<T, W>;
  constexpr int kTerms = sizeof(T) == 8 ? 13 : 7;
  constexpr double kSmallest = sizeof(T) == 8 ? -708.0 : -87.0;
  // ln 2 in two parts: products of the first with n are exact.
  constexpr double kHigh = sizeof(T) == 8 ? 0x1.62e42fee00000p-1 : 0x1.63p-1;
  constexpr double kLow = sizeof(T) == 8 ? 0x1.a39ef35793c76p-33 : -0x1.bd0105c610ca8p-13;
  const V clamped = max(x, V(kSmallest));
  const V shifted = clamped * V(1.4426950408889634074) + V(Bits::kShift);  // which rounds to a whole number
  const V n = shifted - V(Bits::kShift);
  const V f = clamped - n * V(kHigh) - n * V(kLow);
  constexpr InverseFactorials<kTerms> inverse{};
  V sum(inverse.value[kTerms]);
  SIGKERNEL_UNROLL for (int k = kTerms - 1; k >= 0; --k) sum = V(inverse.value[k]) + sum * f;
  return x.value < V(kSmallest).value ? V(0).value : (sum * Bits::power_of_two(shifted)).value;
}

}  // namespace sigkernel
