// The truncated tensor algebra: its words, and how a step multiplies by an exponential (Chen's identity), which
// tree.h and signature_cuda.cu do each in the order that suits it.
//
// An element of the algebra over `channels` letters is one array of `num_words` values, one for each word, ordered by
// level (the word's number of letters), then lexicographically, () first:
//   (), (0), (1), .., (0,0), (0,1), ..
// Level k starts at offset (channels^k - 1) / (channels - 1), and the word p followed by the letter i stands at place
// p * channels + i of its level, where p stands at place p of its own. The last level may be cut midway: every prefix
// of a word comes before it, so the words kept depend on no word left out, and none of those is computed.
//
// Level n of S exp(dx) is sum_j S_{n-j} dx^j / j!, evaluated as Horner does:
//   h_0 = S_0,   h_{j+1} = S_{j+1} + h_j dx / (n - j),   and level n is h_n.
// Its adjoint, for each n, from j = n - 1 down to 0 with h_bar_n the derivative by level n of the product:
//   h_bar_j = h_bar_{j+1} dx / (n - j),   dx_bar += h_j h_bar_{j+1} / (n - j),   S_bar_j += h_bar_j.
#pragma once

#include <cstdint>

#include "core/arithmetic.h"
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
    for (int k = depth_; k > 0; --k) prefixes_of_last_[k - 1] = parts_of(prefixes_of_last_[k], channels);
  }

  static constexpr int kMaxDepth = 63;  // levels at least double, so that more would hold over 2^63 words

  SIGKERNEL_HOST_DEVICE int64_t channels() const { return channels_; }
  SIGKERNEL_HOST_DEVICE int64_t num_words() const { return offset_[depth_ + 1]; }
  SIGKERNEL_HOST_DEVICE int depth() const { return depth_; }  // the level of the last word
  SIGKERNEL_HOST_DEVICE int64_t offset(int level) const { return offset_[level]; }
  SIGKERNEL_HOST_DEVICE int64_t size(int level) const { return offset_[level + 1] - offset_[level]; }
  // The number of words below the last level: those that have an h_j to be kept.
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
