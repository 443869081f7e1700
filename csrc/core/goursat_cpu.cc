// The solver on the CPU: a block of pairs to the lanes of a SIMD register, threads over blocks.
//
// Blocks are cut by the problem's shape alone, so results do not depend on the number of threads. A power series' degree
// is one for all pairs of a block: a pair's neighbours can change its value by less than the tolerance.

#include "core/goursat.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>
#include <vector>

#include "core/goursat_lanes.h"
#include "core/goursat_plan.h"

namespace sigkernel {
namespace {

// Memory aligned for SIMD registers; grows when asked for more, and then holds nothing.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::free(memory_); }

  // Throws std::bad_alloc.
  void* reserve(int64_t bytes) {
    if (bytes > size_) {
      std::free(memory_);
      size_ = (bytes + 63) / 64 * 64;
      memory_ = std::aligned_alloc(64, size_);
      if (memory_ == nullptr) {
        size_ = 0;
        throw std::bad_alloc();
      }
    }
    return memory_;
  }

  template <class T>
  T* reserve_numbers(int64_t count) {
    return static_cast<T*>(reserve(std::max<int64_t>(count, 1) * sizeof(T)));
  }

 private:
  void* memory_ = nullptr;
  int64_t size_ = 0;
};

// The lanes of a block: problems first .. first + used - 1 of a list. Lanes beyond them repeat the first problem.
struct LaneRange {
  int64_t first;
  int used, lanes;

  static LaneRange of(int64_t block, int lanes, int64_t count) {
    const int64_t first = block * lanes;
    return {first, static_cast<int>(std::min<int64_t>(lanes, count - first)), lanes};
  }
  int64_t operator[](int lane) const { return lane < used ? first + lane : first; }
};

int64_t block_count(int64_t count, int lanes) { return (count + lanes - 1) / lanes; }

// The increments of a range of paths side by side, [segments][channels][lanes].
template <class T>
void pack_increments(const Paths<T>& paths, const LaneRange& range, T* packed) {
  const int64_t size = paths.segments() * paths.channels, channels = paths.channels;
  for (int lane = 0; lane < range.lanes; ++lane) {
    const T* path = paths.values + range[lane] * paths.length * channels;
    for (int64_t e = 0; e < size; ++e) packed[e * range.lanes + lane] = path[e + channels] - path[e];
  }
}

// The increments of one path in every lane.
template <class T>
void repeat_increments(const Paths<T>& paths, int64_t index, int lanes, T* packed) {
  pack_increments(paths, {index, 1, lanes}, packed);
}

// The gradient at a knot is the difference of its two segments'. Accumulates one lane into a path's knots.
template <class T>
void add_knot_gradient(const Paths<T>& paths, const T* packed, int lane, int lanes, T* knots) {
  const int64_t channels = paths.channels, size = paths.segments() * channels;
  if (size == 0) return;
  for (int64_t e = 0; e < channels; ++e) knots[e] -= packed[e * lanes + lane];
  for (int64_t e = channels; e < size; ++e) knots[e] += packed[(e - channels) * lanes + lane] - packed[e * lanes + lane];
  for (int64_t e = size; e < size + channels; ++e) knots[e] += packed[(e - channels) * lanes + lane];
}

// Solves blocks, one after the other, on one thread.
template <class T>
class BlockSolver {
 public:
  BlockSolver(const LaneKernels<T>& kernels, const Solver& solver) : kernels_(kernels), solver_(solver) {}

  // Overwrites value and plan of the block's first `used` lanes.
  void forward(const Block<T>& block, int used, T* value, Plan* plan) try {
    Outcome<T> seen;
    if (solver_.power_series) {
      forward_power_series(block, used, &seen, plan);
    } else {
      sweep(block, scheme_of(0), T(0), &seen);
      std::fill_n(plan, used, 0);
    }
    for (int lane = 0; lane < used; ++lane) {
      value[lane] = seen.value[lane];
      if (plan[lane] >= 0 && !std::isfinite(value[lane])) plan[lane] = kOverflow;
    }
  } catch (const std::bad_alloc&) {
    std::fill_n(plan, used, kOutOfMemory);
  }

