// The solver's inner kernels for registers of 16 bytes.

#include "core/goursat/instruction_sets.h"
#include "core/goursat/lanes_kernels.h"

namespace sigkernel {

const LaneKernels<float> kBaselineFloat = make_lane_kernels<float, 4>("baseline");
const LaneKernels<double> kBaselineDouble = make_lane_kernels<double, 2>("baseline");

}  // namespace sigkernel
