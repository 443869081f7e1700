// What is launched to go forward, on how many blocks and with which memory.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/arena.h"
#include "core/goursat/cuda/backward.cuh"
#include "core/goursat/cuda/reduce.cuh"

namespace sigkernel {

constexpr int kResidentWarps = 16;  // of a multiprocessor: more do not fit, with what a warp needs of registers
constexpr int64_t kSharedOfMultiprocessor = 200 << 10;  // bytes, about
// Bytes. What warps at work need bounds how many there are; pairs are taken in portions whose own memory stays below; a refinement
// is offered where one warp's share of it does; and few pairs need one, so that those warps together get little more than one.
constexpr int64_t kWarpsBudget = int64_t{1} << 30, kPortionBudget = int64_t{256} << 20, kRefinementBudget = int64_t{256} << 20;
constexpr int64_t kRefinedWarpsBudget = int64_t{64} << 20;

template <class T>
void fill(T* values, int64_t count, T value, const CudaDevice& device) {
  launch("fill_kernel", fill_kernel<T>, blocks_for(count, device), kBlockThreads, 0, device, values, count, value);
}

// How often the last degree may halve increments.
template <class T>
int largest_refinement(const GpuProblem<T>& problem) {
  int refinement = 0;
  const auto is_affordable = [&](int halvings) {
    return RefinedNumbers<T>(problem, halvings).all() * static_cast<int64_t>(sizeof(T)) <= kRefinementBudget;
  };
  while (refinement < kMostGpuRefinement && is_affordable(refinement + 1)) ++refinement;
  return refinement;
}

template <class Rule>
constexpr int kForwardRows = std::is_same_v<Rule, FiniteDifference> || std::is_same_v<Rule, LineRanges> ? kMostForwardRows : 1;
template <class Backward, int D>
constexpr int kBackwardRows = D > 0 ? linear_backward_rows(D) : std::is_same_v<Backward, Adjoint<FiniteDifference>> ? kMostBackwardRows : 1;

// How the grids of one launch are dealt.
template <class Rule, class T>
GpuLayout layout_of(const GpuProblem<T>& problem, int degree, int refinement, int largest_rows_per_lane, bool has_blocks,
                    const std::function<int64_t(const GpuLayout&)>& warp_bytes, const CudaDevice& device) {
  GpuShape shape;
  shape.warp_bytes = warp_bytes;
  shape.memory = kWarpsBudget;
  shape.pairs = problem.pairs();
  shape.rows = int64_t{problem.rows} << refinement;
  shape.columns = int64_t{problem.columns} << refinement;
  shape.row_bytes = Rule::kCoefficients * static_cast<int>(sizeof(T));
  shape.largest_rows_per_lane = largest_rows_per_lane;
  shape.has_blocks = has_blocks;
  shape.degree = degree;
  shape.number_bytes = sizeof(T);
  shape.multiprocessors = device.multiprocessors;
  return choose_layout(shape);
}

// What a warp keeps that goes forward through whole pairs: the row between two strips.
template <class Rule, class T>
int64_t forward_warp_numbers(const GpuProblem<T>& problem, int refinement, const GpuLayout& layout) {
  const bool has_row = layout.sharing == Sharing::kGroup && layout.strips(int64_t{problem.rows} << refinement) > 1;
  return has_row ? kWarp / layout.lanes * (int64_t{problem.columns} << refinement) * Rule::kCoefficients : 0;
}

template <class Rule, class T>
GpuLayout forward_layout(const GpuProblem<T>& problem, int degree, int refinement, const CudaDevice& device) {
  const auto warp_bytes = [&](const GpuLayout& layout) {
    return forward_warp_numbers<Rule>(problem, refinement, layout) * static_cast<int64_t>(sizeof(T));
  };
  return layout_of<Rule>(problem, degree, refinement, kForwardRows<Rule>, true, warp_bytes, device);
}

// As many of `wanted` blocks as work at once, each with so many bytes of shared and of scratch memory.
inline int64_t resident_blocks(int64_t wanted, int64_t shared, int64_t scratch, const CudaDevice& device,
                               int64_t budget = kWarpsBudget) {
  const int64_t fit = std::clamp<int64_t>(kSharedOfMultiprocessor / std::max<int64_t>(shared, 1), 1, kResidentWarps);
  const int64_t affordable = std::max<int64_t>(budget / std::max<int64_t>(scratch, 1), 1);
  return std::min({wanted, device.multiprocessors * fit, affordable});
}

// The blocks that would sweep a launch's pairs all at once.
inline int64_t wanted_blocks(const GpuLayout& layout, int64_t pairs, int64_t strips) {
  const int64_t groups = kWarp / layout.lanes;
  return layout.sharing == Sharing::kGroup ? parts_of(pairs, groups)
         : layout.sharing == Sharing::kBlock ? pairs : pairs * strips;
}

using DeviceArena = AlignedArena<256>;  // bytes, as cudaMalloc aligns

// Calls visitor(R), R a constant of the compiler's, for the rows per lane that a launch was dealt: 1, 2, .. kMost.
template <int kMost, class Visitor>
void visit_rows(int rows_per_lane, const Visitor& visitor) {
  if constexpr (kMost > 1) {
    if (rows_per_lane == kMost) return visitor(std::integral_constant<int, kMost>());
    return visit_rows<kMost / 2>(rows_per_lane, visitor);
  }
  visitor(std::integral_constant<int, 1>());
}

// Calls visitor(number), a constant of the compiler's, for one of a list.
template <class Visitor, int... kNumbers>
void visit_number(int number, std::integer_sequence<int, kNumbers...>, const Visitor& visitor) {
  ((number == kNumbers ? visitor(std::integral_constant<int, kNumbers>()) : void()), ...);
}

// The channels that the kernels of linear_differences.cuh have which take a problem; 0: there are none.
template <class T>
int linear_channels(const GpuProblem<T>& problem) {
  const int most = first_from(problem.channels, GpuLinearChannels());
  return problem.increments == GpuIncrements::kLinear && !problem.is_half_grid() && problem.channels <= most ? most : 0;
}

// What the strips of a chain are kept in step by.
template <class T>
struct ChainMemory {
  unsigned char* bytes = nullptr;
  int64_t size = 0, pairs = 0;

