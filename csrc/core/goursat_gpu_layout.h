// How a GPU's threads are dealt to pairs: the one place that decides, by shape alone. Plain C++.
//
// A pair's rows are cut into strips of lanes × rows_per_lane. A lane sweeps rows of its own, one column behind the lane
// before, so that each step of a strip is a piece of an antidiagonal. Rows that do not fill the strips up stand in front
// of the first, with zero increments, where they leave U = 1.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sigkernel {

// Who sweeps a pair's strips: one group of lanes, in turn; the warps of a block, each a few columns behind the one before,
// with the row between them in shared memory; or likewise the warps of several blocks, through global memory.
enum class Sharing { kGroup, kBlock, kChain };

struct GpuLayout {
  Sharing sharing = Sharing::kGroup;
  int lanes = 32;         // of a group; a warp where strips are shared
  int rows_per_lane = 1;
  int warps = 1;          // of a block

  int64_t strip_rows() const { return int64_t{lanes} * rows_per_lane; }
  int64_t strips(int64_t rows) const { return (rows + strip_rows() - 1) / strip_rows(); }
};

struct GpuShape {
  int64_t pairs = 0, rows = 0, columns = 0;  // of the grid that is swept, refined
  int row_bytes = 0;                         // of one column of a row between strips
  int largest_rows_per_lane = 1;             // what kernels there are: 1, 2 or 4
  bool has_blocks = true;                    // kBlock is offered
  int multiprocessors = 1;
};

constexpr int kStepsBehind = 48;  // roughly what a shared strip lags behind the one before
constexpr int kMostBlockWarps = 8;
constexpr int64_t kLargestSharedRow = 24 << 10;  // bytes

// Cycles, for comparison only: a step's overhead and each row's cell, per warp that issues them; and how long a step's
// chain of dependent operations takes, which fewer warps than about eight per multiprocessor cannot hide.
inline double predicted_cycles(const GpuShape& shape, const GpuLayout& layout) {
  constexpr double kStepIssue = 8, kCellIssue = 11, kStepLatency = 60, kCellLatency = 12;
  constexpr double kIssuePerCycle = 4, kResidentWarps = 24;
  const double strips = static_cast<double>(layout.strips(shape.rows));
  const double steps = static_cast<double>(shape.columns + layout.lanes - 1);
  const double groups_in_warp = 32.0 / layout.lanes, R = layout.rows_per_lane, multiprocessors = shape.multiprocessors;
  const double issue = (kStepIssue + kCellIssue * R) * shape.pairs / groups_in_warp * strips * steps /
                       (kIssuePerCycle * multiprocessors);
  const double latency = kStepLatency + kCellLatency * (R - 1);
  const double resident = kResidentWarps * multiprocessors;
  double sequential = strips * steps, workers = shape.pairs / groups_in_warp;
  if (layout.sharing != Sharing::kGroup) {
    const double at_once = layout.sharing == Sharing::kBlock ? std::min<double>(layout.warps, strips) : strips;
    const double lag = layout.sharing == Sharing::kBlock ? kStepsBehind : 2 * kStepsBehind;
    sequential = steps * strips / at_once + lag * strips;
    workers = shape.pairs * at_once;
  }
  const double waves = std::max(1.0, workers / resident);
  return std::max(issue, sequential * latency * waves);
}

inline GpuLayout choose_layout(const GpuShape& shape) {
  GpuLayout best;
  double least = -1;
  const auto consider = [&](const GpuLayout& layout) {
    const double cycles = predicted_cycles(shape, layout);
    if (least >= 0 && cycles >= least) return;
    least = cycles;
    best = layout;
  };
  for (int rows = 1; rows <= shape.largest_rows_per_lane; rows *= 2) {
    for (const int lanes : {8, 16, 32}) consider({Sharing::kGroup, lanes, rows, 1});
    const int64_t strips = GpuLayout{Sharing::kBlock, 32, rows, 1}.strips(shape.rows);
    if (strips < 2) continue;
    const int warps = static_cast<int>(std::min<int64_t>(strips, kMostBlockWarps));
    if (shape.has_blocks && shape.columns * shape.row_bytes <= kLargestSharedRow) consider({Sharing::kBlock, 32, rows, warps});
    consider({Sharing::kChain, 32, rows, 1});
  }
  return best;
}

}  // namespace sigkernel
