// What a warp does with one tile of a strip beside sweeping it: forms the increments of its cells, and takes their gradient.
// A tile is some steps of a strip; at each, a lane is at one column of its own rows, one column behind the lane before.
#pragma once

#include "core/goursat_cuda_problem.cuh"

namespace sigkernel {

constexpr unsigned kAllLanes = ~0u;

// Where a thread stands in its warp. The warp is cut into groups of lanes, each at work on a pair of its own; all groups of a
// warp step together, so that every shuffle and barrier is the whole warp's.
struct Lanes {
  int thread;        // of the warp
  int lane, count;   // of the group
  int group, groups;

  static __device__ Lanes of(int thread_of_block, int count) {
    const int thread = thread_of_block % kWarp;
    return {thread, thread % count, count, thread / count, kWarp / count};
  }
  __device__ bool is_first() const { return lane == 0; }
  __device__ bool is_last() const { return lane == count - 1; }
};

// A strip's place in the refined grid.
struct GpuStrip {
  int first_row;      // of its first lane; negative in front of the grid
  int first_column;   // 0, but for half a grid, where it starts at the strip's first row
  int rows, columns;  // of the whole refined grid
  int refinement;
  bool is_half;

  __device__ int end_step(const Lanes& lanes) const { return columns + lanes.count - 1; }
  // Below the diagonal of half a grid.
  __device__ bool is_left_out(int row, int column) const { return is_half && column < row; }
};

// One number for each of a lane's rows.
template <class T, int R>
struct alignas(R * sizeof(T) < 16 ? R * sizeof(T) : 16) RowNumbers {
  T of[R];
};

// Writes factor times the increments of `steps` steps of a strip from step `first`, where a lane's cell is at column
// step - lane: p[step * kWarp + thread], 0 outside of the grid.
template <int R, class T>
__device__ void form_increments(const PairIncrements<T>& increments, const GpuProblem<T>& problem, const GpuStrip& strip,
                                const Lanes& lanes, int first, int steps, T factor, RowNumbers<T, R>* p) {
  const int r = strip.refinement;
  const int row = strip.first_row + lanes.lane * R;
  p += lanes.thread;
  if (problem.increments == GpuIncrements::kLinear && r == 0) {
    constexpr int kChunk = 4;  // channels whose points stay in registers
    for (int d0 = 0; d0 < problem.channels; d0 += kChunk) {
      const int width = problem.channels - d0 < kChunk ? problem.channels - d0 : kChunk;
      T dx[R][kChunk], y[kChunk];
      SIGKERNEL_UNROLL for (int d = 0; d < kChunk; ++d) {
        y[d] = d < width ? increments.y_point(first - lanes.lane)[d0 + d] : T(0);
        SIGKERNEL_UNROLL for (int a = 0; a < R; ++a)
          dx[a][d] = d < width ? factor * (increments.x_point(row + a + 1)[d0 + d] - increments.x_point(row + a)[d0 + d]) : T(0);
      }
      SIGKERNEL_ROLLED for (int c = 0; c < steps; ++c) {
        const T* next = increments.y_point(first + c - lanes.lane + 1) + d0;
        RowNumbers<T, R> sum = {};
        if (d0 > 0) sum = p[c * kWarp];
        SIGKERNEL_UNROLL for (int d = 0; d < kChunk; ++d) {
          if (d >= width) break;
          const T here = next[d], dy = here - y[d];
          y[d] = here;
          SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) sum.of[a] += dx[a][d] * dy;
        }
        p[c * kWarp] = sum;
      }
    }
    return;
  }
  if (problem.increments == GpuIncrements::kRbf && r == 0) {  // a cell shares its left corners with the one before
    T before[R + 1];
    SIGKERNEL_ROLLED for (int c = -1; c < steps; ++c) {
      RowNumbers<T, R> cells;
      T below(0);
      SIGKERNEL_UNROLL for (int a = 0; a <= R; ++a) {
        const T here = increments.kappa(row + a, first + c - lanes.lane + 1);
        if (a > 0) {
          cells.of[a - 1] = factor * ((here - before[a]) - (below - before[a - 1]));
          before[a - 1] = below;
        }
        below = here;
      }
      before[R] = below;
      if (c >= 0) p[c * kWarp] = cells;
    }
    return;
  }
  SIGKERNEL_ROLLED for (int c = 0; c < steps; ++c)
    SIGKERNEL_ROLLED for (int a = 0; a < R; ++a)
      p[c * kWarp].of[a] = factor * increments.at((row + a) >> r, (first + c - lanes.lane) >> r);
}

