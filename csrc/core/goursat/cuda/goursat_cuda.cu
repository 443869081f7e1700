// The solver on a GPU. How threads are dealt to pairs is in layout.h; which resolutions there are, in plan.cuh; what is
// launched, in launch.cuh (forward) and gradient.cuh, and for paths of one channel in one_channel.cuh; and what a warp does,
// from the outside in, in forward.cuh, backward.cuh, strips.cuh, sweep.cuh, sweep_back.cuh, reach.cuh, linear_differences.cuh and its
// way back, tile.cuh and problem.cuh.

#include "core/goursat/cuda/goursat_cuda.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/goursat/cuda/gradient.cuh"
#include "core/goursat/cuda/one_channel.cuh"

namespace sigkernel {
namespace {

void check_size(int64_t rows, int64_t columns, int refinement) {
  constexpr int64_t kMost = int64_t{1} << 29;
  if (std::max(rows, columns) > kMost >> std::min(refinement, 62)) {
    throw CudaError("a path of " + std::to_string(std::max(rows, columns)) + " segments at dyadic order " +
                    std::to_string(refinement) + " is longer than the GPU's solver can count");
  }
}

template <class T>
GpuProblem<T> gpu_problem(const KernelProblem<T>& problem, const T* variance) {
  check_size(problem.X.segments(), problem.Y.segments(), problem.solver.dyadic_order);
  GpuProblem<T> result;
  result.increments = problem.static_kernel == StaticKernel::kRbf ? GpuIncrements::kRbf : GpuIncrements::kLinear;
  result.pairing = problem.pairing;
  result.X = problem.X.values;
  result.Y = problem.is_symmetric() ? problem.X.values : problem.Y.values;
  result.variance = variance;
  result.x_count = problem.X.count;
  result.y_count = problem.is_gram() ? problem.Y.count : problem.X.count;
  result.rows = static_cast<int>(problem.X.segments());
  result.columns = static_cast<int>(problem.is_symmetric() ? problem.X.segments() : problem.Y.segments());
  result.channels = static_cast<int>(problem.X.channels);
  return result;
}

template <class T>
GpuProblem<T> gpu_problem(const GoursatProblem<T>& problem) {
  check_size(problem.rows, problem.columns, problem.solver.dyadic_order);
  GpuProblem<T> result;
  result.increments = GpuIncrements::kGiven;
  result.given = problem.increments;
  result.x_count = result.y_count = problem.count;
  result.rows = static_cast<int>(problem.rows);
  result.columns = static_cast<int>(problem.columns);
  return result;
}

// Finds out how far increments reach and with it the first plans. given: see ForwardArguments; of `results`.
template <class T>
void look_for_reach(ForwardArguments<T>& arguments, const Plan* given, int64_t results, const CudaDevice& device) {
  arguments.reach = device.allocate_numbers<T>(arguments.pairs);
  arguments.given = given;
  if (given != nullptr)
    check_cuda(cudaMemcpyAsync(arguments.plan, given, results * sizeof(Plan), cudaMemcpyDeviceToDevice, device.stream), "copying plans");
  ForwardVisitor<T>{arguments, device}.template visit<LineRanges>(0, 0);
}

template <class T>
ForwardArguments<T> forward_arguments(const GpuProblem<T>& problem, const Solver& solver, T* k, Plan* plan) {
  ForwardArguments<T> arguments = {};
  arguments.problem = problem;
  arguments.tolerance = tolerance_with_margin<T>(solver.tolerance);
  arguments.largest_refinement = solver.power_series ? largest_refinement(problem) : 0;
  arguments.pairs = problem.pairs();
  arguments.k = k;
  arguments.plan = plan;
  return arguments;
}

// Plans by which the GPU can take a gradient: the given ones, or where a pair was solved elsewhere, by a degree or refinement that
// the GPU has not, what the last degree needs.
template <class T>
const Plan* own_plans(const GpuProblem<T>& problem, const Solver& solver, const Plan* given, int64_t results, const CudaDevice& device) {
  if (!solver.power_series) return given;
  ForwardArguments<T> arguments =
      forward_arguments(problem, solver, device.allocate_numbers<T>(results), device.allocate_numbers<Plan>(results));
  arguments.is_anew = true;
  look_for_reach(arguments, given, results, device);
  launch_forward_refined(arguments, device);
  return arguments.plan;
}

template <class T>
void solve(const GpuProblem<T>& problem, const Solver& solver, int64_t results, const CudaDevice& device, T* k, Plan* plan) {
  if (results == 0) return;
  if (problem.rows == 0 || problem.columns == 0) {  // a path of one point
    fill<T>(k, results, 1, device);
    fill<Plan>(plan, results, 0, device);
    return;
  }
  ForwardArguments<T> arguments = forward_arguments(problem, solver, k, plan);
  if (solver.power_series) look_for_reach(arguments, nullptr, results, device);
  visit_gpu_rules(solver, ForwardVisitor<T>{arguments, device});
  launch_forward_refined(arguments, device);
}

}  // namespace

template <class T>
void signature_kernel_cuda(const KernelProblem<T>& problem, const T* variance, const CudaDevice& device, T* k, Plan* plan) {
  if (OneChannel<T>::serves(problem)) return one_channel_forward_cuda(problem, device, k, plan);
  solve(gpu_problem(problem, variance), problem.solver, problem.pairs(), device, k, plan);
}

template <class T>
void signature_kernel_backward_cuda(const KernelProblem<T>& problem, const T* variance, const CudaDevice& device,
                                    const Plan* plan, const T* upstream, T* dX, T* dY, T* d_variance) {
  fill<T>(dX, problem.X.size(), 0, device);
  if (!problem.is_symmetric()) fill<T>(dY, problem.Y.size(), 0, device);
  fill<T>(d_variance, 1, 0, device);
  if (OneChannel<T>::serves(problem)) return one_channel_backward_cuda(problem, device, plan, upstream, dX, dY);
  const GpuProblem<T> gpu = gpu_problem(problem, variance);
  if (problem.pairs() == 0 || gpu.rows == 0 || gpu.columns == 0) return;
  GradientTarget<T> target;
  target.dX = dX;
  target.dY = dY;
  target.d_variance = d_variance;
  const Plan* plans = own_plans(gpu, problem.solver, plan, problem.pairs(), device);
  BackwardRun<T>(gpu, problem.solver, device, plans, upstream).run(target);
}

template <class T>
void signature_kernel_directional_cuda(const KernelProblem<T>& problem, const T* variance, const T* direction,
                                       const CudaDevice& device, T* k, T* tangent, Plan* plan) {
  signature_kernel_cuda(problem, variance, device, k, plan);
  if (problem.pairs() == 0) return;
  T* upstream = device.allocate_numbers<T>(problem.pairs());
  fill<T>(upstream, problem.pairs(), 1, device);
  T *dX = device.allocate_numbers<T>(problem.X.size()), *dY = device.allocate_numbers<T>(problem.Y.size());
  KernelProblem<T> exact = problem;
  exact.solver.gradient = Gradient::kAdjoint;  // the derivative of the computed k
  signature_kernel_backward_cuda(exact, variance, device, plan, upstream, dX, dY, device.allocate_numbers<T>(1));
  launch("directional_kernel", directional_kernel<T>, std::min<int64_t>(problem.X.count, int64_t{device.multiprocessors} * 64),
         kBlockThreads, kBlockThreads * sizeof(T), device, dX, direction, problem.X.count, problem.X.length * problem.X.channels, tangent);
}

template <class T>
void solve_goursat_cuda(const GoursatProblem<T>& problem, const CudaDevice& device, T* k, Plan* plan) {
  solve(gpu_problem(problem), problem.solver, problem.count, device, k, plan);
}

template <class T>
void solve_goursat_backward_cuda(const GoursatProblem<T>& problem, const CudaDevice& device, const Plan* plan,
                                 const T* upstream, T* d_increments) {
  const GpuProblem<T> gpu = gpu_problem(problem);
  if (problem.count == 0 || gpu.rows == 0 || gpu.columns == 0) return;
  GradientTarget<T> target;
  target.d_cells = d_increments;
  const Plan* plans = own_plans(gpu, problem.solver, plan, problem.count, device);
  BackwardRun<T>(gpu, problem.solver, device, plans, upstream).run(target);
}

template <class N>
std::vector<N> read_cuda(const N* values, int64_t count, const CudaDevice& device) {
  std::vector<N> result(count);
  check_cuda(cudaMemcpyAsync(result.data(), values, count * sizeof(N), cudaMemcpyDeviceToHost, device.stream), "reading results");
  check_cuda(cudaStreamSynchronize(device.stream), "waiting for results");
  return result;
}
template std::vector<Plan> read_cuda<Plan>(const Plan*, int64_t, const CudaDevice&);

template <class T>
int64_t first_not_finite_cuda(const T* values, int64_t count, const CudaDevice& device) {
  auto* first = device.allocate_numbers<unsigned long long>(1);
  constexpr unsigned long long kNone = ~0ull;
  fill<unsigned long long>(first, 1, kNone, device);
  launch("first_not_finite_kernel", first_not_finite_kernel<T>, blocks_for(count, device), kBlockThreads, 0, device, values, count, first);
  const unsigned long long result = read_cuda(first, 1, device)[0];
  return result == kNone ? -1 : static_cast<int64_t>(result);
}

#define SIGKERNEL_INSTANTIATE(T)                                                                                          \
  template void signature_kernel_cuda<T>(const KernelProblem<T>&, const T*, const CudaDevice&, T*, Plan*);                \
  template void signature_kernel_directional_cuda<T>(const KernelProblem<T>&, const T*, const T*, const CudaDevice&, T*,  \
                                                     T*, Plan*);                                                          \
  template void signature_kernel_backward_cuda<T>(const KernelProblem<T>&, const T*, const CudaDevice&, const Plan*,      \
                                                  const T*, T*, T*, T*);                                                  \
  template void solve_goursat_cuda<T>(const GoursatProblem<T>&, const CudaDevice&, T*, Plan*);                            \
  template void solve_goursat_backward_cuda<T>(const GoursatProblem<T>&, const CudaDevice&, const Plan*, const T*, T*);   \
  template std::vector<T> read_cuda<T>(const T*, int64_t, const CudaDevice&);                                             \
  template int64_t first_not_finite_cuda<T>(const T*, int64_t, const CudaDevice&);
SIGKERNEL_GPU_NUMBERS(SIGKERNEL_INSTANTIATE)
#undef SIGKERNEL_INSTANTIATE

}  // namespace sigkernel
