// The numbers 1 / k!, computed by the compiler.
#pragma once

#include "core/host_device.h"

namespace sigkernel {

// value[k] = 1 / k! for k = 0 .. N.
template <int N>
struct InverseFactorials {
  double value[N + 1];
  SIGKERNEL_HOST_DEVICE constexpr InverseFactorials() : value() {
    value[0] = 1.0;
    for (int k = 1; k <= N; ++k) value[k] = value[k - 1] / k;
  }
};

}  // namespace sigkernel
