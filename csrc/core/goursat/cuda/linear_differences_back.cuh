// The way back through a strip of finite differences, as linear_differences.cuh goes forward; sweep_back.cuh describes it in general.
// Of a cell the tape keeps one number, U at its first corner: U at the other ones is what neighbours keep. The gradient by a row's
// segment is summed up in its lane's registers, that by a column's passes down the lanes as the column goes and leaves at the first.
#pragma once

#include "core/goursat/cuda/sweep_back.cuh"

namespace sigkernel {

// As BackwardStrip of Adjoint<FiniteDifference>, of which it has the interface. `bars` hold one number a column, the derivative by the
// increment along an edge.
template <class T, int R, int D>
class LinearBackwardStrip {
  static constexpr int kSteps = 16, kAtOnce = D * sizeof(T) > 16 ? 2 : 4;  // more would not stay in registers
  using Rows = LinearRows<T, R, D>;
  using Bars = LinearBars<T, R, D>;
  using WarpTile = Tile<FiniteDifference, T, R, kSteps>;
  using Linear = LinearDifferences<T, R, D, WarpTile>;

 public:
  static __host__ __device__ int tile_bytes(int lanes) {
    SharedArena counted;
    Memory(counted, Lanes::of(0, lanes));
    return counted.used();
  }
  struct Memory {
    WarpTile tile;             // in place of increments the tape
    Chunk<T>* more;            // of linear_differences.cuh
    T *entering, *leaving;     // bars, the group's: [steps], as is
    RowNumbers<T, D>* by_dy;   // what leaves at the first lane

    __host__ __device__ Memory(SharedArena& memory, const Lanes& lanes) : tile(memory, lanes) {
      const int columns = kSteps + lanes.count - 1;
      more = memory.take<Chunk<T>>(Linear::kChunks > 1 ? lanes.groups * columns : 0) + lanes.group * columns;
      entering = memory.take<T>(lanes.groups * kSteps) + lanes.group * kSteps;
      leaving = memory.take<T>(lanes.groups * kSteps) + lanes.group * kSteps;
      by_dy = memory.take<RowNumbers<T, D>>(lanes.groups * kSteps) + lanes.group * kSteps;
    }
  };
  static __host__ __device__ int64_t saved_numbers(int64_t columns, int lanes) {
    return parts_of(columns + lanes - 1, kSteps) * Rows::kState * kWarp;
  }

  __device__ LinearBackwardStrip(const PairIncrements<T>& increments, const GpuProblem<T>& problem, const GpuStrip& strip,
                                 const Lanes& lanes, const Memory& memory, T* saved)
      : increments_(increments), channels_(problem.channels), strip_(strip), lanes_(lanes), memory_(memory),
        linear_(memory.tile, memory.more, lanes), saved_(saved + lanes.thread) {}

  // Where a tile goes beyond the strip's last step, increments are 0 and change nothing.
  __device__ void run(const T* entered, const SharedRow<T>& row, int above_first_column, T scale, bool is_live,
                      const PairGradient<T>& gradient) {
    const T factor(increments_.factor(strip_.refinement));
    const int tiles = parts_of(strip_.end_step(lanes_), kSteps);
    Rows rows;
    rows.start(increments_, strip_, lanes_, channels_, factor);
    save_starts_of_tiles(entered, tiles, rows);
    Bars bars;
    if (strip_.first_row + (lanes_.lane + 1) * R == strip_.rows) bars.corner[R - 1] = bars.left[R - 1] = T(1);  // of k
    SIGKERNEL_ROLLED for (int t = tiles - 1; t >= 0; --t) {
      const int first = t * kSteps;
      write_tape(entered, t, rows);
      if (t == tiles - 1) {
        SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) bars.after[a] = rows.corner[a];
      }
      const int lowest = first - (lanes_.count - 1) > above_first_column ? first - (lanes_.count - 1) : above_first_column;
      if (row.before != nullptr) wait_for_counter(row.before, strip_.columns - lowest);
      read_bars(row.read, above_first_column, first);
      __syncwarp();
      retreat(rows, bars);
      __syncwarp();
      if (is_live) write_columns(row.write, first, scale, gradient.y);
      if (t == 0 && is_live) write_rows(bars, scale * factor, gradient.x);
      __syncwarp();
      if (row.progress != nullptr)
        raise_counter(row.progress, strip_.columns - (first < strip_.columns ? first : strip_.columns), lanes_.lane);
    }
  }

