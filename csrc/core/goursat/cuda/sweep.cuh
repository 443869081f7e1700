// Sweeps over a pair's grid, strip by strip, forward and backward, for any cell rule of cell.h: what a group of
// lanes does with one strip, tile by tile. A lane holds the edges of its own rows in registers and gets the row below from
// the lane before, by a shuffle. Cells outside of the grid have p = 0 and pass U = 1 on, so that going forward no lane asks
// where it is.
#pragma once

#include "core/goursat/cell.h"
#include "core/goursat/cuda/tile.cuh"
#include "core/goursat/inspection.h"

namespace sigkernel {

template <class T>
__device__ T largest_of_lanes(const Lanes& lanes, T value) {
  for (int offset = lanes.count / 2; offset > 0; offset /= 2)
    value = max(value, __shfl_xor_sync(kAllLanes, value, offset, lanes.count));
  return value;
}
template <class T>
__device__ T sum_of_lanes(const Lanes& lanes, T value) {
  for (int offset = lanes.count / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(kAllLanes, value, offset, lanes.count);
  return value;
}

// What a power series' sweep saw, over the strips so far.
template <class T>
struct Seen {
  T scale, amplitude, tail, across;

  __device__ void merge(const Seen& other) {
    scale = max(scale, other.scale);
    amplitude = max(amplitude, other.amplitude);
    tail = max(tail, other.tail);
    across = max(across, other.across);
  }
};

// For a rule that is not looked at.
template <class Rule, class T>
struct LaneInspection {
  __device__ void look(int, const T*, const T*, T) {}
  __device__ Seen<T> seen(const Lanes&) const { return {}; }
};
template <int K, class T>
struct LaneInspection<PowerSeries<K>, T> {
  Inspection<PowerSeries<K>, T> inspection;
  T along = 0, across = 0;

  __device__ void look(int step, const T* top, const T* right, T reach) {
    if (step % kStepsToLook != 0) return;
    inspection.look_at(top, reach, &along);
    T dropped = 0;
    inspection.look_at(right, reach, &dropped);
    across = max(across, dropped);
  }
  __device__ Seen<T> seen(const Lanes& lanes) const {
    return {largest_of_lanes(lanes, inspection.scale), largest_of_lanes(lanes, inspection.amplitude),
            largest_of_lanes(lanes, along * T(kStepsToLook)), largest_of_lanes(lanes, across)};
  }
};

// Steps of a tile: as many as fit a warp's share of shared memory, of kPerCell numbers for each cell.
template <class T, int R, int kPerCell>
constexpr int tile_steps(int bytes, int most) {
  const int steps = bytes / (kWarp * R * kPerCell * static_cast<int>(sizeof(T)));
  return steps > most ? most : steps < 4 ? 4 : steps;
}

// A row of edges between two strips, in global or shared memory, and how far those at work on it have come. A warp that
// sweeps all strips of a pair by itself needs no counters.
template <class T>
struct SharedRow {
  const T* read = nullptr;        // of the strip before; null for the first
  T* write = nullptr;             // for the strip after; null for the last. May be the same row.
  const int32_t* before = nullptr;
  int32_t* progress = nullptr;    // columns done
};

// The state of one lane: the top edge of its last row at the column it is at, and the left edge of each row.
template <class Rule, class T, int R>
struct LaneEdges {
  static constexpr int kSize = Rule::kCoefficients;
  static constexpr int kNumbers = (R + 1) * kSize;
  static constexpr int kNone = -(1 << 30);  // no column
  T top[kSize], left[R][kSize];
  int diagonal;  // of half a grid: the column at which the lane's first row has its diagonal cell

  __device__ void start(const GpuStrip& strip, const Lanes& lanes) {
    Rule::axis(top);
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) Rule::axis(left[a]);
    diagonal = strip.is_half ? strip.first_row + lanes.lane * R : kNone;
  }

  // The bottom edge of a lane's first row: what the lane before left one step ago, or for the first lane `given`.
  __device__ void receive(const Lanes& lanes, const T* given) {
    SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) {
      const T passed = __shfl_up_sync(kAllLanes, top[k], 1, lanes.count);
      top[k] = lanes.is_first() ? given[k] : passed;
    }
  }

