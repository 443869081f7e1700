// The leaves of tree.h's tree, where most of the work is: the words of the last level, some steps at a time.
//
// The leaves that grow from one node are a row, by their last letters. A step adds m dx_i to the leaf by letter i, where
// m is the node's message. Tiles of some rows and columns stay in registers while the steps go by.
#pragma once

#include <cstdint>

#include "core/simd/pack.h"
#include "core/simd/registers.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// Some siblings' rows stand one below the other. V and Wide are tree.h's.
template <class V, class Wide, int kSteps>
struct Leaves {
  int64_t channels;  // the letters of a whole row
  const V* dx;       // [kSteps][channels]

  // The rows of P siblings, as far as the first `kept` words. m: the siblings' messages, [P][kSteps].
  template <int P>
  void forward(V* rows, int64_t kept, const V* m) const {
    if (kept >= P * channels) return step<P>(rows, m, channels);
    for (; kept > 0; kept -= channels, rows += channels, m += kSteps)
      step<1>(rows, m, kept < channels ? kept : channels);
  }

  // The adjoint: adds to m_bar and dx_bar. The derivatives by leaves, rows_bar, are the same at every step.
  template <int P>
  void backward(const V* rows_bar, int64_t kept, const V* m, V* m_bar, V* dx_bar) const {
    if (kept >= P * channels) return step_back<P>(rows_bar, m, m_bar, dx_bar, channels);
    for (; kept > 0; kept -= channels, rows_bar += channels, m += kSteps, m_bar += kSteps)
      step_back<1>(rows_bar, m, m_bar, dx_bar, kept < channels ? kept : channels);
  }

 private:
  // The first `letters` of P rows.
  template <int P>
  void step(V* rows, const V* m, int64_t letters) const {
    cover<P, Wide>(0, letters, Forward<P>{*this, rows, m});
  }

  template <int P>
  void step_back(const V* rows_bar, const V* m, V* m_bar, V* dx_bar, int64_t letters) const {
    cover<P, Wide>(0, letters, Backward<P>{*this, rows_bar, m, m_bar, dx_bar});
  }

  // Covers the letters from i on by tiles of P rows and up to four columns; a column is as many letters as L has lanes
  // that V has not.
  template <int P, class L, class Task>
  SIGKERNEL_INLINE static void cover(int64_t i, int64_t letters, const Task& task) {
    constexpr int kColumn = LanesOf<L>::kCount / LanesOf<V>::kCount;
    while ((letters - i) / kColumn >= 6 || (letters - i) / kColumn == 4) task.template tile<L, 4>(i), i += 4 * kColumn;
    if ((letters - i) / kColumn == 5) task.template tile<L, 3>(i), i += 3 * kColumn;  // not a column on its own
    switch ((letters - i) / kColumn) {
      case 3: task.template tile<L, 3>(i), i += 3 * kColumn; break;
      case 2: task.template tile<L, 2>(i), i += 2 * kColumn; break;
      case 1: task.template tile<L, 1>(i), i += kColumn; break;
    }
    if constexpr (kColumn > 1) cover<P, typename LanesOf<L>::Half>(i, letters, task);
  }

  template <int P>
  struct Forward {
    const Leaves& leaves;
    V* rows;
    const V* m;

    template <class L, int C>
    SIGKERNEL_INLINE void tile(int64_t i) const {
      constexpr int kColumn = LanesOf<L>::kCount / LanesOf<V>::kCount;
      const int64_t channels = leaves.channels;
      const V* steps = leaves.dx + i;
      L sum[P][C];
      SIGKERNEL_UNROLL for (int p = 0; p < P; ++p)
        SIGKERNEL_UNROLL for (int c = 0; c < C; ++c) sum[p][c] = load<L>(rows + p * channels + i + c * kColumn);
      SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t)
        SIGKERNEL_UNROLL for (int c = 0; c < C; ++c) {
          const L step = load<L>(steps + t * channels + c * kColumn);
          SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) sum[p][c] += spread<L>(m[p * kSteps + t]) * step;
        }
      SIGKERNEL_UNROLL for (int p = 0; p < P; ++p)
        SIGKERNEL_UNROLL for (int c = 0; c < C; ++c) store(sum[p][c], rows + p * channels + i + c * kColumn);
    }
  };

  template <int P>
  struct Backward {
    const Leaves& leaves;
    const V* rows_bar;
    const V* m;
    V *m_bar, *dx_bar;

    template <class L, int C>
    SIGKERNEL_INLINE void tile(int64_t i) const {
      constexpr int kColumn = LanesOf<L>::kCount / LanesOf<V>::kCount;
      const int64_t channels = leaves.channels;
      const V* steps = leaves.dx + i;
      V* steps_bar = dx_bar + i;
      L bar[P][C];
      SIGKERNEL_UNROLL for (int p = 0; p < P; ++p)
        SIGKERNEL_UNROLL for (int c = 0; c < C; ++c) bar[p][c] = load<L>(rows_bar + p * channels + i + c * kColumn);
      SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) {
        L sum[P];
        SIGKERNEL_UNROLL for (int c = 0; c < C; ++c) {
          const L step = load<L>(steps + t * channels + c * kColumn);
          L step_bar = load<L>(steps_bar + t * channels + c * kColumn);
          SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) {
            step_bar += bar[p][c] * spread<L>(m[p * kSteps + t]);
            sum[p] = c == 0 ? bar[p][c] * step : sum[p] + bar[p][c] * step;
          }
          store(step_bar, steps_bar + t * channels + c * kColumn);
        }
        SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) m_bar[p * kSteps + t] += gather<V>(sum[p]);
      }
    }
  };
};

}  // namespace
}  // namespace sigkernel
