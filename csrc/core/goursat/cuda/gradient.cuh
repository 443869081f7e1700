// What is launched for a gradient: all rules that some pair may want, portion by portion of the pairs, and what their parts
// become.
#pragma once

#include "core/goursat/cuda/launch.cuh"

namespace sigkernel {

// Calls visitor(R, D) for the backward kernel of so many rows a lane and so many channels, see linear_channels.
template <class Backward, class Visitor>
void visit_rows_and_channels(int rows_per_lane, int channels, const Visitor& visitor) {
  const auto of_channels = [&](auto D) {
    visit_rows<kBackwardRows<Backward, decltype(D)::value>>(rows_per_lane, [&](auto R) { visitor(R, D); });
  };
  if constexpr (std::is_same_v<Backward, Adjoint<FiniteDifference>>) {
    if (channels > 0) return visit_number(channels, GpuLinearChannels(), of_channels);
  }
  of_channels(std::integral_constant<int, 0>());
}

// How one rule takes a portion of pairs backward.
template <class Backward, class T>
class BackwardLaunch {
  using Rule = typename Backward::Rule;

 public:
  BackwardLaunch(const GpuProblem<T>& problem, int degree, int refinement, const CudaDevice& device)
      : device_(device), degree_(degree), refinement_(refinement), channels_(linear_channels(problem)),
        rows_(int64_t{problem.rows} << refinement), columns_(int64_t{problem.columns} << refinement),
        row_numbers_(columns_ * Rule::kCoefficients),
        layout_(layout_of<Rule>(problem, degree, refinement, most_rows(channels_), false,
                                [this](const GpuLayout& of) { return warp_numbers(of) * static_cast<int64_t>(sizeof(T)); }, device)),
        strips_(layout_.strips(rows_)), saved_numbers_(saved_numbers(layout_)) {
    visit_rows_and_channels<Backward>(layout_.rows_per_lane, channels_, [&](auto R, auto D) {
      shared_ = BackwardTask<Backward, T, decltype(R)::value, decltype(D)::value>::tile_bytes(layout_.lanes);
    });
  }

  const GpuLayout& layout() const { return layout_; }
  int64_t blocks() const { return blocks_; }
  bool is_chain() const { return layout_.sharing == Sharing::kChain; }
  // Of one pair, beyond its gradient.
  int64_t pair_bytes() const {
    return is_chain() ? strips_ * row_numbers_ * static_cast<int64_t>(sizeof(T)) + ChainMemory<T>::bytes_of_pair(strips_) : 0;
  }

  // Sets what a launch on a portion works with; returns how many bytes that is.
  int64_t carve(DeviceArena arena, int64_t portion) {
    blocks_ = resident_blocks(wanted_blocks(layout_, portion, strips_), shared_, warp_numbers(layout_) * sizeof(T), device_);
    const int64_t owners = strips_ == 1 ? 0 : is_chain() ? portion : blocks_ * kWarp / layout_.lanes;  // of rows and bars
    kept_ = arena.take<T>(owners * (strips_ - 1) * row_numbers_);
    bars_ = arena.take<T>(owners * row_numbers_);
    saved_ = arena.take<T>(blocks_ * saved_numbers_);
    if (is_chain()) chain_ = ChainMemory<T>(arena, portion, strips_);
    return arena.used();
  }

  void run(BackwardArguments<T> arguments) const {
    ForwardArguments<T>& forward = arguments.forward;
    forward.layout = layout_;
    forward.degree = degree_;
    forward.refinement = refinement_;
    forward.rows = kept_;
    arguments.bars = bars_;
    arguments.saved = saved_;
    arguments.saved_numbers = saved_numbers_;
    if (is_chain()) {
      chain_.start_over(forward, device_);
      launch_forward<Rule, T>(forward, resident_blocks(wanted_blocks(layout_, forward.pairs, strips_), 0, 0, device_), device_);
      chain_.start_over(forward, device_);
    }
    visit_rows_and_channels<Backward>(layout_.rows_per_lane, channels_, [&](auto R, auto D) {
      launch("backward_kernel", backward_kernel<Backward, T, decltype(R)::value, decltype(D)::value>, blocks_, kWarp, shared_, device_,
             arguments);
    });
  }

