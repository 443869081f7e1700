// Sweeps over the grids of one block of problems, tile by tile, forward and backward, for any cell rule of
// cell.h. For the files that are compiled for an instruction set: it includes nothing of the standard library.
#pragma once

#include "core/arena.h"
#include "core/arithmetic.h"
#include "core/goursat/cell.h"
#include "core/goursat/extended_range.h"
#include "core/goursat/grid.h"
#include "core/goursat/increments.h"
#include "core/goursat/inspection.h"
#include "core/goursat/loops.h"
#include "core/goursat/node_sizes.h"
#include "core/goursat/tiling.h"
#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// A sweep of `Rule` over a grid.
//
// Forward it keeps one row of edges and one column of a tile's edges. Backward it keeps the edges along tiles and
// computes the inside of each tile again. Where even the tiles' edges would take too much memory, tiles are gathered in
// strips, and only the bottom edges of a strip are kept until its turn comes. A grid whose whole tape is small is one
// tile.
//
// In extended range the exponents of edges stand behind them: of a row one for each tile, of a column one.
template <class Rule, class V>
class Sweep : private Tiling {
 public:
  // tape: packs that a cell leaves for the way back; 0 for a sweep that goes forward only.
  Sweep(const Grid& grid, const Increments<V>& increments, int tape, Arena& arena, bool extended = false)
      : Tiling(tiled<V>(grid, kSize, tape, extended)), increments_(increments), arena_(arena), extended_(extended) {
    row_size_ = columns_ * kSize + (extended ? tile_columns() : 0);
    column_size_ = tile_rows_ * kSize + (extended ? 1 : 0);
    row_ = arena.take<V>(row_size_);
    column_ = arena.take<V>(column_size_);
    p_ = arena.take<V>(coarse(tile_rows_) * coarse(tile_columns_));
    dropped_ = arena.take<V>(tile_columns());
  }

  // Solves the problem and returns k. `inspection` sees the edges between tiles and those at the grid's far ends, `nodes` U
  // at the nodes. ranges: of the coarse rows, then the columns, and the largest |p|, for an inspection that looks. An infinity or NaN
  // never leads back to a finite number, so a refined sweep, whose cells are many, ends as soon as no lane has a finite
  // number left.
  template <class Inspect, class Nodes>
  V forward(Inspect& inspection, const V* ranges, Nodes& nodes) {
    start();
    if constexpr (looks<Inspect>()) {
      inspection.start(ranges[grid_.rows + grid_.columns] * V(grid_.cell_area()));
    }
    for (int64_t J = 0; J < tile_columns(); ++J) dropped_[J] = V(0);
    for (int64_t I = 0; I < tile_row_count(); ++I) {
      sweep_tile_row(I, nodes, inspection, [&](const Tile& t, int64_t J) {
        if constexpr (looks<Inspect>()) {
          if (extended_) unit_.raise(*column_exponent(column_), inspection, dropped_, tile_columns());
        }
        look_at(column_, t.row, t.rows, ranges, column_exponent(column_), inspection, dropped_ + J);
        if (J == tile_columns() - 1) nodes.template look_at_far_column<kSize>(column_, t.row, t.rows);
      });
      V dropped(0);
      look_at_row(grid_.symmetric ? I : 0, ranges + grid_.rows, inspection, &dropped);
      inspection.take_tail(dropped);
      if constexpr (looks<Inspect>()) {
        if (grid_.refinement > 0 && none_is_finite(end_of_tile_row(I))) return end_of_tile_row(I);
      }
    }
    for (int64_t J = 0; J < tile_columns(); ++J) inspection.take_tail(dropped_[J]);
    // Of a symmetric grid the far row is the far column.
    if (!grid_.symmetric) nodes.template look_at_row<kSize>(row_, rows_, 0, columns_);
    nodes.look_at_last(result());
    return result();
  }

  // After forward in extended range: the result is to be multiplied by 2 to this power.
  V exponent() const { return rows_ == 0 || columns_ == 0 ? V(0) : *column_exponent(column_); }

