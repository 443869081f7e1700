// The signature kernel of paths of one channel under the linear static kernel. Only their end points matter: such a path
// has the signature of a straight line, level n of which is dx^n / n! for dx = x_L - x_1. With p = dx dy
//
//     k = F_0(p),   dk/dp = F_1(p),   F_v(p) = sum over n of p^n / (n! (n + v)!),
//
// which are Bessel functions: F_0(p) is I_0(2 sqrt(p)) where p >= 0, and J_0(2 sqrt(-p)) below. No grid is swept, so
// value and gradient are exact up to rounding at any length. CPU and GPU share all of it; one_channel_cpu.h and
// cuda/one_channel.cuh loop over pairs and paths.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "core/goursat/degrees.h"
#include "core/goursat/goursat.h"
#include "core/goursat/plan.h"
#include "core/host_device.h"

namespace sigkernel {

// e^x / 2^n, for an even smaller error where e^x itself overflows: n ln 2 is taken off in two parts.
SIGKERNEL_HOST_DEVICE inline double exp_over_power(double x, int n) {
  constexpr double kHigh = 0x1.62e42fee00000p-1, kLow = 0x1.a39ef35793c76p-33;
  return exp((x - n * kHigh) - n * kLow);
}

// F_v(p) / 2^exponent, v = 0 or 1: a few ulp off where p >= 0, and below 0 as far off, absolutely, as the C library's
// Bessel functions. exponent: an even number, 0 for small p.
SIGKERNEL_HOST_DEVICE inline double bessel_of_product(int v, double p, int exponent = 0) {
  constexpr double kPi = 3.14159265358979323846;
  constexpr double kFar = 225;           // p from which on the asymptotic series of I_v has all digits
  constexpr double kNegligible = 1e-18;  // a term, relative to the sum
  if (p < 0) {
    const double root = sqrt(-p);
    return v == 0 ? j0(2 * root) : j1(2 * root) / root;  // of which there is no large one
  }
  double term = 1, sum = 1;
  if (p <= kFar) {
    for (int n = 1; term > kNegligible * sum; ++n) {
      term *= p / (double(n) * (n + v));
      sum += term;
    }
    return exponent == 0 ? sum : ldexp(sum, -exponent);
  }
  // I_v(z) = e^z / sqrt(2 pi z) (1 - (4v² - 1) / (8z) + ...), Abramowitz and Stegun (1964), 9.7.1, at z = 2 root + lost:
  // e^z would multiply what rounding takes from the root. e^z comes in two factors as it may overflow where F_v does not.
  const double root = sqrt(p), lost = fma(-root, root, p) / root, z = 2 * root;
  for (int n = 1; fabs(term) > kNegligible; ++n) {
    term *= (double(2 * n - 1) * (2 * n - 1) - 4 * v) / (8 * n * z);
    sum += term;
  }
  const double rest = sum * (1 + lost) / sqrt(2 * kPi * z);
  const double factor = exponent == 0 ? exp(root) : exp_over_power(root, exponent / 2);
  return factor * (v == 0 ? rest : rest / root) * factor;
}

// A power of two that F_0(p) over it is far from overflow, and 0 where F_0(p) itself is.
SIGKERNEL_HOST_DEVICE inline int bessel_exponent(double p) {
  constexpr double kLargest = 1 << 24;  // more than a plan can hold
  if (!(p > 0)) return 0;
  const double bits = 2 * sqrt(p) * 1.4426950408889634;
  return bits < 64 ? 0 : 2 * static_cast<int>((bits < kLargest ? bits : kLargest) / 2);
}

constexpr Plan kOneChannelPlan = kDegrees[0];  // a plan that says "solved"; no sweep reads it

// A problem that only needs end points. Numbers are double whatever T is.
template <class T>
class OneChannel {
 public:
  // Whether a problem is one. Finite differences are left to be the scheme that they are.
  static bool serves(const KernelProblem<T>& problem) {
    return problem.solver.power_series && problem.static_kernel == StaticKernel::kLinear && problem.difference &&
           problem.X.channels == 1 && !problem.windows.are_cut();
  }

  explicit OneChannel(const KernelProblem<T>& problem)
      : X_(problem.X.values), Y_(problem.is_symmetric() ? problem.X.values : problem.Y.values), x_count_(problem.X.count),
        y_count_(problem.is_symmetric() ? problem.X.count : problem.Y.count), x_length_(problem.X.length),
        y_length_(problem.is_symmetric() ? problem.X.length : problem.Y.length), is_gram_(problem.is_gram()),
        is_symmetric_(problem.is_symmetric()), extended_range_(problem.solver.extended_range) {}

