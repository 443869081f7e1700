// The solver's inner kernels for registers of 64 bytes.

#include "core/goursat_instruction_sets.h"
#include "core/goursat_lanes_kernels.h"

namespace sigkernel {

const LaneKernels<float> kAvx512Float = make_lane_kernels<float, 16>("avx512");
const LaneKernels<double> kAvx512Double = make_lane_kernels<double, 8>("avx512");

}  // namespace sigkernel
