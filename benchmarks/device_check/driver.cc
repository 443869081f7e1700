// The core's functions for a GPU with C linkage, for check/driver.py: memory of the device, streams, clocks, and the solver and the
// signatures on pointers of the device. Every function returns 0, or else what went wrong is said by check_error().
//
// Compiled for the host (SIGKERNEL_CUDA_EMULATION) it is the same library without a GPU.
#include <cuda_runtime.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/device/cuda_device.h"
#include "core/goursat/cuda/goursat_cuda.h"
#include "core/goursat/cuda/instantiations.h"
#include "core/signature/signature_cuda.h"
#include "peak.h"

using namespace sigkernel;

namespace {

std::string message;
cudaEvent_t started = nullptr, stopped = nullptr;

void expect(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw CudaError(std::string(what) + ": " + cudaGetErrorString(error));
}

int multiprocessors() {
  int device = 0, count = 0;
  expect(cudaGetDevice(&device), "no GPU");
  expect(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "counting multiprocessors");
  return count;
}

// The scratch memory of one call, from the stream's pool, given back when what was launched has run.
class Scratch {
 public:
  // Of a GPU of so many multiprocessors, or of this one. is_dirty: whether it holds NaN, so that what is read before it is written shows.
  Scratch(cudaStream_t stream, bool is_dirty, int of_multiprocessors) {
    static const int own = multiprocessors();
    device.stream = stream;
    device.multiprocessors = of_multiprocessors > 0 ? of_multiprocessors : own;
    device.allocate = [this, is_dirty](int64_t bytes) -> void* {
      void* piece = nullptr;
      expect(cudaMallocAsync(&piece, std::max<int64_t>(bytes, 1), device.stream), "scratch memory");
      pieces_.push_back(piece);
      bytes_ += bytes;
      if (is_dirty) expect(cudaMemsetAsync(piece, 0xff, bytes, device.stream), "scratch memory");
      return piece;
    };
  }
  ~Scratch() {
    for (void* piece : pieces_) cudaFreeAsync(piece, device.stream);
  }
  int64_t bytes() const { return bytes_; }

  CudaDevice device;

 private:
  std::vector<void*> pieces_;
  int64_t bytes_ = 0;
};

template <class Function>
int guarded(const Function& function) try {
  function();
  return 0;
} catch (const std::exception& error) {
  message = error.what();
  return 1;
}

}  // namespace

extern "C" {

// These four are mirrored in check/driver.py.
struct Device {
  char name[256];
  int64_t bytes;
  int multiprocessors, kilohertz, major, minor, driver, runtime, is_emulated;
};
struct Line {
  int is_double, degree, theorem_4_1, is_refined, increments, sharing, lanes, rows_per_lane;
  int64_t strip_rows;
};
struct Call {
  cudaStream_t stream;
  int is_dirty, multiprocessors;  // see Scratch
  int64_t scratch;                // overwritten: the bytes that it took
};
struct Problem {  // with increments given, x_count pairs of x_length by y_length cells
  int64_t x_count, x_length, y_count, y_length, channels;
  double tolerance;
  int pairing, static_kernel, power_series, dyadic_order, theorem_4_1;
};

}  // extern "C"

