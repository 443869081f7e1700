// The tables that signature_avx512.cc, signature_avx2.cc and signature_baseline.cc define, each compiled for its
// instruction set.
#pragma once

#include "core/signature/lanes.h"

namespace sigkernel {

extern const SignatureKernels<float> kAvx512FloatSignature, kAvx2FloatSignature, kBaselineFloatSignature;
extern const SignatureKernels<double> kAvx512DoubleSignature, kAvx2DoubleSignature, kBaselineDoubleSignature;

}  // namespace sigkernel
