// Which instruction set's kernels serve this machine.

#include "core/goursat_lanes.h"

#include <cstdlib>
#include <cstring>

#include "core/goursat_instruction_sets.h"

namespace sigkernel {
namespace {

template <class T>
const LaneKernels<T>& choose(const LaneKernels<T>& avx512, const LaneKernels<T>& avx2,
                             const LaneKernels<T>& baseline) {
  static const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                                 __builtin_cpu_supports("avx512vl");
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const char* variable = std::getenv("SIGKERNEL_TF_SIMD");
  const auto allows = [variable](const LaneKernels<T>& kernels) {
    return variable == nullptr || *variable == '\0' || std::strcmp(variable, kernels.name) == 0;
  };
  if (has_avx512 && allows(avx512)) return avx512;
  if (has_avx2 && allows(avx2)) return avx2;
  return baseline;
}

}  // namespace

template <>
const LaneKernels<float>& lane_kernels<float>() {
  return choose(kAvx512Float, kAvx2Float, kBaselineFloat);
}

template <>
const LaneKernels<double>& lane_kernels<double>() {
  return choose(kAvx512Double, kAvx2Double, kBaselineDouble);
}

}  // namespace sigkernel
