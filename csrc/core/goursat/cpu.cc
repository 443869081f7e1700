// The solver on the CPU: a block of pairs is solved by the lanes of a SIMD register, and threads share the blocks.
//
// How blocks are cut depends only on the problem's shape, so results do not depend on the number of threads. All pairs
// of a block have the same degree of the power series, so a pair's neighbours can change its value, but by less than
// the tolerance.

#include "core/goursat/goursat.h"

#include <algorithm>
#include <vector>

#include "core/arithmetic.h"
#include "core/goursat/block_solver.h"
#include "core/goursat/loops.h"
#include "core/goursat/one_channel_cpu.h"
#include "core/goursat/pairs.h"
#include "core/goursat/unsolved_pairs.h"

namespace sigkernel {
namespace {

// About how many nanoseconds a block takes, by which the thread pool cuts its ranges.
int64_t cost_of(const Solver& solver, int64_t rows, int64_t columns) {
  const int64_t cell = solver.power_series ? 60 : int64_t{6} << (2 * solver.dyadic_order);
  return 1000 + cell * rows * columns;
}

// All pairs of two sets of paths: one path is taken with a block of others, whose increments are packed once for many.
template <class T>
class Gram {
 public:
  Gram(const KernelProblem<T>& problem, const GoursatLoops<T>& loops)
      : solver_(problem.solver), loops_(loops), packing_(problem, loops, loops.lanes), symmetric_(problem.is_symmetric()),
        swapped_(!symmetric_ && unused_lanes(problem.X) < unused_lanes(problem.Y)),
        single_(swapped_ ? problem.Y : problem.X), block_(swapped_ ? problem.X : problem.Y),
        single_stride_(swapped_ ? 1 : problem.Y.count), block_stride_(swapped_ ? problem.Y.count : 1),
        single_size_(packing_.size(single_)), block_size_(packing_.size(block_)) {}

  // A task takes a block of paths with a chunk of the single ones.
  int64_t tasks() const { return parts_of(block_.count, loops_.lanes) * chunks(); }

  int64_t cost() const { return kChunk * cost_of(solver_, single_.length, block_.length); }

  // weights: written where they are wanted.
  void forward(int64_t begin, int64_t end, T* k, Plan* plan, const ErrorWeights<T>& weights) const {
    BlockSolver<T> solver(loops_, solver_);
    Scratch memory;
    const bool weighs = weights.are_wanted();
    for_each_block(begin, end, memory, weighs, [&](const Block<T>& block, const LaneRange& range, int64_t single,
                                                   bool) {
      T values[kMaxLanes];
      Plan plans[kMaxLanes];
      LaneWeights<T> found = {};
      const bool is_skipped = unsolved_.are_before(place(single, range.first));
      if (is_skipped) {
        std::fill_n(values, range.used, T(0));
        std::fill_n(plans, range.used, kSkipped);
      } else {
        solver.forward(block, range.used, values, plans, weighs ? &found : nullptr);
      }
      for (int lane = 0; lane < range.used; ++lane) {
        if (is_mirrored(single, range[lane])) continue;
        unsolved_.take(place(single, range[lane]), plans[lane]);
        for (const int64_t at : {place(single, range[lane]), mirror(single, range[lane])}) {
          k[at] = values[lane];
          plan[at] = plans[lane];
          if (weighs) write_weights(found, lane, weights, at);
        }
      }
    });
  }

