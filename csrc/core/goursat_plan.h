// How a power series' degree and refinement are chosen, so that its error stays below the tolerance.
//
// Before a sweep: where p has one sign, the coefficients along an edge obey a_k <= r^k / (k!)² times the solution for |p|,
// r being the largest row or column sum of |p|. Where signs alternate, sums of p weighted by U stay near the range of
// p's partial sums along the row or column, so r is such a range (for one sign they are the same). What one edge drops
// shifts U at its end, and the shifts of all edges on the way to the last corner add up, so K is the smallest degree of a
// ladder with sum r^(K+1) / ((K+1)!)² <= tolerance, the sum over all rows and columns. It is taken from their fifth powers
// and the largest r, which is a bound for every degree of the ladder, and close, for few lines matter.
// After it: the sweep's own coefficients are looked at, for U can be far smaller than the solution for |p|, and weights
// uneven. Too large a tail calls for the next degree; coefficients so large that their rounding shows call for a
// refinement, which halves every increment and with it r.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/goursat.h"
#include "core/goursat_degrees.h"
#include "core/goursat_lanes.h"

namespace sigkernel {

constexpr int kLargestRefinement = 8;
static_assert(kReachMoment == kDegrees[0] + 1);

struct Resolution {
  int degree = 0;
  int refinement = 0;
  bool reached = true;  // false: no degree and refinement meets the tolerance

  Plan plan() const { return reached ? degree | refinement << 8 : kUnreached; }
  static Resolution of(Plan plan) { return {plan & 0xff, plan >> 8, true}; }
};

template <class T>
class ResolutionSearch {
 public:
  // reach: of the grid at no refinement.
  ResolutionSearch(double tolerance, const Reach<T>& reach)
      : tolerance_(std::max(tolerance / kMargin, double(std::numeric_limits<T>::epsilon()))), reach_(reach) {}

  Resolution first() const { return at_least(0, 0); }

  // What a sweep at that resolution saw, in one lane.
  bool tail_is_small(const Outcome<T>& seen, int lane) const {
    return 2 * seen.tail[lane] <= tolerance_ * seen.scale[lane];  // errors travel along rows and columns: twice a row's
  }

  // Rounding in a coefficient is relative to its own size; this many times U's size still leaves it below the error
  // asked for, or loses no more than two to three digits.
  bool rounding_is_small(const Outcome<T>& seen, int lane) const {
    const double epsilon = std::numeric_limits<T>::epsilon();
    return seen.amplitude[lane] <= std::max(256.0, tolerance_ / epsilon) * seen.scale[lane];
  }

  Resolution with_next_degree(const Resolution& now) const { return at_least(now.degree + 1, now.refinement); }

  Resolution with_next_refinement(const Resolution& now) const { return at_least(0, now.refinement + 1); }

 private:
  double largest_reach(int refinement) const { return std::ldexp(double(reach_.largest), -refinement); }

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
    // A refinement doubles the number of lines and halves their ranges.
    double bound = std::ldexp(double(reach_.moment), (1 - kReachMoment) * refinement);
    for (int k = 1; k <= kReachMoment; ++k) bound /= double(k) * k;
    for (int k = kReachMoment + 1; k <= degree + 1; ++k) bound *= largest_reach(refinement) / (double(k) * k);
    return bound <= tolerance_;
  }

  // Both looks are estimates: on paths with jumps and spikes the error came to three times what they promised.
  static constexpr double kMargin = 8;

  const double tolerance_;
  const Reach<T> reach_;
};

}  // namespace sigkernel
