// The solver on a GPU. How threads are dealt to pairs is in goursat_gpu_layout.h, what they do in goursat_cuda_sweep.cuh.
//
// Nothing waits for the GPU, so the host does not know which degree a pair's power series needs: each degree of a ladder
// is launched in turn, and takes the pairs whose plan asks for it. One that finds its tail too large raises its plan, and a
// later launch takes it up.

#include "core/goursat_cuda.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/goursat_cuda_sweep.cuh"
#include "core/goursat_gpu_layout.h"
#include "core/goursat_plan.h"

namespace sigkernel {
namespace {

constexpr int kLastGpuDegree = 16;
constexpr int kMostGpuRefinement = 5;         // of the last degree alone
constexpr int64_t kScratchBudget = int64_t{256} << 20;  // bytes; pairs are taken in portions that stay below, or one by one
constexpr int64_t kRefinementBudget = int64_t{256} << 20;  // bytes that one pair's way back may take for the sake of a refinement
constexpr int kResidentWarps = 16;            // of a multiprocessor: as many groups as there is scratch memory for

// The ladder of degrees.
__host__ __device__ constexpr int gpu_degree_from(int degree) {
  return degree <= 4 ? 4 : degree <= 6 ? 6 : degree <= 8 ? 8 : degree <= 10 ? 10 : degree <= 12 ? 12 : kLastGpuDegree;
}

__host__ __device__ constexpr Plan gpu_plan(int degree, int refinement) { return degree | refinement << 8; }

__device__ inline Plan gpu_plan_refined(int refinement, int largest) {
  return refinement > largest ? kUnreached : gpu_plan(kLastGpuDegree, refinement);
}

// The smallest resolution that meets the bound.
template <class T>
__device__ Plan first_gpu_plan(T largest, T moment, double tolerance, int largest_refinement) {
  if (!std::isfinite(largest) || !std::isfinite(moment)) return kOverflow;
  for (int degree = 4;; degree = gpu_degree_from(degree + 1)) {
    if (bound_is_met(degree, 0, largest, moment, tolerance)) return gpu_plan(degree, 0);
    if (degree == kLastGpuDegree) break;
  }
  int refinement = 1;
  while (refinement <= largest_refinement && !bound_is_met(kLastGpuDegree, refinement, largest, moment, tolerance)) ++refinement;
  return gpu_plan_refined(refinement, largest_refinement);
}

// What a finished sweep makes of its plan: itself, or the next.
template <class T>
__device__ Plan gpu_plan_after(Plan plan, const Seen<T>& seen, T value, T rows, double tolerance, int largest_refinement) {
  if (!std::isfinite(value) || !std::isfinite(seen.amplitude)) return kOverflow;
  const int degree = plan & 0xff, refinement = plan >> 8;
  if (!is_small_rounding<T>(seen.amplitude, seen.scale, tolerance)) return gpu_plan_refined(refinement + 1, largest_refinement);
  if (is_small_tail(max(seen.tail, seen.across * rows), seen.scale, tolerance)) return plan;
  return degree < kLastGpuDegree ? gpu_plan(gpu_degree_from(degree + 1), 0) : gpu_plan_refined(refinement + 1, largest_refinement);
}

template <class T>
__device__ T not_a_number() {
  return std::numeric_limits<T>::quiet_NaN();
}

// Where the strips of one pair's grid lie.
struct StripCutter {
  int rows, columns, refinement;  // of the refined grid
  bool is_half;
  int strip_rows, strips;

  __host__ __device__ StripCutter(int coarse_rows, int coarse_columns, int refinement, bool is_half, int strip_rows)
      : rows(coarse_rows << refinement), columns(coarse_columns << refinement), refinement(refinement), is_half(is_half),
        strip_rows(strip_rows), strips((rows + strip_rows - 1) / strip_rows) {}

  __device__ int first_column(int strip) const {
    const int first_row = strip * strip_rows - (strips * strip_rows - rows);
    return is_half && first_row > 0 ? first_row : 0;
  }
  __device__ GpuStrip operator[](int strip) const {
    const int first_row = strip * strip_rows - (strips * strip_rows - rows);
    return {first_row, first_column(strip), rows, columns, refinement, is_half};
  }
};

// Which strip of which pair a group of lanes takes next.
class StripSource {
 public:
  // ticket: kChain. counters: kBlock, the block's own, [strips].
  __device__ StripSource(const GpuLayout& layout, const Lanes& lanes, int64_t pairs, int strips, bool is_backward,
                         unsigned long long* ticket, int32_t* counters)
      : sharing_(layout.sharing), lanes_(lanes), pairs_(pairs), strips_(strips), is_backward_(is_backward), ticket_(ticket),
        counters_(counters), group_(threadIdx.x / lanes.count), groups_(blockDim.x / lanes.count) {}

  __device__ bool next(int64_t* index, int* strip) {
    if (sharing_ == Sharing::kGroup) {
      const bool is_first = index_ < 0;
      if (is_first || ++at_ == strips_) {
        index_ = is_first ? blockIdx.x * int64_t{groups_} + group_ : index_ + int64_t{groups_} * gridDim.x;
        at_ = 0;
      }
    } else if (sharing_ == Sharing::kBlock) {
      const bool is_first = index_ < 0;
      at_ += groups_;
      if (is_first || at_ >= strips_) {
        index_ = is_first ? blockIdx.x : index_ + gridDim.x;
        at_ = group_;
        __syncthreads();
        for (int n = threadIdx.x; n < strips_; n += blockDim.x) counters_[n] = 0;
        __syncthreads();
      }
    } else {  // a warp waits only for strips that others have taken before
      const unsigned long long ticket = lanes_.lane == 0 ? atomicAdd(ticket_, 1ull) : 0;
      const int64_t taken = static_cast<int64_t>(__shfl_sync(lanes_.mask, ticket, 0));
      index_ = taken / strips_;
      at_ = static_cast<int>(taken - index_ * strips_);
    }
    *index = index_;
    *strip = is_backward_ ? strips_ - 1 - at_ : at_;
    return index_ < pairs_;
  }

