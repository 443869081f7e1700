// How a sweep goes on far beyond the largest number of its type. Edges are kept as numbers times a power of two: one
// exponent for all edges along one side of a tile, in each lane. Where a tile starts, its two sides are brought to one
// exponent, by which the largest of their coefficients is about 1. One exponent for a whole row of tiles would not do:
// along a row U grows from 1 by so much that its beginning would vanish, and errors there weigh as much as at its end.
// For the files that are compiled for an instruction set: it includes nothing of the standard library.
#pragma once

#include "core/simd/dual_numbers.h"
#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

constexpr double kNoExponent = -(1 << 22);  // of edges that are 0; float counts to 2^24

// Edges along one side of a tile, `count` coefficients, and where their exponent is.
template <class V>
struct Side {
  V* edges;
  int64_t count;
  V* exponent;
};

template <class V>
SIGKERNEL_INLINE V own_exponent(const Side<V>& side) {
  V largest(0);
  for (int64_t i = 0; i < side.count; ++i) largest = max(largest, abs(side.edges[i]));
  const V exponent = *side.exponent + binary_exponent(largest);
  return largest.value > V(0).value ? exponent.value : V(kNoExponent).value;
}

template <class V>
SIGKERNEL_INLINE void set_exponent(const Side<V>& side, V exponent) {
  const V factor = power_of_two(*side.exponent - exponent);
  for (int64_t i = 0; i < side.count; ++i) side.edges[i] *= factor;
  *side.exponent = exponent;
}

// Brings both sides to one exponent. What is so much smaller than the largest coefficient that it vanishes is lost.
template <class T, int W>
SIGKERNEL_NOINLINE void share_exponent(const Side<Pack<T, W>>& first, const Side<Pack<T, W>>& second) {
  const Pack<T, W> exponent = max(own_exponent(first), own_exponent(second));
  set_exponent(first, exponent);
  set_exponent(second, exponent);
}

// Dual numbers are not swept in extended range.
template <class V>
void share_exponent(const Side<Dual<V>>&, const Side<Dual<V>>&) {}

// The power of two in whose units an inspection counts: that of the largest edges so far.
template <class V>
class InspectionUnit {
 public:
  // dropped: what is still to be told to the inspection, `count` numbers.
  template <class Inspect>
  void raise(V exponent, Inspect& inspection, V* dropped, int64_t count) {
    exponent = max(exponent_, exponent);
    const V factor = power_of_two(exponent_ - exponent);
    inspection.scale *= factor;
    inspection.amplitude *= factor;
    inspection.tail *= factor;
    inspection.terms *= factor;
    for (int64_t i = 0; i < count; ++i) dropped[i] *= factor;
    exponent_ = exponent;
  }

  // By how much edges with this exponent count, once the unit is large enough for them.
  template <class Inspect>
  V of_edges(V exponent, Inspect& inspection, V* dropped, int64_t count) {
    raise(exponent, inspection, dropped, count);
    return power_of_two(exponent - exponent_);
  }

  // An edge in this unit.
  template <int kSize>
  void convert(const V* edge, V exponent, V (&converted)[kSize]) const {
    for (int k = 0; k < kSize; ++k) converted[k] = edge[k] * power_of_two(exponent - exponent_);
  }

 private:
  V exponent_{0.0};
};

}  // namespace
}  // namespace sigkernel
