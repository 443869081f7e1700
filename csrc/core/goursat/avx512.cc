// The solver's inner kernels for registers of 64 bytes.

#include "core/goursat/instruction_sets.h"
#include "core/goursat/lanes_kernels.h"

namespace sigkernel {

const LaneKernels<float> kAvx512Float = make_lane_kernels<float, 16>("avx512");
const LaneKernels<double> kAvx512Double = make_lane_kernels<double, 8>("avx512");

}  // namespace sigkernel
