// The way back through a strip: see sweep.cuh.
#pragma once

#include "core/goursat/cuda/sweep.cuh"

namespace sigkernel {

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
        edges.receive(lanes_, true, tile_.entering + c * WarpTile::kStride);
        edges.step(first + c - lanes_.lane, strip_.is_half, [&](int a, T* bottom, T* left) { Rule::forward(factor_ * p.of[a], bottom, left); });
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
      edges.receive(lanes_, true, tile_.entering + c * WarpTile::kStride);
      edges.step(first + c - lanes_.lane, strip_.is_half, [&](int a, T* bottom, T* left) {
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
