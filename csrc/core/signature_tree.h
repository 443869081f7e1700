// A few steps of a path at a time through the tree of words: each word is a node, and the words one letter longer are
// its children.
//
// One step replaces S by S exp(dx) (Chen's identity). Level n of the product is sum_j S_{n-j} dx^j / j!, evaluated as
// Horner does:
//   h_0 = S_0,   h_{j+1} = S_{j+1} + h_j dx / (n - j),   and level n is h_n,
// so that a word p of level j, followed by the letter i, needs of p the h_j of every level n > j alone: p's messages,
//   m_n(p i) = S(p i) + m_n(p) dx_i / (n - j)   for n > j + 1,   and S(p i) becomes S(p i) + m_{j+1}(p) dx_i.
// A node is visited once for kSteps steps: it reads its parent's messages of all these steps, and leaves its children
// its own. So a signature is read and written once in kSteps steps, depth first, and what lies between is small.
//
// V is a number of one path, or a register with a number of several paths. In the first case the last letters of words
// that are leaves stand side by side in a register, Wide. Otherwise Wide is V.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/arena.h"
#include "core/signature_lanes.h"
#include "core/simd.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

template <class Number>
struct Lanes {
  static constexpr int kCount = 1;
  using Half = Number;
};
template <class T, int W>
struct Lanes<Pack<T, W>> {
  static constexpr int kCount = W;
  using Half = std::conditional_t<W == 2, T, Pack<T, W / 2>>;
};

template <class L, class V>
SIGKERNEL_INLINE L load(const V* from) {
  L to;
  __builtin_memcpy(&to, from, sizeof(L));
  return to;
}

template <class L, class V>
SIGKERNEL_INLINE void store(L number, V* to) {
  __builtin_memcpy(to, &number, sizeof(L));
}

// A number in all lanes.
template <class L, class V>
SIGKERNEL_INLINE L spread(V number) {
  if constexpr (std::is_same_v<L, V>) return number;
  else return L(number - typename L::Register{});
}

// The sum of the lanes that V does not have.
template <class V, class L>
SIGKERNEL_INLINE V gather(L number) {
  if constexpr (std::is_same_v<L, V>) return number;
  else {
    V sum = number[0];
    for (int lane = 1; lane < L::kLanes; ++lane) sum += number[lane];
    return sum;
  }
}

template <class V, class Wide, int kSteps>
class SignatureTree {
 public:
  // The steps' increments, [kSteps][channels]: those of the next call, to be written.
  V* increments;
  // What backward finds as derivatives by them, [kSteps][channels].
  V* increments_bar;
  V *S, *S_bar;  // [num_words]

  // Without memory in the arena, for the size of what is taken alone.
  SignatureTree(const WordLevels& words, bool with_backward, Arena& arena)
      : words_(words), depth_(words.depth), channels_(words.channels) {
    const int64_t by_letter = depth_ * channels_ * kSteps;
    increments = arena.take<V>(channels_ * kSteps);
    dx_ = arena.take<V>(by_letter);
    S = arena.take<V>(words.num_words);
    S_bar = with_backward ? arena.take<V>(words.num_words) : nullptr;
    increments_bar = with_backward ? arena.take<V>(channels_ * kSteps) : nullptr;
    dx_bar_ = with_backward ? arena.take<V>(by_letter) : nullptr;
    for (int j = 0; j < depth_; ++j) {
      const int64_t size = kSiblings * (depth_ - j) * kSteps;
      m_[j] = arena.take<V>(size);
      r_[j] = with_backward ? arena.take<V>(size) : nullptr;
      m_bar_[j] = with_backward ? arena.take<V>(size) : nullptr;
    }
  }

  void start() {
    for (int64_t word = 1; word < words_.num_words; ++word) S[word] = V(0);
    S[0] = V(1);
  }

  // S goes forward by the steps.
  void forward() {
    if (depth_ == 0) return;
    divide();
    for (int64_t n = 0; n < depth_ * kSteps; ++n) m_[0][n] = V(1);
    visit(0, 0);
  }