  // Accumulates into the gradients of the two sets, the same array where the sets are one, of the variance and of the
  // windows' factors.
  void backward(int64_t begin, int64_t end, int64_t stride, const Plan* plan, const T* upstream, T* d_single,
                T* d_block, T* d_variance, T* d_factors) const {
    BlockSolver<T> solver(loops_, solver_);
    Scratch memory, gradient_memory;
    T* x = gradient_memory.reserve_numbers<T>(single_size_ + block_size_);
    T* y = x + single_size_;
    std::fill_n(y, block_size_, T(0));
    for (int64_t task = begin; task < end; task += stride) {
      for_each_block(task, task + 1, memory, false, [&](const Block<T>& block, const LaneRange& range, int64_t single,
                                                        bool is_last) {
        T scales[kMaxLanes] = {};
        int64_t places[kMaxLanes];
        for (int lane = 0; lane < range.used; ++lane) {
          const int64_t at = place(single, range[lane]), mirrored = mirror(single, range[lane]);
          // A pair below the diagonal was not solved in this place, but its mirror image was.
          places[lane] = at;
          if (!is_mirrored(single, range[lane])) scales[lane] = upstream[at] + (mirrored == at ? T(0) : upstream[mirrored]);
        }
        std::fill_n(x, single_size_, T(0));
        alignas(64) T variance[kMaxLanes] = {};
        solver.backward(block, {plan, places, range.used}, scales, {x, y, variance, {}});
        packing_.add_gradient(single_, x, {0, range.used, loops_.lanes}, single, d_single, d_factors);
        for (int lane = 0; lane < range.used; ++lane) *d_variance += variance[lane];
        if (!is_last) return;
        for (int lane = 0; lane < range.used; ++lane)
          packing_.add_gradient(block_, y, {lane, 1, loops_.lanes}, range[lane], d_block, d_factors);
        std::fill_n(y, block_size_, T(0));
      });
    }
  }

  bool swapped() const { return swapped_; }

 private:
  static constexpr int64_t kChunk = 32;

  int64_t chunks() const { return parts_of(single_.count, kChunk); }

  int64_t unused_lanes(const Paths<T>& paths) const {
    // For each path, what a set of paths leaves idle, in thousandths of a lane.
    return paths.count == 0 ? 0 : 1000 * parts_of(paths.count, loops_.lanes) * loops_.lanes / paths.count;
  }

  bool is_mirrored(int64_t single, int64_t column) const { return symmetric_ && column < single; }
  int64_t place(int64_t single, int64_t column) const { return single * single_stride_ + column * block_stride_; }
  int64_t mirror(int64_t single, int64_t column) const {
    return symmetric_ ? place(column, single) : place(single, column);
  }

  // visit(block, range, single, is_last) for the blocks of tasks begin .. end - 1; is_last: of its task. weighs:
  // whether the blocks have the rounding of their increments.
  template <class Visit>
  void for_each_block(int64_t begin, int64_t end, Scratch& memory, bool weighs, const Visit& visit) const {
    const int64_t single_rounding = weighs ? packing_.rounding_size(single_) : 0;
    const int64_t block_rounding = weighs ? packing_.rounding_size(block_) : 0;
    T* x = memory.reserve_numbers<T>(single_size_ + block_size_ + single_rounding + block_rounding);
    T *y = x + single_size_, *x_rounding = y + block_size_, *y_rounding = x_rounding + single_rounding;
    const Block<T> block =
        packing_.block(single_, block_, x, y, weighs ? x_rounding : nullptr, weighs ? y_rounding : nullptr);
    for (int64_t task = begin; task < end; ++task) {
      const LaneRange range = LaneRange::of(task / chunks(), loops_.lanes, block_.count);
      const int64_t first = task % chunks() * kChunk;
      int64_t last = std::min(first + kChunk, single_.count);
      if (symmetric_) last = std::min(last, range.first + range.used);
      if (first >= last) continue;
      packing_.pack(block_, range, y);
      if (weighs) packing_.pack_rounding(block_, range, y_rounding);
      for (int64_t single = first; single < last; ++single) {
        packing_.repeat(single_, single, x);
        if (weighs) packing_.pack_rounding(single_, {single, 1, loops_.lanes}, x_rounding);
        visit(block, range, single, single == last - 1);
      }
    }
  }

