// Runs the solver's CUDA kernels under host emulation and compares with the CPU core: every pairing, static kernel, solver
// and dtype, forward, backward and directional, over lengths where lanes, strips and tiles begin and end.
// Arguments: `double` or `float`; `long`, of long paths; `small`, of launches small enough for the race check; `instantiations`, of
// every line of instantiations.h, or of every n-th from the m-th on with `instantiations m n`. Prints "all went well" when it did.

#include <cstdlib>
#include <limits>

#include "core/goursat/cuda/layout.h"
#include "goursat_cases.h"
#include "goursat_instantiations.h"

using namespace sigkernel;

namespace {

std::vector<Solver> solvers(bool is_float) {
  Solver series, loose, coarse, fine, theorem;
  series.tolerance = is_float ? 4.8e-7 : 8.9e-16;
  loose.tolerance = 1e-4;
  coarse.power_series = fine.power_series = theorem.power_series = false;
  fine.dyadic_order = 1;
  theorem.gradient = Gradient::kTheorem41;
  return {series, loose, coarse, fine, theorem};
}

// Paths of one channel, of which a power series needs only the end points, far apart and close.
template <class T>
void run_one_channel(const Solver& series) {
  for (const double scale : {0.7, 5.0}) {
    run<T>({Pairing::kPairs, StaticKernel::kLinear, series, 200, 200, 9, 4, 1, scale});
    run<T>({Pairing::kPairs, StaticKernel::kLinear, series, 3, 3, 1, 4, 1, scale});
    run<T>({Pairing::kGram, StaticKernel::kLinear, series, 3, 5, 6, 9, 1, scale});
    run<T>({Pairing::kSymmetricGram, StaticKernel::kLinear, series, 5, 5, 8, 8, 1, scale});
    run<T>({Pairing::kDiagonal, StaticKernel::kLinear, series, 5, 5, 8, 8, 1, scale});
  }
}

template <class T>
void run_small() {
  for (const Solver& solver : solvers(sizeof(T) == 4))
    for (const StaticKernel kernel : {StaticKernel::kLinear, StaticKernel::kRbf}) {
      run<T>({Pairing::kPairs, kernel, solver, 2, 2, 4, 7, 2});
      run<T>({Pairing::kPairs, kernel, solver, 1, 1, 70, 21, 2});
      run<T>({Pairing::kSymmetricGram, kernel, solver, 3, 3, 5, 5, 2});
      run<T>({Pairing::kDiagonal, kernel, solver, 2, 2, 11, 11, 2});
    }
  const std::vector<Solver> all = solvers(sizeof(T) == 4);
  run_given<T>(all[0], 2, 3, 5);
  run_one_channel<T>(all[0]);
  // Strips shared by the warps of a block; backward, and where a row is too long for shared memory, across blocks.
  run<T>({Pairing::kPairs, StaticKernel::kLinear, all[0], 1, 1, 70, 150, 2});
  run<T>({Pairing::kDiagonal, StaticKernel::kLinear, all[1], 1, 1, 140, 140, 2});
  run<T>({Pairing::kPairs, StaticKernel::kRbf, all[1], 2, 2, 70, 150, 1});
  if (sizeof(T) == 8) run<T>({Pairing::kPairs, StaticKernel::kLinear, all[2], 1, 1, 132, 1600, 1});
}

template <class T>
void run_all() {
  for (const Solver& solver : solvers(sizeof(T) == 4)) {
    for (const StaticKernel kernel : {StaticKernel::kLinear, StaticKernel::kRbf}) {
      for (const auto& [x, y] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {1, 4}, {2, 2}, {2, 9}, {9, 2}, {33, 20}, {34, 70}}) {
        run<T>({Pairing::kPairs, kernel, solver, 3, 3, x, y, 2});
        run<T>({Pairing::kDiagonal, kernel, solver, 2, 2, y, y, 3});
      }
      run<T>({Pairing::kPairs, kernel, solver, 0, 0, 5, 5, 2});
      run<T>({Pairing::kGram, kernel, solver, 3, 5, 6, 9, 5});
      run<T>({Pairing::kGram, kernel, solver, 0, 3, 6, 9, 5});
      run<T>({Pairing::kPairs, kernel, solver, 2, 2, 40, 20, 9});
      run<T>({Pairing::kSymmetricGram, kernel, solver, 5, 5, 8, 8, 2});
    }
    run_given<T>(solver, 3, 5, 9);
    run_given<T>(solver, 1, 70, 40);
    run_given<T>(solver, 2, 0, 3);
  }
  run_one_channel<T>(solvers(sizeof(T) == 4)[0]);
  // Increments that need high degrees and refinements; and many pairs, where groups take several in turn.
  run<T>({Pairing::kPairs, StaticKernel::kLinear, solvers(sizeof(T) == 4)[0], 4, 4, 6, 6, 2, 6.0});
  run<T>({Pairing::kPairs, StaticKernel::kLinear, solvers(sizeof(T) == 4)[0], 200, 200, 5, 5, 2});
}

