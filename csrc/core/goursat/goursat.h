// The Goursat problem U_st = p U with U = 1 on both axes, and the signature kernel k = U(1, 1) that it defines:
// parameters, and the declarations of forward and backward on the CPU.
#pragma once

#include <cstdint>

#include "core/host_device.h"
#include "core/parallel.h"

namespace sigkernel {

enum class Gradient { kAdjoint, kTheorem41 };

struct Solver {
  bool power_series = true;
  double tolerance = 0;                     // power series: of the error, relative to the largest |U W| over the nodes
  int dyadic_order = 0;                     // finite differences: halvings of every increment
  Gradient gradient = Gradient::kAdjoint;   // finite differences; the power series has only the adjoint
  bool extended_range = false;              // whether k may be beyond the largest number of its type: see Plan. For
                                            // kernels and their gradient on the CPU; not with weights or a direction
};

// How one pair was solved, chosen forward and repeated backward. One int32 per pair: degree | refinement << 8, where
// `refinement` counts halvings of every increment; finite differences have degree 0. Negative: not solved.
// In extended range a large k comes as k / 2^e, 1 or larger, and its gradient is of that number, e being a constant. e is
// kExponentUnit times the number in the plan's bits 16 to 30, which is 0 where |k| < 2^kExponentUnit.
using Plan = int32_t;
constexpr int kExponentUnit = 32;
SIGKERNEL_HOST_DEVICE constexpr int exponent_of(Plan plan) { return plan < 0 ? 0 : (plan >> 16) * kExponentUnit; }
constexpr Plan kOverflow = -1;     // the kernel is beyond the largest number of its type
constexpr Plan kUnreached = -2;    // increments too large to meet the tolerance
constexpr Plan kSkipped = -3;      // was not tried to the end, as another pair cannot be solved: see UnsolvedPairs

// Which pairs of paths: (X_b, Y_b); all (X_a, Y_b); all (X_a, X_b), half of them computed; or (X_a, X_a), half of each
// grid computed. The last two take Y = X.
enum class Pairing { kPairs, kGram, kSymmetricGram, kDiagonal };

template <class T>
struct Paths {
  const T* values = nullptr;  // [count, length, channels], length >= 1
  int64_t count = 0, length = 0, channels = 0;
  const int32_t* lengths = nullptr;  // [count]: where nothing is differenced, or points are windows, how many of a path's
                                     // values count

  int64_t segments() const { return length - 1; }
  int64_t size() const { return count * length * channels; }
  const T* path(int64_t index) const { return values + index * length * channels; }
};

// kappa, which lifts the points: <x, y>, or variance times a function of |x - y| (static_kernels.h).
enum class StaticKernel { kLinear, kRbf, kMatern12, kMatern32, kMatern52 };

enum class WindowTime { kNone, kRelative, kAbsolute };

// How the points of paths are cut: each is a window of `window` values of every channel, `dilation` steps apart, every
// `stride`-th of them kept; (x_t with all channels, x_{t + dilation}, ...). windows.h cuts them. For the CPU.
template <class T>
struct Windows {
  int64_t window = 0, dilation = 1, stride = 1;  // a window of 0: the points are the paths' own
  bool centre = false;                           // whether the mean of each channel is subtracted in each window
  bool scale = false;  // whether it is divided by its deviation, plus a tenth of the whole path's
  WindowTime time = WindowTime::kNone;  // in front of all other channels: the number of the window over that of the last
                                        // one, or the number of the time step
  const T* factors = nullptr;           // [channels(D)]: what a point's channels are multiplied by in the end

