#include "core/quadratic_forms/quadratic_forms.h"

#include <algorithm>

#include "core/arithmetic.h"
#include "core/memory.h"
#include "core/quadratic_forms/loops.h"

namespace sigkernel {
namespace {

constexpr int64_t kMultiplyAddsInNanosecond = 16;

int64_t cost_of(int64_t multiply_adds) { return 100 + multiply_adds / kMultiplyAddsInNanosecond; }

// The columns 0 to i of row i of a packed factor: value(j) stands at first + direction * j.
struct PackedRow {
  PackedRow(int64_t size, int64_t i)
      : is_upper(i * size < size * (size - 1) / 2),
        first(is_upper ? size + i * size : size * size - 1 - i * size),
        direction(is_upper ? 1 : -1) {}

  int64_t at(int64_t j) const { return first + direction * j; }

  bool is_upper;
  int64_t first, direction;
};

// Sums of squares of each row, in several parts so that they need not wait for one another.
template <class T>
T sum_of_squares(const T* row, int64_t count) {
  constexpr int kParts = 8;
  T sums[kParts] = {};
  int64_t j = 0;
  for (; j + kParts <= count; j += kParts) {
    for (int part = 0; part < kParts; ++part) sums[part] += row[j + part] * row[j + part];
  }
  for (; j < count; ++j) sums[0] += row[j] * row[j];
  for (int part = 1; part < kParts; ++part) sums[0] += sums[part];
  return sums[0];
}

template <class T>
class Forms {
 public:
  Forms(const QuadraticForms<T>& problem, const ParallelFor& parallel_for)
      : p_(problem),
        parallel_for_(parallel_for),
        loops_(panel_loops<T>()),
        columns_(loops_.columns),
        packed_size_(p_.size * (p_.size + 1) / 2) {}

  // A task is a factor and some columns of it: L^T S in those, from the rows at or below the first of them.
  void forward(T* forms, T* products) {
    Scratch memory;
    const T* vectors = pack_vectors(memory);  // [groups][M][kPanelRows]
    const int64_t blocks = parts_of(p_.size, columns_), groups = parts_of(p_.num_vectors, kPanelRows);
    const auto some_columns = [&](int64_t task, T* panel, T* tile) {
      const int64_t c = task / blocks, j = task % blocks * columns_, steps = p_.size - j;
      unpack_columns(p_.factors + c * packed_size_, j, panel);
      for (int64_t group = 0; group < groups; ++group) {
        std::fill_n(tile, kPanelRows * columns_, T(0));
        loops_.multiply(steps, vectors + (group * p_.size + j) * kPanelRows, panel, columns_, tile, columns_);
        const int64_t n = group * kPanelRows, rows = std::min<int64_t>(kPanelRows, p_.num_vectors - n);
        for (int64_t r = 0; r < rows; ++r) {
          std::copy_n(tile + r * columns_, std::min<int64_t>(columns_, steps),
                      products + (c * p_.num_vectors + n + r) * p_.size + j);
        }
      }
    };
    const int64_t cost = cost_of(p_.size * columns_ * p_.num_vectors / 2);
    run_and_rethrow(parallel_for_, p_.num_factors * blocks, cost, [&](int64_t begin, int64_t end) {
      Scratch scratch;
      T* panel = scratch.reserve_numbers<T>((p_.size + kPanelRows) * columns_);
      for (int64_t task = begin; task < end; ++task) some_columns(task, panel, panel + p_.size * columns_);
    });
    over_rows([&](int64_t row) { forms[row] = sum_of_squares(products + row * p_.size, p_.size); });
  }

