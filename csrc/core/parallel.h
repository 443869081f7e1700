// How the core asks for threads: the caller hands it a loop over TensorFlow's pool (or, in tests, a plain one).
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>

namespace sigkernel {

// Runs body(begin, end) over disjoint ranges that cover [0, count). `cost` is the rough number of nanoseconds of one
// item. A body must give the same result however the range is cut.
using ParallelFor =
    std::function<void(int64_t count, int64_t cost, const std::function<void(int64_t begin, int64_t end)>& body)>;

// As parallel_for itself, for a body that may throw: an exception must not leave a thread of the pool, and is thrown
// again on the caller's. Other ranges are still run.
template <class Body>
void run_and_rethrow(const ParallelFor& parallel_for, int64_t count, int64_t cost, const Body& body) {
  std::exception_ptr failure;
  std::mutex mutex;
  parallel_for(count, cost, [&](int64_t begin, int64_t end) {
    try {
      body(begin, end);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
}

}  // namespace sigkernel