 private:
  const Sharing sharing_;
  const Lanes lanes_;
  const int64_t pairs_;
  const int strips_;
  const bool is_backward_;
  unsigned long long* ticket_;
  int32_t* counters_;
  const int group_, groups_;
  int64_t index_ = -1;
  int at_ = 0;
};

// ---- How far increments reach --------------------------------------------------------------------------------------

template <class T>
struct ReachArguments {
  GpuProblem<T> problem;
  double tolerance;
  int largest_refinement;
  T* reach;  // [pairs]: the largest
  T* k;      // NaN until it is solved
  Plan* plan;
};

// A block for each pair in turn; its threads take lines, rows first. Of half a grid the columns are the rows again.
template <class T>
__global__ void reach_kernel(ReachArguments<T> arguments) {
  SIGKERNEL_SHARED_MEMORY(memory);
  T *largest = reinterpret_cast<T*>(memory), *moment = largest + blockDim.x;
  const GpuProblem<T>& problem = arguments.problem;
  const int64_t pairs = problem.pairs();
  for (int64_t index = blockIdx.x; index < pairs; index += gridDim.x) {
    const GpuPair pair = problem.pair(index);
    const PairIncrements<T> increments(problem, pair);
    const T factor = increments.factor(0);
    T my_largest = 0, my_moment = 0;
    const int lines = problem.is_half_grid() ? problem.rows : problem.rows + problem.columns;
    for (int line = threadIdx.x; line < lines; line += blockDim.x) {
      const bool is_row = line < problem.rows;
      const int length = is_row ? problem.columns : problem.rows;
      T sum = 0, low = 0, high = 0;
      for (int n = 0; n < length; ++n) {
        sum += factor * (is_row ? increments.at(line, n) : increments.at(n, line - problem.rows));
        low = low < sum ? low : sum;
        high = sum <= high ? high : sum;  // a NaN stays
      }
      const T range = high - low;
      T power = range;
      for (int k = 1; k < kReachMoment; ++k) power *= range;
      my_largest = range <= my_largest ? my_largest : range;
      my_moment += power;
    }
    largest[threadIdx.x] = my_largest;
    moment[threadIdx.x] = my_moment;
    __syncthreads();
    if (threadIdx.x == 0) {
      T whole_largest = 0, whole_moment = 0;
      for (int n = 0; n < static_cast<int>(blockDim.x); ++n) {
        whole_largest = largest[n] <= whole_largest ? whole_largest : largest[n];
        whole_moment += moment[n];
      }
      if (problem.is_half_grid()) whole_moment *= T(2);
      const Plan plan = first_gpu_plan(whole_largest, whole_moment, arguments.tolerance, arguments.largest_refinement);
      for (const int64_t place : {pair.place, pair.mirror}) {
        arguments.plan[place] = plan;
        arguments.k[place] = not_a_number<T>();
      }
      arguments.reach[index] = whole_largest;
    }
    __syncthreads();
  }
}

// ---- Forward -------------------------------------------------------------------------------------------------------

// What a launch works on and with. pairs: from first_pair of the problem's; what is counted by pairs starts at first_pair.
template <class T>
struct ForwardArguments {
  GpuProblem<T> problem;
  GpuLayout layout;
  int degree, refinement;  // degree 0: finite differences
  double tolerance;
  int largest_refinement;
  int64_t first_pair, pairs;
  bool decides;         // else the plan is read alone, and k not written
  T* rows;              // [groups, or pairs where shared or kept][row_count][columns][kSize]
  bool keeps_rows;      // for the way back: one row between any two strips, else one in place of all
  int32_t* counters;    // [pairs][strips], zero before the launch
  unsigned long long* ticket;  // zero likewise
  Seen<T>* seen;        // [pairs], zero likewise; where strips are shared
  const T* reach;       // power series: [all pairs]
  T* k;
  Plan* plan;
};

template <class Rule, class T, int R>
class ForwardTask {
  using Strip = ForwardStrip<Rule, T, R>;
  static constexpr int kSize = Rule::kCoefficients;
  static constexpr bool kIsPowerSeries = kSize > FiniteDifference::kCoefficients;

 public:
  __device__ ForwardTask(const ForwardArguments<T>& arguments, const Lanes& lanes, T* tile)
      : arguments_(arguments), problem_(arguments.problem), lanes_(lanes), tile_(tile),
        cutter_(problem_.rows, problem_.columns, arguments.refinement, problem_.is_half_grid(), lanes.count * R) {}

  __device__ int strips() const { return cutter_.strips; }

  __device__ bool is_wanted(int64_t index) const {
    if (!kIsPowerSeries) return true;
    return arguments_.plan[problem_.pair(arguments_.first_pair + index).place] ==
           gpu_plan(arguments_.degree, arguments_.refinement);
  }

  // counters: of the pair's strips, or null.
  __device__ void sweep(int64_t index, int strip, T* rows, int32_t* counters, Seen<T>& seen,
                        Seen<T>* shared_seen) const {
    const int64_t number = arguments_.first_pair + index;
    const GpuPair pair = problem_.pair(number);
    const PairIncrements<T> increments(problem_, pair);
    const bool is_last = strip == strips() - 1;
    const int64_t row_numbers = arguments_.keeps_rows ? int64_t{cutter_.columns} * kSize : 0;
    SharedRow<T> row;
    row.read = strip == 0 ? nullptr : rows + (strip - 1) * row_numbers;
    row.write = is_last ? nullptr : rows + strip * row_numbers;
    row.before = counters == nullptr || strip == 0 ? nullptr : counters + strip - 1;
    row.progress = counters == nullptr ? nullptr : counters + strip;
    const T reach = kIsPowerSeries && arguments_.decides ? ldexp(arguments_.reach[number], -cutter_.refinement) : T(0);
    const T end = Strip::run(increments, problem_, cutter_[strip], lanes_, row, reach, tile_, seen, shared_seen);
    if (is_last && lanes_.lane == lanes_.count - 1) finish(pair, end);
    if (is_last && arguments_.decides) decide(pair, seen);
  }

 private:
  __device__ void finish(const GpuPair& pair, T value) const {
    if (!arguments_.decides) return;
    arguments_.k[pair.place] = arguments_.k[pair.mirror] = value;
    if (!kIsPowerSeries) arguments_.plan[pair.place] = arguments_.plan[pair.mirror] = std::isfinite(value) ? 0 : kOverflow;
  }