  // Of a block with a direction; as forward, and the derivative.
  void directional(const Block<T>& block, int used, T* value, T* tangent, Plan* plan) {
    Block<T> undirected = block;
    undirected.dx_direction = nullptr;
    forward(undirected, used, value, plan);
    if (std::any_of(plan, plan + used, [](Plan p) { return p < 0; })) return;
    Outcome<T> seen;
    try {
      sweep(block, scheme_of(plan[0]), T(0), &seen);  // the lanes were solved together, at one resolution
    } catch (const std::bad_alloc&) {
      std::fill_n(plan, used, kOutOfMemory);
      return;
    }
    for (int lane = 0; lane < used; ++lane) {
      tangent[lane] = seen.tangent[lane];
      if (!std::isfinite(tangent[lane])) plan[lane] = kOverflow;
    }
  }

  // One pair over all lanes. Returns false where that is not offered: it needs a refinement.
  bool forward_alone(const PathPair<T>& pair, T* value, Plan* plan) {
    Outcome<T> seen;
    const auto sweep = [&](const Resolution& now, T reach) {
      if (now.refinement > 0) return false;
      const Scheme scheme{solver_.power_series, now.degree, 0, solver_.gradient};
      void* scratch = scratch_.reserve(kernels_.forward_alone_scratch(pair, scheme));
      kernels_.forward_alone(pair, scheme, reach, scratch, &seen);
      return true;
    };
    if (solver_.power_series) {
      void* scratch = scratch_.reserve(kernels_.forward_alone_scratch(pair, {}));
      const T reach = kernels_.reach_alone(pair, scratch);
      if (!resolve(pair.rows + pair.columns, &reach, 1, &seen, plan, sweep)) return false;
    } else {
      if (!sweep({0, solver_.dyadic_order, true}, T(0))) return false;
      *plan = 0;
    }
    *value = seen.value[0];
    if (*plan >= 0 && !std::isfinite(*value)) *plan = kOverflow;
    return true;
  }

  // Accumulates. upstream: a number for each lane, 0 for those not used. Throws std::bad_alloc.
  void backward(const Block<T>& block, Plan plan, const T* upstream, const BlockGradient<T>& gradient) {
    const Scheme scheme = scheme_of(plan);
    void* scratch = scratch_.reserve(kernels_.backward_scratch(block, scheme));
    kernels_.backward(block, scheme, upstream, scratch, gradient);
  }

 private:
  Scheme scheme_of(Plan plan) const {
    if (!solver_.power_series) return {false, 0, solver_.dyadic_order, solver_.gradient};
    const Resolution resolution = Resolution::of(plan);
    return {true, resolution.degree, resolution.refinement, Gradient::kAdjoint};
  }

  void sweep(const Block<T>& block, const Scheme& scheme, T reach, Outcome<T>* seen) {
    void* scratch = scratch_.reserve(kernels_.forward_scratch(block, scheme));
    kernels_.forward(block, scheme, reach, scratch, seen);
  }

  void forward_power_series(const Block<T>& block, int used, Outcome<T>* seen, Plan* plan) {
    T reaches[kMaxLanes];
    kernels_.reach(block, scratch_.reserve(kernels_.reach_scratch(block)), reaches);
    const auto solve = [&](const Resolution& now, T reach) {
      sweep(block, {true, now.degree, now.refinement, Gradient::kAdjoint}, reach, seen);
      return true;
    };
    resolve(block.rows + block.columns, reaches, used, seen, plan, solve);
  }

