// A single problem that is solved by all lanes of a register together: each lane sweeps a row of its own, one column
// behind the lane before, so that a register holds a piece of an antidiagonal. It serves the linear static kernel
// without a refinement, and goes forward only.
#pragma once

#include "core/arena.h"
#include "core/arithmetic.h"
#include "core/goursat/cell.h"
#include "core/goursat/inspection.h"
#include "core/goursat/loops.h"
#include "core/goursat/skewed_nodes.h"
#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// Rows are taken in strips of one a lane; zero increments fill the first strip up in front, where they leave U = 1. Where
// nodes are looked at, see skewed_nodes.h for what else is filled up.
// Memory: one row of edges, as numbers.
template <class Rule, class V>
class SkewedSweep {
  using T = typename V::Scalar;

 public:
  // nodes: null, or what looks at the nodes.
  SkewedSweep(const PathPair<T>& pair, SkewedNodes<V>* nodes, Arena& arena)
      : pair_(pair), nodes_(nodes), columns_(pair.columns + (nodes == nullptr ? 0 : 1)),
        row_(arena.take<T>((pair.columns + 1) * kSize)), dx_(arena.take<V>(pair.channels)),
        dy_(arena.take<V>(pair.channels)) {}

  // Returns k. `inspection` sees some of the edges, and takes what one row or column drops from what they do. reach: the
  // largest range. largest: |p|.
  template <class Inspect>
  T forward(Inspect& inspection, V reach, V largest) {
    if constexpr (!std::is_same_v<Inspect, NoInspection>) {
      inspection.start(largest);
      if (inspection.is_looking()) return cross<true>(inspection, reach);
    }
    return cross<false>(inspection, reach);
  }

 private:
  static constexpr int kSize = Rule::kCoefficients;

  template <bool kLooksInside, class Inspect>
  T cross(Inspect& inspection, V reach) {
    V axis[kSize];
    Rule::axis(axis);
    for (int64_t j = 0; j < columns_; ++j)
      for (int k = 0; k < kSize; ++k) row_[j * kSize + k] = axis[k][0];
    const int64_t rows = pair_.rows + (nodes_ == nullptr ? 0 : 1), strips = parts_of(rows, V::kLanes);
    const int64_t before = pair_.is_reversed ? 0 : strips * V::kLanes - rows;  // zero rows in front of the first
    V left[kSize], across(0);
    Rule::axis(left);
    for (int64_t strip = 0; strip < strips; ++strip) {
      read_rows(strip * V::kLanes - before);
      if (nodes_ != nullptr) nodes_->start_strip(strip, strip * V::kLanes - before);
      V top[kSize], along(0);
      Rule::axis(left);
      Rule::axis(top);
      for (int64_t step = 0; step < columns_ + V::kLanes - 1; ++step) {
        advance<kLooksInside>(step, top, left, inspection);
        if (step % kStepsToLook == 0) {
          inspection.look_at(top, reach, &along);
          V dropped(0);
          inspection.look_at(left, reach, &dropped);
          across = max(across, dropped);
        }
      }
      inspection.take_tail(along * V(kStepsToLook));
    }
    inspection.take_tail(across * V(static_cast<double>(pair_.rows)));
    return Rule::end(left)[V::kLanes - 1];
  }

  // The increments of rows first .. first + lanes - 1, zero before the first and behind the last.
  void read_rows(int64_t first) {
    for (int64_t d = 0; d < pair_.channels; ++d) {
      dx_[d] = dy_[d] = V(0);
      for (int lane = 0; lane < V::kLanes; ++lane) {
        const int64_t row = first + lane;
        const T* x = pair_.x + row * pair_.channels + d;
        if (row >= 0 && row < pair_.rows) dx_[d].set(lane, x[pair_.channels] - x[0]);
      }
    }
  }

  // One cell in every lane; lane r is at column step - r. Before the first column increments are zero and edges those of
  // the axis; beyond the last, what a lane computes goes nowhere.
  template <bool kLooksInside, class Inspect>
  SIGKERNEL_INLINE void advance(int64_t step, V* top, V* left, Inspect& inspection) {
    const bool is_inside = step < pair_.columns, is_in_row = step < columns_;
    const T* y = pair_.y + step * pair_.channels;
    V p(0);
    for (int64_t d = 0; d < pair_.channels; ++d) {
      dy_[d] = shift_in(dy_[d], is_inside ? y[d + pair_.channels] - y[d] : T(0));
      p += dx_[d] * dy_[d];
    }
    V bottom[kSize];
    SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k)
      bottom[k] = shift_in(top[k], is_in_row ? row_[step * kSize + k] : T(0));
    if (nodes_ != nullptr) nodes_->look_at(bottom[0], step);
    if constexpr (kLooksInside) inspection.look_into(p, bottom, left);
    Rule::forward(p, bottom, left);
    SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) top[k] = bottom[k];
    const int64_t leaving = step - (V::kLanes - 1);
    if (leaving >= 0) {
      SIGKERNEL_UNROLL for (int k = 0; k < kSize; ++k) row_[leaving * kSize + k] = top[k][V::kLanes - 1];
    }
  }

  const PathPair<T> pair_;
  SkewedNodes<V>* const nodes_;
  const int64_t columns_;
  T* row_;
  V *dx_, *dy_;
};

}  // namespace
}  // namespace sigkernel