  // S_bar, the derivative by the signature after the steps, becomes that before them. S goes back likewise, by
  // exp(-dx), except for its last level, which is not needed; with one step it stands there already.
  void backward() {
    for (int64_t n = 0; n < channels_ * kSteps; ++n) increments_bar[n] = V(0);
    if (depth_ == 0) return;
    divide();
    for (int64_t n = 0; n < depth_ * channels_ * kSteps; ++n) dx_bar_[n] = V(0);
    for (int64_t n = 0; n < depth_ * kSteps; ++n) {
      m_[0][n] = r_[0][n] = V(1);
      m_bar_[0][n] = V(0);
    }
    visit_back(0, 0);
    for (int k = 1; k <= depth_; ++k)
      for (int64_t i = 0; i < channels_; ++i)
        for (int t = 0; t < kSteps; ++t)
          increments_bar[t * channels_ + i] += dx_bar_[letter(k, i) + t] * V(1.0 / k);
  }

 private:
  static constexpr int kSiblings = 2;  // nodes above the leaves are taken in pairs
  static constexpr bool kGoesBack = kSteps > 1;

  // The increments by letter, divided by 1 .. depth.
  void divide() {
    for (int k = 1; k <= depth_; ++k)
      for (int64_t i = 0; i < channels_; ++i)
        for (int t = 0; t < kSteps; ++t) dx_[letter(k, i) + t] = increments[t * channels_ + i] * V(1.0 / k);
  }

  int64_t letter(int k, int64_t i) const { return ((k - 1) * channels_ + i) * kSteps; }

  // Of a node of level j: its messages for the level n = j + k, at the k-th place, and those of its siblings behind.
  int64_t messages(int j) const { return (depth_ - j) * kSteps; }

  // The children of the node at `place` of level j.
  void visit(int j, int64_t place) {
    if (j + 1 == depth_) return leaves<1>(place, m_[j]);
    int64_t i = 0;
    if (j + 2 == depth_) {
      for (; i + kSiblings <= channels_; i += kSiblings) {
        advance<kSiblings>(j, place, i);
        leaves<kSiblings>(place * channels_ + i, m_[j + 1]);
      }
    }
    for (; i < channels_; ++i) {
      advance<1>(j, place, i);
      visit(j + 1, place * channels_ + i);
    }
  }

  void visit_back(int j, int64_t place) {
    if (j + 1 == depth_) return leaves_back<1>(place, m_[j], m_bar_[j]);
    int64_t i = 0;
    if (j + 2 == depth_) {
      for (; i + kSiblings <= channels_; i += kSiblings) {
        retreat<kSiblings>(j, place, i);
        leaves_back<kSiblings>(place * channels_ + i, m_[j + 1], m_bar_[j + 1]);
        collect<kSiblings>(j, place, i);
      }
    }
    for (; i < channels_; ++i) {
      retreat<1>(j, place, i);
      visit_back(j + 1, place * channels_ + i);
      collect<1>(j, place, i);
    }
  }

