// The solver's inner kernels: one block of problems of the same shape, solved side by side, one in each lane of a SIMD
// register. Compiled once for each instruction set (goursat_lanes_*.cc), chosen at run time. Plain data goes in and out.
#pragma once

#include <cstdint>

#include "core/goursat.h"

namespace sigkernel {

constexpr int kMaxLanes = 16;

// Where a block's increments p come from: the increments of two paths in each lane, or numbers that are given.
enum class IncrementsKind { kLinear, kGiven };

// Arrays with a lane axis hold the lanes of an element side by side and are aligned to 64 bytes.
template <class T>
struct Block {
  IncrementsKind kind = IncrementsKind::kLinear;
  int64_t rows = 0, columns = 0;  // of the coarse grid
  bool symmetric = false;         // x against itself: half of the grid is swept
  // kLinear: increments [rows or columns][channels][lanes].
  int64_t channels = 0;
  const T *dx = nullptr, *dy = nullptr;
  // With a direction: increments [rows][channels][lanes] of the displacement of x.
  const T* dx_direction = nullptr;
  // kGiven: [rows][columns] for each lane.
  const T* given[kMaxLanes] = {};
};

// Two paths, [rows + 1][channels] and [columns + 1][channels].
template <class T>
struct PathPair {
  const T *x = nullptr, *y = nullptr;
  int64_t rows = 0, columns = 0, channels = 0;
};

// Accumulated into.
template <class T>
struct BlockGradient {
  T *dx = nullptr, *dy = nullptr;    // as in Block
  T* given[kMaxLanes] = {};          // null for a lane without a problem
};

// How a block is solved.
struct Scheme {
  bool power_series = true;
  int degree = 0;      // power series
  int refinement = 0;  // halvings of every increment
  Gradient gradient = Gradient::kAdjoint;
};

// What a sweep saw, for each lane.
template <class T>
struct Outcome {
  T value[kMaxLanes];
  T tangent[kMaxLanes];  // derivative of the value in the block's direction
  // Power series: the largest |U|; the largest size of an edge's terms; the most that one row of edges drops.
  T scale[kMaxLanes], amplitude[kMaxLanes], tail[kMaxLanes];
};

template <class T>
struct LaneKernels {
  const char* name;
  int lanes;
  // r of goursat_plan.h for each lane, at no refinement. scratch: reach_scratch(block) bytes.
  void (*reach)(const Block<T>& block, void* scratch, T* reach);
  int64_t (*reach_scratch)(const Block<T>& block);
  // reach: of the whole block, refined.
  void (*forward)(const Block<T>& block, const Scheme& scheme, T reach, void* scratch, Outcome<T>* outcome);
  int64_t (*forward_scratch)(const Block<T>& block, const Scheme& scheme);
  // One pair over all lanes; scheme.refinement is 0. What was seen stands in the first lane's place. scratch:
  // forward_alone_scratch bytes.
  T (*reach_alone)(const PathPair<T>& pair, void* scratch);
  void (*forward_alone)(const PathPair<T>& pair, const Scheme& scheme, T reach, void* scratch, Outcome<T>* outcome);
  int64_t (*forward_alone_scratch)(const PathPair<T>& pair, const Scheme& scheme);
  // upstream: one number for each lane.
  void (*backward)(const Block<T>& block, const Scheme& scheme, const T* upstream, void* scratch,
                   const BlockGradient<T>& gradient);
  int64_t (*backward_scratch)(const Block<T>& block, const Scheme& scheme);
};

// The best for this machine, unless the environment variable SIGKERNEL_TF_SIMD asks for another: avx512, avx2 or
// baseline. One that this machine does not have is not taken.
template <class T>
const LaneKernels<T>& lane_kernels();

}  // namespace sigkernel
