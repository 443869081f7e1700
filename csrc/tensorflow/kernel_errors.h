// The errors of the signature kernel's ops about the kernels that came out: which pair, and what makes its kernel large.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/goursat/goursat.h"
#include "core/goursat/windows.h"
#include "tensorflow/device_op.h"

namespace sigkernel {

// The points of one path.
template <class T>
std::vector<T> PointsOf(const Windows<T>& windows, const Paths<T>& paths, int64_t index) {
  const T* path = paths.values + index * paths.length * paths.channels;
  if (!windows.are_cut()) return std::vector<T>(path, path + paths.length * paths.channels);
  std::vector<T> points(windows.points(paths.length) * windows.channels(paths.channels));
  WindowCut<T>(windows).cut(path, paths.length, paths.channels, paths.lengths[index], points.data());
  return points;
}

// The largest |<dx_i, dy_j>| of X_a and Y_b, or |<x_i, y_j>| where nothing is differenced.
template <class T>
T LargestProduct(const KernelProblem<T>& problem, int64_t a, int64_t b) {
  const int64_t D = problem.windows.channels(problem.X.channels);
  const std::vector<T> x = PointsOf(problem.windows, problem.X, a), y = PointsOf(problem.windows, problem.Y, b);
  T largest = 0;
  const auto vector = [&](const std::vector<T>& path, int64_t i, int64_t d) {
    return problem.difference ? path[(i + 1) * D + d] - path[i * D + d] : path[i * D + d];
  };
  for (int64_t i = 0; i < problem.rows(); ++i)
    for (int64_t j = 0; j < problem.columns(); ++j) {
      T p = 0;
      for (int64_t d = 0; d < D; ++d) p += vector(x, i, d) * vector(y, j, d);
      largest = std::max(largest, std::abs(p));
    }
  return largest;
}

inline const char* NameOf(StaticKernel kernel) {
  switch (kernel) {
    case StaticKernel::kLinear: return "a linear";
    case StaticKernel::kRbf: return "an RBF";
    case StaticKernel::kMatern12: return "a Matern 1/2";
    case StaticKernel::kMatern32: return "a Matern 3/2";
    default: return "a Matern 5/2";
  }
}

// A pair by its paths' names and, where their values can be read, by what makes its kernel large.
template <class Device, class T>
std::string DescribePair(const KernelProblem<T>& problem, const T* variance, int64_t pair) {
  const int64_t a = problem.is_gram() ? pair / problem.Y.count : pair;
  const int64_t b = problem.is_gram() ? pair % problem.Y.count : pair;
  const std::string names = strings::StrCat("X[", a, "] and ", problem.is_symmetric() ? "X" : "Y", "[", b, "]");
  if constexpr (!Device::kIsHost) return names;
  if (problem.static_kernel != StaticKernel::kLinear) {
    return strings::StrCat(names, ", under ", NameOf(problem.static_kernel), " static kernel of variance ", *variance, ",");
  }
  return strings::StrCat(names, ", whose ", problem.difference ? "increments" : "points", " have inner products up to ",
                         LargestProduct(problem, a, b), ",");
}

// What holds of every kernel and costs nothing to look at: k(x, x) >= 1, for the empty word counts as 1, and
// |k(x, y)|² <= k(x, x) k(y, y). Looks for the first value beyond one of the two by more than `slack`, relative to the
// bound. Returns its pair, or -1. k: of a symmetric pairing; its value at that pair and `bound` say what is wrong. In
// extended range both are divided by the pair's power of two.
template <class T>
int64_t FirstBeyondBounds(const KernelProblem<T>& problem, const T* k, const Plan* plans, double slack, double* bound) {
  const int64_t count = problem.X.count, stride = problem.is_gram() ? count + 1 : 1;
  std::vector<double> norms(count);
  for (int64_t a = 0; a < count; ++a) {
    *bound = 1;
    if (k[a * stride] < 1 - slack) return a * stride;
    norms[a] = std::sqrt(std::max<double>(k[a * stride], 1));
  }
  if (!problem.is_gram()) return -1;
  const double factor = std::sqrt(1 + slack);  // the bound's square may be larger than any number
  for (int64_t a = 0; a < count; ++a)
    for (int64_t b = 0; b < a; ++b) {
      const int of_norms = (exponent_of(plans[a * stride]) + exponent_of(plans[b * stride])) / 2;
      *bound = std::ldexp(norms[a] * norms[b], of_norms - exponent_of(plans[b * count + a]));
      if (std::abs(k[b * count + a]) > factor * *bound) return b * count + a;
    }
  return -1;
}

// An error where a sweep on the CPU has visibly lost its digits. Small deviations pass.
template <class Device, class T>
absl::Status CheckBounds(const KernelProblem<T>& problem, const T* variance, const T* k, const Plan* plans) {
  if constexpr (!Device::kIsHost) return absl::OkStatus();
  const bool is_linear = problem.static_kernel == StaticKernel::kLinear;
  if (!problem.is_symmetric() || !problem.solver.power_series || !is_linear) return absl::OkStatus();
  double bound = 0;
  const int64_t pair = FirstBeyondBounds(problem, k, plans, std::max(1e-3, 100 * problem.solver.tolerance), &bound);
  if (pair < 0) return absl::OkStatus();
  const int exponent = exponent_of(plans[pair]);
  const std::string power = exponent == 0 ? "" : strings::StrCat(" * 2^", exponent);
  const bool is_norm = !problem.is_gram() || pair % (problem.X.count + 1) == 0;
  const std::string fact = is_norm ? "k(x, x) is at least 1"
                                   : strings::StrCat("|k(x, y)| is at most sqrt(k(x, x) k(y, y)) = ", bound, power);
  return errors::InvalidArgument(
      "the signature kernel of ", DescribePair<Device>(problem, variance, pair), " came out as ", k[pair], power,
      ", but ", fact,
      ". It has lost its digits to cancellation, as on paths that go back on themselves. Make the steps smaller: divide "
      "the paths by a constant or raise the lengthscales", sizeof(T) == 4 ? ". Or take float64." : ".");
}

}  // namespace sigkernel
