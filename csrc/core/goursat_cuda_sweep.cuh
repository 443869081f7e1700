// Sweeps over a pair's grid, strip by strip, forward and backward, for any cell rule of goursat_cell.h: what a group of
// lanes does with one strip, some steps (a tile) at a time. A lane holds the edges of its own rows in registers and gets
// the row below from the lane before, by a shuffle.
#pragma once

#include "core/goursat_cell.h"
#include "core/goursat_cuda_problem.cuh"
#include "core/goursat_inspection.h"

namespace sigkernel {

template <class T>
__device__ T largest_of_lanes(const Lanes& lanes, T value) {
  for (int offset = lanes.count / 2; offset > 0; offset /= 2)
    value = max(value, __shfl_xor_sync(lanes.mask, value, offset, lanes.count));
  return value;
}
template <class T>
__device__ T sum_of_lanes(const Lanes& lanes, T value) {
  for (int offset = lanes.count / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(lanes.mask, value, offset, lanes.count);
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

constexpr int kLook = 8;  // steps from one look at the edges to the next

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
    if (step % kLook != 0) return;
    inspection.look_at(top, reach, &along);
    T dropped = 0;
    inspection.look_at(right, reach, &dropped);
    across = max(across, dropped);
  }
  __device__ Seen<T> seen(const Lanes& lanes) const {
    return {largest_of_lanes(lanes, inspection.scale), largest_of_lanes(lanes, inspection.amplitude),
            largest_of_lanes(lanes, along * T(kLook)), largest_of_lanes(lanes, across)};
  }
};

// Steps of a tile: as many as fit a warp's share of shared memory.
template <class T, int R, int kPerCell>
constexpr int tile_steps(int bytes, int most) {
  const int steps = bytes / (kWarp * R * kPerCell * static_cast<int>(sizeof(T)));
  return steps > most ? most : steps < 4 ? 4 : steps;
}

// A row of edges between two strips, in global or shared memory, and how far those at work on it have come. One who
// sweeps all strips alone needs no counters.
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
  T top[kSize], left[R][kSize];

  __device__ void start() {
    Rule::axis(top);
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) Rule::axis(left[a]);
  }

  // The bottom edge of a lane's first row: what the lane before left one step ago, or for the first lane `given`.
  __device__ void receive(const Lanes& lanes, const T* given) {
    SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) {
      const T passed = __shfl_up_sync(lanes.mask, top[k], 1, lanes.count);
      top[k] = lanes.lane == 0 ? given[k] : passed;
    }
  }

  // One cell in each row at `column`. cell(row of the lane, row of the grid, bottom, left) sweeps it.
  template <class Cell>
  __device__ void step(const GpuStrip& strip, const Lanes& lanes, int column, const Cell& cell) {
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
      const int row = strip.first_row + lanes.lane * R + a;
      if (strip.is_half) {
        if (column < row) continue;
        if (column == row) {  // U is symmetric
          SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) left[a][k] = top[k];
        }
      }
      cell(a, row, top, left[a]);
    }
  }

  __device__ void save(const Lanes& lanes, T* to) const {
    SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) {
      to[k * lanes.count + lanes.lane] = top[k];
      SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) to[((a + 1) * kSize + k) * lanes.count + lanes.lane] = left[a][k];
    }
  }
  __device__ void load(const Lanes& lanes, const T* from) {
    SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) {
      top[k] = from[k * lanes.count + lanes.lane];
      SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) left[a][k] = from[((a + 1) * kSize + k) * lanes.count + lanes.lane];
    }
  }
};

// Reads the edges that enter a strip's first lane in `steps` steps from `first`: [step][kSize].
template <class Rule, class T>
__device__ void read_row(const T* row, const GpuStrip& strip, const Lanes& lanes, int first, int steps, T* edges) {
  constexpr int kSize = Rule::kCoefficients;
  for (int n = lanes.lane; n < steps * kSize; n += lanes.count) {
    const int column = first + n / kSize;
    if (row != nullptr && column < strip.columns) {
      edges[n] = row[int64_t{first} * kSize + n];
    } else {
      edges[n] = T(n % kSize == 0 ? 1 : 0);  // the axis
    }
  }
}

// Forward through one strip. tile: of tile_numbers() numbers in shared memory, the group's own.
template <class Rule, class T, int R>
struct ForwardStrip {
  static constexpr int kSize = Rule::kCoefficients;
  static constexpr int kSteps = tile_steps<T, R, 1>(8 << 10, 16);
  static constexpr int tile_numbers(int lanes) { return kSteps * (R * lanes + 2 * kSize); }