namespace {

Solver solver_of(const Problem& p) {
  Solver solver;
  solver.power_series = p.power_series != 0;
  solver.tolerance = p.tolerance;
  solver.dyadic_order = p.dyadic_order;
  solver.gradient = p.theorem_4_1 != 0 ? Gradient::kTheorem41 : Gradient::kAdjoint;
  return solver;
}

template <class T>
KernelProblem<T> problem_of(const Problem& p, const T* X, const T* Y) {
  KernelProblem<T> problem;
  problem.pairing = static_cast<Pairing>(p.pairing);
  problem.static_kernel = p.static_kernel != 0 ? StaticKernel::kRbf : StaticKernel::kLinear;
  problem.solver = solver_of(p);
  problem.X = {X, p.x_count, p.x_length, p.channels};
  problem.Y = problem.is_symmetric() ? problem.X : Paths<T>{Y, p.y_count, p.y_length, p.channels};
  return problem;
}

template <class Function>
int called(Call* call, const Function& function) {
  return guarded([&] {
    Scratch scratch(call->stream, call->is_dirty != 0, call->multiprocessors);
    function(scratch.device);
    call->scratch = scratch.bytes();
  });
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

const char* check_error() { return message.c_str(); }

int check_device(Device* result) {
  return guarded([&] {
    *result = {};
#if defined(SIGKERNEL_CUDA_EMULATION)
    result->is_emulated = 1;
#endif
    int device = 0;
    expect(cudaDriverGetVersion(&result->driver), "NVIDIA's driver");
    expect(cudaRuntimeGetVersion(&result->runtime), "CUDA's runtime");
    result->multiprocessors = multiprocessors();
    expect(cudaGetDevice(&device), "no GPU");
    cudaDeviceProp properties;
    expect(cudaGetDeviceProperties(&properties, device), "the GPU's properties");
    std::copy_n(properties.name, sizeof result->name - 1, result->name);
    result->bytes = static_cast<int64_t>(properties.totalGlobalMem);
    const auto attribute = [&](cudaDeviceAttr which, int* value) { expect(cudaDeviceGetAttribute(value, which, device), "the GPU"); };
    attribute(cudaDevAttrClockRate, &result->kilohertz);
    attribute(cudaDevAttrComputeCapabilityMajor, &result->major);
    attribute(cudaDevAttrComputeCapabilityMinor, &result->minor);
    cudaMemPool_t pool;  // keep what is given back, as TensorFlow does
    expect(cudaDeviceGetDefaultMemPool(&pool, device), "the pool of memory");
    uint64_t all = ~uint64_t{0};
    expect(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &all), "the pool of memory");
    expect(cudaEventCreate(&started), "a clock");
    expect(cudaEventCreate(&stopped), "a clock");
  });
}

int check_lines() { return static_cast<int>(gpu_instantiations().size()); }
void check_line(int n, Line* line) {
  const GpuInstantiation of = gpu_instantiations()[n];
  *line = {of.is_double, of.degree, of.gradient == Gradient::kTheorem41, of.is_refined, static_cast<int>(of.increments),
           static_cast<int>(of.layout.sharing), of.layout.lanes, of.layout.rows_per_lane, of.layout.strip_rows()};
}

int check_allocate(int64_t bytes, void** memory) {
  return guarded([&] { expect(cudaMalloc(memory, std::max<int64_t>(bytes, 1)), "memory"); });
}
int check_free(void* memory) {
  return guarded([&] { expect(cudaFree(memory), "memory"); });
}
int check_write(void* device, const void* host, int64_t bytes) {
  return guarded([&] {
    expect(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, nullptr), "writing");
    expect(cudaStreamSynchronize(nullptr), "writing");
  });
}
int check_read(void* host, const void* device, int64_t bytes) {
  return guarded([&] {
    expect(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, nullptr), "reading");
    expect(cudaStreamSynchronize(nullptr), "reading");
  });
}
int check_set(void* device, int byte, int64_t bytes) {
  return guarded([&] { expect(cudaMemsetAsync(device, byte, bytes, nullptr), "setting memory"); });
}
int check_stream(cudaStream_t* stream) {
  return guarded([&] { expect(cudaStreamCreate(stream), "a stream"); });
}
int check_wait() {
  return guarded([&] { expect(cudaDeviceSynchronize(), "waiting for the GPU"); });
}
// Milliseconds on the device between the two, of what was launched on the stream.
int check_start(cudaStream_t stream) {
  return guarded([&] { expect(cudaEventRecord(started, stream), "a clock"); });
}
int check_stop(cudaStream_t stream, float* milliseconds) {
  return guarded([&] {
    expect(cudaEventRecord(stopped, stream), "a clock");
    expect(cudaEventSynchronize(stopped), "waiting for the GPU");
    expect(cudaEventElapsedTime(milliseconds, started, stopped), "a clock");
  });
}

