// A check for data races in kernels under emulation: link it in, and compile the kernels' file with -fsanitize=thread -c
// but link without, so that these hooks take the place of libtsan's.
//
// Two accesses to a 4-byte word by different threads, one of them a write, race unless one happens before the other:
// through __syncthreads, __syncwarp of a mask that holds both, or a counter raised by one and waited for by the other.
// Shuffles order nothing, and neither do blocks. What is looked at: the blocks' shared memory, and what cudaMalloc gave.
// Each thread has a vector clock over all threads of the launch, so launches must be small.
#include <cuda_runtime.h>
#include <unistd.h>

#include <set>
#include <unordered_map>

namespace {

constexpr unsigned kMostThreads = 2048;

struct Access {
  unsigned thread = 0, clock = 0;  // clock 0: none
  void* place = nullptr;
};
struct Word {
  Access write;
  std::vector<Access> reads;
};
using Clock = std::vector<unsigned>;

std::vector<Clock> clocks;
std::map<const void*, Clock> counters;
std::unordered_map<uintptr_t, Word> words;
std::set<std::pair<void*, void*>> reported;
unsigned threads_of_block = 0;
int races = 0;

void join(Clock& to, const Clock& from) {
  for (size_t n = 0; n < to.size(); ++n) to[n] = std::max(to[n], from[n]);
}

unsigned number_of(const emulation::Fiber& fiber) { return fiber.block->number * threads_of_block + unsigned(fiber.id); }

void launch(unsigned blocks, unsigned threads) {
  if (uint64_t{blocks} * threads > kMostThreads) {
    emulation::fail("the race check takes launches of " + std::to_string(kMostThreads) + " threads or fewer, got " +
                    std::to_string(blocks) + " blocks of " + std::to_string(threads));
  }
  threads_of_block = threads;
  clocks.assign(size_t(blocks) * threads, Clock(size_t(blocks) * threads, 0));
  for (size_t n = 0; n < clocks.size(); ++n) clocks[n][n] = 1;
  counters.clear();
  words.clear();
}

void block_started(const emulation::Block& block) {
  const uintptr_t first = reinterpret_cast<uintptr_t>(block.shared) >> 2;
  for (size_t n = 0; n <= emulation::shared_bytes >> 2; ++n) words.erase(first + n);
}

template <class Belongs>
void meet(const emulation::Block& block, const Belongs& belongs) {
  Clock together(clocks.size(), 0);
  for (const emulation::Fiber& fiber : block.fibers)
    if (belongs(fiber)) join(together, clocks[number_of(fiber)]);
  for (const emulation::Fiber& fiber : block.fibers)
    if (belongs(fiber)) {
      const unsigned n = number_of(fiber);
      clocks[n] = together;
      ++clocks[n][n];
    }
}

void raised(const int32_t* counter) {
  const unsigned n = number_of(*emulation::current);
  Clock& clock = counters.try_emplace(counter, Clock(clocks.size(), 0)).first->second;
  join(clock, clocks[n]);
  ++clocks[n][n];
}

void waited(const int32_t* counter) {
  const auto found = counters.find(counter);
  if (found != counters.end()) join(clocks[number_of(*emulation::current)], found->second);
}

struct Setup {
  Setup() {
    emulation::observer.launch = launch;
    emulation::observer.block_started = block_started;
    emulation::observer.block_barrier = [](const emulation::Block& block) {
      meet(block, [](const emulation::Fiber&) { return true; });
    };
    emulation::observer.warp_barrier = [](const emulation::Block& block, int warp, unsigned mask) {
      meet(block, [=](const emulation::Fiber& f) { return f.warp == warp && (mask >> f.lane & 1) != 0; });
    };
    emulation::observer.raised = raised;
    emulation::observer.waited = waited;
  }
  ~Setup() {
    if (races == 0) return;
    std::printf("race check: %d racing pairs of places\n", races);
    std::fflush(stdout);
    _exit(4);
  }
} setup;

bool is_shared(const char* at) {
  for (const emulation::Block& block : *emulation::resident)
    if (at >= reinterpret_cast<char*>(block.shared) && at < reinterpret_cast<char*>(block.shared) + emulation::shared_bytes) return true;
  return false;
}

bool is_device(char* at) {
  auto next = emulation::allocations.upper_bound(at);
  return next != emulation::allocations.begin() && (--next, at < next->first + next->second);
}

void report(const Access& before, bool before_writes, unsigned thread, bool writes, void* place) {
  if (!reported.insert({before.place, place}).second || ++races > 10) return;
  std::printf("race: %s by thread %u at %p, %s by thread %u at %p\n", before_writes ? "write" : "read", before.thread,
              before.place, writes ? "write" : "read", thread, place);
}

void access(void* memory, size_t bytes, bool writes, void* place) {
  if (emulation::current == nullptr || clocks.empty()) return;
  char* at = static_cast<char*>(memory);
  if (!is_shared(at) && !is_device(at)) return;
  const unsigned thread = number_of(*emulation::current);
  const Clock& clock = clocks[thread];
  const auto is_before = [&](const Access& other) { return other.thread == thread || other.clock <= clock[other.thread]; };
  const uintptr_t first = reinterpret_cast<uintptr_t>(memory) >> 2, last = (reinterpret_cast<uintptr_t>(memory) + bytes - 1) >> 2;
  for (uintptr_t n = first; n <= last; ++n) {
    Word& word = words[n];
    if (!is_before(word.write)) report(word.write, true, thread, writes, place);
    const Access here = {thread, clock[thread], place};
    if (writes) {
      for (const Access& read : word.reads)
        if (!is_before(read)) report(read, false, thread, true, place);
      word.reads.clear();
      word.write = here;
      continue;
    }
    const auto mine = std::find_if(word.reads.begin(), word.reads.end(), [&](const Access& a) { return a.thread == thread; });
    if (mine == word.reads.end()) {
      word.reads.push_back(here);
    } else {
      *mine = here;
    }
  }
}

}  // namespace

#define PLACE __builtin_return_address(0)
#define HOOKS(n)                                                                     \
  void __tsan_read##n(void* p) { access(p, n, false, PLACE); }                       \
  void __tsan_write##n(void* p) { access(p, n, true, PLACE); }                       \
  void __tsan_unaligned_read##n(void* p) { access(p, n, false, PLACE); }             \
  void __tsan_unaligned_write##n(void* p) { access(p, n, true, PLACE); }
extern "C" {
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
void __tsan_read_range(void* p, size_t n) { access(p, n, false, PLACE); }
void __tsan_write_range(void* p, size_t n) { access(p, n, true, PLACE); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}
