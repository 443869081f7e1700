// Takes a path through the tree of words, a few steps at a time: each word is a node, and the words one letter longer
// are its children.
//
// One step replaces S by S exp(dx), by Horner's recursion of tensor_algebra.h. A word p of level j has an h_j for every
// level n > j, its messages m_k(p) = h_j / k! with k = n - j, and of p and its prefixes its children need no more:
//   m_{k-1}(p i) = S(p i) / (k - 1)! + m_k(p) dx_i   for k > 1,   and S(p i) becomes S(p i) + m_1(p) dx_i.
// A node is visited once for kSteps steps: it reads its parent's messages of all these steps, and leaves its children
// its own. So a signature is read and written once in kSteps steps, depth first, and what lies between is small.
//
// V is a number of one path, or a register with a number of several paths. In the first case the last letters of words
// that are leaves stand side by side in a register, Wide: leaves.h. Otherwise Wide is V, and the outermost
// levels are twigs, where the letters are few: twigs.h.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/arena.h"
#include "core/signature/leaves.h"
#include "core/signature/loops.h"
#include "core/signature/twigs.h"
#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

template <class V, class Wide, int kSteps>
class SignatureTree {
 public:
  // The steps' increments, [kSteps][channels]: those of the next call, to be written.
  V* increments;
  // What backward finds as derivatives by them, [kSteps][channels].
  V* increments_bar;
  V *S, *S_bar;  // [num_words]

  // An arena without memory serves only to count the bytes that are needed.
  SignatureTree(const WordLevels& words, bool with_backward, Arena& arena)
      : words_(words), depth_(words.depth), channels_(words.channels), twig_levels_(levels_in_twigs(words)) {
    increments = arena.take<V>(channels_ * kSteps);
    dx_ = arena.take<V>(channels_ * kSteps);
    S = arena.take<V>(words.num_words);
    S_bar = with_backward ? arena.take<V>(words.num_words) : nullptr;
    increments_bar = with_backward ? arena.take<V>(channels_ * kSteps) : nullptr;
    dx_bar_ = with_backward ? arena.take<V>(channels_ * kSteps) : nullptr;
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
    begin();
    visit(0, 0);
  }

  // S_bar, the derivative by the signature after the steps, becomes that before them. S goes back likewise, by
  // exp(-dx), except for its last level, which is not needed. With one step at a time S must be that before the step.
  void backward() {
    for (int64_t n = 0; n < channels_ * kSteps; ++n) increments_bar[n] = V(0);
    if (depth_ == 0) return;
    begin();
    for (int64_t n = 0; n < channels_ * kSteps; ++n) dx_bar_[n] = V(0);
    for (int64_t n = 0; n < depth_ * kSteps; ++n) {
      r_[0][n] = m_[0][n];
      m_bar_[0][n] = V(0);
    }
    visit_back(0, 0);
    for (int64_t i = 0; i < channels_; ++i)
      for (int t = 0; t < kSteps; ++t) increments_bar[t * channels_ + i] += dx_bar_[i * kSteps + t];
  }

 private:
  static constexpr int kSiblings = 3;  // nodes above the leaves are taken up to as many at once
  static constexpr bool kGoesBack = kSteps > 1;

  // How many of the outermost levels are twigs, or 0. Levels that are cut midway have none.
  static int levels_in_twigs(const WordLevels& words) {
    if (!std::is_same_v<V, Wide> || words.channels > 8) return 0;
    const int levels = words.channels == 2 ? 4 : 2;
    if (words.depth < levels) return 0;
    const int64_t *end = words.offset + words.depth, above = end[0] - end[-1];
    return end[1] - end[0] == above * words.channels ? levels : 0;
  }

  // The root's messages, and the increments by letter.
  void begin() {
    for (int64_t i = 0; i < channels_; ++i)
      for (int t = 0; t < kSteps; ++t) dx_[i * kSteps + t] = increments[t * channels_ + i];
    for (int k = 1; k <= depth_; ++k)
      for (int t = 0; t < kSteps; ++t) m_[0][(k - 1) * kSteps + t] = V(inverse_factorial(k));
  }

  // The children of the node at `place` of level j.
  void visit(int j, int64_t place) {
    if (j + twig_levels_ == depth_ && twig_levels_ > 0) return twigs(ForwardTwigs{*this, j, place});
    if (j + 1 == depth_) return leaves<1>(place, m_[j]);
    if (j + 2 == depth_) return by_siblings(channels_, ForwardAboveLeaves{*this, place});
    for (int64_t i = 0; i < channels_; ++i) {
      advance(j, place, i);
      visit(j + 1, place * channels_ + i);
    }
  }

