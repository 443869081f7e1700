// How a GPU's threads are dealt to pairs. This is the one place that decides it, and it looks only at a problem's shape
// and the cost of its cell rule. Plain C++. The environment variable SIGKERNEL_TF_GPU_LAYOUT asks for another way, to
// measure or test it: group, block or chain, then the lanes of a group, then the rows of a lane, such as group:16:2.
// Where a shape cannot be dealt like that, the variable has no effect.
//
// A pair's rows are cut into strips of lanes × rows_per_lane. A lane sweeps rows of its own, one column behind the lane
// before, so that each step of a strip is a piece of an antidiagonal. Rows that do not fill the strips up stand in front
// of the first, with zero increments, where they leave U = 1.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "core/arithmetic.h"

namespace sigkernel {

// Who sweeps a pair's strips: one group of lanes, in turn; the warps of a block, each a few columns behind the one before,
// with the row between them in shared memory; or likewise the warps of several blocks, through global memory.
enum class Sharing { kGroup, kBlock, kChain };

constexpr int kGpuLanes[] = {8, 16, 32};  // of a group

struct GpuLayout {
  Sharing sharing = Sharing::kGroup;
  int lanes = 32;         // of a group; a warp where strips are shared
  int rows_per_lane = 1;
  int warps = 1;          // of a block

  int64_t strip_rows() const { return int64_t{lanes} * rows_per_lane; }
  int64_t strips(int64_t rows) const { return parts_of(rows, strip_rows()); }
};

struct GpuShape {
  int64_t pairs = 0, rows = 0, columns = 0;  // of the grid that is swept, refined
  int row_bytes = 0;                         // of one column of a row between strips
  int largest_rows_per_lane = 1;             // what kernels there are: 1, 2 or 4
  bool has_blocks = true;                    // kBlock is offered
  int degree = 0;                            // of a power series; 0: finite differences
  int number_bytes = 8;                      // 4: float
  int multiprocessors = 1;
  // Bytes that a warp at work keeps in global memory, and how many all of them may.
  std::function<int64_t(const GpuLayout&)> warp_bytes = [](const GpuLayout&) { return 0; };
  int64_t memory = int64_t{1} << 30;
};

constexpr int kStepsBehind = 48;  // roughly what a shared strip lags behind the one before
// With these a block's tiles, row and counters stay below the 64 KB that the smallest of our GPUs offers a block.
constexpr int kMostBlockWarps = 4;
constexpr int64_t kLargestSharedRow = 20 << 10;  // bytes, of the row and a counter for each strip

// How often a warp issues for a step and for each row's cell in it, about: fitted to the machine code for sm_90, forward
// (docs/performance.md). A double's arithmetic counts twice.
inline double step_issue(const GpuShape& shape) { return shape.number_bytes == 8 ? 36 : 27; }
inline double cell_issue(const GpuShape& shape) {
  const double arithmetic = 2.6 * (shape.degree + 1) * (shape.degree + 1), is_double = shape.number_bytes == 8 ? 1 : 0;
  return shape.degree == 0 ? 20 + 17 * is_double : 60 + 45 * is_double + 1.1 * (1 + is_double) * arithmetic;
}

// A number of cycles that serves only to compare layouts: those that a multiprocessor takes to issue the instructions
// or, where warps are too few to hide the wait for results, those that one pair's steps take one after the other, or all pairs' with as
// many warps at work as there is room for.
inline double predicted_cycles(const GpuShape& shape, const GpuLayout& layout) {
  constexpr double kIssuePerCycle = 4, kResidentWarps = 12, kShuffleAndWait = 60;
  const double affordable = static_cast<double>(std::max<int64_t>(shape.memory / std::max<int64_t>(shape.warp_bytes(layout), 1), 1));
  const double strips = static_cast<double>(layout.strips(shape.rows));
  const double steps = static_cast<double>(shape.columns + layout.lanes - 1);
  const double groups_in_warp = 32.0 / layout.lanes, resident = std::min(kResidentWarps * shape.multiprocessors, affordable);
  const double step = step_issue(shape) + cell_issue(shape) * layout.rows_per_lane;
  const double issue = step * shape.pairs / groups_in_warp * strips * steps / (kIssuePerCycle * shape.multiprocessors);
  double sequential = strips * steps, held = sequential, workers = shape.pairs / groups_in_warp;  // held: the steps of a worker's pair
  if (layout.sharing != Sharing::kGroup) {
    const bool is_block = layout.sharing == Sharing::kBlock;
    const double at_once = std::min(strips, is_block ? layout.warps : resident);
    const double lag = is_block ? kStepsBehind : 2 * kStepsBehind;
    held = sequential = std::max(steps * strips / at_once, steps) + lag * (strips - 1);
    workers = shape.pairs * at_once;
    // A chain's warp goes on to another pair when its own strip is done, on average after half of the lag.
    if (!is_block) held -= lag * (strips - 1) / 2;
  }
  return std::max(issue, std::max(sequential, held * workers / resident) * (step + kShuffleAndWait));
}

inline std::string name_of(const GpuLayout& layout) {
  const char* const sharing = layout.sharing == Sharing::kGroup ? "group:" : layout.sharing == Sharing::kBlock ? "block:" : "chain:";
  return sharing + std::to_string(layout.lanes) + ":" + std::to_string(layout.rows_per_lane);
}

inline std::vector<GpuLayout> possible_layouts(const GpuShape& shape) {
  std::vector<GpuLayout> possible;
  for (int rows = 1; rows <= shape.largest_rows_per_lane; rows *= 2) {
    for (const int lanes : kGpuLanes) possible.push_back({Sharing::kGroup, lanes, rows, 1});
    const int64_t strips = GpuLayout{Sharing::kBlock, 32, rows, 1}.strips(shape.rows);
    if (strips < 2) continue;
    const int warps = static_cast<int>(std::min<int64_t>(strips, kMostBlockWarps));
    const int64_t shared = shape.columns * shape.row_bytes + strips * static_cast<int64_t>(sizeof(int32_t));
    if (shape.has_blocks && shared <= kLargestSharedRow) possible.push_back({Sharing::kBlock, 32, rows, warps});
    possible.push_back({Sharing::kChain, 32, rows, 1});
  }
  return possible;
}

inline GpuLayout choose_layout(const GpuShape& shape) {
  const std::vector<GpuLayout> possible = possible_layouts(shape);
  const char* const asked_for = std::getenv("SIGKERNEL_TF_GPU_LAYOUT");
  for (const GpuLayout& layout : possible)
    if (asked_for != nullptr && name_of(layout) == asked_for) return layout;
  return *std::min_element(possible.begin(), possible.end(), [&](const GpuLayout& a, const GpuLayout& b) {
    return predicted_cycles(shape, a) < predicted_cycles(shape, b);
  });
}

}  // namespace sigkernel