  // P children, from letter i on, of the node at `place` of level j: their steps, and their messages.
  template <int P>
  void advance(int j, int64_t place, int64_t i) {
    V* node = S + words_.offset[j + 1] + place * channels_ + i;
    const V* parent = m_[j];
    V before[P][kSteps];
    SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) {
      const V* dx = dx_ + letter(1, i + p);
      V now = node[p];
      SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) {
        before[p][t] = now;
        now += parent[t] * dx[t];
      }
      node[p] = now;
    }
    append<P>(before, parent, j, i, depth_ - j, m_[j + 1]);
  }

  // The messages of P children of a node of level j, for the levels j + 2 .. j + last.
  template <int P>
  SIGKERNEL_INLINE void append(const V (&S_of)[P][kSteps], const V* parent, int j, int64_t i, int last, V* children) {
    for (int k = 2; k <= last; ++k)
      SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) {
        const V *dx = dx_ + letter(k, i + p), *from = parent + (k - 1) * kSteps;
        V* to = children + p * messages(j + 1) + (k - 2) * kSteps;
        SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) to[t] = S_of[p][t] + from[t] * dx[t];
      }
  }

  // As advance, from the steps' end to their start. r: the messages of exp(-dx), of the signature after a step.
  template <int P>
  void retreat(int j, int64_t place, int64_t i) {
    V* node = S + words_.offset[j + 1] + place * channels_ + i;
    V before[P][kSteps];
    if constexpr (kGoesBack) {
      V after[P][kSteps];
      SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) {
        const V* dx = dx_ + letter(1, i + p);
        V now = node[p];
        SIGKERNEL_UNROLL for (int t = kSteps - 1; t >= 0; --t) {
          after[p][t] = now;
          now -= r_[j][t] * dx[t];
          before[p][t] = now;
        }
        node[p] = now;
      }
      for (int k = 2; k < depth_ - j; ++k)
        SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) {
          const V *dx = dx_ + letter(k, i + p), *from = r_[j] + (k - 1) * kSteps;
          V* to = r_[j + 1] + p * messages(j + 1) + (k - 2) * kSteps;
          SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) to[t] = after[p][t] - from[t] * dx[t];
        }
    } else {
      SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) before[p][0] = node[p];
    }
    append<P>(before, m_[j], j, i, depth_ - j, m_[j + 1]);
    for (int64_t n = 0; n < P * messages(j + 1); ++n) m_bar_[j + 1][n] = V(0);
  }

  // The adjoint of advance: from the children's derivatives to their parent's and to the increments'.
  template <int P>
  void collect(int j, int64_t place, int64_t i) {
    V* node_bar = S_bar + words_.offset[j + 1] + place * channels_ + i;
    SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) {
      const V* children_bar = m_bar_[j + 1] + p * messages(j + 1);
      V through[kSteps];  // what reaches S before the step by way of the messages
      SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) through[t] = V(0);
      for (int k = 2; k <= depth_ - j; ++k) {
        const V *bar = children_bar + (k - 2) * kSteps, *dx = dx_ + letter(k, i + p), *m = m_[j] + (k - 1) * kSteps;
        V *m_bar = m_bar_[j] + (k - 1) * kSteps, *dx_bar = dx_bar_ + letter(k, i + p);
        SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) {
          through[t] += bar[t];
          m_bar[t] += bar[t] * dx[t];
          dx_bar[t] += bar[t] * m[t];
        }
      }
      const V *dx = dx_ + letter(1, i + p), *m = m_[j];
      V *m_bar = m_bar_[j], *dx_bar = dx_bar_ + letter(1, i + p);
      V now = node_bar[p];
      SIGKERNEL_UNROLL for (int t = kSteps - 1; t >= 0; --t) {
        m_bar[t] += now * dx[t];
        dx_bar[t] += now * m[t];
        now += through[t];
      }
      node_bar[p] = now;
    }
  }

  // The children, of the last level, of P siblings, from `place` on of the level above. Only the words that are kept.
  template <int P>
  void leaves(int64_t place, const V* m) {
    const int64_t first = words_.offset[depth_] + place * channels_, left = words_.num_words - first;
    if (left >= P * channels_) return rows<P>(S + first, m, channels_);
    for (int64_t p = 0, rest = left; rest > 0; ++p, rest -= channels_)
      rows<1>(S + first + p * channels_, m + p * kSteps, rest < channels_ ? rest : channels_);
  }

  template <int P>
  void leaves_back(int64_t place, const V* m, V* m_bar) {
    const int64_t first = words_.offset[depth_] + place * channels_, left = words_.num_words - first;
    if (left >= P * channels_) return rows_back<P>(S_bar + first, m, m_bar, channels_);
    for (int64_t p = 0, rest = left; rest > 0; ++p, rest -= channels_)
      rows_back<1>(S_bar + first + p * channels_, m + p * kSteps, m_bar + p * kSteps,
                   rest < channels_ ? rest : channels_);
  }

  template <int P>
  void rows(V* row, const V* m, int64_t letters) {
    cover<P, Wide>(0, letters, Forward<P>{*this, row, m});
  }

  template <int P>
  void rows_back(const V* row_bar, const V* m, V* m_bar, int64_t letters) {
    cover<P, Wide>(0, letters, Backward<P>{*this, row_bar, m, m_bar});
  }

  // Covers the letters from i on by tiles of P rows and up to four columns; a column is as many letters as L has lanes
  // that V has not.
  template <int P, class L, class Task>
  SIGKERNEL_INLINE void cover(int64_t i, int64_t letters, const Task& task) {
    constexpr int kColumn = Lanes<L>::kCount / Lanes<V>::kCount;
    for (; i + 4 * kColumn <= letters; i += 4 * kColumn) task.template tile<L, 4>(i);
    switch ((letters - i) / kColumn) {
      case 3: task.template tile<L, 3>(i), i += 3 * kColumn; break;
      case 2: task.template tile<L, 2>(i), i += 2 * kColumn; break;
      case 1: task.template tile<L, 1>(i), i += kColumn; break;
    }
    if constexpr (kColumn > 1) cover<P, typename Lanes<L>::Half>(i, letters, task);
  }

  template <int P>
  struct Forward {
    SignatureTree& tree;
    V* row;
    const V* m;

    template <class L, int C>
    SIGKERNEL_INLINE void tile(int64_t i) const {
      constexpr int kColumn = Lanes<L>::kCount / Lanes<V>::kCount;
      const int64_t channels = tree.channels_;
      const V* dx = tree.increments + i;
      L sum[P][C];
      SIGKERNEL_UNROLL for (int p = 0; p < P; ++p)
        SIGKERNEL_UNROLL for (int c = 0; c < C; ++c) sum[p][c] = load<L>(row + p * channels + i + c * kColumn);
      SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t)
        SIGKERNEL_UNROLL for (int c = 0; c < C; ++c) {
          const L step = load<L>(dx + t * channels + c * kColumn);
          SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) sum[p][c] += spread<L>(m[p * kSteps + t]) * step;
        }
      SIGKERNEL_UNROLL for (int p = 0; p < P; ++p)
        SIGKERNEL_UNROLL for (int c = 0; c < C; ++c) store(sum[p][c], row + p * channels + i + c * kColumn);
    }
  };

  // The derivatives by leaves are the same at every step.
  template <int P>
  struct Backward {
    SignatureTree& tree;
    const V* row_bar;
    const V* m;
    V* m_bar;

    template <class L, int C>
    SIGKERNEL_INLINE void tile(int64_t i) const {
      constexpr int kColumn = Lanes<L>::kCount / Lanes<V>::kCount;
      const int64_t channels = tree.channels_;
      const V* dx = tree.increments + i;
      V* dx_bar = tree.increments_bar + i;
      L bar[P][C];
      SIGKERNEL_UNROLL for (int p = 0; p < P; ++p)
        SIGKERNEL_UNROLL for (int c = 0; c < C; ++c) bar[p][c] = load<L>(row_bar + p * channels + i + c * kColumn);
      SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) {
        L sum[P];
        SIGKERNEL_UNROLL for (int c = 0; c < C; ++c) {
          const L step = load<L>(dx + t * channels + c * kColumn);
          L step_bar = load<L>(dx_bar + t * channels + c * kColumn);
          SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) {
            step_bar += bar[p][c] * spread<L>(m[p * kSteps + t]);
            sum[p] = c == 0 ? bar[p][c] * step : sum[p] + bar[p][c] * step;
          }
          store(step_bar, dx_bar + t * channels + c * kColumn);
        }
        SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) m_bar[p * kSteps + t] += gather<V>(sum[p]);
      }
    }
  };

  const WordLevels& words_;
  const int depth_;
  const int64_t channels_;
  V *dx_, *dx_bar_;                   // [depth][channels][kSteps]
  V *m_[64], *r_[64], *m_bar_[64];    // by level: of the node that is visited, [kSiblings][depth - j][kSteps]
};

}  // namespace
}  // namespace sigkernel
