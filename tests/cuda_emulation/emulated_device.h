// Memory of the emulated device, and how results are compared; for the programs that drive kernels.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "core/device/cuda_device.h"

namespace sigkernel {

inline int failures = 0;
inline std::mt19937 generator(0);

inline void one_thread(int64_t count, int64_t, const std::function<void(int64_t, int64_t)>& body) { body(0, count); }

class DeviceMemory {
 public:
  DeviceMemory() {
    device.multiprocessors = 1;
    device.allocate = [this](int64_t bytes) { return allocate(bytes); };
  }
  ~DeviceMemory() {
    for (void* piece : pieces_) cudaFree(piece);
  }

  template <class T>
  T* copy(const std::vector<T>& values) {
    T* on_device = static_cast<T*>(allocate(values.size() * sizeof(T)));
    cudaMemcpyAsync(on_device, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice, nullptr);
    return on_device;
  }
  template <class T>
  T* numbers(int64_t count) {
    return static_cast<T*>(allocate(count * sizeof(T)));
  }
  template <class T>
  static std::vector<T> read(const T* values, int64_t count) {
    std::vector<T> result(count);
    cudaMemcpyAsync(result.data(), values, count * sizeof(T), cudaMemcpyDeviceToHost, nullptr);
    cudaStreamSynchronize(nullptr);
    return result;
  }

  CudaDevice device;

 private:
  void* allocate(int64_t bytes) {
    void* piece = nullptr;
    cudaMalloc(&piece, static_cast<size_t>(std::max<int64_t>(bytes, 1)));
    pieces_.push_back(piece);
    return piece;
  }
  std::vector<void*> pieces_;
};

// Random walks of about `scale`.
template <class T>
std::vector<T> walks(int64_t count, int64_t length, int64_t channels, double scale) {
  std::vector<T> values(count * length * channels);
  std::normal_distribution<double> normal(0, scale / std::sqrt(double(length)));
  for (int64_t n = 0; n < count; ++n)
    for (int64_t d = 0; d < channels; ++d) {
      double at = 0;
      for (int64_t l = 0; l < length; ++l) values[(n * length + l) * channels + d] = T(at += normal(generator));
    }
  return values;
}

template <class T>
void expect_close(const std::vector<T>& got, const std::vector<T>& expected, double tolerance, const std::string& what) {
  double largest = 0, error = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(double(expected[i])));
    const double difference = std::abs(double(got[i]) - double(expected[i]));
    error = difference <= error ? error : difference;  // a NaN stays
  }
  if (error <= tolerance * std::max(largest, 1e-3)) return;
  if (++failures <= 20) std::printf("%s: off by %g where the largest is %g\n", what.c_str(), error, largest);
}

}  // namespace sigkernel
