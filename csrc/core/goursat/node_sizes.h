// How much errors that a sweep makes on its way weigh at its end. An error of U at a node reaches k multiplied by W,
// which solves the problem reversed in time: W is the kernel of what is left of both paths. A first sweep keeps |U| at
// the nodes; a second one, of the reversed problem, meets the nodes in the reverse order and multiplies.
#pragma once

#include "core/arena.h"
#include "core/arithmetic.h"
#include "core/goursat/grid.h"
#include "core/goursat/loops.h"
#include "core/goursat/reach.h"
#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// For sweeps that do not look at their nodes.
struct NoNodes {
  static constexpr bool looks_at(int64_t) { return false; }
  template <int kStride, class V>
  void look_at_row(const V*, int64_t, int64_t, int64_t) {}
  template <int kStride, class V>
  void look_at_far_column(const V*, int64_t, int64_t) {}
  template <class V>
  void look_at_last(V) {}
};

// Lines of nodes across one side of a grid, of which some are looked at.
template <class V>
struct NodeLines {
  int64_t count;       // of cells along the side; there is one more line
  int64_t* places;     // [count + 1]: a line's place among those that are looked at, or -1
  int64_t* before;     // [count + 2]: how many lines that are looked at are before one
  int64_t* lines;      // [count + 1]: those that are looked at
  V* roundings;        // [count + 1][2]: of what is looked at, as Block's, sums over the cells since the line before

  NodeLines(int64_t cells, Arena& arena)
      : count(cells), places(arena.take<int64_t>(cells + 1)), before(arena.take<int64_t>(cells + 2)),
        lines(arena.take<int64_t>(cells + 1)), roundings(arena.take<V>(2 * (cells + 1))) {}

  int64_t looked_at() const { return before[count + 1]; }

  // Leaves a line out where partial sums of p between it and the last one that is looked at do not exceed `steady`.
  // rounding: as Block's, or null. reach: what no partial sum along a line exceeds, for a step of 1. Even lines come first
  // with prefers_even.
  void choose(const V* rounding, V reach, V steady, bool looks_at_all, bool prefers_even) {
    V change(0), sums[2] = {V(0), V(0)};
    before[0] = 0;
    for (int64_t line = 0; line <= count; ++line) {
      if (line > 0) {
        // Without roundings those of both sides come to 1 for a cell: 0.5 · 1 + 1 · 0.5.
        sums[0] += rounding == nullptr ? V(0.5) : rounding[2 * line - 2];
        sums[1] += rounding == nullptr ? V(1) : rounding[2 * line - 1];
      }
      bool is_chosen = looks_at_all || line == 0 || line == count;
      if (!is_chosen) {
        change += rounding[2 * line - 1] * reach;
        const bool looks_ahead = prefers_even && line % 2 == 0;
        is_chosen = any_above(looks_ahead ? change + rounding[2 * line + 1] * reach : change, steady);
      }
      const int64_t place = before[line];
      before[line + 1] = place + is_chosen;
      places[line] = is_chosen ? place : -1;
      if (!is_chosen) continue;
      lines[place] = line;
      copy(sums, 2, roundings + 2 * place);
      change = sums[0] = sums[1] = V(0);
    }
  }
};

// Both sweeps' looks at the nodes of the coarse grid. Lines of nodes are left out where U and W can hardly have changed.
// Where the sizes of the others would take too much memory, the largest of each square of them is kept, which makes the
// products bounds of what they stand for.
template <class V>
class NodeSizes {
  using T = typename V::Scalar;

 public:
  // Takes its memory from the arena. It lasts from the first sweep to the second.
  NodeSizes(const Grid& grid, Arena& arena)
      : symmetric_(grid.symmetric), refinement_(grid.refinement), rows_(grid.rows, arena), columns_(grid.columns, arena),
        capacity_(smaller((grid.rows + 1) * (grid.columns + 1), kKept / static_cast<int64_t>(sizeof(V)))),
        kept_(arena.take<V>(capacity_)) {}

  // To be called before the first sweep. steady: how far p may reach between two lines that are looked at. Up to 1, |U W|
  // changes there by a factor of a few.
  void start(const Block<T>& block, double steady) {
    const V *x_rounding = reinterpret_cast<const V*>(block.x_rounding);
    const V *y_rounding = reinterpret_cast<const V*>(block.y_rounding);
    const bool looks_at_all = symmetric_ || x_rounding == nullptr;
    const V of_x = looks_at_all ? V(0) : reach_of(block.x, block.rows, block.channels);
    const V of_y = looks_at_all ? V(0) : reach_of(block.y, block.columns, block.channels);
    rows_.choose(x_rounding, of_y, V(steady), looks_at_all, true);  // some rules cross two rows of cells at once
    columns_.choose(y_rounding, of_x, V(steady), looks_at_all, false);
    choose_shift();
    for (int64_t n = 0; shift_ > 0 && n < squares(); ++n) kept_[n] = V(0);
    kept_[0] = V(1);  // also of a grid without cells
  }

  // To be called before the second sweep.
  void reverse() {
    is_reversed_ = true;
    choose_shift();
    // This sweep counts its rows from the other end. W may be taken a row further on, where it is hardly another.
    for (int64_t row = rows_.count - 1; rows_.count % 2 == 1 && row > 0; --row)
      if (row % 2 == 0 && rows_.places[row + 1] < 0) {
        rows_.places[row + 1] = rows_.places[row];
        rows_.places[row] = -1;
      }
  }

