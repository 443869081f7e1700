// The inner kernel of products of matrices for registers of 32 bytes.

#include "core/quadratic_forms/panel_tile.h"

namespace sigkernel {

const PanelKernels<float> kAvx2FloatPanel = make_panel_kernels<float, 8>("avx2");
const PanelKernels<double> kAvx2DoublePanel = make_panel_kernels<double, 4>("avx2");

}  // namespace sigkernel
