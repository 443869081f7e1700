// The solver's inner kernels for registers of 32 bytes.

#include "core/goursat/instruction_sets.h"
#include "core/goursat/lanes_kernels.h"

namespace sigkernel {

const LaneKernels<float> kAvx2Float = make_lane_kernels<float, 8>("avx2");
const LaneKernels<double> kAvx2Double = make_lane_kernels<double, 4>("avx2");

}  // namespace sigkernel
