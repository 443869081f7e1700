// The truncated signature on a GPU: each path has a block, whose threads share the words. With one channel each
// signature has a thread.

#include "core/signature/signature_cuda.h"

#include <algorithm>
#include <string>

#include "core/device/launch.cuh"
#include "core/signature/tensor_algebra.h"

namespace sigkernel {
namespace {

constexpr int kResidentBlocks = 8;  // of a multiprocessor: as many as there is scratch memory for
constexpr int64_t kScratchBudget = int64_t{256} << 20;  // bytes, of all blocks where more than one fits

// Division by the number of channels, for what is below 2^31: a product with the reciprocal, rounded up, is exact there.
struct Divisor {
  uint32_t by = 1, reciprocal = 0;
  int shift = 0;

  explicit Divisor(int64_t channels) : by(static_cast<uint32_t>(channels)) {
    while (int64_t{1} << shift < channels) ++shift;
    reciprocal = static_cast<uint32_t>(((uint64_t{1} << (31 + shift)) + by - 1) / by);
  }
  __device__ uint32_t divide(uint32_t number) const {
    return static_cast<uint32_t>(uint64_t{number} * reciprocal >> (31 + shift));
  }
};

// What the words' arithmetic needs.
template <class T>
struct Algebra {
  Words words;
  Divisor channels;
  T inverse[Words::kMaxDepth + 1];  // 1 / k

  explicit Algebra(const SignatureProblem<T>& problem)
      : words(std::max<int64_t>(problem.channels, 2), problem.channels == 1 ? 1 : problem.num_words), channels(problem.channels) {
    for (int k = 1; k <= Words::kMaxDepth; ++k) inverse[k] = T(1.0 / k);
  }
};

template <class T>
struct SignatureArguments {
  SignatureProblem<T> problem;
  Algebra<T> algebra;
  T* work;           // global memory, [blocks][work_numbers], where shared memory has no room; else null
  int64_t work_numbers;
  T* result;         // forward: overwritten
  const T* computed; // backward: the forward function's result
  const T* upstream;
  T* d_paths;
};

// h_j of level n (tensor_algebra.h's Horner recursion) for the word at `place` of level j, unrolled from its last letter:
// the sum over its prefixes of S times the product of the other letters' dx, each by 1 / (n - the letters before it).
template <class T>
__device__ T horner_of_word(const Algebra<T>& algebra, int n, int j, int64_t place, const T* dx, const T* S) {
  const Words& words = algebra.words;
  uint32_t prefix = static_cast<uint32_t>(place);
  T sum = S[words.offset(j) + prefix], product = 1;
  for (int level = j - 1; level >= 0; --level) {
    const uint32_t shorter = algebra.channels.divide(prefix);
    product *= dx[prefix - shorter * algebra.channels.by] * algebra.inverse[n - level];
    sum += product * S[words.offset(level) + shorter];
    prefix = shorter;
  }
  return sum;
}

// One segment more: `next` is overwritten by S exp(dx), whose level n is h_n.
template <class T>
__device__ void multiply_exponential_in_block(const Algebra<T>& algebra, const T* dx, const T* S, T* next) {
  const Words& words = algebra.words;
  for (int n = 0; n <= words.depth(); ++n)
    for (int64_t place = threadIdx.x; place < words.size(n); place += blockDim.x)
      next[words.offset(n) + place] = horner_of_word(algebra, n, n, place, dx, S);
  __syncthreads();
}

template <class T>
__device__ void swap(T*& a, T*& b) {
  T* const before = a;
  a = b;
  b = before;
}

template <class T>
__device__ void read_increment(const SignatureProblem<T>& problem, int64_t path, int64_t segment, T sign, T* dx) {
  const T* x = problem.paths + (path * problem.length + segment) * problem.channels;
  for (int64_t d = threadIdx.x; d < problem.channels; d += blockDim.x) dx[d] = sign * (x[problem.channels + d] - x[d]);
  __syncthreads();
}

template <class T>
__global__ void signature_kernel(SignatureArguments<T> arguments) {
  SIGKERNEL_SHARED_MEMORY(memory);
  const SignatureProblem<T>& problem = arguments.problem;
  const Words& words = arguments.algebra.words;
  T* S = arguments.work == nullptr ? reinterpret_cast<T*>(memory) : arguments.work + blockIdx.x * arguments.work_numbers;
  T *next = S + problem.num_words, *dx = next + problem.num_words;
  for (int64_t path = blockIdx.x; path < problem.count; path += gridDim.x) {
    const auto write_row = [&](int64_t row) {
      T* to = arguments.result + (path * problem.rows() + row) * problem.num_words;
      for (int64_t w = threadIdx.x; w < problem.num_words; w += blockDim.x) to[w] = S[w];
    };
    for (int64_t w = threadIdx.x; w < problem.num_words; w += blockDim.x) S[w] = w == 0 ? T(1) : T(0);
    for (int64_t segment = 0; segment + 1 < problem.length; ++segment) {
      if (problem.stream) write_row(segment);
      read_increment(problem, path, segment, T(1), dx);
      multiply_exponential_in_block(arguments.algebra, dx, S, next);
      swap(S, next);
    }
    write_row(problem.rows() - 1);
    __syncthreads();
  }
}

// What the threads of a block gather for dx_bar: parts[part][letter], each owned by one thread.
struct LetterParts {
  int64_t parts, channels;

