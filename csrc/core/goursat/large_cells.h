// A look into the cells with the largest |p|: how much larger than U the terms are that cancel there. On the CPU only, for
// the files that are compiled for an instruction set.
#pragma once

#include "core/arithmetic.h"
#include "core/goursat/cell.h"
#include "core/goursat/inspection.h"
#include "core/goursat/loops.h"
#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// Where p changes its sign from cell to cell, the edges that enter a cell hold coefficients of alternating signs, and the
// sums that form its outgoing edges cancel. Their rounding is relative to the terms of these sums. Two cells of p and -p
// in a row make terms up to I0(2 sqrt|p|)² times larger than U, while the coefficients that come out are small again.
template <class Rule, class V>
class CellInspection : public Inspection<Rule, V> {
 public:
  // largest: |p| in the largest cell. Only cells of more than half its size are worth a look.
  void start(V largest) {
    large_ = max(largest * V(0.6), V(kSmallCell));
    is_looking_ = any_above(largest, large_);
    growth_ = V(1);
    V term(1);
    for (int l = 1; is_looking_ && l < 50; ++l) {
      term *= largest * V(1.0 / (l * l));
      growth_ += term;
    }
  }

  bool is_looking() const { return is_looking_; }

  // Whether there is a cell among these that is worth it.
  bool finds_large(const V* p, int64_t count) const {
    if (!is_looking_) return false;
    V largest(0);
    for (int64_t n = 0; n < count; ++n) largest = max(largest, abs(p[n]) - large_);
    return any_above(largest, V(0));
  }

  // Before the cell is crossed.
  SIGKERNEL_INLINE void look_into(V p, const V* bottom, const V* left) {
    if (__builtin_expect(!any_above(abs(p), large_), 1)) return;
    Sizes cell;  // a copy, so that the sweep's own edges can stay in registers
    cell.p = abs(p);
    for (int k = 0; k < kSize; ++k) {
      cell.bottom[k] = abs(bottom[k]) * unit;
      cell.left[k] = abs(left[k]) * unit;
    }
    add(cell);
  }

  V terms{0.0};  // the largest sum of the terms' sizes at a cell's last corner
  V unit{1.0};   // by how much the edges of the cells count

 private:
  static constexpr int kSize = Rule::kCoefficients;

  struct Sizes {
    V p, bottom[kSize], left[kSize];
  };

  // The sizes of the terms are summed by the cell's own rule. It makes of edges with coefficients e_k at most I0(2 sqrt|p|)
  // sum |e_k| / k!, so most cells need not be crossed a second time.
  SIGKERNEL_NOINLINE void add(Sizes cell) {
    this->scale = max(this->scale, cell.bottom[0]);
    const V most = (Rule::end(cell.bottom) + Rule::end(cell.left)) * growth_;
    if (!any_above(most, max(terms, this->scale * V(kHarmlessGrowth / 2)))) return;
    Rule::forward(cell.p, cell.bottom, cell.left);
    terms = max(terms, max(Rule::end(cell.bottom), Rule::end(cell.left)));
  }

  V large_{0.0}, growth_{1.0};
  bool is_looking_ = false;
};

}  // namespace
}  // namespace sigkernel
