// The inner loop of products of matrices: a tile of the product stays in registers. simd/instruction_set.cc compiles it
// once for each instruction set, and one set is chosen at run time.
#pragma once

#include <cstdint>

namespace sigkernel {

constexpr int kPanelRows = 10;  // the tile takes as many registers, and few are left over

template <class T>
struct PanelLoops {
  int columns;  // of a tile
  // Adds to c, kPanelRows rows of `columns` numbers, the product of a, packed [steps][kPanelRows], and b, of `steps`
  // rows: c_rj += sum_k a_kr b_kj.
  void (*multiply)(int64_t steps, const T* a, const T* b, int64_t b_stride, T* c, int64_t c_stride);
};

// Those of the instruction set that simd/dispatch.cc chooses.
template <class T>
const PanelLoops<T>& panel_loops();

}  // namespace sigkernel
