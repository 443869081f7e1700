// The outermost levels of a branch of tree.h's tree, in registers while the steps go by: for paths in the
// lanes and few letters.
//
// A twig is what grows from one node: its children by kSiblings letters, and of each of those all words by kLetters
// letters, kLevels levels of them. m[k - 1] is the node's message to the k-th level above it.
#pragma once

#include "core/inverse_factorials.h"
#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

constexpr InverseFactorials<63> kInverseFactorials;  // no signature has more levels: tensor_algebra.h's kMaxDepth

// 1 / k!
constexpr double inverse_factorial(int k) { return kInverseFactorials.value[k]; }

template <class V, int kSiblings, int kLetters, int kLevels>
class Twig {
 public:
  // levels[k]: where the words of the k-th level stand, from the twig's first on; this branch's from `at` on.
  SIGKERNEL_INLINE void load(const V* const* levels, int at = 0) {
    SIGKERNEL_UNROLL for (int a = 0; a < kSiblings; ++a) {
      S_[a] = levels[0][at + a];
      children_[a].load(levels + 1, (at + a) * kLetters);
    }
  }

  SIGKERNEL_INLINE void store(V* const* levels, int at = 0) const {
    SIGKERNEL_UNROLL for (int a = 0; a < kSiblings; ++a) {
      levels[0][at + a] = S_[a];
      children_[a].store(levels + 1, (at + a) * kLetters);
    }
  }

  // own: the step by the siblings' letters; dx: by all.
  SIGKERNEL_INLINE void step(const V* m, const V* own, const V* dx) {
    SIGKERNEL_UNROLL for (int a = 0; a < kSiblings; ++a) {
      V messages[kLevels];  // one too many, for there is no array of none
      SIGKERNEL_UNROLL for (int k = 1; k < kLevels; ++k)
        messages[k - 1] = S_[a] * V(inverse_factorial(k)) + m[k] * own[a];
      S_[a] += m[0] * own[a];
      children_[a].step(messages, dx, dx);
    }
  }

 private:
  V S_[kSiblings];
  Twig<V, kLetters, kLetters, kLevels - 1> children_[kSiblings];
};

template <class V, int kSiblings, int kLetters>
class Twig<V, kSiblings, kLetters, 0> {
 public:
  SIGKERNEL_INLINE void load(const V* const*, int) {}
  SIGKERNEL_INLINE void store(V* const*, int) const {}
  SIGKERNEL_INLINE void step(const V*, const V*, const V*) {}
};

// The adjoint. Steps go from the last to the first. Leaves' signatures are not needed, and their derivatives are the
// same at every step.
template <class V, int kSiblings, int kLetters, int kLevels, bool kGoesBack>
class TwigBack {
 public:
  SIGKERNEL_INLINE void load(const V* const* S, const V* const* S_bar, int at = 0) {
    SIGKERNEL_UNROLL for (int a = 0; a < kSiblings; ++a) {
      if constexpr (kLevels > 1) S_[a] = S[0][at + a];
      S_bar_[a] = S_bar[0][at + a];
      children_[a].load(S + 1, S_bar + 1, (at + a) * kLetters);
    }
  }

  SIGKERNEL_INLINE void store(V* const* S, V* const* S_bar, int at = 0) const {
    if constexpr (kLevels > 1)
      SIGKERNEL_UNROLL for (int a = 0; a < kSiblings; ++a) {
        if constexpr (kGoesBack) S[0][at + a] = S_[a];
        S_bar[0][at + a] = S_bar_[a];
        children_[a].store(S + 1, S_bar + 1, (at + a) * kLetters);
      }
  }

  // r: the messages of exp(-dx). Adds to m_bar, own_bar and dx_bar, the derivatives by m, own and dx.
  SIGKERNEL_INLINE void step(const V* m, const V* r, V* m_bar, const V* own, V* own_bar, const V* dx, V* dx_bar) {
    SIGKERNEL_UNROLL for (int a = 0; a < kSiblings; ++a) {
      V messages[kLevels], back[kLevels], bars[kLevels];
      if constexpr (kLevels > 1) {
        const V after = S_[a];
        if constexpr (kGoesBack) S_[a] -= r[0] * own[a];
        SIGKERNEL_UNROLL for (int k = 1; k < kLevels; ++k) {
          messages[k - 1] = S_[a] * V(inverse_factorial(k)) + m[k] * own[a];
          if (kGoesBack && k + 1 < kLevels) back[k - 1] = after * V(inverse_factorial(k)) - r[k] * own[a];
          bars[k - 1] = V(0);
        }
        children_[a].step(messages, back, bars, dx, dx_bar, dx, dx_bar);
      }
      m_bar[0] += S_bar_[a] * own[a];
      own_bar[a] += S_bar_[a] * m[0];
      SIGKERNEL_UNROLL for (int k = 1; k < kLevels; ++k) {
        m_bar[k] += bars[k - 1] * own[a];
        own_bar[a] += bars[k - 1] * m[k];
        S_bar_[a] += bars[k - 1] * V(inverse_factorial(k));
      }
    }
  }

 private:
  V S_[kSiblings], S_bar_[kSiblings];
  TwigBack<V, kLetters, kLetters, kLevels - 1, kGoesBack> children_[kSiblings];
};

template <class V, int kSiblings, int kLetters, bool kGoesBack>
class TwigBack<V, kSiblings, kLetters, 0, kGoesBack> {
 public:
  SIGKERNEL_INLINE void load(const V* const*, const V* const*, int) {}
  SIGKERNEL_INLINE void store(V* const*, V* const*, int) const {}
};

}  // namespace
}  // namespace sigkernel