 private:
  // What a warp keeps: the starts of its tiles, and where it takes whole pairs the rows between their strips.
  int64_t saved_numbers(const GpuLayout& of) const {
    int64_t numbers = 0;
    visit_rows_and_channels<Backward>(of.rows_per_lane, channels_, [&](auto R, auto D) {
      numbers = BackwardTask<Backward, T, decltype(R)::value, decltype(D)::value>::Strip::saved_numbers(columns_, of.lanes);
    });
    return numbers;
  }
  static int most_rows(int channels) {
    int rows = kBackwardRows<Backward, 0>;
    if constexpr (std::is_same_v<Backward, Adjoint<FiniteDifference>>)
      visit_number(channels, GpuLinearChannels(), [&](auto D) { rows = kBackwardRows<Backward, decltype(D)::value>; });
    return rows;
  }
  int64_t warp_numbers(const GpuLayout& of) const {
    const int64_t strips = of.strips(rows_), groups = kWarp / of.lanes;
    return saved_numbers(of) + (of.sharing == Sharing::kChain || strips == 1 ? 0 : groups * strips * row_numbers_);
  }

  const CudaDevice& device_;
  const int degree_, refinement_, channels_;
  const int64_t rows_, columns_, row_numbers_;  // of the refined grid
  const GpuLayout layout_;
  const int64_t strips_, saved_numbers_;
  int64_t shared_ = 0, blocks_ = 0;
  T *kept_ = nullptr, *bars_ = nullptr, *saved_ = nullptr;
  ChainMemory<T> chain_;
};

// All rules that some pair may want, backward, with whatever function(launch) does.
template <class T, class Function>
struct BackwardVisitor {
  const GpuProblem<T>& problem;
  const Solver& solver;
  const CudaDevice& device;
  const Function& function;

  template <class Rule>
  void visit(int degree, int refinement) const {
    if constexpr (std::is_same_v<Rule, FiniteDifference>) {
      if (solver.gradient == Gradient::kTheorem41) return function(BackwardLaunch<Theorem41, T>(problem, degree, refinement, device));
    }
    function(BackwardLaunch<Adjoint<Rule>, T>(problem, degree, refinement, device));
  }
};
template <class T, class Function>
void visit_backward(const GpuProblem<T>& problem, const Solver& solver, const CudaDevice& device, const Function& function) {
  visit_gpu_rules(solver, BackwardVisitor<T, Function>{problem, solver, device, function});
}

// Where a problem's gradient goes: accumulated into, but for d_cells.
template <class T>
struct GradientTarget {
  T *dX = nullptr, *dY = nullptr, *d_variance = nullptr;
  T* d_cells = nullptr;  // kGiven
};

// A problem's gradient, portion by portion of its pairs.
template <class T>
class BackwardRun {
 public:
  BackwardRun(const GpuProblem<T>& problem, const Solver& solver, const CudaDevice& device, const Plan* plan, const T* upstream)
      : problem_(problem), solver_(solver), device_(device),
        largest_refinement_(solver.power_series ? largest_refinement(problem) : 0) {
    ForwardArguments<T>& forward = arguments_.forward;
    forward.problem = problem;
    forward.keeps_rows = true;
    forward.largest_refinement = largest_refinement_;
    forward.plan = const_cast<Plan*>(plan);  // only read, as nothing is decided
    arguments_.upstream = upstream;
    arguments_.gradient_refinement = solver.power_series ? 0 : solver.dyadic_order;
  }

  // What run() allocates, in bytes, for portions of so many pairs.
  struct Memory {
    int64_t portion, of_gradients, of_launches;  // of one launch after the other
  };
  Memory memory() {
    int64_t of_pair = 0;  // beyond its gradient
    visit_backward(problem_, solver_, device_, [&](auto launch) { of_pair = std::max(of_pair, launch.pair_bytes()); });
    of_pair += gradient_of_pairs(DeviceArena(), 1);
    const int64_t portion = std::clamp<int64_t>(kPortionBudget / of_pair, 1, problem_.pairs());
    int64_t of_launches = carve_refined(DeviceArena(), portion);
    visit_backward(problem_, solver_, device_,
                   [&](auto launch) { of_launches = std::max(of_launches, launch.carve(DeviceArena(), portion)); });
    return {portion, gradient_of_pairs(DeviceArena(), portion), of_launches};
  }