  __device__ void decide(const GpuPair& pair, const Seen<T>& seen) const {
    __syncwarp(lanes_.mask);
    if (!kIsPowerSeries || lanes_.lane != 0) return;
    const Plan before = gpu_plan(arguments_.degree, arguments_.refinement);
    const Plan after = gpu_plan_after<T>(before, seen, arguments_.k[pair.place], T(cutter_.rows), arguments_.tolerance,
                                         arguments_.largest_refinement);
    arguments_.plan[pair.place] = arguments_.plan[pair.mirror] = after;
    if (after < 0) arguments_.k[pair.place] = arguments_.k[pair.mirror] = not_a_number<T>();
  }

  const ForwardArguments<T>& arguments_;
  const GpuProblem<T>& problem_;
  const Lanes lanes_;
  T* tile_;
  const StripCutter cutter_;
};

template <class Rule, class T, int R>
__global__ void __launch_bounds__(kWarp * kMostBlockWarps, 1) forward_kernel(ForwardArguments<T> arguments) {
  SIGKERNEL_SHARED_MEMORY(memory);
  constexpr int kSize = Rule::kCoefficients;
  const GpuLayout& layout = arguments.layout;
  const Lanes lanes = Lanes::of(threadIdx.x, layout.lanes);
  const int group = threadIdx.x / layout.lanes, groups = blockDim.x / layout.lanes;
  const int tile_numbers = ForwardStrip<Rule, T, R>::tile_numbers(layout.lanes);
  T* tiles = reinterpret_cast<T*>(memory);
  const ForwardTask<Rule, T, R> task(arguments, lanes, tiles + group * tile_numbers);
  const int strips = task.strips();
  const int64_t row_numbers = (int64_t{arguments.problem.columns} << arguments.refinement) * kSize;
  const int64_t pair_numbers = row_numbers * (arguments.keeps_rows ? strips - 1 : 1);
  const int64_t worker = blockIdx.x * int64_t{groups} + group;
  const bool is_block = layout.sharing == Sharing::kBlock, is_group = layout.sharing == Sharing::kGroup;
  T* block_row = tiles + groups * tile_numbers;  // kBlock
  Seen<T>* block_seen = reinterpret_cast<Seen<T>*>(block_row + row_numbers);
  int32_t* block_counters = reinterpret_cast<int32_t*>(block_seen + 1);
  StripSource source(layout, lanes, arguments.pairs, strips, false, arguments.ticket, block_counters);
  Seen<T> seen = {};
  int64_t index;
  int strip;
  while (source.next(&index, &strip)) {
    if (!task.is_wanted(index)) continue;
    T* rows = is_block ? block_row : arguments.rows + (is_group && !arguments.keeps_rows ? worker : index) * pair_numbers;
    int32_t* counters = is_group ? nullptr : is_block ? block_counters : arguments.counters + index * strips;
    if (!is_group || strip == 0) seen = {};
    Seen<T>* shared_seen = is_block ? block_seen : is_group || arguments.seen == nullptr ? nullptr : arguments.seen + index;
    task.sweep(index, strip, rows, counters, seen, shared_seen);
  }
}

// ---- Backward ------------------------------------------------------------------------------------------------------

template <class T>
struct BackwardArguments {
  GpuProblem<T> problem;
  GpuLayout layout;
  int degree, refinement;
  int64_t first_pair, pairs;
  const T* rows;        // as the forward kernel kept them
  T* bars;              // [groups, or pairs where shared][columns][kSize]
  T* saved;             // [groups]
  int64_t saved_numbers;
  int32_t* counters;
  unsigned long long* ticket;
  const Plan* plan;
  const T* upstream;
  T *x, *y, *cells;     // as PairGradient, [pairs]
  T* variance;          // [pairs][strips]
};

template <class Backward, class T, int R>
__global__ void __launch_bounds__(kWarp, 1) backward_kernel(BackwardArguments<T> arguments) {
  using Rule = typename Backward::Rule;
  using Strip = BackwardStrip<Backward, T, R>;
  SIGKERNEL_SHARED_MEMORY(memory);
  constexpr int kSize = Rule::kCoefficients;
  const GpuLayout& layout = arguments.layout;
  const GpuProblem<T>& problem = arguments.problem;
  const Lanes lanes = Lanes::of(threadIdx.x, layout.lanes);
  const int group = threadIdx.x / layout.lanes, groups = blockDim.x / layout.lanes;
  const int64_t worker = blockIdx.x * int64_t{groups} + group;
  T* tile = reinterpret_cast<T*>(memory) + group * Strip::tile_numbers(layout.lanes);
  const StripCutter cutter(problem.rows, problem.columns, arguments.refinement, problem.is_half_grid(), layout.lanes * R);
  const int strips = cutter.strips;
  const int64_t row_numbers = int64_t{cutter.columns} * kSize;
  const int64_t ends = problem.increments == GpuIncrements::kRbf ? 2 : 1;
  const auto is_wanted = [&](int64_t index) {
    if (arguments.degree == 0) return true;
    const GpuPair pair = problem.pair(arguments.first_pair + index);
    return arguments.plan[pair.place] == gpu_plan(arguments.degree, arguments.refinement);
  };
  const auto retreat = [&](int64_t index, int strip, T* bars, int32_t* counters) {
    const GpuPair pair = problem.pair(arguments.first_pair + index);
    const PairIncrements<T> increments(problem, pair);
    T scale = arguments.upstream[pair.place];
    if (pair.mirror != pair.place) scale += arguments.upstream[pair.mirror];
    const T* entered = strip == 0 ? nullptr : arguments.rows + (index * (strips - 1) + strip - 1) * row_numbers;
    const bool is_last = strip == strips - 1;
    SharedRow<T> row;
    row.read = is_last ? nullptr : bars;
    row.write = strip == 0 ? nullptr : bars;
    row.before = counters == nullptr || is_last ? nullptr : counters + strip + 1;
    row.progress = counters == nullptr ? nullptr : counters + strip;
    PairGradient<T> gradient;
    if (problem.increments == GpuIncrements::kGiven) {
      gradient.cells = arguments.cells + index * cutter.rows * int64_t{cutter.columns};
    } else {
      gradient.x = arguments.x + index * ends * cutter.rows * problem.channels;
      gradient.y = arguments.y + index * ends * cutter.columns * problem.channels;
    }
    Strip::run(increments, problem, cutter[strip], lanes, entered, row, is_last ? cutter.columns : cutter.first_column(strip + 1),
               scale, tile, arguments.saved + worker * arguments.saved_numbers, gradient,
               arguments.variance + index * strips + strip);
  };
  StripSource source(layout, lanes, arguments.pairs, strips, true, arguments.ticket, nullptr);
  int64_t index;
  int strip;
  while (source.next(&index, &strip)) {
    if (!is_wanted(index)) continue;
    const bool is_group = layout.sharing == Sharing::kGroup;
    retreat(index, strip, arguments.bars + (is_group ? worker : index) * row_numbers,
            is_group ? nullptr : arguments.counters + index * strips);
  }
}

// Adds up what a portion of pairs says of one set of paths, pair by pair in order: a thread for each number of a path.
template <class T>
struct ReduceArguments {
  GpuProblem<T> problem;
  int refinement;
  int64_t first_pair, pairs;
  const T *x, *y;
  T *dX, *dY;  // accumulated into; the same for a symmetric pairing
};

template <class T>
__device__ T point_gradient(const T* by_segment, int point, int d, int segments, int refinement, int channels, bool is_rbf) {
  const int fine = segments << refinement;
  const T* by_end = is_rbf ? by_segment + int64_t{fine} * channels : by_segment;
  T sum = 0;
  if (point < segments)  // the segment that starts here
    for (int n = point << refinement; n < (point + 1) << refinement; ++n)
      sum += is_rbf ? by_segment[int64_t{n} * channels + d] : -by_segment[int64_t{n} * channels + d];
  if (point > 0)
    for (int n = (point - 1) << refinement; n < point << refinement; ++n) sum += by_end[int64_t{n} * channels + d];
  return sum;
}

template <class T>
__global__ void reduce_paths_kernel(ReduceArguments<T> arguments) {
  const GpuProblem<T>& problem = arguments.problem;
  const bool is_rbf = problem.increments == GpuIncrements::kRbf;
  const int64_t ends = is_rbf ? 2 : 1, channels = problem.channels, last = arguments.first_pair + arguments.pairs;
  const int64_t x_size = (problem.rows + int64_t{1}) * channels, y_size = (problem.columns + int64_t{1}) * channels;
  const int64_t x_numbers = problem.x_count * x_size, numbers = x_numbers + problem.y_count * y_size;
  const auto of_x = [&](int64_t pair, int64_t at) {
    if (pair < arguments.first_pair || pair >= last) return T(0);
    const T* x = arguments.x + (pair - arguments.first_pair) * ends * (int64_t{problem.rows} << arguments.refinement) * channels;
    return point_gradient(x, static_cast<int>(at / channels), static_cast<int>(at % channels), problem.rows,
                          arguments.refinement, problem.channels, is_rbf);
  };
  const auto of_y = [&](int64_t pair, int64_t at) {
    if (pair < arguments.first_pair || pair >= last) return T(0);
    const T* y = arguments.y + (pair - arguments.first_pair) * ends * (int64_t{problem.columns} << arguments.refinement) * channels;
    return point_gradient(y, static_cast<int>(at / channels), static_cast<int>(at % channels), problem.columns,
                          arguments.refinement, problem.channels, is_rbf);
  };
  for (int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; n < numbers; n += int64_t{gridDim.x} * blockDim.x) {
    const bool is_x = n < x_numbers;
    const int64_t path = is_x ? n / x_size : (n - x_numbers) / y_size, at = is_x ? n % x_size : (n - x_numbers) % y_size;
    T sum = 0;
    switch (problem.pairing) {
      case Pairing::kPairs: sum = is_x ? of_x(path, at) : of_y(path, at); break;
      case Pairing::kGram:
        if (is_x) {
          for (int64_t b = 0; b < problem.y_count; ++b) sum += of_x(path * problem.y_count + b, at);
        } else {
          for (int64_t a = 0; a < problem.x_count; ++a) sum += of_y(a * problem.y_count + path, at);
        }
        break;
      case Pairing::kDiagonal: sum = is_x ? of_x(path, at) + of_y(path, at) : T(0); break;
      case Pairing::kSymmetricGram:
        if (!is_x) break;
        for (int64_t a = 0; a <= path; ++a) sum += of_y(path * (path + 1) / 2 + a, at);
        for (int64_t b = path; b < problem.y_count; ++b) sum += of_x(b * (b + 1) / 2 + path, at);
        break;
    }
    if (is_x) {
      arguments.dX[n] += sum;
    } else if (problem.pairing == Pairing::kPairs || problem.pairing == Pairing::kGram) {
      arguments.dY[n - x_numbers] += sum;
    }
  }
}

// Of increments that are given: the sum over each one's refined cells.
template <class T>
__global__ void reduce_cells_kernel(const T* cells, int64_t count, int rows, int columns, int refinement, T* result) {
  const int64_t numbers = count * rows * columns;
  for (int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; n < numbers; n += int64_t{gridDim.x} * blockDim.x) {
    const int64_t problem = n / (int64_t{rows} * columns), i = n / columns % rows, j = n % columns;
    const int side = 1 << refinement;
    T sum = 0;
    for (int a = 0; a < side; ++a)
      for (int b = 0; b < side; ++b)
        sum += cells[((problem * rows + i) * side + a) * (int64_t{columns} * side) + j * side + b];
    result[n] += sum;
  }
}

// The sum of what each thread of a block has, as a tree. sums: [threads], free for reuse after a barrier.
template <class T>
__device__ T sum_of_block(T value, T* sums) {
  sums[threadIdx.x] = value;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  __syncthreads();
  return sums[0];
}

// One block.
template <class T>
__global__ void sum_kernel(const T* values, int64_t count, T* total) {
  SIGKERNEL_SHARED_MEMORY(memory);
  T sum = 0;
  for (int64_t n = threadIdx.x; n < count; n += blockDim.x) sum += values[n];
  const T whole = sum_of_block(sum, reinterpret_cast<T*>(memory));
  if (threadIdx.x == 0) *total += whole;
}

// The derivative along a direction: its inner product with the gradient. A block for each path in turn.
template <class T>
__global__ void directional_kernel(const T* dX, const T* direction, int64_t count, int64_t size, const Plan* plan, T* tangent) {
  SIGKERNEL_SHARED_MEMORY(memory);
  for (int64_t path = blockIdx.x; path < count; path += gridDim.x) {
    T sum = 0;
    for (int64_t n = threadIdx.x; n < size; n += blockDim.x) sum += dX[path * size + n] * direction[path * size + n];
    const T whole = sum_of_block(sum, reinterpret_cast<T*>(memory));
    if (threadIdx.x == 0) tangent[path] = plan[path] < 0 ? not_a_number<T>() : whole;
    __syncthreads();
  }
}

template <class T>
__global__ void fill_kernel(T* values, int64_t count, T value) {
  for (int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; n < count; n += int64_t{gridDim.x} * blockDim.x) values[n] = value;
}

template <class T>
__global__ void first_not_finite_kernel(const T* values, int64_t count, unsigned long long* first) {
  for (int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; n < count; n += int64_t{gridDim.x} * blockDim.x)
    if (!std::isfinite(values[n])) atomicMin(first, static_cast<unsigned long long>(n));
}

// ---- The host's side -----------------------------------------------------------------------------------------------

constexpr int kThreads = 128;  // of the plain kernels

int64_t blocks_for(int64_t numbers, const CudaDevice& device) {
  return std::min<int64_t>((numbers + kThreads - 1) / kThreads, int64_t{device.multiprocessors} * 16);
}

template <class T>
void fill(T* values, int64_t count, T value, const CudaDevice& device) {
  launch("fill_kernel", fill_kernel<T>, blocks_for(count, device), kThreads, 0, device, values, count, value);
}

template <class T>
T* allocate_zeros(int64_t count, const CudaDevice& device) {
  T* values = device.allocate_numbers<T>(count);
  check_cuda(cudaMemsetAsync(values, 0, count * sizeof(T), device.stream), "clearing scratch memory");
  return values;
}

// Memory for one launch after the other: what an earlier one used is used again.
class Workspace {
 public:
  explicit Workspace(const CudaDevice& device) : device_(device) {}

