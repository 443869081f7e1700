// The functions of SignatureLoops (loops.h) over SIMD packs, for the instruction set that the including file is
// compiled for.
#pragma once

#include "core/arena.h"
#include "core/signature/loops.h"
#include "core/signature/tree.h"
#include "core/simd/interleave.h"
#include "core/simd/pack.h"
#include "core/simd/registers.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

template <class T, int W>
class SignatureWalks {
  using Packed = Pack<T, W>;

  // Walks along stretches side by side, or along a single one. kSteps: how many steps are taken at a time; one where
  // every step's signature is wanted or given.
  template <class V, int kSteps>
  class Walk {
   public:
    Walk(const WordLevels& words, bool with_backward, Arena& arena)
        : words_(words), channels_(words.channels), tree_(words, with_backward, arena) {
      next_bar_ = with_backward ? arena.take<V>(channels_) : nullptr;
      points_bar_ = with_backward ? arena.take<V>(channels_ * kSteps) : nullptr;
    }

    unsigned forward(const Stretches<T>& stretches, T* const* result) {
      measure(stretches);
      tree_.start();
      for (int64_t step = 0; step < longest_; step += kSteps) {
        if (kSteps == 1) deal(tree_.S, words_.num_words, stretches.count, result, step * words_.num_words);
        read_increments(stretches, step);
        tree_.forward();
      }
      deal(tree_.S, words_.num_words, stretches.count, result, kSteps == 1 ? longest_ * words_.num_words : 0);
      return those_not_finite(stretches.count);
    }

    void backward(const Stretches<T>& stretches, const T* const* computed, const T* const* upstream,
                  const StretchGradients<T>& gradients) {
      measure(stretches);
      const int64_t last = kSteps == 1 ? longest_ * words_.num_words : 0;
      interleave<T>(Numbers<T>{computed, last}, words_.num_words, tree_.S);
      interleave<T>(Numbers<T>{upstream, last}, words_.num_words, tree_.S_bar);
      for (int64_t i = 0; i < channels_; ++i) next_bar_[i] = V(0);
      for (int64_t step = (longest_ - 1) / kSteps * kSteps; step >= 0; step -= kSteps) {
        if (kSteps == 1) interleave<T>(Numbers<T>{computed, step * words_.num_words}, words_.num_words, tree_.S);
        read_increments(stretches, step);
        tree_.backward();
        write_gradients(stretches, step, gradients);
        if (kSteps == 1) add_upstream(upstream, step * words_.num_words);
      }
      for (int64_t i = 0; i < channels_; ++i) points_bar_[i] = V(0) - next_bar_[i];
      deal(points_bar_, channels_, stretches.count, gradients.points, 0);
    }

   private:
    static constexpr int kLanes = LanesOf<V>::kCount;

    unsigned those_not_finite(int count) const {
      const int64_t numbers = words_.num_words * kLanes;
      const T* S = reinterpret_cast<const T*>(tree_.S);
      Packed sums[4] = {Packed(0), Packed(0), Packed(0), Packed(0)};  // an addition waits for the one before
      int64_t n = 0;
      for (; n + 4 * W <= numbers; n += 4 * W)
        SIGKERNEL_UNROLL for (int k = 0; k < 4; ++k) sums[k] += load<Packed>(S + n + k * W) * Packed(0);
      for (; n + W <= numbers; n += W) sums[0] += load<Packed>(S + n) * Packed(0);
      const Packed sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);  // of zeros, but for NaN
      T rest(0);
      for (; n < numbers; ++n) rest += S[n] * T(0);
      if (kLanes == 1) return gather<T>(sum) + rest != 0;
      unsigned found = 0;
      for (int lane = 0; lane < count; ++lane) found |= static_cast<unsigned>(sum[lane] != 0) << lane;
      return found;
    }