  // Takes the further memory that backward needs. To be called before it.
  template <class Backward>
  void reserve() {
    if (rows_ == 0 || columns_ == 0) return;
    const int64_t tile_row = row_size_ + tile_columns() * column_size_;  // packs to keep a row of tiles' edges
    strip_tiles_ = kKept / (tile_row * static_cast<int64_t>(sizeof(V))) + 1;
    strip_tiles_ = smaller(strip_tiles_, tile_row_count());
    const int64_t strips = parts_of(tile_row_count(), strip_tiles_);
    strip_rows_ = arena_.take<V>(strips * row_size_);
    kept_rows_ = arena_.take<V>(strip_tiles_ * row_size_);
    kept_columns_ = arena_.take<V>(strip_tiles_ * tile_columns() * column_size_);
    tile_row_edges_ = arena_.take<V>(tile_columns_ * kSize + 1);
    tape_ = arena_.take<V>(tile_rows_ * tile_columns_ * Backward::kTape);
    row_bar_ = arena_.take<V>(row_size_);
    column_bar_ = arena_.take<V>(column_size_);
    p_bar_ = arena_.take<V>(coarse(tile_rows_) * coarse(tile_columns_));
  }

  // Accumulates upstream * dk/dp into the increments, in extended range divided by 2^exponent. After reserve<Backward>().
  template <class Backward>
  void backward(V upstream, V exponent) {
    if (rows_ == 0 || columns_ == 0) return;
    const int64_t tiles = tile_row_count(), strips = parts_of(tiles, strip_tiles_);
    NoNodes no_nodes;
    NoInspection no_inspection;
    start();
    for (int64_t strip = 0; strip < strips - 1; ++strip) {
      copy(row_, row_size_, strip_rows_ + strip * row_size_);
      for (int64_t I = strip * strip_tiles_; I < (strip + 1) * strip_tiles_; ++I)
        sweep_tile_row(I, no_nodes, no_inspection, [](const Tile&, int64_t) {});
    }
    for (int64_t j = 0; j < columns_; ++j) Backward::boundary(row_bar_ + j * kSize);
    clear_row_exponents(row_bar_);
    for (int64_t strip = strips - 1; strip >= 0; --strip) {
      const int64_t first = strip * strip_tiles_, last = smaller(first + strip_tiles_, tiles);
      if (strip < strips - 1) copy(strip_rows_ + strip * row_size_, row_size_, row_);
      for (int64_t I = first; I < last; ++I) {
        copy(row_, row_size_, kept_rows_ + (I - first) * row_size_);
        if (tiles == 1 && tile_columns() == 1) break;
        V* kept = kept_columns_ + (I - first) * tile_columns() * column_size_;
        sweep_tile_row(I, no_nodes, no_inspection, [&](const Tile& t, int64_t J) {  // the next tile's left edges
          copy_column(column_, t, kept + J * column_size_);
        });
      }
      for (int64_t I = last - 1; I >= first; --I) retreat_tile_row<Backward>(I, I - first, upstream, exponent);
    }
  }

 private:
  static constexpr int kSize = Rule::kCoefficients;
  static constexpr int kRows = Rule::kRowsAtOnce;
  static constexpr int64_t kKept = int64_t{48} << 20;  // bytes of the edges along tiles

  struct Forward {
    SIGKERNEL_INLINE void operator()(V p, V* bottom, V* left, int64_t, int64_t) const { Rule::forward(p, bottom, left); }
  };

  template <class Inspect>
  static constexpr bool looks() { return !std::is_same_v<Inspect, NoInspection>; }

  V* row_exponents(V* row) const { return row + columns_ * kSize; }
  V* column_exponent(V* column) const { return column + tile_rows_ * kSize; }

  void clear_row_exponents(V* row) const {
    if (!extended_) return;
    for (int64_t J = 0; J < tile_columns(); ++J) row_exponents(row)[J] = V(0);
  }

  void start() {
    for (int64_t j = 0; j < columns_; ++j) Rule::axis(row_ + j * kSize);
    clear_row_exponents(row_);
  }

  void start_column(const Tile& t) {
    for (int64_t i = 0; i < t.rows; ++i) Rule::axis(column_ + i * kSize);
    if (extended_) *column_exponent(column_) = V(0);
  }

  void copy_column(V* from, const Tile& t, V* to) const {
    copy(from, t.rows * kSize, to);
    if (extended_) *column_exponent(to) = *column_exponent(from);
  }

