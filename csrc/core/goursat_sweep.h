// Sweeps over the grid of one problem, row by row, forward and backward, for any cell rule of goursat_cell.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/goursat_cell.h"

namespace sigkernel {

// A coarse grid of increments p, every one of them cut into 2^refinement along both axes. A symmetric grid (x against
// itself) is swept on and above its diagonal alone.
struct Grid {
  int64_t rows = 0, columns = 0;
  int refinement = 0;
  bool symmetric = false;

  int64_t fine_rows() const { return rows << refinement; }
  int64_t fine_columns() const { return columns << refinement; }
  bool starts_coarse_row(int64_t fine_row) const { return (fine_row & ((int64_t{1} << refinement) - 1)) == 0; }
  bool ends_coarse_row(int64_t fine_row) const { return starts_coarse_row(fine_row + 1); }
  int64_t first_column(int64_t fine_row) const { return symmetric ? fine_row : 0; }
  double cell_area() const { return std::ldexp(1.0, -2 * refinement); }
};

// Where a sweep reads its increments and leaves their gradient, a row at a time.
template <class V>
class Increments {
 public:
  virtual ~Increments() = default;
  // Overwrites p[j] for first_column <= j < columns.
  virtual void read_row(int64_t row, int64_t first_column, V* p) = 0;
  // Accumulates the gradient of p[j], first_column <= j < columns.
  virtual void add_gradient_row(int64_t row, int64_t first_column, const V* gradient) = 0;
};

// Memory for sweeps, kept from one pair to the next.
template <class V>
struct Workspace {
  std::vector<V> p, bottom, gradient, adjoint, checkpoints, bottom_tape, left_tape;
};

template <class Rule, class V>
class Sweep {
 public:
  Sweep(const Grid& grid, Increments<V>& increments, Workspace<V>& work)
      : grid_(grid), increments_(increments), work_(work) {
    work_.p.resize(grid.columns);
    work_.bottom.resize(grid.fine_columns() * kSize);
  }

  // Solves the problem and returns k. After each fine row, inspect(first_column, edges) sees the top edges of its
  // cells, edges + j * kCoefficients, and may stop the sweep by returning false; the result is then meaningless.
  template <class Inspect>
  V forward(const Inspect& inspect) {
    start();
    V value = V(1);
    for (int64_t row = 0; row < grid_.fine_rows(); ++row) {
      value = advance(row, nullptr);
      if (!inspect(grid_.first_column(row), work_.bottom.data())) break;
    }
    return value;
  }

  // Accumulates upstream * dk/dp into the increments. Memory: the bottom edges of one row in every sqrt(rows), and all
  // edges of one strip of sqrt(rows), recomputed from them.
  template <class Backward>
  void backward(V upstream) {
    const int64_t rows = grid_.fine_rows(), width = work_.bottom.size();
    if (rows == 0 || width == 0) return;
    const int64_t strip = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(rows))));
    work_.checkpoints.resize((rows + strip - 1) / strip * width);
    work_.bottom_tape.resize(strip * width);
    work_.left_tape.resize(strip * width);
    start();
    for (int64_t row = 0; row < rows; ++row) {
      if (row % strip == 0) save_bottom(&work_.checkpoints[row / strip * width]);
      advance(row, nullptr);
    }
    work_.gradient.resize(grid_.columns);
    work_.adjoint.resize(width);
    for (int64_t j = 0; j < grid_.fine_columns(); ++j) Backward::boundary(&work_.adjoint[j * kSize]);
    for (int64_t first = (rows - 1) / strip * strip; first >= 0; first -= strip) {
      const int64_t last = std::min(first + strip, rows);
      std::copy_n(&work_.checkpoints[first / strip * width], width, work_.bottom.begin());
      read_increments(first);
      for (int64_t row = first; row < last; ++row) {
        save_bottom(&work_.bottom_tape[(row - first) * width]);
        advance(row, &work_.left_tape[(row - first) * width]);
      }
      for (int64_t row = last - 1; row >= first; --row) retreat<Backward>(row, (row - first) * width, upstream);
    }
  }

 private:
  static constexpr int kSize = Rule::kCoefficients;

  void start() {
    for (int64_t j = 0; j < grid_.fine_columns(); ++j) Rule::axis(&work_.bottom[j * kSize]);
  }

  void save_bottom(V* to) const { std::copy(work_.bottom.begin(), work_.bottom.end(), to); }

  // The coarse row's increments, divided by the refinement.
  void read_increments(int64_t fine_row) {
    const int64_t row = fine_row >> grid_.refinement, first = grid_.symmetric ? row : 0;
    increments_.read_row(row, first, work_.p.data());
    if (grid_.refinement == 0) return;
    const V area = V(grid_.cell_area());
    for (int64_t j = first; j < grid_.columns; ++j) work_.p[j] *= area;
  }

  // One fine row forward: bottom edges become top edges. Returns U at the row's last corner; left_tape, where given,
  // keeps each cell's left edge.
  V advance(int64_t row, V* left_tape) {
    if (grid_.starts_coarse_row(row)) read_increments(row);
    const int64_t columns = grid_.fine_columns();
    V left[kSize];
    if (grid_.symmetric) {
      std::copy_n(&work_.bottom[row * kSize], kSize, left);  // U(s, t) = U(t, s)
    } else {
      Rule::axis(left);
    }
    for (int64_t j = grid_.first_column(row); j < columns; ++j) {
      if (left_tape != nullptr) std::copy_n(left, kSize, left_tape + j * kSize);
      Rule::forward(work_.p[j >> grid_.refinement], &work_.bottom[j * kSize], left);
    }
    return Rule::end(left);
  }

  // One fine row backward: the adjoint of its top edges becomes that of its bottom edges.
  template <class Backward>
  void retreat(int64_t row, int64_t tape, V upstream) {
    const int64_t coarse_row = row >> grid_.refinement, coarse_first = grid_.symmetric ? coarse_row : 0;
    if (grid_.ends_coarse_row(row)) {
      read_increments(row);
      std::fill(work_.gradient.begin(), work_.gradient.end(), V(0));
    }
    V right[kSize];
    Backward::boundary(right);
    if (row == grid_.fine_rows() - 1) Backward::seed(right);
    for (int64_t j = grid_.fine_columns() - 1; j >= grid_.first_column(row); --j) {
      V* top = &work_.adjoint[j * kSize];
      const bool on_diagonal = grid_.symmetric && j == row;
      if (on_diagonal) Backward::enter_diagonal(top, right);
      const int64_t cell = tape + j * kSize;
      const V gradient = Backward::backward(work_.p[j >> grid_.refinement], &work_.bottom_tape[cell],
                                            &work_.left_tape[cell], top, right);
      const bool counts_twice = grid_.symmetric && !on_diagonal;
      work_.gradient[j >> grid_.refinement] += counts_twice ? gradient * V(Backward::kOffDiagonalWeight) : gradient;
      if (on_diagonal) Backward::leave_diagonal(top, right);
    }
    if (grid_.starts_coarse_row(row)) {
      const V scale = upstream * V(grid_.cell_area());
      for (V& g : work_.gradient) g *= scale;
      increments_.add_gradient_row(coarse_row, coarse_first, work_.gradient.data());
    }
  }

  const Grid grid_;
  Increments<V>& increments_;
  Workspace<V>& work_;
};

}  // namespace sigkernel