// Every way of dealing threads to pairs, whatever a shape would get by itself.
template <class T>
void run_layouts(bool is_small) {
  for (const char* const layout : {"group:8:1", "group:8:2", "group:8:4", "group:16:1", "group:16:2", "group:16:4", "group:32:1",
                                   "group:32:2", "group:32:4", "block:32:1", "block:32:2", "block:32:4", "chain:32:1",
                                   "chain:32:2", "chain:32:4"}) {
    setenv("SIGKERNEL_TF_GPU_LAYOUT", layout, 1);
    const bool has_rows = std::string(layout).back() != '1';  // more than one a lane, which only finite differences have
    const bool is_strip = layout[0] != 'g';                   // shared, which only long pairs are
    for (const Solver& solver : solvers(sizeof(T) == 4)) {
      if (has_rows && solver.power_series) continue;
      const int64_t x = is_strip ? (has_rows ? 270 : 70) : 19, y = is_small ? 5 : 41;
      run<T>({Pairing::kPairs, StaticKernel::kLinear, solver, 3, 3, x, y, 3});
      if (is_small) continue;
      run<T>({Pairing::kPairs, StaticKernel::kLinear, solver, 2, 2, y, x, 2});
      if (!solver.power_series) run<T>({Pairing::kPairs, StaticKernel::kLinear, solver, 2, 2, x, 9, 7});
      run<T>({Pairing::kPairs, StaticKernel::kRbf, solver, 2, 2, x, 9, 2});
      run<T>({Pairing::kDiagonal, StaticKernel::kLinear, solver, 3, 3, x, x, 2});
      run<T>({Pairing::kSymmetricGram, StaticKernel::kLinear, solver, 3, 3, x, x, 2});
      run_given<T>(solver, 3, x, 11);
    }
  }
  unsetenv("SIGKERNEL_TF_GPU_LAYOUT");
}

// Increments of all sizes, so that pairs of one call need all degrees, and refinements.
template <class T>
void run_degrees() {
  const Solver series = solvers(sizeof(T) == 4)[0];
  for (const double scale : {0.01, 0.1, 0.3, 0.6, 1.0, 1.5, 2.5, 4.0, 6.0, 9.0})
    for (const StaticKernel kernel : {StaticKernel::kLinear, StaticKernel::kRbf})
      run<T>({Pairing::kPairs, kernel, series, 5, 5, 5, 6, 2, scale});
  run<T>({Pairing::kSymmetricGram, StaticKernel::kLinear, series, 4, 4, 7, 7, 2, 6.0});
  run<T>({Pairing::kDiagonal, StaticKernel::kLinear, series, 4, 4, 12, 12, 2, 5.0});
  for (int degree = gpu_degree_from(0); degree != 0; degree = degree == kLastGpuDegree ? 0 : gpu_degree_from(degree + 1))
    if (plans_seen[sizeof(T) == 8].count(degree) == 0) ++failures, std::printf("no pair of degree %d\n", degree);
  for (const int refinement : {1, 2})
    if (plans_seen[sizeof(T) == 8].count(16 | refinement << 8) == 0) ++failures, std::printf("no pair of refinement %d\n", refinement);
}

