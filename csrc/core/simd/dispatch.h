// Which instruction set's kernels serve this machine.
#pragma once

#include <cstdlib>
#include <cstring>

namespace sigkernel {

// The best for this machine, unless the environment variable SIGKERNEL_TF_SIMD asks for another by its name: avx512,
// avx2 or baseline. One that this machine does not have is not taken.
template <class Kernels>
const Kernels& choose_kernels(const Kernels& avx512, const Kernels& avx2, const Kernels& baseline) {
  static const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                                 __builtin_cpu_supports("avx512vl");
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const char* variable = std::getenv("SIGKERNEL_TF_SIMD");
  const auto allows = [variable](const Kernels& kernels) {
    return variable == nullptr || *variable == '\0' || std::strcmp(variable, kernels.name) == 0;
  };
  if (has_avx512 && allows(avx512)) return avx512;
  if (has_avx2 && allows(avx2)) return avx2;
  return baseline;
}

}  // namespace sigkernel