  const Solver solver_;
  const GoursatLoops<T>& loops_;
  const Packing<T> packing_;
  const bool symmetric_, swapped_;
  const Paths<T> single_, block_;
  const int64_t single_stride_, block_stride_, single_size_, block_size_;
  mutable UnsolvedPairs unsolved_;  // of a forward pass
};

// Sums over the pairs of a Gram matrix are gathered in a fixed number of parts, each of its own, and added up in order at
// the end: no race, and the same result for any number of threads.
constexpr int64_t kGramParts = 16;

template <class T>
void gram_backward(const KernelProblem<T>& problem, const Gram<T>& gram, const ParallelFor& parallel_for,
                   const Plan* plan, const T* upstream, T* dX, T* dY, T* d_variance, T* d_factors) {
  const int64_t parts = std::min(kGramParts, gram.tasks());
  if (parts == 0) return;
  const int64_t x_size = problem.X.size(), y_size = problem.is_symmetric() ? 0 : problem.Y.size();
  const int64_t factors = problem.num_factors(), rest = x_size + y_size;
  const int64_t size = rest + factors + 1;  // and the variance
  std::vector<T> sums(parts * size);
  run_and_rethrow(parallel_for, parts, 4 * gram.cost() * (gram.tasks() / parts), [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      T* x = sums.data() + part * size;
      T* y = problem.is_symmetric() ? x : x + x_size;
      gram.backward(part, gram.tasks(), parts, plan, upstream, gram.swapped() ? y : x, gram.swapped() ? x : y,
                    x + size - 1, x + rest);
    }
  });
  for (int64_t part = 0; part < parts; ++part) {
    const T* x = sums.data() + part * size;
    for (int64_t i = 0; i < x_size; ++i) dX[i] += x[i];
    for (int64_t i = 0; i < y_size; ++i) dY[i] += x[x_size + i];
    for (int64_t i = 0; i < factors; ++i) d_factors[i] += x[rest + i];
    *d_variance += x[size - 1];
  }
}

}  // namespace

template <class T>
void signature_kernel(const KernelProblem<T>& problem, const ParallelFor& parallel_for, T* k, Plan* plan,
                      const ErrorWeights<T>& weights) {
  if (OneChannel<T>::serves(problem)) return one_channel_forward(problem, parallel_for, k, plan, weights);
  const GoursatLoops<T>& loops = goursat_loops<T>();
  if (problem.is_gram()) {
    const Gram<T> gram(problem, loops);
    run_and_rethrow(parallel_for, gram.tasks(), gram.cost(),
                    [&](int64_t begin, int64_t end) { gram.forward(begin, end, k, plan, weights); });
    return;
  }
  const Pairs<T> pairs(problem, loops);
  const int64_t cost = cost_of(problem.solver, problem.rows(), problem.columns());
  const bool are_few = pairs.are_few();
  run_and_rethrow(parallel_for, are_few ? problem.X.count : pairs.blocks(), weights.are_wanted() ? 2 * cost : cost,
                  [&](int64_t begin, int64_t end) {
                    are_few ? pairs.forward_one_by_one(begin, end, k, plan, weights)
                            : pairs.forward(begin, end, k, plan, weights);
                  });
}

template <class T>
void signature_kernel_directional(const KernelProblem<T>& problem, const T* direction, const ParallelFor& parallel_for,
                                  T* k, T* tangent, Plan* plan) {
  if (OneChannel<T>::serves(problem)) {
    return one_channel_directional(problem, direction, parallel_for, k, tangent, plan);
  }
  const Pairs<T> pairs(problem, goursat_loops<T>());
  const int64_t cost = 4 * cost_of(problem.solver, problem.rows(), problem.columns());
  run_and_rethrow(parallel_for, pairs.blocks(), cost, [&](int64_t begin, int64_t end) {
    pairs.directional(begin, end, direction, k, tangent, plan);
  });
}

