// CUDA C++ on the host, as far as our kernels use it: their own source, compiled by g++, runs thread by thread.
//
// Each thread of a block is a fiber; several blocks are resident at once, and between points of synchronisation the
// scheduler picks the next fiber in an order that EMULATION_ORDER sets: 0 ascending, -1 descending, else the seed of a
// random one. EMULATION_BLOCKS: how many blocks are resident. What it finds wrong (a barrier that not all threads reach, a
// write behind the shared memory asked for, a launch that a GPU would refuse) ends the program with code 3.
// EMULATION_DRIVER: how new the emulated driver is.
// EMULATION_LAUNCHED: a file for the addresses of the kernels that were launched, one a line. Under
// -fsanitize=address the fibers' stacks and the shared memory are known to it; race_check.cc adds a check for races.
// Nothing here says anything about speed.
#pragma once

#define SIGKERNEL_CUDA_EMULATION 1

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// The emulation's own reads and writes are no part of the program that the race check looks at.
#define EMULATION_ASIDE __attribute__((no_sanitize("thread"), noinline))

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
constexpr int warpSize = 32;

using cudaStream_t = struct CUstream_st*;
#define CUDART_VERSION 13000
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorUnsupportedPtxVersion = 222
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
struct cudaLaunchAttribute;
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

namespace emulation {

constexpr size_t kSharedAtMost = 64 << 10, kSharedUnasked = 48 << 10, kGuard = 256;
constexpr int kWarpLanes = 32;

enum class Waits { kNot, kForBlock, kForWarp, kSpinning, kDone };
enum class Collective { kSyncWarp, kUp, kDown, kXor, kIndex, kBallot };

struct Block;

struct Fiber {
  ucontext_t context;
  jmp_buf jump;
  char* stack = nullptr;
  void* fake_stack = nullptr;
  bool started = false;
  Waits waits = Waits::kNot;
  Block* block = nullptr;
  int id = 0, lane = 0, warp = 0;
  unsigned mask = 0;
  Collective collective = Collective::kSyncWarp;
  int argument = 0, width = kWarpLanes, predicate = 0;
  uint64_t value = 0, result = 0;
};

struct Block {
  uint3 index{};
  unsigned number = 0;  // of the grid's blocks
  std::vector<Fiber> fibers;
  std::vector<unsigned char> memory;
  unsigned char* shared = nullptr;
  int alive = 0, at_barrier = 0, count = 0;
};

// What the race check is told; it fills these in.
struct Observer {
  void (*launch)(unsigned blocks, unsigned threads) = nullptr;
  void (*block_started)(const Block& block) = nullptr;
  void (*block_barrier)(const Block& block) = nullptr;
  void (*warp_barrier)(const Block& block, int warp, unsigned mask) = nullptr;
  void (*raised)(const int32_t* counter) = nullptr;
  void (*waited)(const int32_t* counter) = nullptr;
};
inline Observer observer;

inline Fiber* current = nullptr;
inline ucontext_t scheduler_context;
inline jmp_buf scheduler_jump;
inline void* scheduler_fake_stack = nullptr;
inline const void* scheduler_stack = nullptr;
inline size_t scheduler_stack_size = 0, stack_size = 0, shared_bytes = 0;
inline std::function<void()>* body = nullptr;
inline std::vector<Fiber*> ready;
inline std::vector<Fiber*> spinning;
inline std::vector<std::unique_ptr<char, decltype(&free)>> stacks;
inline std::map<char*, size_t> allocations;
inline std::map<const void*, int> opted_in;
inline struct Launched {
  std::set<const void*> kernels;
  ~Launched() {
    const char* const path = getenv("EMULATION_LAUNCHED");
    FILE* const file = path == nullptr ? nullptr : std::fopen(path, "a");
    if (file == nullptr) return;
    for (const void* kernel : kernels) std::fprintf(file, "%p\n", kernel);
    std::fclose(file);
  }
} launched;
inline std::vector<Block>* resident = nullptr;

inline long setting(const char* name, long otherwise) {
  const char* value = getenv(name);
  return value == nullptr ? otherwise : atol(value);
}

[[noreturn]] inline void fail(const std::string& what) {
  std::printf("emulation: %s\n", what.c_str());
  if (resident != nullptr) {
    static const char* const names[] = {"ready", "__syncthreads", "a warp's collective", "a counter", "exited"};
    int shown = 0;
    for (const Block& block : *resident)
      for (const Fiber& fiber : block.fibers)
        if (shown++ < 40) std::printf("  block %u thread %d: %s\n", block.number, fiber.id, names[int(fiber.waits)]);
  }
  std::fflush(stdout);
  _Exit(3);
}

// ---- Fibers ----------------------------------------------------------------------------------------------------------
#if defined(__SANITIZE_ADDRESS__)
EMULATION_ASIDE inline void yield() {
  Fiber* fiber = current;
  __sanitizer_start_switch_fiber(fiber->waits == Waits::kDone ? nullptr : &fiber->fake_stack, scheduler_stack, scheduler_stack_size);
  swapcontext(&fiber->context, &scheduler_context);
  __sanitizer_finish_switch_fiber(fiber->fake_stack, &scheduler_stack, &scheduler_stack_size);
}
inline void enter() {
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_size);
  (*body)();
  current->waits = Waits::kDone;
  yield();
}
inline void resume(Fiber& fiber) {
  __sanitizer_start_switch_fiber(&scheduler_fake_stack, fiber.stack, stack_size);
  swapcontext(&scheduler_context, &fiber.context);
  __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
}
#else  // jumps need no system call, as swapcontext does
EMULATION_ASIDE inline void yield() {
  if (_setjmp(current->jump) == 0) _longjmp(scheduler_jump, 1);
}
EMULATION_ASIDE inline void enter() {
  (*body)();
  current->waits = Waits::kDone;
  _longjmp(scheduler_jump, 1);
}
EMULATION_ASIDE inline void resume(Fiber& fiber) {
  if (_setjmp(scheduler_jump) != 0) return;
  if (fiber.started) _longjmp(fiber.jump, 1);
  fiber.started = true;
  setcontext(&fiber.context);
}
#endif

