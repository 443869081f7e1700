// The tables that goursat_avx512.cc, goursat_avx2.cc and goursat_baseline.cc define, each compiled for its instruction set.
#pragma once

#include "core/goursat/lanes.h"

namespace sigkernel {

extern const LaneKernels<float> kAvx512Float, kAvx2Float, kBaselineFloat;
extern const LaneKernels<double> kAvx512Double, kAvx2Double, kBaselineDouble;

}  // namespace sigkernel
