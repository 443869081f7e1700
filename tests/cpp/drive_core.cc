// Drives the core over random shapes under a sanitizer: every pairing, solver and dtype, forward and backward, along
// lengths where blocks, tiles and strips begin and end, and over empty batches; quadratic forms are compared with plain
// loops. Prints a line when all went well.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <random>
#include <thread>
#include <vector>

#include "core/goursat/goursat.h"
#include "core/quadratic_forms/quadratic_forms.h"
#include "core/signature/signature.h"

using namespace sigkernel;

namespace {

// Ranges of one item each, dealt to three threads.
void three_threads(int64_t count, int64_t, const std::function<void(int64_t, int64_t)>& body) {
  std::atomic<int64_t> next{0};
  const auto work = [&] {
    for (int64_t i = next++; i < count; i = next++) body(i, i + 1);
  };
  std::thread second(work), third(work);
  work();
  second.join();
  third.join();
}

std::mt19937 generator(0);

template <class T>
struct Batch {
  std::vector<T> values;
  Paths<T> paths;

  Batch(int64_t count, int64_t length, int64_t channels) : values(count * length * channels) {
    std::normal_distribution<T> normal(0, T(0.5) / std::sqrt(T(length)));
    for (int64_t n = 0; n < count; ++n)
      for (int64_t d = 0; d < channels; ++d) {
        T at = 0;
        for (int64_t l = 0; l < length; ++l) values[(n * length + l) * channels + d] = at += normal(generator);
      }
    paths = {values.data(), count, length, channels};
  }
};

int failures = 0;

template <class T>
void expect_finite(const std::vector<T>& values, const char* what) {
  for (const T value : values)
    if (!std::isfinite(value)) {
      std::printf("%s is not finite\n", what);
      ++failures;
      return;
    }
}

// From 1 to all points.
template <class T>
std::vector<int32_t> lengths_of(const Paths<T>& paths) {
  std::vector<int32_t> lengths(paths.count);
  for (int64_t n = 0; n < paths.count; ++n) lengths[n] = static_cast<int32_t>(1 + n % paths.length);
  return lengths;
}

template <class T>
void drive_kernel(Pairing pairing, StaticKernel static_kernel, const Solver& solver, int64_t count, int64_t other,
                  int64_t rows, int64_t columns, int64_t channels, bool difference = true, Windows<T> windows = {}) {
  KernelProblem<T> problem;
  const std::vector<T> factors(windows.channels(channels), T(0.1));
  windows.factors = factors.data();
  problem.windows = windows;
  problem.difference = difference;
  problem.static_kernel = static_kernel;
  problem.variance = T(1.5);
  const Batch<T> X(count, rows, channels);
  problem.pairing = pairing;
  problem.solver = solver;
  const Batch<T> Y(pairing == Pairing::kGram ? other : count, columns, channels);
  problem.X = X.paths;
  problem.Y = problem.is_symmetric() ? X.paths : Y.paths;
  const std::vector<int32_t> x_lengths = lengths_of(problem.X), y_lengths = lengths_of(problem.Y);
  problem.X.lengths = x_lengths.data();
  problem.Y.lengths = y_lengths.data();
  std::vector<T> k(problem.pairs()), upstream(problem.pairs(), T(1)), dX(X.values.size()), dY(Y.values.size());
  std::vector<Plan> plan(problem.pairs());
  signature_kernel<T>(problem, three_threads, k.data(), plan.data());
  expect_finite(k, "k");
  for (const Plan one : plan)
    if (one < 0) ++failures;
  std::vector<T> largest(k.size()), of_increments(k.size()), reversed(k.size());
  signature_kernel<T>(problem, three_threads, k.data(), plan.data(),
                      {largest.data(), of_increments.data(), reversed.data()});
  expect_finite(largest, "the largest product");
  expect_finite(of_increments, "the increments' weight");
  expect_finite(reversed, "the reversed k");
  T d_variance;
  std::vector<T> d_factors(factors.size());
  signature_kernel_backward<T>(problem, three_threads, plan.data(), upstream.data(), dX.data(), dY.data(), &d_variance,
                               d_factors.data());
  expect_finite(d_factors, "the factors' gradient");
  expect_finite(std::vector<T>{d_variance}, "the variance's gradient");
  expect_finite(dX, "dX");
  if (!problem.is_symmetric()) expect_finite(dY, "dY");
  if (pairing == Pairing::kPairs && difference && !windows.are_cut()) {
    std::vector<T> tangent(problem.pairs());
    signature_kernel_directional<T>(problem, X.values.data(), three_threads, k.data(), tangent.data(), plan.data());
    expect_finite(tangent, "tangent");
  }
  problem.solver.extended_range = true;
  signature_kernel<T>(problem, three_threads, k.data(), plan.data());
  signature_kernel_backward<T>(problem, three_threads, plan.data(), upstream.data(), dX.data(), dY.data(), &d_variance,
                               d_factors.data());
  expect_finite(k, "k in extended range");
  expect_finite(dX, "dX in extended range");
}

// One pair of a call overflows: it is named, those before it are solved, and those of later blocks are skipped.
template <class T>
void drive_unsolved(Pairing pairing, const Solver& solver) {
  constexpr int64_t kCount = 40, kFar = 3;
  Batch<T> X(kCount, 5, 2);
  for (int64_t l = 0; l < 5; ++l) X.values[kFar * 10 + 2 * l] = (sizeof(T) == 4 ? T(20) : T(120)) * T(l);
  KernelProblem<T> problem;
  problem.X = problem.Y = X.paths;
  problem.pairing = pairing;
  problem.solver = solver;
  std::vector<T> k(problem.pairs());
  std::vector<Plan> plan(problem.pairs());
  const auto one_thread = [](int64_t count, int64_t, const std::function<void(int64_t, int64_t)>& body) {
    body(0, count);
  };
  signature_kernel<T>(problem, one_thread, k.data(), plan.data());
  const int64_t far = problem.is_gram() ? kFar * kCount + kFar : kFar;
  bool is_right = plan[far] == kOverflow && plan.back() == kSkipped;
  for (int64_t n = 0; n < far; ++n) is_right &= plan[n] >= 0 || plan[n] == kSkipped;
  if (is_right) return;
  std::printf("plans of a call with one pair that overflows are %d there and %d at the end\n", plan[far], plan.back());
  ++failures;
}

template <class T>
void drive_increments(const Solver& solver, int64_t count, int64_t rows, int64_t columns) {
  std::vector<T> p(count * rows * columns), k(count), upstream(count, T(1)), dp(p.size());
  std::uniform_real_distribution<T> uniform(-T(1) / T(rows + 1), T(1) / T(rows + 1));
  for (T& value : p) value = uniform(generator);
  std::vector<Plan> plan(count);
  GoursatProblem<T> problem{p.data(), count, rows, columns, solver};
  std::vector<T> largest(count), of_increments(count), reversed(count);
  solve_goursat<T>(problem, three_threads, k.data(), plan.data(),
                   {largest.data(), of_increments.data(), reversed.data()});
  expect_finite(largest, "the largest product");
  expect_finite(reversed, "the reversed k");
  solve_goursat<T>(problem, three_threads, k.data(), plan.data());
  solve_goursat_backward<T>(problem, three_threads, plan.data(), upstream.data(), dp.data());
  expect_finite(k, "k");
  expect_finite(dp, "dp");
}

template <class T>
void drive_signature(int64_t count, int64_t length, int64_t channels, int64_t num_words, bool stream) {
  const Batch<T> X(count, length, channels);
  const SignatureProblem<T> problem{X.values.data(), count, length, channels, num_words, stream};
  std::vector<T> S(count * problem.rows() * num_words), upstream(S.size(), T(1)), dX(X.values.size());
  if (signature<T>(problem, three_threads, S.data()) >= 0) ++failures;
  signature_backward<T>(problem, three_threads, S.data(), upstream.data(), dX.data());
  expect_finite(S, "the signature");
  expect_finite(dX, "the signature's gradient");
}

template <class T>
void expect_close(const std::vector<T>& values, const std::vector<double>& expected, const char* what) {
  double largest = 1, error = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    error = std::max(error, std::abs(values[i] - expected[i]));
  }
  if (values.size() == expected.size() && error <= largest * (sizeof(T) == 4 ? 1e-5 : 1e-13)) return;
  std::printf("%s is %g off where numbers come to %g\n", what, error, largest);
  ++failures;
}