EMULATION_ASIDE inline void wake(Fiber& fiber) {
  fiber.waits = Waits::kNot;
  ready.push_back(&fiber);
}

EMULATION_ASIDE inline void release_block(Block& block) {
  if (block.at_barrier == 0 || block.at_barrier != block.alive) return;
  if (block.alive != int(block.fibers.size())) fail("__syncthreads after some threads of the block have exited");
  if (observer.block_barrier != nullptr) observer.block_barrier(block);
  block.at_barrier = 0;
  for (Fiber& fiber : block.fibers) {
    fiber.result = uint64_t(block.count);
    wake(fiber);
  }
  block.count = 0;
}

// Completes the collective that this fiber waits in, when all lanes of its mask have come.
EMULATION_ASIDE inline void release_warp(Block& block, Fiber& caller) {
  Fiber* lanes = &block.fibers[size_t(caller.warp) * kWarpLanes];
  const int count = std::min<int>(kWarpLanes, int(block.fibers.size()) - caller.warp * kWarpLanes);
  uint64_t ballot = 0;
  for (int lane = 0; lane < count; ++lane) {
    if ((caller.mask >> lane & 1) == 0) continue;
    const Fiber& other = lanes[lane];
    if (other.waits == Waits::kDone) fail("a lane named in a warp's mask has exited");
    if (other.waits != Waits::kForWarp || other.mask != caller.mask) return;
    if (other.collective != caller.collective) {
      static const char* const names[] = {"__syncwarp", "__shfl_up_sync", "__shfl_down_sync", "__shfl_xor_sync", "__shfl_sync", "__ballot_sync"};
      fail("lanes of one mask are in different collectives: lane " + std::to_string(lane) + " in " + names[int(other.collective)] +
           ", lane " + std::to_string(caller.lane) + " in " + names[int(caller.collective)]);
    }
    if (other.predicate != 0) ballot |= uint64_t{1} << lane;
  }
  if (caller.collective == Collective::kSyncWarp && observer.warp_barrier != nullptr)
    observer.warp_barrier(block, caller.warp, caller.mask);
  for (int lane = 0; lane < count; ++lane) {
    if ((caller.mask >> lane & 1) == 0) continue;
    Fiber& fiber = lanes[lane];
    const int first = lane / fiber.width * fiber.width, end = first + fiber.width;
    int from = lane;
    switch (fiber.collective) {
      case Collective::kUp: from = lane - fiber.argument < first ? lane : lane - fiber.argument; break;
      case Collective::kDown: from = lane + fiber.argument >= end ? lane : lane + fiber.argument; break;
      case Collective::kXor: from = (lane ^ fiber.argument) >= end ? lane : lane ^ fiber.argument; break;
      case Collective::kIndex: from = first + fiber.argument % fiber.width; break;
      default: break;
    }
    const bool is_defined = from < count && (caller.mask >> from & 1) != 0;
    fiber.result = fiber.collective == Collective::kBallot ? ballot : is_defined ? lanes[from].value : ~uint64_t{0};
  }
  for (int lane = 0; lane < count; ++lane)
    if ((caller.mask >> lane & 1) != 0) wake(lanes[lane]);
}

