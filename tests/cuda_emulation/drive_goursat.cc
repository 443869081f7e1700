// Runs the solver's CUDA kernels under host emulation and compares with the CPU core: every pairing, static kernel, solver
// and dtype, forward, backward and directional, over lengths where lanes, strips and tiles begin and end.
// Arguments: `all`, or `small`, of launches small enough for the race check. Prints "all went well" when it did.

#include "core/goursat.h"
#include "core/goursat_cuda.h"
#include "core/goursat_gpu_layout.h"
#include "emulated_device.h"

using namespace sigkernel;

namespace {

struct Case {
  Pairing pairing;
  StaticKernel static_kernel;
  Solver solver;
  int64_t x_count, y_count, x_length, y_length, channels;
  double scale = 0.7;
};

std::string describe(const Case& c, const char* dtype) {
  char text[200];
  std::snprintf(text, sizeof text, "%s pairing %d static kernel %d %s order %d gradient %d, %d and %d paths of %d and %d, %d channels: ",
                dtype, int(c.pairing), int(c.static_kernel), c.solver.power_series ? "series" : "differences",
                c.solver.dyadic_order, int(c.solver.gradient), int(c.x_count), int(c.y_count), int(c.x_length),
                int(c.y_length), int(c.channels));
  return text;
}

template <class T>
void run(const Case& c) {
  const bool is_float = sizeof(T) == 4;
  const std::string what = describe(c, is_float ? "float" : "double");
  const double tolerance = (is_float ? 3e-5 : 1e-12) + (c.solver.power_series ? 20 * c.solver.tolerance : 0);
  const std::vector<T> X = walks<T>(c.x_count, c.x_length, c.channels, c.scale);
  const std::vector<T> Y = walks<T>(c.y_count, c.y_length, c.channels, c.scale);
  KernelProblem<T> problem;
  problem.pairing = c.pairing;
  problem.static_kernel = c.static_kernel;
  problem.variance = T(1.3);
  problem.solver = c.solver;
  problem.X = {X.data(), c.x_count, c.x_length, c.channels};
  problem.Y = problem.is_symmetric() ? problem.X : Paths<T>{Y.data(), c.y_count, c.y_length, c.channels};
  const int64_t pairs = problem.pairs();
  std::vector<T> k(pairs), upstream(pairs), dX(X.size()), dY(Y.size()), d_variance(1), tangent(pairs);
  std::vector<Plan> plan(pairs);
  std::uniform_real_distribution<double> uniform(0.5, 1.5);
  for (T& one : upstream) one = T(uniform(generator));
  signature_kernel<T>(problem, one_thread, k.data(), plan.data());
  signature_kernel_backward<T>(problem, one_thread, plan.data(), upstream.data(), dX.data(), dY.data(), d_variance.data());

  DeviceMemory memory;
  KernelProblem<T> on_device = problem;
  on_device.X.values = memory.copy(X);
  on_device.Y.values = problem.is_symmetric() ? on_device.X.values : memory.copy(Y);
  const T* variance = memory.copy(std::vector<T>{problem.variance});
  T *device_k = memory.numbers<T>(pairs), *device_dX = memory.numbers<T>(X.size()), *device_dY = memory.numbers<T>(Y.size());
  T* device_d_variance = memory.numbers<T>(1);
  Plan* device_plan = memory.numbers<Plan>(pairs);
  signature_kernel_cuda<T>(on_device, variance, memory.device, device_k, device_plan);
  expect_close(memory.read(device_k, pairs), k, tolerance, what + "k");
  signature_kernel_backward_cuda<T>(on_device, variance, memory.device, device_plan, memory.copy(upstream), device_dX,
                                    device_dY, device_d_variance);
  expect_close(memory.read(device_dX, X.size()), dX, 10 * tolerance, what + "dX");
  if (!problem.is_symmetric()) expect_close(memory.read(device_dY, Y.size()), dY, 10 * tolerance, what + "dY");
  expect_close(memory.read(device_d_variance, 1), d_variance, 10 * tolerance, what + "d_variance");
  if (c.pairing != Pairing::kPairs) return;
  const std::vector<T> direction = walks<T>(c.x_count, c.x_length, c.channels, 1);
  signature_kernel_directional<T>(problem, direction.data(), one_thread, k.data(), tangent.data(), plan.data());
  T* device_tangent = memory.numbers<T>(pairs);
  signature_kernel_directional_cuda<T>(on_device, variance, memory.copy(direction), memory.device, device_k, device_tangent, device_plan);
  expect_close(memory.read(device_k, pairs), k, tolerance, what + "k beside its derivative");
  expect_close(memory.read(device_tangent, pairs), tangent, 10 * tolerance, what + "derivative");
}

template <class T>
void run_given(const Solver& solver, int64_t count, int64_t rows, int64_t columns) {
  std::vector<T> p(count * rows * columns), k(count), upstream(count, T(0.7)), dp(p.size());
  std::uniform_real_distribution<double> uniform(-1.0 / double(rows + 1), 2.0 / double(rows + 1));
  for (T& value : p) value = T(uniform(generator));
  std::vector<Plan> plan(count);
  GoursatProblem<T> problem{p.data(), count, rows, columns, solver};
  solve_goursat<T>(problem, one_thread, k.data(), plan.data());
  solve_goursat_backward<T>(problem, one_thread, plan.data(), upstream.data(), dp.data());
  DeviceMemory memory;
  GoursatProblem<T> on_device = problem;
  on_device.increments = memory.copy(p);
  T *device_k = memory.numbers<T>(count), *device_dp = memory.numbers<T>(p.size());
  Plan* device_plan = memory.numbers<Plan>(count);
  solve_goursat_cuda<T>(on_device, memory.device, device_k, device_plan);
  solve_goursat_backward_cuda<T>(on_device, memory.device, device_plan, memory.copy(upstream), device_dp);
  const double tolerance = (sizeof(T) == 4 ? 3e-5 : 1e-12) + (solver.power_series ? 20 * solver.tolerance : 0);
  const std::string what = "given increments, " + std::to_string(rows) + " by " + std::to_string(columns) + ": ";
  expect_close(memory.read(device_k, count), k, tolerance, what + "k");
  expect_close(memory.read(device_dp, p.size()), dp, 10 * tolerance, what + "dp");
}

std::vector<Solver> solvers(bool is_float) {
  Solver series, loose, coarse, fine, theorem;
  series.tolerance = is_float ? 4.8e-7 : 8.9e-16;
  loose.tolerance = 1e-4;
  coarse.power_series = fine.power_series = theorem.power_series = false;
  fine.dyadic_order = 1;
  theorem.gradient = Gradient::kTheorem41;
  return {series, loose, coarse, fine, theorem};
}

template <class T>
void run_small() {
  for (const Solver& solver : solvers(sizeof(T) == 4))
    for (const StaticKernel kernel : {StaticKernel::kLinear, StaticKernel::kRbf}) {
      run<T>({Pairing::kPairs, kernel, solver, 2, 2, 4, 7, 2});
      run<T>({Pairing::kPairs, kernel, solver, 1, 1, 70, 21, 1});
      run<T>({Pairing::kSymmetricGram, kernel, solver, 3, 3, 5, 5, 1});
      run<T>({Pairing::kDiagonal, kernel, solver, 2, 2, 11, 11, 2});
    }
  const std::vector<Solver> all = solvers(sizeof(T) == 4);
  run_given<T>(all[0], 2, 3, 5);
  // Strips shared by the warps of a block; backward, and where a row is too long for shared memory, across blocks.
  run<T>({Pairing::kPairs, StaticKernel::kLinear, all[0], 1, 1, 70, 150, 1});
  run<T>({Pairing::kDiagonal, StaticKernel::kLinear, all[1], 1, 1, 140, 140, 1});
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
      run<T>({Pairing::kSymmetricGram, kernel, solver, 5, 5, 8, 8, 2});
    }
    run_given<T>(solver, 3, 5, 9);
    run_given<T>(solver, 1, 70, 40);
    run_given<T>(solver, 2, 0, 3);
  }
  // Increments that need high degrees and refinements; and many pairs, where groups take several in turn.
  run<T>({Pairing::kPairs, StaticKernel::kLinear, solvers(sizeof(T) == 4)[0], 4, 4, 6, 6, 2, 6.0});
  run<T>({Pairing::kPairs, StaticKernel::kLinear, solvers(sizeof(T) == 4)[0], 200, 200, 5, 5, 2});
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
  run<T>({Pairing::kPairs, StaticKernel::kLinear, all[2], 1, 1, 5000, 60, 1});
  run<T>({Pairing::kPairs, StaticKernel::kLinear, all[1], 1, 1, 40, 5000, 1});
}

void expect_layout(const GpuShape& shape, const GpuLayout& expected, const char* what) {
  const GpuLayout got = choose_layout(shape);
  if (got.sharing == expected.sharing && got.lanes == expected.lanes && got.rows_per_lane == expected.rows_per_lane &&
      got.warps == expected.warps)
    return;
  ++failures;
  std::printf("%s: dealt as sharing %d, %d lanes, %d rows a lane, %d warps\n", what, int(got.sharing), got.lanes,
              got.rows_per_lane, got.warps);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "all";
  if (what == "small") {
    run_small<double>();
    run_small<float>();
  } else {
    run_all<double>();
    run_all<float>();
    run_long<double>();
    run_long<float>();
  }
  if (failures > 0) return 1;
  std::printf("all went well\n");
  return 0;
}