  // Sweeps at finer and finer resolutions until all lanes meet the tolerance. sweep(resolution, reach) returns false
  // where it does not offer that resolution; then this returns false, too.
  template <class Sweep>
  bool resolve(int64_t edges, const T* reaches, int used, Outcome<T>* seen, Plan* plan, const Sweep& sweep) {
    T reach = 0;
    for (int lane = 0; lane < used; ++lane) {
      const bool is_finite = std::isfinite(reaches[lane]);
      plan[lane] = is_finite ? ResolutionSearch<T>(solver_.tolerance, reaches[lane], edges).first().plan() : kOverflow;
      if (plan[lane] >= 0) reach = std::max(reach, reaches[lane]);
    }
    const ResolutionSearch<T> search(solver_.tolerance, reach, edges);
    Resolution now = search.first();
    while (true) {
      if (!sweep(now, static_cast<T>(search.reach(now.refinement)))) return false;
      bool tail_is_small = true, rounding_is_small = true;
      for (int lane = 0; lane < used; ++lane) {
        if (plan[lane] < 0) continue;
        if (!std::isfinite(seen->value[lane]) || !std::isfinite(seen->amplitude[lane])) {
          plan[lane] = kOverflow;
          continue;
        }
        tail_is_small &= search.tail_is_small(*seen, lane);
        rounding_is_small &= search.rounding_is_small(*seen, lane);
      }
      if (tail_is_small && rounding_is_small) break;
      const Resolution next = rounding_is_small ? search.with_next_degree(now) : search.with_next_refinement(now);
      if (!next.reached) {
        for (int lane = 0; lane < used; ++lane) {
          const bool is_met = search.tail_is_small(*seen, lane) && search.rounding_is_small(*seen, lane);
          if (plan[lane] >= 0 && !is_met) plan[lane] = kUnreached;
        }
        break;
      }
      now = next;
    }
    for (int lane = 0; lane < used; ++lane)
      if (plan[lane] >= 0) plan[lane] = now.plan();
    return true;
  }

  const LaneKernels<T>& kernels_;
  const Solver solver_;
  Scratch scratch_;
};

// Of a block of pairs that were solved together, or, under other lanes, apart: a resolution that serves them all.
Plan common_plan(const Plan* plans, const int64_t* places, int used) {
  Resolution common = Resolution::of(0);
  for (int lane = 0; lane < used; ++lane) {
    const Resolution one = Resolution::of(plans[places[lane]]);
    common.degree = std::max(common.degree, one.degree);
    common.refinement = std::max(common.refinement, one.refinement);
  }
  return common.plan();
}

// Rough nanoseconds for one block, for the thread pool to cut its ranges by.
int64_t cost_of(const Solver& solver, int64_t rows, int64_t columns) {
  const int64_t cell = solver.power_series ? 60 : int64_t{6} << (2 * solver.dyadic_order);
  return 1000 + cell * rows * columns;
}

// Pairs (X_b, Y_b), or (X_b, X_b): a path belongs to one pair.
template <class T>
class Pairs {
 public:
  Pairs(const KernelProblem<T>& problem, const LaneKernels<T>& kernels) : problem_(problem), kernels_(kernels) {}

  int64_t blocks() const { return block_count(problem_.X.count, kernels_.lanes); }

  // Few pairs of long paths are better solved one by one.
  bool are_few() const {
    const int64_t shortest = std::min(problem_.X.segments(), problem_.Y.segments());
    return 2 * problem_.X.count <= kernels_.lanes && shortest >= 4 * kernels_.lanes;
  }

  void forward_one_by_one(int64_t begin, int64_t end, T* k, Plan* plan) const {
    BlockSolver<T> solver(kernels_, problem_.solver);
    const Paths<T>&X = problem_.X, &Y = problem_.Y;
    for (int64_t b = begin; b < end; ++b) {
      const PathPair<T> pair{X.values + b * X.length * X.channels, Y.values + b * Y.length * Y.channels, X.segments(),
                             Y.segments(), X.channels};
      if (solver.forward_alone(pair, k + b, plan + b)) continue;
      Scratch memory;
      solver.forward(packed({b, 1, kernels_.lanes}, memory), 1, k + b, plan + b);
    }
  }

  void forward(int64_t begin, int64_t end, T* k, Plan* plan) const {
    BlockSolver<T> solver(kernels_, problem_.solver);
    Scratch memory;
    for (int64_t b = begin; b < end; ++b) {
      const LaneRange range = LaneRange::of(b, kernels_.lanes, problem_.X.count);
      solver.forward(packed(range, memory), range.used, k + range.first, plan + range.first);
    }
  }

