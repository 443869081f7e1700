// The signature's inner kernels for registers of 64 bytes.

#include "core/signature/instruction_sets.h"
#include "core/signature/lanes_kernels.h"

namespace sigkernel {

const SignatureKernels<float> kAvx512FloatSignature = make_signature_kernels<float, 16>("avx512");
const SignatureKernels<double> kAvx512DoubleSignature = make_signature_kernels<double, 8>("avx512");

}  // namespace sigkernel