  // Returns U at the strip's last corner. seen: of the pair's strips so far, this one added; where strips are shared it is
  // kept at *shared_seen between them.
  static __device__ T run(const PairIncrements<T>& increments, const GpuProblem<T>& problem, const GpuStrip& strip,
                          const Lanes& lanes, const SharedRow<T>& row, T reach, T* tile, Seen<T>& seen, Seen<T>* shared_seen) {
    T *p = tile, *entering = p + kSteps * R * lanes.count, *leaving = entering + kSteps * kSize;
    const T factor(increments.factor(strip.refinement));
    LaneEdges<Rule, T, R> edges;
    edges.start();
    LaneInspection<Rule, T> inspection;
    const int end = strip.end_step(lanes);
    for (int first = strip.first_column; first < end; first += kSteps) {
      const int steps = end - first < kSteps ? end - first : kSteps;
      if (row.before != nullptr) {
        wait_for_counter(row.before, first + steps < strip.columns ? first + steps : strip.columns, lanes.mask);
      }
      read_row<Rule>(row.read, strip, lanes, first, steps, entering);
      form_increments<R>(increments, problem, strip, lanes, first, steps, p);
      __syncwarp(lanes.mask);
      SIGKERNEL_ROLLED for (int c = 0; c < steps; ++c) {
        edges.receive(lanes, entering + c * kSize);
        edges.step(strip, lanes, first + c - lanes.lane, [&](int a, int, T* bottom, T* left) {
          Rule::forward(factor * p[(c * R + a) * lanes.count + lanes.lane], bottom, left);
        });
        inspection.look(first + c, edges.top, edges.left[R - 1], reach);
        if (lanes.lane == lanes.count - 1) {
          SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) leaving[c * kSize + k] = edges.top[k];
        }
      }
      __syncwarp(lanes.mask);
      const int column = first - (lanes.count - 1);
      if (row.write != nullptr) {
        for (int n = lanes.lane; n < steps * kSize; n += lanes.count)
          if (column + n / kSize >= strip.first_column) row.write[int64_t{column} * kSize + n] = leaving[n];
        __syncwarp(lanes.mask);
        if (row.progress != nullptr && first + steps < end) raise_counter(row.progress, column + steps, lanes.lane, lanes.mask);
      }
    }
    const Seen<T> here = inspection.seen(lanes);
    seen.merge(here);
    if (shared_seen != nullptr && lanes.lane == 0) {
      if (row.before != nullptr) seen.merge(*shared_seen);  // the first strip starts anew
      *shared_seen = seen;
    }
    if (row.progress != nullptr) raise_counter(row.progress, strip.columns, lanes.lane, lanes.mask);
    return Rule::end(edges.top);
  }
};

// Backward through one strip, from its last step to its first. Its edges are computed anew from the row that entered it
// forward: those at the start of each tile first, then, tile by tile, what a cell leaves for the way back.
template <class Backward, class T, int R>
struct BackwardStrip {
  using Rule = typename Backward::Rule;
  using Edges = LaneEdges<Rule, T, R>;
  static constexpr int kSize = Rule::kCoefficients;
  static constexpr int kSteps = tile_steps<T, R, Backward::kTape + 1>(24 << 10, 16);
  static constexpr int tile_numbers(int lanes) { return kSteps * (R * lanes * (Backward::kTape + 1) + 2 * kSize); }
  static int64_t saved_numbers(int64_t columns, int lanes) {
    return ((columns + lanes - 1 + kSteps - 1) / kSteps) * Edges::kNumbers * lanes;
  }