  __host__ __device__ LetterParts(int64_t threads, int64_t channels)
      : parts(threads < channels ? 1 : threads / channels), channels(channels) {}
  __host__ __device__ int64_t numbers() const { return parts * channels; }
};

// The adjoint of multiply_exponential_in_block, by the formulas of tensor_algebra.h. h, h_bar:
// [words.scratch_size()]. Accumulates into `gathered`.
template <class T>
__device__ void multiply_exponential_backward_in_block(const Algebra<T>& algebra, const T* dx, const T* S, T* S_bar, T* h, T* h_bar,
                                                       const LetterParts& letters, T* gathered) {
  const Words& words = algebra.words;
  const int64_t channels = words.channels();
  for (int n = 1; n <= words.depth(); ++n) {  // from the first level up: each adds to the ones below, already read
    for (int j = 0; j < n; ++j)
      for (int64_t place = threadIdx.x; place < words.prefixes(j, n); place += blockDim.x)
        h[words.offset(j) + place] = horner_of_word(algebra, n, j, place, dx, S);
    __syncthreads();
    const T* out_bar = S_bar + words.offset(n);
    for (int j = n - 1; j >= 0; --j) {
      const int64_t at = words.offset(j), count = words.prefixes(j, n), longer = words.prefixes(j + 1, n);
      const T scale = algebra.inverse[n - j];
      for (int64_t slot = threadIdx.x; slot < letters.numbers(); slot += blockDim.x) {
        const int64_t letter = slot % channels;
        T sum = 0;
        for (int64_t p = slot / channels; p < count; p += letters.parts)
          if (p * channels + letter < longer) sum += h[at + p] * out_bar[p * channels + letter];
        gathered[slot] += scale * sum;
      }
      for (int64_t p = threadIdx.x; p < count; p += blockDim.x) {
        T sum = 0;
        for (int64_t letter = 0; letter < channels && p * channels + letter < longer; ++letter)
          sum += out_bar[p * channels + letter] * dx[letter];
        h_bar[at + p] = scale * sum;
        S_bar[at + p] += scale * sum;
      }
      __syncthreads();
      out_bar = h_bar + at;
    }
  }
}

template <class T>
__global__ void signature_backward_kernel(SignatureArguments<T> arguments) {
  SIGKERNEL_SHARED_MEMORY(memory);
  const SignatureProblem<T>& problem = arguments.problem;
  const Words& words = arguments.algebra.words;
  const LetterParts letters(blockDim.x, problem.channels);
  T* S = arguments.work == nullptr ? reinterpret_cast<T*>(memory) : arguments.work + blockIdx.x * arguments.work_numbers;
  T *next = S + problem.num_words, *S_bar = next + problem.num_words;
  T *h = S_bar + problem.num_words, *h_bar = h + words.scratch_size();
  T *dx = h_bar + words.scratch_size(), *gathered = dx + problem.channels;
  const int64_t rows = problem.rows(), channels = problem.channels;
  for (int64_t path = blockIdx.x; path < problem.count; path += gridDim.x) {
    T* x_bar = arguments.d_paths + path * problem.length * channels;
    for (int64_t n = threadIdx.x; n < problem.length * channels; n += blockDim.x) x_bar[n] = 0;
    const auto read_row = [&](int64_t row) {
      const T* from = arguments.computed + (path * rows + row) * problem.num_words;
      for (int64_t w = threadIdx.x; w < problem.num_words; w += blockDim.x) S[w] = from[w];
    };
    const auto add_row = [&](int64_t row, bool is_first) {
      const T* from = arguments.upstream + (path * rows + row) * problem.num_words;
      for (int64_t w = threadIdx.x; w < problem.num_words; w += blockDim.x) S_bar[w] = is_first ? from[w] : S_bar[w] + from[w];
    };
    read_row(rows - 1);
    add_row(rows - 1, true);
    for (int64_t segment = problem.length - 2; segment >= 0; --segment) {
      __syncthreads();
      if (problem.stream) {
        read_row(segment);
      } else {
        read_increment(problem, path, segment, T(-1), dx);
        multiply_exponential_in_block(arguments.algebra, dx, S, next);
        swap(S, next);
      }
      for (int64_t slot = threadIdx.x; slot < letters.numbers(); slot += blockDim.x) gathered[slot] = 0;
      read_increment(problem, path, segment, T(1), dx);
      multiply_exponential_backward_in_block(arguments.algebra, dx, S, S_bar, h, h_bar, letters, gathered);
      for (int64_t d = threadIdx.x; d < channels; d += blockDim.x) {
        T sum = 0;
        for (int64_t part = 0; part < letters.parts; ++part) sum += gathered[part * channels + d];
        x_bar[segment * channels + d] -= sum;
        x_bar[(segment + 1) * channels + d] += sum;
      }
      if (problem.stream) add_row(segment, false);
    }
    __syncthreads();
  }
}

// One channel: the signature is that of the displacement.
template <class T>
__global__ void one_channel_kernel(SignatureArguments<T> arguments) {
  const SignatureProblem<T>& problem = arguments.problem;
  const int64_t rows = problem.rows();
  for (int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; n < problem.count * rows; n += int64_t{gridDim.x} * blockDim.x) {
    const T* x = problem.paths + n / rows * problem.length;
    exponential_of_one_letter(problem.num_words, x[problem.length - rows + n % rows] - x[0], arguments.result + n * problem.num_words);
  }
}

// A thread for each path.
template <class T>
__global__ void one_channel_backward_kernel(SignatureArguments<T> arguments) {
  const SignatureProblem<T>& problem = arguments.problem;
  const int64_t rows = problem.rows();
  for (int64_t path = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; path < problem.count; path += int64_t{gridDim.x} * blockDim.x) {
    T* x_bar = arguments.d_paths + path * problem.length;
    for (int64_t l = 0; l < problem.length; ++l) x_bar[l] = 0;
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t first = (path * rows + row) * problem.num_words;
      const T bar = exponential_of_one_letter_backward(problem.num_words, arguments.computed + first, arguments.upstream + first);
      x_bar[problem.length - rows + row] += bar;
      x_bar[0] -= bar;
    }
  }
}

// Threads of a block: a word of the last level or two for each, within what a block may hold.
int threads_for(int64_t num_words) {
  const int64_t wanted = parts_of(num_words, 2 * kWarp) * kWarp;
  return static_cast<int>(std::clamp<int64_t>(wanted, kWarp, 256));
}

// The work memory of a launch, shared where it fits.
template <class T, class Kernel>
void launch_over_paths(const char* name, Kernel kernel, SignatureArguments<T>& arguments, int64_t work_numbers, int threads,
                       const CudaDevice& device) {
  const int64_t work_bytes = work_numbers * static_cast<int64_t>(sizeof(T));
  const bool is_shared = work_bytes <= static_cast<int64_t>(kSharedWithoutAsking);
  const int64_t affordable = is_shared ? arguments.problem.count : std::max<int64_t>(kScratchBudget / work_bytes, 1);
  const int64_t blocks = std::min({arguments.problem.count, int64_t{device.multiprocessors} * kResidentBlocks, affordable});
  arguments.work_numbers = work_numbers;
  arguments.work = is_shared ? nullptr : device.allocate_numbers<T>(blocks * work_numbers);
  launch(name, kernel, blocks, threads, is_shared ? work_bytes : 0, device, arguments);
}

template <class T>
SignatureArguments<T> arguments_of(const SignatureProblem<T>& problem) {
  return {problem, Algebra<T>(problem), nullptr, 0, nullptr, nullptr, nullptr, nullptr};
}

}  // namespace

