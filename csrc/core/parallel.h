// How the core asks for threads: the caller hands it a loop over TensorFlow's pool (or, in tests, a plain one).
#pragma once

#include <cstdint>
#include <functional>

namespace sigkernel {

// Runs body(begin, end) over disjoint ranges that cover [0, count). `cost` is the rough number of nanoseconds of one
// item. A body must give the same result however the range is cut.
using ParallelFor =
    std::function<void(int64_t count, int64_t cost, const std::function<void(int64_t begin, int64_t end)>& body)>;

}  // namespace sigkernel