  void directional(int64_t begin, int64_t end, const T* direction, T* k, T* tangent, Plan* plan) const {
    BlockSolver<T> solver(kernels_, problem_.solver);
    Scratch memory, direction_memory;
    Paths<T> displacements = problem_.X;
    displacements.values = direction;
    T* packed_direction = direction_memory.reserve_numbers<T>(x_size());
    for (int64_t b = begin; b < end; ++b) {
      const LaneRange range = LaneRange::of(b, kernels_.lanes, problem_.X.count);
      Block<T> block = packed(range, memory);
      pack_increments(displacements, range, packed_direction);
      block.dx_direction = packed_direction;
      solver.directional(block, range.used, k + range.first, tangent + range.first, plan + range.first);
    }
  }

  void backward(int64_t begin, int64_t end, const Plan* plan, const T* upstream, T* dX, T* dY) const {
    BlockSolver<T> solver(kernels_, problem_.solver);
    Scratch memory, gradient_memory;
    const bool symmetric = problem_.is_symmetric();
    for (int64_t b = begin; b < end; ++b) {
      const LaneRange range = LaneRange::of(b, kernels_.lanes, problem_.X.count);
      T* dx = gradient_memory.reserve_numbers<T>(x_size() + y_size());
      std::fill_n(dx, x_size() + y_size(), T(0));
      T* dy = symmetric ? dx : dx + x_size();
      T scales[kMaxLanes] = {};
      int64_t places[kMaxLanes];
      for (int lane = 0; lane < range.used; ++lane) {
        places[lane] = range[lane];
        scales[lane] = upstream[range[lane]];
      }
      solver.backward(packed(range, memory), common_plan(plan, places, range.used), scales, {dx, dy, {}});
      for (int lane = 0; lane < range.used; ++lane) {
        const Paths<T>&X = problem_.X, &Y = problem_.Y;
        add_knot_gradient(X, dx, lane, range.lanes, dX + range[lane] * X.length * X.channels);
        if (!symmetric) add_knot_gradient(Y, dy, lane, range.lanes, dY + range[lane] * Y.length * Y.channels);
      }
    }
  }

 private:
  int64_t x_size() const { return problem_.X.segments() * problem_.X.channels * kernels_.lanes; }
  int64_t y_size() const {
    return problem_.is_symmetric() ? 0 : problem_.Y.segments() * problem_.Y.channels * kernels_.lanes;
  }

  Block<T> packed(const LaneRange& range, Scratch& memory) const {
    T* dx = memory.reserve_numbers<T>(x_size() + y_size());
    pack_increments(problem_.X, range, dx);
    Block<T> block;
    block.rows = problem_.X.segments();
    block.columns = problem_.Y.segments();
    block.symmetric = problem_.is_symmetric();
    block.channels = problem_.X.channels;
    block.dx = block.dy = dx;
    if (!block.symmetric) {
      pack_increments(problem_.Y, range, dx + x_size());
      block.dy = dx + x_size();
    }
    return block;
  }

  const KernelProblem<T>& problem_;
  const LaneKernels<T>& kernels_;
};

// All pairs of two sets of paths: one path against a block of others, whose increments are packed once for many.
template <class T>
class Gram {
 public:
  Gram(const KernelProblem<T>& problem, const LaneKernels<T>& kernels)
      : solver_(problem.solver), kernels_(kernels), symmetric_(problem.is_symmetric()),
        swapped_(!symmetric_ && unused_lanes(problem.X) < unused_lanes(problem.Y)),
        single_(swapped_ ? problem.Y : problem.X), block_(swapped_ ? problem.X : problem.Y),
        single_stride_(swapped_ ? 1 : problem.Y.count), block_stride_(swapped_ ? problem.Y.count : 1) {}

  // A task: a block of paths against a chunk of the single ones.
  int64_t tasks() const { return block_count(block_.count, kernels_.lanes) * chunks(); }

  int64_t cost() const { return kChunk * cost_of(solver_, single_.segments(), block_.segments()); }

  void forward(int64_t begin, int64_t end, T* k, Plan* plan) const {
    BlockSolver<T> solver(kernels_, solver_);
    Scratch memory;
    for_each_block(begin, end, memory, [&](const Block<T>& block, const LaneRange& range, int64_t single, bool) {
      T values[kMaxLanes];
      Plan plans[kMaxLanes];
      solver.forward(block, range.used, values, plans);
      for (int lane = 0; lane < range.used; ++lane) {
        if (is_mirrored(single, range[lane])) continue;
        for (const int64_t at : {place(single, range[lane]), mirror(single, range[lane])}) {
          k[at] = values[lane];
          plan[at] = plans[lane];
        }
      }
    });
  }

