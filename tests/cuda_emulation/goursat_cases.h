// One call of the solver's CUDA kernels under host emulation, compared with the CPU core: of paths, or of increments that are given.
#pragma once

#include <set>

#include "core/goursat/goursat.h"
#include "core/goursat/cuda/goursat_cuda.h"
#include "emulated_device.h"

namespace sigkernel {

inline std::set<Plan> plans_seen[2];  // by float and double

struct Case {
  Pairing pairing;
  StaticKernel static_kernel;
  Solver solver;
  int64_t x_count, y_count, x_length, y_length, channels;
  double scale = 0.7;
};

inline std::string describe(const Case& c, const char* dtype) {
  char text[200];
  std::snprintf(text, sizeof text, "%s pairing %d static kernel %d %s order %d gradient %d, %d and %d paths of %d and %d, %d channels: ",
                dtype, int(c.pairing), int(c.static_kernel), c.solver.power_series ? "series" : "differences",
                c.solver.dyadic_order, int(c.solver.gradient), int(c.x_count), int(c.y_count), int(c.x_length),
                int(c.y_length), int(c.channels));
  return text;
}

// X: [x_count][x_length][channels]; Y: [y_count][y_length][channels], not read where a pairing takes X for it. leeway: by which errors may
// be larger than the solver promises of gentle paths. Returns the device's plans.
template <class T>
std::vector<Plan> run_on(const Case& c, const std::vector<T>& X, const std::vector<T>& Y, T static_variance, const std::string& what,
                         double leeway = 1) {
  const bool is_float = sizeof(T) == 4;
  const double tolerance = leeway * ((is_float ? 3e-5 : 1e-12) + (c.solver.power_series ? 20 * c.solver.tolerance : 0));
  KernelProblem<T> problem;
  problem.pairing = c.pairing;
  problem.static_kernel = c.static_kernel;
  problem.variance = static_variance;
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
  const std::vector<Plan> plans = memory.read(device_plan, pairs);
  plans_seen[!is_float].insert(plans.begin(), plans.end());
  signature_kernel_backward_cuda<T>(on_device, variance, memory.device, device_plan, memory.copy(upstream), device_dX,
                                    device_dY, device_d_variance);
  expect_close(memory.read(device_dX, X.size()), dX, 10 * tolerance, what + "dX");
  if (!problem.is_symmetric()) expect_close(memory.read(device_dY, Y.size()), dY, 10 * tolerance, what + "dY");
  expect_close(memory.read(device_d_variance, 1), d_variance, 10 * tolerance, what + "d_variance");
  if (c.pairing != Pairing::kPairs) return plans;
  const std::vector<T> direction = walks<T>(c.x_count, c.x_length, c.channels, 1);
  signature_kernel_directional<T>(problem, direction.data(), one_thread, k.data(), tangent.data(), plan.data());
  T* device_tangent = memory.numbers<T>(pairs);
  signature_kernel_directional_cuda<T>(on_device, variance, memory.copy(direction), memory.device, device_k, device_tangent, device_plan);
  expect_close(memory.read(device_k, pairs), k, tolerance, what + "k beside its derivative");
  expect_close(memory.read(device_tangent, pairs), tangent, 10 * tolerance, what + "derivative");
  return plans;
}

template <class T>
void run(const Case& c) {
  const std::vector<T> X = walks<T>(c.x_count, c.x_length, c.channels, c.scale);
  const std::vector<T> Y = walks<T>(c.y_count, c.y_length, c.channels, c.scale);
  run_on<T>(c, X, Y, T(1.3), describe(c, sizeof(T) == 4 ? "float" : "double"));
}

// p: [count][rows][columns]. Returns the device's plans.
template <class T>
std::vector<Plan> run_given_on(const Solver& solver, const std::vector<T>& p, int64_t count, int64_t rows, int64_t columns) {
  std::vector<T> k(count), upstream(count, T(0.7)), dp(p.size());
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
  return memory.read(device_plan, count);
}

template <class T>
void run_given(const Solver& solver, int64_t count, int64_t rows, int64_t columns) {
  std::vector<T> p(count * rows * columns);
  std::uniform_real_distribution<double> uniform(-1.0 / double(rows + 1), 2.0 / double(rows + 1));
  for (T& value : p) value = T(uniform(generator));
  run_given_on<T>(solver, p, count, rows, columns);
}

}  // namespace sigkernel
