// What node_sizes.h does, for a single problem that is solved by all lanes together: see skewed.h.
#pragma once

#include "core/arena.h"
#include "core/arithmetic.h"
#include "core/goursat/loops.h"
#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// Both sweeps' looks at the first corners of all cells. Each sweep has a row and a column of zero increments behind its
// last, so that the nodes at the far ends are among these, and the first sweep is filled up in front where the second one
// is filled up behind. So the second meets the nodes of a register in the reverse order, and registers likewise. Where
// the sizes of all nodes would take too much memory, the largest of a few steps is kept.
template <class V>
class SkewedNodes {
  using T = typename V::Scalar;

 public:
  // Takes its memory from the arena. It lasts from the first sweep to the second.
  SkewedNodes(const PathPair<T>& pair, Arena& arena)
      : columns_(pair.columns + 1), strips_(parts_of(pair.rows + 1, V::kLanes)), steps_(columns_ + V::kLanes - 1) {
    while (strips_ * slots() * static_cast<int64_t>(sizeof(V)) > kKept) ++shift_;
    kept_ = arena.take<V>(strips_ * slots());
  }

  // To be called before the first sweep.
  void start() {
    for (int64_t n = 0; shift_ > 0 && n < strips_ * slots(); ++n) kept_[n] = V(0);
  }

  // To be called before the second sweep, whose pair has its roundings.
  void reverse(const PathPair<T>& pair) { reversed_ = &pair; }

  // To be called before each strip of rows, of which the first is row `first`. It may lie before the first row.
  void start_strip(int64_t strip, int64_t first) {
    strip_ = strip;
    x_rounding_ = x_step_ = y_rounding_ = y_step_ = V(0);
    for (int lane = 0; reversed_ != nullptr && lane < V::kLanes; ++lane) {
      const int64_t row = first + lane;
      if (row < 0 || row >= reversed_->rows) continue;
      x_rounding_.set(lane, reversed_->x_rounding[2 * row]);
      x_step_.set(lane, reversed_->x_rounding[2 * row + 1]);
    }
  }

  // U at the first corners of the cells that a step crosses.
  SIGKERNEL_INLINE void look_at(V value, int64_t step) {
    V size = abs(value);
    if (reversed_ == nullptr) {
      for (int lane = 0; (step < V::kLanes - 1 || step >= columns_) && lane < V::kLanes; ++lane)
        if (step < lane || step - lane >= columns_) size.set(lane, T(0));  // not in the grid
      V* kept = kept_ + strip_ * slots() + (step >> shift_);
      *kept = shift_ == 0 ? size : max(*kept, size);
      return;
    }
    const bool is_inside = step < reversed_->columns;
    y_rounding_ = shift_in(y_rounding_, is_inside ? reversed_->y_rounding[2 * step] : T(0));
    y_step_ = shift_in(y_step_, is_inside ? reversed_->y_rounding[2 * step + 1] : T(0));
    const V product = size * reversed(kept_[(strips_ - 1 - strip_) * slots() + ((steps_ - 1 - step) >> shift_)]);
    largest_ = max(largest_, product);
    increments_ += product * (x_rounding_ * y_step_ + x_step_ * y_rounding_);
  }

  // After the second sweep: as NodeSizes', but with U at the last corner of a cell.
  T largest() const {
    T all = 0;
    for (int lane = 0; lane < V::kLanes; ++lane) all = max(all, largest_[lane]);
    return all;
  }
  T increments() const {
    T all = 0;
    for (int lane = 0; lane < V::kLanes; ++lane) all += increments_[lane];
    return all;
  }

 private:
  static constexpr int64_t kKept = int64_t{8} << 20;  // bytes

  int64_t slots() const { return ((steps_ - 1) >> shift_) + 1; }

  const int64_t columns_, strips_, steps_;
  int shift_ = 0;
  int64_t strip_ = 0;
  V* kept_;
  const PathPair<T>* reversed_ = nullptr;
  V x_rounding_{0.0}, x_step_{0.0}, y_rounding_{0.0}, y_step_{0.0};
  V largest_{0.0}, increments_{0.0};
};

}  // namespace
}  // namespace sigkernel