  // Gradients of the two sets: accumulated into, knots. The same array where the sets are one.
  void backward(int64_t begin, int64_t end, int64_t stride, const Plan* plan, const T* upstream, T* d_single,
                T* d_block) const {
    BlockSolver<T> solver(kernels_, solver_);
    Scratch memory, gradient_memory;
    const int lanes = kernels_.lanes;
    const int64_t single_size = single_.segments() * single_.channels * lanes;
    const int64_t block_size = block_.segments() * block_.channels * lanes;
    T* dx = gradient_memory.reserve_numbers<T>(single_size + block_size);
    T* dy = dx + single_size;
    std::fill_n(dy, block_size, T(0));
    for (int64_t task = begin; task < end; task += stride) {
      for_each_block(task, task + 1, memory, [&](const Block<T>& block, const LaneRange& range, int64_t single,
                                                 bool is_last) {
        T scales[kMaxLanes] = {};
        int64_t places[kMaxLanes];
        for (int lane = 0; lane < range.used; ++lane) {
          const int64_t at = place(single, range[lane]), mirrored = mirror(single, range[lane]);
          // A pair below the diagonal was not solved in this place, but its mirror image was.
          places[lane] = at;
          if (!is_mirrored(single, range[lane])) scales[lane] = upstream[at] + (mirrored == at ? T(0) : upstream[mirrored]);
        }
        std::fill_n(dx, single_size, T(0));
        solver.backward(block, common_plan(plan, places, range.used), scales, {dx, dy, {}});
        for (int lane = 0; lane < range.used; ++lane)
          add_knot_gradient(single_, dx, lane, lanes, d_single + single * single_.length * single_.channels);
        if (!is_last) return;
        for (int lane = 0; lane < range.used; ++lane)
          add_knot_gradient(block_, dy, lane, lanes, d_block + range[lane] * block_.length * block_.channels);
        std::fill_n(dy, block_size, T(0));
      });
    }
  }

  bool swapped() const { return swapped_; }

 private:
  static constexpr int64_t kChunk = 32;

  int64_t chunks() const { return (single_.count + kChunk - 1) / kChunk; }

  int64_t unused_lanes(const Paths<T>& paths) const {
    // Per path: what a set of paths leaves idle, in thousandths of a lane.
    return paths.count == 0 ? 0 : 1000 * block_count(paths.count, kernels_.lanes) * kernels_.lanes / paths.count;
  }

  bool is_mirrored(int64_t single, int64_t column) const { return symmetric_ && column < single; }
  int64_t place(int64_t single, int64_t column) const { return single * single_stride_ + column * block_stride_; }
  int64_t mirror(int64_t single, int64_t column) const {
    return symmetric_ ? place(column, single) : place(single, column);
  }

  // visit(block, range, single, is_last) for the blocks of tasks begin .. end - 1; is_last: of its task.
  template <class Visit>
  void for_each_block(int64_t begin, int64_t end, Scratch& memory, const Visit& visit) const {
    const int64_t single_size = single_.segments() * single_.channels * kernels_.lanes;
    const int64_t block_size = block_.segments() * block_.channels * kernels_.lanes;
    T* dx = memory.reserve_numbers<T>(single_size + block_size);
    T* dy = dx + single_size;
    Block<T> block;
    block.rows = single_.segments();
    block.columns = block_.segments();
    block.channels = single_.channels;
    block.dx = dx;
    block.dy = dy;
    for (int64_t task = begin; task < end; ++task) {
      const LaneRange range = LaneRange::of(task / chunks(), kernels_.lanes, block_.count);
      const int64_t first = task % chunks() * kChunk;
      int64_t last = std::min(first + kChunk, single_.count);
      if (symmetric_) last = std::min(last, range.first + range.used);
      if (first >= last) continue;
      pack_increments(block_, range, dy);
      for (int64_t single = first; single < last; ++single) {
        repeat_increments(single_, single, kernels_.lanes, dx);
        visit(block, range, single, single == last - 1);
      }
    }
  }

