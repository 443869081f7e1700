// What a warp does with one tile of a strip beside sweeping it: forms the increments of its cells, and takes their gradient.
// A tile is some steps of a strip; at each, a lane is at one column of its own rows, one column behind the lane before.
#pragma once

#include "core/goursat/cuda/problem.cuh"

namespace sigkernel {

constexpr unsigned kAllLanes = ~0u;

// Where a thread stands in its warp. The warp is cut into groups of lanes, each at work on a pair of its own; all groups of a
// warp step together, so that every shuffle and barrier is the whole warp's.
struct Lanes {
  int thread;        // of the warp
  int lane, count;   // of the group
  int group, groups;

  static __host__ __device__ Lanes of(int thread_of_block, int count) {
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

// Some channels of a segment's increment.
constexpr int kChunk = 4;
template <class T>
struct alignas(16) Chunk {
  T of[kChunk];
};

// Under the linear static kernel a tile's increments are products of its rows' segments and its columns'. A group keeps some
// channels of them in shared memory: of its columns, from the last lane's first, and on the way back of its rows.
template <class T>
struct StagedSegments {
  Chunk<T>* columns;  // [steps + lanes - 1]
  Chunk<T>* rows;     // [lanes * R]

  // Writes segment first + n of a path in place n; nothing moves outside of the grid. Called by a group; a barrier must follow.
  template <class Point>
  static __device__ void write(Chunk<T>* to, const Lanes& lanes, int first, int count, int end, int refinement, int channels, int d0,
                               const Point& point) {
    for (int n = lanes.lane; n < count; n += lanes.count) {
      const bool is_inside = first + n >= 0 && first + n < end;
      const int segment = is_inside ? (first + n) >> refinement : 0;
      const T *from = point(segment) + d0, *next = from + channels;
      Chunk<T> chunk;
      SIGKERNEL_UNROLL for (int d = 0; d < kChunk; ++d) chunk.of[d] = is_inside && d0 + d < channels ? next[d] - from[d] : T(0);
      to[n] = chunk;
    }
  }
  __device__ void write_columns(const PairIncrements<T>& increments, const GpuStrip& strip, const Lanes& lanes, int first, int steps,
                                int channels, int d0) const {
    write(columns, lanes, first - (lanes.count - 1), steps + lanes.count - 1, strip.columns, strip.refinement, channels, d0,
          [&](int segment) { return increments.y_point(segment); });
  }
  __device__ void write_rows(const PairIncrements<T>& increments, const GpuStrip& strip, const Lanes& lanes, int R, int channels,
                             int d0) const {
    write(rows, lanes, strip.first_row, lanes.count * R, strip.rows, strip.refinement, channels, d0,
          [&](int segment) { return increments.x_point(segment); });
  }
};

// Writes factor times the increments of `steps` steps of a strip from step `first`, where a lane's cell is at column
// step - lane: p[step * kWarp + thread], 0 outside of the grid.
template <int R, class T>
__device__ void form_linear(const PairIncrements<T>& increments, const GpuProblem<T>& problem, const GpuStrip& strip, const Lanes& lanes,
                            int first, int steps, T factor, const StagedSegments<T>& staged, RowNumbers<T, R>* p) {
  const int row = strip.first_row + lanes.lane * R;
  for (int d0 = 0; d0 < problem.channels; d0 += kChunk) {
    staged.write_columns(increments, strip, lanes, first, steps, problem.channels, d0);
    Chunk<T> dx[R];
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
      const bool is_inside = row + a >= 0;
      const T *from = increments.x_point(is_inside ? (row + a) >> strip.refinement : 0) + d0, *next = from + problem.channels;
      SIGKERNEL_UNROLL for (int d = 0; d < kChunk; ++d)
        dx[a].of[d] = is_inside && d0 + d < problem.channels ? factor * (next[d] - from[d]) : T(0);
    }
    __syncwarp();
    const Chunk<T>* dy = staged.columns + (lanes.count - 1 - lanes.lane);
    const auto add = [&](int c) {
      RowNumbers<T, R> sum = {};
      if (d0 > 0) sum = p[c * kWarp];
      const Chunk<T> here = dy[c];
      SIGKERNEL_UNROLL for (int d = 0; d < kChunk; ++d)
        SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) sum.of[a] += dx[a].of[d] * here.of[d];
      p[c * kWarp] = sum;
    };
    constexpr int kAtOnce = 4;
    int c = 0;
    SIGKERNEL_ROLLED for (; c + kAtOnce <= steps; c += kAtOnce)
      SIGKERNEL_UNROLL for (int k = 0; k < kAtOnce; ++k) add(c + k);
    SIGKERNEL_ROLLED for (; c < steps; ++c) add(c);
    if (d0 + kChunk < problem.channels) __syncwarp();
  }
}

template <int R, class T>
__device__ void form_rbf(const PairIncrements<T>& increments, const GpuStrip& strip, const Lanes& lanes, int first, int steps, T factor,
                         RowNumbers<T, R>* p) {
  const int row = strip.first_row + lanes.lane * R;
  T before[R + 1];  // a cell shares its left corners with the one before
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
}

template <int R, class T>
__device__ void form_increments(const PairIncrements<T>& increments, const GpuProblem<T>& problem, const GpuStrip& strip,
                                const Lanes& lanes, int first, int steps, T factor, const StagedSegments<T>& staged, RowNumbers<T, R>* p) {
  const int r = strip.refinement, row = strip.first_row + lanes.lane * R;
  p += lanes.thread;
  if (problem.increments == GpuIncrements::kLinear) return form_linear(increments, problem, strip, lanes, first, steps, factor, staged, p);
  if (problem.increments == GpuIncrements::kRbf && r == 0) return form_rbf(increments, strip, lanes, first, steps, factor, p);
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

// Calls write() of lanes that might write to one place in turn: those whose numbers agree but for the last `bits` bits.
template <class Write>
__device__ void in_turn(int number, int bits, const Write& write) {
  SIGKERNEL_ROLLED for (int turn = 0; turn < 1 << bits; ++turn) {
    if ((number & ((1 << bits) - 1)) == turn) write();
    if (bits > 0) __syncwarp();
  }
}

// Takes a tile's gradient g by increments, laid out as form_increments does and 0 wherever there is no cell. No two lanes write
// to one place at once: of x a lane has its own rows, of y some columns. add() is called by the whole warp; is_live: whether this
// group has a pair.
template <int R, class T>
class TileGradient {
 public:
  __device__ TileGradient(const PairIncrements<T>& increments, const GpuProblem<T>& problem, const GpuStrip& strip, const Lanes& lanes,
                          int first, int steps, bool is_live, const RowNumbers<T, R>* g, const PairGradient<T>& gradient)
      : increments_(increments), problem_(problem), strip_(strip), lanes_(lanes), first_(first), steps_(steps), is_live_(is_live),
        shared_(strip.refinement - gradient.refinement), row_(strip.first_row + lanes.lane * R),
        g_(g + lanes.group * lanes.count), gradient_(gradient) {}

  __device__ void add(const StagedSegments<T>& staged) const {
    if (problem_.increments == GpuIncrements::kGiven) return add_cells();
    for (int d0 = 0; d0 < problem_.channels; d0 += kChunk) {
      if (problem_.increments == GpuIncrements::kLinear) {
        add_linear(d0, staged);
        continue;
      }
      add_rbf(ByRow(), d0);
      add_rbf(ByColumn(), d0);
    }
  }

 private:
  struct ByRow {
    static constexpr bool is_column = false;
  };
  struct ByColumn {
    static constexpr bool is_column = true;
  };

  __device__ const RowNumbers<T, R>& at(int c, int lane) const { return g_[c * kWarp + lane]; }
  __device__ int lowest_column() const { return first_ - (lanes_.count - 1); }
  __device__ int lowest_lane(int column) const { return first_ > column ? first_ - column : 0; }
  __device__ bool has_cell(int column, int lane) const { return lane < lanes_.count && column + lane < first_ + steps_; }

  __device__ void add_cells() const {
    const int64_t columns = strip_.columns >> shared_;
    in_turn(row_, shared_, [&] {
      for (int c = 0; c < steps_; ++c)
        for (int a = 0; a < R; ++a) {
          const int row = row_ + a, column = first_ + c - lanes_.lane;
          if (is_live_ && row >= 0 && column >= 0 && column < strip_.columns)
            gradient_.cells[(row >> shared_) * columns + (column >> shared_)] += at(c, lanes_.lane).of[a];
        }
    });
  }

  // Calls sum(column, start, end) for every column of the tile, a lane for each, and adds what it sets.
  template <class Sum>
  __device__ void for_columns(int d0, const Sum& sum) const {
    for (int k = 0; k < steps_ + lanes_.count - 1; k += lanes_.count) {
      const int column = lowest_column() + k + lanes_.lane;
      const bool is_inside = column >= strip_.first_column && column < strip_.columns && column < first_ + steps_;
      Chunk<T> start = {}, end = {};
      if (is_inside) sum(column, start, end);
      in_turn(column, shared_, [&] {
        if (is_live_ && is_inside) write(gradient_.y, column >> shared_, strip_.columns >> shared_, d0, start, end);
      });
    }
  }

  __device__ void write_row(int row, int d0, const Chunk<T>& start, const Chunk<T>& end) const {
    in_turn(row, shared_, [&] {
      if (is_live_ && row >= 0) write(gradient_.x, row >> shared_, strip_.rows >> shared_, d0, start, end);
    });
  }

  __device__ void write(T* to, int64_t segment, int64_t segments, int d0, const Chunk<T>& start, const Chunk<T>& end) const {
    T* place = to + segment * problem_.channels + d0;
    SIGKERNEL_UNROLL for (int d = 0; d < kChunk; ++d) {
      if (d0 + d >= problem_.channels) continue;
      place[d] += start.of[d];
      if (problem_.increments == GpuIncrements::kRbf) place[segments * problem_.channels + d] += end.of[d];
    }
  }

  __device__ void add_linear(int d0, const StagedSegments<T>& staged) const {
    __syncwarp();
    staged.write_columns(increments_, strip_, lanes_, first_, steps_, problem_.channels, d0);
    staged.write_rows(increments_, strip_, lanes_, R, problem_.channels, d0);
    __syncwarp();
    Chunk<T> rows[R] = {};
    const Chunk<T>* dy = staged.columns + (lanes_.count - 1 - lanes_.lane);
    SIGKERNEL_ROLLED for (int c = 0; c < steps_; ++c) {
      const RowNumbers<T, R> g = at(c, lanes_.lane);
      const Chunk<T> here = dy[c];
      SIGKERNEL_UNROLL for (int a = 0; a < R; ++a)
        SIGKERNEL_UNROLL for (int d = 0; d < kChunk; ++d) rows[a].of[d] += g.of[a] * here.of[d];
    }
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) write_row(row_ + a, d0, rows[a], Chunk<T>());
    for_columns(d0, [&](int column, Chunk<T>& start, Chunk<T>&) {
      SIGKERNEL_ROLLED for (int lane = lowest_lane(column); has_cell(column, lane); ++lane) {
        const RowNumbers<T, R> g = at(column + lane - first_, lane);
        SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
          const Chunk<T> dx = staged.rows[lane * R + a];
          SIGKERNEL_UNROLL for (int d = 0; d < kChunk; ++d) start.of[d] += g.of[a] * dx.of[d];
        }
      }
    });
  }

