// The loops that are compiled for each instruction set, as a table; dispatch.cc chooses the table that serves this
// machine.
#pragma once

#include "core/goursat/loops.h"
#include "core/quadratic_forms/loops.h"
#include "core/signature/loops.h"

namespace sigkernel {

// The instruction sets. name: what the environment variable SIGKERNEL_TF_SIMD calls it.
struct Avx512 {
  static constexpr const char* kName = "avx512";
  static constexpr int kRegisterBytes = 64;
};
struct Avx2 {
  static constexpr const char* kName = "avx2";
  static constexpr int kRegisterBytes = 32;
};
struct Baseline {
  static constexpr const char* kName = "baseline";
  static constexpr int kRegisterBytes = 16;
};

template <class T>
struct SimdLoops {
  GoursatLoops<T> goursat;
  SignatureLoops<T> signature;
  PanelLoops<T> panel;
};

// Defined in instruction_set.cc, which is compiled once for each instruction set and type of number.
template <class InstructionSet, class T>
const SimdLoops<T>& loops_of();

}  // namespace sigkernel
