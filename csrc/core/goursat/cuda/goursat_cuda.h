// The solver on a GPU: the functions of goursat.h, for paths and results in its memory. Plain C++; what computes does not wait
// for the GPU. A kernel that cannot be solved is NaN, and its plan says why.
#pragma once

#include <vector>

#include "core/device/cuda_device.h"
#include "core/goursat/goursat.h"

namespace sigkernel {

// As signature_kernel and its kin on the CPU; pointers are the device's. `variance` takes the place of problem.variance:
// one number on the device.
template <class T>
void signature_kernel_cuda(const KernelProblem<T>& problem, const T* variance, const CudaDevice& device, T* k, Plan* plan);

template <class T>
void signature_kernel_directional_cuda(const KernelProblem<T>& problem, const T* variance, const T* direction,
                                       const CudaDevice& device, T* k, T* tangent, Plan* plan);

template <class T>
void signature_kernel_backward_cuda(const KernelProblem<T>& problem, const T* variance, const CudaDevice& device,
                                    const Plan* plan, const T* upstream, T* dX, T* dY, T* d_variance);

template <class T>
void solve_goursat_cuda(const GoursatProblem<T>& problem, const CudaDevice& device, T* k, Plan* plan);

template <class T>
void solve_goursat_backward_cuda(const GoursatProblem<T>& problem, const CudaDevice& device, const Plan* plan,
                                 const T* upstream, T* d_increments);

// The following two wait for the GPU.

// Numbers on the device.
template <class N>
std::vector<N> read_cuda(const N* values, int64_t count, const CudaDevice& device);

// The first of `count` numbers on the device that is NaN or infinite, or -1.
template <class T>
int64_t first_not_finite_cuda(const T* values, int64_t count, const CudaDevice& device);

}  // namespace sigkernel