  void start_over() { next_ = 0; }

  template <class T>
  T* take(int64_t count) {
    const int64_t bytes = std::max<int64_t>(count, 1) * static_cast<int64_t>(sizeof(T));
    if (next_ == pieces_.size()) pieces_.push_back({nullptr, 0});
    Piece& piece = pieces_[next_++];
    if (piece.bytes < bytes) piece = {device_.allocate(bytes), bytes};
    return static_cast<T*>(piece.memory);
  }

 private:
  struct Piece {
    void* memory;
    int64_t bytes;
  };
  const CudaDevice& device_;
  std::vector<Piece> pieces_;
  std::size_t next_ = 0;
};

// How often the last degree may halve increments: a grid so refined must leave room for the way back, whether or not a
// pair will need it, for the host does not know.
template <class T>
int largest_refinement(const GpuProblem<T>& problem) {
  const double bytes = double(problem.rows) / kWarp * problem.columns * (kLastGpuDegree + 1) * sizeof(T);
  int refinement = 0;
  while (refinement < kMostGpuRefinement && std::ldexp(bytes, 2 * (refinement + 1)) <= double(kRefinementBudget)) ++refinement;
  return refinement;
}

// Calls visitor.template visit<Rule>(degree, refinement) for each launch that some pair may need.
template <class T, class Visitor>
void visit_resolutions(const GpuProblem<T>& problem, const Solver& solver, const Visitor& visitor) {
  if (!solver.power_series) return visitor.template visit<FiniteDifference>(0, solver.dyadic_order);
  visitor.template visit<PowerSeries<4>>(4, 0);
  visitor.template visit<PowerSeries<6>>(6, 0);
  visitor.template visit<PowerSeries<8>>(8, 0);
  visitor.template visit<PowerSeries<10>>(10, 0);
  visitor.template visit<PowerSeries<12>>(12, 0);
  for (int refinement = 0; refinement <= largest_refinement(problem); ++refinement)
    visitor.template visit<PowerSeries<kLastGpuDegree>>(kLastGpuDegree, refinement);
}

// The grids that one launch sweeps.
template <class Rule, class T>
GpuShape gpu_shape(int64_t pairs, int64_t rows, int64_t columns, int largest_rows_per_lane, bool has_blocks,
                   const CudaDevice& device) {
  GpuShape shape;
  shape.pairs = pairs;
  shape.rows = rows;
  shape.columns = columns;
  shape.row_bytes = Rule::kCoefficients * static_cast<int>(sizeof(T));
  shape.largest_rows_per_lane = largest_rows_per_lane;
  shape.has_blocks = has_blocks;
  shape.multiprocessors = device.multiprocessors;
  return shape;
}

template <class Rule>
constexpr int kForwardRows = std::is_same_v<Rule, FiniteDifference> ? 4 : 1;
template <class Backward>
constexpr int kBackwardRows = std::is_same_v<Backward, Adjoint<FiniteDifference>> ? 2 : 1;

// As many blocks of a group-sharing or chained launch as work at once.
int64_t resident_blocks(const GpuLayout& layout, int64_t pairs, int64_t strips, const CudaDevice& device) {
  const int64_t groups = kWarp / layout.lanes;
  const int64_t wanted = layout.sharing == Sharing::kGroup ? (pairs + groups - 1) / groups
                         : layout.sharing == Sharing::kBlock ? pairs : pairs * strips;
  return std::min(wanted, int64_t{device.multiprocessors} * kResidentWarps);
}

template <class Rule, class T, int R>
void launch_forward(ForwardArguments<T>& arguments, const CudaDevice& device) {
  using Strip = ForwardStrip<Rule, T, R>;
  const GpuLayout& layout = arguments.layout;
  const GpuProblem<T>& problem = arguments.problem;
  const int64_t strips = layout.strips(int64_t{problem.rows} << arguments.refinement);
  const int groups = layout.warps * kWarp / layout.lanes;
  std::size_t shared = groups * Strip::tile_numbers(layout.lanes) * sizeof(T);
  if (layout.sharing == Sharing::kBlock) {
    const int64_t columns = int64_t{problem.columns} << arguments.refinement;
    shared += columns * Rule::kCoefficients * sizeof(T) + sizeof(Seen<T>) + strips * sizeof(int32_t);
  }
  launch("forward_kernel", forward_kernel<Rule, T, R>, resident_blocks(layout, arguments.pairs, strips, device),
         layout.warps * kWarp, shared, device, arguments);
}

template <class Rule, class T>
void launch_forward(ForwardArguments<T>& arguments, const CudaDevice& device) {
  if constexpr (kForwardRows<Rule> > 1) {
    if (arguments.layout.rows_per_lane == 2) return launch_forward<Rule, T, 2>(arguments, device);
    if (arguments.layout.rows_per_lane == 4) return launch_forward<Rule, T, 4>(arguments, device);
  }
  launch_forward<Rule, T, 1>(arguments, device);
}

// All of a problem's pairs at one resolution; portion by portion, so that scratch memory stays within its budget.
template <class T>
struct ForwardVisitor {
  const GpuProblem<T>& problem;
  const Solver& solver;
  const CudaDevice& device;
  Workspace& workspace;
  const T* reach;
  T* k;
  Plan* plan;