 private:
  __device__ void stage(const T* entered, int t) const {
    memory_.tile.read_row(entered, strip_, lanes_, t * kSteps, kSteps);
    linear_.stage(increments_, strip_, t * kSteps, kSteps, channels_);
    __syncwarp();
  }

  __device__ void save_starts_of_tiles(const T* entered, int tiles, Rows& rows) const {
    T along = 0;
    SIGKERNEL_ROLLED for (int t = 0; t < tiles; ++t) {
      rows.save(along, saved_ + int64_t{t} * Rows::kState * kWarp);
      if (t == tiles - 1) break;
      stage(entered, t);
      linear_.sweep(rows, along, kSteps, [](int) {});
      __syncwarp();
    }
  }

  __device__ void write_tape(const T* entered, int t, Rows& rows) const {
    T along;
    rows.load(saved_ + int64_t{t} * Rows::kState * kWarp, along);
    stage(entered, t);
    linear_.sweep(rows, along, kSteps, [&](int c) {
      RowNumbers<T, R> kept;
      SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) kept.of[a] = rows.corner[a];
      tape(c) = kept;
    });
  }

  __device__ RowNumbers<T, R>& tape(int c) const { return memory_.tile.p[c * kWarp + lanes_.thread]; }

  __device__ void read_bars(const T* row, int above_first_column, int first) const {
    for (int n = lanes_.lane; n < kSteps; n += lanes_.count) {
      const int column = first - (lanes_.count - 1) + n;
      const bool has_bars = row != nullptr && column >= above_first_column && column < strip_.columns;
      memory_.entering[n] = has_bars ? row[column] : T(0);
    }
  }

  __device__ void retreat(const Rows& rows, Bars& bars) const {
    const auto* above_strip = reinterpret_cast<const typename Linear::Edge*>(memory_.tile.leaving);
    SIGKERNEL_ROLLED for (int turn = kSteps - kAtOnce; turn >= 0; turn -= kAtOnce)
      SIGKERNEL_UNROLL for (int k = kAtOnce - 1; k >= 0; --k) {
        const int c = turn + k;
        T dy[D];
        linear_.read_segment(c, dy);
        const T passed = __shfl_down_sync(kAllLanes, bars.along, 1, lanes_.count);
        const T above = __shfl_down_sync(kAllLanes, bars.after[0], 1, lanes_.count);
        bars.along = lanes_.is_last() ? memory_.entering[c] : passed;
        SIGKERNEL_UNROLL for (int d = 0; d < D; ++d) {
          const T by_dy = __shfl_down_sync(kAllLanes, bars.by_dy[d], 1, lanes_.count);
          bars.by_dy[d] = lanes_.is_last() ? T(0) : by_dy;
        }
        bars.step(rows.dx, dy, tape(c), lanes_.is_last() ? above_strip[c].of[1] : above);
        if (lanes_.is_first()) {
          RowNumbers<T, D> by_dy;
          SIGKERNEL_UNROLL for (int d = 0; d < D; ++d) by_dy.of[d] = bars.by_dy[d];
          memory_.leaving[c] = bars.along;
          memory_.by_dy[c] = by_dy;
        }
      }
  }

  // What has left at the first lane: bars for the strip below, and the gradient by columns' segments.
  __device__ void write_columns(T* row, int first, T scale, T* y) const {
    for (int n = lanes_.lane; n < kSteps && first + n < strip_.columns; n += lanes_.count) {
      if (row != nullptr) row[first + n] = memory_.leaving[n];
      T* place = y + int64_t{first + n} * channels_;
      SIGKERNEL_UNROLL for (int d = 0; d < D; ++d) {
        if (d < channels_) place[d] += scale * memory_.by_dy[n].of[d];
      }
    }
  }

  __device__ void write_rows(const Bars& bars, T scale, T* x) const {
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
      const int row = strip_.first_row + lanes_.lane * R + a;
      SIGKERNEL_UNROLL for (int d = 0; d < D; ++d) {
        if (row >= 0 && d < channels_) x[int64_t{row} * channels_ + d] += scale * bars.by_dx[a][d];
      }
    }
  }

  const PairIncrements<T>& increments_;
  const int channels_;
  const GpuStrip strip_;
  const Lanes& lanes_;
  const Memory memory_;
  const Linear linear_;
  T* const saved_;
};

}  // namespace sigkernel
