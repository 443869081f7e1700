// A problem as kernels see it: its pairs, the increments of their cells, and where the gradient of those goes.
#pragma once

#include "core/goursat.h"
#include "core/host_device.h"
#include "core/launch.cuh"

namespace sigkernel {

enum class GpuIncrements { kLinear, kRbf, kGiven };

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

// Where a group of lanes is at work.
struct Lanes {
  int lane, count;
  unsigned mask;

  static __device__ Lanes of(int thread, int count) {
    const int first = thread % kWarp / count * count;
    return {thread % count, count, count == kWarp ? ~0u : ((1u << count) - 1) << first};
  }
};

// A strip's place in the refined grid.
struct GpuStrip {
  int first_row;     // of its first lane; negative in front of the grid
  int first_column;  // 0, but for half a grid, where it starts at the strip's first row
  int rows, columns; // of the whole refined grid
  int refinement;
  bool is_half;

  __device__ int end_step(const Lanes& lanes) const { return columns + lanes.count - 1; }
  // Below the diagonal of half a grid.
  __device__ bool is_left_out(int row, int column) const { return is_half && column < row; }
};

// Writes the increments of `steps` steps of a strip from step `first`, where a lane's cell is at column step - lane:
// p[(step * R + row) * lanes + lane], 0 outside of the grid.
template <int R, class T>
__device__ void form_increments(const PairIncrements<T>& increments, const GpuProblem<T>& problem, const GpuStrip& strip,
                                const Lanes& lanes, int first, int steps, T* p) {
  const int r = strip.refinement;
  const int row = strip.first_row + lanes.lane * R;
  if (problem.increments == GpuIncrements::kLinear && r == 0) {
    constexpr int kChunk = 4;  // channels whose points stay in registers
    for (int d0 = 0; d0 < problem.channels; d0 += kChunk) {
      const int width = problem.channels - d0 < kChunk ? problem.channels - d0 : kChunk;
      T dx[R][kChunk], y[kChunk];
      SIGKERNEL_UNROLL for (int d = 0; d < kChunk; ++d) {
        y[d] = d < width ? increments.y_point(first - lanes.lane)[d0 + d] : T(0);
        SIGKERNEL_UNROLL for (int a = 0; a < R; ++a)
          dx[a][d] = d < width ? increments.x_point(row + a + 1)[d0 + d] - increments.x_point(row + a)[d0 + d] : T(0);
      }
      SIGKERNEL_ROLLED for (int c = 0; c < steps; ++c) {
        const T* next = increments.y_point(first + c - lanes.lane + 1) + d0;
        T sum[R];
        SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) sum[a] = d0 == 0 ? T(0) : p[(c * R + a) * lanes.count + lanes.lane];
        SIGKERNEL_UNROLL for (int d = 0; d < kChunk; ++d) {
          if (d >= width) break;
          const T here = next[d], dy = here - y[d];
          y[d] = here;
          SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) sum[a] += dx[a][d] * dy;
        }
        SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) p[(c * R + a) * lanes.count + lanes.lane] = sum[a];
      }
    }
    return;
  }
  if (problem.increments == GpuIncrements::kRbf && r == 0) {  // a cell shares its left corners with the one before
    T before[R + 1];
    SIGKERNEL_ROLLED for (int c = -1; c < steps; ++c) {
      T below(0);
      SIGKERNEL_UNROLL for (int a = 0; a <= R; ++a) {
        const T here = increments.kappa(row + a, first + c - lanes.lane + 1);
        if (a > 0) {
          if (c >= 0) p[(c * R + a - 1) * lanes.count + lanes.lane] = (here - before[a]) - (below - before[a - 1]);
          before[a - 1] = below;
        }
        below = here;
      }
      before[R] = below;
    }
    return;
  }
  SIGKERNEL_ROLLED for (int c = 0; c < steps; ++c)
    SIGKERNEL_ROLLED for (int a = 0; a < R; ++a)
      p[(c * R + a) * lanes.count + lanes.lane] = increments.at((row + a) >> r, (first + c - lanes.lane) >> r);
}

// Where a pair's gradient goes, by its rows and columns of the refined grid; reduced to paths afterwards. For the linear
// static kernel by a segment's increment; for RBF by its first point and by its last: two arrays, one after the other.
template <class T>
struct PairGradient {
  T* x = nullptr;      // [1 or 2][rows][channels], accumulated into
  T* y = nullptr;      // [1 or 2][columns][channels], likewise
  T* cells = nullptr;  // kGiven: [rows][columns]
};