  void visit_back(int j, int64_t place) {
    if (j + twig_levels_ == depth_ && twig_levels_ > 0) return twigs(BackwardTwigs{*this, j, place});
    if (j + 1 == depth_) return leaves_back<1>(place, m_[j], m_bar_[j]);
    if (j + 2 == depth_) return by_siblings(channels_, BackwardAboveLeaves{*this, place});
    for (int64_t i = 0; i < channels_; ++i) {
      retreat(j, place, i);
      visit_back(j + 1, place * channels_ + i);
      collect(j, place, i);
    }
  }

  // The child by letter i of the node at `place` of level j: its steps, and its messages.
  SIGKERNEL_NOINLINE void advance(int j, int64_t place, int64_t i) {
    V* node = S + words_.offset[j + 1] + place * channels_ + i;
    const V *parent = m_[j], *dx = dx_ + i * kSteps;
    V before[kSteps], now = *node;
    SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) {
      before[t] = now;
      now += parent[t] * dx[t];
    }
    *node = now;
    append(before, j, i);
  }

  SIGKERNEL_INLINE void append(const V (&before)[kSteps], int j, int64_t i) {
    const V* dx = dx_ + i * kSteps;
    for (int k = 2; k <= depth_ - j; ++k) {
      const V *from = m_[j] + (k - 1) * kSteps, factor(inverse_factorial(k - 1));
      V* to = m_[j + 1] + (k - 2) * kSteps;
      SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) to[t] = before[t] * factor + from[t] * dx[t];
    }
  }

  // As advance, from the steps' end to their start. r: the messages of exp(-dx), of the signature after a step.
  SIGKERNEL_NOINLINE void retreat(int j, int64_t place, int64_t i) {
    V* node = S + words_.offset[j + 1] + place * channels_ + i;
    V before[kSteps], now = *node;
    if constexpr (kGoesBack) {
      const V* dx = dx_ + i * kSteps;
      V after[kSteps];
      SIGKERNEL_UNROLL for (int t = kSteps - 1; t >= 0; --t) {
        after[t] = now;
        now -= r_[j][t] * dx[t];
        before[t] = now;
      }
      *node = now;
      for (int k = 2; k < depth_ - j; ++k) {
        const V *from = r_[j] + (k - 1) * kSteps, factor(inverse_factorial(k - 1));
        V* to = r_[j + 1] + (k - 2) * kSteps;
        SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) to[t] = after[t] * factor - from[t] * dx[t];
      }
    } else {
      before[0] = now;
    }
    append(before, j, i);
    for (int n = 0; n < (depth_ - j - 1) * kSteps; ++n) m_bar_[j + 1][n] = V(0);
  }

  // The adjoint of advance: from a child's derivatives to its parent's and to the increments'.
  SIGKERNEL_NOINLINE void collect(int j, int64_t place, int64_t i) {
    V* node_bar = S_bar + words_.offset[j + 1] + place * channels_ + i;
    V* dx_bar = dx_bar_ + i * kSteps;
    V through[kSteps], bar_by_dx[kSteps], dx[kSteps];  // through: what reaches S before the step by way of the messages
    SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) {
      through[t] = V(0);
      bar_by_dx[t] = dx_bar[t];
      dx[t] = dx_[i * kSteps + t];
    }
    for (int k = 2; k <= depth_ - j; ++k) {
      const V *bar = m_bar_[j + 1] + (k - 2) * kSteps, *m = m_[j] + (k - 1) * kSteps, factor(inverse_factorial(k - 1));
      V* m_bar = m_bar_[j] + (k - 1) * kSteps;
      SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) {
        through[t] += bar[t] * factor;
        m_bar[t] += bar[t] * dx[t];
        bar_by_dx[t] += bar[t] * m[t];
      }
    }
    V now = *node_bar;
    SIGKERNEL_UNROLL for (int t = kSteps - 1; t >= 0; --t) {
      m_bar_[j][t] += now * dx[t];
      dx_bar[t] = bar_by_dx[t] + now * m_[j][t];
      now += through[t];
    }
    *node_bar = now;
  }

  // Calls task.run<P>(i) for P siblings from letter i on, until all have had their turn.
  template <class Task>
  SIGKERNEL_INLINE static void by_siblings(int64_t channels, const Task& task) {
    int64_t i = 0;
    while (channels - i > 3 || channels - i == 2) task.template run<2>(i), i += 2;
    if (channels - i == 3) return task.template run<3>(i);
    if (channels - i == 1) task.template run<1>(i);
  }

  // Calls visit.run<D>() for twigs of D letters.
  template <class Visit>
  void twigs(const Visit& visit) {
    if constexpr (std::is_same_v<V, Wide>) {
      switch (channels_) {
        case 2: visit.template run<1, 2, 4>(0); return visit.template run<1, 2, 4>(1);
        case 3: return by_siblings(3, ForTwigs<Visit, 3, 2>{visit});
        case 4: return by_siblings(4, ForTwigs<Visit, 4, 2>{visit});
        case 5: return by_siblings(5, ForTwigs<Visit, 5, 2>{visit});
        case 6: return by_siblings(6, ForTwigs<Visit, 6, 2>{visit});
        case 7: return by_siblings(7, ForTwigs<Visit, 7, 2>{visit});
        case 8: return by_siblings(8, ForTwigs<Visit, 8, 2>{visit});
      }
    }
  }

  template <class Visit, int D, int kLevels>
  struct ForTwigs {
    const Visit& visit;
    template <int P>
    SIGKERNEL_INLINE void run(int64_t i) const {
      visit.template run<P, D, kLevels>(i);
    }
  };

  // Points to the words of level j + 1, from the child by letter i of the node at `place` on, and beyond likewise.
  template <int D, int kLevels>
  SIGKERNEL_INLINE void point_to(V* words, int j, int64_t place, int64_t i, V* (&levels)[kLevels]) const {
    int64_t at = place * D + i;
    SIGKERNEL_UNROLL for (int k = 0; k < kLevels; ++k) {
      levels[k] = words + words_.offset[j + 1 + k] + at;
      at *= D;
    }
  }

  struct ForwardTwigs {
    SignatureTree& tree;
    int j;
    int64_t place;

    template <int P, int D, int kLevels>
    SIGKERNEL_NOINLINE void run(int64_t i) const {
      V* levels[kLevels];
      tree.template point_to<D>(tree.S, j, place, i, levels);
      Twig<V, P, D, kLevels> twig;
      twig.load(levels);
      const V *from = tree.m_[j], *by_letter = tree.dx_, *own_letters = by_letter + i * kSteps;
      for (int t = 0; t < kSteps; ++t) {
        V m[kLevels], own[P], dx[D];
        SIGKERNEL_UNROLL for (int k = 0; k < kLevels; ++k) m[k] = from[k * kSteps + t];
        SIGKERNEL_UNROLL for (int a = 0; a < P; ++a) own[a] = own_letters[a * kSteps + t];
        SIGKERNEL_UNROLL for (int a = 0; a < D; ++a) dx[a] = by_letter[a * kSteps + t];
        twig.step(m, own, dx);
      }
      twig.store(levels);
    }
  };

  struct BackwardTwigs {
    SignatureTree& tree;
    int j;
    int64_t place;

    template <int P, int D, int kLevels>
    SIGKERNEL_NOINLINE void run(int64_t i) const {
      V *levels[kLevels], *levels_bar[kLevels];
      tree.template point_to<D>(tree.S, j, place, i, levels);
      tree.template point_to<D>(tree.S_bar, j, place, i, levels_bar);
      TwigBack<V, P, D, kLevels, kGoesBack> twig;
      twig.load(levels, levels_bar);
      const V *m_from = tree.m_[j], *r_from = tree.r_[j], *by_letter = tree.dx_, *own_letters = by_letter + i * kSteps;
      V *m_bar_to = tree.m_bar_[j], *bar_by_letter = tree.dx_bar_, *own_bar_letters = bar_by_letter + i * kSteps;
      for (int t = kSteps - 1; t >= 0; --t) {
        V m[kLevels], r[kLevels], m_bar[kLevels], own[P], own_bar[P], dx[D], dx_bar[D];
        SIGKERNEL_UNROLL for (int k = 0; k < kLevels; ++k) {
          m[k] = m_from[k * kSteps + t];
          r[k] = r_from[k * kSteps + t];
          m_bar[k] = m_bar_to[k * kSteps + t];
        }
        SIGKERNEL_UNROLL for (int a = 0; a < P; ++a) own[a] = own_letters[a * kSteps + t], own_bar[a] = V(0);
        SIGKERNEL_UNROLL for (int a = 0; a < D; ++a) {
          dx[a] = by_letter[a * kSteps + t];
          dx_bar[a] = bar_by_letter[a * kSteps + t];
        }
        twig.step(m, r, m_bar, own, own_bar, dx, dx_bar);
        SIGKERNEL_UNROLL for (int k = 0; k < kLevels; ++k) m_bar_to[k * kSteps + t] = m_bar[k];
        SIGKERNEL_UNROLL for (int a = 0; a < D; ++a) bar_by_letter[a * kSteps + t] = dx_bar[a];
        SIGKERNEL_UNROLL for (int a = 0; a < P; ++a) own_bar_letters[a * kSteps + t] += own_bar[a];
      }
      twig.store(levels, levels_bar);
    }
  };

  // The siblings above the leaves, where most of the work is: advance, with one message for each, and their leaves.
  struct ForwardAboveLeaves {
    SignatureTree& tree;
    int64_t place;

    template <int P>
    void run(int64_t i) const {
      const int j = tree.depth_ - 2;
      V *node = tree.S + tree.words_.offset[j + 1] + place * tree.channels_ + i, *to = tree.m_[j + 1];
      V m[2][kSteps];
      SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) m[0][t] = tree.m_[j][t], m[1][t] = tree.m_[j][kSteps + t];
      SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) {
        const V* dx = tree.dx_ + (i + p) * kSteps;
        V now = node[p];
        SIGKERNEL_UNROLL for (int t = 0; t < kSteps; ++t) {
          to[p * kSteps + t] = now + m[1][t] * dx[t];
          now += m[0][t] * dx[t];
        }
        node[p] = now;
      }
      tree.template leaves<P>(place * tree.channels_ + i, to);
    }
  };

  // retreat, the leaves, collect.
  struct BackwardAboveLeaves {
    SignatureTree& tree;
    int64_t place;

    template <int P>
    void run(int64_t i) const {
      const int j = tree.depth_ - 2;
      const int64_t at = tree.words_.offset[j + 1] + place * tree.channels_ + i;
      const V *m = tree.m_[j], *r = tree.r_[j];
      V *to = tree.m_[j + 1], *to_bar = tree.m_bar_[j + 1], *m_bar = tree.m_bar_[j];
      SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) {
        const V* dx = tree.dx_ + (i + p) * kSteps;
        V now = tree.S[at + p];
        SIGKERNEL_UNROLL for (int t = kSteps - 1; t >= 0; --t) {
          if (kGoesBack) now -= r[t] * dx[t];
          to[p * kSteps + t] = now + m[kSteps + t] * dx[t];
          to_bar[p * kSteps + t] = V(0);
        }
        if (kGoesBack) tree.S[at + p] = now;
      }
      tree.template leaves_back<P>(place * tree.channels_ + i, to, to_bar);
      V now[P];
      SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) now[p] = tree.S_bar[at + p];
      SIGKERNEL_UNROLL for (int t = kSteps - 1; t >= 0; --t) {
        const V m_one = m[t], m_two = m[kSteps + t];
        V m_bar_one = m_bar[t], m_bar_two = m_bar[kSteps + t];
        SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) {
          const int64_t letter = (i + p) * kSteps + t;
          const V bar = to_bar[p * kSteps + t], dx = tree.dx_[letter];
          m_bar_one += now[p] * dx;
          m_bar_two += bar * dx;
          tree.dx_bar_[letter] += now[p] * m_one + bar * m_two;
          now[p] += bar;
        }
        m_bar[t] = m_bar_one;
        m_bar[kSteps + t] = m_bar_two;
      }
      SIGKERNEL_UNROLL for (int p = 0; p < P; ++p) tree.S_bar[at + p] = now[p];
    }
  };

  // The children, of the last level, of P siblings, from `place` on of the level above.
  template <int P>
  void leaves(int64_t place, const V* m) {
    const int64_t first = words_.offset[depth_] + place * channels_;
    const Leaves<V, Wide, kSteps> leaves{channels_, increments};
    leaves.template forward<P>(S + first, words_.num_words - first, m);
  }

  template <int P>
  void leaves_back(int64_t place, const V* m, V* m_bar) {
    const int64_t first = words_.offset[depth_] + place * channels_;
    const Leaves<V, Wide, kSteps> leaves{channels_, increments};
    leaves.template backward<P>(S_bar + first, words_.num_words - first, m, m_bar, increments_bar);
  }

  const WordLevels& words_;
  const int depth_;
  const int64_t channels_;
  const int twig_levels_;
  V *dx_, *dx_bar_;                   // [channels][kSteps]
  // By level j: of the node that is visited, for the levels j + 1 .. depth, [depth - j][kSteps]; above the leaves, of
  // siblings.
  V *m_[64], *r_[64], *m_bar_[64];
};

}  // namespace
}  // namespace sigkernel