  // In extended range: brings the edges at which a tile starts, or starts backward, to one exponent. A tile on the
  // diagonal does not read its left edges, but takes them from the bottom.
  void share_exponent_of(const Tile& t, V* row, V* row_exponent, V* column, bool reads_column) const {
    if (!extended_) return;
    share_exponent(Side<V>{row, t.columns * kSize, row_exponent},
                   Side<V>{column, reads_column ? t.rows * kSize : 0, column_exponent(column)});
  }

  // Edges across the fine lines first .. first + count - 1.
  template <class Inspect>
  void look_at(const V* edges, int64_t first, int64_t count, const V* ranges, const V* exponent, Inspect& inspection,
               V* dropped) const {
    if constexpr (looks<Inspect>()) {
      const V refined(1.0 / static_cast<double>(int64_t{1} << grid_.refinement));
      for (int64_t i = 0; i < count; ++i) {
        const V range = ranges[(first + i) >> grid_.refinement] * refined;
        if (!extended_) {
          inspection.look_at(edges + i * kSize, range, dropped);
          continue;
        }
        V edge[kSize];
        unit_.convert(edges + i * kSize, *exponent, edge);
        inspection.look_at(edge, range, dropped);
      }
    }
  }

  // The top edges of a row of tiles from tile J on.
  template <class Inspect>
  void look_at_row(int64_t J, const V* ranges, Inspect& inspection, V* dropped) const {
    if (!extended_) {
      const int64_t first = J * tile_columns_;
      look_at(row_ + first * kSize, first, columns_ - first, ranges, nullptr, inspection, dropped);
      return;
    }
    for (; J < tile_columns(); ++J) {
      const int64_t first = J * tile_columns_, count = smaller(tile_columns_, columns_ - first);
      look_at(row_ + first * kSize, first, count, ranges, row_exponents(row_) + J, inspection, dropped);
    }
  }

  V result() const {
    if (rows_ == 0 || columns_ == 0) return V(1);
    return end_of_tile_row(tile_row_count() - 1);
  }

  V end_of_tile_row(int64_t I) const { return Rule::end(column_ + (tile(I, 0).rows - 1) * kSize); }

  Cells read_increments(const Tile& t) {
    const Cells cells = coarse_cells(t);
    increments_.read(cells, p_);
    if (grid_.refinement > 0) {
      const V area(grid_.cell_area());
      for (int64_t i = 0; i < cells.rows * cells.columns; ++i) p_[i] *= area;
    }
    return cells;
  }

  // Bottom edges of a row of tiles become its top edges. after(tile, J) sees each tile's right edges in column_.
  template <class Nodes, class Inspect, class After>
  void sweep_tile_row(int64_t I, Nodes& nodes, Inspect& inspection, const After& after) {
    for (int64_t J = grid_.symmetric ? I : 0; J < tile_columns(); ++J) {
      const Tile t = tile(I, J);
      if (J == 0) start_column(t);
      share_exponent_of(t, row_ + t.column * kSize, row_exponents(row_) + J, column_, !t.on_diagonal);
      if constexpr (looks<Inspect>()) {
        if (extended_) inspection.unit = unit_.of_edges(row_exponents(row_)[J], inspection, dropped_, tile_columns());
      }
      sweep_tile(t, row_ + t.column * kSize, nodes, inspection, Forward());
      after(t, J);
    }
  }

  // cell(p, bottom, left, i, j) for each cell of the tile, from its first corner on.
  template <class Nodes, class Inspect, class Cell>
  void sweep_tile(const Tile& t, V* row, Nodes& nodes, Inspect& inspection, const Cell& cell) {
    const Cells cells = read_increments(t);
    if (t.on_diagonal) {
      for (int64_t i = 0; i < t.rows; ++i) {
        copy(row + i * kSize, kSize, column_ + i * kSize);  // U(s, t) = U(t, s)
        nodes.template look_at_row<kSize>(row + i * kSize, t.row + i, t.column + i, t.columns - i);
        sweep_rows<1>(t, cells, i, i, row, inspection, cell);
      }
      return;
    }
    static_assert(kRows <= 2, "of more rows at once, each but the first must not be looked at");
    for (int64_t i = 0; i < t.rows;) {
      nodes.template look_at_row<kSize>(row, t.row + i, t.column, t.columns);
      if (i + kRows <= t.rows && !(kRows == 2 && nodes.looks_at(t.row + i + 1))) {
        sweep_rows<kRows>(t, cells, i, 0, row, inspection, cell);
        i += kRows;
      } else {
        sweep_rows<1>(t, cells, i++, 0, row, inspection, cell);
      }
    }
  }

