// The truncated signature on the CPU: paths, or stretches of long ones, are dealt to lanes and threads.

#include "core/signature/signature.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "core/arithmetic.h"
#include "core/memory.h"
#include "core/signature/loops.h"
#include "core/signature/tensor_algebra.h"

namespace sigkernel {
namespace {

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

template <class T>
bool all_finite(const T* values, int64_t count) {
  bool are_finite = true;
  for (int64_t i = 0; i < count; ++i) are_finite &= std::abs(values[i]) <= std::numeric_limits<T>::max();  // no branch
  return are_finite;
}

int64_t cost_of(int64_t numbers) { return std::min<int64_t>(numbers, int64_t{1} << 50); }

// Signatures over two letters or more. Long paths are cut into stretches where there are too few paths for all lanes
// and threads, and the signatures of a path's stretches are joined by Chen's identity. Where paths are cut does not
// depend on the number of threads.
template <class T>
class Walks {
 public:
  Walks(const SignatureProblem<T>& problem, const ParallelFor& parallel_for)
      : problem_(problem), parallel_for_(parallel_for), loops_(signature_loops<T>()), steps_(problem.length - 1) {
    const Words words(problem.channels, problem.num_words);
    words_ = {problem.channels, problem.num_words, words.depth(), {}};
    for (int level = 0; level <= words.depth(); ++level) words_.offset[level] = words.offset(level);
    words_.offset[words.depth() + 1] = problem.num_words;
    const bool fits = problem.num_words <= kMostWordsInLanes;  // the lanes' signatures would crowd each other out
    if (fits && !problem.stream && problem.count > 0) {
      const int64_t long_enough = steps_ / (kStepsALevel * std::max(words.depth(), 1));
      const int64_t wanted = std::min(kWantedItems, kMostNumbers / problem.num_words) / problem.count;
      stretches_ = std::max<int64_t>(1, std::min(long_enough, wanted));
    }
    // A single path has the last letters of its words in the lanes, where there are enough of them.
    alone_ = !fits || (2 * items() < loops_.lanes && problem.channels >= loops_.lanes);
    lanes_ = alone_ ? 1 : loops_.lanes;
  }

  void forward(T* result, Smallest& overflow) {
    if (stretches_ == 1) return forward_parts(result, &overflow);
    Scratch memory;
    T* parts = memory.reserve_numbers<T>(items() * problem_.num_words);
    forward_parts(parts, nullptr);
    const int64_t words = problem_.num_words;
    const int64_t cost = cost_of(words * stretches_ * words_.depth);
    run_and_rethrow(parallel_for_, problem_.count, cost, [&](int64_t begin, int64_t end) {
      for (int64_t path = begin; path < end; ++path) {
        T* whole = parts + path * stretches_ * words;
        for (int64_t k = 1; k < stretches_; ++k) loops_.multiply(words_, whole, whole + k * words);
        std::copy_n(whole, words, result + path * words);
        if (!all_finite(whole, words)) overflow.note(path);
      }
    });
  }

  void backward(const T* result, const T* upstream, T* d_paths) {
    const int64_t words = problem_.num_words, channels = problem_.channels;
    if (steps_ == 0) {
      std::fill_n(d_paths, problem_.count * channels, T(0));
      return;
    }
    if (stretches_ == 1) return backward_parts(result, upstream, d_paths, nullptr);
    Scratch of_parts, of_bars, of_ends;
    T* parts = of_parts.reserve_numbers<T>(items() * words);
    T* bars = of_bars.reserve_numbers<T>(items() * words);
    T* ends = of_ends.reserve_numbers<T>(items() * channels);
    forward_parts(parts, nullptr);
    join_back(upstream, parts, bars);
    backward_parts(parts, bars, d_paths, ends);
    for (int64_t item = 0; item < items(); ++item) {  // the point where two stretches meet belongs to both
      if (is_last(item)) continue;
      T* point = d_paths + (path_of(item) * problem_.length + end_of(item)) * channels;
      for (int64_t i = 0; i < channels; ++i) point[i] += ends[item * channels + i];
    }
  }

 private:
  static constexpr int64_t kMostWordsInLanes = 1 << 14;
  static constexpr int64_t kWantedItems = 256;      // enough for many threads
  static constexpr int64_t kMostNumbers = 1 << 22;  // in the signatures of all stretches
  static constexpr int64_t kStepsALevel = 32;       // a product costs about as much as two steps for each level