template <class T>
void signature_kernel_backward(const KernelProblem<T>& problem, const ParallelFor& parallel_for, const Plan* plan,
                               const T* upstream, T* dX, T* dY, T* d_variance, T* d_factors) {
  std::fill_n(dX, problem.X.size(), T(0));
  if (!problem.is_symmetric()) std::fill_n(dY, problem.Y.size(), T(0));
  *d_variance = 0;
  const int64_t factors = problem.num_factors();
  std::fill_n(d_factors, factors, T(0));
  if (OneChannel<T>::serves(problem)) return one_channel_backward(problem, parallel_for, plan, upstream, dX, dY);
  const GoursatLoops<T>& loops = goursat_loops<T>();
  if (problem.is_gram()) {
    gram_backward(problem, Gram<T>(problem, loops), parallel_for, plan, upstream, dX, dY, d_variance,
                  d_factors);
    return;
  }
  const Pairs<T> pairs(problem, loops);
  std::vector<T> variances(problem.pairs()), of_factors(problem.pairs() * factors);
  const int64_t cost = 4 * cost_of(problem.solver, problem.rows(), problem.columns());
  run_and_rethrow(parallel_for, pairs.blocks(), cost, [&](int64_t begin, int64_t end) {
    pairs.backward(begin, end, plan, upstream, dX, dY, variances.data(), of_factors.data());
  });
  for (const T one : variances) *d_variance += one;
  for (int64_t n = 0; n < problem.pairs() * factors; ++n) d_factors[n % factors] += of_factors[n];
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
void solve_goursat(const GoursatProblem<T>& problem, const ParallelFor& parallel_for, T* k, Plan* plan,
                   const ErrorWeights<T>& weights) {
  const GoursatLoops<T>& loops = goursat_loops<T>();
  const int64_t cost = cost_of(problem.solver, problem.rows, problem.columns);
  UnsolvedPairs unsolved;
  run_and_rethrow(parallel_for, parts_of(problem.count, loops.lanes), cost, [&](int64_t begin, int64_t end) {
    BlockSolver<T> solver(loops, problem.solver);
    for (int64_t b = begin; b < end; ++b) {
      const LaneRange range = LaneRange::of(b, loops.lanes, problem.count);
      if (unsolved.skips(range, plan)) continue;
      LaneWeights<T> found;
      solver.forward(given_block(problem, range), range.used, k + range.first, plan + range.first,
                     weights.are_wanted() ? &found : nullptr);
      unsolved.take(range, plan);
      if (!weights.are_wanted()) continue;
      for (int lane = 0; lane < range.used; ++lane) write_weights(found, lane, weights, range[lane]);
    }
  });
}

template <class T>
void solve_goursat_backward(const GoursatProblem<T>& problem, const ParallelFor& parallel_for, const Plan* plan,
                            const T* upstream, T* d_increments) {
  const GoursatLoops<T>& loops = goursat_loops<T>();
  const int64_t size = problem.rows * problem.columns;
  std::fill_n(d_increments, problem.count * size, T(0));
  const int64_t cost = 4 * cost_of(problem.solver, problem.rows, problem.columns);
  run_and_rethrow(parallel_for, parts_of(problem.count, loops.lanes), cost, [&](int64_t begin, int64_t end) {
    BlockSolver<T> solver(loops, problem.solver);
    for (int64_t b = begin; b < end; ++b) {
      const LaneRange range = LaneRange::of(b, loops.lanes, problem.count);
      BlockGradient<T> gradient;
      T scales[kMaxLanes] = {};
      int64_t places[kMaxLanes];
      for (int lane = 0; lane < range.used; ++lane) {
        places[lane] = range[lane];
        scales[lane] = upstream[range[lane]];
        gradient.given[lane] = d_increments + range[lane] * size;
      }
      solver.backward(given_block(problem, range), {plan, places, range.used}, scales, gradient);
    }
  });
}

#define SIGKERNEL_INSTANTIATE(T)                                                                                   \
  template void signature_kernel<T>(const KernelProblem<T>&, const ParallelFor&, T*, Plan*, const ErrorWeights<T>&); \
  template void signature_kernel_directional<T>(const KernelProblem<T>&, const T*, const ParallelFor&, T*, T*, Plan*); \
  template void signature_kernel_backward<T>(const KernelProblem<T>&, const ParallelFor&, const Plan*, const T*,   \
                                             T*, T*, T*, T*);                                                      \
  template void solve_goursat<T>(const GoursatProblem<T>&, const ParallelFor&, T*, Plan*, const ErrorWeights<T>&);  \
  template void solve_goursat_backward<T>(const GoursatProblem<T>&, const ParallelFor&, const Plan*, const T*, T*);
SIGKERNEL_INSTANTIATE(float)
SIGKERNEL_INSTANTIATE(double)
#undef SIGKERNEL_INSTANTIATE

}  // namespace sigkernel