#define SIGKERNEL_OF_NUMBER(T)                                                                                                      \
  int check_forward_##T(const Problem* p, Call* call, const T* X, const T* Y, const T* variance, T* k, Plan* plan) {                \
    return called(call, [&](const CudaDevice& device) { signature_kernel_cuda<T>(problem_of(*p, X, Y), variance, device, k, plan); }); \
  }                                                                                                                                 \
  int check_backward_##T(const Problem* p, Call* call, const T* X, const T* Y, const T* variance, const Plan* plan,                 \
                         const T* upstream, T* dX, T* dY, T* d_variance) {                                                          \
    return called(call, [&](const CudaDevice& device) {                                                                             \
      signature_kernel_backward_cuda<T>(problem_of(*p, X, Y), variance, device, plan, upstream, dX, dY, d_variance);                \
    });                                                                                                                             \
  }                                                                                                                                 \
  int check_directional_##T(const Problem* p, Call* call, const T* X, const T* Y, const T* variance, const T* direction, T* k,      \
                            T* tangent, Plan* plan) {                                                                               \
    return called(call, [&](const CudaDevice& device) {                                                                             \
      signature_kernel_directional_cuda<T>(problem_of(*p, X, Y), variance, direction, device, k, tangent, plan);                    \
    });                                                                                                                             \
  }                                                                                                                                 \
  int check_solve_##T(const Problem* p, Call* call, const T* increments, T* k, Plan* plan) {                                        \
    const GoursatProblem<T> problem = {increments, p->x_count, p->x_length, p->y_length, solver_of(*p)};                            \
    return called(call, [&](const CudaDevice& device) { solve_goursat_cuda<T>(problem, device, k, plan); });                        \
  }                                                                                                                                 \
  int check_solve_backward_##T(const Problem* p, Call* call, const T* increments, const Plan* plan, const T* upstream, T* result) { \
    const GoursatProblem<T> problem = {increments, p->x_count, p->x_length, p->y_length, solver_of(*p)};                            \
    return called(call, [&](const CudaDevice& device) { solve_goursat_backward_cuda<T>(problem, device, plan, upstream, result); }); \
  }                                                                                                                                 \
  int check_signature_##T(const T* paths, int64_t count, int64_t length, int64_t channels, int64_t num_words, int stream,           \
                          Call* call, T* result) {                                                                                  \
    const SignatureProblem<T> problem = {paths, count, length, channels, num_words, stream != 0};                                   \
    return called(call, [&](const CudaDevice& device) { signature_cuda<T>(problem, device, result); });                             \
  }                                                                                                                                 \
  int check_signature_backward_##T(const T* paths, int64_t count, int64_t length, int64_t channels, int64_t num_words, int stream,  \
                                   Call* call, const T* result, const T* upstream, T* d_paths) {                                    \
    const SignatureProblem<T> problem = {paths, count, length, channels, num_words, stream != 0};                                   \
    return called(call, [&](const CudaDevice& device) { signature_backward_cuda<T>(problem, device, result, upstream, d_paths); }); \
  }                                                                                                                                 \
  int check_first_not_finite_##T(const T* values, int64_t count, Call* call, int64_t* first) {                                      \
    return called(call, [&](const CudaDevice& device) { *first = first_not_finite_cuda<T>(values, count, device); });               \
  }                                                                                                                                 \
  int check_peak_##T(int64_t blocks, int64_t steps, Call* call, T* out) {                                                           \
    return called(call, [&](const CudaDevice& device) { multiply_add_peak<T>(blocks, steps, device, out); });                       \
  }
SIGKERNEL_OF_NUMBER(float)
SIGKERNEL_OF_NUMBER(double)

}  // extern "C"
#pragma GCC visibility pop