  // One cell in each row at `column`: cell(row of the lane, bottom, left) sweeps it. On the diagonal of half a grid U is
  // symmetric, so that the left edge is the bottom one; what lanes make of the cells left of it is never used.
  template <class Cell>
  __device__ void step(int column, const Cell& cell) {
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
      const bool is_diagonal = column == diagonal + a;
      SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) left[a][k] = is_diagonal ? top[k] : left[a][k];
      cell(a, top, left[a]);
    }
  }

  // Whether its last row's cell at `column` is used.
  __device__ bool is_in_use(int column) const { return column >= diagonal + R - 1; }

  __device__ void save(T* to) const {
    SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) {
      to[k * kWarp] = top[k];
      SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) to[((a + 1) * kSize + k) * kWarp] = left[a][k];
    }
  }
  __device__ void load(const T* from) {
    SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) {
      top[k] = from[k * kWarp];
      SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) left[a][k] = from[((a + 1) * kSize + k) * kWarp];
    }
  }
};

// A tile in shared memory, a warp's own: the increments of its cells; the segments that they are formed of; and for each group
// the edges that enter and leave a strip at its first and last lane.
template <class Rule, class T, int R, int kSteps>
struct Tile {
  static constexpr int kSize = Rule::kCoefficients;
  RowNumbers<T, R>* p;        // [steps][warp]
  StagedSegments<T> staged;   // the group's, as are
  T *entering, *leaving;      // [steps][kSize]

  __host__ __device__ Tile(SharedArena& memory, const Lanes& lanes) : p(memory.take<RowNumbers<T, R>>(kSteps * kWarp)), staged() {
    const int columns = kSteps + lanes.count - 1;
    staged.columns = memory.take<Chunk<T>>(lanes.groups * columns) + lanes.group * columns;
    entering = memory.take<T>(lanes.groups * kSteps * kSize) + lanes.group * kSteps * kSize;
    leaving = memory.take<T>(lanes.groups * kSteps * kSize) + lanes.group * kSteps * kSize;
  }

  // What enters a strip in `steps` steps from `first`: of `row`, or where there is none or it has ended the axis.
  __device__ void read_row(const T* row, const GpuStrip& strip, const Lanes& lanes, int first, int steps) const {
    for (int n = lanes.lane; n < steps * kSize; n += lanes.count) {
      const int column = first + n / kSize;
      const bool is_axis = row == nullptr || column >= strip.columns;
      entering[n] = is_axis ? T(n % kSize == 0 ? 1 : 0) : row[int64_t{first} * kSize + n];
    }
  }
};

// Forward through one strip. memory: of tile_bytes(), shared, the warp's own.
template <class Rule, class T, int R>
struct ForwardStrip {
  static constexpr int kSize = Rule::kCoefficients;
  static constexpr int kSteps = tile_steps<T, R, 1>(8 << 10, 16);
  using WarpTile = Tile<Rule, T, R, kSteps>;
  static __host__ __device__ int tile_bytes(int lanes) {
    SharedArena counted;
    WarpTile(counted, Lanes::of(0, lanes));
    return counted.used();
  }

