// How much memory gradients take on a GPU of 132 multiprocessors, and how many warps work in it. Launches nothing. Prints "all went well"
// when it did.
#include <cuda_runtime.h>

#include "core/goursat/cuda/gradient.cuh"
#include "emulated_device.h"

using namespace sigkernel;

namespace {

constexpr int kMultiprocessors = 132;
constexpr int64_t kMegabyte = int64_t{1} << 20;

template <class T>
GpuProblem<T> problem_of(int64_t pairs, int segments, int channels) {
  GpuProblem<T> problem;
  problem.x_count = problem.y_count = pairs;
  problem.rows = problem.columns = segments;
  problem.channels = channels;
  return problem;
}

void expect_at_most(int64_t got, int64_t most, const std::string& what) {
  if (got > most) ++failures, std::printf("%s: %lld, more than %lld\n", what.c_str(), (long long)got, (long long)most);
}

// Batches of short paths.
template <class T>
void check_scratch(const CudaDevice& device) {
  struct {
    int64_t pairs;
    int segments;
    int64_t most;
  } const cases[] = {{16, 45, 80 * kMegabyte}, {1024, 45, 320 * kMegabyte}};
  for (const auto& c : cases) {
    const GpuProblem<T> problem = problem_of<T>(c.pairs, c.segments, 2);
    const auto needed = BackwardRun<T>(problem, Solver(), device, nullptr, nullptr).memory();
    expect_at_most(needed.of_gradients + needed.of_launches, c.most,
                   "bytes for " + std::to_string(c.pairs) + " pairs of " + std::to_string(c.segments) + " segments");
  }
}

// Long paths: a layout for which memory allows enough warps to keep the multiprocessors busy.
template <class Backward, class T>
void check_warps(int64_t pairs, int segments, int degree, const CudaDevice& device) {
  BackwardLaunch<Backward, T> launch(problem_of<T>(pairs, segments, 2), degree, 0, device);
  launch.carve(DeviceArena(), pairs);
  if (launch.blocks() < 5 * kMultiprocessors)
    ++failures, std::printf("%d pairs of %d segments, degree %d: only %d warps at work in %s\n", int(pairs), segments, degree,
                            int(launch.blocks()), name_of(launch.layout()).c_str());
}

}  // namespace

int main() {
  CudaDevice device;
  device.multiprocessors = kMultiprocessors;
  check_scratch<float>(device);
  check_scratch<double>(device);
  check_warps<Adjoint<FiniteDifference>, double>(1056, 999, 0, device);
  check_warps<Adjoint<PowerSeries<8>>, double>(1056, 999, 8, device);
  check_warps<Adjoint<PowerSeries<8>>, float>(1056, 999, 8, device);
  if (failures > 0) return 1;
  std::printf("all went well\n");
  return 0;
}
