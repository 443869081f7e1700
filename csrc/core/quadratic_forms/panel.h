// The inner kernel of products of matrices: a tile of them in registers. Compiled once for each instruction set
// (panel_avx512.cc and its like), chosen at run time.
#pragma once

#include <cstdint>

namespace sigkernel {

constexpr int kPanelRows = 10;  // with as many registers for the tile, and few left over

template <class T>
struct PanelKernels {
  const char* name;
  int columns;  // of a tile
  // Adds to c, kPanelRows rows of `columns` numbers, the product of a, packed [steps][kPanelRows], and b, of `steps`
  // rows: c_rj += sum_k a_kr b_kj.
  void (*multiply)(int64_t steps, const T* a, const T* b, int64_t b_stride, T* c, int64_t c_stride);
};

// The best for this machine, or what SIGKERNEL_TF_SIMD asks for: see instruction_sets.h.
template <class T>
const PanelKernels<T>& panel_kernels();

extern const PanelKernels<float> kAvx512FloatPanel, kAvx2FloatPanel, kBaselineFloatPanel;
extern const PanelKernels<double> kAvx512DoublePanel, kAvx2DoublePanel, kBaselineDoublePanel;

}  // namespace sigkernel