  // An item is a stretch of a path.
  int64_t items() const { return problem_.count * stretches_; }
  int64_t path_of(int64_t item) const { return item / stretches_; }
  int64_t start_of(int64_t item) const { return item % stretches_ * steps_ / stretches_; }
  int64_t end_of(int64_t item) const { return (item % stretches_ + 1) * steps_ / stretches_; }
  bool is_last(int64_t item) const { return (item + 1) % stretches_ == 0; }

  // Calls visit(stretches, first item, scratch) for all blocks of items, as many as there are lanes. work: a word's time
  // in a step, in thirds of a nanosecond.
  template <class Visit>
  void for_blocks(int64_t work, const Visit& visit) {
    const int64_t blocks = parts_of(items(), lanes_);
    const int64_t cost = 500 + cost_of(cost_of(steps_ / stretches_ + 1) * problem_.num_words) * work / 3;
    run_and_rethrow(parallel_for_, blocks, cost, [&](int64_t begin, int64_t end) {
      Scratch scratch;
      void* memory = scratch.reserve(loops_.scratch(words_, alone_));
      for (int64_t block = begin; block < end; ++block) {
        Stretches<T> stretches;
        stretches.count = static_cast<int>(std::min<int64_t>(lanes_, items() - block * lanes_));
        for (int lane = 0; lane < lanes_; ++lane) {
          const int64_t item = block * lanes_ + (lane < stretches.count ? lane : 0);
          stretches.points[lane] = problem_.paths + (path_of(item) * problem_.length + start_of(item)) * problem_.channels;
          stretches.steps[lane] = end_of(item) - start_of(item);
        }
        visit(stretches, block * lanes_, memory);
      }
    });
  }

  // parts: [items][rows][num_words]. Notes the items whose signature is not finite: an infinity once in S stays there or
  // turns to NaN, so that the last row tells.
  void forward_parts(T* parts, Smallest* overflow) {
    for_blocks(1, [&](const Stretches<T>& stretches, int64_t first, void* memory) {
      T* rows[kMaxStretches];
      point_to_rows(stretches, first, parts, rows);
      const unsigned found = loops_.forward(words_, alone_, problem_.stream, stretches, rows, memory);
      for (int lane = 0; found != 0 && overflow != nullptr && lane < stretches.count; ++lane)
        if (found >> lane & 1) overflow->note(first + lane);
    });
  }

  // computed, upstream: of the paths up to each item's end. Of an item's last point the gradient goes to ends,
  // [items][channels], unless that is its path's last.
  void backward_parts(const T* computed, const T* upstream, T* d_paths, T* ends) {
    for_blocks(3, [&](const Stretches<T>& stretches, int64_t first, void* memory) {
      const T *S_rows[kMaxStretches], *bar_rows[kMaxStretches];
      point_to_rows(stretches, first, computed, S_rows);
      point_to_rows(stretches, first, upstream, bar_rows);
      StretchGradients<T> gradients;
      for (int lane = 0; lane < stretches.count; ++lane) {
        const int64_t item = first + lane, channels = problem_.channels;
        T* d_path = d_paths + path_of(item) * problem_.length * channels;
        gradients.points[lane] = d_path + start_of(item) * channels;
        gradients.last[lane] = is_last(item) ? d_path + steps_ * channels : ends + item * channels;
      }
      loops_.backward(words_, alone_, problem_.stream, stretches, S_rows, bar_rows, gradients, memory);
    });
  }

  template <class P>
  void point_to_rows(const Stretches<T>& stretches, int64_t first, P* values, P** rows) const {
    for (int lane = 0; lane < lanes_; ++lane)
      rows[lane] = values + (first + (lane < stretches.count ? lane : 0)) * problem_.rows() * problem_.num_words;
  }

