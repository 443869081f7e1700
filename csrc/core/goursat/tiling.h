// How a sweep cuts a grid into tiles. For the files that are compiled for an instruction set: it includes nothing of the
// standard library.
#pragma once

#include "core/arithmetic.h"
#include "core/goursat/grid.h"
#include "core/goursat/increments.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// The fine lines that a tile covers.
struct Tile {
  int64_t row, rows, column, columns;
  bool on_diagonal;
};

class Tiling {
 public:
  Tiling(const Grid& grid, int64_t tile_rows, int64_t tile_columns)
      : grid_(grid), rows_(grid.fine_rows()), columns_(grid.fine_columns()), tile_rows_(tile_rows),
        tile_columns_(tile_columns) {}

 protected:
  // How many coarse lines so many fine ones can lie on.
  int64_t coarse(int64_t fine) const { return grid_.refinement == 0 ? fine : (fine >> grid_.refinement) + 2; }
  int64_t tile_row_count() const { return parts_of(rows_, tile_rows_); }
  int64_t tile_columns() const { return parts_of(columns_, tile_columns_); }

  Tile tile(int64_t I, int64_t J) const {
    const int64_t row = I * tile_rows_, column = J * tile_columns_;
    return {row, smaller(tile_rows_, rows_ - row), column, smaller(tile_columns_, columns_ - column),
            grid_.symmetric && I == J};
  }

  Cells coarse_cells(const Tile& t) const {
    const int r = grid_.refinement;
    const int64_t row = t.row >> r, column = t.column >> r;
    return {row, ((t.row + t.rows - 1) >> r) - row + 1, column, ((t.column + t.columns - 1) >> r) - column + 1};
  }

  const Grid grid_;
  const int64_t rows_, columns_, tile_rows_, tile_columns_;
};

// For a sweep over registers V. coefficients: of an edge. tape: packs that a cell leaves for the way back; 0 for a sweep
// that goes forward only.
template <class V>
Tiling tiled(const Grid& grid, int coefficients, int tape, bool extended) {
  constexpr int64_t kTile = 16;
  constexpr int64_t kExtendedTile = 8;  // U must not overflow within a tile
  if (extended) return {grid, kExtendedTile, kExtendedTile};
  // Bytes of a tape that it is cheaper to keep whole, p and its gradient included. The finite differences' cells, with
  // little to compute, wait for the larger caches.
  const int64_t small_tape = coefficients > 2 ? 3584 << 10 : 640 << 10;
  const int64_t rows = grid.fine_rows(), columns = grid.fine_columns();
  if (tape > 0 && rows * columns * (tape + 2) * static_cast<int64_t>(sizeof(V)) <= small_tape) {
    return {grid, larger(rows, 1), larger(columns, 1)};
  }
  return {grid, tape > 0 || grid.symmetric ? kTile : kTile / 2, kTile};
}

}  // namespace
}  // namespace sigkernel
