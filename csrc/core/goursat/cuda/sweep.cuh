// Sweeps over a pair's grid, strip by strip, for any cell rule of cell.h: what a group of lanes does with one strip, tile by tile;
// here forward, in sweep_back.cuh backward. A lane holds the edges of its own rows in registers and gets the row below from
// the lane before, by a shuffle. Cells outside of the grid have p = 0 and pass U = 1 on, so that going forward no lane asks
// where it is.
#pragma once

#include <type_traits>

#include "core/goursat/cell.h"
#include "core/goursat/cuda/linear_differences.cuh"
#include "core/goursat/cuda/reach.cuh"
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

// What a power series' sweep saw, over the strips so far. LineRanges leaves here the largest range and, for an amplitude, the moment.
template <class T>
struct Seen {
  T scale, amplitude, tail, across;
};

// For a rule that is not looked at.
template <class Rule, class T>
struct LaneInspection {
  __device__ void look(const T*, const T*, T) {}
  __device__ void end(const T*) {}
  __device__ Seen<T> seen(const Lanes&) const { return {}; }
};
template <class T>
struct LaneInspection<LineRanges, T> {
  EndedLines<T> lines;

  __device__ void look(const T*, const T*, T) {}
  // A row's or a column's last edge.
  __device__ void end(const T* edge) { lines.add(LineRanges::end(edge)); }
  __device__ Seen<T> seen(const Lanes& lanes) const {
    return {largest_of_lanes(lanes, lines.largest), sum_of_lanes(lanes, lines.moment), T(0), T(0)};
  }
};
template <int K, class T>
struct LaneInspection<PowerSeries<K>, T> {
  Inspection<PowerSeries<K>, T> inspection;
  T along = 0, across = 0;

  // Once in kStepsToLook steps.
  __device__ void look(const T* top, const T* right, T reach) {
    inspection.look_at(top, reach, &along);
    T dropped = 0;
    inspection.look_at(right, reach, &dropped);
    across = max(across, dropped);
  }
  __device__ void end(const T*) {}
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

// How an edge stands in shared memory: U at its first corner last, so that the others can be moved together.
template <class Rule, class T>
struct SharedEdge {
  static constexpr int kSize = Rule::kCoefficients, kOthers = kSize - 1;
  static constexpr int kAtOnce = 16 / static_cast<int>(sizeof(T)), kStride = kSize == 2 ? 2 : (kSize + kAtOnce - 1) / kAtOnce * kAtOnce;
  using Numbers = RowNumbers<T, kStride>;
  using Others = RowNumbers<T, kOthers>;
  static_assert(sizeof(Others) <= sizeof(Numbers));

  static constexpr __host__ __device__ int place(int k) { return k == 0 ? kOthers : k - 1; }
};

// The state of one lane: the top edge of its last row at the column it is at, and the left edge of each row. In a whole grid a row keeps
// U at its own first corner, left[0], and nothing else is told of it: neither what enters the row below nor what leaves the one above.
// Half a grid takes its left edges from below at the diagonal, and so U as well.
template <class Rule, class T, int R>
struct LaneEdges {
  static constexpr int kSize = Rule::kCoefficients;
  static constexpr int kNumbers = (R + 1) * kSize;
  static constexpr bool kSharesCorner = !std::is_same_v<Rule, LineRanges>;
  static constexpr int kNone = -(1 << 30);  // no column
  T top[kSize], left[R][kSize];
  int diagonal;  // of half a grid: the column at which the lane's first row has its diagonal cell

  __device__ void start(const GpuStrip& strip, const Lanes& lanes) {
    Rule::axis(top);
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) Rule::axis(left[a]);
    diagonal = strip.is_half ? strip.first_row + lanes.lane * R : kNone;
  }

  using Shared = SharedEdge<Rule, T>;

  // The bottom edge of a lane's first row: what the lane before left one step ago, or for the first lane `given`.
  __device__ void receive(const Lanes& lanes, bool is_half, const T* given) {
    const bool has_corner = is_half || !kSharesCorner;
    SIGKERNEL_UNROLL for (int k = has_corner ? 0 : 1; k < kSize; ++k) top[k] = __shfl_up_sync(kAllLanes, top[k], 1, lanes.count);
    if (!lanes.is_first()) return;
    const auto others = *reinterpret_cast<const typename Shared::Others*>(given);
    SIGKERNEL_UNROLL for (int k = 1; k < kSize; ++k) top[k] = others.of[k - 1];
    if (has_corner) top[0] = given[Shared::place(0)];
  }