    void measure(const Stretches<T>& stretches) {
      longest_ = shortest_ = stretches.steps[0];
      for (int lane = 1; lane < stretches.count; ++lane) {
        longest_ = longest_ < stretches.steps[lane] ? stretches.steps[lane] : longest_;
        shortest_ = shortest_ < stretches.steps[lane] ? shortest_ : stretches.steps[lane];
      }
    }

    // Beyond a stretch's end the increments are zero, which leaves signatures as they are.
    void read_increments(const Stretches<T>& stretches, int64_t step) {
      const int64_t left = shortest_ - step, steps = left < kSteps ? (left < 0 ? 0 : left) : kSteps;
      const Differences<T> differences{stretches.points, step * channels_, channels_};
      interleave<T>(differences, steps * channels_, tree_.increments);
      for (int64_t n = steps * channels_; n < kSteps * channels_; ++n) tree_.increments[n] = V(0);
      if (steps == kSteps || longest_ == shortest_) return;
      for (int lane = 0; lane < kLanes; ++lane)
        for (int64_t n = steps * channels_; n < kSteps * channels_; ++n)
          if (step + n / channels_ < stretches.steps[lane])
            set_lane(tree_.increments[n], lane, differences.template get<T>(lane, n));
    }

    // A point moves the increment before it, and the one after it the other way.
    void write_gradients(const Stretches<T>& stretches, int64_t step, const StretchGradients<T>& gradients) {
      V* bar = tree_.increments_bar;
      for (int lane = 0; lane < kLanes; ++lane)
        for (int64_t t = kSteps - 1; t >= 0 && step + t >= stretches.steps[lane]; --t)
          for (int64_t i = 0; i < channels_; ++i) set_lane(bar[t * channels_ + i], lane, T(0));
      const int64_t inside = (kSteps - 1) * channels_;
      for (int64_t n = 0; n < inside; ++n) points_bar_[n] = bar[n] - bar[n + channels_];
      for (int64_t i = 0; i < channels_; ++i) points_bar_[inside + i] = bar[inside + i] - next_bar_[i];
      for (int64_t i = 0; i < channels_; ++i) next_bar_[i] = bar[i];
      const int64_t left = shortest_ - 1 - step, points = left < kSteps ? (left < 0 ? 0 : left) : kSteps;
      deal(points_bar_, points * channels_, stretches.count, gradients.points, (step + 1) * channels_);
      if (points == kSteps) return;
      for (int lane = 0; lane < stretches.count; ++lane)
        for (int64_t t = points; t < kSteps && step + t < stretches.steps[lane]; ++t) {
          const int64_t point = step + t + 1;
          T* to = point < stretches.steps[lane] ? gradients.points[lane] + point * channels_ : gradients.last[lane];
          for (int64_t i = 0; i < channels_; ++i) to[i] = get_lane(points_bar_[t * channels_ + i], lane);
        }
    }

    void add_upstream(const T* const* upstream, int64_t at) {
      V some[kLanes];
      for (int64_t n = 0; n < words_.num_words; n += kLanes) {
        const int64_t left = words_.num_words - n, count = left < kLanes ? left : kLanes;
        interleave<T>(Numbers<T>{upstream, at + n}, count, some);
        for (int64_t k = 0; k < count; ++k) tree_.S_bar[n + k] += some[k];
      }
    }

