// What benchmarks/gpu_model.py asks of the CUDA code itself: the tiles of each kernel, and how shapes are dealt to threads.
// Arguments: pairs segments channels, again and again. Compiled for the host like the tests' emulation; launches nothing.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

#include "core/goursat/cuda/gradient.cuh"

using namespace sigkernel;

namespace {

constexpr int kMultiprocessors = 132;  // an H100's

// channels: of a kernel for so many at most; 0: for any.
void print_tile(const char* kernel, const char* rule, int degree, const char* dtype, int rows, int channels, long shared) {
  std::printf("tile %s %s %d %s %d %d %ld\n", kernel, rule, degree, dtype, rows, channels, shared);
}

template <class T>
GpuProblem<T> problem_of(int pairs, int segments, int channels) {
  GpuProblem<T> problem;
  problem.x_count = problem.y_count = pairs;
  problem.rows = problem.columns = segments;
  problem.channels = channels;
  return problem;
}

void print_layout(const char* kernel, const char* rule, int degree, const char* dtype, int pairs, int segments, int channels,
                  const GpuLayout& layout) {
  std::printf("layout %s %s %d %s %d %d %d %s %d %d %d\n", kernel, rule, degree, dtype, pairs, segments, channels,
              layout.sharing == Sharing::kGroup ? "group" : layout.sharing == Sharing::kBlock ? "block" : "chain", layout.lanes,
              layout.rows_per_lane, layout.warps);
}

// Calls visit(R) for each number of rows per lane that there is a kernel for.
template <int kMost, class Visitor>
void visit_each_rows(const Visitor& visitor) {
  visitor(std::integral_constant<int, kMost>());
  if constexpr (kMost > 1) visit_each_rows<kMost / 2>(visitor);
}

// Calls visit(D) for each kind of kernel that there is for a rule: for any number of channels, and for few.
template <class Rule, class Visitor, int... kChannels>
void visit_each_channels(const Visitor& visitor, std::integer_sequence<int, kChannels...>) {
  visitor(std::integral_constant<int, 0>());
  if constexpr (std::is_same_v<Rule, FiniteDifference>) (visitor(std::integral_constant<int, kChannels>()), ...);
}

template <class Rule, class T>
void print_forward(const char* rule, int degree, int argc, char** argv) {
  const char* const dtype = sizeof(T) == 4 ? "float" : "double";
  visit_each_channels<Rule>([&](auto D) {
    visit_each_rows<kForwardRows<Rule>>([&](auto R) {
      print_tile("forward", rule, degree, dtype, R, D, ForwardStrip<Rule, T, decltype(R)::value>::tile_bytes(kWarp));
    });
  }, GpuLinearChannels());
  CudaDevice device;
  device.multiprocessors = kMultiprocessors;
  for (int n = 1; n + 2 < argc; n += 3) {
    const int pairs = std::atoi(argv[n]), segments = std::atoi(argv[n + 1]), channels = std::atoi(argv[n + 2]);
    print_layout("forward", rule, degree, dtype, pairs, segments, channels,
                 forward_layout<Rule>(problem_of<T>(pairs, segments, channels), degree, 0, device));
  }
}

template <class Backward, class T>
void print_rule(const char* rule, int degree, int argc, char** argv) {
  using Rule = typename Backward::Rule;
  const char* const dtype = sizeof(T) == 4 ? "float" : "double";
  print_forward<Rule, T>(rule, degree, argc, argv);
  visit_each_channels<std::conditional_t<std::is_same_v<Backward, Theorem41>, Theorem41, Rule>>([&](auto D) {
    visit_each_rows<kBackwardRows<Backward, decltype(D)::value>>([&](auto R) {
      print_tile("backward", rule, degree, dtype, R, D, BackwardTask<Backward, T, decltype(R)::value, decltype(D)::value>::tile_bytes(kWarp));
    });
  }, GpuLinearChannels());
  CudaDevice device;
  device.multiprocessors = kMultiprocessors;
  for (int n = 1; n + 2 < argc; n += 3) {
    const int pairs = std::atoi(argv[n]), segments = std::atoi(argv[n + 1]), channels = std::atoi(argv[n + 2]);
    const GpuProblem<T> problem = problem_of<T>(pairs, segments, channels);
    print_layout("backward", rule, degree, dtype, pairs, segments, channels, BackwardLaunch<Backward, T>(problem, degree, 0, device).layout());
  }
}

template <class T>
void print_rules(int argc, char** argv) {
  print_forward<LineRanges, T>("LineRanges", 0, argc, argv);
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
