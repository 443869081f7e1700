// The problem reversed in time: the increments p from the last cell to the first. For the files that are compiled for an
// instruction set: it includes nothing of the standard library.
#pragma once

#include "core/arena.h"
#include "core/arithmetic.h"
#include "core/goursat/increments.h"
#include "core/goursat/loops.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// Of increments of any kind. Forward only.
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

// A block whose paths are reversed, which costs less than to reverse their products, where p_ij = <x_i, y_j>.
template <class V>
class ReversedPaths {
  using T = typename V::Scalar;

 public:
  static bool serves(const Block<T>& block) { return block.kind == IncrementsKind::kLinear; }

  // Takes its memory from the arena.
  ReversedPaths(const Block<T>& block, Arena& arena)
      : original_(block), x_(arena.take<V>(serves(block) ? block.rows * block.channels : 0)),
        y_(arena.take<V>(serves(block) ? block.columns * block.channels : 0)) {}

  Block<T> block() const {
    Block<T> reversed = original_;
    reverse(original_.x, original_.rows, x_);
    reverse(original_.y, original_.columns, y_);
    reversed.x = reinterpret_cast<const T*>(x_);
    reversed.y = reinterpret_cast<const T*>(y_);
    return reversed;
  }

 private:
  void reverse(const T* vectors, int64_t count, V* to) const {
    const int64_t channels = original_.channels;
    for (int64_t i = 0; i < count; ++i)
      copy(reinterpret_cast<const V*>(vectors) + (count - 1 - i) * channels, channels, to + i * channels);
  }

  const Block<T>& original_;
  V *x_, *y_;
};

}  // namespace
}  // namespace sigkernel
