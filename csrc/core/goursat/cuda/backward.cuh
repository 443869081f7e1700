// The backward kernels: each pair's gradient, by its rows and columns; reduce.cuh sums it up by paths.
#pragma once

#include "core/goursat/cuda/forward.cuh"
#include "core/goursat/cuda/linear_differences_back.cuh"

namespace sigkernel {

// What a warp needs to sweep a pair's refined grid there and back, in numbers of its own: its rows, its bars and the starts of its
// tiles, one after the other.
template <class T>
struct RefinedNumbers {
  int64_t row, rows, saved;  // rows: how many

  __host__ __device__ RefinedNumbers(const GpuProblem<T>& problem, int refinement)
      : row((int64_t{problem.columns} << refinement) * PowerSeries<kLastGpuDegree>::kCoefficients),
        rows(StripCutter(problem.rows, 1, refinement, false, kWarp).strips - 1),
        saved(BackwardStrip<Adjoint<PowerSeries<kLastGpuDegree>>, T, 1>::saved_numbers(int64_t{problem.columns} << refinement, kWarp)) {}
  __host__ __device__ int64_t all() const { return (rows + 1) * row + saved; }
};

// The blocks that take pairs of one refinement, each a warp.
template <class T>
struct RefinedBlocks {
  int first, end;
  T* memory;  // [blocks] of RefinedNumbers
};

template <class T>
struct BackwardArguments {
  ForwardArguments<T> forward;  // how rows are kept; where strips are shared, a launch of its own has kept them
  T* bars;              // [warps' groups, or pairs where shared][columns][kSize]
  T* saved;             // [warps][saved_numbers]
  int64_t saved_numbers;
  const T* upstream;    // [all pairs]
  // As PairGradient, [pairs]; overwritten.
  T *x, *y, *cells;
  int gradient_refinement;
  T* variance;          // RBF: [pairs], overwritten
  RefinedBlocks<T> refined[kMostGpuRefinement];  // by refinements from 1 on
  bool* is_taken;       // [pairs], false before the launches: whether the pair's gradient is there
};

// D: see ForwardStrip.
template <class Backward, class T, int R, int D>
struct BackwardStripOf {
  using type = LinearBackwardStrip<T, R, D>;
  static_assert(std::is_same_v<Backward, Adjoint<FiniteDifference>>);
};
template <class Backward, class T, int R>
struct BackwardStripOf<Backward, T, R, 0> {
  using type = BackwardStrip<Backward, T, R>;
};

// Takes strips of pairs backward.
template <class Backward, class T, int R, int D = 0>
class BackwardTask {
  using Rule = typename Backward::Rule;

 public:
  using Strip = typename BackwardStripOf<Backward, T, R, D>::type;
  static int tile_bytes(int lanes) { return std::max(Strip::tile_bytes(lanes), ForwardStrip<Rule, T, R>::tile_bytes(lanes)); }

  // memory: the warp's, shared. saved: of the strip's saved_numbers(), the warp's.
  __device__ BackwardTask(const BackwardArguments<T>& arguments, const Lanes& lanes, int refinement, unsigned char* memory, T* saved)
      : arguments_(arguments), problem_(arguments.forward.problem), lanes_(lanes), memory_(memory), saved_(saved),
        cutter_(problem_.rows, problem_.columns, refinement, problem_.is_half_grid(), lanes.count * R),
        forward_(arguments.forward, lanes, refinement, memory) {}

  __device__ bool is_wanted(int64_t index) const { return forward_.is_wanted(index); }
  __device__ int strips() const { return cutter_.strips; }

  // Strips from last_strip down to first_strip of a pair. rows: the pair's. counters: of the pair's strips, whose rows have been
  // kept by a launch of its own; or null, and all strips are swept forward first. Of a group that is not live nothing is kept.
  __device__ void take(int64_t index, int first_strip, int last_strip, bool is_live, T* rows, T* bars, int32_t* counters) const {
    if (counters == nullptr) {
      Seen<T> seen = {};
      for (int strip = first_strip; strip < last_strip; ++strip) forward_.sweep(index, strip, is_live, rows, nullptr, seen, nullptr);
      __syncwarp();
    }
    for (int strip = last_strip; strip >= first_strip; --strip) retreat(index, strip, is_live, rows, bars, counters);
  }

 private:
  __device__ void retreat(int64_t index, int strip, bool is_live, const T* rows, T* bars, int32_t* counters) const {
    const int64_t numbers = forward_.row_numbers(), number = arguments_.forward.first_pair + (is_live ? index : 0);
    const GpuPair pair = problem_.pair(number);
    const PairIncrements<T> increments(problem_, pair);
    const bool is_last = strip == strips() - 1;
    T scale = arguments_.upstream[pair.place];
    if (pair.mirror != pair.place) scale += arguments_.upstream[pair.mirror];
    const T* entered = strip == 0 || !is_live ? nullptr : rows + (strip - 1) * numbers;
    SharedRow<T> row;
    PairGradient<T> gradient;
    gradient.refinement = arguments_.gradient_refinement;
    if (is_live) {
      row.read = is_last ? nullptr : bars;
      row.write = strip == 0 ? nullptr : bars;
      row.before = counters == nullptr || is_last ? nullptr : counters + strip + 1;
      row.progress = counters == nullptr ? nullptr : counters + strip;
      place(gradient, index);
      clear(gradient, strip);
    }
    __syncwarp();
    SharedArena arena(memory_);
    Strip(increments, problem_, cutter_[strip], lanes_, typename Strip::Memory(arena, lanes_), saved_)
        .run(entered, row, is_last ? cutter_.columns : cutter_.first_column(strip + 1), scale, is_live, gradient);
    if (strip == 0 && is_live && lanes_.is_first()) arguments_.is_taken[index] = true;
  }

