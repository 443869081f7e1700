// The loops over SIMD registers of one instruction set, for one type of number. CMakeLists.txt compiles this file once
// for each pair of them: SIGKERNEL_INSTRUCTION_SET is Avx512, Avx2 or Baseline and comes with that set's compiler
// flags, and SIGKERNEL_NUMBER is float or double.
//
// No function that is compiled here may take the place of one in another file, which the linker does with inline
// functions of the same name: it would stop machines that lack the instruction set. So all that is included stands in
// an unnamed namespace or is a template over its register, and no template of the standard library is instantiated.

#include "core/goursat/packed_loops.h"
#include "core/quadratic_forms/packed_loops.h"
#include "core/signature/packed_loops.h"
#include "core/simd/dispatch.h"

namespace sigkernel {

template <class InstructionSet, class T>
const SimdLoops<T>& loops_of() {
  constexpr int kLanes = InstructionSet::kRegisterBytes / sizeof(T);
  static constexpr SimdLoops<T> loops = {make_goursat_loops<T, kLanes>(), make_signature_loops<T, kLanes>(),
                                         make_panel_loops<T, kLanes>()};
  return loops;
}

template const SimdLoops<SIGKERNEL_NUMBER>& loops_of<SIGKERNEL_INSTRUCTION_SET, SIGKERNEL_NUMBER>();

}  // namespace sigkernel