  // parts: the stretches' signatures, overwritten by those of the paths up to each stretch's end. bars: overwritten by
  // the derivatives by these. Both [items][num_words].
  void join_back(const T* upstream, T* parts, T* bars) {
    const int64_t words = problem_.num_words;
    const int64_t cost = cost_of(2 * words * stretches_ * words_.depth);
    run_and_rethrow(parallel_for_, problem_.count, cost, [&](int64_t begin, int64_t end) {
      Scratch scratch;
      T* product = scratch.reserve_numbers<T>(words);
      for (int64_t path = begin; path < end; ++path) {
        T *part = parts + path * stretches_ * words, *bar = bars + path * stretches_ * words;
        std::copy_n(upstream + path * words, words, bar + (stretches_ - 1) * words);
        for (int64_t k = stretches_ - 1; k > 0; --k) {
          std::copy_n(bar + k * words, words, bar + (k - 1) * words);
          loops_.multiply_backward(words_, bar + (k - 1) * words, part + k * words);
        }
        std::copy_n(part, words, product);
        for (int64_t k = 1; k < stretches_; ++k) {
          loops_.multiply(words_, product, part + k * words);
          std::copy_n(product, words, part + k * words);
        }
      }
    });
  }

  const SignatureProblem<T>& problem_;
  const ParallelFor& parallel_for_;
  const SignatureLoops<T>& loops_;
  const int64_t steps_;
  WordLevels words_;
  int64_t stretches_ = 1;  // of each path
  bool alone_ = false;
  int lanes_ = 1;
};

// With one channel the signature is that of the displacement, whatever the path did on its way: no products, whose
// terms would cancel at the great depths that one channel allows.
template <class T>
class OneChannelWalks {
 public:
  OneChannelWalks(const SignatureProblem<T>& problem, const ParallelFor& parallel_for)
      : problem_(problem), parallel_for_(parallel_for) {}

  void forward(T* result, Smallest& overflow) {
    for_paths([&](int64_t path) {
      const T* x = problem_.paths + path * problem_.length;
      for (int64_t at = 0; at < problem_.rows(); ++at) {
        T* S = result + (path * problem_.rows() + at) * problem_.num_words;
        exponential_of_one_letter(problem_.num_words, x[knot(at)] - x[0], S);
        if (!all_finite(S, problem_.num_words)) overflow.note(path);
      }
    });
  }

  void backward(const T* result, const T* upstream, T* d_paths) {
    for_paths([&](int64_t path) {
      T* x_bar = d_paths + path * problem_.length;
      std::fill_n(x_bar, problem_.length, T(0));
      for (int64_t at = 0; at < problem_.rows(); ++at) {
        const int64_t first = (path * problem_.rows() + at) * problem_.num_words;
        const T bar = exponential_of_one_letter_backward(problem_.num_words, result + first, upstream + first);
        x_bar[knot(at)] += bar;
        x_bar[0] -= bar;
      }
    });
  }

 private:
  int64_t knot(int64_t row) const { return problem_.length - problem_.rows() + row; }  // where the row's prefix ends

  template <class Visit>
  void for_paths(const Visit& visit) {
    const int64_t cost = cost_of(problem_.rows() * problem_.num_words + problem_.length);
    run_and_rethrow(parallel_for_, problem_.count, cost, [&](int64_t begin, int64_t end) {
      for (int64_t path = begin; path < end; ++path) visit(path);
    });
  }

  const SignatureProblem<T>& problem_;
  const ParallelFor& parallel_for_;
};

}  // namespace

template <class T>
int64_t signature(const SignatureProblem<T>& problem, const ParallelFor& parallel_for, T* result) {
  Smallest overflow;
  if (problem.channels == 1) {
    OneChannelWalks<T>(problem, parallel_for).forward(result, overflow);
  } else {
    Walks<T>(problem, parallel_for).forward(result, overflow);
  }
  return overflow.get();
}

template <class T>
void signature_backward(const SignatureProblem<T>& problem, const ParallelFor& parallel_for, const T* result,
                        const T* upstream, T* d_paths) {
  if (problem.channels == 1) {
    OneChannelWalks<T>(problem, parallel_for).backward(result, upstream, d_paths);
  } else {
    Walks<T>(problem, parallel_for).backward(result, upstream, d_paths);
  }
}

template int64_t signature<float>(const SignatureProblem<float>&, const ParallelFor&, float*);
template int64_t signature<double>(const SignatureProblem<double>&, const ParallelFor&, double*);
template void signature_backward<float>(const SignatureProblem<float>&, const ParallelFor&, const float*, const float*,
                                        float*);
template void signature_backward<double>(const SignatureProblem<double>&, const ParallelFor&, const double*,
                                         const double*, double*);

}  // namespace sigkernel
