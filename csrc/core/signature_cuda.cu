// The truncated signature on a GPU: a block for a path, its threads over the words. With one channel, a thread for each
// signature.

#include "core/signature_cuda.h"

#include <algorithm>
#include <string>

#include "core/launch.cuh"
#include "core/tensor_algebra.h"

namespace sigkernel {
namespace {

constexpr int kResidentBlocks = 8;  // of a multiprocessor: as many as there is scratch memory for

template <class T>
struct SignatureArguments {
  SignatureProblem<T> problem;
  Words words;
  T* work;           // global memory, [blocks][work_numbers], where shared memory has no room; else null
  int64_t work_numbers;
  T* result;         // forward: overwritten
  const T* computed; // backward: the forward function's result
  const T* upstream;
  T* d_paths;
};

// h_j of level n for the word at `place` of level j: of the formula there.
template <class T>
__device__ T horner_of_word(const Words& words, int n, int j, int64_t place, const T* dx, const T* S) {
  const int64_t channels = words.channels();
  int64_t power = 1;
  for (int level = 1; level < j; ++level) power *= channels;
  T h = S[0];
  int64_t rest = place, prefix = 0;
  for (int level = 0; level < j; ++level) {
    const int64_t letter = rest / power;
    rest -= letter * power;
    power /= channels;
    prefix = prefix * channels + letter;
    h = S[words.offset(level + 1) + prefix] + h * dx[letter] * T(1.0 / (n - level));
  }
  return h;
}

// One segment more: S is overwritten by S exp(dx). From the last level down, as each word reads its prefixes' old
// values: level n of the product is h_n of Horner's recursion (tensor_algebra.h), which a thread runs for one word.
template <class T>
__device__ void multiply_exponential_in_block(const Words& words, const T* dx, T* S) {
  for (int n = words.depth(); n > 0; --n) {
    for (int64_t place = threadIdx.x; place < words.size(n); place += blockDim.x)
      S[words.offset(n) + place] = horner_of_word(words, n, n, place, dx, S);
    __syncthreads();
  }
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
  const Words& words = arguments.words;
  T* S = arguments.work == nullptr ? reinterpret_cast<T*>(memory) : arguments.work + blockIdx.x * arguments.work_numbers;
  T* dx = S + problem.num_words;
  for (int64_t path = blockIdx.x; path < problem.count; path += gridDim.x) {
    const auto write_row = [&](int64_t row) {
      T* to = arguments.result + (path * problem.rows() + row) * problem.num_words;
      for (int64_t w = threadIdx.x; w < problem.num_words; w += blockDim.x) to[w] = S[w];
    };
    for (int64_t w = threadIdx.x; w < problem.num_words; w += blockDim.x) S[w] = w == 0 ? T(1) : T(0);
    for (int64_t segment = 0; segment + 1 < problem.length; ++segment) {
      if (problem.stream) write_row(segment);
      read_increment(problem, path, segment, T(1), dx);
      multiply_exponential_in_block(words, dx, S);
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

// The adjoint of multiply_exponential_in_block, as multiply_exponential_backward of tensor_algebra.h. h, h_bar:
// [words.scratch_size()]. Accumulates into `gathered`.
template <class T>
__device__ void multiply_exponential_backward_in_block(const Words& words, const T* dx, const T* S, T* S_bar, T* h, T* h_bar,
                                                       const LetterParts& letters, T* gathered) {
  const int64_t channels = words.channels();
  for (int n = 1; n <= words.depth(); ++n) {  // from the first level up: each adds to the ones below, already read
    for (int j = 0; j < n; ++j)
      for (int64_t place = threadIdx.x; place < words.prefixes(j, n); place += blockDim.x)
        h[words.offset(j) + place] = horner_of_word(words, n, j, place, dx, S);
    __syncthreads();
    const T* out_bar = S_bar + words.offset(n);
    for (int j = n - 1; j >= 0; --j) {
      const int64_t at = words.offset(j), count = words.prefixes(j, n), longer = words.prefixes(j + 1, n);
      const T scale = T(1.0 / (n - j));
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
  const Words& words = arguments.words;
  const LetterParts letters(blockDim.x, problem.channels);
  T* S = arguments.work == nullptr ? reinterpret_cast<T*>(memory) : arguments.work + blockIdx.x * arguments.work_numbers;
  T *S_bar = S + problem.num_words, *h = S_bar + problem.num_words, *h_bar = h + words.scratch_size();
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
        multiply_exponential_in_block(words, dx, S);
      }
      for (int64_t slot = threadIdx.x; slot < letters.numbers(); slot += blockDim.x) gathered[slot] = 0;
      read_increment(problem, path, segment, T(1), dx);
      multiply_exponential_backward_in_block(words, dx, S, S_bar, h, h_bar, letters, gathered);
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
  const int64_t wanted = (num_words + 2 * kWarp - 1) / (2 * kWarp) * kWarp;
  return static_cast<int>(std::clamp<int64_t>(wanted, kWarp, 256));
}

// The work memory of a launch, shared where it fits.
template <class T, class Kernel>
void launch_over_paths(const char* name, Kernel kernel, SignatureArguments<T>& arguments, int64_t work_numbers, int threads,
                       const CudaDevice& device) {
  const int64_t blocks = std::min<int64_t>(arguments.problem.count, int64_t{device.multiprocessors} * kResidentBlocks);
  const bool is_shared = work_numbers * static_cast<int64_t>(sizeof(T)) <= static_cast<int64_t>(kSharedWithoutAsking);
  arguments.work_numbers = work_numbers;
  arguments.work = is_shared ? nullptr : device.allocate_numbers<T>(blocks * work_numbers);
  launch(name, kernel, blocks, threads, is_shared ? work_numbers * sizeof(T) : 0, device, arguments);
}

template <class T>
SignatureArguments<T> arguments_of(const SignatureProblem<T>& problem) {
  return {problem, Words(std::max<int64_t>(problem.channels, 2), problem.channels == 1 ? 1 : problem.num_words), nullptr, 0,
          nullptr, nullptr, nullptr, nullptr};
}

int64_t blocks_for(int64_t numbers, int threads, const CudaDevice& device) {
  return std::min<int64_t>((numbers + threads - 1) / threads, int64_t{device.multiprocessors} * 16);
}

}  // namespace

template <class T>
void signature_cuda(const SignatureProblem<T>& problem, const CudaDevice& device, T* result) {
  SignatureArguments<T> arguments = arguments_of(problem);
  arguments.result = result;
  if (problem.channels == 1) {
    launch("one_channel_kernel", one_channel_kernel<T>, blocks_for(problem.count * problem.rows(), 128, device), 128, 0, device, arguments);
    return;
  }
  launch_over_paths("signature_kernel", signature_kernel<T>, arguments, problem.num_words + problem.channels,
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
    launch("one_channel_backward_kernel", one_channel_backward_kernel<T>, blocks_for(problem.count, 128, device), 128, 0, device, arguments);
    return;
  }
  const int threads = threads_for(problem.num_words);
  const int64_t work = 2 * problem.num_words + 2 * arguments.words.scratch_size() + problem.channels +
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
