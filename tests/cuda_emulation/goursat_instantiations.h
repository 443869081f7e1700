// Runs every line of instantiations.h: each type, rule, way of dealing threads and kind of increments, forward and backward, on
// increments that are just large enough for the degree.
#pragma once

#include <cmath>
#include <cstdlib>

#include "core/goursat/cuda/instantiations.h"
#include "core/goursat/plan.h"
#include "goursat_cases.h"

namespace sigkernel {

// How far the lines of a pair's increments reach: the largest range of their partial sums, and the sum of these to the moment's power.
struct LineReach {
  double largest = 0, moment = 0;

  LineReach(const std::vector<double>& p, int64_t rows, int64_t columns) {
    for (int64_t i = 0; i < rows; ++i) add(p.data() + i * columns, columns, 1);
    for (int64_t j = 0; j < columns; ++j) add(p.data() + j, rows, columns);
  }

 private:
  void add(const double* line, int64_t length, int64_t stride) {
    double sum = 0, low = 0, high = 0;
    for (int64_t n = 0; n < length; ++n) {
      sum += line[n * stride];
      low = std::min(low, sum);
      high = std::max(high, sum);
    }
    largest = std::max(largest, high - low);
    moment += std::pow(high - low, kReachMoment);
  }
};

// The largest factor of the increments at which a degree, unrefined, still meets the bound.
inline double largest_factor(const LineReach& reach, int degree, double tolerance) {
  double low = 0, high = 1e6;
  for (int n = 0; n < 200; ++n) {
    const double factor = (low + high) / 2;
    const bool is_met = bound_is_met(degree, 0, factor * reach.largest, std::pow(factor, kReachMoment) * reach.moment, tolerance);
    (is_met ? low : high) = factor;
  }
  return low;
}

// The factor of the increments at which a line's degree is just needed; for finite differences any.
inline double factor_for(const GpuInstantiation& line, const LineReach& reach, double tolerance) {
  constexpr double kMore = 1.02;
  if (line.degree == 0) return 1;
  if (line.is_refined) return kMore * largest_factor(reach, line.degree, tolerance);
  int before = 0;  // the degree that does not do
  for (int degree = 1; degree < line.degree; ++degree)
    if (gpu_degree_from(degree) == degree) before = degree;
  return before == 0 ? 0.5 * largest_factor(reach, line.degree, tolerance) : kMore * largest_factor(reach, before, tolerance);
}

template <class T>
void run_instantiation(const GpuInstantiation& line) {
  constexpr int64_t kPairs = 3, kChannels = 5, kColumns = 20;
  const int64_t strip = line.layout.strip_rows();
  const int64_t rows = line.is_refined ? 5 : line.layout.sharing == Sharing::kGroup ? strip + 3 : 2 * strip + 5;
  Case c = {Pairing::kPairs, line.increments == GpuIncrements::kRbf ? StaticKernel::kRbf : StaticKernel::kLinear, Solver(), kPairs,
            kPairs, rows + 1, kColumns + 1, kChannels};
  c.solver.power_series = line.degree > 0;
  c.solver.gradient = line.gradient;
  c.solver.tolerance = line.is_double ? 8.9e-16 : 4.8e-7;
  // All pairs are one, so that all need the same degree.
  std::vector<T> X = walks<T>(1, c.x_length, kChannels, 1), Y = walks<T>(1, c.y_length, kChannels, 1);
  std::vector<double> p(rows * kColumns);
  const auto kappa = [&](int64_t i, int64_t j) {
    double product = 0, squared = 0;
    for (int64_t d = 0; d < kChannels; ++d) {
      const double x = X[i * kChannels + d], y = Y[j * kChannels + d];
      product += x * y;
      squared += (x - y) * (x - y);
    }
    return line.increments == GpuIncrements::kRbf ? std::exp(-0.5 * squared) : product;
  };
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < kColumns; ++j)
      p[i * kColumns + j] = kappa(i + 1, j + 1) - kappa(i + 1, j) - kappa(i, j + 1) + kappa(i, j);
  const double factor = factor_for(line, LineReach(p, rows, kColumns), tolerance_with_margin<T>(c.solver.tolerance));
  std::string what = describe(c, line.is_double ? "double" : "float") + name_of(line.layout) + ", degree " + std::to_string(line.degree) + ": ";
  const auto repeat = [](const auto& values) {
    std::vector<T> all;
    for (int64_t n = 0; n < kPairs; ++n) all.insert(all.end(), values.begin(), values.end());
    return all;
  };
  std::vector<Plan> plans;
  if (line.increments == GpuIncrements::kGiven) {
    for (double& one : p) one *= factor;
    plans = run_given_on<T>(c.solver, repeat(p), kPairs, rows, kColumns);
  } else {
    const bool is_linear = line.increments == GpuIncrements::kLinear;
    if (is_linear)
      for (T& x : X) x *= T(factor);
    // Paths that need the last degree are not gentle: their k may be a hundredth of what U comes to, to which errors are relative.
    plans = run_on<T>(c, repeat(X), repeat(Y), is_linear ? T(1) : T(factor), what, line.degree == kLastGpuDegree ? 10 : 1);
  }
  for (const Plan plan : plans) {
    const Resolution got = Resolution::of(plan);
    if (plan >= 0 && got.degree == line.degree && (got.refinement > 0) == line.is_refined) continue;
    if (++failures <= 20) std::printf("%splan %d, degree %d and refinement %d\n", what.c_str(), plan, got.degree, got.refinement);
  }
}

// Every `stride`-th line from the `first` on.
inline void run_instantiations(int first, int stride) {
  const std::vector<GpuInstantiation> table = gpu_instantiations();
  for (size_t n = first; n < table.size(); n += stride) {
    if (!table[n].is_refined) setenv("SIGKERNEL_TF_GPU_LAYOUT", name_of(table[n].layout).c_str(), 1);
    table[n].is_double ? run_instantiation<double>(table[n]) : run_instantiation<float>(table[n]);
    unsetenv("SIGKERNEL_TF_GPU_LAYOUT");
  }
  std::printf("%d instantiations, every %d-th\n", int(table.size()), stride);
}

}  // namespace sigkernel
