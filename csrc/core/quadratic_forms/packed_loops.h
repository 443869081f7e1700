// The functions of PanelLoops (loops.h) over SIMD packs, for the instruction set that the including file is compiled
// for.
#pragma once

#include "core/quadratic_forms/loops.h"
#include "core/simd/pack.h"
#include "core/simd/registers.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

template <class T, int W>
void multiply_panel(int64_t steps, const T* a, const T* b, int64_t b_stride, T* c, int64_t c_stride) {
  using V = Pack<T, W>;
  V tile[kPanelRows];
  SIGKERNEL_UNROLL for (int r = 0; r < kPanelRows; ++r) tile[r] = load<V>(c + r * c_stride);
  for (int64_t k = 0; k < steps; ++k, a += kPanelRows, b += b_stride) {
    const V row = load<V>(b);
    SIGKERNEL_UNROLL for (int r = 0; r < kPanelRows; ++r) tile[r] += a[r] * row.value;
  }
  SIGKERNEL_UNROLL for (int r = 0; r < kPanelRows; ++r) store(tile[r], c + r * c_stride);
}

template <class T, int W>
constexpr PanelLoops<T> make_panel_loops() {
  return {W, &multiply_panel<T, W>};
}

}  // namespace
}  // namespace sigkernel