  // A task is kPanelRows rows of all factors.
  void backward_factors(const T* products, const T* upstream, T* d_factors) {
    Scratch memory;
    const int64_t width = parts_of(p_.size, columns_) * columns_;
    T* bars = memory.reserve_numbers<T>(p_.num_factors * p_.num_vectors * width);  // z_bar, [C][N][width]
    over_rows([&](int64_t row) {
      for (int64_t j = 0; j < p_.size; ++j) bars[row * width + j] = 2 * upstream[row] * products[row * p_.size + j];
      std::fill(bars + row * width + p_.size, bars + (row + 1) * width, T(0));
    });
    over_chunks(p_.num_vectors, (p_.num_vectors + width) * kPanelRows, [&](int64_t i, int64_t end, T* scratch) {
      T *vectors = scratch, *rows = scratch + p_.num_vectors * kPanelRows;
      for (int64_t n = 0; n < p_.num_vectors; ++n) {
        for (int r = 0; r < kPanelRows; ++r) {
          vectors[n * kPanelRows + r] = i + r < end ? p_.vectors[(i + r) * p_.num_vectors + n] : T(0);
        }
      }
      for (int64_t c = 0; c < p_.num_factors; ++c) {
        std::fill_n(rows, kPanelRows * width, T(0));
        for (int64_t j = 0; j < end; j += columns_) {
          loops_.multiply(p_.num_vectors, vectors, bars + c * p_.num_vectors * width + j, width, rows + j, width);
        }
        for (int64_t row = i; row < end; ++row) pack_row(rows + (row - i) * width, row, d_factors + c * packed_size_);
      }
    });
  }

  // A task is kPanelRows rows of s_bar, summed over the factors in their order.
  void backward_vectors(const T* products, const T* upstream, T* d_vectors) {
    Scratch memory;
    const int64_t width = parts_of(p_.num_vectors, columns_) * columns_;
    T* bars = memory.reserve_numbers<T>(p_.num_factors * p_.size * width);  // z_bar transposed, [C][M][width]
    run_and_rethrow(parallel_for_, p_.num_factors, cost_of(8 * p_.size * width), [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) transpose_bars(products, upstream, c, width, bars + c * p_.size * width);
    });
    over_chunks(width, (p_.size + width) * kPanelRows, [&](int64_t i, int64_t end, T* scratch) {
      T *panel = scratch, *rows = scratch + p_.size * kPanelRows;
      std::fill_n(rows, kPanelRows * width, T(0));
      for (int64_t c = 0; c < p_.num_factors; ++c) {
        unpack_rows(p_.factors + c * packed_size_, i, end, panel);
        for (int64_t n = 0; n < width; n += columns_) {
          loops_.multiply(end, panel, bars + c * p_.size * width + n, width, rows + n, width);
        }
      }
      for (int64_t row = i; row < end; ++row) {
        std::copy_n(rows + (row - i) * width, p_.num_vectors, d_vectors + row * p_.num_vectors);
      }
    });
  }

 private:
  // S by groups of kPanelRows vectors, each [M][kPanelRows]; what is missing from the last is 0.
  const T* pack_vectors(Scratch& memory) const {
    const int64_t groups = parts_of(p_.num_vectors, kPanelRows);
    T* packed = memory.reserve_numbers<T>(groups * p_.size * kPanelRows);
    for (int64_t group = 0, n = 0; group < groups; ++group, n += kPanelRows) {
      const int64_t count = std::min<int64_t>(kPanelRows, p_.num_vectors - n);
      for (int64_t i = 0; i < p_.size; ++i) {
        T* to = packed + (group * p_.size + i) * kPanelRows;
        std::copy_n(p_.vectors + i * p_.num_vectors + n, count, to);
        std::fill(to + count, to + kPanelRows, T(0));
      }
    }
    return packed;
  }

  // The columns from j on of the rows from j on, [M - j][columns]; 0 above the diagonal.
  void unpack_columns(const T* factor, int64_t j, T* panel) const {
    for (int64_t i = j; i < p_.size; ++i, panel += columns_) {
      const PackedRow row(p_.size, i);
      const T* from = factor + row.at(j);
      const int64_t count = std::min<int64_t>(columns_, i + 1 - j);
      if (row.is_upper) {
        std::copy_n(from, count, panel);
      } else {
        std::reverse_copy(from - count + 1, from + 1, panel);
      }
      std::fill(panel + count, panel + columns_, T(0));
    }
  }

