// The static kernels that depend on the distance r = |x - y| of two points, for unit variance and lengthscale. Each takes
// r² and gives its value and its pull, by which the kernel changes as x moves: d kappa / dx = pull (y - x). Generic over a
// SIMD pack and a dual number. For the files that are compiled for an instruction set.
#pragma once

#include "core/simd/dual_numbers.h"
#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// sqrt(squared) within what its uses can bear: where points coincide its derivative stays finite, and far away so does
// what is multiplied with an exponential that is 0.
template <class N>
SIGKERNEL_INLINE N distance(N squared) {
  return root(min(max(squared, N(1e-36)), N(1e36)));
}

struct Rbf {  // exp(-r²/2)
  template <class N>
  SIGKERNEL_INLINE static N value(N squared) {
    return exp_of_negative(N(-0.5) * squared);
  }
  template <class N>
  SIGKERNEL_INLINE static N pull(N squared) {
    return value(squared);
  }
};

struct Matern12 {  // exp(-r)
  template <class N>
  SIGKERNEL_INLINE static N value(N squared) {
    return exp_of_negative(N(-1.0) * distance(squared));
  }
  template <class N>
  SIGKERNEL_INLINE static N pull(N squared) {
    const N r = distance(squared);
    return exp_of_negative(N(-1.0) * r) / r;
  }
};

struct Matern32 {  // (1 + s) exp(-s), s = √3 r
  template <class N>
  SIGKERNEL_INLINE static N value(N squared) {
    const N s = distance(N(3.0) * squared);
    return (N(1.0) + s) * exp_of_negative(N(-1.0) * s);
  }
  template <class N>
  SIGKERNEL_INLINE static N pull(N squared) {
    return N(3.0) * exp_of_negative(N(-1.0) * distance(N(3.0) * squared));
  }
};

struct Matern52 {  // (1 + s + s²/3) exp(-s), s = √5 r
  template <class N>
  SIGKERNEL_INLINE static N value(N squared) {
    const N s = distance(N(5.0) * squared);
    return (N(1.0) + s + s * s * N(1.0 / 3)) * exp_of_negative(N(-1.0) * s);
  }
  template <class N>
  SIGKERNEL_INLINE static N pull(N squared) {
    const N s = distance(N(5.0) * squared);
    return N(5.0 / 3) * (N(1.0) + s) * exp_of_negative(N(-1.0) * s);
  }
};

}  // namespace
}  // namespace sigkernel
