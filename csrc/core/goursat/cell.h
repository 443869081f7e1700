// The cell rules: how one cell of the Goursat problem U_st = p U, with p constant on it, maps its two incoming edges to
// its two outgoing ones, and the adjoint of that map. Every formula of the solver stands here, once, generic over the
// value type V: a float or double, a SIMD pack of them (one lane for each pair of paths), or a dual number.
//
// A cell has local coordinates in [0, 1]². Its bottom and top edge lie along a row of cells, its left and right edge
// along a column; bottom and left share the cell's first corner, top and right its last. An edge holds the coefficients
// of a polynomial that starts at the edge's first corner, so that coefficient 0 is U there:
//   FiniteDifference  (u, d): U = u at the start and u + d at the end;
//   PowerSeries<K>    scaled Taylor coefficients e_k = d^k U, k = 0 .. K: U(s) = sum_k e_k s^k / k!.
// Bottom and left edge share U at the first corner, and it must be one number: a rule reads it off the bottom edge and
// ignores the left edge's. Two copies drift apart by rounding, and their difference changes sign from cell to cell,
// which makes it grow like the solution for -p: by twelve digits for a total p of -400 on 80 × 80 cells.
//
// forward_keeping does what forward does and also leaves on a tape what backward needs to know of the cell besides p.
#pragma once

#include "core/host_device.h"
#include "core/inverse_factorials.h"

namespace sigkernel {

// The paper's scheme (appendix C.2), second order in the width of a cell:
//   u11 = (u10 + u01) (1 + p/2 + p²/12) - u00 (1 - p²/12),
// written as increments along the edges, which keeps the digits that u10 + u01 - u00 would lose.
struct FiniteDifference {
  static constexpr int kCoefficients = 2;

  // The edges on the axes, where U = 1.
  template <class V>
  SIGKERNEL_HOST_DEVICE static void axis(V* edge) {
    edge[0] = V(1);
    edge[1] = V(0);
  }

  // U at the last corner of an edge.
  template <class V>
  SIGKERNEL_HOST_DEVICE static V end(const V* edge) {
    return edge[0] + edge[1];
  }

  // edge_bar: overwritten by the derivative of end(edge).
  template <class V>
  SIGKERNEL_HOST_DEVICE static void end_backward(V* edge_bar) {
    edge_bar[0] = V(1);
    edge_bar[1] = V(1);
  }

  static constexpr int kTape = 2;
  static constexpr int kRowsAtOnce = 2;  // one row's chain of dependent operations hides behind the other's

  // bottom is overwritten by top, left by right.
  template <class V>
  SIGKERNEL_HOST_DEVICE static void forward(V p, V* bottom, V* left) {
    const V u00 = bottom[0], u01 = end(bottom);
    const V p_squared = p * (p * V(1.0 / 12)), linear = p * V(0.5) + p_squared;
    const V mixed = left[1] * linear + ((u00 + u01) * linear + u00 * p_squared);  // u11 - u10 - u01 + u00
    bottom[0] = u00 + left[1];
    bottom[1] += mixed;
    left[0] = u01;
    left[1] += mixed;
  }

  template <class V>
  SIGKERNEL_HOST_DEVICE static void forward_keeping(V p, V* bottom, V* left, V* tape) {
    tape[0] = bottom[0];
    tape[1] = bottom[0] + end(bottom) + left[1];  // u10 + u01
    forward(p, bottom, left);
  }

  // top_bar is overwritten by bottom's derivative, right_bar by left's; returns the derivative by p.
  template <class V>
  SIGKERNEL_HOST_DEVICE static V backward(V p, const V* tape, V* top_bar, V* right_bar) {
    const V u00 = tape[0], corners = tape[1];
    const V p_squared = p * (p * V(1.0 / 12)), linear = p * V(0.5) + p_squared;
    const V mixed_bar = top_bar[1] + right_bar[1];
    const V p_bar = mixed_bar * (corners * V(0.5) + (corners + u00) * (p * V(1.0 / 6)));
    const V u10_bar = top_bar[0] + mixed_bar * linear, u01_bar = right_bar[0] + mixed_bar * linear;
    top_bar[0] = u10_bar + u01_bar + mixed_bar * p_squared;
    top_bar[1] += u01_bar;
    right_bar[0] = V(0);
    right_bar[1] += u10_bar;
    return p_bar;
  }
};

// Each edge a polynomial of degree K. On one cell U = sum c_kl s^k t^l with (k+1)(l+1) c_{k+1,l+1} = p c_{k,l}, so with
// scaled coefficients a (bottom) and b (left)
//   top_k = sum_{l<=k} p^l / l! a_{k-l} + p^k sum_{r=1}^{K-k} b_r / (k+r)!,
// and right_k the same with a and b exchanged: a Toeplitz product and a constant triangular one.
template <int K>
struct PowerSeries {
  static constexpr int kDegree = K;
  static constexpr int kCoefficients = K + 1;