// Where L_ij of a factor of `size` rows stands in its packed numbers x: row by row, the square of x without its first
// `size` numbers, followed by all of x backwards.
int64_t packed_place(int64_t size, int64_t i, int64_t j) {
  const int64_t packed_size = size * (size + 1) / 2, place = i * size + j;
  return place < packed_size - size ? size + place : packed_size - 1 - (place - (packed_size - size));
}

template <class T>
void drive_quadratic_forms(int64_t count, int64_t size, int64_t num_vectors) {
  const int64_t packed_size = size * (size + 1) / 2;
  std::vector<T> factors(count * packed_size), vectors(size * num_vectors), upstream(count * num_vectors);
  std::uniform_real_distribution<T> uniform(-1, 1);
  for (std::vector<T>* numbers : {&factors, &vectors, &upstream})
    for (T& number : *numbers) number = uniform(generator);
  std::vector<T> forms(upstream.size()), products(forms.size() * size);
  std::vector<T> d_factors(factors.size()), d_vectors(vectors.size());
  const QuadraticForms<T> problem{count, size, num_vectors, factors.data(), vectors.data()};
  quadratic_forms<T>(problem, three_threads, forms.data(), products.data());
  quadratic_forms_backward_factors<T>(problem, three_threads, products.data(), upstream.data(), d_factors.data());
  quadratic_forms_backward_vectors<T>(problem, three_threads, products.data(), upstream.data(), d_vectors.data());

  std::vector<double> f(forms.size()), z(products.size()), L_bar(factors.size()), s_bar(vectors.size());
  for (int64_t c = 0; c < count; ++c)
    for (int64_t n = 0; n < num_vectors; ++n) {
      const int64_t row = c * num_vectors + n;
      for (int64_t j = 0; j < size; ++j) {
        double& sum = z[row * size + j];
        for (int64_t i = j; i < size; ++i)
          sum += double(factors[c * packed_size + packed_place(size, i, j)]) * vectors[i * num_vectors + n];
        f[row] += sum * sum;
        for (int64_t i = j; i < size; ++i) {
          const int64_t at = c * packed_size + packed_place(size, i, j);
          L_bar[at] += 2 * upstream[row] * sum * vectors[i * num_vectors + n];
          s_bar[i * num_vectors + n] += 2 * upstream[row] * sum * factors[at];
        }
      }
    }
  expect_close(forms, f, "a quadratic form");
  expect_close(products, z, "a factor's product with a vector");
  expect_close(d_factors, L_bar, "the factors' gradient");
  expect_close(d_vectors, s_bar, "the vectors' gradient");
}

