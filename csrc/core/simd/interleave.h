// Numbers of several problems, each an array of its own, to registers with one lane for each problem, and back.
#pragma once

#include <cstdint>

#include "core/simd/pack.h"
#include "core/simd/registers.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// The first `count` numbers that source.template get<L>(lane, n) reads of each lane, L of them at once, side by side.
template <class T, class V, class Source>
void interleave(const Source& source, int64_t count, V* to) {
  constexpr int kLanes = LanesOf<V>::kCount;
  int64_t n = 0;
  if constexpr (kLanes > 1) {
    for (; n + kLanes <= count; n += kLanes) {
      V rows[kLanes];
      SIGKERNEL_UNROLL for (int lane = 0; lane < kLanes; ++lane) rows[lane] = source.template get<V>(lane, n);
      transpose(rows);
      SIGKERNEL_UNROLL for (int lane = 0; lane < kLanes; ++lane) to[n + lane] = rows[lane];
    }
  }
  for (; n < count; ++n)
    for (int lane = 0; lane < kLanes; ++lane) set_lane(to[n], lane, source.template get<T>(lane, n));
}

// Writes from[n] lane by lane to to[lane][n], n < count, for the first `lanes` of them.
template <class T, class V>
void deal(const V* from, int64_t count, int lanes, T* const* to, int64_t at) {
  constexpr int kLanes = LanesOf<V>::kCount;
  int64_t n = 0;
  if constexpr (kLanes > 1) {
    for (; n + kLanes <= count; n += kLanes) {
      V rows[kLanes];
      SIGKERNEL_UNROLL for (int lane = 0; lane < kLanes; ++lane) rows[lane] = from[n + lane];
      transpose(rows);
      for (int lane = 0; lane < lanes; ++lane) store(rows[lane], to[lane] + at + n);
    }
  }
  for (; n < count; ++n)
    for (int lane = 0; lane < lanes; ++lane) to[lane][at + n] = get_lane(from[n], lane);
}

template <class T>
struct Numbers {
  const T* const* from;
  int64_t at;

  template <class L>
  SIGKERNEL_INLINE L get(int lane, int64_t n) const {
    return load<L>(from[lane] + at + n);
  }
};

template <class T>
struct Differences {
  const T* const* from;
  int64_t at, apart;

  template <class L>
  SIGKERNEL_INLINE L get(int lane, int64_t n) const {
    const T* x = from[lane] + at + n;
    return load<L>(x + apart) - load<L>(x);
  }
};

}  // namespace
}  // namespace sigkernel
