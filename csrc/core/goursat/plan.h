// The plan: which rule and grid a pair takes, that is, how a power series' degree and refinement are chosen so that what
// it drops stays below the tolerance in units of U. What k is off by is that times W, the solution of the problem reversed
// in time: see ErrorWeights in goursat.h.
//
// Before a sweep: where p has one sign, the coefficients along an edge obey a_k <= r^k / (k!)² times the solution for |p|,
// r being the largest row or column sum of |p|. Where signs alternate, sums of p weighted by U stay near the range of
// p's partial sums along the row or column, so r is such a range (for one sign they are the same). What one edge drops
// shifts U at its end, and the shifts of all edges on the way to the last corner add up, so K is the smallest degree of a
// ladder with sum r^(K+1) / ((K+1)!)² <= tolerance, the sum over all rows and columns. It is taken from their fifth powers
// and the largest r, which is a bound for every degree from 4 on, and close, for few lines matter; below, from the cubes.
// Where no p is negative nothing cancels: this is a bound and not an estimate, of which the error is a third at most in
// what was measured, and it is all that counts.
// After it: the sweep's own coefficients are looked at, for U can be far smaller than the solution for |p|, and weights
// uneven. Too large a tail calls for the next degree; coefficients so large that their rounding shows call for a
// refinement, which halves every increment and with it r. So do terms that cancel inside a cell with a large |p|.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "core/goursat/degrees.h"
#include "core/goursat/goursat.h"
#include "core/goursat/loops.h"

namespace sigkernel {

constexpr int kLargestRefinement = 8;
static_assert(kDegrees[0] + 1 == 3);  // Reach has cubes

struct Resolution {
  int degree = 0;
  int refinement = 0;
  bool reached = true;  // false: no degree and refinement meets the tolerance

  Plan plan() const { return reached ? degree | refinement << 8 : kUnreached; }
  static Resolution of(Plan plan) { return {plan & 0xff, plan >> 8 & 0xff, true}; }
};

// Whether what a degree drops stays below the tolerance, where a grid's lines reach that far at no refinement. moment: the
// sum of their `power`-th powers, which the degree must be able to take: degree + 1 >= power.
SIGKERNEL_HOST_DEVICE inline bool bound_is_met(int degree, int refinement, double largest, double moment,
                                               double tolerance, int power = kReachMoment) {
  double half = 1;
  for (int n = 0; n < refinement; ++n) half *= 0.5;  // a refinement doubles the number of lines and halves their ranges
  double bound = moment;
  for (int k = 1; k < power; ++k) bound *= half;
  for (int k = 1; k <= power; ++k) bound /= double(k) * k;
  for (int k = power + 1; k <= degree + 1; ++k) bound *= largest * half / (double(k) * k);
  return bound <= tolerance;
}

// Both looks at a sweep are estimates: on paths with jumps and spikes the error came to three times what they promised.
constexpr double kResolutionMargin = 8;

template <class T>
SIGKERNEL_HOST_DEVICE inline double tolerance_with_margin(double tolerance, double margin = kResolutionMargin) {
  constexpr double kEpsilon = std::numeric_limits<T>::epsilon();
  return tolerance / margin < kEpsilon ? kEpsilon : tolerance / margin;
}

// What a sweep saw. tolerance: with its margin. Errors travel along rows and columns: twice a row's.
SIGKERNEL_HOST_DEVICE inline bool is_small_tail(double tail, double scale, double tolerance) {
  return 2 * tail <= tolerance * scale;
}

// Rounding in a coefficient is relative to its own size; a size that many times U's still leaves it below the error asked
// for, or is harmless.
template <class T>
SIGKERNEL_HOST_DEVICE inline double allowed_growth(double tolerance) {
  constexpr double kEpsilon = std::numeric_limits<T>::epsilon();
  return tolerance / kEpsilon < kHarmlessGrowth ? kHarmlessGrowth : tolerance / kEpsilon;
}
template <class T>
SIGKERNEL_HOST_DEVICE inline bool is_small_rounding(double amplitude, double scale, double tolerance) {
  return amplitude <= allowed_growth<T>(tolerance) * scale;
}

// Of what cancels inside a cell. It weighs twice, for where there is one such cell there are others.
template <class T>
bool is_small_cancellation(double terms, double scale, double tolerance) {
  return 2 * terms <= allowed_growth<T>(tolerance) * scale;
}

// One cell by itself: along the lines that cut it U is a Bessel function, and where p < 0 its coefficients are up to
// I0(2 sqrt r) times larger than U. From some size on rounding takes over before a sweep has seen how large U is.
template <class T>
bool is_small_cell(double largest, int refinement, double tolerance) {
  const double range = std::ldexp(largest, -refinement);
  return 2 * std::sqrt(range) <= std::log(2048 * allowed_growth<T>(tolerance));
}

template <class T>
class ResolutionSearch {
 public:
  // reach: of the grid at no refinement.
  ResolutionSearch(double tolerance, const Reach<T>& reach)
      : tolerance_(tolerance_with_margin<T>(tolerance, reach.is_not_negative ? 1 : kResolutionMargin)), reach_(reach) {}

