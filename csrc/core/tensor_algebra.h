// The truncated tensor algebra: words, and the product with an exponential (Chen's identity) beside its adjoint. Every
// formula of the signature stands here, once, generic over the value type V: a float or double, or several of them side
// by side (one lane for each path).
//
// An element of the algebra over `channels` letters is one array of `num_words` values, one for each word, ordered by
// level (the word's number of letters), then lexicographically, () first:
//   (), (0), (1), .., (0,0), (0,1), ..
// Level k starts at offset (channels^k - 1) / (channels - 1), and the word p followed by the letter i stands at place
// p * channels + i of its level, where p stands at place p of its own. The last level may be cut midway: every prefix
// of a word comes before it, so the words kept depend on no word left out, and none of those is computed.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace sigkernel {

// Words over two letters or more. One letter has one word a level and formulas of its own, below.
class Words {
 public:
  SIGKERNEL_HOST_DEVICE Words(int64_t channels, int64_t num_words) : channels_(channels), depth_(-1) {
    int64_t size = 1;
    for (int64_t begin = 0; begin < num_words;) {
      offset_[++depth_] = begin;
      begin = size < num_words - begin ? begin + size : num_words;
      size = size <= num_words / channels ? size * channels : num_words;  // no more than matters, for it might overflow
    }
    offset_[depth_ + 1] = num_words;
    prefixes_of_last_[depth_] = this->size(depth_);
    for (int k = depth_; k > 0; --k) prefixes_of_last_[k - 1] = (prefixes_of_last_[k] + channels - 1) / channels;
  }

  static constexpr int kMaxDepth = 63;  // levels at least double, so that more would hold over 2^63 words

  SIGKERNEL_HOST_DEVICE int64_t channels() const { return channels_; }
  SIGKERNEL_HOST_DEVICE int64_t num_words() const { return offset_[depth_ + 1]; }
  SIGKERNEL_HOST_DEVICE int depth() const { return depth_; }  // the level of the last word
  SIGKERNEL_HOST_DEVICE int64_t offset(int level) const { return offset_[level]; }
  SIGKERNEL_HOST_DEVICE int64_t size(int level) const { return offset_[level + 1] - offset_[level]; }
  // The number of words below the last level: what the functions below need as scratch memory.
  SIGKERNEL_HOST_DEVICE int64_t scratch_size() const { return offset_[depth_]; }

  // How many words of `level` are prefixes of a word of level `of`.
  SIGKERNEL_HOST_DEVICE int64_t prefixes(int level, int of) const {
    return of < depth_ ? size(level) : prefixes_of_last_[level];
  }

 private:
  int64_t channels_;
  int depth_;
  int64_t offset_[kMaxDepth + 2];
  int64_t prefixes_of_last_[kMaxDepth + 1];  // by level
};

// The first `count` words (p, i) of a level: out_pi = a_pi + scale h_p dx_i. Overwrites out, which may be a.
template <class V>
SIGKERNEL_HOST_DEVICE void append_letter(int64_t channels, int64_t count, V scale, const V* __restrict__ h,
                                         const V* __restrict__ dx, const V* a, V* out) {
  for (int64_t p = 0, first = 0; first < count; ++p, first += channels) {
    const int64_t letters = count - first < channels ? count - first : channels;
    const V factor = scale * h[p];
    for (int64_t i = 0; i < letters; ++i) out[first + i] = a[first + i] + factor * dx[i];
  }
}

// out_bar is also the derivative by a, and left alone. Overwrites h_bar, accumulates into dx_bar.
template <class V>
SIGKERNEL_HOST_DEVICE void append_letter_backward(int64_t channels, int64_t count, V scale, const V* __restrict__ h,
                                                  const V* __restrict__ dx, const V* __restrict__ out_bar,
                                                  V* __restrict__ h_bar, V* __restrict__ dx_bar) {
  for (int64_t p = 0, first = 0; first < count; ++p, first += channels) {
    const int64_t letters = count - first < channels ? count - first : channels;
    const V factor = scale * h[p];
    V sum = V(0);
    for (int64_t i = 0; i < letters; ++i) {
      sum += out_bar[first + i] * dx[i];
      dx_bar[i] += factor * out_bar[first + i];
    }
    h_bar[p] = scale * sum;
  }
}

// Level n of S exp(dx) is sum_j S_{n-j} dx^j / j!, evaluated as Horner does:
//   h_0 = S_0,   h_{j+1} = S_{j+1} + h_j dx / (n - j),   and level n is h_n.
// Writes h_0 .. h_{n-1} where S has S_0 .. S_{n-1}, as far as they are prefixes of level n.
template <class V>
SIGKERNEL_HOST_DEVICE void horner(const Words& words, int n, const V* dx, const V* S, V* h) {
  h[0] = S[0];
  for (int j = 0; j + 1 < n; ++j) {
    const int64_t from = words.offset(j), to = words.offset(j + 1);
    append_letter(words.channels(), words.prefixes(j + 1, n), V(1.0 / (n - j)), h + from, dx, S + to, h + to);
  }
}

// Chen's identity for one more segment: S is overwritten by S exp(dx). Overwrites scratch, [words.scratch_size()].
template <class V>
SIGKERNEL_HOST_DEVICE void multiply_exponential(const Words& words, const V* dx, V* S, V* scratch) {
  for (int n = words.depth(); n > 0; --n) {  // from the last level down: each reads the ones below as they were
    horner(words, n, dx, S, scratch);
    V* level = S + words.offset(n);
    append_letter(words.channels(), words.size(n), V(1), scratch + words.offset(n - 1), dx, level, level);
  }
}

// S is the factor that multiply_exponential was given, before it was overwritten, and left alone. S_bar, the derivative
// by the product, is overwritten by the derivative by S. Accumulates into dx_bar. Overwrites scratch,
// [2 words.scratch_size()].
template <class V>
SIGKERNEL_HOST_DEVICE void multiply_exponential_backward(const Words& words, const V* dx, const V* S, V* S_bar,
                                                         V* dx_bar, V* scratch) {
  V *h = scratch, *h_bar = scratch + words.scratch_size();
  for (int n = 1; n <= words.depth(); ++n) {  // from the first level up: each adds to the ones below, already read
    horner(words, n, dx, S, h);
    const V* out_bar = S_bar + words.offset(n);
    for (int j = n - 1; j >= 0; --j) {
      const int64_t at = words.offset(j), count = words.prefixes(j, n);
      append_letter_backward(words.channels(), words.prefixes(j + 1, n), V(1.0 / (n - j)), h + at, dx, out_bar,
                             h_bar + at, dx_bar);
      for (int64_t p = 0; p < count; ++p) S_bar[at + p] += h_bar[at + p];
      out_bar = h_bar + at;
    }
  }
}

// One letter: exp(x) = (1, x, x²/2, ..). Overwrites S, [num_words].
template <class V>
SIGKERNEL_HOST_DEVICE void exponential_of_one_letter(int64_t num_words, V x, V* S) {
  S[0] = V(1);
  for (int64_t n = 1; n < num_words; ++n) S[n] = S[n - 1] * (x / V(n));
}

// Returns the derivative by x, of S = exp(x): each level's is the level below.
template <class V>
SIGKERNEL_HOST_DEVICE V exponential_of_one_letter_backward(int64_t num_words, const V* S, const V* S_bar) {
  V x_bar = V(0);
  for (int64_t n = 1; n < num_words; ++n) x_bar += S_bar[n] * S[n - 1];
  return x_bar;
}

}  // namespace sigkernel