  // R rows of a tile, from cell (i, first) on. Only rows with large cells pay for the looks into them.
  template <int R, class Inspect, class Cell>
  void sweep_rows(const Tile& t, const Cells& cells, int64_t i, int64_t first, V* row, Inspect& inspection,
                  const Cell& cell) {
    if constexpr (looks<Inspect>()) {
      const int64_t coarse_row = ((t.row + i) >> grid_.refinement) - cells.row;
      if (inspection.finds_large(p_ + coarse_row * cells.columns, cells.columns)) {
        cross_rows<R>(t, cells, i, first, row, [&](V p, V* bottom, V* left, int64_t i, int64_t j) {
          inspection.look_into(p, bottom, left);
          cell(p, bottom, left, i, j);
        });
        return;
      }
    }
    cross_rows<R>(t, cells, i, first, row, cell);
  }

  template <int R, class Cell>
  SIGKERNEL_NOINLINE void cross_rows(const Tile& t, const Cells& cells, int64_t i, int64_t first, V* row,
                                   const Cell& cell) {
    const int r = grid_.refinement;
    int64_t offset[R];
    V left[R][kSize];
    for (int a = 0; a < R; ++a) {
      offset[a] = (((t.row + i + a) >> r) - cells.row) * cells.columns - cells.column;
      for (int k = 0; k < kSize; ++k) left[a][k] = column_[(i + a) * kSize + k];
    }
    for (int64_t j = first; j < t.columns; ++j) {
      V bottom[kSize];
      for (int k = 0; k < kSize; ++k) bottom[k] = row[j * kSize + k];
      const int64_t at = (t.column + j) >> r;
      for (int a = 0; a < R; ++a) cell(p_[offset[a] + at], bottom, left[a], i + a, j);
      for (int k = 0; k < kSize; ++k) row[j * kSize + k] = bottom[k];
    }
    for (int a = 0; a < R; ++a)
      for (int k = 0; k < kSize; ++k) column_[(i + a) * kSize + k] = left[a][k];
  }

  // The adjoint of a row of tiles' top edges becomes that of its bottom edges.
  template <class Backward>
  void retreat_tile_row(int64_t I, int64_t kept, V upstream, V exponent) {
    const int64_t last = tile_columns() - 1;
    for (int64_t J = last; J >= (grid_.symmetric ? I : 0); --J) {
      const Tile t = tile(I, J);
      if (J == last) {
        for (int64_t i = 0; i < t.rows; ++i) Backward::boundary(column_bar_ + i * kSize);
        if (extended_) *column_exponent(column_bar_) = V(0);
        if (t.row + t.rows == rows_) Backward::seed(column_bar_ + (t.rows - 1) * kSize);
      }
      V *kept_row = kept_rows_ + kept * row_size_, *row_exponent = tile_row_edges_ + tile_columns_ * kSize;
      copy(kept_row + t.column * kSize, t.columns * kSize, tile_row_edges_);
      if (extended_) *row_exponent = row_exponents(kept_row)[J];
      if (J == 0) {
        start_column(t);
      } else {
        copy_column(kept_columns_ + (kept * tile_columns() + J - 1) * column_size_, t, column_);
      }
      share_exponent_of(t, tile_row_edges_, row_exponent, column_, !t.on_diagonal);
      V* tape = tape_;
      NoNodes no_nodes;
      NoInspection no_inspection;
      sweep_tile(t, tile_row_edges_, no_nodes, no_inspection, [tape, &t](V p, V* bottom, V* left, int64_t i, int64_t j) {
        Backward::forward_keeping(p, bottom, left, tape + (i * t.columns + j) * Backward::kTape);
      });
      share_exponent_of(t, row_bar_ + t.column * kSize, row_exponents(row_bar_) + J, column_bar_, true);
      const V beyond = extended_ ? *row_exponent + *column_exponent(column_bar_) - exponent : V(0);
      retreat_tile<Backward>(t, extended_ ? upstream * power_of_two(beyond) : upstream);
    }
  }

