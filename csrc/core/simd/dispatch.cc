#include "core/simd/dispatch.h"

#include <cstdlib>
#include <cstring>

namespace sigkernel {
namespace {

// Whether SIGKERNEL_TF_SIMD names this instruction set or none at all.
template <class InstructionSet>
bool is_allowed() {
  const char* asked_for = std::getenv("SIGKERNEL_TF_SIMD");
  return asked_for == nullptr || *asked_for == '\0' || std::strcmp(asked_for, InstructionSet::kName) == 0;
}

// The widest registers that this machine has, unless SIGKERNEL_TF_SIMD asks for avx512, avx2 or baseline. A set that
// this machine does not have is not taken. The variable is read at every call, so that tests can compare the sets in
// one process.
template <class T>
const SimdLoops<T>& chosen_loops() {
  static const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                                 __builtin_cpu_supports("avx512vl");
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx512 && is_allowed<Avx512>()) return loops_of<Avx512, T>();
  if (has_avx2 && is_allowed<Avx2>()) return loops_of<Avx2, T>();
  return loops_of<Baseline, T>();
}

}  // namespace

template <class T>
const GoursatLoops<T>& goursat_loops() {
  return chosen_loops<T>().goursat;
}

template <class T>
const SignatureLoops<T>& signature_loops() {
  return chosen_loops<T>().signature;
}

template <class T>
const PanelLoops<T>& panel_loops() {
  return chosen_loops<T>().panel;
}

#define SIGKERNEL_INSTANTIATE(T)                      \
  template const GoursatLoops<T>& goursat_loops();     \
  template const SignatureLoops<T>& signature_loops(); \
  template const PanelLoops<T>& panel_loops();
SIGKERNEL_INSTANTIATE(float)
SIGKERNEL_INSTANTIATE(double)
#undef SIGKERNEL_INSTANTIATE

}  // namespace sigkernel
