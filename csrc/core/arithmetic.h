// Small functions of numbers that the CPU's and CUDA's code share. Files that are compiled for an instruction set may
// not use the standard library's, which could replace those of other files at link time.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

SIGKERNEL_HOST_DEVICE inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
SIGKERNEL_HOST_DEVICE inline int64_t larger(int64_t a, int64_t b) { return a < b ? b : a; }

SIGKERNEL_HOST_DEVICE inline float abs(float a) { return a < 0 ? -a : a; }
SIGKERNEL_HOST_DEVICE inline double abs(double a) { return a < 0 ? -a : a; }
SIGKERNEL_HOST_DEVICE inline float max(float a, float b) { return a < b ? b : a; }
SIGKERNEL_HOST_DEVICE inline double max(double a, double b) { return a < b ? b : a; }

// How many parts of `size` items cover `count` items. The last part may be shorter.
template <class Count, class Size>
SIGKERNEL_HOST_DEVICE constexpr auto parts_of(Count count, Size size) {
  return (count + size - 1) / size;
}

}  // namespace
}  // namespace sigkernel
