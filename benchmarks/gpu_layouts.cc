// What benchmarks/gpu_model.py asks of the CUDA code itself: the tiles of each kernel, and how shapes are dealt to threads.
// Arguments: pairs segments, again and again. Compiled for the host like the tests' emulation; launches nothing.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

#include "core/goursat/cuda/gradient.cuh"

using namespace sigkernel;

namespace {

constexpr int kMultiprocessors = 132;  // an H100's

void print_tile(const char* kernel, const char* rule, int degree, const char* dtype, int rows, long shared) {
  std::printf("tile %s %s %d %s %d %ld\n", kernel, rule, degree, dtype, rows, shared);
}

template <class T>
GpuProblem<T> problem_of(int pairs, int segments) {
  GpuProblem<T> problem;
  problem.x_count = problem.y_count = pairs;
  problem.rows = problem.columns = segments;
  return problem;
}

void print_layout(const char* kernel, const char* rule, int degree, const char* dtype, int pairs, int segments, const GpuLayout& layout) {
  std::printf("layout %s %s %d %s %d %d %s %d %d %d\n", kernel, rule, degree, dtype, pairs, segments,
              layout.sharing == Sharing::kGroup ? "group" : layout.sharing == Sharing::kBlock ? "block" : "chain", layout.lanes,
              layout.rows_per_lane, layout.warps);
}

// Calls visit(R) for each number of rows per lane that there is a kernel for.
template <int kMost, class Visitor>
void visit_each_rows(const Visitor& visitor) {
  visitor(std::integral_constant<int, kMost>());
  if constexpr (kMost > 1) visit_each_rows<kMost / 2>(visitor);
}

template <class Backward, class T>
void print_rule(const char* rule, int degree, int argc, char** argv) {
  using Rule = typename Backward::Rule;
  const char* const dtype = sizeof(T) == 4 ? "float" : "double";
  visit_each_rows<kForwardRows<Rule>>([&](auto rows) {
    constexpr int R = decltype(rows)::value;
    using Strip = ForwardStrip<Rule, T, R>;
    print_tile("forward", rule, degree, dtype, R, Strip::tile_bytes(kWarp));
  });
  visit_each_rows<kBackwardRows<Backward, 0>>([&](auto rows) {
    constexpr int R = decltype(rows)::value;
    print_tile("backward", rule, degree, dtype, R, BackwardTask<Backward, T, R>::tile_bytes(kWarp));
  });
  CudaDevice device;
  device.multiprocessors = kMultiprocessors;
  for (int n = 1; n + 1 < argc; n += 2) {
    const int pairs = std::atoi(argv[n]), segments = std::atoi(argv[n + 1]);
    const GpuProblem<T> problem = problem_of<T>(pairs, segments);
    print_layout("forward", rule, degree, dtype, pairs, segments, forward_layout<Rule>(problem, degree, 0, device));
    print_layout("backward", rule, degree, dtype, pairs, segments, BackwardLaunch<Backward, T>(problem, degree, 0, device).layout());
  }
}

template <class T>
void print_rules(int argc, char** argv) {
  print_rule<Adjoint<FiniteDifference>, T>("FiniteDifference", 0, argc, argv);
  print_rule<Theorem41, T>("Theorem41", 0, argc, argv);
  print_rule<Adjoint<PowerSeries<4>>, T>("PowerSeries", 4, argc, argv);
  print_rule<Adjoint<PowerSeries<6>>, T>("PowerSeries", 6, argc, argv);
  print_rule<Adjoint<PowerSeries<8>>, T>("PowerSeries", 8, argc, argv);
  print_rule<Adjoint<PowerSeries<10>>, T>("PowerSeries", 10, argc, argv);
  print_rule<Adjoint<PowerSeries<12>>, T>("PowerSeries", 12, argc, argv);
  print_rule<Adjoint<PowerSeries<16>>, T>("PowerSeries", 16, argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  print_rules<float>(argc, argv);
  print_rules<double>(argc, argv);
}
