// The truncated signature on the CPU: several paths side by side in the lanes of a value, threads over blocks of them.

#include "core/signature.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "core/tensor_algebra.h"

namespace sigkernel {
namespace {

// 32 bytes of numbers: a level's last letters are too few to fill a register, so that paths share it.
template <class T>
struct Lanes {
  static constexpr int kCount = 32 / sizeof(T);
  T value[kCount];

  Lanes() = default;
  explicit Lanes(double all) { std::fill_n(value, kCount, static_cast<T>(all)); }

  Lanes& operator+=(const Lanes& other) {
    for (int i = 0; i < kCount; ++i) value[i] += other.value[i];
    return *this;
  }
  friend Lanes operator+(Lanes a, const Lanes& b) { return a += b; }
  friend Lanes operator*(Lanes a, const Lanes& b) {
    for (int i = 0; i < kCount; ++i) a.value[i] *= b.value[i];
    return a;
  }
};

template <class T>
T& lane(T& value, int) {
  return value;
}
template <class T>
T& lane(Lanes<T>& value, int i) {
  return value.value[i];
}

// The smallest of the numbers given to it by any thread, or -1.
class Smallest {
 public:
  void note(int64_t candidate) {
    int64_t current = value_;
    while ((current < 0 || candidate < current) && !value_.compare_exchange_weak(current, candidate)) {
    }
  }
  int64_t get() const { return value_; }

 private:
  std::atomic<int64_t> value_{-1};
};

// The multiplication takes an infinity and a NaN to NaN, and anything else to 0, without branches.
template <class T>
bool all_finite(const T* values, int64_t count) {
  T sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += values[i] * T(0);
  return sum == 0;
}

// Walks along the paths of one block, as many as V has lanes. The last block's spare lanes repeat its last path.
template <class T, class V>
class Walk {
 public:
  static constexpr int kLanes = sizeof(V) / sizeof(T);

  explicit Walk(const SignatureProblem<T>& problem)
      : problem_(problem),
        words_(problem.channels, problem.num_words),
        S_(problem.num_words),
        S_bar_(problem.num_words),
        dx_(problem.channels),
        dx_bar_(problem.channels),
        scratch_(2 * words_.scratch_size()) {}

  void forward(int64_t first_path, T* result, Smallest& overflow) {
    first_path_ = first_path;
    std::fill(S_.begin(), S_.end(), V(0));
    S_[0] = V(1);
    for (int64_t l = 0; l + 1 < problem_.length; ++l) {
      if (problem_.stream) write_row(l, result);
      read_increment(l, 1);
      multiply_exponential(words_, dx_.data(), S_.data(), scratch_.data());
    }
    write_row(problem_.rows() - 1, result);
    for (int i = 0; i < paths(); ++i)  // an infinity once in S stays there or turns to NaN: the last row tells
      if (!all_finite(row(result, i, problem_.rows() - 1), problem_.num_words)) overflow.note(first_path_ + i);
  }

  void backward(int64_t first_path, const T* result, const T* upstream, T* d_paths) {
    first_path_ = first_path;
    const int64_t path_size = problem_.length * problem_.channels;
    std::fill_n(d_paths + first_path * path_size, paths() * path_size, T(0));
    read_row(problem_.rows() - 1, result, S_.data());
    std::fill(S_bar_.begin(), S_bar_.end(), V(0));
    add_row(problem_.rows() - 1, upstream);
    for (int64_t l = problem_.length - 2; l >= 0; --l) {
      if (problem_.stream) {
        read_row(l, result, S_.data());
      } else {
        read_increment(l, -1);
        multiply_exponential(words_, dx_.data(), S_.data(), scratch_.data());
      }
      read_increment(l, 1);
      std::fill(dx_bar_.begin(), dx_bar_.end(), V(0));
      multiply_exponential_backward(words_, dx_.data(), S_.data(), S_bar_.data(), dx_bar_.data(), scratch_.data());
      add_increment_gradient(l, d_paths);
      if (problem_.stream) add_row(l, upstream);
    }
  }

 private:
  int paths() const { return static_cast<int>(std::min<int64_t>(kLanes, problem_.count - first_path_)); }
  int64_t path(int i) const { return first_path_ + std::min(i, paths() - 1); }

  // Where the row of the path in lane i starts in an array [count, rows, num_words].
  template <class P>
  P* row(P* values, int i, int64_t at) const {
    return values + (path(i) * problem_.rows() + at) * problem_.num_words;
  }

  void read_row(int64_t at, const T* values, V* to) const {
    for (int i = 0; i < kLanes; ++i) {
      const T* from = row(values, i, at);
      for (int64_t w = 0; w < problem_.num_words; ++w) lane(to[w], i) = from[w];
    }
  }

  void add_row(int64_t at, const T* upstream) {
    for (int i = 0; i < kLanes; ++i) {
      const T* from = row(upstream, i, at);
      for (int64_t w = 0; w < problem_.num_words; ++w) lane(S_bar_[w], i) += from[w];
    }
  }

