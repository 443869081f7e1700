// Runs shared_loop.h on plain threads; says what is wrong and returns 1, or prints how many loops were right.

#include "core/shared_loop.h"

#include <cstdio>
#include <thread>
#include <vector>

using sigkernel::SharedLoop;

namespace {

constexpr int64_t kCostly = 1000000;

// How many times each number of the loop was passed to the body, where closures are run by `schedule`.
template <class Schedule>
std::vector<int> visits(int64_t threads, int64_t count, int64_t cost, const Schedule& schedule) {
  std::vector<std::atomic<int>> seen(count);
  SharedLoop::run(threads, count, cost, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) ++seen[n];
  }, schedule);
  return {seen.begin(), seen.end()};
}

bool each_once(const std::vector<int>& seen) {
  return std::all_of(seen.begin(), seen.end(), [](int times) { return times == 1; });
}

int fail(const char* what, int64_t threads, int64_t count) {
  std::printf("%s: %d threads, %d items\n", what, static_cast<int>(threads), static_cast<int>(count));
  return 1;
}

}  // namespace

int main() {
  int right = 0;
  for (int64_t threads = 1; threads <= 8; ++threads)
    for (int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::thread> pool;
      const auto at_once = [&](const std::function<void()>& closure) { pool.emplace_back(closure); };
      const bool is_right = each_once(visits(threads, count, kCostly, at_once));
      const int64_t joined = pool.size(), wanted = std::max<int64_t>(0, std::min(threads, count) - 1);
      for (std::thread& thread : pool) thread.join();
      if (!is_right) return fail("not each item once", threads, count);
      if (joined != wanted) return fail("not as many threads as there are", threads, count);

      std::vector<std::function<void()>> late;
      if (!each_once(visits(threads, count, kCostly, [&](const std::function<void()>& closure) { late.push_back(closure); })))
        return fail("not each item once without help", threads, count);
      for (const auto& closure : late) closure();  // the loop's body is gone

      bool is_asked = false;
      if (!each_once(visits(threads, count, 1, [&](const std::function<void()>&) { is_asked = true; })) || is_asked)
        return fail("little work was shared", threads, count);
      ++right;
    }
  std::printf("%d\n", right);
  return 0;
}
