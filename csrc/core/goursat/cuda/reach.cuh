// How far increments reach, by which plan.cuh chooses the degree of a power series: the range of their partial sums along every row and
// column. They are summed up as a rule of a cell that solves nothing, so that the sweep forms each increment once, takes a static kernel
// once at each point, and deals threads as it does for the rules of cell.h.
#pragma once

#include "core/goursat/cuda/tile.cuh"
#include "core/goursat/plan.h"

namespace sigkernel {

// An edge holds what the increments along its line come to so far: (sum, lowest sum, highest sum). Bottom and left edge share nothing.
// In half a grid a row goes on at the diagonal where the column has come to.
struct LineRanges {
  static constexpr int kCoefficients = 3;

  template <class V>
  SIGKERNEL_HOST_DEVICE static void axis(V* edge) {
    edge[0] = edge[1] = edge[2] = V(0);
  }

  template <class V>
  SIGKERNEL_HOST_DEVICE static void forward(V p, V* bottom, V* left) {
    add(p, bottom);
    add(p, left);
  }

  // Not a number where an increment was none.
  template <class V>
  SIGKERNEL_HOST_DEVICE static V end(const V* edge) {
    return (edge[2] - edge[1]) + (edge[0] - edge[0]);
  }

 private:
  template <class V>
  SIGKERNEL_HOST_DEVICE static void add(V p, V* edge) {
    edge[0] += p;
    edge[1] = edge[0] < edge[1] ? edge[0] : edge[1];
    edge[2] = edge[2] < edge[0] ? edge[0] : edge[2];
  }
};

// The ranges of lines that have ended.
template <class T>
struct EndedLines {
  T largest = 0, moment = 0;

  __device__ void add(T range) {
    largest = max(largest, range);
    T power = range;
    SIGKERNEL_UNROLL for (int k = 1; k < kReachMoment; ++k) power *= range;
    moment += power;  // of what is not a number, neither is this
  }
};

}  // namespace sigkernel
