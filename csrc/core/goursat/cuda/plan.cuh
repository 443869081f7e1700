// Which degree and refinement each pair gets on a GPU: core/goursat/plan.h's rules on a ladder of its own.
//
// Nothing waits for the GPU, so the host does not know what a pair's power series needs: each degree of the ladder is
// launched in turn, and takes the pairs whose plan asks for it. One that finds its tail too large raises its plan, and a
// later launch takes it up. Pairs that need a refinement, which have the last degree, are a launch of their own.
#pragma once

#include <cmath>
#include <limits>

#include "core/goursat/cuda/sweep.cuh"
#include "core/goursat/plan.h"

namespace sigkernel {

constexpr int kMostGpuRefinement = 5;
static_assert(1 << kMostGpuRefinement <= kWarp);  // a warp's rows hold whole segments

template <class Visitor, int... kDegrees>
void visit_gpu_degrees(const Visitor& visitor, std::integer_sequence<int, kDegrees...>) {
  (visitor.template visit<PowerSeries<kDegrees>>(kDegrees, 0), ...);
}

// Calls visitor.template visit<Rule>(degree, refinement) for each rule that some pair may need at no refinement of its own.
template <class Visitor>
void visit_gpu_rules(const Solver& solver, const Visitor& visitor) {
  if (!solver.power_series) return visitor.template visit<FiniteDifference>(0, solver.dyadic_order);
  visit_gpu_degrees(visitor, GpuDegrees());
}

__host__ __device__ constexpr Plan gpu_plan(int degree, int refinement) { return degree | refinement << 8; }
__host__ __device__ constexpr int refinement_of(Plan plan) { return plan >> 8; }
__host__ __device__ constexpr bool is_refined(Plan plan) { return plan >= 0 && refinement_of(plan) > 0; }

// Of a plan in the making: it is not this device's, and the pair is solved anew.
constexpr Plan kAnew = 1 << 30;

// Whether a forward kernel of the GPU can have written a power series' plan. The CPU has degrees and refinements that no kernel here
// has, and exponents.
__device__ inline bool is_gpu_plan(Plan plan, int largest_refinement) {
  if (plan < 0) return true;
  const int degree = plan & 0xff, refinement = refinement_of(plan);
  return degree == gpu_degree_from(degree) && (refinement == 0 || (degree == kLastGpuDegree && refinement <= largest_refinement));
}

__device__ inline Plan gpu_plan_refined(int refinement, int largest) {
  return refinement > largest ? kUnreached : gpu_plan(kLastGpuDegree, refinement);
}

// The smallest resolution that meets the bound.
template <class T>
__device__ Plan first_gpu_plan(T largest, T moment, double tolerance, int largest_refinement) {
  if (!std::isfinite(largest) || !std::isfinite(moment)) return kOverflow;
  for (int degree = gpu_degree_from(0);; degree = gpu_degree_from(degree + 1)) {
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
  const int degree = plan & 0xff, refinement = refinement_of(plan);
  if (!is_small_rounding<T>(seen.amplitude, seen.scale, tolerance)) return gpu_plan_refined(refinement + 1, largest_refinement);
  if (is_small_tail(max(seen.tail, seen.across * rows), seen.scale, tolerance)) return plan;
  return degree < kLastGpuDegree ? gpu_plan(gpu_degree_from(degree + 1), 0) : gpu_plan_refined(refinement + 1, largest_refinement);
}

template <class T>
__device__ T not_a_number() {
  return std::numeric_limits<T>::quiet_NaN();
}

}  // namespace sigkernel