  const Solver solver_;
  const LaneKernels<T>& kernels_;
  const bool symmetric_, swapped_;
  const Paths<T> single_, block_;
  const int64_t single_stride_, block_stride_;
};

// Sums over the pairs of a Gram matrix are gathered in a fixed number of parts, each of its own, and added up in order at
// the end: no race, and the same result for any number of threads.
constexpr int64_t kGramParts = 16;

template <class T>
void gram_backward(const KernelProblem<T>& problem, const Gram<T>& gram, const ParallelFor& parallel_for,
                   const Plan* plan, const T* upstream, std::atomic<bool>& has_memory, T* dX, T* dY) {
  const int64_t parts = std::min(kGramParts, gram.tasks());
  if (parts == 0) return;
  const int64_t x_size = problem.X.size(), y_size = problem.is_symmetric() ? 0 : problem.Y.size();
  std::vector<T> sums(parts * (x_size + y_size));
  parallel_for(parts, 4 * gram.cost() * (gram.tasks() / parts), [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      T* x = sums.data() + part * (x_size + y_size);
      T* y = problem.is_symmetric() ? x : x + x_size;
      try {
        gram.backward(part, gram.tasks(), parts, plan, upstream, gram.swapped() ? y : x, gram.swapped() ? x : y);
      } catch (const std::bad_alloc&) {  // an exception must not leave a thread of the pool
        has_memory = false;
      }
    }
  });
  for (int64_t part = 0; part < parts; ++part) {
    const T* x = sums.data() + part * (x_size + y_size);
    for (int64_t i = 0; i < x_size; ++i) dX[i] += x[i];
    for (int64_t i = 0; i < y_size; ++i) dY[i] += x[x_size + i];
  }
}

}  // namespace

template <class T>
void signature_kernel(const KernelProblem<T>& problem, const ParallelFor& parallel_for, T* k, Plan* plan) {
  const LaneKernels<T>& kernels = lane_kernels<T>();
  std::atomic<bool> has_memory{true};
  const auto guarded = [&](const auto& body) {
    return [&has_memory, body](int64_t begin, int64_t end) {
      try {
        body(begin, end);
      } catch (const std::bad_alloc&) {
        has_memory = false;
      }
    };
  };
  if (problem.is_gram()) {
    const Gram<T> gram(problem, kernels);
    parallel_for(gram.tasks(), gram.cost(),
                 guarded([&](int64_t begin, int64_t end) { gram.forward(begin, end, k, plan); }));
  } else {
    const Pairs<T> pairs(problem, kernels);
    const int64_t cost = cost_of(problem.solver, problem.X.segments(), problem.Y.segments());
    if (pairs.are_few()) {
      parallel_for(problem.X.count, cost, guarded([&](int64_t begin, int64_t end) {
        pairs.forward_one_by_one(begin, end, k, plan);
      }));
    } else {
      parallel_for(pairs.blocks(), cost, guarded([&](int64_t begin, int64_t end) { pairs.forward(begin, end, k, plan); }));
    }
  }
  if (!has_memory) std::fill_n(plan, problem.pairs(), kOutOfMemory);
}

template <class T>
void signature_kernel_directional(const KernelProblem<T>& problem, const T* direction, const ParallelFor& parallel_for,
                                  T* k, T* tangent, Plan* plan) {
  const Pairs<T> pairs(problem, lane_kernels<T>());
  std::atomic<bool> has_memory{true};
  const int64_t cost = 4 * cost_of(problem.solver, problem.X.segments(), problem.Y.segments());
  parallel_for(pairs.blocks(), cost, [&](int64_t begin, int64_t end) {
    try {
      pairs.directional(begin, end, direction, k, tangent, plan);
    } catch (const std::bad_alloc&) {
      has_memory = false;
    }
  });
  if (!has_memory) std::fill_n(plan, problem.pairs(), kOutOfMemory);
}

