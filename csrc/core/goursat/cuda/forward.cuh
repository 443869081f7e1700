// The forward kernels: k of each pair, or the rows between its strips for the way back.
#pragma once

#include "core/goursat/cuda/plan.cuh"
#include "core/goursat/cuda/strips.cuh"

namespace sigkernel {

// What a launch works on and with. pairs: from first_pair of the problem's; what is counted by pairs starts at first_pair.
template <class T>
struct ForwardArguments {
  GpuProblem<T> problem;
  GpuLayout layout;
  int degree, refinement;  // degree 0: finite differences
  double tolerance;
  int largest_refinement;
  int64_t first_pair, pairs;
  bool keeps_rows;      // for the way back: one row between any two strips, and k is not written; else one in place of all
  T* rows;              // [groups, or pairs where shared or kept][row_count][columns][kSize]
  int32_t* counters;    // kChain: [pairs][strips], zero before the launch
  unsigned long long* ticket;  // zero likewise
  Seen<T>* seen;        // kChain: [pairs], zero likewise
  bool is_anew;         // the refined kernel: of the pairs that are marked so, and of no others
  const Plan* given;    // LineRanges: plans of which those that are a GPU's are left, the others marked by kAnew; or null
  T* reach;             // power series: [all pairs], the largest range, which LineRanges writes
  T* k;                 // NaN until it is solved
  Plan* plan;
};

// Sweeps strips of one pair after the other, at one resolution.
template <class Rule, class T, int R, int D = 0>
class ForwardTask {
  using Strip = ForwardStrip<Rule, T, R, D>;
  static constexpr int kSize = Rule::kCoefficients;
  static constexpr bool kIsReach = std::is_same_v<Rule, LineRanges>, kIsPowerSeries = !kIsReach && !std::is_same_v<Rule, FiniteDifference>;

 public:
  // memory: the warp's, shared.
  __device__ ForwardTask(const ForwardArguments<T>& arguments, const Lanes& lanes, int refinement, unsigned char* memory)
      : arguments_(arguments), problem_(arguments.problem), lanes_(lanes), memory_(memory),
        cutter_(problem_.rows, problem_.columns, refinement, problem_.is_half_grid(), lanes.count * R) {}

  __device__ int strips() const { return cutter_.strips; }
  __device__ int64_t row_numbers() const { return int64_t{cutter_.columns} * kSize; }

  // Whether a pair is there and asks for this resolution.
  __device__ bool is_wanted(int64_t index) const {
    if (index >= arguments_.pairs) return false;
    const int64_t place = problem_.pair(arguments_.first_pair + index).place;
    if (kIsReach) return arguments_.given == nullptr || !is_gpu_plan(arguments_.given[place], arguments_.largest_refinement);
    if (!kIsPowerSeries && !arguments_.keeps_rows) return true;  // has no plan yet
    const Plan plan = arguments_.plan[place];
    return kIsPowerSeries ? plan == gpu_plan(arguments_.degree, cutter_.refinement) : plan >= 0;
  }

  // rows: the pair's. counters: of the pair's strips, or null. Of a group that is not live nothing is kept.
  __device__ void sweep(int64_t index, int strip, bool is_live, T* rows, int32_t* counters, Seen<T>& seen, Seen<T>* shared_seen) const {
    const int64_t number = arguments_.first_pair + (is_live ? index : 0);
    const GpuPair pair = problem_.pair(number);
    const PairIncrements<T> increments(problem_, pair);
    const bool is_last = strip == strips() - 1;
    const int64_t between = arguments_.keeps_rows ? row_numbers() : 0;
    SharedRow<T> row;
    if (is_live) {
      row.read = strip == 0 ? nullptr : rows + (strip - 1) * between;
      row.write = is_last ? nullptr : rows + strip * between;
      row.before = counters == nullptr || strip == 0 ? nullptr : counters + strip - 1;
      row.progress = counters == nullptr ? nullptr : counters + strip;
    }
    const bool decides = !arguments_.keeps_rows;
    const T reach = kIsPowerSeries && decides ? ldexp(arguments_.reach[number], -cutter_.refinement) : T(0);
    if (shared_seen == nullptr && strip == 0) seen = {};
    const T end = Strip::run(increments, problem_, cutter_[strip], lanes_, row, reach, memory_, seen, shared_seen);
    if (!decides || !is_last || !is_live || !lanes_.is_last()) return;
    kIsReach ? decide_first(number, pair, seen) : decide(pair, end, seen);
  }

 private:
  __device__ void decide_first(int64_t number, const GpuPair& pair, const Seen<T>& seen) const {
    const T moment = problem_.is_half_grid() ? 2 * seen.amplitude : seen.amplitude;  // columns are the rows again
    Plan plan = first_gpu_plan(seen.scale, moment, arguments_.tolerance, arguments_.largest_refinement);
    if (arguments_.given != nullptr) {
      if (plan >= 0) plan = gpu_plan(kLastGpuDegree, refinement_of(plan)) | kAnew;
      if (exponent_of(arguments_.given[pair.place]) != 0) plan = kOverflow;
    }
    arguments_.reach[number] = seen.scale;
    arguments_.k[pair.place] = arguments_.k[pair.mirror] = not_a_number<T>();
    arguments_.plan[pair.place] = arguments_.plan[pair.mirror] = plan;
  }

