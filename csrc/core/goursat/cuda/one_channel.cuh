// The functions of goursat_cuda.h for paths of one channel, ../one_channel.h.
#pragma once

#include "core/device/launch.cuh"
#include "core/goursat/one_channel.h"

namespace sigkernel {

// A thread for each pair.
template <class T>
__global__ void one_channel_kernel(OneChannel<T> ends, int64_t pairs, T* k, Plan* plan) {
  for (int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; n < pairs; n += int64_t{gridDim.x} * blockDim.x)
    k[n] = ends.kernel(n, plan + n);
}

// A thread for each path. dX, dY: hold zeros.
template <class T>
__global__ void one_channel_gradient_kernel(OneChannel<T> ends, const Plan* plan, const T* upstream, T* dX, T* dY) {
  const int64_t paths = ends.paths();
  for (int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; n < paths; n += int64_t{gridDim.x} * blockDim.x)
    ends.write_gradient(n, plan, upstream, dX, dY);
}

template <class T>
void one_channel_forward_cuda(const KernelProblem<T>& problem, const CudaDevice& device, T* k, Plan* plan) {
  launch("one_channel_kernel", one_channel_kernel<T>, blocks_for(problem.pairs(), device), kBlockThreads, 0, device,
         OneChannel<T>(problem), problem.pairs(), k, plan);
}

template <class T>
void one_channel_backward_cuda(const KernelProblem<T>& problem, const CudaDevice& device, const Plan* plan,
                               const T* upstream, T* dX, T* dY) {
  const OneChannel<T> ends(problem);
  launch("one_channel_gradient_kernel", one_channel_gradient_kernel<T>, blocks_for(ends.paths(), device), kBlockThreads, 0,
         device, ends, plan, upstream, dX, dY);
}

}  // namespace sigkernel