template <class T>
void drive_all() {
  for (const int64_t count : {0, 1, 3})
    for (const int64_t size : {1, 2, 9, 10, 33, 71})  // of odd and even sizes the middle rows are packed differently
      for (const int64_t num_vectors : {0, 1, 7, 10, 45}) drive_quadratic_forms<T>(count, size, num_vectors);
  for (const bool stream : {false, true})
    for (const int64_t count : {0, 1, 19})
      for (const int64_t length : {1, 2, 33})
        for (const auto& [channels, words] : std::vector<std::pair<int64_t, int64_t>>{{1, 7}, {2, 1}, {2, 15}, {3, 50}})
          drive_signature<T>(count, length, channels, words, stream);
  for (const bool stream : {false, true})
    for (int64_t channels = 2; channels < 9; ++channels)  // whole levels, their outermost in registers
      drive_signature<T>(19, 20, channels, 1 + channels + channels * channels + channels * channels * channels, stream);
  for (const bool stream : {false, true}) {
    drive_signature<T>(200, 90, 2, 511, stream);  // enough work for threads
    drive_signature<T>(1, 9, 18, 343, stream);    // one path, its last letters in the lanes
    drive_signature<T>(2, 9, 2, 20000, stream);   // too many words for lanes of paths
    drive_signature<T>(3, 12, 37, 1000, stream);  // its last level cut midway
  }
  drive_signature<T>(1, 1025, 3, 40, false);  // long paths, cut into stretches
  drive_signature<T>(3, 700, 2, 500, false);
  Solver series, coarse, fine, theorem;
  series.tolerance = 1e-6;
  coarse.power_series = fine.power_series = theorem.power_series = false;
  fine.dyadic_order = 2;
  theorem.gradient = Gradient::kTheorem41;
  for (const Solver& solver : {series, coarse, fine, theorem})
    for (const auto& [rows, columns] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {1, 5}, {2, 2}, {33, 18}, {70, 33}}) {
      for (const int64_t count : {0, 1, 3, 18}) drive_increments<T>(solver, count, rows - 1, columns - 1);
      for (const StaticKernel kernel : {StaticKernel::kLinear, StaticKernel::kRbf}) {
        for (const int64_t count : {0, 1, 3, 18}) {
          drive_kernel<T>(Pairing::kPairs, kernel, solver, count, 0, rows, columns, 2);
          drive_kernel<T>(Pairing::kDiagonal, kernel, solver, count, 0, rows, rows, 3);
        }
        drive_kernel<T>(Pairing::kGram, kernel, solver, 3, 19, rows, columns, 5);
        drive_kernel<T>(Pairing::kGram, kernel, solver, 35, 2, rows, columns, 2);
        for (const Pairing pairing : {Pairing::kPairs, Pairing::kGram})  // one channel, where a power series needs no sweep
          drive_kernel<T>(pairing, kernel, solver, 3, 4, rows, columns, 1);
        for (const Pairing pairing : {Pairing::kSymmetricGram, Pairing::kDiagonal})
          drive_kernel<T>(pairing, kernel, solver, 3, 0, rows, rows, 1);
        drive_kernel<T>(Pairing::kGram, kernel, solver, 0, 4, rows, columns, 2);
        drive_kernel<T>(Pairing::kSymmetricGram, kernel, solver, 19, 0, rows, rows, 2);
      }
      for (const StaticKernel kernel : {StaticKernel::kMatern12, StaticKernel::kMatern32, StaticKernel::kMatern52})
        drive_kernel<T>(Pairing::kPairs, kernel, solver, 3, 0, rows, columns, 2);
      for (const StaticKernel kernel : {StaticKernel::kLinear, StaticKernel::kRbf, StaticKernel::kMatern12}) {
        drive_kernel<T>(Pairing::kPairs, kernel, solver, 18, 0, rows, columns, 2, false);
        drive_kernel<T>(Pairing::kGram, kernel, solver, 35, 2, rows, columns, 1, false);
        drive_kernel<T>(Pairing::kSymmetricGram, kernel, solver, 19, 0, rows, rows, 2, false);
        drive_kernel<T>(Pairing::kDiagonal, kernel, solver, 3, 0, rows, rows, 3, false);
      }
    }
  for (const Pairing pairing : {Pairing::kPairs, Pairing::kDiagonal, Pairing::kGram, Pairing::kSymmetricGram})
    drive_unsolved<T>(pairing, series);
  for (const Solver& solver : {series, coarse})
    for (const StaticKernel kernel : {StaticKernel::kLinear, StaticKernel::kRbf})
      drive_kernel<T>(Pairing::kPairs, kernel, solver, 2, 0, 1025, 400, 2);
  const Windows<T> plain{3, 2, 1}, strided{4, 1, 3, true, false, WindowTime::kRelative},
      scaled{2, 3, 2, false, true, WindowTime::kAbsolute}, both{5, 2, 1, true, true};
  for (const Windows<T>& windows : {plain, strided, scaled, both})
    for (const StaticKernel kernel : {StaticKernel::kLinear, StaticKernel::kRbf})
      for (const bool difference : {false, true}) {
        for (const int64_t length : {1, 2, 33}) {
          drive_kernel<T>(Pairing::kPairs, kernel, series, 18, 0, 20, length, 2, difference, windows);
          drive_kernel<T>(Pairing::kGram, kernel, series, 35, 2, length, 20, 1, difference, windows);
        }
        drive_kernel<T>(Pairing::kSymmetricGram, kernel, series, 19, 0, 20, 20, 2, difference, windows);
        drive_kernel<T>(Pairing::kDiagonal, kernel, series, 3, 0, 20, 20, 3, difference, windows);
      }
}

}  // namespace

int main() {
  drive_all<double>();
  drive_all<float>();
  if (failures > 0) return 1;
  std::printf("all went well\n");
  return 0;
}