  // Points at a pair's part.
  __device__ void place(PairGradient<T>& gradient, int64_t index) const {
    const int64_t rows = int64_t{problem_.rows} << gradient.refinement, columns = int64_t{problem_.columns} << gradient.refinement;
    if (problem_.increments == GpuIncrements::kGiven) {
      gradient.cells = arguments_.cells + index * rows * columns;
      return;
    }
    const bool is_rbf = problem_.increments == GpuIncrements::kRbf;
    gradient.x = arguments_.x + index * (is_rbf ? 2 : 1) * rows * problem_.channels;
    gradient.y = arguments_.y + index * (is_rbf ? 2 : 1) * columns * problem_.channels;
    gradient.variance = is_rbf ? arguments_.variance + index : nullptr;
  }

  // What this strip is the first to add to. Where several strips share a row of the gradient, the last clears it.
  __device__ void clear(const PairGradient<T>& gradient, int strip) const {
    const int shared = cutter_.refinement - gradient.refinement, mask = (1 << shared) - 1;
    const int64_t rows = cutter_.rows >> shared, columns = cutter_.columns >> shared;
    const GpuStrip place = cutter_[strip];
    const int64_t first = ((place.first_row > 0 ? place.first_row : 0) + mask) >> shared;
    const int64_t end = strip == strips() - 1 ? rows : (place.first_row + cutter_.strip_rows + mask) >> shared;
    if (gradient.cells != nullptr) return clear_numbers(gradient.cells + first * columns, (end - first) * columns);
    if (gradient.variance != nullptr && lanes_.is_first() && strip == strips() - 1) *gradient.variance = 0;
    for (int of_end = 0; of_end < (problem_.increments == GpuIncrements::kRbf ? 2 : 1); ++of_end) {
      clear_numbers(gradient.x + (of_end * rows + first) * problem_.channels, (end - first) * problem_.channels);
      if (strip == strips() - 1) clear_numbers(gradient.y + of_end * columns * problem_.channels, columns * problem_.channels);
    }
  }

  __device__ void clear_numbers(T* numbers, int64_t count) const {
    for (int64_t n = lanes_.lane; n < count; n += lanes_.count) numbers[n] = 0;
  }

  const BackwardArguments<T>& arguments_;
  const GpuProblem<T>& problem_;
  const Lanes& lanes_;
  unsigned char* memory_;
  T* saved_;
  const StripCutter cutter_;
  const ForwardTask<Rule, T, R, D> forward_;
};

template <class Backward, class T, int R, int D>
__global__ void __launch_bounds__(kWarp, 1) backward_kernel(BackwardArguments<T> arguments) {
  SIGKERNEL_SHARED_MEMORY(memory);
  const ForwardArguments<T>& forward = arguments.forward;
  const Lanes lanes = Lanes::of(threadIdx.x, forward.layout.lanes);
  const BackwardTask<Backward, T, R, D> task(arguments, lanes, forward.refinement, memory, arguments.saved + blockIdx.x * arguments.saved_numbers);
  const int strips = task.strips();
  const int64_t row_numbers = (int64_t{forward.problem.columns} << forward.refinement) * Backward::Rule::kCoefficients;
  const bool is_group = forward.layout.sharing == Sharing::kGroup;
  const int64_t worker = blockIdx.x * int64_t{lanes.groups} + lanes.group;
  // A group takes whole pairs, so that it counts them as if they had one strip.
  StripSource source(forward.layout.sharing, lanes, forward.pairs, is_group ? 1 : strips, true, forward.ticket, nullptr);
  int64_t index;
  int strip;
  while (source.next(&index, &strip)) {
    const bool is_live = task.is_wanted(index);
    if (!__any_sync(kAllLanes, is_live)) continue;
    const int64_t owner = is_group ? worker : index;
    task.take(index, is_group ? 0 : strip, is_group ? strips - 1 : strip, is_live, forward.rows + owner * (strips - 1) * row_numbers,
              arguments.bars + owner * row_numbers, is_group ? nullptr : forward.counters + index * strips);
  }
}

// The pairs that need a refinement, a warp for each. Their gradient is kept unrefined, like that of all others.
template <class T>
__global__ void __launch_bounds__(kWarp, 1) backward_refined_kernel(BackwardArguments<T> arguments) {
  SIGKERNEL_SHARED_MEMORY(memory);
  using Rule = PowerSeries<kLastGpuDegree>;
  const ForwardArguments<T>& forward = arguments.forward;
  const Lanes lanes = Lanes::of(threadIdx.x, kWarp);
  int refinement = 1;
  while (static_cast<int>(blockIdx.x) >= arguments.refined[refinement - 1].end) ++refinement;
  const RefinedBlocks<T>& blocks = arguments.refined[refinement - 1];
  const RefinedNumbers<T> numbers(forward.problem, refinement);
  const int block = static_cast<int>(blockIdx.x) - blocks.first;
  T *rows = blocks.memory + block * numbers.all(), *bars = rows + numbers.rows * numbers.row, *saved = bars + numbers.row;
  const BackwardTask<Adjoint<Rule>, T, 1> task(arguments, lanes, refinement, memory, saved);
  for (int64_t index = block; index < forward.pairs; index += blocks.end - blocks.first) {
    const Plan plan = forward.plan[forward.problem.pair(forward.first_pair + index).place];
    if (plan < 0 || refinement_of(plan) != refinement) continue;
    task.take(index, 0, task.strips() - 1, true, rows, bars, nullptr);
  }
}

}  // namespace sigkernel
