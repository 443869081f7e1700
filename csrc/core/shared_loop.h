// A loop that the caller begins at once and that threads of a pool join as they wake up.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>

namespace sigkernel {

// Each thread takes a part of what is left, until nothing is: the parts become smaller, so that all end at about the
// same time. A thread that comes too late finds nothing to do, and nobody waits for it.
class SharedLoop {
 public:
  using Body = std::function<void(int64_t begin, int64_t end)>;

  // Runs body(begin, end) over disjoint ranges that cover [0, count), on this thread and on those that schedule(closure)
  // asks for. cost: the rough number of nanoseconds of one item. The body must not throw.
  template <class Schedule>
  static void run(int64_t threads, int64_t count, int64_t cost, const Body& body, const Schedule& schedule) {
    if (count <= 0) return;
    const double worth = static_cast<double>(count) * static_cast<double>(cost) / kWorthThread;
    threads = std::min({threads, count, static_cast<int64_t>(std::min(worth, 1e6))});
    if (threads <= 1) return body(0, count);
    const auto loop = std::make_shared<SharedLoop>(threads, count, body);
    for (int64_t n = 1; n < threads; ++n) schedule([loop] { loop->take_parts(); });
    loop->take_parts();
    loop->all_done_.get_future().wait();
  }

  SharedLoop(int64_t threads, int64_t count, const Body& body) : threads_(threads), count_(count), body_(body) {}

 private:
  static constexpr int64_t kWorthThread = 20000;  // nanoseconds of work in all for which another thread is woken

  void take_parts() {
    for (int64_t begin = next_; begin < count_;) {
      const int64_t end = begin + std::max<int64_t>(1, (count_ - begin) / (2 * threads_));
      if (!next_.compare_exchange_weak(begin, end)) continue;
      body_(begin, end);
      if ((done_ += end - begin) == count_) all_done_.set_value();
      begin = next_;
    }
  }

  const int64_t threads_, count_;
  const Body& body_;  // of the caller, who waits until no part is left
  std::atomic<int64_t> next_{0}, done_{0};
  std::promise<void> all_done_;  // a condition variable's wait would need a newer libstdc++ than the wheel's platform has
};

}  // namespace sigkernel