struct ByRow {
  static constexpr bool value = false;
};
struct ByColumn {
  static constexpr bool value = true;
};

// Takes a tile's gradient g by increments, laid out as form_increments does and 0 wherever there is no cell. No two lanes
// write to one place: of x a lane has its own rows, of y some columns.
template <int R, class T>
__device__ void add_gradient(const PairIncrements<T>& increments, const GpuProblem<T>& problem, const GpuStrip& strip,
                             const Lanes& lanes, int first, int steps, const T* g, const PairGradient<T>& gradient) {
  const int r = strip.refinement, channels = problem.channels;
  const auto at = [&](int c, int a, int lane) { return g[(c * R + a) * lanes.count + lane]; };
  if (problem.increments == GpuIncrements::kGiven) {
    for (int c = 0; c < steps; ++c)
      for (int a = 0; a < R; ++a) {
        const int row = strip.first_row + lanes.lane * R + a, column = first + c - lanes.lane;
        if (row >= 0 && column >= 0 && column < strip.columns) gradient.cells[row * int64_t{strip.columns} + column] = at(c, a, lanes.lane);
      }
    return;
  }
  const bool is_rbf = problem.increments == GpuIncrements::kRbf;
  constexpr int kChunk = 2;
  for (int d0 = 0; d0 < channels; d0 += kChunk) {
    const int width = channels - d0 < kChunk ? channels - d0 : kChunk;
    // One cell's share in its row's segment, or with kColumn in its column's: by its start and by its end.
    const auto add = [&](auto by_column, int i, int j, T weight, T* start, T* end) {
      constexpr bool kColumn = decltype(by_column)::value;
      if (!is_rbf) {
        const T* from = kColumn ? increments.x_point(i) + d0 : increments.y_point(j) + d0;
        const T* to = kColumn ? increments.x_point(i + 1) + d0 : increments.y_point(j + 1) + d0;
        SIGKERNEL_UNROLL for (int d = 0; d < kChunk; ++d)
          if (d < width) start[d] += weight * (to[d] - from[d]);
        return;
      }
      SIGKERNEL_ROLLED for (int corner = 0; corner < 4; ++corner) {
        const int by_x = corner / 2, by_y = corner % 2;
        const T *x = increments.x_point(i + by_x) + d0, *y = increments.y_point(j + by_y) + d0;
        const T pull = (by_x == by_y ? weight : -weight) * increments.kappa(i + by_x, j + by_y);
        const bool is_end = kColumn ? by_y == 1 : by_x == 1;
        SIGKERNEL_UNROLL for (int d = 0; d < kChunk; ++d) {
          if (d >= width) continue;
          const T part = kColumn ? pull * (x[d] - y[d]) : pull * (y[d] - x[d]);
          start[d] += is_end ? T(0) : part;
          end[d] += is_end ? part : T(0);
        }
      }
    };
    const auto write = [&](T* to, int64_t segment, int64_t segments, const T* start, const T* end) {
      T* place = to + segment * channels + d0;
      for (int d = 0; d < width; ++d) {
        place[d] += start[d];
        if (is_rbf) place[segments * channels + d] += end[d];
      }
    };
    SIGKERNEL_ROLLED for (int a = 0; a < R; ++a) {
      const int row = strip.first_row + lanes.lane * R + a;
      T start[kChunk] = {}, end[kChunk] = {};
      if (row < 0) continue;
      SIGKERNEL_ROLLED for (int c = 0; c < steps; ++c)
        add(ByRow(), row >> r, (first + c - lanes.lane) >> r, at(c, a, lanes.lane), start, end);
      write(gradient.x, row, strip.rows, start, end);
    }
    for (int k = lanes.lane; k < steps + lanes.count - 1; k += lanes.count) {
      const int column = first - (lanes.count - 1) + k;
      if (column < strip.first_column || column >= strip.columns) continue;
      T start[kChunk] = {}, end[kChunk] = {};
      SIGKERNEL_ROLLED for (int lane = first > column ? first - column : 0; lane < lanes.count && column + lane < first + steps; ++lane)
        SIGKERNEL_ROLLED for (int a = 0; a < R; ++a)
          add(ByColumn(), (strip.first_row + lane * R + a) >> r, column >> r, at(column + lane - first, a, lane), start, end);
      write(gradient.y, column, strip.columns, start, end);
    }
  }
}

}  // namespace sigkernel