template <class T>
void signature_cuda(const SignatureProblem<T>& problem, const CudaDevice& device, T* result) {
  SignatureArguments<T> arguments = arguments_of(problem);
  arguments.result = result;
  if (problem.channels == 1) {
    launch("one_channel_kernel", one_channel_kernel<T>, blocks_for(problem.count * problem.rows(), device), kBlockThreads, 0, device,
           arguments);
    return;
  }
  launch_over_paths("signature_kernel", signature_kernel<T>, arguments, 2 * problem.num_words + problem.channels,
                    threads_for(problem.num_words), device);
}

template <class T>
void signature_backward_cuda(const SignatureProblem<T>& problem, const CudaDevice& device, const T* result,
                             const T* upstream, T* d_paths) {
  SignatureArguments<T> arguments = arguments_of(problem);
  arguments.computed = result;
  arguments.upstream = upstream;
  arguments.d_paths = d_paths;
  if (problem.channels == 1) {
    launch("one_channel_backward_kernel", one_channel_backward_kernel<T>, blocks_for(problem.count, device), kBlockThreads, 0, device,
           arguments);
    return;
  }
  const int threads = threads_for(problem.num_words);
  const int64_t work = 3 * problem.num_words + 2 * arguments.algebra.words.scratch_size() + problem.channels +
                       LetterParts(threads, problem.channels).numbers();
  launch_over_paths("signature_backward_kernel", signature_backward_kernel<T>, arguments, work, threads, device);
}

#define SIGKERNEL_INSTANTIATE(T)                                                                                    \
  template void signature_cuda<T>(const SignatureProblem<T>&, const CudaDevice&, T*);                               \
  template void signature_backward_cuda<T>(const SignatureProblem<T>&, const CudaDevice&, const T*, const T*, T*);
SIGKERNEL_INSTANTIATE(float)
SIGKERNEL_INSTANTIATE(double)
#undef SIGKERNEL_INSTANTIATE

}  // namespace sigkernel