  static constexpr int kTape = 2 * K;  // the derivatives by p of top_1 .. top_K and right_1 .. right_K
  static constexpr int kRowsAtOnce = 1;

  template <class V>
  SIGKERNEL_HOST_DEVICE static void axis(V* edge) {
    edge[0] = V(1);
    for (int k = 1; k <= K; ++k) edge[k] = V(0);
  }

  template <class V>
  SIGKERNEL_HOST_DEVICE static V end(const V* edge) {
    constexpr InverseFactorials<K> inverse{};
    V sum = edge[K] * V(inverse.value[K]);  // smallest terms first
    for (int k = K - 1; k >= 0; --k) sum += edge[k] * V(inverse.value[k]);
    return sum;
  }

  // edge_bar: overwritten by the derivative of end(edge).
  template <class V>
  SIGKERNEL_HOST_DEVICE static void end_backward(V* edge_bar) {
    constexpr InverseFactorials<K> inverse{};
    for (int k = 0; k <= K; ++k) edge_bar[k] = V(inverse.value[k]);
  }

  // bottom is overwritten by top, left by right.
  template <class V>
  SIGKERNEL_HOST_DEVICE static void forward(V p, V* bottom, V* left) {
    outgoing_edges<false>(p, bottom, left, static_cast<V*>(nullptr));
  }

  template <class V>
  SIGKERNEL_HOST_DEVICE static void forward_keeping(V p, V* bottom, V* left, V* tape) {
    outgoing_edges<true>(p, bottom, left, tape);
  }

  // top_bar is overwritten by bottom's derivative, right_bar by left's; returns the derivative by p.
  template <class V>
  SIGKERNEL_HOST_DEVICE static V backward(V p, const V* tape, V* top_bar, V* right_bar) {
    const Weights<V> w(p);
    V by_top = top_bar[1] * tape[0], by_right = right_bar[1] * tape[K];
    SIGKERNEL_UNROLL for (int k = 2; k <= K; ++k) {
      by_top += top_bar[k] * tape[k - 1];
      by_right += right_bar[k] * tape[K + k - 1];
    }
    V top_moments_bar[K], right_moments_bar[K], bottom_bar[K + 1], left_bar[K + 1];
    SIGKERNEL_UNROLL for (int k = 0; k < K; ++k) {
      top_moments_bar[k] = w.power[k] * top_bar[k];
      right_moments_bar[k] = w.power[k] * right_bar[k];
    }
    incoming_edge_bar(w.taylor, top_bar, right_moments_bar, bottom_bar);
    incoming_edge_bar(w.taylor, right_bar, top_moments_bar, left_bar);
    top_bar[0] = bottom_bar[0] + left_bar[0];  // the one first corner
    right_bar[0] = V(0);
    SIGKERNEL_UNROLL for (int k = 1; k <= K; ++k) {
      top_bar[k] = bottom_bar[k];
      right_bar[k] = left_bar[k];
    }
    return by_top + by_right;
  }

 private:
  template <class V>
  struct Weights {
    V power[K + 1];   // p^k
    V taylor[K + 1];  // p^k / k!
    SIGKERNEL_HOST_DEVICE explicit Weights(V p) {
      constexpr InverseFactorials<K> inverse{};
      power[0] = taylor[0] = V(1);
      power[1] = taylor[1] = p;
      SIGKERNEL_UNROLL for (int k = 2; k <= K; ++k) {
        power[k] = power[k / 2] * power[k - k / 2];
        taylor[k] = power[k] * V(inverse.value[k]);
      }
    }
  };

  template <bool kKeeping, class V>
  SIGKERNEL_HOST_DEVICE static void outgoing_edges(V p, V* bottom, V* left, V* tape) {
    const Weights<V> w(p);
    left[0] = bottom[0];
    V top[K + 1], right[K + 1];
    outgoing_edge<kKeeping>(w, bottom, left, top, tape);
    outgoing_edge<kKeeping>(w, left, bottom, right, tape + (kKeeping ? K : 0));
    SIGKERNEL_UNROLL for (int k = 0; k <= K; ++k) {
      bottom[k] = top[k];
      left[k] = right[k];
    }
  }

  // out_k = sum_{l<=k} p^l / l! along_{k-l} + p^k m_k with the moments m_k = sum_{r=1}^{K-k} across_r / (k+r)!. Its
  // derivative by p is sum_{l<k} p^l / l! along_{k-1-l} + k p^{k-1} m_k = out_{k-1} + p^{k-1} (k m_k - m_{k-1}).
  template <bool kKeeping, class V>
  SIGKERNEL_HOST_DEVICE static void outgoing_edge(const Weights<V>& w, const V* along, const V* across, V* out,
                                                  V* derivative) {
    constexpr InverseFactorials<K> inverse{};
    V moment_before = V(0);
    SIGKERNEL_UNROLL for (int k = 0; k <= K; ++k) {
      V sum = along[k];
      SIGKERNEL_UNROLL for (int l = 1; l <= k; ++l) sum += w.taylor[l] * along[k - l];
      V moment = V(0);
      if (k < K) {
        moment = across[1] * V(inverse.value[k + 1]);
        SIGKERNEL_UNROLL for (int r = 2; r <= K - k; ++r) moment += across[r] * V(inverse.value[k + r]);
        sum += w.power[k] * moment;
      }
      if (kKeeping && k > 0) derivative[k - 1] = out[k - 1] + w.power[k - 1] * (moment * V(k) - moment_before);
      out[k] = sum;
      moment_before = moment;
    }
  }

