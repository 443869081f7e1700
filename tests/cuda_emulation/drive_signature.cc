// Runs the signature's CUDA kernels under host emulation and compares with the CPU core. Arguments: `double` or `float`, or
// `small`, of launches small enough for the race check. Prints "all went well" when it did.

#include "core/signature/signature.h"
#include "core/signature/signature_cuda.h"
#include "emulated_device.h"

using namespace sigkernel;

namespace {

template <class T>
void run(int64_t count, int64_t length, int64_t channels, int64_t num_words, bool stream) {
  const std::vector<T> X = walks<T>(count, length, channels, 1);
  SignatureProblem<T> problem{X.data(), count, length, channels, num_words, stream};
  const int64_t numbers = count * problem.rows() * num_words;
  std::vector<T> S(numbers), upstream(numbers), dX(X.size());
  std::normal_distribution<double> normal;
  for (T& one : upstream) one = T(normal(generator));
  signature<T>(problem, one_thread, S.data());
  signature_backward<T>(problem, one_thread, S.data(), upstream.data(), dX.data());
  DeviceMemory memory;
  SignatureProblem<T> on_device = problem;
  on_device.paths = memory.copy(X);
  T *device_S = memory.numbers<T>(numbers), *device_dX = memory.numbers<T>(X.size());
  signature_cuda<T>(on_device, memory.device, device_S);
  signature_backward_cuda<T>(on_device, memory.device, device_S, memory.copy(upstream), device_dX);
  char what[160];
  std::snprintf(what, sizeof what, "%s, %d paths of %d, %d channels, %d words%s: ", sizeof(T) == 4 ? "float" : "double",
                int(count), int(length), int(channels), int(num_words), stream ? ", stream" : "");
  const double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-12;
  expect_close(memory.read(device_S, numbers), S, tolerance, std::string(what) + "signature");
  expect_close(memory.read(device_dX, X.size()), dX, tolerance, std::string(what) + "gradient");
}

template <class T>
void run_all(bool is_small) {
  const std::vector<std::pair<int64_t, int64_t>> words = {{1, 7}, {1, 1}, {2, 1}, {2, 15}, {2, 9}, {3, 50}, {5, 156}, {70, 200}};
  for (const bool stream : {false, true})
    for (const auto& [channels, num_words] : words)
      for (const int64_t count : {0, 1, 3})
        for (const int64_t length : is_small ? std::vector<int64_t>{1, 4} : std::vector<int64_t>{1, 2, 33, 1025})
          run<T>(count, length, channels, num_words, stream);
  if (!is_small) run<T>(10, 5, 9, 7000, true);  // more than shared memory holds, and more paths than blocks
}

// Scratch memory is bounded in bytes, however many blocks a GPU could hold.
void check_scratch() {
  struct Asked {
    int64_t bytes;
  };
  CudaDevice device;
  device.multiprocessors = 132;
  device.allocate = [](int64_t bytes) -> void* { throw Asked{bytes}; };
  const SignatureProblem<double> problem{nullptr, 2000, 2, 3, 1000000, false};
  for (const bool is_forward : {true, false}) {
    try {
      if (is_forward) signature_cuda<double>(problem, device, nullptr);
      if (!is_forward) signature_backward_cuda<double>(problem, device, nullptr, nullptr, nullptr);
    } catch (const Asked& asked) {
      if (asked.bytes <= int64_t{256} << 20) continue;
      ++failures;
      std::printf("a call asks for %lld bytes of scratch memory\n", (long long)asked.bytes);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  check_scratch();
  if (what != "float") run_all<double>(what == "small");
  if (what != "double") run_all<float>(what == "small");
  if (failures > 0) return 1;
  std::printf("all went well\n");
  return 0;
}
