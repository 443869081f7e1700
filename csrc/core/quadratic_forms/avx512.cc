// The inner kernel of products of matrices for registers of 64 bytes.

#include "core/quadratic_forms/panel_tile.h"

namespace sigkernel {

const PanelKernels<float> kAvx512FloatPanel = make_panel_kernels<float, 16>("avx512");
const PanelKernels<double> kAvx512DoublePanel = make_panel_kernels<double, 8>("avx512");

}  // namespace sigkernel
