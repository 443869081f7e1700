// The solver's inner loops: one block of problems of the same shape, solved side by side, one in each lane of a SIMD
// register. simd/instruction_set.cc compiles them once for each instruction set, and one set is chosen at run time.
// Only plain data goes in and out.
#pragma once

#include <cstdint>

#include "core/goursat/goursat.h"

namespace sigkernel {

constexpr int kMaxLanes = 16;

// Where a block's increments p come from: vectors of both paths, whose products they are; points, under a static kernel;
// or numbers that are given.
enum class IncrementsKind { kLinear, kRbf, kMatern12, kMatern32, kMatern52, kGiven };

// Arrays with a lane axis hold the lanes of an element side by side and are aligned to 64 bytes.
template <class T>
struct Block {
  IncrementsKind kind = IncrementsKind::kLinear;
  int64_t rows = 0, columns = 0;  // of the coarse grid
  bool symmetric = false;         // x against itself: half of the grid is swept
  // kLinear: the paths' increments, or their points with their weights, [rows or columns][channels][lanes]. For the other
  // static kernels: their points, one more of each where there are no weights.
  int64_t channels = 0;
  const T *x = nullptr, *y = nullptr;
  // Of points that are not differenced: p_ij = x_weights_i y_weights_j kappa(x_i, y_j); [rows or columns][lanes].
  const T *x_weights = nullptr, *y_weights = nullptr;
  // With a direction: likewise of x's displacement.
  const T* direction = nullptr;
  T variance = 1;  // of a static kernel of points
  // kLinear, for weigh: the rounding of p_ij is estimated as a_i |dy_j| + |dx_i| b_j, in units of epsilon. a_i and |dx_i|,
  // [rows][2][lanes]; b_j and |dy_j|, [columns][2][lanes]. Without them the rounding of every p counts as 1.
  const T *x_rounding = nullptr, *y_rounding = nullptr;
  // kGiven: [rows][columns] for each lane.
  const T* given[kMaxLanes] = {};
  // Null, or the increments of a static kernel of points as `reach` left them, [rows][columns][lanes]: forward only.
  const T* known = nullptr;
};

// The points of two paths, [rows + 1][channels] and [columns + 1][channels].
template <class T>
struct PathPair {
  const T *x = nullptr, *y = nullptr;
  int64_t rows = 0, columns = 0, channels = 0;
  // For weigh_alone, which takes paths reversed in time: as Block's, in the reversed order, [rows][2] and [columns][2].
  bool is_reversed = false;
  const T *x_rounding = nullptr, *y_rounding = nullptr;
};

// Where a block's gradient goes. All of it is accumulated into.
template <class T>
struct BlockGradient {
  T *x = nullptr, *y = nullptr;      // as in Block
  T* variance = nullptr;             // of a static kernel of points: [lanes]
  T* given[kMaxLanes] = {};          // null for a lane without a problem
};

// How far the increments along a problem's rows and columns reach: what plan.h chooses a degree by.
template <class T>
struct Reach {
  T largest = 0;  // range of the partial sums of p along a row or column
  T moment = 0;   // the sum over all rows and columns of the kReachMoment-th powers of their ranges
  T cubes = 0;    // of their third powers
  T cell = 0;     // the largest |p|, or where this is below kSmallCell perhaps a bound of it
  bool is_not_negative = false;  // whether p is known to be nowhere negative, so that nothing cancels
};
constexpr int kReachMoment = 5;
constexpr double kSmallCell = 5;  // |p| up to which terms that cancel inside a cell do no harm

// How a block is solved.
struct Scheme {
  bool power_series = true;
  int degree = 0;      // power series
  int refinement = 0;  // halvings of every increment
  Gradient gradient = Gradient::kAdjoint;
  bool extended_range = false;
};

// Coefficients and terms that are as many times larger than U lose two to three digits by rounding, and may.
constexpr double kHarmlessGrowth = 256;

// What a sweep saw, for each lane.
template <class T>
struct Outcome {
  T value[kMaxLanes];
  T tangent[kMaxLanes];  // derivative of the value in the block's direction
  T exponent[kMaxLanes];  // in extended range: the value is to be multiplied by 2 to this power
  // Power series: the largest |U|; the largest size of an edge's terms; the most that one row of edges drops.
  T scale[kMaxLanes], amplitude[kMaxLanes], tail[kMaxLanes];
  T terms[kMaxLanes];  // likewise: the largest size of what cancels inside a cell, as CellInspection sees it
};

// How much errors on the way weigh in the value, for each lane: see ErrorWeights in goursat.h.
template <class T>
struct LaneWeights {
  T largest[kMaxLanes], increments[kMaxLanes], reversed[kMaxLanes];
};

template <class T>
struct GoursatLoops {
  int lanes;
  // The increments of the paths at points[lane], [segments + 1][channels] each, side by side: overwrites packed,
  // [size][lanes], where size is segments * channels.
  void (*pack_increments)(const T* const* points, int64_t size, int64_t channels, T* packed);
  // The adjoint: a point moves the increment before it, and the one after it the other way. Overwrites the first `lanes`
  // paths' gradients, at points[lane].
  void (*unpack_gradient)(const T* packed, int64_t size, int64_t channels, int lanes, T* const* points);
  // Overwrites ranges, [rows + columns + 1][lanes], by the ranges of the block's rows and then of its columns at no
  // refinement and reach->cell, and reach by what they come to in each lane. known: null, or memory for Block's. scratch:
  // reach_scratch(block) bytes.
  void (*reach)(const Block<T>& block, void* scratch, T* known, T* ranges, Reach<T>* reach);
  int64_t (*reach_scratch)(const Block<T>& block);
  // ranges: as reach leaves them. Only a power series reads them. kept: null, or kept_size(block, scheme) bytes, which
  // are overwritten by what weigh needs to know.
  void (*forward)(const Block<T>& block, const Scheme& scheme, const T* ranges, void* scratch, void* kept,
                  Outcome<T>* outcome);
  int64_t (*forward_scratch)(const Block<T>& block, const Scheme& scheme);
  // Solves the problem reversed in time, after forward with the same scheme, ranges and scratch, and compares the two.
  void (*weigh)(const Block<T>& block, const Scheme& scheme, const T* ranges, void* scratch, void* kept,
                LaneWeights<T>* weights);
  int64_t (*kept_size)(const Block<T>& block, const Scheme& scheme);
  // One pair is solved by all lanes together; scheme.refinement must be 0. The outcome and the weights stand in the first
  // lane's place. scratch: forward_alone_scratch bytes. kept: as above, of kept_size_alone bytes.
  Reach<T> (*reach_alone)(const PathPair<T>& pair, void* scratch);
  void (*forward_alone)(const PathPair<T>& pair, const Scheme& scheme, const Reach<T>& reach, void* scratch, void* kept,
                        Outcome<T>* outcome);
  void (*weigh_alone)(const PathPair<T>& reversed, const Scheme& scheme, const Reach<T>& reach, void* scratch,
                      void* kept, LaneWeights<T>* weights);
  int64_t (*kept_size_alone)(const PathPair<T>& pair);
  int64_t (*forward_alone_scratch)(const PathPair<T>& pair, const Scheme& scheme);
  // upstream: one number for each lane. exponents: likewise; in extended range the gradient is divided by 2 to these
  // powers.
  void (*backward)(const Block<T>& block, const Scheme& scheme, const T* upstream, const T* exponents, void* scratch,
                   const BlockGradient<T>& gradient);
  int64_t (*backward_scratch)(const Block<T>& block, const Scheme& scheme);
};

// Those of the instruction set that simd/dispatch.cc chooses.
template <class T>
const GoursatLoops<T>& goursat_loops();

}  // namespace sigkernel