// Long paths, few at a time: strips shared within a block and across blocks.
template <class T>
void run_long() {
  const std::vector<Solver> all = solvers(sizeof(T) == 4);
  run<T>({Pairing::kPairs, StaticKernel::kLinear, all[2], 1, 1, 1025, 1025, 2});
  run<T>({Pairing::kPairs, StaticKernel::kLinear, all[0], 1, 1, 1025, 130, 2});
  run<T>({Pairing::kPairs, StaticKernel::kRbf, all[0], 2, 2, 130, 200, 1});
  run<T>({Pairing::kDiagonal, StaticKernel::kLinear, all[2], 1, 1, 300, 300, 2});
  run<T>({Pairing::kDiagonal, StaticKernel::kLinear, all[0], 2, 2, 150, 150, 2});
  for (const Solver& solver : all)
    for (const auto& [x, y] : std::vector<std::pair<int64_t, int64_t>>{{1025, 33}, {33, 1025}, {5000, 33}, {2, 5000}, {5000, 1}})
      run<T>({Pairing::kPairs, StaticKernel::kLinear, solver, 1, 1, x, y, 2});
}

// What is not solved is not a number, and so is what depends on it; all else is as if computed by itself.
template <class T>
void run_failures() {
  for (const Solver& solver : solvers(sizeof(T) == 4)) {
    std::vector<T> X = walks<T>(3, 4, 2, 1), upstream(3, T(1));
    X[8] = std::numeric_limits<T>::quiet_NaN();            // of the second path
    for (int n = 16; n < 24; ++n) X[n] *= T(1e30 * 1e30);  // the third overflows
    KernelProblem<T> problem;
    problem.solver = solver;
    problem.pairing = Pairing::kDiagonal;
    DeviceMemory memory;
    problem.X = problem.Y = {memory.copy(X), 3, 4, 2};
    T *k = memory.numbers<T>(3), *dX = memory.numbers<T>(24), *one = memory.copy(std::vector<T>{1});
    Plan* plan = memory.numbers<Plan>(3);
    signature_kernel_cuda<T>(problem, one, memory.device, k, plan);
    signature_kernel_backward_cuda<T>(problem, one, memory.device, plan, memory.copy(upstream), dX, nullptr, memory.numbers<T>(1));
    const std::vector<T> values = memory.read(k, 3), gradient = memory.read(dX, 24);
    bool is_right = std::isfinite(values[0]) && std::isnan(values[1]) && std::isnan(values[2]);
    for (int n = 0; n < 24; ++n) is_right = is_right && std::isfinite(gradient[n]) == (n < 8);
    if (!is_right) ++failures, std::printf("a NaN or an overflow did not stay where it was\n");
  }
}

// Plans that the CPU made, of degrees and refinements that the GPU has not: a gradient by them is the CPU's all the same. One that no
// solver makes is made anew, too.
template <class T>
void run_plans_of_the_cpu() {
  constexpr int64_t kPairs = 6, kLength = 7, kChannels = 2, kSize = kPairs * kLength * kChannels;
  const bool is_float = sizeof(T) == 4;
  std::set<Plan> seen;
  for (const double scale : {0.1, 0.25, 0.4, 0.6, 0.8, 1.2, 1.6, 2.0, 4.0, 5.5}) {
    const std::vector<T> X = walks<T>(kPairs, kLength, kChannels, scale), Y = walks<T>(kPairs, kLength, kChannels, scale);
    const std::vector<T> upstream(kPairs, T(1)), ones(1, T(1));
    KernelProblem<T> problem;
    problem.solver = solvers(is_float)[0];
    problem.X = {X.data(), kPairs, kLength, kChannels};
    problem.Y = {Y.data(), kPairs, kLength, kChannels};
    std::vector<T> k(kPairs), dX(kSize), dY(kSize), d_variance(1);
    std::vector<Plan> plan(kPairs);
    signature_kernel<T>(problem, one_thread, k.data(), plan.data());
    signature_kernel_backward<T>(problem, one_thread, plan.data(), upstream.data(), dX.data(), dY.data(), d_variance.data());
    seen.insert(plan.begin(), plan.end());
    plan[0] = 255;
    DeviceMemory memory;
    problem.X.values = memory.copy(X);
    problem.Y.values = memory.copy(Y);
    T *device_dX = memory.numbers<T>(kSize), *device_dY = memory.numbers<T>(kSize);
    signature_kernel_backward_cuda<T>(problem, memory.copy(ones), memory.device, memory.copy(plan), memory.copy(upstream), device_dX,
                                      device_dY, memory.numbers<T>(1));
    const std::string what = "a plan of the CPU, scale " + std::to_string(scale) + ": ";
    expect_close(memory.read(device_dX, kSize), dX, is_float ? 3e-3 : 1e-10, what + "dX");
    expect_close(memory.read(device_dY, kSize), dY, is_float ? 3e-3 : 1e-10, what + "dY");
  }
  int foreign = 0;  // degrees that the GPU has not
  for (const Plan plan : seen) foreign += (plan & 0xff) != gpu_degree_from(plan & 0xff);
  if (foreign < 2) ++failures, std::printf("only %d degrees that the GPU has not\n", foreign);
}

