// What PanelKernels points to, for the instruction set that the including file is compiled for.
#pragma once

#include "core/quadratic_forms/panel.h"
#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

template <class T, int W>
void multiply_panel(int64_t steps, const T* a, const T* b, int64_t b_stride, T* c, int64_t c_stride) {
  using V = Pack<T, W>;
  V tile[kPanelRows];
  SIGKERNEL_UNROLL for (int r = 0; r < kPanelRows; ++r) __builtin_memcpy(&tile[r], c + r * c_stride, sizeof(V));
  for (int64_t k = 0; k < steps; ++k, a += kPanelRows, b += b_stride) {
    V row;
    __builtin_memcpy(&row, b, sizeof(V));
    SIGKERNEL_UNROLL for (int r = 0; r < kPanelRows; ++r) tile[r] += a[r] * row.value;
  }
  SIGKERNEL_UNROLL for (int r = 0; r < kPanelRows; ++r) __builtin_memcpy(c + r * c_stride, &tile[r], sizeof(V));
}

template <class T, int W>
constexpr PanelKernels<T> make_panel_kernels(const char* name) {
  return {name, W, &multiply_panel<T, W>};
}

}  // namespace
}  // namespace sigkernel
