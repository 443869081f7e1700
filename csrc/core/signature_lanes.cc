#include "core/signature_lanes.h"

#include "core/instruction_sets.h"
#include "core/signature_instruction_sets.h"

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
