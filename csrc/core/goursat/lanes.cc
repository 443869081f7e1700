#include "core/goursat/lanes.h"

#include "core/goursat/instruction_sets.h"
#include "core/simd/dispatch.h"

namespace sigkernel {

template <>
const LaneKernels<float>& lane_kernels<float>() {
  return choose_kernels(kAvx512Float, kAvx2Float, kBaselineFloat);
}

template <>
const LaneKernels<double>& lane_kernels<double>() {
  return choose_kernels(kAvx512Double, kAvx2Double, kBaselineDouble);
}

}  // namespace sigkernel
