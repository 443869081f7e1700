// A kernel with everything that can go wrong: a tile in shared memory, barriers of block and warp, a counter between
// blocks, sums. FAULT 0 is right; each other number plants one mistake that the emulation must catch.
#include <cuda_runtime.h>

#include <cstdio>
#include <vector>

#include "core/device/launch.cuh"

using namespace sigkernel;

#ifndef FAULT
#define FAULT 0
#endif

namespace {

constexpr int kThreads = 64;

// Block b adds its reversed input to what block b - 1 left, and warps rotate their values.
__global__ void relay_kernel(const float* input, int count, float* relay, int32_t* counter, float* total, float* output) {
  SIGKERNEL_SHARED_MEMORY(memory);
  float* tile = reinterpret_cast<float*>(memory);
  const int thread = threadIdx.x, block = blockIdx.x, lane = thread % kWarp;
  const int last = FAULT == 3 ? count : count - 1;  // FAULT 3: one beyond the end
  tile[thread] = input[block * kThreads + thread <= last ? block * kThreads + thread : last];
  if (FAULT == 3 && block == 1 && thread == 0) tile[0] = input[count];
#if FAULT != 1
  __syncthreads();
#endif
  float value = tile[kThreads - 1 - thread];
  __syncthreads();
  tile[thread] = value;
#if FAULT != 2
  __syncwarp();
#endif
  value += tile[thread / kWarp * kWarp + (lane + 1) % kWarp];
#if FAULT == 6
  if (thread < 40) __syncthreads();
#endif
  if (block > 0) wait_for_counter(counter + (block - 1) * 2 + thread / kWarp, 1);
  value += block > 0 ? relay[thread] : 0.0f;
#if FAULT == 5
  raise_counter(counter + block * 2 + thread / kWarp, 1, lane);
  relay[thread] = value;
#else
  relay[thread] = value;
  raise_counter(counter + block * 2 + thread / kWarp, 1, lane);
#endif
  output[block * kThreads + thread] = value;
#if FAULT == 4
  *total += 1.0f;
#else
  atomicAdd(total, 1.0f);
#endif
#if FAULT == 7
  if (lane < 16) value += __shfl_up_sync(~0u, value, 1);  // half the lanes stay away
  output[block * kThreads + thread] = value;
#endif
}

}  // namespace

int main() {
  constexpr int kBlocks = 3, kCount = kBlocks * kThreads;
  float *input, *relay, *total, *output;
  int32_t* counter;
  cudaMalloc(&input, kCount * sizeof(float));
  cudaMalloc(&relay, kThreads * sizeof(float));
  cudaMalloc(&total, sizeof(float));
  cudaMalloc(&output, kCount * sizeof(float));
  cudaMalloc(&counter, 2 * kBlocks * sizeof(int32_t));
  std::vector<float> values(kCount);
  for (int n = 0; n < kCount; ++n) values[n] = static_cast<float>(n * 37 % 101);
  cudaMemcpyAsync(input, values.data(), kCount * sizeof(float), cudaMemcpyHostToDevice, nullptr);
  cudaMemsetAsync(counter, 0, 2 * kBlocks * sizeof(int32_t), nullptr);
  cudaMemsetAsync(total, 0, sizeof(float), nullptr);
  CudaDevice device;
  const std::size_t shared = (FAULT == 8 ? kThreads / 2 : kThreads) * sizeof(float);  // FAULT 8: too little
  launch("relay_kernel", relay_kernel, kBlocks, kThreads, shared, device, input, kCount, relay, counter, total, output);
  std::vector<float> expected(kCount), before(kThreads, 0.0f);
  for (int block = 0; block < kBlocks; ++block)
    for (int thread = 0; thread < kThreads; ++thread) {
      const int next = thread / kWarp * kWarp + (thread % kWarp + 1) % kWarp;
      const float* tile = values.data() + block * kThreads;
      before[thread] += tile[kThreads - 1 - thread] + tile[kThreads - 1 - next];
      expected[block * kThreads + thread] = before[thread];
    }
  bool is_right = *total == kCount;
  for (int n = 0; n < kCount; ++n) is_right &= output[n] == expected[n];
  for (void* memory : {static_cast<void*>(input), static_cast<void*>(relay), static_cast<void*>(total), static_cast<void*>(output), static_cast<void*>(counter)}) cudaFree(memory);
  std::printf(is_right ? "all went well\n" : "wrong result\n");
  return is_right ? 0 : 1;
}