  // The adjoint of outgoing_edge by `along`, and of the other edge's by `across`: edge_bar is overwritten.
  template <class V>
  SIGKERNEL_HOST_DEVICE static void incoming_edge_bar(const V* taylor, const V* along_bar, const V* moments_bar,
                                                      V* edge_bar) {
    constexpr InverseFactorials<K> inverse{};
    SIGKERNEL_UNROLL for (int m = 0; m <= K; ++m) {
      V sum = along_bar[m];
      SIGKERNEL_UNROLL for (int l = 1; l <= K - m; ++l) sum += taylor[l] * along_bar[m + l];
      if (m > 0) {
        SIGKERNEL_UNROLL for (int k = 0; k <= K - m; ++k) sum += moments_bar[k] * V(inverse.value[k + m]);
      }
      edge_bar[m] = sum;
    }
  }
};

// What a backward sweep carries from cell to cell, and how it starts. An Adjoint carries the derivative of k by each
// edge's coefficients and is exact for the computed k, up to rounding.
template <class CellRule>
struct Adjoint {
  using Rule = CellRule;
  static constexpr int kTape = Rule::kTape;
  static constexpr int kOffDiagonalWeight = 1;

  template <class V>
  SIGKERNEL_HOST_DEVICE static void boundary(V* edge_bar) {
    for (int k = 0; k < Rule::kCoefficients; ++k) edge_bar[k] = V(0);
  }

  // The right edge of the last cell: k is U at its end.
  template <class V>
  SIGKERNEL_HOST_DEVICE static void seed(V* right_bar) {
    Rule::end_backward(right_bar);
  }

  template <class V>
  SIGKERNEL_HOST_DEVICE static void forward_keeping(V p, V* bottom, V* left, V* tape) {
    Rule::forward_keeping(p, bottom, left, tape);
  }

  template <class V>
  SIGKERNEL_HOST_DEVICE static V backward(V p, const V* tape, V* top_bar, V* right_bar) {
    return Rule::backward(p, tape, top_bar, right_bar);
  }

  // A symmetric sweep visits one half of the grid; its diagonal cells take their bottom edge as their left edge too.
  template <class V>
  SIGKERNEL_HOST_DEVICE static void enter_diagonal(V*, const V*) {}

  template <class V>
  SIGKERNEL_HOST_DEVICE static void leave_diagonal(V* bottom_bar, const V* left_bar) {
    for (int k = 0; k < Rule::kCoefficients; ++k) bottom_bar[k] += left_bar[k];
  }
};

// Theorem 4.1: dk/dp is the integral over the cell of U(s, t) V(s, t), where V solves the same problem from the last
// corner backwards (the paper's Ũ(T-s, T-t)). Carries V's edges, which start at their last corner; the integral is the
// average of U V over the cell's four corners: this is second order, while one corner only would be first order.
struct Theorem41 {
  using Rule = FiniteDifference;
  static constexpr int kTape = 4;  // U at the cell's corners
  static constexpr int kOffDiagonalWeight = 2;  // a cell and its mirror image have equal integrals

  template <class V>
  SIGKERNEL_HOST_DEVICE static void boundary(V* reversed) {
    Rule::axis(reversed);
  }

  template <class V>
  SIGKERNEL_HOST_DEVICE static void seed(V*) {}

  template <class V>
  SIGKERNEL_HOST_DEVICE static void forward_keeping(V p, V* bottom, V* left, V* tape) {
    tape[0] = bottom[0];
    tape[1] = Rule::end(bottom);
    Rule::forward(p, bottom, left);
    tape[2] = bottom[0];
    tape[3] = Rule::end(bottom);
  }

  template <class V>
  SIGKERNEL_HOST_DEVICE static V backward(V p, const V* tape, V* reversed_top, V* reversed_right) {
    const V v11 = reversed_top[0];
    Rule::forward(p, reversed_top, reversed_right);
    const V v01 = reversed_top[0], v10 = reversed_right[0], v00 = Rule::end(reversed_top);
    return (tape[0] * v00 + tape[1] * v01 + tape[2] * v10 + tape[3] * v11) * V(0.25);
  }

  template <class V>
  SIGKERNEL_HOST_DEVICE static void enter_diagonal(V* reversed_top, const V* reversed_right) {
    for (int k = 0; k < Rule::kCoefficients; ++k) reversed_top[k] = reversed_right[k];
  }

  template <class V>
  SIGKERNEL_HOST_DEVICE static void leave_diagonal(V*, const V*) {}
};

}  // namespace sigkernel