  template <class Backward>
  void retreat_tile(const Tile& t, V upstream) {
    const Cells cells = coarse_cells(t);
    if (grid_.refinement > 0 || t.on_diagonal)
      for (int64_t i = 0; i < cells.rows * cells.columns; ++i) p_bar_[i] = V(0);
    const V scale = upstream * V(grid_.cell_area());
    const V weighted = grid_.symmetric ? scale * V(Backward::kOffDiagonalWeight) : scale;
    if (t.on_diagonal) {
      for (int64_t i = t.rows - 1; i >= 0; --i) retreat_diagonal_row<Backward>(t, cells, i, scale, weighted);
    } else {
      int64_t i = t.rows;
      for (; i >= kRows; i -= kRows) retreat_rows<Backward, kRows>(t, cells, i - kRows, 0, weighted);
      for (; i > 0; --i) retreat_rows<Backward, 1>(t, cells, i - 1, 0, weighted);
    }
    increments_.add_gradient(cells, p_bar_);
  }

  // R rows of a tile backward, down to cell (i, first).
  template <class Backward, int R>
  SIGKERNEL_NOINLINE void retreat_rows(const Tile& t, const Cells& cells, int64_t i, int64_t first, V scale) {
    const int r = grid_.refinement;
    int64_t offset[R];
    V right[R][kSize];
    for (int a = 0; a < R; ++a) {
      offset[a] = (((t.row + i + a) >> r) - cells.row) * cells.columns - cells.column;
      for (int k = 0; k < kSize; ++k) right[a][k] = column_bar_[(i + a) * kSize + k];
    }
    for (int64_t j = t.columns - 1; j >= first; --j) {
      V top[kSize];
      V* edge = row_bar_ + (t.column + j) * kSize;
      for (int k = 0; k < kSize; ++k) top[k] = edge[k];
      const int64_t at = (t.column + j) >> r;
      for (int a = R - 1; a >= 0; --a) {
        const V* tape = tape_ + ((i + a) * t.columns + j) * Backward::kTape;
        const V gradient = scale * Backward::backward(p_[offset[a] + at], tape, top, right[a]);
        p_bar_[offset[a] + at] = r == 0 ? gradient : p_bar_[offset[a] + at] + gradient;
      }
      for (int k = 0; k < kSize; ++k) edge[k] = top[k];
    }
    for (int a = 0; a < R; ++a)
      for (int k = 0; k < kSize; ++k) column_bar_[(i + a) * kSize + k] = right[a][k];
  }

  // Row i of a tile on the diagonal, whose first cell takes its bottom edge as its left edge too.
  template <class Backward>
  void retreat_diagonal_row(const Tile& t, const Cells& cells, int64_t i, V scale, V weighted) {
    retreat_rows<Backward, 1>(t, cells, i, i + 1, weighted);
    V *top = row_bar_ + (t.column + i) * kSize, *right = column_bar_ + i * kSize;
    Backward::enter_diagonal(top, right);
    const int64_t at = (((t.row + i) >> grid_.refinement) - cells.row) * cells.columns +
                       ((t.column + i) >> grid_.refinement) - cells.column;
    const V* tape = tape_ + (i * t.columns + i) * Backward::kTape;
    p_bar_[at] += scale * Backward::backward(p_[at], tape, top, right);
    Backward::leave_diagonal(top, right);
  }

  const Increments<V>& increments_;
  Arena& arena_;
  const bool extended_;
  int64_t row_size_, column_size_, strip_tiles_ = 1;
  InspectionUnit<V> unit_;
  V *row_, *column_, *p_, *dropped_;
  V *strip_rows_ = nullptr, *kept_rows_ = nullptr, *kept_columns_ = nullptr, *tile_row_edges_ = nullptr;
  V *tape_ = nullptr, *row_bar_ = nullptr, *column_bar_ = nullptr, *p_bar_ = nullptr;
};

}  // namespace
}  // namespace sigkernel
