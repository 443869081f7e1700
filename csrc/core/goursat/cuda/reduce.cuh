// What becomes of pairs' results: the gradients of paths, of given increments and of the variance, and the derivative along a
// direction. Sums run pair by pair in order, so that they are the same every time.
#pragma once

#include "core/goursat/cuda/plan.cuh"

namespace sigkernel {

// A portion of pairs, [pairs] from first_pair, as the backward kernels left them. A pair that none of them took has no gradient: it
// is not a number.
template <class T>
struct ReduceArguments {
  GpuProblem<T> problem;
  int refinement;  // of x and y
  int64_t first_pair, pairs;
  const bool* is_taken;
  const T *x, *y;
  T *dX, *dY;  // accumulated into; the same for a symmetric pairing
};

// What one pair's rows or columns say of one number of a path.
template <class T>
__device__ T point_gradient(const T* by_segment, int point, int d, int segments, int refinement, int channels, bool is_rbf) {
  const int fine = segments << refinement;
  const T* by_end = is_rbf ? by_segment + int64_t{fine} * channels : by_segment;
  T sum = 0;
  if (point < segments)  // the segment that starts here
    for (int n = point << refinement; n < (point + 1) << refinement; ++n)
      sum += is_rbf ? by_segment[int64_t{n} * channels + d] : -by_segment[int64_t{n} * channels + d];
  if (point > 0)
    for (int n = (point - 1) << refinement; n < point << refinement; ++n) sum += by_end[int64_t{n} * channels + d];
  return sum;
}

// A thread for each number of a path.
template <class T>
__global__ void reduce_paths_kernel(ReduceArguments<T> arguments) {
  const GpuProblem<T>& problem = arguments.problem;
  const bool is_rbf = problem.increments == GpuIncrements::kRbf;
  const int64_t channels = problem.channels, last = arguments.first_pair + arguments.pairs;
  const int64_t x_size = (problem.rows + int64_t{1}) * channels, y_size = (problem.columns + int64_t{1}) * channels;
  const int64_t x_numbers = problem.x_count * x_size, numbers = x_numbers + problem.y_count * y_size;
  const auto of = [&](const T* parts, int segments, int64_t number, int64_t at) {
    if (number < arguments.first_pair || number >= last) return T(0);
    if (!arguments.is_taken[number - arguments.first_pair]) return not_a_number<T>();
    const int64_t size = (is_rbf ? 2 : 1) * (int64_t{segments} << arguments.refinement) * channels;
    return point_gradient(parts + (number - arguments.first_pair) * size, static_cast<int>(at / channels),
                          static_cast<int>(at % channels), segments, arguments.refinement, problem.channels, is_rbf);
  };
  const auto of_x = [&](int64_t pair, int64_t at) { return of(arguments.x, problem.rows, pair, at); };
  const auto of_y = [&](int64_t pair, int64_t at) { return of(arguments.y, problem.columns, pair, at); };
  for (int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; n < numbers; n += int64_t{gridDim.x} * blockDim.x) {
    const bool is_x = n < x_numbers;
    const int64_t path = is_x ? n / x_size : (n - x_numbers) / y_size, at = is_x ? n % x_size : (n - x_numbers) % y_size;
    T sum = 0;
    switch (problem.pairing) {
      case Pairing::kPairs: sum = is_x ? of_x(path, at) : of_y(path, at); break;
      case Pairing::kGram:
        for (int64_t other = 0; other < (is_x ? problem.y_count : problem.x_count); ++other) {
          const int64_t place = is_x ? path * problem.y_count + other : other * problem.y_count + path;
          sum += is_x ? of_x(place, at) : of_y(place, at);
        }
        break;
      case Pairing::kDiagonal: sum = is_x ? of_x(path, at) + of_y(path, at) : T(0); break;
      case Pairing::kSymmetricGram:
        if (!is_x) break;
        for (int64_t a = 0; a <= path; ++a) sum += of_y(path * (path + 1) / 2 + a, at);
        for (int64_t b = path; b < problem.y_count; ++b) sum += of_x(b * (b + 1) / 2 + path, at);
        break;
    }
    if (is_x) {
      arguments.dX[n] += sum;
    } else if (problem.pairing == Pairing::kPairs || problem.pairing == Pairing::kGram) {
      arguments.dY[n - x_numbers] += sum;
    }
  }
}

// Of increments that are given: the sum over each one's refined cells. result: overwritten.
template <class T>
__global__ void reduce_cells_kernel(const T* cells, const bool* is_taken, int64_t count, int rows, int columns, int refinement, T* result) {
  const int64_t numbers = count * rows * columns;
  for (int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; n < numbers; n += int64_t{gridDim.x} * blockDim.x) {
    const int64_t problem = n / (int64_t{rows} * columns), i = n / columns % rows, j = n % columns;
    const int side = 1 << refinement;
    T sum = 0;
    for (int a = 0; a < side; ++a)
      for (int b = 0; b < side; ++b)
        sum += !is_taken[problem] ? not_a_number<T>() : cells[((problem * rows + i) * side + a) * (int64_t{columns} * side) + j * side + b];
    result[n] = sum;
  }
}

// The sum of what each thread of a block has, as a tree. sums: [threads], free for reuse after a barrier.
template <class T>
__device__ T sum_of_block(T value, T* sums) {
  sums[threadIdx.x] = value;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  __syncthreads();
  return sums[0];
}

// One block. values: [pairs], as in ReduceArguments.
template <class T>
__global__ void reduce_variance_kernel(const T* values, ReduceArguments<T> arguments, T* total) {
  SIGKERNEL_SHARED_MEMORY(memory);
  T sum = 0;
  for (int64_t n = threadIdx.x; n < arguments.pairs; n += blockDim.x)
    sum += arguments.is_taken[n] ? values[n] : not_a_number<T>();
  const T whole = sum_of_block(sum, reinterpret_cast<T*>(memory));
  if (threadIdx.x == 0) *total += whole;
}

// The derivative along a direction: its inner product with the gradient. A block for each path in turn.
template <class T>
__global__ void directional_kernel(const T* dX, const T* direction, int64_t count, int64_t size, T* tangent) {
  SIGKERNEL_SHARED_MEMORY(memory);
  for (int64_t path = blockIdx.x; path < count; path += gridDim.x) {
    T sum = 0;
    for (int64_t n = threadIdx.x; n < size; n += blockDim.x) sum += dX[path * size + n] * direction[path * size + n];
    const T whole = sum_of_block(sum, reinterpret_cast<T*>(memory));
    if (threadIdx.x == 0) tangent[path] = whole;
    __syncthreads();
  }
}

template <class T>
__global__ void fill_kernel(T* values, int64_t count, T value) {
  for (int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; n < count; n += int64_t{gridDim.x} * blockDim.x) values[n] = value;
}

template <class T>
__global__ void first_not_finite_kernel(const T* values, int64_t count, unsigned long long* first) {
  for (int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; n < count; n += int64_t{gridDim.x} * blockDim.x)
    if (!std::isfinite(values[n])) atomicMin(first, static_cast<unsigned long long>(n));
}

}  // namespace sigkernel
