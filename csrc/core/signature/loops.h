// The truncated signature's inner loops: stretches of paths side by side, one in each lane of a SIMD register, or one
// stretch alone with its last letters in the lanes. simd/instruction_set.cc compiles them once for each instruction
// set, and one set is chosen at run time. Only plain data goes in and out.
#pragma once

#include <cstdint>

namespace sigkernel {

constexpr int kMaxStretches = 16;

// The words of tensor_algebra.h over two letters or more, as plain numbers.
struct WordLevels {
  int64_t channels, num_words;
  int depth;           // the level of the last word
  int64_t offset[65];  // where a level starts; that beyond the last is num_words
};

// Stretches of paths, `count` of them; the pointers beyond are those of the first.
template <class T>
struct Stretches {
  int count = 0;
  int64_t steps[kMaxStretches];     // increments of each
  const T* points[kMaxStretches];   // [steps + 1][channels]
};

// Where the gradient of a stretch goes; overwritten.
template <class T>
struct StretchGradients {
  T* points[kMaxStretches];  // of all points but the last, [steps][channels]
  T* last[kMaxStretches];    // of the last, [channels]
};

template <class T>
struct SignatureLoops {
  int lanes;
  // How many bytes of scratch memory forward and backward need, aligned to 64 bytes. alone: for one stretch at a time.
  int64_t (*scratch)(const WordLevels& words, bool alone);
  // Overwrites result, for each stretch its signature [num_words], or with stream those of all its beginnings,
  // [steps + 1][num_words], where all have the same number of steps. Returns a bit for each stretch, by number: whether
  // its signature, the last, has a number that is not finite.
  unsigned (*forward)(const WordLevels& words, bool alone, bool stream, const Stretches<T>& stretches, T* const* result,
                  void* scratch);
  // computed: for each stretch the signature of its path up to the stretch's end, [num_words]; upstream: the derivative
  // by it, [num_words]. With stream both have as many rows as forward's result. Neither is overwritten.
  void (*backward)(const WordLevels& words, bool alone, bool stream, const Stretches<T>& stretches,
                   const T* const* computed, const T* const* upstream, const StretchGradients<T>& gradients,
                   void* scratch);
  // Chen's identity: a is overwritten by the product of a and b.
  void (*multiply)(const WordLevels& words, T* a, const T* b);
  // The derivative by a of that product: overwrites the derivative by the product.
  void (*multiply_backward)(const WordLevels& words, T* bar, const T* b);
};

// Those of the instruction set that simd/dispatch.cc chooses.
template <class T>
const SignatureLoops<T>& signature_loops();

}  // namespace sigkernel
