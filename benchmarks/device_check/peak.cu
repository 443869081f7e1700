#include "peak.h"

#include "core/device/launch.cuh"

namespace sigkernel {
namespace {

template <class T>
__global__ void peak_kernel(int64_t steps, T factor, T* out) {
  T sums[kPeakChains];
  for (int n = 0; n < kPeakChains; ++n) sums[n] = T(threadIdx.x + n);
  for (int64_t step = 0; step < steps; ++step)
    for (int n = 0; n < kPeakChains; ++n) sums[n] = sums[n] * factor + T(1);
  T sum = 0;
  for (int n = 0; n < kPeakChains; ++n) sum += sums[n];
  out[blockIdx.x * int64_t{blockDim.x} + threadIdx.x] = sum;
}

}  // namespace

template <class T>
void multiply_add_peak(int64_t blocks, int64_t steps, const CudaDevice& device, T* out) {
  launch("peak_kernel", peak_kernel<T>, blocks, kPeakThreads, 0, device, steps, T(0.5), out);
}
template void multiply_add_peak<float>(int64_t, int64_t, const CudaDevice&, float*);
template void multiply_add_peak<double>(int64_t, int64_t, const CudaDevice&, double*);

}  // namespace sigkernel