  // Returns U at the strip's last corner. seen: of the pair's strips so far, this one added; where strips are shared it is
  // kept at *shared_seen between them.
  static __device__ T run(const PairIncrements<T>& increments, const GpuProblem<T>& problem, const GpuStrip& strip,
                          const Lanes& lanes, const SharedRow<T>& row, T reach, unsigned char* memory, Seen<T>& seen,
                          Seen<T>* shared_seen) {
    SharedArena arena(memory);
    const WarpTile tile(arena, lanes);
    const T factor(increments.factor(strip.refinement));
    LaneEdges<Rule, T, R> edges;
    edges.start(strip, lanes);
    LaneInspection<Rule, T> inspection;
    const int end = strip.end_step(lanes);
    for (int first = strip.first_column; first < end; first += kSteps) {
      const int steps = end - first < kSteps ? end - first : kSteps;
      if (row.before != nullptr) wait_for_counter(row.before, first + steps < strip.columns ? first + steps : strip.columns);
      tile.read_row(row.read, strip, lanes, first, steps);
      form_increments<R>(increments, problem, strip, lanes, first, steps, factor, tile.staged, tile.p);
      __syncwarp();
      SIGKERNEL_ROLLED for (int c = 0; c < steps; ++c) {
        const int column = first + c - lanes.lane;
        const RowNumbers<T, R> p = tile.p[c * kWarp + lanes.thread];
        edges.receive(lanes, tile.entering + c * kSize);
        edges.step(column, [&](int a, T* bottom, T* left) { Rule::forward(p.of[a], bottom, left); });
        if (edges.is_in_use(column)) inspection.look(first + c, edges.top, edges.left[R - 1], reach);
        if (lanes.is_last()) {
          SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) tile.leaving[c * kSize + k] = edges.top[k];
        }
      }
      __syncwarp();
      const int column = first - (lanes.count - 1);
      if (row.write != nullptr) {
        for (int n = lanes.lane; n < steps * kSize; n += lanes.count)
          if (column + n / kSize >= strip.first_column) row.write[int64_t{column} * kSize + n] = tile.leaving[n];
      }
      __syncwarp();
      if (row.progress != nullptr && first + steps < end) raise_counter(row.progress, column + steps, lanes.lane);
    }
    seen.merge(inspection.seen(lanes));
    if (shared_seen != nullptr) {
      if (row.before != nullptr) seen.merge(*shared_seen);  // the first strip starts anew
      __syncwarp();
      if (lanes.is_first()) *shared_seen = seen;
    }
    if (row.progress != nullptr) raise_counter(row.progress, strip.columns, lanes.lane);
    return Rule::end(edges.top);
  }
};

// Backward through one strip, from its last step to its first. Its edges are computed anew from the row that entered it
// forward: those at the start of each tile first, then, tile by tile, what a cell leaves for the way back.
template <class Backward, class T, int R>
class BackwardStrip {
 public:
  using Rule = typename Backward::Rule;
  using Edges = LaneEdges<Rule, T, R>;
  static constexpr int kSize = Rule::kCoefficients;
  static constexpr int kSteps = tile_steps<T, R, Backward::kTape + 1>(24 << 10, 16);
  using WarpTile = Tile<Rule, T, R, kSteps>;
  static __host__ __device__ int tile_bytes(int lanes) {
    SharedArena counted;
    Memory(counted, Lanes::of(0, lanes));
    return counted.used();
  }
  struct Memory {
    WarpTile tile;
    T* tape;  // [steps][rows of a lane][tape][warp], from the thread's own

    __host__ __device__ Memory(SharedArena& memory, const Lanes& lanes) : tile(memory, lanes) {
      tile.staged.rows = memory.take<Chunk<T>>(kWarp * R) + lanes.group * lanes.count * R;
      tape = memory.take<T>(kSteps * R * Backward::kTape * kWarp) + lanes.thread;
    }
  };
  // What a warp saves of a strip.
  static __host__ __device__ int64_t saved_numbers(int64_t columns, int lanes) {
    return parts_of(columns + lanes - 1, kSteps) * Edges::kNumbers * kWarp;
  }

  // memory: of tile_bytes(), shared. saved: of saved_numbers().
  __device__ BackwardStrip(const PairIncrements<T>& increments, const GpuProblem<T>& problem, const GpuStrip& strip,
                           const Lanes& lanes, const Memory& memory, T* saved)
      : increments_(increments), problem_(problem), strip_(strip), lanes_(lanes), tile_(memory.tile), tape_(memory.tape),
        saved_(saved + lanes.thread), factor_(increments.factor(strip.refinement)) {}

