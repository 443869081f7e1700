// The functions of goursat.h on the CPU for paths of one channel, one_channel.h.
#pragma once

#include <algorithm>
#include <cmath>

#include "core/goursat/one_channel.h"
#include "core/parallel.h"

namespace sigkernel {

constexpr int64_t kBesselCost = 200;  // about how many nanoseconds a Bessel function takes

// No sweep makes errors on its way here. What is off is the function's last digits, which are those of 1 where it
// oscillates, and what the rounding of p makes of it.
template <class T>
void one_channel_forward(const KernelProblem<T>& problem, const ParallelFor& parallel_for, T* k, Plan* plan,
                         const ErrorWeights<T>& weights) {
  const OneChannel<T> ends(problem);
  run_and_rethrow(parallel_for, problem.pairs(), kBesselCost, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      k[n] = ends.kernel(n, plan + n);
      if (!weights.are_wanted()) continue;
      weights.largest[n] = std::max(std::abs(k[n]), T(1));
      weights.increments[n] = static_cast<T>(ends.sensitivity(n));
      weights.reversed[n] = k[n];
    }
  });
}

template <class T>
void one_channel_directional(const KernelProblem<T>& problem, const T* direction, const ParallelFor& parallel_for, T* k,
                             T* tangent, Plan* plan) {
  const OneChannel<T> ends(problem);
  const int64_t length = problem.X.length;
  run_and_rethrow(parallel_for, problem.pairs(), 2 * kBesselCost, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      k[b] = ends.kernel(b, plan + b);
      const T* moves = direction + b * length;
      tangent[b] = static_cast<T>(ends.derivative(b, static_cast<double>(moves[length - 1]) - static_cast<double>(moves[0])));
      if (!std::isfinite(tangent[b])) plan[b] = kOverflow;
    }
  });
}

// dX, dY: hold zeros.
template <class T>
void one_channel_backward(const KernelProblem<T>& problem, const ParallelFor& parallel_for, const Plan* plan,
                          const T* upstream, T* dX, T* dY) {
  const OneChannel<T> ends(problem);
  const int64_t pairs_of_one = problem.is_gram() ? problem.Y.count : 1;
  run_and_rethrow(parallel_for, ends.paths(), kBesselCost * pairs_of_one, [&](int64_t begin, int64_t end) {
    for (int64_t path = begin; path < end; ++path) ends.write_gradient(path, plan, upstream, dX, dY);
  });
}

}  // namespace sigkernel
