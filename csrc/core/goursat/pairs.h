// How pairs of paths that have no path in common are solved on the CPU.
#pragma once

#include <algorithm>

#include "core/goursat/block_solver.h"
#include "core/goursat/goursat.h"
#include "core/goursat/loops.h"
#include "core/goursat/unsolved_pairs.h"
#include "core/memory.h"

namespace sigkernel {

// Pairs (X_b, Y_b) or (X_b, X_b), where each path belongs to one pair.
template <class T>
class Pairs {
 public:
  Pairs(const KernelProblem<T>& problem, const GoursatLoops<T>& loops)
      : problem_(problem), loops_(loops), packing_(problem, loops, loops.lanes), x_size_(packing_.size(problem.X)),
        y_size_(problem.is_symmetric() ? 0 : packing_.size(problem.Y)) {}

  int64_t blocks() const { return parts_of(problem_.X.count, loops_.lanes); }

  // Few pairs of long paths are better solved one by one, where that is offered.
  bool are_few() const {
    if (problem_.static_kernel != StaticKernel::kLinear || !problem_.difference) return false;
    if (problem_.solver.extended_range || problem_.windows.are_cut()) return false;
    const int64_t shortest = std::min(problem_.X.segments(), problem_.Y.segments());
    return 2 * problem_.X.count <= loops_.lanes && shortest >= 4 * loops_.lanes;
  }

  // weights: written where they are wanted.
  void forward_one_by_one(int64_t begin, int64_t end, T* k, Plan* plan, const ErrorWeights<T>& weights) const {
    BlockSolver<T> solver(loops_, problem_.solver);
    const bool weighs = weights.are_wanted();
    Scratch memory, reversed_memory;
    for (int64_t b = begin; b < end; ++b) {
      if (unsolved_.skips({b, 1, loops_.lanes}, plan)) continue;
      const Paths<T>&X = problem_.X, &Y = problem_.Y;
      const PathPair<T> pair{X.path(b), Y.path(b), X.segments(), Y.segments(), X.channels};
      const PathPair<T> reversed = weighs ? reversed_pair(pair, b, reversed_memory) : PathPair<T>();
      LaneWeights<T> found;
      if (!solver.forward_alone(pair, weighs ? &reversed : nullptr, k + b, plan + b, &found)) {
        forward({b, 1, loops_.lanes}, solver, memory, k, plan, weights);
      } else if (weighs) {
        write_weights(found, 0, weights, b);
      }
      unsolved_.take({b, 1, loops_.lanes}, plan);
    }
  }

  // Likewise.
  void forward(int64_t begin, int64_t end, T* k, Plan* plan, const ErrorWeights<T>& weights) const {
    BlockSolver<T> solver(loops_, problem_.solver);
    Scratch memory;
    for (int64_t b = begin; b < end; ++b)
      forward(LaneRange::of(b, loops_.lanes, problem_.X.count), solver, memory, k, plan, weights);
  }

  void directional(int64_t begin, int64_t end, const T* direction, T* k, T* tangent, Plan* plan) const {
    BlockSolver<T> solver(loops_, problem_.solver);
    Scratch memory, direction_memory;
    Paths<T> displacements = problem_.X;
    displacements.values = direction;
    T* packed_direction = direction_memory.reserve_numbers<T>(x_size_);
    for (int64_t b = begin; b < end; ++b) {
      const LaneRange range = LaneRange::of(b, loops_.lanes, problem_.X.count);
      Block<T> block = packed(range, memory);
      packing_.pack(displacements, range, packed_direction);
      block.direction = packed_direction;
      solver.directional(block, range.used, k + range.first, tangent + range.first, plan + range.first);
    }
  }