template <class T>
bool signature_kernel_backward(const KernelProblem<T>& problem, const ParallelFor& parallel_for, const Plan* plan,
                               const T* upstream, T* dX, T* dY) try {
  const LaneKernels<T>& kernels = lane_kernels<T>();
  std::atomic<bool> has_memory{true};
  std::fill_n(dX, problem.X.size(), T(0));
  if (!problem.is_symmetric()) std::fill_n(dY, problem.Y.size(), T(0));
  if (problem.is_gram()) {
    gram_backward(problem, Gram<T>(problem, kernels), parallel_for, plan, upstream, has_memory, dX, dY);
    return has_memory;
  }
  const Pairs<T> pairs(problem, kernels);
  const int64_t cost = 4 * cost_of(problem.solver, problem.X.segments(), problem.Y.segments());
  parallel_for(pairs.blocks(), cost, [&](int64_t begin, int64_t end) {
    try {
      pairs.backward(begin, end, plan, upstream, dX, dY);
    } catch (const std::bad_alloc&) {
      has_memory = false;
    }
  });
  return has_memory;
} catch (const std::bad_alloc&) {
  return false;
}

namespace {

template <class T>
Block<T> given_block(const GoursatProblem<T>& problem, const LaneRange& range) {
  Block<T> block;
  block.kind = IncrementsKind::kGiven;
  block.rows = problem.rows;
  block.columns = problem.columns;
  for (int lane = 0; lane < range.lanes; ++lane)
    block.given[lane] = problem.increments + range[lane] * problem.rows * problem.columns;
  return block;
}

}  // namespace

template <class T>
void solve_goursat(const GoursatProblem<T>& problem, const ParallelFor& parallel_for, T* k, Plan* plan) {
  const LaneKernels<T>& kernels = lane_kernels<T>();
  const int64_t cost = cost_of(problem.solver, problem.rows, problem.columns);
  parallel_for(block_count(problem.count, kernels.lanes), cost, [&](int64_t begin, int64_t end) {
    BlockSolver<T> solver(kernels, problem.solver);
    for (int64_t b = begin; b < end; ++b) {
      const LaneRange range = LaneRange::of(b, kernels.lanes, problem.count);
      solver.forward(given_block(problem, range), range.used, k + range.first, plan + range.first);
    }
  });
}

template <class T>
bool solve_goursat_backward(const GoursatProblem<T>& problem, const ParallelFor& parallel_for, const Plan* plan,
                            const T* upstream, T* d_increments) {
  const LaneKernels<T>& kernels = lane_kernels<T>();
  const int64_t size = problem.rows * problem.columns;
  std::fill_n(d_increments, problem.count * size, T(0));
  std::atomic<bool> has_memory{true};
  const int64_t cost = 4 * cost_of(problem.solver, problem.rows, problem.columns);
  parallel_for(block_count(problem.count, kernels.lanes), cost, [&](int64_t begin, int64_t end) {
    BlockSolver<T> solver(kernels, problem.solver);
    try {
      for (int64_t b = begin; b < end; ++b) {
        const LaneRange range = LaneRange::of(b, kernels.lanes, problem.count);
        BlockGradient<T> gradient;
        T scales[kMaxLanes] = {};
        int64_t places[kMaxLanes];
        for (int lane = 0; lane < range.used; ++lane) {
          places[lane] = range[lane];
          scales[lane] = upstream[range[lane]];
          gradient.given[lane] = d_increments + range[lane] * size;
        }
        solver.backward(given_block(problem, range), common_plan(plan, places, range.used), scales, gradient);
      }
    } catch (const std::bad_alloc&) {
      has_memory = false;
    }
  });
  return has_memory;
}

#define SIGKERNEL_INSTANTIATE(T)                                                                                   \
  template void signature_kernel<T>(const KernelProblem<T>&, const ParallelFor&, T*, Plan*);                       \
  template void signature_kernel_directional<T>(const KernelProblem<T>&, const T*, const ParallelFor&, T*, T*, Plan*); \
  template bool signature_kernel_backward<T>(const KernelProblem<T>&, const ParallelFor&, const Plan*, const T*,   \
                                             T*, T*);                                                              \
  template void solve_goursat<T>(const GoursatProblem<T>&, const ParallelFor&, T*, Plan*);                         \
  template bool solve_goursat_backward<T>(const GoursatProblem<T>&, const ParallelFor&, const Plan*, const T*, T*);
SIGKERNEL_INSTANTIATE(float)
SIGKERNEL_INSTANTIATE(double)
#undef SIGKERNEL_INSTANTIATE

}  // namespace sigkernel
