// How far the increments p along rows and columns reach: the range of their partial sums, by which plan.h chooses the
// degree of a power series before a sweep. For the files that are compiled for an instruction set: it includes nothing
// of the standard library.
#pragma once

#include "core/arena.h"
#include "core/arithmetic.h"
#include "core/goursat/increments.h"
#include "core/goursat/loops.h"
#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// The range of a running sum.
template <class V>
struct Range {
  V sum{0.0}, low{0.0}, high{0.0};
  SIGKERNEL_INLINE void add(V p) {
    sum += p;
    low = min(low, sum);
    high = max(high, sum);
  }
  SIGKERNEL_INLINE V width() const { return high - low; }
};

// What Reach gathers, in every lane.
template <class V>
struct LaneReach {
  V largest{0.0}, moment{0.0}, cubes{0.0}, cell{0.0};
  SIGKERNEL_INLINE void add(V range) {
    largest = max(largest, range);
    const V square = range * range;
    V power = range * square;
    cubes += power;
    SIGKERNEL_UNROLL for (int k = 3; k < kReachMoment; k += 2) power *= square;
    moment += power;
  }
};

// Of a block: the ranges of its rows and columns, and in each lane what they come to.
template <class V>
class BlockReach {
  using T = typename V::Scalar;

 public:
  BlockReach(const Block<T>& block, Arena& arena)
      : rows_(block.rows), columns_(block.columns), p_(arena.take<V>(smaller(columns_, kTile) * kTile)),
        column_ranges_(arena.take<Range<V>>(columns_)),
        is_not_negative_(block.x_weights != nullptr && block.variance >= 0) {}  // values of a static kernel of distances

  // Measures the whole grid also where only half of it is swept. known: null, or [rows][columns], overwritten by the
  // increments. ranges: [rows + columns + 1], overwritten by those of the rows, then of the columns, and the largest |p|.
  // result: [lanes], overwritten.
  void measure(const Increments<V>& increments, V* known, V* ranges, Reach<T>* result) const {
    for (int64_t j = 0; j < columns_; ++j) column_ranges_[j] = Range<V>();
    LaneReach<V> lanes;
    for (int64_t i = 0; i < rows_; i += kTile) {
      const int64_t height = smaller(kTile, rows_ - i);
      Range<V> row_ranges[kTile];
      const int64_t step = known == nullptr ? kTile : larger(columns_, 1);  // kept increments are whole rows
      V* p = known == nullptr ? p_ : known + i * columns_;
      for (int64_t j = 0; j < columns_; j += step) {
        const int64_t width = smaller(step, columns_ - j);
        increments.read({i, height, j, width}, p);
        for (int64_t a = 0; a < height; ++a)
          for (int64_t b = 0; b < width; ++b) {
            row_ranges[a].add(p[a * width + b]);
            column_ranges_[j + b].add(p[a * width + b]);
          }
      }
      for (int64_t a = 0; a < height; ++a) ranges[i + a] = row_ranges[a].width();
    }
    for (int64_t j = 0; j < columns_; ++j) ranges[rows_ + j] = column_ranges_[j].width();
    for (int64_t i = 0; i < rows_ + columns_; ++i) lanes.add(ranges[i]);
    ranges[rows_ + columns_] = lanes.cell = largest_cell(increments, known, lanes.largest);
    for (int lane = 0; lane < V::kLanes; ++lane)
      result[lane] = {lanes.largest[lane], lanes.moment[lane], lanes.cubes[lane], lanes.cell[lane], is_not_negative_};
  }

 private:
  // The largest |p|, or the bound that is given where it is small, as it is for most grids. known: null, or the increments.
  V largest_cell(const Increments<V>& increments, const V* known, V bound) const {
    if (!any_above(bound, V(kSmallCell))) return bound;
    V largest(0);
    if (known != nullptr) {
      for (int64_t n = 0; n < rows_ * columns_; ++n) largest = max(largest, abs(known[n]));
      return largest;
    }
    for (int64_t i = 0; i < rows_; i += kTile)
      for (int64_t j = 0; j < columns_; j += kTile) {
        const Cells cells{i, smaller(kTile, rows_ - i), j, smaller(kTile, columns_ - j)};
        increments.read(cells, p_);
        for (int64_t n = 0; n < cells.rows * cells.columns; ++n) largest = max(largest, abs(p_[n]));
      }
    return largest;
  }

  static constexpr int64_t kTile = 16;

  const int64_t rows_, columns_;
  V* p_;
  Range<V>* column_ranges_;
  const bool is_not_negative_;
};

// Adds the rows of a pair's grid, one in each lane. Where a last register has more lanes than rows, the last row is
// taken again. dx: scratch memory, [channels].
template <bool kWithCells, class V>
void add_rows(const PathPair<typename V::Scalar>& pair, V* dx, LaneReach<V>* reach) {
  for (int64_t first = 0; first < pair.rows; first += V::kLanes) {
    for (int64_t d = 0; d < pair.channels; ++d)
      for (int lane = 0; lane < V::kLanes; ++lane) {
        const auto* x = pair.x + smaller(first + lane, pair.rows - 1) * pair.channels + d;
        dx[d].set(lane, x[pair.channels] - x[0]);
      }
    Range<V> row;
    for (int64_t j = 0; j < pair.columns; ++j) {
      const auto* y = pair.y + j * pair.channels;
      V p(0);
      for (int64_t d = 0; d < pair.channels; ++d) p += dx[d] * V(y[d + pair.channels] - y[d]);
      row.add(p);
      if constexpr (kWithCells) reach->cell = max(reach->cell, abs(p));
    }
    reach->add(row.width());
  }
}

// Of a single pair, over all lanes. dx: scratch memory, [channels].
template <class V>
Reach<typename V::Scalar> reach_of_pair(const PathPair<typename V::Scalar>& pair, V* dx) {
  LaneReach<V> lanes;
  add_rows<false>(pair, dx, &lanes);
  add_rows<false>({pair.y, pair.x, pair.columns, pair.rows, pair.channels}, dx, &lanes);  // the columns are the rows of (y, x)
  lanes.cell = lanes.largest;
  if (any_above(lanes.largest, V(kSmallCell))) {
    LaneReach<V> with_cells;
    add_rows<true>(pair, dx, &with_cells);
    lanes.cell = with_cells.cell;
  }
  Reach<typename V::Scalar> reach;
  for (int lane = 0; lane < V::kLanes; ++lane) {
    reach.largest = max(reach.largest, lanes.largest[lane]);
    reach.moment += lanes.moment[lane];
    reach.cell = max(reach.cell, lanes.cell[lane]);
    reach.cubes += lanes.cubes[lane];
  }
  return reach;
}

}  // namespace
}  // namespace sigkernel