  // The rows i to end - 1, at most kPanelRows, side by side: [end][kPanelRows]; 0 above the diagonal.
  void unpack_rows(const T* factor, int64_t i, int64_t end, T* panel) const {
    for (int r = 0; r < kPanelRows; ++r) {
      const int64_t count = i + r < end ? i + r + 1 : 0;
      const PackedRow row(p_.size, i + r);
      for (int64_t j = 0; j < count; ++j) panel[j * kPanelRows + r] = factor[row.at(j)];
      for (int64_t j = count; j < end; ++j) panel[j * kPanelRows + r] = T(0);
    }
  }

  void pack_row(const T* values, int64_t i, T* factor) const {
    const PackedRow row(p_.size, i);
    T* to = factor + row.first;
    if (row.is_upper) {
      std::copy_n(values, i + 1, to);
    } else {
      std::reverse_copy(values, values + i + 1, to - i);
    }
  }

  void transpose_bars(const T* products, const T* upstream, int64_t c, int64_t width, T* bars) const {
    std::fill_n(bars, p_.size * width, T(0));
    for (int64_t n = 0; n < p_.num_vectors; ++n) {
      const int64_t row = c * p_.num_vectors + n;
      for (int64_t j = 0; j < p_.size; ++j) bars[j * width + n] = 2 * upstream[row] * products[row * p_.size + j];
    }
  }

  template <class Visit>
  void over_rows(const Visit& visit) const {  // of [C, N, M]
    run_and_rethrow(parallel_for_, p_.num_factors * p_.num_vectors, cost_of(4 * p_.size),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t row = begin; row < end; ++row) visit(row);
                    });
  }

  // Visits the rows of the factors by kPanelRows, short ones and long ones in turn.
  template <class Visit>
  void over_chunks(int64_t steps, int64_t scratch_numbers, const Visit& visit) const {
    const int64_t chunks = parts_of(p_.size, kPanelRows);
    const int64_t cost = cost_of(p_.num_factors * p_.size * kPanelRows * steps / 2);
    run_and_rethrow(parallel_for_, chunks, cost, [&](int64_t begin, int64_t end) {
      Scratch memory;
      T* scratch = memory.reserve_numbers<T>(scratch_numbers);
      for (int64_t task = begin; task < end; ++task) {
        const int64_t i = (task % 2 == 0 ? task / 2 : chunks - 1 - task / 2) * kPanelRows;
        visit(i, std::min(i + kPanelRows, p_.size), scratch);
      }
    });
  }

  const QuadraticForms<T>& p_;
  const ParallelFor& parallel_for_;
  const PanelLoops<T>& loops_;
  const int64_t columns_, packed_size_;
};

}  // namespace

template <class T>
void quadratic_forms(const QuadraticForms<T>& problem, const ParallelFor& parallel_for, T* forms, T* products) {
  Forms<T>(problem, parallel_for).forward(forms, products);
}

template <class T>
void quadratic_forms_backward_factors(const QuadraticForms<T>& problem, const ParallelFor& parallel_for,
                                       const T* products, const T* upstream, T* d_factors) {
  Forms<T>(problem, parallel_for).backward_factors(products, upstream, d_factors);
}

template <class T>
void quadratic_forms_backward_vectors(const QuadraticForms<T>& problem, const ParallelFor& parallel_for,
                                       const T* products, const T* upstream, T* d_vectors) {
  Forms<T>(problem, parallel_for).backward_vectors(products, upstream, d_vectors);
}

#define SIGKERNEL_INSTANTIATE(T)                                                                                   \
  template void quadratic_forms<T>(const QuadraticForms<T>&, const ParallelFor&, T*, T*);                        \
  template void quadratic_forms_backward_factors<T>(const QuadraticForms<T>&, const ParallelFor&, const T*,      \
                                                     const T*, T*);                                                \
  template void quadratic_forms_backward_vectors<T>(const QuadraticForms<T>&, const ParallelFor&, const T*,      \
                                                     const T*, T*);
SIGKERNEL_INSTANTIATE(float)
SIGKERNEL_INSTANTIATE(double)
#undef SIGKERNEL_INSTANTIATE

}  // namespace sigkernel
