// The grid that a sweep crosses.
#pragma once

#include <cstdint>

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// A coarse grid of increments p, every one of them cut into 2^refinement along both axes. A symmetric grid (x against
// itself) is swept on and above its diagonal only.
struct Grid {
  int64_t rows = 0, columns = 0;
  int refinement = 0;
  bool symmetric = false;

  int64_t fine_rows() const { return rows << refinement; }
  int64_t fine_columns() const { return columns << refinement; }
  double cell_area() const { return 1.0 / static_cast<double>(int64_t{1} << (2 * refinement)); }
};

}  // namespace
}  // namespace sigkernel