  // Leaves the top edge of its last row. In a whole grid the place of U is not written.
  __device__ void leave(bool is_half, T* to) const {
    typename Shared::Others others;
    SIGKERNEL_UNROLL for (int k = 1; k < kSize; ++k) others.of[k - 1] = top[k];
    *reinterpret_cast<typename Shared::Others*>(to) = others;
    if (is_half || !kSharesCorner) to[Shared::place(0)] = top[0];
  }

  // One cell in each row at `column`: cell(row of the lane, bottom, left) sweeps it. On the diagonal of half a grid U is
  // symmetric, so that the left edge is the bottom one; what lanes make of the cells left of it is never used.
  template <class Cell>
  __device__ void step(int column, bool is_half, const Cell& cell) {
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
      const bool is_diagonal = is_half && column == diagonal + a;
      SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) left[a][k] = is_diagonal ? top[k] : left[a][k];
      if (kSharesCorner) top[0] = is_half ? top[0] : left[a][0];
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
template <class Rule, class T, int R, int kTileSteps>
struct Tile {
  using Shared = SharedEdge<Rule, T>;
  static constexpr int kSteps = kTileSteps, kSize = Rule::kCoefficients, kStride = Shared::kStride;
  RowNumbers<T, R>* p;        // [steps][warp]
  StagedSegments<T> staged;   // the group's, as are
  T *entering, *leaving;      // [steps][kStride]

  __host__ __device__ Tile(SharedArena& memory, const Lanes& lanes) : p(memory.take<RowNumbers<T, R>>(kSteps * kWarp)), staged() {
    const int columns = kSteps + lanes.count - 1;
    staged.columns = memory.take<Chunk<T>>(lanes.groups * columns) + lanes.group * columns;
    entering = take_edges(memory, lanes);
    leaving = take_edges(memory, lanes);
  }

  // What enters a strip in `steps` steps from `first`: of `row`, or where there is none or it has ended the axis.
  __device__ void read_row(const T* row, const GpuStrip& strip, const Lanes& lanes, int first, int steps) const {
    T axis[kSize];
    Rule::axis(axis);
    for (int n = lanes.lane; n < steps * kSize; n += lanes.count) {
      const int column = first + n / kSize;
      const bool is_axis = row == nullptr || column >= strip.columns;
      entering[place(n)] = is_axis ? (n % kSize == 0 ? axis[0] : T(0)) : row[int64_t{first} * kSize + n];
    }
  }

  // Where the n-th number of a row's edges stands.
  static __device__ int place(int n) { return n / kSize * kStride + Shared::place(n % kSize); }

