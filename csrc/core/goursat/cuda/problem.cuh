// A problem as kernels see it: its pairs, the increments of their cells, and where the gradient of those goes.
#pragma once

#include "core/device/launch.cuh"
#include "core/goursat/cuda/instantiations.h"
#include "core/goursat/goursat.h"
#include "core/host_device.h"

namespace sigkernel {

// Which of X's and Y's paths, and where the pair's results stand.
struct GpuPair {
  int64_t x, y, place, mirror;  // mirror: place again, but for a pair of a symmetric Gram matrix
};

template <class T>
struct GpuProblem {
  GpuIncrements increments = GpuIncrements::kLinear;
  Pairing pairing = Pairing::kPairs;
  const T *X = nullptr, *Y = nullptr;  // points [count][rows + 1 or columns + 1][channels]
  const T* variance = nullptr;         // kRbf: one number
  const T* given = nullptr;            // kGiven: [pairs][rows][columns]
  int64_t x_count = 0, y_count = 0;
  int rows = 0, columns = 0, channels = 0;  // of the coarse grid

  __host__ __device__ bool is_half_grid() const { return pairing == Pairing::kDiagonal; }

  __host__ __device__ int64_t pairs() const {
    if (pairing == Pairing::kGram) return x_count * y_count;
    if (pairing == Pairing::kSymmetricGram) return x_count * (x_count + 1) / 2;
    return x_count;
  }

  __host__ __device__ GpuPair pair(int64_t index) const {
    if (pairing == Pairing::kGram) return {index / y_count, index % y_count, index, index};
    if (pairing != Pairing::kSymmetricGram) return {index, index, index, index};
    // Column y of the upper triangle starts at y (y + 1) / 2.
    int64_t y = static_cast<int64_t>((sqrt(8.0 * static_cast<double>(index) + 1.0) - 1.0) * 0.5);
    while (y * (y + 1) / 2 > index) --y;
    while ((y + 1) * (y + 2) / 2 <= index) ++y;
    const int64_t x = index - y * (y + 1) / 2;
    return {x, y, x * y_count + y, y * y_count + x};
  }
};

// The increments of one pair's cells, for a unit variance. Outside of the grid they are exactly 0, as the points there are
// those of its border.
template <class T>
class PairIncrements {
 public:
  __device__ PairIncrements(const GpuProblem<T>& problem, const GpuPair& pair)
      : problem_(problem), x_(part(problem.X, pair.x * (problem.rows + int64_t{1}) * problem.channels)),
        y_(part(problem.Y, pair.y * (problem.columns + int64_t{1}) * problem.channels)),
        given_(part(problem.given, pair.place * problem.rows * problem.columns)) {}

  // What one unit of increment counts for at a refinement.
  __device__ T factor(int refinement) const {
    T area = 1;
    for (int n = 0; n < refinement; ++n) area *= T(0.25);
    return problem_.increments == GpuIncrements::kRbf ? area * *problem_.variance : area;
  }

  __device__ T at(int i, int j) const {
    if (problem_.increments == GpuIncrements::kGiven) {
      const bool is_inside = i >= 0 && i < problem_.rows && j >= 0 && j < problem_.columns;
      return is_inside ? given_[i * int64_t{problem_.columns} + j] : T(0);
    }
    if (problem_.increments == GpuIncrements::kRbf) {
      T difference(0), below(0);  // of the first row of corners
      SIGKERNEL_ROLLED for (int corner = 0; corner < 4; ++corner) {
        const T value = kappa(i + corner / 2, j + corner % 2);
        difference = corner % 2 == 0 ? value : value - difference;
        if (corner == 1) below = difference;
      }
      return difference - below;
    }
    const T *x0 = x_point(i), *x1 = x_point(i + 1), *y0 = y_point(j), *y1 = y_point(j + 1);
    T sum(0);
    SIGKERNEL_ROLLED for (int d = 0; d < problem_.channels; ++d) sum += (x1[d] - x0[d]) * (y1[d] - y0[d]);
    return sum;
  }

  // The unit RBF kernel between two points.
  __device__ T kappa(int i, int j) const {
    const T *x = x_point(i), *y = y_point(j);
    T squared(0);
    SIGKERNEL_ROLLED for (int d = 0; d < problem_.channels; ++d) {
      const T difference = x[d] - y[d];
      squared += difference * difference;
    }
    return exp(T(-0.5) * squared);
  }

  __device__ const T* x_point(int i) const { return x_ + int64_t{inside(i, problem_.rows)} * problem_.channels; }
  __device__ const T* y_point(int j) const { return y_ + int64_t{inside(j, problem_.columns)} * problem_.channels; }

 private:
  static __device__ const T* part(const T* values, int64_t first) { return values == nullptr ? nullptr : values + first; }

  static __device__ int inside(int at, int last) { return at < 0 ? 0 : at > last ? last : at; }

  const GpuProblem<T>& problem_;
  const T *x_, *y_, *given_;
};

}  // namespace sigkernel
