// Finite differences forward through a strip of a whole grid, under the linear static kernel of few channels: what sweep.cuh does, in half
// the instructions. A lane forms the increments of its cells from segments of its own, which it keeps in registers, and from the column's;
// and one number passes between lanes, the increment of U along the edge between their rows. Each row keeps U at its own first corner and
// adds that edge's increments up, so that no corner has two copies that drive each other apart.
#pragma once

#include "core/goursat/cell.h"
#include "core/goursat/cuda/tile.cuh"

namespace sigkernel {

// The rows of a lane at one column.
template <class T, int R, int D>
struct LinearRows {
  T dx[R][D];        // segments
  T corner[R];       // U at each cell's first corner
  T left[R];         // the increments of U along left edges

  __device__ void start(const PairIncrements<T>& increments, const GpuStrip& strip, const Lanes& lanes, int channels, T factor) {
    const int first = strip.first_row + lanes.lane * R;
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
      const bool is_inside = first + a >= 0;
      const T *from = increments.x_point(is_inside ? (first + a) >> strip.refinement : 0), *next = from + channels;
      SIGKERNEL_UNROLL for (int d = 0; d < D; ++d) dx[a][d] = is_inside && d < channels ? factor * (next[d] - from[d]) : T(0);
      corner[a] = T(1);
      left[a] = T(0);
    }
  }

  __device__ T last_corner() const { return corner[R - 1] + left[R - 1]; }  // of the last row's left edge

  // One column's cells: FiniteDifference::forward of cell.h, ordered so that one product and one sum of a row wait for the row below.
  // along: of the bottom edge, overwritten by the top one's.
  __device__ void step(const T (&dy)[D], T& along) {
    T p[R], half[R], before[R];
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
      p[a] = dx[a][0] * dy[0];
      SIGKERNEL_UNROLL for (int d = 1; d < D; ++d) p[a] += dx[a][d] * dy[d];
      half[a] = p[a] * T(1.0 / 12) + T(0.5);
      before[a] = left[a] * half[a] + corner[a] * (p[a] * T(0.25) + T(1));
    }
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
      const T change = along * half[a] + before[a];
      corner[a] += along;
      left[a] += p[a] * change;
      along += p[a] * change;
    }
  }
};

// memory: a Tile of finite differences (sweep.cuh). Rows between strips are as there: (U, increment) for each column.
template <class T, int R, int D, class Tile>
class LinearDifferences {
  static constexpr int kSteps = Tile::kSteps, kAtOnce = kSteps < 16 ? 4 : 8, kChunks = (D + kChunk - 1) / kChunk;
  static_assert(kChunks <= 2);
  using Edge = RowNumbers<T, 2>;

 public:
  __device__ LinearDifferences(const Tile& tile, const Lanes& lanes)
      : lanes_(lanes), dy_{tile.staged.columns, reinterpret_cast<Chunk<T>*>(tile.p) + lanes.group * (kSteps + lanes.count - 1)},
        entering_(reinterpret_cast<const Edge*>(tile.entering)), leaving_(reinterpret_cast<Edge*>(tile.leaving)) {
    // The second chunks take the place of a tile's increments, which are not kept.
    static_assert(sizeof(Chunk<T>) * (kWarp / 8) * (kSteps + 7) <= sizeof(T) * kSteps * R * kWarp);
    static_assert(sizeof(Chunk<T>) * (kSteps + kWarp - 1) <= sizeof(T) * kSteps * R * kWarp);
  }

  __device__ void stage(const PairIncrements<T>& increments, const GpuStrip& strip, int first, int steps, int channels) const {
    SIGKERNEL_UNROLL for (int n = 0; n < kChunks; ++n)
      StagedSegments<T>::write(dy_[n], lanes_, first - (lanes_.count - 1), steps + lanes_.count - 1, strip.columns, strip.refinement,
                               channels, n * kChunk, [&](int segment) { return increments.y_point(segment); });
  }

  __device__ void sweep(LinearRows<T, R, D>& rows, T& along, int steps) const {
    int c = 0;
    SIGKERNEL_ROLLED for (; c + kAtOnce <= steps; c += kAtOnce)
      SIGKERNEL_UNROLL for (int k = 0; k < kAtOnce; ++k) step(rows, along, c + k);
    SIGKERNEL_ROLLED for (; c < steps; ++c) step(rows, along, c);
  }

 private:
  __device__ void step(LinearRows<T, R, D>& rows, T& along, int c) const {
    T dy[D];
    SIGKERNEL_UNROLL for (int d = 0; d < D; ++d) dy[d] = dy_[d / kChunk][c + lanes_.count - 1 - lanes_.lane].of[d % kChunk];
    const T passed = __shfl_up_sync(kAllLanes, along, 1, lanes_.count);
    along = lanes_.is_first() ? entering_[c].of[1] : passed;
    const T corner = rows.last_corner();
    rows.step(dy, along);
    if (lanes_.is_last()) leaving_[c] = {corner, along};
  }

  const Lanes& lanes_;
  Chunk<T>* const dy_[2];
  const Edge* const entering_;
  Edge* const leaving_;
};

}  // namespace sigkernel
