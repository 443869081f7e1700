// The signature's inner kernels for registers of 32 bytes.

#include "core/signature/instruction_sets.h"
#include "core/signature/lanes_kernels.h"

namespace sigkernel {

const SignatureKernels<float> kAvx2FloatSignature = make_signature_kernels<float, 8>("avx2");
const SignatureKernels<double> kAvx2DoubleSignature = make_signature_kernels<double, 4>("avx2");

}  // namespace sigkernel
