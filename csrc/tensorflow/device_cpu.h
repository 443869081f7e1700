// The CPU as the ops use it. An op is a template over its device, Cpu or Gpu (device_gpu.h): both classes have the
// members below, with the same names and the same meaning.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "core/goursat/goursat.h"
#include "core/parallel.h"
#include "core/shared_loop.h"
#include "core/signature/signature.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/lib/core/threadpool.h"

namespace sigkernel {

class Cpu {
 public:
  // Whether an op can read its tensors' values where they are.
  static constexpr bool kIsHost = true;
  // Whether an op looks for NaN, infinities and overflow, and reports them.
  static constexpr bool checks_numerics = true;
  static const char* Name() { return tensorflow::DEVICE_CPU; }

  explicit Cpu(tensorflow::OpKernelContext* context)
      : parallel_for_([pool = context->device()->tensorflow_cpu_worker_threads()](int64_t count, int64_t cost,
                                                                                  const SharedLoop::Body& body) {
          SharedLoop::run(pool->num_threads, count, cost, body,
                          [pool](const std::function<void()>& closure) { pool->workers->Schedule(closure); });
        }) {}

  // This thread and TensorFlow's pool. Only the CPU has it, for the ops that have no GPU kernel.
  const ParallelFor& parallel_for() const { return parallel_for_; }

  template <class N>
  N Read(const N* value) const {
    return *value;
  }

  // The place of the first value that is NaN or infinite, or -1.
  template <class T>
  int64_t FirstNotFinite(const T* values, int64_t count) const {
    bool is_finite = true;
    for (int64_t i = 0; i < count; ++i) is_finite &= std::abs(values[i]) <= std::numeric_limits<T>::max();  // no branch
    if (is_finite) return -1;
    return std::find_if_not(values, values + count, [](T value) { return std::isfinite(value); }) - values;
  }

  // The place of the first plan that says that its pair was not solved, or -1. Pairs that were skipped count last.
  int64_t FirstNotSolved(const Plan* plans, int64_t count) const {
    const Plan* first = std::find_if(plans, plans + count, [](Plan plan) { return plan < 0 && plan != kSkipped; });
    if (first == plans + count) first = std::find_if(plans, plans + count, [](Plan plan) { return plan < 0; });
    return first == plans + count ? -1 : first - plans;
  }

  // The core's functions of the same names. `variance`: where the RBF static kernel's variance is on the device; it
  // takes the place of problem.variance. The GPU knows no windows and returns no `d_factors`.

  template <class T>
  void signature_kernel(KernelProblem<T> problem, const T* variance, T* k, Plan* plan,
                        const ErrorWeights<T>& weights = {}) const {
    problem.variance = *variance;
    sigkernel::signature_kernel<T>(problem, parallel_for_, k, plan, weights);
  }

  template <class T>
  void signature_kernel_directional(KernelProblem<T> problem, const T* variance, const T* direction, T* k, T* tangent,
                                    Plan* plan) const {
    problem.variance = *variance;
    sigkernel::signature_kernel_directional<T>(problem, direction, parallel_for_, k, tangent, plan);
  }

  template <class T>
  void signature_kernel_backward(KernelProblem<T> problem, const T* variance, const Plan* plan, const T* upstream,
                                 T* dX, T* dY, T* d_variance, T* d_factors = nullptr) const {
    problem.variance = *variance;
    sigkernel::signature_kernel_backward<T>(problem, parallel_for_, plan, upstream, dX, dY, d_variance, d_factors);
  }

  template <class T>
  void solve_goursat(const GoursatProblem<T>& problem, T* k, Plan* plan, const ErrorWeights<T>& weights = {}) const {
    sigkernel::solve_goursat<T>(problem, parallel_for_, k, plan, weights);
  }

  template <class T>
  void solve_goursat_backward(const GoursatProblem<T>& problem, const Plan* plan, const T* upstream,
                              T* d_increments) const {
    sigkernel::solve_goursat_backward<T>(problem, parallel_for_, plan, upstream, d_increments);
  }

  // Returns the first path whose signature is not finite, or -1.
  template <class T>
  int64_t signature(const SignatureProblem<T>& problem, T* result) const {
    return sigkernel::signature<T>(problem, parallel_for_, result);
  }

  template <class T>
  void signature_backward(const SignatureProblem<T>& problem, const T* result, const T* upstream, T* d_paths) const {
    sigkernel::signature_backward<T>(problem, parallel_for_, result, upstream, d_paths);
  }

 private:
  const ParallelFor parallel_for_;
};

}  // namespace sigkernel