 private:
  static __host__ __device__ T* take_edges(SharedArena& memory, const Lanes& lanes) {
    return reinterpret_cast<T*>(memory.take<typename Shared::Numbers>(lanes.groups * kSteps) + lanes.group * kSteps);
  }
};

// Forward through one strip. memory: of tile_bytes(), shared, the warp's own. D: 0, or for finite differences of a whole grid under the
// linear static kernel a number of channels that the paths do not exceed (linear_differences.cuh).
template <class Rule, class T, int R, int D = 0>
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
    if constexpr (D > 0) return run_linear(increments, problem, strip, lanes, row, factor, tile);
    LaneEdges<Rule, T, R> edges;
    edges.start(strip, lanes);
    LaneInspection<Rule, T> inspection;
    const int end = strip.end_step(lanes);
    for (int first = strip.first_column; first < end; first += kSteps) {
      const int steps = end - first < kSteps ? end - first : kSteps;
      receive(strip, lanes, row, first, steps, tile);
      form_increments<R>(increments, problem, strip, lanes, first, steps, factor, tile.staged, tile.p);
      __syncwarp();
      if (strip.is_half) {
        sweep<true>(lanes, first, steps, reach, tile, edges, inspection);
      } else {
        sweep<false>(lanes, first, steps, reach, tile, edges, inspection);
      }
      hand_on(strip, lanes, row, first, steps, tile);
      if (std::is_same_v<Rule, LineRanges> && strip.first_row + lanes.count * R == strip.rows && !strip.is_half)
        end_columns(strip, lanes, first, steps, tile, inspection);
    }
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) inspection.end(edges.left[a]);
    merge(seen, inspection.seen(lanes));
    if (shared_seen != nullptr) {
      if (row.before != nullptr) merge(seen, *shared_seen);  // the first strip starts anew
      __syncwarp();
      if (lanes.is_first()) *shared_seen = seen;
    }
    if (row.progress != nullptr) raise_counter(row.progress, strip.columns, lanes.lane);
    if (strip.is_half) return Rule::end(edges.top);
    return Rule::end(edges.left[R - 1]);
  }

 private:
  template <bool kIsHalf>
  static __device__ void sweep(const Lanes& lanes, int first, int steps, T reach, const WarpTile& tile, LaneEdges<Rule, T, R>& edges,
                               LaneInspection<Rule, T>& inspection) {
    SIGKERNEL_ROLLED for (int start = 0; start < steps; start += kStepsToLook) {
      const int end = steps < start + kStepsToLook ? steps : start + kStepsToLook;
      SIGKERNEL_ROLLED for (int c = start; c < end; ++c) {
        const RowNumbers<T, R> p = tile.p[c * kWarp + lanes.thread];
        edges.receive(lanes, kIsHalf, tile.entering + c * WarpTile::kStride);
        edges.step(first + c - lanes.lane, kIsHalf, [&](int a, T* bottom, T* left) { Rule::forward(p.of[a], bottom, left); });
        if (lanes.is_last()) edges.leave(kIsHalf, tile.leaving + c * WarpTile::kStride);
      }
      // Of a whole grid U is known at the last corner of the top edge only, which serves as well.
      if (!kIsHalf && edges.kSharesCorner) edges.top[0] = edges.left[R - 1][0];
      if (end == start + kStepsToLook && edges.is_in_use(first + end - 1 - lanes.lane)) inspection.look(edges.top, edges.left[R - 1], reach);
    }
  }

  static __device__ void merge(Seen<T>& seen, const Seen<T>& other) {
    seen.scale = max(seen.scale, other.scale);
    seen.amplitude = std::is_same_v<Rule, LineRanges> ? seen.amplitude + other.amplitude : max(seen.amplitude, other.amplitude);
    seen.tail = max(seen.tail, other.tail);
    seen.across = max(seen.across, other.across);
  }

  // Shows the last edges of columns, which have left a tile of the last strip.
  static __device__ void end_columns(const GpuStrip& strip, const Lanes& lanes, int first, int steps, const WarpTile& tile,
                                     LaneInspection<Rule, T>& inspection) {
    for (int n = lanes.lane; n < steps; n += lanes.count) {
      if (first - (lanes.count - 1) + n < 0) continue;
      T edge[kSize];
      SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) edge[k] = tile.leaving[WarpTile::place(n * kSize + k)];
      inspection.end(edge);
    }
  }

  // Waits for what enters a tile, and gets it.
  static __device__ void receive(const GpuStrip& strip, const Lanes& lanes, const SharedRow<T>& row, int first, int steps,
                                 const WarpTile& tile) {
    if (row.before != nullptr) wait_for_counter(row.before, first + steps < strip.columns ? first + steps : strip.columns);
    tile.read_row(row.read, strip, lanes, first, steps);
  }

  // Writes what has left a tile for the strip after.
  static __device__ void hand_on(const GpuStrip& strip, const Lanes& lanes, const SharedRow<T>& row, int first, int steps,
                                 const WarpTile& tile) {
    __syncwarp();
    const int column = first - (lanes.count - 1);
    if (row.write != nullptr) {
      for (int n = lanes.lane; n < steps * kSize; n += lanes.count)
        if (column + n / kSize >= strip.first_column) row.write[int64_t{column} * kSize + n] = tile.leaving[WarpTile::place(n)];
    }
    __syncwarp();
    if (row.progress != nullptr && first + steps < strip.end_step(lanes)) raise_counter(row.progress, column + steps, lanes.lane);
  }

  static __device__ T run_linear(const PairIncrements<T>& increments, const GpuProblem<T>& problem, const GpuStrip& strip,
                                 const Lanes& lanes, const SharedRow<T>& row, T factor, const WarpTile& tile) {
    static_assert(std::is_same_v<Rule, FiniteDifference>);
    LinearRows<T, R, D> rows;
    rows.start(increments, strip, lanes, problem.channels, factor);
    using Linear = LinearDifferences<T, R, D, WarpTile>;
    const Linear sweep(tile, Linear::in_place_of_increments(tile, lanes), lanes);
    T along = 0;
    const int end = strip.end_step(lanes);
    SIGKERNEL_ROLLED for (int first = 0; first < end; first += kSteps) {
      const int steps = end - first < kSteps ? end - first : kSteps;
      receive(strip, lanes, row, first, steps, tile);
      sweep.stage(increments, strip, first, steps, problem.channels);
      __syncwarp();
      sweep.sweep(rows, along, steps, [](int) {});
      hand_on(strip, lanes, row, first, steps, tile);
    }
    if (row.progress != nullptr) raise_counter(row.progress, strip.columns, lanes.lane);
    return rows.last_corner();
  }
};

}  // namespace sigkernel
