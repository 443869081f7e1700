// What some of the edges say about a power series' error: see plan.h. Generic over a number and a SIMD pack.
#pragma once

#include "core/arithmetic.h"
#include "core/goursat/cell.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// Sweeps along antidiagonals look at their edges once in so many steps.
constexpr int kStepsToLook = 8;

// Looks at nothing.
struct NoInspection {
  template <class V>
  SIGKERNEL_HOST_DEVICE void look_at(const V*, V, V*) {}
  template <class V>
  SIGKERNEL_HOST_DEVICE void take_tail(V) {}
};

template <class Rule, class V>
class Inspection {
 public:
  // range: of the partial sums of p along the row or column that the edge lies across. Accumulates the first coefficient
  // that it drops, judged by the last one kept and, should that vanish by symmetry, by the one before.
  SIGKERNEL_HOST_DEVICE void look_at(const V* edge, V range, V* dropped) {
    constexpr InverseFactorials<K> inverse{};
    V sum = abs(edge[0]);
    scale = max(scale, sum);
    SIGKERNEL_UNROLL for (int k = 1; k <= K; ++k) sum += abs(edge[k]) * V(inverse.value[k]);
    amplitude = max(amplitude, sum);
    *dropped += range * max(abs(edge[K]) * V(inverse.value[K] / kNext),
                            abs(edge[K - 1]) * range * V(inverse.value[K - 1] / (kNext * K * K)));
  }

  // What the edges along one row or column drop.
  SIGKERNEL_HOST_DEVICE void take_tail(V dropped) { tail = max(tail, dropped); }

  V scale{1.0}, amplitude{0.0}, tail{0.0};

 private:
  static constexpr int K = Rule::kDegree;
  static constexpr double kNext = (K + 1.0) * (K + 1.0);
};

}  // namespace
}  // namespace sigkernel
