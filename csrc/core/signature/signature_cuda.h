// The truncated signature on a GPU: the functions of signature.h, for paths and results in its memory. Plain C++; nothing
// here waits for the GPU. What overflows is infinite or NaN.
#pragma once

#include "core/device/cuda_device.h"
#include "core/signature/signature.h"

namespace sigkernel {

template <class T>
void signature_cuda(const SignatureProblem<T>& problem, const CudaDevice& device, T* result);

template <class T>
void signature_backward_cuda(const SignatureProblem<T>& problem, const CudaDevice& device, const T* result,
                             const T* upstream, T* d_paths);

}  // namespace sigkernel