EMULATION_ASIDE inline int block_barrier(int predicate) {
  current->waits = Waits::kForBlock;
  current->block->count += predicate != 0;
  ++current->block->at_barrier;
  yield();
  return int(current->result);
}

EMULATION_ASIDE inline uint64_t collective(Collective which, unsigned mask, uint64_t value, int argument, int width, int predicate) {
  Fiber* fiber = current;
  if ((mask >> fiber->lane & 1) == 0) fail("a lane calls a collective whose mask leaves it out");
  fiber->collective = which;
  fiber->mask = mask;
  fiber->value = value;
  fiber->argument = argument;
  fiber->width = width;
  fiber->predicate = predicate;
  fiber->waits = Waits::kForWarp;
  yield();
  return fiber->result;
}

template <class T>
EMULATION_ASIDE T shuffle(Collective which, unsigned mask, T value, int argument, int width) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = collective(which, mask, bits, argument, width, 0);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

EMULATION_ASIDE inline unsigned char* shared_memory() { return current->block->shared; }

EMULATION_ASIDE inline void raise_counter(int32_t* counter, int32_t value, int lane, unsigned mask) {
  collective(Collective::kSyncWarp, mask, 0, 0, kWarpLanes, 0);
  if (lane != 0) return;
  if (observer.raised != nullptr) observer.raised(counter);
  *counter = value;
}

EMULATION_ASIDE inline void wait_for_counter(const int32_t* counter, int32_t value, unsigned mask) {
  while (*const_cast<const volatile int32_t*>(counter) < value) {
    current->waits = Waits::kSpinning;
    yield();
  }
  if (observer.waited != nullptr) observer.waited(counter);
  collective(Collective::kSyncWarp, mask, 0, 0, kWarpLanes, 0);
}

// ---- Blocks ----------------------------------------------------------------------------------------------------------
EMULATION_ASIDE inline void start(Block& block, unsigned number, size_t slot) {
  const size_t threads = size_t(blockDim.x) * blockDim.y * blockDim.z;
  block.number = number;
  block.index = {number % gridDim.x, number / gridDim.x % gridDim.y, number / gridDim.x / gridDim.y};
  block.alive = int(threads);
  block.at_barrier = block.count = 0;
#if defined(__SANITIZE_ADDRESS__)
  if (!block.memory.empty()) __asan_unpoison_memory_region(block.memory.data(), block.memory.size());
#endif
  block.memory.assign(kSharedAtMost + 2 * kGuard, 0xff);  // not a number: what is read before it is written shows
  block.shared = block.memory.data() + (16 - reinterpret_cast<uintptr_t>(block.memory.data()) % 16) % 16;
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(block.shared + shared_bytes, kGuard + kSharedAtMost - shared_bytes);
#endif
  if (observer.block_started != nullptr) observer.block_started(block);
  block.fibers.resize(threads);
  for (size_t n = 0; n < threads; ++n) {
    Fiber& fiber = block.fibers[n];
    fiber = Fiber();
    fiber.block = &block;
    fiber.id = int(n);
    fiber.lane = int(n % kWarpLanes);
    fiber.warp = int(n / kWarpLanes);
    const size_t at = slot * threads + n;
    while (stacks.size() <= at) stacks.emplace_back(static_cast<char*>(aligned_alloc(4096, stack_size)), &free);
    fiber.stack = stacks[at].get();
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = stack_size;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, reinterpret_cast<void (*)()>(enter), 0);
    ready.push_back(&fiber);
  }
}

