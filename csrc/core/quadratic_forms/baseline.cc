// The inner kernel of products of matrices for registers of 16 bytes, which every x86-64 has.

#include "core/quadratic_forms/panel_tile.h"

namespace sigkernel {

const PanelKernels<float> kBaselineFloatPanel = make_panel_kernels<float, 4>("baseline");
const PanelKernels<double> kBaselineDoublePanel = make_panel_kernels<double, 2>("baseline");

}  // namespace sigkernel