  __device__ void decide(const GpuPair& pair, T value, const Seen<T>& seen) const {
    const Plan plan = !kIsPowerSeries ? (std::isfinite(value) ? 0 : kOverflow)
                      : gpu_plan_after<T>(gpu_plan(arguments_.degree, cutter_.refinement), seen, value, T(cutter_.rows),
                                          arguments_.tolerance, arguments_.largest_refinement);
    if (plan < 0) value = not_a_number<T>();
    arguments_.k[pair.place] = arguments_.k[pair.mirror] = value;
    arguments_.plan[pair.place] = arguments_.plan[pair.mirror] = plan;
  }

  const ForwardArguments<T>& arguments_;
  const GpuProblem<T>& problem_;
  const Lanes& lanes_;
  unsigned char* memory_;
  const StripCutter cutter_;
};

// What the warps of a block share, kBlock.
template <class T>
struct BlockMemory {
  T* row;              // [row_numbers]
  Seen<T>* seen;
  int32_t* counters;   // [strips]

  __host__ __device__ BlockMemory(SharedArena& memory, int row_numbers, int strips)
      : row(memory.take<T>(row_numbers)), seen(memory.take<Seen<T>>(1)), counters(memory.take<int32_t>(strips)) {}
};

// D: see ForwardStrip.
template <class Rule, class T, int R, int D>
__global__ void __launch_bounds__(kWarp * kMostBlockWarps, 1) forward_kernel(ForwardArguments<T> arguments) {
  SIGKERNEL_SHARED_MEMORY(memory);
  const GpuLayout& layout = arguments.layout;
  const Lanes lanes = Lanes::of(threadIdx.x, layout.lanes);
  const int warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  const int tile_bytes = ForwardStrip<Rule, T, R>::tile_bytes(layout.lanes);
  const ForwardTask<Rule, T, R, D> task(arguments, lanes, arguments.refinement, memory + warp * tile_bytes);
  const int strips = task.strips();
  const int64_t pair_numbers = task.row_numbers() * (arguments.keeps_rows ? strips - 1 : 1);
  const int64_t worker = (blockIdx.x * int64_t{warps} + warp) * lanes.groups + lanes.group;
  const bool is_block = layout.sharing == Sharing::kBlock, is_group = layout.sharing == Sharing::kGroup;
  SharedArena behind_tiles(memory, warps * tile_bytes);
  const BlockMemory<T> block(behind_tiles, is_block ? static_cast<int>(task.row_numbers()) : 0, is_block ? strips : 0);
  StripSource source(layout.sharing, lanes, arguments.pairs, strips, false, arguments.ticket, block.counters);
  Seen<T> seen = {};
  int64_t index;
  int strip;
  while (source.next(&index, &strip)) {
    const bool is_live = task.is_wanted(index);
    if (!__any_sync(kAllLanes, is_live)) continue;
    T* rows = is_block ? block.row : arguments.rows + (is_group && !arguments.keeps_rows ? worker : index) * pair_numbers;
    int32_t* counters = is_group ? nullptr : is_block ? block.counters : arguments.counters + index * strips;
    Seen<T>* shared_seen = is_block ? block.seen : is_group || arguments.seen == nullptr ? nullptr : arguments.seen + index;
    if (!is_group) seen = {};
    task.sweep(index, strip, is_live, rows, counters, seen, shared_seen);
  }
}

// The pairs that need a refinement, or are solved anew: a warp for each, which refines until it is content.
template <class T>
__global__ void __launch_bounds__(kWarp, 1) forward_refined_kernel(ForwardArguments<T> arguments) {
  SIGKERNEL_SHARED_MEMORY(memory);
  using Rule = PowerSeries<kLastGpuDegree>;
  const Lanes lanes = Lanes::of(threadIdx.x, kWarp);
  const int64_t worker_numbers = (int64_t{arguments.problem.columns} << arguments.largest_refinement) * Rule::kCoefficients;
  for (int64_t index = blockIdx.x; index < arguments.pairs; index += gridDim.x) {
    const int64_t place = arguments.problem.pair(index).place;
    Plan plan = arguments.plan[place], before = 0;
    bool is_wanted = arguments.is_anew ? plan >= kAnew : is_refined(plan);
    if (is_wanted) plan &= ~kAnew;
    while (is_wanted) {
      const ForwardTask<Rule, T, 1> task(arguments, lanes, refinement_of(plan), memory);
      Seen<T> seen = {};
      for (int strip = 0; strip < task.strips(); ++strip)
        task.sweep(index, strip, true, arguments.rows + blockIdx.x * worker_numbers, nullptr, seen, nullptr);
      __syncwarp();
      before = plan;
      plan = arguments.plan[place];
      is_wanted = plan != before && is_refined(plan);
      __syncwarp();
    }
  }
}

}  // namespace sigkernel
