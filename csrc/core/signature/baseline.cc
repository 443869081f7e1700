// The signature's inner kernels for registers of 16 bytes.

#include "core/signature/instruction_sets.h"
#include "core/signature/lanes_kernels.h"

namespace sigkernel {

const SignatureKernels<float> kBaselineFloatSignature = make_signature_kernels<float, 4>("baseline");
const SignatureKernels<double> kBaselineDoubleSignature = make_signature_kernels<double, 2>("baseline");

}  // namespace sigkernel