  // entered: the row that entered the strip forward, or null. bars: what the derivatives by rows of edges pass through;
  // progress counts columns from the last. saved: of saved_numbers(). scale: of the gradient; *variance gets its own.
  static __device__ void run(const PairIncrements<T>& increments, const GpuProblem<T>& problem, const GpuStrip& strip,
                             const Lanes& lanes, const T* entered, const SharedRow<T>& bars, int above_first_column,
                             T scale, T* tile, T* saved, const PairGradient<T>& gradient, T* variance) {
    T* p = tile;
    T* entering = p + kSteps * R * lanes.count;
    T* leaving = entering + kSteps * kSize;
    T* tape = leaving + kSteps * kSize;
    const T factor = increments.factor(strip.refinement);
    T area = 1;
    for (int n = 0; n < strip.refinement; ++n) area *= T(0.25);
    const int begin = strip.first_column, end = strip.end_step(lanes);
    const int tiles = (end - begin + kSteps - 1) / kSteps;
    Edges edges;
    edges.start();
    SIGKERNEL_ROLLED for (int t = 0; t < tiles - 1; ++t) {
      const int first = begin + t * kSteps;
      edges.save(lanes, saved + int64_t{t} * Edges::kNumbers * lanes.count);
      read_row<Rule>(entered, strip, lanes, first, kSteps, entering);
      form_increments<R>(increments, problem, strip, lanes, first, kSteps, p);
      __syncwarp(lanes.mask);
      SIGKERNEL_ROLLED for (int c = 0; c < kSteps; ++c) {
        edges.receive(lanes, entering + c * kSize);
        edges.step(strip, lanes, first + c - lanes.lane, [&](int a, int, T* bottom, T* left) {
          Rule::forward(factor * p[(c * R + a) * lanes.count + lanes.lane], bottom, left);
        });
      }
      __syncwarp(lanes.mask);
    }
    T bar[kSize], right[R][kSize];
    Backward::boundary(bar);
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
      Backward::boundary(right[a]);
      if (strip.first_row + lanes.lane * R + a == strip.rows - 1) Backward::seed(right[a]);
    }
    T by_variance = 0;
    SIGKERNEL_ROLLED for (int t = tiles - 1; t >= 0; --t) {
      const int first = begin + t * kSteps, steps = end - first < kSteps ? end - first : kSteps;
      if (t < tiles - 1) edges.load(lanes, saved + int64_t{t} * Edges::kNumbers * lanes.count);
      read_row<Rule>(entered, strip, lanes, first, steps, entering);
      form_increments<R>(increments, problem, strip, lanes, first, steps, p);
      __syncwarp(lanes.mask);
      SIGKERNEL_ROLLED for (int c = 0; c < steps; ++c) {
        edges.receive(lanes, entering + c * kSize);
        edges.step(strip, lanes, first + c - lanes.lane, [&](int a, int, T* bottom, T* left) {
          T kept[Backward::kTape];
          Backward::forward_keeping(factor * p[(c * R + a) * lanes.count + lanes.lane], bottom, left, kept);
          SIGKERNEL_UNROLL for (int k = 0; k < Backward::kTape; ++k)
            tape[((c * R + a) * Backward::kTape + k) * lanes.count + lanes.lane] = kept[k];
        });
      }
      // The bars that enter at the last lane: those above, of columns that the strip above has done.
      const int lowest = first - (lanes.count - 1) > above_first_column ? first - (lanes.count - 1) : above_first_column;
      if (bars.before != nullptr) wait_for_counter(bars.before, strip.columns - lowest, lanes.mask);
      __syncwarp(lanes.mask);
      for (int n = lanes.lane; n < steps * kSize; n += lanes.count) {
        const int column = first - (lanes.count - 1) + n / kSize;
        T boundary[kSize];
        Backward::boundary(boundary);
        const bool has_bars = bars.read != nullptr && column >= above_first_column && column < strip.columns;
        entering[n] = has_bars ? bars.read[int64_t{column} * kSize + n % kSize] : boundary[0] * T(n % kSize == 0);
      }
      __syncwarp(lanes.mask);
      SIGKERNEL_ROLLED for (int c = steps - 1; c >= 0; --c) {
        const int column = first + c - lanes.lane;
        SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) {
          const T passed = __shfl_down_sync(lanes.mask, bar[k], 1, lanes.count);
          bar[k] = lanes.lane == lanes.count - 1 ? entering[c * kSize + k] : passed;
        }
        SIGKERNEL_UNROLL for (int a = R - 1; a >= 0; --a) {
          const int row = strip.first_row + lanes.lane * R + a, at = (c * R + a) * lanes.count + lanes.lane;
          if (row < 0 || column < 0 || column >= strip.columns || strip.is_left_out(row, column)) {
            Backward::boundary(bar);
            p[at] = 0;
            continue;
          }
          T kept[Backward::kTape];
          SIGKERNEL_UNROLL for (int k = 0; k < Backward::kTape; ++k)
            kept[k] = tape[((c * R + a) * Backward::kTape + k) * lanes.count + lanes.lane];
          const bool is_diagonal = strip.is_half && row == column;
          if (is_diagonal) Backward::enter_diagonal(bar, right[a]);
          const T unit = p[at];
          T g = scale * area * Backward::backward(factor * unit, kept, bar, right[a]);
          if (strip.is_half && !is_diagonal) g *= T(Backward::kOffDiagonalWeight);
          if (is_diagonal) Backward::leave_diagonal(bar, right[a]);
          by_variance += g * unit;
          p[at] = g * variance_of(problem);
        }
        if (lanes.lane == 0) {
          SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) leaving[c * kSize + k] = bar[k];
        }
      }
      __syncwarp(lanes.mask);
      if (bars.write != nullptr) {
        for (int n = lanes.lane; n < steps * kSize; n += lanes.count)
          if (first + n / kSize < strip.columns) bars.write[int64_t{first} * kSize + n] = leaving[n];
      }
      add_gradient<R>(increments, problem, strip, lanes, first, steps, p, gradient);
      __syncwarp(lanes.mask);
      if (bars.progress != nullptr) {
        raise_counter(bars.progress, strip.columns - (first < strip.columns ? first : strip.columns), lanes.lane, lanes.mask);
      }
    }
    by_variance = sum_of_lanes(lanes, by_variance);
    if (lanes.lane == 0) *variance = problem.increments == GpuIncrements::kRbf ? by_variance : T(0);
  }

 private:
  static __device__ T variance_of(const GpuProblem<T>& problem) {
    return problem.increments == GpuIncrements::kRbf ? *problem.variance : T(1);
  }
};

}  // namespace sigkernel