  __device__ void add_rbf(ByRow axis, int d0) const {
    SIGKERNEL_ROLLED for (int a = 0; a < R; ++a) {
      Chunk<T> start = {}, end = {};
      if (row_ + a >= 0) {
        SIGKERNEL_ROLLED for (int c = 0; c < steps_; ++c)
          add_corners(axis, row_ + a, first_ + c - lanes_.lane, at(c, lanes_.lane).of[a], d0, start, end);
      }
      write_row(row_ + a, d0, start, end);
    }
  }
  __device__ void add_rbf(ByColumn axis, int d0) const {
    for_columns(d0, [&](int column, Chunk<T>& start, Chunk<T>& end) {
      SIGKERNEL_ROLLED for (int lane = lowest_lane(column); has_cell(column, lane); ++lane)
        SIGKERNEL_ROLLED for (int a = 0; a < R; ++a)
          add_corners(axis, strip_.first_row + lane * R + a, column, at(column + lane - first_, lane).of[a], d0, start, end);
    });
  }

  // One cell's share in its row's segment, or in its column's: by the segment's start and by its end.
  template <class Axis>
  __device__ void add_corners(Axis, int row, int column, T weight, int d0, Chunk<T>& start, Chunk<T>& end) const {
    const int i = row >> strip_.refinement, j = column >> strip_.refinement;
    SIGKERNEL_ROLLED for (int corner = 0; corner < 4; ++corner) {
      const int by_x = corner / 2, by_y = corner % 2;
      const T *x = increments_.x_point(i + by_x) + d0, *y = increments_.y_point(j + by_y) + d0;
      const T pull = (by_x == by_y ? weight : -weight) * increments_.kappa(i + by_x, j + by_y);
      const bool is_end = Axis::is_column ? by_y == 1 : by_x == 1;
      SIGKERNEL_UNROLL for (int d = 0; d < kChunk; ++d) {
        if (d0 + d >= problem_.channels) continue;
        const T part = Axis::is_column ? pull * (x[d] - y[d]) : pull * (y[d] - x[d]);
        start.of[d] += is_end ? T(0) : part;
        end.of[d] += is_end ? part : T(0);
      }
    }
  }

  const PairIncrements<T>& increments_;
  const GpuProblem<T>& problem_;
  const GpuStrip& strip_;
  const Lanes& lanes_;
  const int first_, steps_;
  const bool is_live_;
  const int shared_;  // halvings between the tile's rows and columns and the gradient's
  const int row_;     // of the lane, its first
  const RowNumbers<T, R>* g_;
  const PairGradient<T>& gradient_;
};

}  // namespace sigkernel