  template <class Rule>
  void visit(int degree, int refinement) const {
    const int64_t rows = int64_t{problem.rows} << refinement, columns = int64_t{problem.columns} << refinement;
    const int64_t pairs = problem.pairs();
    workspace.start_over();
    ForwardArguments<T> arguments = {};
    arguments.problem = problem;
    arguments.layout = choose_layout(gpu_shape<Rule, T>(pairs, rows, columns, kForwardRows<Rule>, true, device));
    arguments.degree = degree;
    arguments.refinement = refinement;
    arguments.tolerance = tolerance_with_margin<T>(solver.tolerance);
    arguments.largest_refinement = largest_refinement(problem);
    arguments.decides = true;
    arguments.reach = reach;
    arguments.k = k;
    arguments.plan = plan;
    const int64_t strips = arguments.layout.strips(rows), row_numbers = columns * Rule::kCoefficients;
    const bool is_chain = arguments.layout.sharing == Sharing::kChain;
    int64_t portion = pairs;
    if (is_chain) {
      const int64_t bytes = row_numbers * sizeof(T) + strips * sizeof(int32_t) + sizeof(Seen<T>);
      portion = std::clamp<int64_t>(kScratchBudget / bytes, 1, pairs);
      arguments.rows = workspace.template take<T>(portion * row_numbers);
      arguments.counters = workspace.template take<int32_t>(portion * strips);
      arguments.seen = workspace.template take<Seen<T>>(portion);
      arguments.ticket = workspace.template take<unsigned long long>(1);
    } else if (arguments.layout.sharing == Sharing::kGroup && strips > 1) {
      const int64_t groups = resident_blocks(arguments.layout, pairs, strips, device) * (kWarp / arguments.layout.lanes);
      arguments.rows = workspace.template take<T>(groups * row_numbers);
    }
    for (int64_t first = 0; first < pairs; first += portion) {
      arguments.first_pair = first;
      arguments.pairs = std::min(portion, pairs - first);
      if (is_chain) {
        fill<int32_t>(arguments.counters, arguments.pairs * strips, 0, device);
        fill<T>(reinterpret_cast<T*>(arguments.seen), arguments.pairs * 4, 0, device);
        fill<unsigned long long>(arguments.ticket, 1, 0, device);
      }
      launch_forward<Rule, T>(arguments, device);
    }
  }
};

template <class T>
struct BackwardVisitor {
  const GpuProblem<T>& problem;
  const Solver& solver;
  const CudaDevice& device;
  Workspace& workspace;
  const Plan* plan;
  const T* upstream;
  T *dX, *dY, *d_variance, *d_cells;