  Resolution first() const { return at_least(0, 0); }

  // What a sweep at that resolution saw, in one lane.
  bool tail_is_small(const Outcome<T>& seen, int lane) const {
    return reach_.is_not_negative || is_small_tail(seen.tail[lane], seen.scale[lane], tolerance_);
  }
  bool rounding_is_small(const Outcome<T>& seen, int lane) const {
    const double scale = seen.scale[lane];
    return is_small_rounding<T>(seen.amplitude[lane], scale, tolerance_) &&
           is_small_cancellation<T>(seen.terms[lane], scale, tolerance_);
  }

  Resolution with_next_degree(const Resolution& now) const { return at_least(now.degree + 1, now.refinement); }

  Resolution with_next_refinement(const Resolution& now) const { return at_least(0, now.refinement + 1); }

 private:
  // The smallest degree, at the smallest refinement from the one given, that meets the bound.
  Resolution at_least(int degree, int refinement) const {
    for (; refinement <= kLargestRefinement; ++refinement, degree = 0) {
      for (const int candidate : kDegrees) {
        if (candidate > kLargestDegree<T>) break;
        if (candidate >= degree && meets_bound(candidate, refinement)) return {candidate, refinement, true};
      }
    }
    return {0, 0, false};
  }

  bool meets_bound(int degree, int refinement) const {
    const bool takes_moment = degree + 1 >= kReachMoment;
    return bound_is_met(degree, refinement, double(reach_.largest), double(takes_moment ? reach_.moment : reach_.cubes),
                        tolerance_, takes_moment ? kReachMoment : 3) &&
           (is_small_cell<T>(double(reach_.cell), refinement, tolerance_) || refinement == kLargestRefinement);
  }

  const double tolerance_;
  const Reach<T> reach_;
};

// The plan of a solved pair whose kernel is *value times 2^exponent: *value becomes the k / 2^e that Plan describes.
template <class T>
SIGKERNEL_HOST_DEVICE Plan with_exponent(Plan plan, T* value, int exponent) {
  constexpr int kMostUnits = 0x7fff;
  const double given = *value;
  if (!std::isfinite(given)) return kOverflow;
  int own = 0;
  frexp(given, &own);
  const int units = given == 0 || exponent + own < 1 ? 0 : (exponent + own - 1) / kExponentUnit;
  if (units > kMostUnits) return kOverflow;
  *value = static_cast<T>(ldexp(given, exponent - units * kExponentUnit));
  return plan | units << 16;
}

// Whether a plan is one by which the solver solves a pair. A gradient is given its plans from outside.
template <class T>
bool is_solving(const Solver& solver, Plan plan) {
  if (plan < 0 || (!solver.extended_range && exponent_of(plan) != 0)) return false;
  if (!solver.power_series) return (plan & 0xffff) == 0;
  const Resolution resolution = Resolution::of(plan);
  if (resolution.refinement > kLargestRefinement || resolution.degree > kLargestDegree<T>) return false;
  for (const int degree : kDegrees)
    if (degree == resolution.degree) return true;
  return false;
}

}  // namespace sigkernel
