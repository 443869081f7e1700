// The pairs of a call that could not be solved, on the CPU. One of them makes the whole call an error, so that what is not
// done by then can be left: where increments are large, each block of pairs may take many seconds.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>

#include "core/goursat/block_solver.h"
#include "core/goursat/goursat.h"

namespace sigkernel {

// Shared by the threads of a call. Pairs count in the order of the results. Those before the first that could not be
// solved are always tried, so that the pair that an error names does not depend on the threads.
class UnsolvedPairs {
 public:
  // Whether a pair before this one could not be solved.
  bool are_before(int64_t pair) const { return first_.load(std::memory_order_relaxed) < pair; }

  // What came of a pair.
  void take(int64_t pair, Plan plan) {
    if (plan >= 0 || plan == kSkipped) return;
    int64_t first = first_.load(std::memory_order_relaxed);
    while (pair < first && !first_.compare_exchange_weak(first, pair, std::memory_order_relaxed)) {
    }
  }

  // The same for the pairs of a block. plan: of all pairs; overwritten for those of the block where this returns true.
  bool skips(const LaneRange& range, Plan* plan) const {
    if (!are_before(range.first)) return false;
    std::fill_n(plan + range.first, range.used, kSkipped);
    return true;
  }
  void take(const LaneRange& range, const Plan* plan) {
    for (int lane = 0; lane < range.used; ++lane) take(range[lane], plan[range[lane]]);
  }

 private:
  std::atomic<int64_t> first_{std::numeric_limits<int64_t>::max()};
};

}  // namespace sigkernel