  ChainMemory() = default;
  ChainMemory(DeviceArena& arena, int64_t pairs, int64_t strips) : size(pairs * bytes_of_pair(strips) + kTicket), pairs(pairs) {
    bytes = arena.take<unsigned char>(size);
  }
  static int64_t bytes_of_pair(int64_t strips) { return sizeof(Seen<T>) + strips * static_cast<int64_t>(sizeof(int32_t)); }

  // Before each launch.
  void start_over(ForwardArguments<T>& arguments, const CudaDevice& device) const {
    check_cuda(cudaMemsetAsync(bytes, 0, size, device.stream), "clearing a chain's counters");
    arguments.ticket = reinterpret_cast<unsigned long long*>(bytes);
    arguments.seen = reinterpret_cast<Seen<T>*>(bytes + kTicket);
    arguments.counters = reinterpret_cast<int32_t*>(arguments.seen + pairs);
  }

 private:
  static constexpr int64_t kTicket = 16;  // bytes
};

template <class Rule, class T>
void launch_forward(const ForwardArguments<T>& arguments, int64_t blocks, const CudaDevice& device) {
  visit_rows<kForwardRows<Rule>>(arguments.layout.rows_per_lane, [&](auto rows) {
    constexpr int R = decltype(rows)::value;
    const GpuLayout& layout = arguments.layout;
    SharedArena counted(nullptr, layout.warps * ForwardStrip<Rule, T, R>::tile_bytes(layout.lanes));
    if (layout.sharing == Sharing::kBlock) {
      const StripCutter cutter(arguments.problem.rows, arguments.problem.columns, arguments.refinement, false, kWarp * R);
      BlockMemory<T>(counted, cutter.columns * Rule::kCoefficients, cutter.strips);
    }
    const auto start = [&](auto kernel) {
      launch("forward_kernel", kernel, blocks, layout.warps * kWarp, counted.used(), device, arguments);
    };
    if constexpr (std::is_same_v<Rule, FiniteDifference>) {
      if (const int channels = linear_channels(arguments.problem); channels > 0)
        return visit_number(channels, GpuLinearChannels(), [&](auto D) { start(forward_kernel<Rule, T, R, decltype(D)::value>); });
    }
    start(forward_kernel<Rule, T, R, 0>);
  });
}

// All pairs that want one rule, forward.
template <class T>
struct ForwardVisitor {
  const ForwardArguments<T>& common;
  const CudaDevice& device;

  template <class Rule>
  void visit(int degree, int refinement) const {
    ForwardArguments<T> arguments = common;
    const GpuProblem<T>& problem = common.problem;
    arguments.degree = degree;
    arguments.refinement = refinement;
    const int64_t row_numbers = (int64_t{problem.columns} << refinement) * Rule::kCoefficients;
    const int64_t row_bytes = row_numbers * static_cast<int64_t>(sizeof(T));
    arguments.layout = forward_layout<Rule>(problem, degree, refinement, device);
    const GpuLayout& layout = arguments.layout;
    const int64_t strips = layout.strips(int64_t{problem.rows} << refinement);
    const int64_t of_warp = forward_warp_numbers<Rule>(problem, refinement, layout);
    const bool is_chain = layout.sharing == Sharing::kChain;
    const int64_t portion = !is_chain ? common.pairs
        : std::clamp<int64_t>(kPortionBudget / (row_bytes + ChainMemory<T>::bytes_of_pair(strips)), 1, common.pairs);
    const int64_t blocks = resident_blocks(wanted_blocks(layout, portion, strips), 0, of_warp * static_cast<int64_t>(sizeof(T)), device);
    ChainMemory<T> chain;
    const auto carve = [&](DeviceArena arena) {
      arguments.rows = arena.take<T>(is_chain ? portion * row_numbers : blocks * of_warp);
      if (is_chain) chain = ChainMemory<T>(arena, portion, strips);
      return arena.used();
    };
    carve(DeviceArena(device.allocate_numbers<unsigned char>(carve(DeviceArena()))));
    for (int64_t first = 0; first < common.pairs; first += portion) {
      arguments.first_pair = first;
      arguments.pairs = std::min(portion, common.pairs - first);
      if (is_chain) chain.start_over(arguments, device);
      launch_forward<Rule, T>(arguments, blocks, device);
    }
  }
};

template <class T>
void launch_forward_refined(ForwardArguments<T> arguments, const CudaDevice& device) {
  if (arguments.largest_refinement == 0 && !arguments.is_anew) return;
  const int shared = ForwardStrip<PowerSeries<kLastGpuDegree>, T, 1>::tile_bytes(kWarp);
  const int64_t row_numbers = RefinedNumbers<T>(arguments.problem, arguments.largest_refinement).row;
  const int64_t blocks = resident_blocks(arguments.pairs, shared, row_numbers * sizeof(T), device, kRefinedWarpsBudget);
  arguments.degree = kLastGpuDegree;
  arguments.rows = device.allocate_numbers<T>(blocks * row_numbers);
  launch("forward_refined_kernel", forward_refined_kernel<T>, blocks, kWarp, shared, device, arguments);
}

}  // namespace sigkernel