// What the operations look for when they are asked to check.
template <class T>
void run_search() {
  DeviceMemory memory;
  std::vector<T> values(5000, T(1));
  const auto expect_first = [&](int64_t expected) {
    const int64_t first = first_not_finite_cuda<T>(memory.copy(values), values.size(), memory.device);
    if (first != expected) ++failures, std::printf("the first not finite is %d, not %d\n", int(first), int(expected));
  };
  expect_first(-1);
  values[4999] = std::numeric_limits<T>::infinity();
  expect_first(4999);
  values[700] = std::numeric_limits<T>::quiet_NaN();
  expect_first(700);
}

struct LayoutCase {
  int64_t pairs, rows, columns;
  int degree, largest_rows_per_lane;
  Sharing sharing;
  int lanes, rows_per_lane;  // 0: whatever it is
};

// In double, on a GPU of 132 multiprocessors.
void check_layouts() {
  const std::vector<LayoutCase> cases = {
      {50, 7, 7, 0, 4, Sharing::kGroup, 8, 1},          // PenDigits
      {50, 29, 29, 10, 1, Sharing::kGroup, 32, 1},       // whale calls
      {1024, 45, 45, 0, 4, Sharing::kGroup, 16, 4},      // one strip
      {1024, 45, 45, 10, 1, Sharing::kGroup, 16, 1},
      {65536, 45, 45, 0, 4, Sharing::kGroup, 8, 2},     // many pairs: the fewest idle lanes
      {128, 255, 255, 0, 4, Sharing::kBlock, 32, 0},
      {32, 1023, 1023, 0, 4, Sharing::kChain, 32, 4},    // few pairs
      {128, 255, 255, 8, 1, Sharing::kBlock, 32, 1},
      {1, 9999, 9999, 0, 4, Sharing::kChain, 32, 0},    // a row does not fit a block's shared memory
      {1, 9999, 9999, 10, 1, Sharing::kChain, 32, 1},
      {1, 2000000, 100, 0, 4, Sharing::kChain, 32, 4},  // nor would a counter for each strip
  };
  for (const LayoutCase& c : cases) {
    GpuShape shape;
    shape.pairs = c.pairs;
    shape.rows = c.rows;
    shape.columns = c.columns;
    shape.degree = c.degree;
    shape.row_bytes = c.degree == 0 ? 16 : 8 * (c.degree + 1);
    shape.largest_rows_per_lane = c.largest_rows_per_lane;
    shape.multiprocessors = 132;
    const GpuLayout got = choose_layout(shape);
    if (got.sharing == c.sharing && (c.lanes == 0 || got.lanes == c.lanes) && (c.rows_per_lane == 0 || got.rows_per_lane == c.rows_per_lane)) continue;
    ++failures;
    std::printf("%d pairs of %d by %d: sharing %d, %d lanes, %d rows a lane, %d warps\n", int(c.pairs), int(c.rows),
                int(c.columns), int(got.sharing), got.lanes, got.rows_per_lane, got.warps);
  }
}

template <class T>
void run_everything() {
  run_all<T>();
  run_layouts<T>(false);
  run_degrees<T>();
  run_failures<T>();
  run_plans_of_the_cpu<T>();
  run_search<T>();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  check_layouts();
  if (what == "small") {
    run_small<double>();
    run_small<float>();
    run_layouts<double>(true);
  } else if (what == "double") {
    run_everything<double>();
  } else if (what == "float") {
    run_everything<float>();
  } else if (what == "long") {
    run_long<double>();
    run_long<float>();
  } else if (what == "instantiations") {
    run_instantiations(argc > 2 ? std::atoi(argv[2]) : 0, argc > 3 ? std::atoi(argv[3]) : 1);
  } else {
    std::printf("needs an argument: double, float, long, small or instantiations\n");
    return 2;
  }
  if (failures > 0) return 1;
  std::printf("all went well\n");
  return 0;
}
