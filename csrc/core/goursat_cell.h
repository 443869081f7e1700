// The cell rules: how one cell of the Goursat problem U_st = p U, with p constant on it, maps its two incoming edges to
// its two outgoing ones, and the adjoint of that map. Every formula of the solver stands here, once, generic over the
// value type V: a float or double, or a SIMD pack of them (one lane for each pair of paths).
//
// A cell has local coordinates in [0, 1]². Its bottom and top edge lie along a row of cells, its left and right edge
// along a column; bottom and left share the cell's first corner, top and right its last. An edge holds the coefficients
// of a polynomial that starts at the edge's first corner, so that coefficient 0 is U there:
//   FiniteDifference  (u, d): U = u at the start and u + d at the end;
//   PowerSeries<K>    scaled Taylor coefficients e_k = d^k U, k = 0 .. K: U(s) = sum_k e_k s^k / k!.
// Bottom and left edge share U at the first corner, and it must be one number: a rule reads it off the bottom edge and
// ignores the left edge's. Two copies drift apart by rounding, and their difference changes sign from cell to cell,
// which makes it grow like the solution for -p: by twelve digits for a total p of -400 on 80 × 80 cells.
#pragma once

#if defined(__CUDACC__)
#define SIGKERNEL_HOST_DEVICE __host__ __device__
#else
#define SIGKERNEL_HOST_DEVICE
#endif

namespace sigkernel {

template <int N>
struct InverseFactorials {
  double value[N + 1];
  SIGKERNEL_HOST_DEVICE constexpr InverseFactorials() : value() {
    value[0] = 1.0;
    for (int k = 1; k <= N; ++k) value[k] = value[k - 1] / k;
  }
};

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

  // bottom is overwritten by top, left by right.
  template <class V>
  SIGKERNEL_HOST_DEVICE static void forward(V p, V* bottom, V* left) {
    const V u00 = bottom[0], u01 = end(bottom), u10 = u00 + left[1];
    const V p_squared = p * p * V(1.0 / 12);
    const V mixed = (u10 + u01) * (p * V(0.5) + p_squared) + u00 * p_squared;  // u11 - u10 - u01 + u00
    bottom[0] = u10;
    bottom[1] += mixed;
    left[0] = u01;
    left[1] += mixed;
  }