  // entered: the row that entered the strip forward, or null. bars: what the derivatives by rows of edges pass through;
  // progress counts columns from the last. above_first_column: of the strip above, or the number of columns. scale: of the
  // gradient, which is kept where the group is live.
  __device__ void run(const T* entered, const SharedRow<T>& bars, int above_first_column, T scale, bool is_live,
                   const PairGradient<T>& gradient) {
    const int begin = strip_.first_column, end = strip_.end_step(lanes_), tiles = parts_of(end - begin, kSteps);
    save_starts_of_tiles(entered, tiles);
    T bar[kSize], right[R][kSize];
    Backward::boundary(bar);
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
      Backward::boundary(right[a]);
      if (strip_.first_row + lanes_.lane * R + a == strip_.rows - 1) Backward::seed(right[a]);
    }
    T area = 1;
    for (int n = 0; n < strip_.refinement; ++n) area *= T(0.25);
    T by_variance = 0;
    SIGKERNEL_ROLLED for (int t = tiles - 1; t >= 0; --t) {
      const int first = begin + t * kSteps, steps = end - first < kSteps ? end - first : kSteps;
      write_tape(entered, t, first, steps);
      // The bars that enter at the last lane: those above, of columns that the strip above has done.
      const int lowest = first - (lanes_.count - 1) > above_first_column ? first - (lanes_.count - 1) : above_first_column;
      if (bars.before != nullptr) wait_for_counter(bars.before, strip_.columns - lowest);
      __syncwarp();
      read_bars(bars.read, above_first_column, first, steps);
      __syncwarp();
      by_variance += retreat(first, steps, scale * area, bar, right);
      __syncwarp();
      if (bars.write != nullptr) {
        for (int n = lanes_.lane; n < steps * kSize; n += lanes_.count)
          if (first + n / kSize < strip_.columns) bars.write[int64_t{first} * kSize + n] = tile_.leaving[n];
      }
      TileGradient<R, T>(increments_, problem_, strip_, lanes_, first, steps, is_live, tile_.p, gradient).add(tile_.staged);
      if (t == 0 && problem_.increments == GpuIncrements::kRbf) {  // before the strip below is let go to add its own
        by_variance = sum_of_lanes(lanes_, by_variance);
        if (is_live && lanes_.is_first()) *gradient.variance += by_variance;
      }
      __syncwarp();
      if (bars.progress != nullptr)
        raise_counter(bars.progress, strip_.columns - (first < strip_.columns ? first : strip_.columns), lanes_.lane);
    }
  }

 private:
  __device__ void read_tile(const T* entered, int first, int steps) const {
    tile_.read_row(entered, strip_, lanes_, first, steps);
    form_increments<R>(increments_, problem_, strip_, lanes_, first, steps, T(1), tile_.staged, tile_.p);
    __syncwarp();
  }

  __device__ void save_starts_of_tiles(const T* entered, int tiles) const {
    Edges edges;
    edges.start(strip_, lanes_);
    SIGKERNEL_ROLLED for (int t = 0; t < tiles; ++t) {
      const int first = strip_.first_column + t * kSteps;
      edges.save(saved_ + int64_t{t} * Edges::kNumbers * kWarp);
      if (t == tiles - 1) break;
      read_tile(entered, first, kSteps);
      SIGKERNEL_ROLLED for (int c = 0; c < kSteps; ++c) {
        const RowNumbers<T, R> p = tile_.p[c * kWarp + lanes_.thread];
        edges.receive(lanes_, tile_.entering + c * kSize);
        edges.step(first + c - lanes_.lane, [&](int a, T* bottom, T* left) { Rule::forward(factor_ * p.of[a], bottom, left); });
      }
      __syncwarp();
    }
  }

  __device__ T* tape(int c, int a) const { return tape_ + (c * R + a) * Backward::kTape * kWarp; }

  __device__ void write_tape(const T* entered, int t, int first, int steps) const {
    Edges edges;
    edges.start(strip_, lanes_);
    edges.load(saved_ + int64_t{t} * Edges::kNumbers * kWarp);
    read_tile(entered, first, steps);
    SIGKERNEL_ROLLED for (int c = 0; c < steps; ++c) {
      const RowNumbers<T, R> p = tile_.p[c * kWarp + lanes_.thread];
      edges.receive(lanes_, tile_.entering + c * kSize);
      edges.step(first + c - lanes_.lane, [&](int a, T* bottom, T* left) {
        T kept[Backward::kTape];
        Backward::forward_keeping(factor_ * p.of[a], bottom, left, kept);
        SIGKERNEL_UNROLL for (int k = 0; k < Backward::kTape; ++k) tape(c, a)[k * kWarp] = kept[k];
      });
    }
  }

  __device__ void read_bars(const T* row, int above_first_column, int first, int steps) const {
    T boundary[kSize];
    Backward::boundary(boundary);
    for (int n = lanes_.lane; n < steps * kSize; n += lanes_.count) {
      const int column = first - (lanes_.count - 1) + n / kSize;
      const bool has_bars = row != nullptr && column >= above_first_column && column < strip_.columns;
      tile_.entering[n] = has_bars ? row[int64_t{column} * kSize + n % kSize] : boundary[0] * T(n % kSize == 0);
    }
  }

  // Overwrites the tile's increments by their gradient.
  __device__ T retreat(int first, int steps, T scale, T* bar, T (*right)[kSize]) const {
    const T variance = problem_.increments == GpuIncrements::kRbf ? *problem_.variance : T(1);
    T by_variance = 0;
    SIGKERNEL_ROLLED for (int c = steps - 1; c >= 0; --c) {
      const int column = first + c - lanes_.lane;
      SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) {
        const T passed = __shfl_down_sync(kAllLanes, bar[k], 1, lanes_.count);
        bar[k] = lanes_.is_last() ? tile_.entering[c * kSize + k] : passed;
      }
      RowNumbers<T, R>& tile_p = tile_.p[c * kWarp + lanes_.thread];
      RowNumbers<T, R> p = tile_p;
      SIGKERNEL_UNROLL for (int a = R - 1; a >= 0; --a) {
        const int row = strip_.first_row + lanes_.lane * R + a;
        if (row < 0 || column < 0 || column >= strip_.columns || strip_.is_left_out(row, column)) {
          Backward::boundary(bar);
          p.of[a] = 0;
          continue;
        }
        T kept[Backward::kTape];
        SIGKERNEL_UNROLL for (int k = 0; k < Backward::kTape; ++k) kept[k] = tape(c, a)[k * kWarp];
        const bool is_diagonal = strip_.is_half && row == column;
        if (is_diagonal) Backward::enter_diagonal(bar, right[a]);
        const T unit = p.of[a];
        T g = scale * Backward::backward(factor_ * unit, kept, bar, right[a]);
        if (strip_.is_half && !is_diagonal) g *= T(Backward::kOffDiagonalWeight);
        if (is_diagonal) Backward::leave_diagonal(bar, right[a]);
        by_variance += g * unit;
        p.of[a] = g * variance;
      }
      tile_p = p;
      if (lanes_.is_first()) {
        SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) tile_.leaving[c * kSize + k] = bar[k];
      }
    }
    return by_variance;
  }

  const PairIncrements<T>& increments_;
  const GpuProblem<T>& problem_;
  const GpuStrip strip_;
  const Lanes& lanes_;
  const WarpTile tile_;
  T* const tape_;
  T* const saved_;
  const T factor_;
};

}  // namespace sigkernel
