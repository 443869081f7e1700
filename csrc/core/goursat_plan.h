// How a power series' degree and refinement are chosen, so that its error stays below the tolerance.
//
// Before a sweep: along an edge the coefficients obey a_k <= r^k / (k!)² times the solution for |p|, where r is the
// largest row or column sum of |p|. What one edge drops shifts U at its end, and the shifts of all edges on the way to
// the last corner add up, so K is the smallest degree of a ladder with (rows + columns) r^(K+1) / ((K+1)!)² <= tolerance.
// After it: where signs cancel, U can be far smaller than the solution for |p|, so the sweep's own coefficients are
// looked at. Too large a tail calls for the next degree; coefficients so large that their rounding shows call for a
// refinement, which halves every increment and with it r.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/goursat.h"
#include "core/goursat_cell.h"

namespace sigkernel {

// Degrees that have a compiled sweep. float stops where p^K and r^K still fit its range.
constexpr int kDegrees[] = {4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48};
template <class T>
constexpr int kLargestDegree = sizeof(T) == 4 ? 20 : 48;
constexpr int kLargestRefinement = 8;

struct Resolution {
  int degree = 0;
  int refinement = 0;
  bool reached = true;  // false: no degree and refinement meets the tolerance

  Plan plan() const { return reached ? degree | refinement << 8 : kUnreached; }
  static Resolution of(Plan plan) { return {plan & 0xff, plan >> 8, true}; }
};

// Calls visitor.template visit<PowerSeries<degree>>() for a degree of the ladder.
template <class T, class Visitor>
auto visit_degree(int degree, const Visitor& visitor) {
  switch (degree) {
    case 4: return visitor.template visit<PowerSeries<4>>();
    case 6: return visitor.template visit<PowerSeries<6>>();
    case 8: return visitor.template visit<PowerSeries<8>>();
    case 10: return visitor.template visit<PowerSeries<10>>();
    case 12: return visitor.template visit<PowerSeries<12>>();
    case 16: return visitor.template visit<PowerSeries<16>>();
    default: break;
  }
  if constexpr (kLargestDegree<T> >= 48) {
    switch (degree) {
      case 24: return visitor.template visit<PowerSeries<24>>();
      case 32: return visitor.template visit<PowerSeries<32>>();
      case 40: return visitor.template visit<PowerSeries<40>>();
      case 48: return visitor.template visit<PowerSeries<48>>();
      default: break;
    }
  }
  return visitor.template visit<PowerSeries<20>>();
}

template <class T>
class ResolutionSearch {
 public:
  // reach: r, the largest row or column sum of |p|; edges: rows + columns of the coarse grid.
  ResolutionSearch(double tolerance, double reach, int64_t edges)
      : tolerance_(std::max(tolerance, double(std::numeric_limits<T>::epsilon()))), reach_(reach), edges_(edges) {}

  double tolerance() const { return tolerance_; }
  double reach(int refinement) const { return std::ldexp(reach_, -refinement); }

  Resolution first() const { return at_least(0, 0); }

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
    const double edges = std::ldexp(static_cast<double>(edges_), refinement);
    return std::log(edges) + (degree + 1) * std::log(reach(refinement)) - 2 * std::lgamma(degree + 2.0) <=
           std::log(tolerance_);
  }

  const double tolerance_, reach_;
  const int64_t edges_;
};

// What a sweep's top edges say about its error.
template <class Rule, class T>
class Inspection {
 public:
  explicit Inspection(double reach) {
    constexpr double K = Rule::kDegree;
    next_ = static_cast<T>(reach / ((K + 1) * (K + 1)));
    second_next_ = static_cast<T>(next_ * (reach / (K * K)));
  }

  // The top edges of one row: edges + j * kCoefficients, first <= j < columns.
  void look_at_row(const T* edges, int64_t first, int64_t columns) {
    T row_tail = 0;
    for (int64_t j = first; j < columns; ++j) row_tail += look_at(edges + j * Rule::kCoefficients);
    tail_ = std::max(tail_, row_tail);
  }

  bool finite() const { return finite_; }

  // The way to the last corner is along rows and columns: twice what one row drops.
  bool tail_is_small(double tolerance) const { return 2 * tail_ <= tolerance * scale_; }

  // Rounding in a coefficient is relative to its own size; this many times U's size still leaves it below the error
  // asked for, or loses no more than two to three digits.
  bool rounding_is_small(double tolerance) const {
    const double epsilon = std::numeric_limits<T>::epsilon();
    return amplitude_ <= std::max(256.0, tolerance / epsilon) * scale_;
  }

 private:
  // Returns the first coefficient that the edge drops, judged by the last one kept and, should that vanish by symmetry,
  // by the one before.
  T look_at(const T* edge) {
    constexpr int K = Rule::kDegree;
    constexpr InverseFactorials<K> inverse{};
    T sum = std::abs(edge[0]);
    scale_ = std::max(scale_, sum);
    for (int k = 1; k <= K; ++k) sum += std::abs(edge[k]) * T(inverse.value[k]);
    amplitude_ = std::max(amplitude_, sum);
    finite_ = finite_ && std::isfinite(sum);
    return std::max(std::abs(edge[K]) * T(inverse.value[K]) * next_,
                    std::abs(edge[K - 1]) * T(inverse.value[K - 1]) * second_next_);
  }

  T next_, second_next_;
  T scale_ = 1, amplitude_ = 0, tail_ = 0;
  bool finite_ = true;
};

}  // namespace sigkernel
