#include "core/signature/lanes.h"

#include "core/simd/dispatch.h"
#include "core/signature/instruction_sets.h"

namespace sigkernel {

template <>
const SignatureKernels<float>& signature_kernels<float>() {
  return choose_kernels(kAvx512FloatSignature, kAvx2FloatSignature, kBaselineFloatSignature);
}

template <>
const SignatureKernels<double>& signature_kernels<double>() {
  return choose_kernels(kAvx512DoubleSignature, kAvx2DoubleSignature, kBaselineDoubleSignature);
}

}  // namespace sigkernel