  // top_bar is overwritten by bottom's derivative, right_bar by left's; returns the derivative by p.
  template <class V>
  SIGKERNEL_HOST_DEVICE static V backward(V p, const V* bottom, const V* left, V* top_bar, V* right_bar) {
    const V corners = bottom[0] + left[1] + end(bottom);
    const V p_squared = p * p * V(1.0 / 12), linear = p * V(0.5) + p_squared;
    const V mixed_bar = top_bar[1] + right_bar[1];
    const V p_bar = mixed_bar * (corners * (V(0.5) + p * V(1.0 / 6)) + bottom[0] * p * V(1.0 / 6));
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

  template <class V>
  SIGKERNEL_HOST_DEVICE static void end_backward(V* edge_bar) {
    constexpr InverseFactorials<K> inverse{};
    for (int k = 0; k <= K; ++k) edge_bar[k] = V(inverse.value[k]);
  }

  // bottom is overwritten by top, left by right.
  template <class V>
  SIGKERNEL_HOST_DEVICE static void forward(V p, V* bottom, V* left) {
    const Weights<V> w(p);
    left[0] = bottom[0];
    V top[K + 1], right[K + 1], from_left[K + 1], from_bottom[K + 1];
    convolve(w.taylor, bottom, top);
    convolve(w.taylor, left, right);
    moments(left, from_left);
    moments(bottom, from_bottom);
    for (int k = 0; k <= K; ++k) bottom[k] = top[k] + w.power[k] * from_left[k];
    for (int k = 0; k <= K; ++k) left[k] = right[k] + w.power[k] * from_bottom[k];
  }

  // top_bar is overwritten by bottom's derivative, right_bar by left's; returns the derivative by p.
  template <class V>
  SIGKERNEL_HOST_DEVICE static V backward(V p, const V* bottom, const V* left, V* top_bar, V* right_bar) {
    const Weights<V> w(p);
    V shared[K + 1] = {bottom[0]};  // the left edge, from the one first corner
    for (int k = 1; k <= K; ++k) shared[k] = left[k];
    const V p_bar = weights_backward(w, bottom, shared, top_bar) + weights_backward(w, shared, bottom, right_bar);
    V bottom_bar[K + 1], left_bar[K + 1], from_left_bar[K + 1], from_bottom_bar[K + 1];
    for (int k = 0; k <= K; ++k) from_left_bar[k] = w.power[k] * top_bar[k];
    for (int k = 0; k <= K; ++k) from_bottom_bar[k] = w.power[k] * right_bar[k];
    convolve_backward(w.taylor, top_bar, bottom_bar);
    convolve_backward(w.taylor, right_bar, left_bar);
    moments_backward(from_left_bar, left_bar);
    moments_backward(from_bottom_bar, bottom_bar);
    bottom_bar[0] += left_bar[0];
    left_bar[0] = V(0);
    for (int k = 0; k <= K; ++k) top_bar[k] = bottom_bar[k];
    for (int k = 0; k <= K; ++k) right_bar[k] = left_bar[k];
    return p_bar;
  }

 private:
  template <class V>
  struct Weights {
    V power[K + 1];   // p^k
    V taylor[K + 1];  // p^k / k!
    SIGKERNEL_HOST_DEVICE explicit Weights(V p) {
      constexpr InverseFactorials<K> inverse{};
      power[0] = V(1);
      for (int k = 1; k <= K; ++k) power[k] = power[k - 1] * p;
      for (int k = 0; k <= K; ++k) taylor[k] = power[k] * V(inverse.value[k]);
    }
  };

  // out_k = sum_{l<=k} w_l e_{k-l}. Overwrites out.
  template <class V>
  SIGKERNEL_HOST_DEVICE static void convolve(const V* w, const V* edge, V* out) {
    for (int k = 0; k <= K; ++k) out[k] = edge[k];
    for (int l = 1; l <= K; ++l)
      for (int k = l; k <= K; ++k) out[k] += w[l] * edge[k - l];
  }

  // Overwrites edge_bar.
  template <class V>
  SIGKERNEL_HOST_DEVICE static void convolve_backward(const V* w, const V* out_bar, V* edge_bar) {
    for (int k = 0; k <= K; ++k) edge_bar[k] = out_bar[k];
    for (int l = 1; l <= K; ++l)
      for (int k = 0; k <= K - l; ++k) edge_bar[k] += w[l] * out_bar[k + l];
  }

  // out_k = sum_{r=1}^{K-k} e_r / (k+r)!. Overwrites out.
  template <class V>
  SIGKERNEL_HOST_DEVICE static void moments(const V* edge, V* out) {
    constexpr InverseFactorials<K> inverse{};
    for (int k = 0; k <= K; ++k) out[k] = V(0);
    for (int r = 1; r <= K; ++r)
      for (int k = 0; k <= K - r; ++k) out[k] += edge[r] * V(inverse.value[k + r]);
  }

  // Accumulates into edge_bar: the matrix of moments is symmetric but for its first column, which is zero.
  template <class V>
  SIGKERNEL_HOST_DEVICE static void moments_backward(const V* out_bar, V* edge_bar) {
    constexpr InverseFactorials<K> inverse{};
    for (int k = 0; k < K; ++k)
      for (int r = 1; r <= K - k; ++r) edge_bar[r] += out_bar[k] * V(inverse.value[k + r]);
  }

  // The derivative by p of one outgoing edge, contracted with that edge's derivative out_bar:
  //   d top_k / dp = sum_{l<k} p^l / l! a_{k-1-l} + k p^{k-1} sum_{r=1}^{K-k} b_r / (k+r)!.
  template <class V>
  SIGKERNEL_HOST_DEVICE static V weights_backward(const Weights<V>& w, const V* along, const V* across,
                                                  const V* out_bar) {
    V convolved[K + 1], moment[K + 1];
    convolve(w.taylor, along, convolved);
    moments(across, moment);
    V sum = V(0);
    for (int k = 1; k <= K; ++k) sum += out_bar[k] * (convolved[k - 1] + w.power[k - 1] * moment[k] * V(k));
    return sum;
  }
};

// What a backward sweep carries from cell to cell, and how it starts. An Adjoint carries the derivative of k by each
// edge's coefficients and is exact for the computed k, up to rounding.
template <class CellRule>
struct Adjoint {
  using Rule = CellRule;
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
  SIGKERNEL_HOST_DEVICE static V backward(V p, const V* bottom, const V* left, V* top_bar, V* right_bar) {
    return Rule::backward(p, bottom, left, top_bar, right_bar);
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
// average of U V over the cell's four corners: second order, where taking one corner alone would be first order.
struct Theorem41 {
  using Rule = FiniteDifference;
  static constexpr int kOffDiagonalWeight = 2;  // a cell and its mirror image have equal integrals

  template <class V>
  SIGKERNEL_HOST_DEVICE static void boundary(V* reversed) {
    Rule::axis(reversed);
  }

  template <class V>
  SIGKERNEL_HOST_DEVICE static void seed(V*) {}

  template <class V>
  SIGKERNEL_HOST_DEVICE static V backward(V p, const V* bottom, const V* left, V* reversed_top, V* reversed_right) {
    V top[2] = {bottom[0], bottom[1]}, right[2] = {left[0], left[1]};
    Rule::forward(p, top, right);
    const V u00 = bottom[0], u01 = right[0], u10 = top[0], u11 = Rule::end(top);
    const V v11 = reversed_top[0];
    Rule::forward(p, reversed_top, reversed_right);
    const V v01 = reversed_top[0], v10 = reversed_right[0], v00 = Rule::end(reversed_top);
    return (u00 * v00 + u01 * v01 + u10 * v10 + u11 * v11) * V(0.25);
  }

  template <class V>
  SIGKERNEL_HOST_DEVICE static void enter_diagonal(V* reversed_top, const V* reversed_right) {
    for (int k = 0; k < Rule::kCoefficients; ++k) reversed_top[k] = reversed_right[k];
  }

  template <class V>
  SIGKERNEL_HOST_DEVICE static void leave_diagonal(V*, const V*) {}
};

}  // namespace sigkernel