// Where a pair's gradient goes: by rows and columns of its grid at `refinement`, reduced to paths afterwards. For the linear
// static kernel by a segment's increment; for RBF by its first point and by its last: two arrays, one after the other.
template <class T>
struct PairGradient {
  T* x = nullptr;      // [1 or 2][rows][channels], accumulated into
  T* y = nullptr;      // [1 or 2][columns][channels], likewise
  T* cells = nullptr;  // kGiven: [rows][columns], likewise
  T* variance = nullptr;  // RBF: one number, likewise
  int refinement = 0;  // at most the strip's; where it is less, one warp must sweep all the pair's strips
};

struct ByRow {
  static constexpr bool value = false;
};
struct ByColumn {
  static constexpr bool value = true;
};

// One cell's share in the gradient of its row's segment, or of its column's: by the segment's start and by its end. Takes
// kChunk channels from d0.
template <class T>
struct CellShare {
  static constexpr int kChunk = 2;
  const PairIncrements<T>& increments;
  bool is_rbf;
  int d0, width;

  template <class Axis>
  __device__ void add(Axis, int i, int j, T weight, T* start, T* end) const {
    constexpr bool kColumn = Axis::value;
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
  }
};

// Calls write() of lanes that might write to one place in turn: those whose numbers agree but for the last `bits` bits.
template <class Write>
__device__ void in_turn(int number, int bits, const Write& write) {
  SIGKERNEL_ROLLED for (int turn = 0; turn < 1 << bits; ++turn) {
    if ((number & ((1 << bits) - 1)) == turn) write();
    if (bits > 0) __syncwarp();
  }
}

// Takes a tile's gradient g by increments, laid out as form_increments does and 0 wherever there is no cell. No two lanes
// write to one place at once: of x a lane has its own rows, of y some columns. Called by the whole warp; is_live: whether this
// group has a pair.
template <int R, class T>
__device__ void add_gradient(const PairIncrements<T>& increments, const GpuProblem<T>& problem, const GpuStrip& strip,
                             const Lanes& lanes, int first, int steps, bool is_live, const RowNumbers<T, R>* g,
                             const PairGradient<T>& gradient) {
  const int r = strip.refinement, shared = r - gradient.refinement, channels = problem.channels;
  const int64_t rows = strip.rows >> shared, columns = strip.columns >> shared;
  const auto at = [&](int c, int a, int lane) { return g[c * kWarp + lanes.group * lanes.count + lane].of[a]; };
  if (problem.increments == GpuIncrements::kGiven) {
    const int row = strip.first_row + lanes.lane * R;
    in_turn(row, shared, [&] {
      for (int c = 0; c < steps; ++c)
        for (int a = 0; a < R; ++a) {
          const int column = first + c - lanes.lane;
          if (is_live && row + a >= 0 && column >= 0 && column < strip.columns)
            gradient.cells[((row + a) >> shared) * columns + (column >> shared)] += at(c, a, lanes.lane);
        }
    });
    return;
  }
  const bool is_rbf = problem.increments == GpuIncrements::kRbf;
  constexpr int kChunk = CellShare<T>::kChunk;
  for (int d0 = 0; d0 < channels; d0 += kChunk) {
    const int width = channels - d0 < kChunk ? channels - d0 : kChunk;
    const CellShare<T> share = {increments, is_rbf, d0, width};
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
      if (row >= 0) {
        SIGKERNEL_ROLLED for (int c = 0; c < steps; ++c)
          share.add(ByRow(), row >> r, (first + c - lanes.lane) >> r, at(c, a, lanes.lane), start, end);
      }
      in_turn(row, shared, [&] {
        if (is_live && row >= 0) write(gradient.x, row >> shared, rows, start, end);
      });
    }
    const int lowest = first - (lanes.count - 1);
    for (int k = 0; k < steps + lanes.count - 1; k += lanes.count) {
      const int column = lowest + k + lanes.lane;
      const bool is_inside = column >= strip.first_column && column < strip.columns && column < first + steps;
      T start[kChunk] = {}, end[kChunk] = {};
      if (is_inside) {
        SIGKERNEL_ROLLED for (int lane = first > column ? first - column : 0; lane < lanes.count && column + lane < first + steps; ++lane)
          SIGKERNEL_ROLLED for (int a = 0; a < R; ++a)
            share.add(ByColumn(), (strip.first_row + lane * R + a) >> r, column >> r, at(column + lane - first, a, lane), start, end);
      }
      in_turn(column, shared, [&] {
        if (is_live && is_inside) write(gradient.y, column >> shared, columns, start, end);
      });
    }
  }
}

}  // namespace sigkernel
