// The truncated signature of piecewise linear paths: parameters, and the declarations of forward and backward on the
// CPU. Words are ordered as tensor_algebra.h says.
#pragma once

#include <cstdint>

#include "core/host_device.h"
#include "core/parallel.h"

namespace sigkernel {

template <class T>
struct SignatureProblem {
  const T* paths = nullptr;                      // [count, length, channels]
  int64_t count = 0, length = 1, channels = 1;   // length and channels >= 1
  int64_t num_words = 1;                         // >= 1
  bool stream = false;                           // the signature of every prefix of a path, not only of the whole

  SIGKERNEL_HOST_DEVICE int64_t rows() const { return stream ? length : 1; }  // signatures for each path
};

// Both throw std::bad_alloc where memory runs out. Their results are then undefined.

// result: [count, rows, num_words], overwritten. Returns the first path whose signature is not finite, or -1.
template <class T>
int64_t signature(const SignatureProblem<T>& problem, const ParallelFor& parallel_for, T* result);

// result: what the forward function computed; upstream: the same shape. d_paths: the paths' shape, overwritten.
// Without a stream the path is walked back from its end, by S exp(-dx), so the memory is that of a few signatures for a
// path of any length.
template <class T>
void signature_backward(const SignatureProblem<T>& problem, const ParallelFor& parallel_for, const T* result,
                        const T* upstream, T* d_paths);

}  // namespace sigkernel