  template <class Rule>
  void visit(int degree, int refinement) const {
    if constexpr (std::is_same_v<Rule, FiniteDifference>) {
      if (solver.gradient == Gradient::kTheorem41) return with<Theorem41>(degree, refinement);
    }
    with<Adjoint<Rule>>(degree, refinement);
  }

  template <class Backward>
  void with(int degree, int refinement) const {
    using Rule = typename Backward::Rule;
    const int64_t rows = int64_t{problem.rows} << refinement, columns = int64_t{problem.columns} << refinement;
    const int64_t pairs = problem.pairs(), row_numbers = columns * Rule::kCoefficients;
    const GpuLayout layout = choose_layout(gpu_shape<Rule, T>(pairs, rows, columns, kBackwardRows<Backward>, false, device));
    const int64_t strips = layout.strips(rows);
    const bool is_given = problem.increments == GpuIncrements::kGiven, is_chain = layout.sharing == Sharing::kChain;
    const int64_t ends = problem.increments == GpuIncrements::kRbf ? 2 : 1;
    const int64_t x_numbers = is_given ? 0 : ends * rows * problem.channels, y_numbers = is_given ? 0 : ends * columns * problem.channels;
    const int64_t cell_numbers = is_given ? rows * columns : 0;
    const int64_t kept_numbers = (strips - 1) * row_numbers;
    const int64_t pair_numbers = kept_numbers + x_numbers + y_numbers + cell_numbers + strips + (is_chain ? row_numbers : 0);
    const int64_t portion = std::clamp<int64_t>(kScratchBudget / (pair_numbers * static_cast<int64_t>(sizeof(T))), 1, pairs);
    const int64_t groups = resident_blocks(layout, portion, strips, device) * (kWarp / layout.lanes);

    workspace.start_over();
    BackwardArguments<T> arguments = {};
    arguments.problem = problem;
    arguments.layout = layout;
    arguments.degree = degree;
    arguments.refinement = refinement;
    arguments.plan = plan;
    arguments.upstream = upstream;
    T* kept = workspace.template take<T>(portion * kept_numbers);
    arguments.rows = kept;
    arguments.bars = workspace.template take<T>((is_chain ? portion : groups) * (strips > 1 ? row_numbers : 0));
    arguments.saved_numbers = saved_numbers<Backward>(layout, columns);
    arguments.saved = workspace.template take<T>(groups * arguments.saved_numbers);
    arguments.counters = workspace.template take<int32_t>(is_chain ? portion * strips : 0);
    arguments.ticket = workspace.template take<unsigned long long>(1);
    arguments.x = workspace.template take<T>(portion * x_numbers);
    arguments.y = workspace.template take<T>(portion * y_numbers);
    arguments.cells = workspace.template take<T>(portion * cell_numbers);
    arguments.variance = workspace.template take<T>(portion * strips);
    for (int64_t first = 0; first < pairs; first += portion) {
      arguments.first_pair = first;
      arguments.pairs = std::min(portion, pairs - first);
      const auto clear_counters = [&] {
        fill<int32_t>(arguments.counters, is_chain ? arguments.pairs * strips : 0, 0, device);
        fill<unsigned long long>(arguments.ticket, 1, 0, device);
      };
      // Pairs of other resolutions leave their share as it is.
      fill<T>(arguments.x, arguments.pairs * x_numbers, 0, device);
      fill<T>(arguments.y, arguments.pairs * y_numbers, 0, device);
      fill<T>(arguments.cells, arguments.pairs * cell_numbers, 0, device);
      fill<T>(arguments.variance, arguments.pairs * strips, 0, device);
      if (strips > 1) {
        ForwardArguments<T> forward = {};
        forward.problem = problem;
        forward.layout = layout;
        forward.degree = degree;
        forward.refinement = refinement;
        forward.first_pair = first;
        forward.pairs = arguments.pairs;
        forward.rows = kept;
        forward.keeps_rows = true;
        forward.counters = arguments.counters;
        forward.ticket = arguments.ticket;
        forward.plan = const_cast<Plan*>(plan);  // read alone, as nothing is decided
        clear_counters();
        launch_forward<Rule, T>(forward, device);
      }
      clear_counters();
      launch_backward<Backward>(arguments);
      reduce(arguments, is_given);
      launch("sum_kernel", sum_kernel<T>, 1, kThreads, kThreads * sizeof(T), device, arguments.variance,
             arguments.pairs * strips, d_variance);
    }
  }