  bool are_cut() const { return window > 0; }
  bool has_time() const { return time != WindowTime::kNone; }
  // Of paths of so many values and channels.
  int64_t points(int64_t length) const {
    if (!are_cut()) return length;
    const int64_t windows = length - (window - 1) * dilation;
    return windows < 1 ? 1 : (windows + stride - 1) / stride;
  }
  int64_t channels(int64_t of_path) const { return are_cut() ? window * of_path + has_time() : of_path; }
};

template <class T>
struct KernelProblem {
  Paths<T> X, Y;
  Pairing pairing = Pairing::kPairs;
  StaticKernel static_kernel = StaticKernel::kLinear;
  T variance = 1;  // of all but the linear
  // Whether p is the double difference of kappa over a cell, which has two points at each side. Otherwise cells belong to
  // pairs of points, with p_ij = kappa(x_i, y_j) / (L1 L2), L1 and L2 being the lengths of the two paths; p is 0 beyond.
  bool difference = true;
  Solver solver;
  Windows<T> windows;
  bool is_scaled = false;  // whether the points have been rounded by a multiplication; for the ErrorWeights

  bool is_gram() const { return pairing == Pairing::kGram || pairing == Pairing::kSymmetricGram; }
  bool is_symmetric() const { return pairing == Pairing::kSymmetricGram || pairing == Pairing::kDiagonal; }
  int64_t pairs() const { return is_gram() ? X.count * Y.count : X.count; }
  int64_t rows() const { return windows.points(X.length) - (difference ? 1 : 0); }
  int64_t columns() const { return windows.points(Y.length) - (difference ? 1 : 0); }
  int64_t num_factors() const { return windows.are_cut() ? windows.channels(X.channels) : 0; }  // of the windows
};

// How much the errors that a sweep makes on its way weigh in each k. An error of U at a node reaches k multiplied by W,
// which solves the problem reversed in time: W is the kernel of what is left of both paths. All are [pairs] and are
// overwritten.
template <class T>
struct ErrorWeights {
  T* largest = nullptr;     // the largest |U W| over the nodes, or a bound of it where the grid is large
  T* increments = nullptr;  // the sum over the cells of |U W| times the rounding of p: see Block in loops.h
  T* reversed = nullptr;    // k by the reversed sweep, which is not finite where W overflows

  bool are_wanted() const { return largest != nullptr; }
};

// All of the following throw OutOfMemory (memory.h) or std::bad_alloc where memory runs out. Their results are then
// undefined.

// k, plan: [pairs], overwritten.
template <class T>
void signature_kernel(const KernelProblem<T>& problem, const ParallelFor& parallel_for, T* k, Plan* plan,
                      const ErrorWeights<T>& weights = {});

// For kPairs only. direction: of X's shape. tangent: [pairs], overwritten by the derivative of k(X_b + e direction_b,
// Y_b) by e at 0, of the computed k: the augmented problem (eq. 41).
template <class T>
void signature_kernel_directional(const KernelProblem<T>& problem, const T* direction, const ParallelFor& parallel_for,
                                  T* k, T* tangent, Plan* plan);

// upstream, plan: [pairs]. dX, dY: the shapes of X and Y, overwritten; for a symmetric pairing dX holds the derivative
// by both arguments and dY is not touched. d_variance: one number, overwritten; 0 for the linear static kernel. Sums run
// in an order that depends only on shapes. d_factors: of the windows' factors, overwritten; not touched without windows.
template <class T>
void signature_kernel_backward(const KernelProblem<T>& problem, const ParallelFor& parallel_for, const Plan* plan,
                               const T* upstream, T* dX, T* dY, T* d_variance, T* d_factors = nullptr);

// For any static kernel: the increments p are given, [count, rows, columns], not divided by a refinement.
template <class T>
struct GoursatProblem {
  const T* increments = nullptr;
  int64_t count = 0, rows = 0, columns = 0;
  Solver solver;
};

// k, plan: [count], overwritten.
template <class T>
void solve_goursat(const GoursatProblem<T>& problem, const ParallelFor& parallel_for, T* k, Plan* plan,
                   const ErrorWeights<T>& weights = {});

// d_increments: [count, rows, columns], overwritten.
template <class T>
void solve_goursat_backward(const GoursatProblem<T>& problem, const ParallelFor& parallel_for, const Plan* plan,
                            const T* upstream, T* d_increments);

}  // namespace sigkernel