    const WordLevels& words_;
    const int64_t channels_;
    SignatureTree<V, Packed, kSteps> tree_;
    V *next_bar_, *points_bar_;  // of the increments of the step after, [channels]; of points, [kSteps][channels]
    int64_t longest_ = 0, shortest_ = 0;
  };

  static constexpr int kStepsAtOnce = 8;

  static T inner_product(const T* a, const T* b, int64_t count) {
    Packed sums(0);
    int64_t q = 0;
    for (; q + W <= count; q += W) sums += load<Packed>(a + q) * load<Packed>(b + q);
    T sum = gather<T>(sums);
    for (; q < count; ++q) sum += a[q] * b[q];
    return sum;
  }

  template <class V>
  static int64_t scratch_of(const WordLevels& words) {
    Arena arena(nullptr);
    Walk<V, kStepsAtOnce> walk(words, true, arena);
    return arena.used();
  }

  template <class V, int kSteps>
  static unsigned walk_forward(const WordLevels& words, const Stretches<T>& stretches, T* const* result, void* scratch) {
    Arena arena(scratch);
    return Walk<V, kSteps>(words, false, arena).forward(stretches, result);
  }

  template <class V, int kSteps>
  static void walk_backward(const WordLevels& words, const Stretches<T>& stretches, const T* const* computed,
                            const T* const* upstream, const StretchGradients<T>& gradients, void* scratch) {
    Arena arena(scratch);
    Walk<V, kSteps>(words, true, arena).backward(stretches, computed, upstream, gradients);
  }

 public:
  static int64_t scratch(const WordLevels& words, bool alone) {
    return alone ? scratch_of<T>(words) : scratch_of<Packed>(words);
  }

  static unsigned forward(const WordLevels& words, bool alone, bool stream, const Stretches<T>& stretches,
                          T* const* result, void* scratch) {
    if (alone && stream) return walk_forward<T, 1>(words, stretches, result, scratch);
    if (alone) return walk_forward<T, kStepsAtOnce>(words, stretches, result, scratch);
    if (stream) return walk_forward<Packed, 1>(words, stretches, result, scratch);
    return walk_forward<Packed, kStepsAtOnce>(words, stretches, result, scratch);
  }

  static void backward(const WordLevels& words, bool alone, bool stream, const Stretches<T>& stretches,
                       const T* const* computed, const T* const* upstream, const StretchGradients<T>& gradients,
                       void* scratch) {
    if (alone && stream) return walk_backward<T, 1>(words, stretches, computed, upstream, gradients, scratch);
    if (alone) return walk_backward<T, kStepsAtOnce>(words, stretches, computed, upstream, gradients, scratch);
    if (stream) return walk_backward<Packed, 1>(words, stretches, computed, upstream, gradients, scratch);
    walk_backward<Packed, kStepsAtOnce>(words, stretches, computed, upstream, gradients, scratch);
  }

  // Level n of the product is the sum of a_{n-k} b_k; from the last level down, which reads the ones below as they were.
  static void multiply(const WordLevels& words, T* a, const T* b) {
    for (int n = words.depth; n > 0; --n) {
      T* level = a + words.offset[n];
      const int64_t size = words.offset[n + 1] - words.offset[n];
      for (int k = 1; k <= n; ++k) {
        const T* left = a + words.offset[n - k];
        const T* __restrict__ right = b + words.offset[k];
        const int64_t width = words.offset[k + 1] - words.offset[k];
        for (int64_t p = 0, first = 0; first < size; ++p, first += width) {
          const int64_t count = size - first < width ? size - first : width;
          const T factor = left[p];
          for (int64_t q = 0; q < count; ++q) level[first + q] += factor * right[q];
        }
      }
    }
  }

  // From the first level up: each adds the levels above as they were.
  static void multiply_backward(const WordLevels& words, T* bar, const T* b) {
    for (int m = 0; m < words.depth; ++m) {
      T* level = bar + words.offset[m];
      for (int k = 1; m + k <= words.depth; ++k) {
        const T *above = bar + words.offset[m + k], *right = b + words.offset[k];
        const int64_t size = words.offset[m + k + 1] - words.offset[m + k];
        const int64_t width = words.offset[k + 1] - words.offset[k];
        for (int64_t p = 0, first = 0; first < size; ++p, first += width) {
          const int64_t count = size - first < width ? size - first : width;
          level[p] += inner_product(above + first, right, count);
        }
      }
    }
  }
};

template <class T, int W>
constexpr SignatureLoops<T> make_signature_loops() {
  using Walks = SignatureWalks<T, W>;
  return {W, &Walks::scratch, &Walks::forward, &Walks::backward, &Walks::multiply, &Walks::multiply_backward};
}

}  // namespace
}  // namespace sigkernel
