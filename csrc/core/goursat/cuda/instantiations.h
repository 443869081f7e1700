// All that the GPU's solver can be asked for, in one table, which the library and its tests include: the types, the rules of a
// cell, and the ways of dealing threads that kernels are compiled for. Plain C++.
#pragma once

#include <utility>
#include <vector>

#include "core/goursat/cuda/layout.h"
#include "core/goursat/goursat.h"
#include "core/host_device.h"

namespace sigkernel {

#define SIGKERNEL_GPU_NUMBERS(visit) visit(float) visit(double)

// Where the increments of a pair's cells come from.
enum class GpuIncrements { kLinear, kRbf, kGiven };
constexpr GpuIncrements kAllGpuIncrements[] = {GpuIncrements::kLinear, GpuIncrements::kRbf, GpuIncrements::kGiven};

// The power series' degrees. Pairs that need a refinement have the last.
using GpuDegrees = std::integer_sequence<int, 4, 6, 8, 10, 12, 16>;

// The first number of a list from a given one on, or the last of all.
template <int kFirst, int... kRest>
SIGKERNEL_HOST_DEVICE constexpr int first_from(int number, std::integer_sequence<int, kFirst, kRest...>) {
  if constexpr (sizeof...(kRest) == 0) {
    return kFirst;
  } else {
    return number <= kFirst ? kFirst : first_from(number, std::integer_sequence<int, kRest...>());
  }
}
SIGKERNEL_HOST_DEVICE constexpr int gpu_degree_from(int degree) { return first_from(degree, GpuDegrees()); }
constexpr int kLastGpuDegree = gpu_degree_from(1 << 20);

// Rows that a lane may have: 1, 2 .. these. Power series have 1.
constexpr int kMostForwardRows = 4, kMostBackwardRows = 2;  // of finite differences

// The channels up to which finite differences of whole grids have kernels of their own, under the linear static kernel, and how many rows
// a lane may have in them on the way back.
using GpuLinearChannels = std::integer_sequence<int, 2, 4, 8>;
constexpr int linear_backward_rows(int channels) { return channels <= 4 ? 4 : 2; }

// One line of the table.
struct GpuInstantiation {
  bool is_double;
  int degree;         // 0: finite differences
  Gradient gradient;  // of those
  bool is_refined;    // the last degree with refinements, for which threads are dealt in one way only
  GpuIncrements increments;
  GpuLayout layout;
};

inline std::vector<GpuLayout> gpu_layouts(int most_rows) {
  std::vector<GpuLayout> layouts;
  for (int rows = 1; rows <= most_rows; rows *= 2) {
    for (const int lanes : kGpuLanes) layouts.push_back({Sharing::kGroup, lanes, rows, 1});
    for (const Sharing sharing : {Sharing::kBlock, Sharing::kChain}) layouts.push_back({sharing, 32, rows, 1});
  }
  return layouts;
}

template <int... kDegrees>
std::vector<GpuInstantiation> gpu_instantiations(std::integer_sequence<int, kDegrees...>) {
  std::vector<GpuInstantiation> table;
  for (const bool is_double : {false, true})
    for (const GpuIncrements increments : kAllGpuIncrements) {
      for (const Gradient gradient : {Gradient::kAdjoint, Gradient::kTheorem41})
        for (const GpuLayout& layout : gpu_layouts(kMostForwardRows)) table.push_back({is_double, 0, gradient, false, increments, layout});
      for (const int degree : {kDegrees...})
        for (const GpuLayout& layout : gpu_layouts(1))
          table.push_back({is_double, degree, Gradient::kAdjoint, false, increments, layout});
      table.push_back({is_double, kLastGpuDegree, Gradient::kAdjoint, true, increments, {}});
    }
  return table;
}
inline std::vector<GpuInstantiation> gpu_instantiations() { return gpu_instantiations(GpuDegrees()); }

}  // namespace sigkernel
