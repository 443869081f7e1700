// Finite differences through a strip of a whole grid, under the linear static kernel of few channels: what sweep.cuh does, in half the
// instructions; here forward, in linear_differences_back.cuh backward. A lane forms the increments of its cells from segments of its
// own, which it keeps in registers, and from the column's; and one number passes between lanes, the increment of U along the edge
// between their rows. Each row keeps U at its own first corner and adds that edge's increments up, so that no corner has two copies that
// drive each other apart.
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

  static constexpr int kState = 2 * R + 1;  // numbers, `along` among them

  __device__ void save(T along, T* to) const {
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
      to[a * kWarp] = corner[a];
      to[(R + a) * kWarp] = left[a];
    }
    to[2 * R * kWarp] = along;
  }
  __device__ void load(const T* from, T& along) {
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
      corner[a] = from[a * kWarp];
      left[a] = from[(R + a) * kWarp];
    }
    along = from[2 * R * kWarp];
  }

  static __device__ T increment(const T (&dx)[D], const T (&dy)[D]) {
    T p = dx[0] * dy[0];
    SIGKERNEL_UNROLL for (int d = 1; d < D; ++d) p += dx[d] * dy[d];
    return p;
  }

  // One column's cells: FiniteDifference::forward of cell.h, ordered so that one product and one sum of a row wait for the row below.
  // along: of the bottom edge, overwritten by the top one's.
  __device__ void step(const T (&dy)[D], T& along) {
    T p[R], half[R], before[R];
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a) {
      p[a] = increment(dx[a], dy);
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

// The derivatives by what LinearRows carries, going back, and those by segments.
template <class T, int R, int D>
struct LinearBars {
  T by_dx[R][D] = {}, by_dy[D] = {};  // of dy: of the column at hand, by the rows so far
  T corner[R] = {}, left[R] = {}, along = T(0);
  T after[R];  // U at each row's first corner, one column on

  // The adjoint of LinearRows::step. before: U at each row's first corner; above: at the last row's upper one.
  __device__ void step(const T (&dx)[R][D], const T (&dy)[D], const RowNumbers<T, R>& before, T above) {
    SIGKERNEL_UNROLL for (int a = R - 1; a >= 0; --a) {
      const T p = LinearRows<T, R, D>::increment(dx[a], dy), u00 = before.of[a];
      const T change = along + left[a];
      const T g = change * ((p * T(1.0 / 6) + T(0.5)) * (above + after[a] + u00) - T(0.5) * u00);
      const T mixed = change * (p * (p * T(1.0 / 12) + T(0.5)));
      along = mixed + (along + corner[a]);
      left[a] += mixed;
      corner[a] += change * (p * (p * T(0.25) + T(1)));
      SIGKERNEL_UNROLL for (int d = 0; d < D; ++d) {
        by_dx[a][d] += g * dy[d];
        by_dy[d] += g * dx[a][d];
      }
      above = after[a] = u00;
    }
  }
};

// memory: a Tile of finite differences (sweep.cuh). Rows between strips are as there, of which an edge's increment is used, and U where it
// leaves.
template <class T, int R, int D, class Tile>
class LinearDifferences {
  static constexpr int kSteps = Tile::kSteps, kAtOnce = kSteps < 16 ? 4 : 8;

 public:
  static constexpr int kChunks = (D + kChunk - 1) / kChunk;
  static_assert(kChunks <= 2);
  using Edge = RowNumbers<T, 2>;  // the increment along it, U at its first corner: as in SharedEdge

  // more: where D > kChunk, of the group, as the tile's staged columns.
  __device__ LinearDifferences(const Tile& tile, Chunk<T>* more, const Lanes& lanes)
      : lanes_(lanes), dy_{tile.staged.columns, more}, entering_(reinterpret_cast<const Edge*>(tile.entering)),
        leaving_(reinterpret_cast<Edge*>(tile.leaving)) {}

  // A place for `more` in that of a tile's increments, where these are not kept.
  static __device__ Chunk<T>* in_place_of_increments(const Tile& tile, const Lanes& lanes) {
    static_assert(sizeof(Chunk<T>) * (kWarp / 8) * (kSteps + 7) <= sizeof(T) * kSteps * R * kWarp);
    static_assert(sizeof(Chunk<T>) * (kSteps + kWarp - 1) <= sizeof(T) * kSteps * R * kWarp);
    return reinterpret_cast<Chunk<T>*>(tile.p) + lanes.group * (kSteps + lanes.count - 1);
  }

  __device__ void stage(const PairIncrements<T>& increments, const GpuStrip& strip, int first, int steps, int channels) const {
    SIGKERNEL_UNROLL for (int n = 0; n < kChunks; ++n)
      StagedSegments<T>::write(dy_[n], lanes_, first - (lanes_.count - 1), steps + lanes_.count - 1, strip.columns, strip.refinement,
                               channels, n * kChunk, [&](int segment) { return increments.y_point(segment); });
  }

  // Calls keep(step) before each.
  template <class Keep>
  __device__ void sweep(LinearRows<T, R, D>& rows, T& along, int steps, const Keep& keep) const {
    int c = 0;
    SIGKERNEL_ROLLED for (; c + kAtOnce <= steps; c += kAtOnce)
      SIGKERNEL_UNROLL for (int k = 0; k < kAtOnce; ++k) step(rows, along, c + k, keep);
    SIGKERNEL_ROLLED for (; c < steps; ++c) step(rows, along, c, keep);
  }

  // The segment of the lane's column at a step.
  __device__ void read_segment(int c, T (&dy)[D]) const {
    SIGKERNEL_UNROLL for (int d = 0; d < D; ++d) dy[d] = dy_[d / kChunk][c + lanes_.count - 1 - lanes_.lane].of[d % kChunk];
  }

 private:
  template <class Keep>
  __device__ void step(LinearRows<T, R, D>& rows, T& along, int c, const Keep& keep) const {
    keep(c);
    T dy[D];
    read_segment(c, dy);
    const T passed = __shfl_up_sync(kAllLanes, along, 1, lanes_.count);
    along = lanes_.is_first() ? entering_[c].of[0] : passed;
    const T corner = rows.last_corner();
    rows.step(dy, along);
    if (lanes_.is_last()) leaving_[c] = {along, corner};
  }

  const Lanes& lanes_;
  Chunk<T>* const dy_[2];
  const Edge* const entering_;
  Edge* const leaving_;
};

}  // namespace sigkernel