  void write_row(int64_t at, T* result) {
    for (int i = 0; i < paths(); ++i) {
      T* to = row(result, i, at);
      for (int64_t w = 0; w < problem_.num_words; ++w) to[w] = lane(S_[w], i);
    }
  }

  void read_increment(int64_t l, int sign) {
    for (int i = 0; i < kLanes; ++i) {
      const T* x = problem_.paths + (path(i) * problem_.length + l) * problem_.channels;
      for (int64_t d = 0; d < problem_.channels; ++d) lane(dx_[d], i) = sign * (x[problem_.channels + d] - x[d]);
    }
  }

  void add_increment_gradient(int64_t l, T* d_paths) {
    for (int i = 0; i < paths(); ++i) {
      T* x_bar = d_paths + (path(i) * problem_.length + l) * problem_.channels;
      for (int64_t d = 0; d < problem_.channels; ++d) {
        x_bar[d] -= lane(dx_bar_[d], i);
        x_bar[problem_.channels + d] += lane(dx_bar_[d], i);
      }
    }
  }

  const SignatureProblem<T>& problem_;
  const Words words_;
  int64_t first_path_ = 0;
  std::vector<V> S_, S_bar_, dx_, dx_bar_, scratch_;
};

// With one channel the signature is that of the displacement, whatever the path did on its way: no products, whose
// terms would cancel at the great depths that one channel allows.
template <class T>
class OneChannelWalk {
 public:
  static constexpr int kLanes = 1;

  explicit OneChannelWalk(const SignatureProblem<T>& problem) : problem_(problem) {}

  void forward(int64_t path, T* result, Smallest& overflow) const {
    const T* x = problem_.paths + path * problem_.length;
    for (int64_t at = 0; at < problem_.rows(); ++at) {
      T* S = result + (path * problem_.rows() + at) * problem_.num_words;
      exponential_of_one_letter(problem_.num_words, x[knot(at)] - x[0], S);
      if (!all_finite(S, problem_.num_words)) overflow.note(path);
    }
  }

  void backward(int64_t path, const T* result, const T* upstream, T* d_paths) const {
    T* x_bar = d_paths + path * problem_.length;
    std::fill_n(x_bar, problem_.length, T(0));
    for (int64_t at = 0; at < problem_.rows(); ++at) {
      const int64_t first = (path * problem_.rows() + at) * problem_.num_words;
      const T bar = exponential_of_one_letter_backward(problem_.num_words, result + first, upstream + first);
      x_bar[knot(at)] += bar;
      x_bar[0] -= bar;
    }
  }

 private:
  int64_t knot(int64_t row) const { return problem_.length - problem_.rows() + row; }  // where the row's prefix ends

  const SignatureProblem<T>& problem_;
};

// Calls visit(walk, first path of a block) for all blocks.
template <class WalkType, class T, class Visit>
void for_blocks(const SignatureProblem<T>& problem, const ParallelFor& parallel_for, const Visit& visit) {
  const int64_t blocks = (problem.count + WalkType::kLanes - 1) / WalkType::kLanes;
  const int64_t cost = std::min<int64_t>(problem.length * problem.num_words, int64_t{1} << 40) * WalkType::kLanes;
  run_and_rethrow(parallel_for, blocks, cost, [&](int64_t begin, int64_t end) {
    WalkType walk(problem);
    for (int64_t block = begin; block < end; ++block) visit(walk, block * WalkType::kLanes);
  });
}

template <class T, class Visit>
void visit_blocks(const SignatureProblem<T>& problem, const ParallelFor& parallel_for, const Visit& visit) {
  constexpr int64_t kWordsInCache = 1 << 14;  // beyond it the lanes' signatures would crowd each other out
  if (problem.channels == 1) return for_blocks<OneChannelWalk<T>>(problem, parallel_for, visit);
  if (problem.count >= Lanes<T>::kCount && problem.num_words <= kWordsInCache) {
    return for_blocks<Walk<T, Lanes<T>>>(problem, parallel_for, visit);
  }
  return for_blocks<Walk<T, T>>(problem, parallel_for, visit);
}

}  // namespace

template <class T>
int64_t signature(const SignatureProblem<T>& problem, const ParallelFor& parallel_for, T* result) {
  Smallest overflow;
  visit_blocks(problem, parallel_for, [&](auto& walk, int64_t first_path) {
    walk.forward(first_path, result, overflow);
  });
  return overflow.get();
}

template <class T>
void signature_backward(const SignatureProblem<T>& problem, const ParallelFor& parallel_for, const T* result,
                        const T* upstream, T* d_paths) {
  visit_blocks(problem, parallel_for, [&](auto& walk, int64_t first_path) {
    walk.backward(first_path, result, upstream, d_paths);
  });
}

template int64_t signature<float>(const SignatureProblem<float>&, const ParallelFor&, float*);
template int64_t signature<double>(const SignatureProblem<double>&, const ParallelFor&, double*);
template void signature_backward<float>(const SignatureProblem<float>&, const ParallelFor&, const float*, const float*,
                                        float*);
template void signature_backward<double>(const SignatureProblem<double>&, const ParallelFor&, const double*,
                                         const double*, double*);

}  // namespace sigkernel