EMULATION_ASIDE inline void finish(Block& block) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(block.memory.data(), block.memory.size());
#endif
  for (size_t n = 0; n < kGuard; ++n)
    if (block.shared[shared_bytes + n] != 0xff) fail("a block wrote behind the " + std::to_string(shared_bytes) + " bytes of shared memory asked for");
}

EMULATION_ASIDE inline void run(const cudaLaunchConfig_t& config, std::function<void()> kernel) {
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  shared_bytes = config.dynamicSmemBytes;
  body = &kernel;
  const unsigned blocks = gridDim.x * gridDim.y * gridDim.z;
  if (stack_size == 0) stack_size = size_t(setting("EMULATION_STACK", 64 << 10));
  if (observer.launch != nullptr) observer.launch(blocks, blockDim.x * blockDim.y * blockDim.z);
  const long order = setting("EMULATION_ORDER", 1);
  std::minstd_rand random(unsigned(std::max(order, 1L)));
  const size_t slots = std::min<size_t>(blocks, size_t(std::max(setting("EMULATION_BLOCKS", 3), 1L)));
  std::vector<Block> all(slots);
  resident = &all;
  ready.clear();
  spinning.clear();
  unsigned started = 0, finished = 0;
  for (size_t slot = 0; slot < slots; ++slot) start(all[slot], started++, slot);
  long rounds_in_vain = 0;
  while (finished < blocks) {
    if (ready.empty()) {
      if (spinning.empty()) fail("deadlock: a barrier or a collective was not reached by all who must");
      if (++rounds_in_vain > 1000) fail("deadlock: a counter that is waited for is not raised");
      for (Fiber* fiber : spinning) wake(*fiber);
      spinning.clear();
    }
    size_t pick = order > 0 ? random() % ready.size() : 0;
    if (order <= 0) {
      const auto before = [](const Fiber* a, const Fiber* b) {
        return a->block->number != b->block->number ? a->block->number < b->block->number : a->id < b->id;
      };
      for (size_t n = 1; n < ready.size(); ++n)
        if (order < 0 ? before(ready[pick], ready[n]) : before(ready[n], ready[pick])) pick = n;
    }
    Fiber& fiber = *ready[pick];
    ready[pick] = ready.back();
    ready.pop_back();
    Block& block = *fiber.block;
    current = &fiber;
    blockIdx = block.index;
    const unsigned id = unsigned(fiber.id);
    threadIdx = {id % blockDim.x, id / blockDim.x % blockDim.y, id / blockDim.x / blockDim.y};
    resume(fiber);
    current = nullptr;
    if (fiber.waits == Waits::kSpinning) {
      spinning.push_back(&fiber);
      continue;
    }
    rounds_in_vain = 0;
    if (fiber.waits == Waits::kForBlock) release_block(block);
    if (fiber.waits == Waits::kForWarp) release_warp(block, fiber);
    if (fiber.waits != Waits::kDone) continue;
    --block.alive;
    if (block.alive == 0) {
      finish(block);
      ++finished;
      if (started < blocks) start(block, started++, size_t(&block - all.data()));
    } else {
      release_block(block);
    }
  }
  resident = nullptr;
}

}  // namespace emulation