  void run(const GradientTarget<T>& target) {
    const Memory needed = memory();
    const int64_t pairs = problem_.pairs(), portion = needed.portion;
    gradient_of_pairs(DeviceArena(device_.allocate_numbers<unsigned char>(needed.of_gradients)), portion);
    unsigned char* scratch = device_.allocate_numbers<unsigned char>(needed.of_launches);
    for (int64_t first = 0; first < pairs; first += portion) {
      arguments_.forward.first_pair = first;
      arguments_.forward.pairs = std::min(portion, pairs - first);
      check_cuda(cudaMemsetAsync(arguments_.is_taken, 0, arguments_.forward.pairs * sizeof(bool), device_.stream),
                 "clearing what was taken");
      visit_backward(problem_, solver_, device_, [&](auto launch) {
        launch.carve(DeviceArena(scratch), portion);
        launch.run(arguments_);
      });
      run_refined(scratch, portion);
      reduce(target);
    }
  }

 private:
  using RefinedTask = BackwardTask<Adjoint<PowerSeries<kLastGpuDegree>>, T, 1>;

  int64_t gradient_of_pairs(DeviceArena arena, int64_t pairs) {
    const int64_t rows = int64_t{problem_.rows} << arguments_.gradient_refinement;
    const int64_t columns = int64_t{problem_.columns} << arguments_.gradient_refinement;
    const int64_t ends = problem_.increments == GpuIncrements::kGiven ? 0 : problem_.increments == GpuIncrements::kRbf ? 2 : 1;
    arguments_.x = arena.take<T>(pairs * ends * rows * problem_.channels);
    arguments_.y = arena.take<T>(pairs * ends * columns * problem_.channels);
    arguments_.cells = arena.take<T>(ends == 0 ? pairs * rows * columns : 0);
    arguments_.variance = arena.take<T>(pairs);
    arguments_.is_taken = arena.take<bool>(pairs);
    return arena.used();
  }

  // Sets what the launch on refined pairs works with; returns how many bytes that is. Each refinement has blocks of its own, as most
  // pairs need one of the first, which take far less memory.
  int64_t carve_refined(DeviceArena arena, int64_t portion) {
    int blocks = 0;
    for (int r = 1; r <= largest_refinement_; ++r) {
      const int64_t numbers = RefinedNumbers<T>(problem_, r).all();
      RefinedBlocks<T>& refined = arguments_.refined[r - 1];
      refined.first = blocks;
      blocks += static_cast<int>(resident_blocks(portion, RefinedTask::tile_bytes(kWarp), numbers * sizeof(T), device_,
                                                 kRefinedWarpsBudget / largest_refinement_));
      refined.end = blocks;
      refined.memory = arena.take<T>((refined.end - refined.first) * numbers);
    }
    return arena.used();
  }

  void run_refined(unsigned char* scratch, int64_t portion) {
    if (largest_refinement_ == 0) return;
    carve_refined(DeviceArena(scratch), portion);
    BackwardArguments<T> arguments = arguments_;
    arguments.forward.degree = kLastGpuDegree;
    launch("backward_refined_kernel", backward_refined_kernel<T>, arguments.refined[largest_refinement_ - 1].end, kWarp,
           RefinedTask::tile_bytes(kWarp), device_, arguments);
  }

  void reduce(const GradientTarget<T>& target) const {
    const ForwardArguments<T>& forward = arguments_.forward;
    if (problem_.increments == GpuIncrements::kGiven) {
      const int64_t size = int64_t{problem_.rows} * problem_.columns;
      launch("reduce_cells_kernel", reduce_cells_kernel<T>, blocks_for(forward.pairs * size, device_), kBlockThreads, 0, device_,
             arguments_.cells, arguments_.is_taken, forward.pairs, problem_.rows, problem_.columns,
             arguments_.gradient_refinement, target.d_cells + forward.first_pair * size);
      return;
    }
    const ReduceArguments<T> arguments = {problem_, arguments_.gradient_refinement, forward.first_pair, forward.pairs,
                                          arguments_.is_taken, arguments_.x, arguments_.y, target.dX, target.dY};
    const int64_t points = problem_.x_count * (problem_.rows + int64_t{1}) + problem_.y_count * (problem_.columns + int64_t{1});
    launch("reduce_paths_kernel", reduce_paths_kernel<T>, blocks_for(points * problem_.channels, device_), kBlockThreads, 0, device_, arguments);
    if (problem_.increments != GpuIncrements::kRbf) return;
    launch("reduce_variance_kernel", reduce_variance_kernel<T>, 1, kBlockThreads, kBlockThreads * sizeof(T), device_, arguments_.variance,
           arguments, target.d_variance);
  }

  const GpuProblem<T>& problem_;
  const Solver& solver_;
  const CudaDevice& device_;
  const int largest_refinement_;
  BackwardArguments<T> arguments_ = {};
};

}  // namespace sigkernel