  // The value at one place of [pairs]. plan: overwritten. A kernel that does not fit T, or the plan, is not a number.
  SIGKERNEL_HOST_DEVICE T kernel(int64_t place, Plan* plan) const {
    const int64_t a = is_gram_ ? place / y_count_ : place, b = is_gram_ ? place % y_count_ : place;
    const double p = x_step(a) * y_step(b);
    const int exponent = extended_range_ ? bessel_exponent(p) : 0;
    double value = bessel_of_product(0, p, exponent);
    *plan = extended_range_ ? with_exponent(kOneChannelPlan, &value, exponent) : kOneChannelPlan;
    const T k = static_cast<T>(value);
    if (*plan >= 0 && std::isfinite(k)) return k;
    *plan = kOverflow;
    return std::numeric_limits<T>::quiet_NaN();
  }

  // |p dk/dp| at one place of [pairs]: by how much a relative error of p moves k.
  SIGKERNEL_HOST_DEVICE double sensitivity(int64_t place) const {
    const int64_t a = is_gram_ ? place / y_count_ : place, b = is_gram_ ? place % y_count_ : place;
    const double p = x_step(a) * y_step(b);
    return fabs(p * bessel_of_product(1, p));
  }

  // The derivative of k(X_b, Y_b) where the last point of X_b moves by `by` relative to its first.
  SIGKERNEL_HOST_DEVICE double derivative(int64_t b, double by) const {
    const double dx = x_step(b), dy = y_step(b);
    return bessel_of_product(1, dx * dy) * dy * by;
  }

  // How many paths have a gradient: those of X and then, if they are others, those of Y.
  SIGKERNEL_HOST_DEVICE int64_t paths() const { return x_count_ + (is_symmetric_ ? 0 : y_count_); }

  // Overwrites the first and the last point of one path's gradient in dX or dY, which hold zeros elsewhere.
  SIGKERNEL_HOST_DEVICE void write_gradient(int64_t path, const Plan* plan, const T* upstream, T* dX, T* dY) const {
    const bool is_x = path < x_count_;
    const int64_t number = is_x ? path : path - x_count_, length = is_x ? x_length_ : y_length_;
    if (length == 1) return;
    T* points = (is_x ? dX : dY) + number * length;
    const T gradient = static_cast<T>(step_gradient(is_x, number, plan, upstream));
    points[0] = -gradient;
    points[length - 1] = gradient;
  }

 private:
  SIGKERNEL_HOST_DEVICE double x_step(int64_t a) const { return step(X_ + a * x_length_, x_length_); }
  SIGKERNEL_HOST_DEVICE double y_step(int64_t b) const { return step(Y_ + b * y_length_, y_length_); }
  SIGKERNEL_HOST_DEVICE static double step(const T* path, int64_t length) {
    return static_cast<double>(path[length - 1]) - static_cast<double>(path[0]);
  }

  SIGKERNEL_HOST_DEVICE int64_t place(int64_t a, int64_t b) const { return is_gram_ ? a * y_count_ + b : a; }

  // By dx of a path of X, or by dy of one of Y; by both where the two are one. Pairs are added up in order.
  SIGKERNEL_HOST_DEVICE double step_gradient(bool is_x, int64_t path, const Plan* plan, const T* upstream) const {
    const int64_t first = is_gram_ ? 0 : path, last = is_gram_ ? (is_x ? y_count_ : x_count_) : path + 1;
    double sum = 0;
    for (int64_t other = first; other < last; ++other) {
      const int64_t a = is_x ? path : other, b = is_x ? other : path;
      const Plan one = plan[place(a, b)];
      if (one < 0) return std::numeric_limits<double>::quiet_NaN();
      double weight = static_cast<double>(upstream[place(a, b)]);
      if (is_symmetric_) weight += static_cast<double>(upstream[place(b, a)]);
      const double dx = x_step(a), dy = y_step(b);
      sum += weight * bessel_of_product(1, dx * dy, exponent_of(one)) * (is_x ? dy : dx);
    }
    return sum;
  }

  const T *X_, *Y_;
  int64_t x_count_, y_count_, x_length_, y_length_;
  bool is_gram_, is_symmetric_, extended_range_;
};

}  // namespace sigkernel