// ---- What kernels call -----------------------------------------------------------------------------------------------
#define __syncthreads() ((void)emulation::block_barrier(0))
#define __syncthreads_count(predicate) (emulation::block_barrier(predicate))
inline void __syncwarp(unsigned mask = ~0u) { emulation::collective(emulation::Collective::kSyncWarp, mask, 0, 0, 32, 0); }
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  return emulation::shuffle(emulation::Collective::kIndex, mask, value, lane, width);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  return emulation::shuffle(emulation::Collective::kUp, mask, value, int(by), width);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  return emulation::shuffle(emulation::Collective::kDown, mask, value, int(by), width);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int by, int width = 32) {
  return emulation::shuffle(emulation::Collective::kXor, mask, value, by, width);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return unsigned(emulation::collective(emulation::Collective::kBallot, mask, 0, 0, 32, predicate));
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline void __threadfence() {}
inline void __threadfence_block() {}
template <class T>
T __ldg(const T* value) {
  return *value;
}
template <class T, class U>
EMULATION_ASIDE T atomicAdd(T* to, U value) {
  const T before = *to;
  *to = before + T(value);
  return before;
}
template <class T, class U>
EMULATION_ASIDE T atomicMin(T* to, U value) {
  const T before = *to;
  *to = std::min(before, T(value));
  return before;
}
template <class T, class U>
EMULATION_ASIDE T atomicMax(T* to, U value) {
  const T before = *to;
  *to = std::max(before, T(value));
  return before;
}

// ---- What hosts call -------------------------------------------------------------------------------------------------
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : error == cudaErrorMemoryAllocation ? "out of memory" : "invalid argument";
}
// A driver that knows CUDA up to EMULATION_DRIVER, 13000 for 13.0: where that is less than CUDART_VERSION, every launch fails.
inline cudaError_t cudaDriverGetVersion(int* version) {
  *version = int(emulation::setting("EMULATION_DRIVER", CUDART_VERSION));
  return cudaSuccess;
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
template <class T>
EMULATION_ASIDE cudaError_t cudaMalloc(T** memory, size_t bytes) {
  *memory = static_cast<T*>(malloc(std::max<size_t>(bytes, 1)));
  if (*memory == nullptr) return cudaErrorMemoryAllocation;
  if (bytes <= (8u << 20)) std::memset(static_cast<void*>(*memory), 0xff, bytes);  // not a number
  emulation::allocations[reinterpret_cast<char*>(*memory)] = bytes;
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* memory) {
  emulation::allocations.erase(static_cast<char*>(memory));
  free(memory);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  if (bytes > 0) std::memset(memory, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int bytes) {
  if (bytes > int(emulation::kSharedAtMost)) return cudaErrorInvalidValue;
  emulation::opted_in[reinterpret_cast<const void*>(kernel)] = bytes;
  return cudaSuccess;
}
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...), Arguments&&... arguments) {
  if (emulation::setting("EMULATION_DRIVER", CUDART_VERSION) < CUDART_VERSION) return cudaErrorInsufficientDriver;
  const uint64_t threads = uint64_t(config->blockDim.x) * config->blockDim.y * config->blockDim.z;
  const uint64_t blocks = uint64_t(config->gridDim.x) * config->gridDim.y * config->gridDim.z;
  if (threads == 0 || threads > 1024 || blocks == 0 || blocks > INT_MAX) return cudaErrorInvalidConfiguration;
  const auto asked = emulation::opted_in.find(reinterpret_cast<const void*>(kernel));
  const size_t allowed = asked == emulation::opted_in.end() ? emulation::kSharedUnasked : size_t(asked->second);
  if (config->dynamicSmemBytes > std::max(allowed, emulation::kSharedUnasked)) return cudaErrorInvalidValue;
  emulation::launched.kernels.insert(reinterpret_cast<const void*>(kernel));
  emulation::run(*config, [&] { kernel(Parameters(arguments)...); });
  return cudaSuccess;
}

#include "host_calls.h"