 private:
  template <class Backward>
  static int64_t saved_numbers(const GpuLayout& layout, int64_t columns) {
    if (layout.rows_per_lane == 2) return BackwardStrip<Backward, T, 2>::saved_numbers(columns, layout.lanes);
    return BackwardStrip<Backward, T, 1>::saved_numbers(columns, layout.lanes);
  }

  template <class Backward, int R>
  void launch_backward_rows(const BackwardArguments<T>& arguments) const {
    const GpuLayout& layout = arguments.layout;
    const int64_t strips = layout.strips(int64_t{problem.rows} << arguments.refinement);
    const std::size_t shared = kWarp / layout.lanes * BackwardStrip<Backward, T, R>::tile_numbers(layout.lanes) * sizeof(T);
    launch("backward_kernel", backward_kernel<Backward, T, R>, resident_blocks(layout, arguments.pairs, strips, device), kWarp,
           shared, device, arguments);
  }

  template <class Backward>
  void launch_backward(const BackwardArguments<T>& arguments) const {
    if constexpr (kBackwardRows<Backward> > 1) {
      if (arguments.layout.rows_per_lane == 2) return launch_backward_rows<Backward, 2>(arguments);
    }
    launch_backward_rows<Backward, 1>(arguments);
  }

  void reduce(const BackwardArguments<T>& arguments, bool is_given) const {
    if (is_given) {
      const int64_t size = int64_t{problem.rows} * problem.columns;
      launch("reduce_cells_kernel", reduce_cells_kernel<T>, blocks_for(arguments.pairs * size, device), kThreads, 0, device,
             arguments.cells, arguments.pairs, problem.rows, problem.columns, arguments.refinement,
             d_cells + arguments.first_pair * size);
      return;
    }
    ReduceArguments<T> reduce = {problem, arguments.refinement, arguments.first_pair, arguments.pairs, arguments.x, arguments.y, dX, dY};
    const int64_t numbers = (problem.x_count * (problem.rows + int64_t{1}) + problem.y_count * (problem.columns + int64_t{1})) * problem.channels;
    launch("reduce_paths_kernel", reduce_paths_kernel<T>, blocks_for(numbers, device), kThreads, 0, device, reduce);
  }
};

void check_size(int64_t rows, int64_t columns, int refinement) {
  constexpr int64_t kMost = int64_t{1} << 29;
  if (std::max(rows, columns) << refinement > kMost) {
    throw CudaError("a path of " + std::to_string(std::max(rows, columns)) + " segments at dyadic order " +
                    std::to_string(refinement) + " is longer than the GPU's solver can count");
  }
}

template <class T>
GpuProblem<T> gpu_problem(const KernelProblem<T>& problem, const T* variance) {
  check_size(problem.X.segments(), problem.Y.segments(), problem.solver.dyadic_order);
  GpuProblem<T> result;
  result.increments = problem.static_kernel == StaticKernel::kRbf ? GpuIncrements::kRbf : GpuIncrements::kLinear;
  result.pairing = problem.pairing;
  result.X = problem.X.values;
  result.Y = problem.is_symmetric() ? problem.X.values : problem.Y.values;
  result.variance = variance;
  result.x_count = problem.X.count;
  result.y_count = problem.is_gram() ? problem.Y.count : problem.X.count;
  result.rows = static_cast<int>(problem.X.segments());
  result.columns = static_cast<int>(problem.is_symmetric() ? problem.X.segments() : problem.Y.segments());
  result.channels = static_cast<int>(problem.X.channels);
  return result;
}

template <class T>
GpuProblem<T> gpu_problem(const GoursatProblem<T>& problem) {
  check_size(problem.rows, problem.columns, problem.solver.dyadic_order);
  GpuProblem<T> result;
  result.increments = GpuIncrements::kGiven;
  result.given = problem.increments;
  result.x_count = result.y_count = problem.count;
  result.rows = static_cast<int>(problem.rows);
  result.columns = static_cast<int>(problem.columns);
  return result;
}

template <class T>
void solve(const GpuProblem<T>& problem, const Solver& solver, int64_t results, const CudaDevice& device, T* k, Plan* plan) {
  if (results == 0) return;
  if (problem.rows == 0 || problem.columns == 0) {  // a path of one point
    fill<T>(k, results, 1, device);
    fill<Plan>(plan, results, 0, device);
    return;
  }
  T* reach = nullptr;
  if (solver.power_series) {
    const int64_t pairs = problem.pairs();
    reach = device.allocate_numbers<T>(pairs);
    const int longest = std::max(problem.rows, problem.columns);
    const int threads = std::min(256, (longest + kWarp - 1) / kWarp * kWarp);
    const ReachArguments<T> arguments = {problem, tolerance_with_margin<T>(solver.tolerance), largest_refinement(problem), reach, k, plan};
    launch("reach_kernel", reach_kernel<T>, std::min<int64_t>(pairs, int64_t{device.multiprocessors} * 64), threads,
           2 * threads * sizeof(T), device, arguments);
  }
  Workspace workspace(device);
  visit_resolutions(problem, solver, ForwardVisitor<T>{problem, solver, device, workspace, reach, k, plan});
}

}  // namespace

template <class T>
void signature_kernel_cuda(const KernelProblem<T>& problem, const T* variance, const CudaDevice& device, T* k, Plan* plan) {
  solve(gpu_problem(problem, variance), problem.solver, problem.pairs(), device, k, plan);
}

template <class T>
void signature_kernel_backward_cuda(const KernelProblem<T>& problem, const T* variance, const CudaDevice& device,
                                    const Plan* plan, const T* upstream, T* dX, T* dY, T* d_variance) {
  const GpuProblem<T> gpu = gpu_problem(problem, variance);
  fill<T>(dX, problem.X.size(), 0, device);
  if (!problem.is_symmetric()) fill<T>(dY, problem.Y.size(), 0, device);
  fill<T>(d_variance, 1, 0, device);
  if (problem.pairs() == 0 || gpu.rows == 0 || gpu.columns == 0) return;
  Workspace workspace(device);
  visit_resolutions(gpu, problem.solver, BackwardVisitor<T>{gpu, problem.solver, device, workspace, plan, upstream, dX, dY, d_variance, nullptr});
}

template <class T>
void signature_kernel_directional_cuda(const KernelProblem<T>& problem, const T* variance, const T* direction,
                                       const CudaDevice& device, T* k, T* tangent, Plan* plan) {
  signature_kernel_cuda(problem, variance, device, k, plan);
  if (problem.pairs() == 0) return;
  T* upstream = device.allocate_numbers<T>(problem.pairs());
  fill<T>(upstream, problem.pairs(), 1, device);
  T *dX = device.allocate_numbers<T>(problem.X.size()), *dY = device.allocate_numbers<T>(problem.Y.size());
  KernelProblem<T> exact = problem;
  exact.solver.gradient = Gradient::kAdjoint;  // the derivative of the computed k
  signature_kernel_backward_cuda(exact, variance, device, plan, upstream, dX, dY, device.allocate_numbers<T>(1));
  launch("directional_kernel", directional_kernel<T>, std::min<int64_t>(problem.X.count, int64_t{device.multiprocessors} * 64),
         kThreads, kThreads * sizeof(T), device, dX, direction, problem.X.count, problem.X.length * problem.X.channels, plan,
         tangent);
}

template <class T>
void solve_goursat_cuda(const GoursatProblem<T>& problem, const CudaDevice& device, T* k, Plan* plan) {
  solve(gpu_problem(problem), problem.solver, problem.count, device, k, plan);
}

template <class T>
void solve_goursat_backward_cuda(const GoursatProblem<T>& problem, const CudaDevice& device, const Plan* plan,
                                 const T* upstream, T* d_increments) {
  const GpuProblem<T> gpu = gpu_problem(problem);
  fill<T>(d_increments, problem.count * problem.rows * problem.columns, 0, device);
  if (problem.count == 0 || gpu.rows == 0 || gpu.columns == 0) return;
  T* d_variance = allocate_zeros<T>(1, device);
  Workspace workspace(device);
  visit_resolutions(gpu, problem.solver, BackwardVisitor<T>{gpu, problem.solver, device, workspace, plan, upstream, nullptr, nullptr, d_variance, d_increments});
}

template <class N>
std::vector<N> read_cuda(const N* values, int64_t count, const CudaDevice& device) {
  std::vector<N> result(count);
  check_cuda(cudaMemcpyAsync(result.data(), values, count * sizeof(N), cudaMemcpyDeviceToHost, device.stream), "reading results");
  check_cuda(cudaStreamSynchronize(device.stream), "waiting for results");
  return result;
}
template std::vector<Plan> read_cuda<Plan>(const Plan*, int64_t, const CudaDevice&);

template <class T>
int64_t first_not_finite_cuda(const T* values, int64_t count, const CudaDevice& device) {
  auto* first = device.allocate_numbers<unsigned long long>(1);
  constexpr unsigned long long kNone = ~0ull;
  fill<unsigned long long>(first, 1, kNone, device);
  launch("first_not_finite_kernel", first_not_finite_kernel<T>, blocks_for(count, device), kThreads, 0, device, values, count, first);
  const unsigned long long result = read_cuda(first, 1, device)[0];
  return result == kNone ? -1 : static_cast<int64_t>(result);
}

#define SIGKERNEL_INSTANTIATE(T)                                                                                          \
  template void signature_kernel_cuda<T>(const KernelProblem<T>&, const T*, const CudaDevice&, T*, Plan*);                \
  template void signature_kernel_directional_cuda<T>(const KernelProblem<T>&, const T*, const T*, const CudaDevice&, T*,  \
                                                     T*, Plan*);                                                          \
  template void signature_kernel_backward_cuda<T>(const KernelProblem<T>&, const T*, const CudaDevice&, const Plan*,      \
                                                  const T*, T*, T*, T*);                                                  \
  template void solve_goursat_cuda<T>(const GoursatProblem<T>&, const CudaDevice&, T*, Plan*);                            \
  template void solve_goursat_backward_cuda<T>(const GoursatProblem<T>&, const CudaDevice&, const Plan*, const T*, T*);   \
  template std::vector<T> read_cuda<T>(const T*, int64_t, const CudaDevice&);                                             \
  template int64_t first_not_finite_cuda<T>(const T*, int64_t, const CudaDevice&);
SIGKERNEL_INSTANTIATE(float)
SIGKERNEL_INSTANTIATE(double)
#undef SIGKERNEL_INSTANTIATE

}  // namespace sigkernel
