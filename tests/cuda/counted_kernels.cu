// The kernels whose instructions test_instructions.py counts, and no others, so that nvcc takes seconds.
#include "core/goursat/cuda/backward.cuh"

namespace sigkernel {

#define SIGKERNEL_COUNT(T)                                                                               \
  template __global__ void forward_kernel<FiniteDifference, T, 4, 2>(ForwardArguments<T>);               \
  template __global__ void forward_kernel<FiniteDifference, T, 4, 8>(ForwardArguments<T>);               \
  template __global__ void backward_kernel<Adjoint<FiniteDifference>, T, 4, 2>(BackwardArguments<T>);    \
  template __global__ void forward_kernel<PowerSeries<8>, T, 1, 0>(ForwardArguments<T>);                 \
  template __global__ void forward_kernel<LineRanges, T, 4, 0>(ForwardArguments<T>);
SIGKERNEL_GPU_NUMBERS(SIGKERNEL_COUNT)

}  // namespace sigkernel
