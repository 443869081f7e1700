// How much errors that a sweep makes on its way weigh at its end. An error of U at a node reaches k multiplied by W,
// which solves the problem reversed in time: W is the kernel of what is left of both paths. A first sweep keeps |U| at
// the nodes; a second one, of the reversed problem, meets the nodes in the reverse order and multiplies.
#pragma once

#include "core/arena.h"
#include "core/arithmetic.h"
#include "core/goursat/grid.h"
#include "core/goursat/increments.h"
#include "core/goursat/loops.h"
#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// The increments of the problem reversed in time. Forward only.
template <class V>
class ReversedIncrements final : public Increments<V> {
 public:
  ReversedIncrements(const Increments<V>& increments, int64_t rows, int64_t columns)
      : increments_(increments), rows_(rows), columns_(columns) {}

  void read(const Cells& cells, V* p) const override {
    const int64_t row = rows_ - cells.row - cells.rows, column = columns_ - cells.column - cells.columns;
    increments_.read({row, cells.rows, column, cells.columns}, p);
    for (V *first = p, *last = p + cells.rows * cells.columns - 1; first < last; ++first, --last) {
      const V kept = *first;
      *first = *last;
      *last = kept;
    }
  }

  void add_gradient(const Cells&, const V*) const override {}

 private:
  const Increments<V>& increments_;
  const int64_t rows_, columns_;
};

// For sweeps that do not look at their nodes.
struct NoNodes {
  template <class V>
  void look_at(V, int64_t, int64_t) {}
  template <class V>
  void look_at_far_end(V) {}
};

// Both sweeps' looks at the nodes of the coarse grid. Where the sizes of all nodes would take too much memory, the largest
// of each square of nodes is kept, which makes the products bounds of what they stand for.
template <class V>
class NodeSizes {
  using T = typename V::Scalar;

 public:
  // Takes its memory from the arena. It lasts from the first sweep to the second.
  NodeSizes(const Grid& grid, Arena& arena)
      : symmetric_(grid.symmetric), refinement_(grid.refinement), rows_(grid.rows), columns_(grid.columns) {
    while (squares() * static_cast<int64_t>(sizeof(V)) > kKept) ++shift_;
    kept_far_ = arena.take<V>(1);
    kept_ = arena.take<V>(squares());
  }

  // To be called before the first sweep.
  void start() {
    *kept_far_ = V(0);
    for (int64_t n = 0; n < squares(); ++n) kept_[n] = V(0);
  }

  // To be called before the second sweep. The block's roundings: see loops.h.
  void reverse(const Block<T>& block) {
    is_reversed_ = true;
    x_rounding_ = reinterpret_cast<const V*>(block.x_rounding);
    y_rounding_ = reinterpret_cast<const V*>(block.y_rounding);
  }

  // The first corner of fine cell (i, j), in the order of the sweep.
  SIGKERNEL_INLINE void look_at(V value, int64_t i, int64_t j) {
    const int64_t inside = (int64_t{1} << refinement_) - 1;
    if (((i | j) & inside) != 0) return;
    i >>= refinement_;
    j >>= refinement_;
    const V size = abs(value);
    if (!is_reversed_) {
      V* kept = square(i, j);
      *kept = max(*kept, size);
      return;
    }
    // In the order of the first sweep W stands at the last corner of this cell:
    const int64_t row = rows_ - 1 - i, column = columns_ - 1 - j;
    largest_ = max(largest_, *square(row + 1, column + 1) * size);
    increments_ += *square(row, column) * size * rounding(row, column);
  }

  // A node at the far end of a row or column: a point is what is left of one path, so that the other solution is 1.
  SIGKERNEL_INLINE void look_at_far_end(V value) {
    V& far = is_reversed_ ? largest_ : *kept_far_;
    far = max(far, abs(value));
  }

  // After the second sweep. The largest |U W|, and the sum over all cells of |U W| times the rounding of p.
  V largest() const { return max(largest_, *kept_far_); }
  V increments() const { return symmetric_ ? increments_ + increments_ : increments_; }

 private:
  static constexpr int64_t kKept = int64_t{32} << 20;  // bytes

  int64_t stride() const { return (columns_ >> shift_) + 1; }
  int64_t squares() const { return ((rows_ >> shift_) + 1) * stride(); }

  // A symmetric sweep meets the nodes with i <= j.
  SIGKERNEL_INLINE V* square(int64_t i, int64_t j) const {
    if (symmetric_ && i > j) return kept_ + (j >> shift_) * stride() + (i >> shift_);
    return kept_ + (i >> shift_) * stride() + (j >> shift_);
  }

  SIGKERNEL_INLINE V rounding(int64_t row, int64_t column) const {
    if (x_rounding_ == nullptr) return V(1);
    const V *x = x_rounding_ + 2 * row, *y = y_rounding_ + 2 * column;
    return x[0] * y[1] + x[1] * y[0];
  }

  const bool symmetric_;
  const int refinement_;
  const int64_t rows_, columns_;
  int shift_ = 0;
  bool is_reversed_ = false;
  V *kept_far_, *kept_;
  const V *x_rounding_ = nullptr, *y_rounding_ = nullptr;
  V largest_{0.0}, increments_{0.0};
};

}  // namespace
}  // namespace sigkernel