  // d_variance: one number for each pair, overwritten. d_factors: those of the windows, likewise, but accumulated.
  void backward(int64_t begin, int64_t end, const Plan* plan, const T* upstream, T* dX, T* dY, T* d_variance,
                T* d_factors) const {
    BlockSolver<T> solver(loops_, problem_.solver);
    Scratch memory, gradient_memory;
    const bool symmetric = problem_.is_symmetric();
    for (int64_t b = begin; b < end; ++b) {
      const LaneRange range = LaneRange::of(b, loops_.lanes, problem_.X.count);
      T* x = gradient_memory.reserve_numbers<T>(x_size_ + y_size_);
      std::fill_n(x, x_size_ + y_size_, T(0));
      T* y = symmetric ? x : x + x_size_;
      alignas(64) T variance[kMaxLanes] = {};
      T scales[kMaxLanes] = {};
      int64_t places[kMaxLanes];
      for (int lane = 0; lane < range.used; ++lane) {
        places[lane] = range[lane];
        scales[lane] = upstream[range[lane]];
      }
      solver.backward(packed(range, memory), {plan, places, range.used}, scales, {x, y, variance, {}});
      packing_.write_gradients(problem_.X, x, range, dX, d_factors, problem_.num_factors());
      if (!symmetric) packing_.write_gradients(problem_.Y, y, range, dY, d_factors, problem_.num_factors());
      for (int lane = 0; lane < range.used; ++lane) d_variance[range[lane]] = variance[lane];
    }
  }

 private:
  void forward(const LaneRange& range, BlockSolver<T>& solver, Scratch& memory, T* k, Plan* plan,
               const ErrorWeights<T>& weights) const {
    if (unsolved_.skips(range, plan)) return;
    const bool weighs = weights.are_wanted();
    LaneWeights<T> found;
    const Block<T> block = packed(range, memory, weighs);
    solver.forward(block, range.used, k + range.first, plan + range.first, weighs ? &found : nullptr);
    unsolved_.take(range, plan);
    for (int lane = 0; weighs && lane < range.used; ++lane) write_weights(found, lane, weights, range[lane]);
  }

  // Pair b reversed in time, with the rounding of its increments.
  PathPair<T> reversed_pair(const PathPair<T>& pair, int64_t b, Scratch& memory) const {
    const Packing<T> packing(problem_, loops_, 1);
    const Paths<T>&X = problem_.X, &Y = problem_.Y;
    T* x = memory.reserve_numbers<T>((X.length + Y.length) * pair.channels + 2 * (pair.rows + pair.columns));
    T *y = x + X.length * pair.channels, *x_rounding = y + Y.length * pair.channels, *y_rounding = x_rounding + 2 * pair.rows;
    packing.pack_rounding(X, {b, 1, 1}, x_rounding);
    packing.pack_rounding(Y, {b, 1, 1}, y_rounding);
    reverse(pair.x, X.length, pair.channels, x);
    reverse(pair.y, Y.length, pair.channels, y);
    reverse(x_rounding, pair.rows, 2, x_rounding);
    reverse(y_rounding, pair.columns, 2, y_rounding);
    return {x, y, pair.rows, pair.columns, pair.channels, true, x_rounding, y_rounding};
  }

  // [count][size] to the reverse order of count; `from` may be `to`.
  static void reverse(const T* from, int64_t count, int64_t size, T* to) {
    if (from != to) std::copy_n(from, count * size, to);
    std::reverse(to, to + count * size);
    for (int64_t n = 0; n < count; ++n) std::reverse(to + n * size, to + (n + 1) * size);
  }

  // weighs: whether the block has the rounding of its increments.
  Block<T> packed(const LaneRange& range, Scratch& memory, bool weighs = false) const {
    const int64_t x_rounding_size = weighs ? packing_.rounding_size(problem_.X) : 0;
    const int64_t y_rounding_size = weighs ? packing_.rounding_size(problem_.Y) : 0;
    T* x = memory.reserve_numbers<T>(x_size_ + y_size_ + x_rounding_size + y_rounding_size);
    T *x_rounding = x + x_size_ + y_size_, *y_rounding = x_rounding + x_rounding_size;
    T* y = problem_.is_symmetric() ? x : x + x_size_;
    if (weighs) packing_.pack_rounding(problem_.X, range, x_rounding);
    if (weighs) packing_.pack_rounding(problem_.Y, range, y_rounding);
    packing_.pack(problem_.X, range, x);
    if (!problem_.is_symmetric()) packing_.pack(problem_.Y, range, y);
    Block<T> block = packing_.block(problem_.X, problem_.Y, x, y, weighs ? x_rounding : nullptr,
                                    weighs ? y_rounding : nullptr);
    block.symmetric = problem_.is_symmetric();
    return block;
  }

  const KernelProblem<T>& problem_;
  const GoursatLoops<T>& loops_;
  const Packing<T> packing_;
  const int64_t x_size_, y_size_;
  mutable UnsolvedPairs unsolved_;  // of a forward pass
};

}  // namespace sigkernel