  // Whether this sweep looks at the nodes along fine row i.
  bool looks_at(int64_t i) const {
    return (i & ((int64_t{1} << refinement_) - 1)) == 0 && rows_.places[row_of(i)] >= 0;
  }

  // The first corners of fine cells (i, j) .. (i, j + count - 1), kStride packs apart, in the order of the sweep. i may be
  // the far end.
  template <int kStride>
  void look_at_row(const V* values, int64_t i, int64_t j, int64_t count) {
    if (!looks_at(i)) return;
    const int64_t refined = (int64_t{1} << refinement_) - 1, end = (j + count + refined) >> refinement_;
    const int64_t start = (j + refined) >> refinement_, place = rows_.places[row_of(i)];
    // The columns start .. end - 1 of this sweep's order.
    const int64_t first = columns_.before[is_reversed_ ? columns_.count - end + 1 : start];
    const int64_t last = columns_.before[is_reversed_ ? columns_.count - start + 1 : end];
    const int64_t ahead = (is_reversed_ ? -kStride : kStride) * (int64_t{1} << refinement_);
    const V* origin = values + (is_reversed_ ? (columns_.count << refinement_) - j : -j) * kStride;  // of column 0
    if (shift_ > 0 || symmetric_) {
      for (int64_t n = first; n < last; ++n) look_at(origin[columns_.lines[n] * ahead], place, n);
    } else if (is_reversed_) {
      multiply(origin, ahead, place, first, last);
    } else {
      V* kept = square(place, 0);
      for (int64_t n = first; n < last; ++n) kept[n] = abs(origin[columns_.lines[n] * ahead]);
    }
  }

  // The last corners of the last column's cells (i, .) .. (i + count - 1, .).
  template <int kStride>
  void look_at_far_column(const V* values, int64_t i, int64_t count) {
    for (int64_t n = 0; n < count; ++n)
      if (looks_at(i + n)) look_at(values[n * kStride], rows_.places[row_of(i + n)], far_column());
  }

  // The last corner of all.
  void look_at_last(V value) { look_at(value, rows_.places[row_of(rows_.count << refinement_)], far_column()); }

  // After the second sweep. The largest |U W|, and the sum over all cells of |U W| times the rounding of p: U at a cell's
  // first corner and W at its last, or at the nodes next to them that are looked at.
  V largest() const { return largest_; }
  V increments() const { return symmetric_ ? increments_ + increments_ : increments_; }

 private:
  static constexpr int64_t kKept = int64_t{32} << 20;  // bytes

  // What no partial sum of <v, vectors_j> over j exceeds, for |v| = 1.
  static V reach_of(const T* vectors, int64_t count, int64_t channels) {
    V squares(0);
    for (int64_t d = 0; d < channels; ++d) {
      Range<V> range;
      for (int64_t j = 0; j < count; ++j) range.add(reinterpret_cast<const V*>(vectors)[j * channels + d]);
      squares += range.width() * range.width();
    }
    return root(squares);
  }

  void choose_shift() {
    for (shift_ = 0; squares() > capacity_;) ++shift_;
  }

  // In the order of the first sweep, of a fine row in the order of this one.
  int64_t row_of(int64_t i) const { return is_reversed_ ? rows_.count - (i >> refinement_) : i >> refinement_; }

  int64_t far_column() const { return is_reversed_ ? 0 : columns_.looked_at() - 1; }
  int64_t stride() const { return ((columns_.looked_at() - 1) >> shift_) + 1; }
  int64_t squares() const { return (((rows_.looked_at() - 1) >> shift_) + 1) * stride(); }

  // All of these take places. A symmetric sweep looks at all nodes with row <= column.
  V* square(int64_t row, int64_t column) const {
    if (symmetric_ && row > column) return square(column, row);
    return kept_ + (row >> shift_) * stride() + (column >> shift_);
  }

  void look_at(V value, int64_t row, int64_t column) {
    V* kept = square(row, column);
    if (!is_reversed_) {
      *kept = shift_ > 0 ? max(*kept, abs(value)) : abs(value);
      return;
    }
    largest_ = max(largest_, *kept * abs(value));
    if (row == 0 || column == 0) return;  // no cells are before these nodes
    const V *x = rows_.roundings + 2 * row, *y = columns_.roundings + 2 * column;
    increments_ += *square(row - 1, column - 1) * abs(value) * (x[0] * y[1] + x[1] * y[0]);
  }

  // The same in the second sweep for columns first .. last - 1 of a row, where no square has more than one node.
  void multiply(const V* origin, int64_t ahead, int64_t row, int64_t first, int64_t last) {
    const V *kept = square(row, 0), *before = square(row > 0 ? row - 1 : 0, 0);
    const V *x = rows_.roundings + 2 * row;
    V largest = largest_, by_rounding(0), by_step(0);
    for (int64_t n = first; n < last; ++n) {
      const V size = abs(origin[columns_.lines[n] * ahead]);
      largest = max(largest, kept[n] * size);
      if (n == 0) continue;
      const V product = before[n - 1] * size;
      by_rounding += product * columns_.roundings[2 * n + 1];
      by_step += product * columns_.roundings[2 * n];
    }
    largest_ = largest;
    if (row > 0) increments_ += x[0] * by_rounding + x[1] * by_step;
  }

  const bool symmetric_;
  const int refinement_;
  NodeLines<V> rows_, columns_;
  const int64_t capacity_;  // packs
  V* kept_;
  int shift_ = 0;
  bool is_reversed_ = false;
  V largest_{0.0}, increments_{0.0};
};

}  // namespace
}  // namespace sigkernel
