// The fastest that a GPU multiplies and adds, for comparison with what the solver reaches.
#pragma once

#include <cstdint>

#include "core/device/cuda_device.h"

namespace sigkernel {

// Launches blocks of 256 threads, each of which takes so many steps of kPeakChains multiply-adds that do not wait for each other.
// out: [blocks * 256], overwritten, so that nothing is left out.
constexpr int kPeakThreads = 256, kPeakChains = 16;
template <class T>
void multiply_add_peak(int64_t blocks, int64_t steps, const CudaDevice& device, T* out);

}  // namespace sigkernel
