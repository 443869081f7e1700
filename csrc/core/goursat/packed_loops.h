// The functions of GoursatLoops (loops.h) over SIMD packs, for the instruction set that the including file is compiled
// for.
#pragma once

#include "core/arena.h"
#include "core/arithmetic.h"
#include "core/goursat/degrees.h"
#include "core/goursat/large_cells.h"
#include "core/goursat/loops.h"
#include "core/goursat/node_sizes.h"
#include "core/goursat/reach.h"
#include "core/goursat/reversed.h"
#include "core/goursat/skewed.h"
#include "core/goursat/sweep.h"
#include "core/simd/interleave.h"
#include "core/simd/pack.h"
#include "core/simd/registers.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

template <class T, int W>
class PackedGoursat {
  using V = Pack<T, W>;

  static Grid grid_of(const Block<T>& block, int refinement) {
    return {block.rows, block.columns, refinement, block.symmetric};
  }

  // A block's increments, of whichever kind.
  class BlockIncrements {
   public:
    BlockIncrements(const Block<T>& block, const BlockGradient<T>* gradient)
        : kind_(block.kind), is_known_(block.known != nullptr), known_(block), linear_(block, gradient),
          rbf_(block, gradient), matern12_(block, gradient), matern32_(block, gradient), matern52_(block, gradient),
          given_(block, gradient) {}

    const Increments<V>& get() const {
      if (is_known_) return known_;
      switch (kind_) {
        case IncrementsKind::kLinear: return linear_;
        case IncrementsKind::kRbf: return rbf_;
        case IncrementsKind::kMatern12: return matern12_;
        case IncrementsKind::kMatern32: return matern32_;
        case IncrementsKind::kMatern52: return matern52_;
        default: return given_;
      }
    }

   private:
    const IncrementsKind kind_;
    const bool is_known_;
    const KnownIncrements<V> known_;
    const LinearIncrements<V> linear_;
    const PointIncrements<Rbf, V, V> rbf_;
    const PointIncrements<Matern12, V, V> matern12_;
    const PointIncrements<Matern32, V, V> matern32_;
    const PointIncrements<Matern52, V, V> matern52_;
    const GivenIncrements<V> given_;
  };

  // Calls task.template run<Rule>() for the scheme's rule.
  template <class Task>
  struct RuleVisitor {
    const Task& task;
    template <class Rule>
    int64_t visit() const { return task.template run<Rule>(); }
  };

  template <class Task>
  static int64_t with_rule(const Scheme& scheme, const Task& task) {
    if (scheme.power_series) return visit_degree<T>(scheme.degree, RuleVisitor<Task>{task});
    return task.template run<FiniteDifference>();
  }

  template <class Rule>
  struct Inspector {
    NoInspection inspection;
    void report(Outcome<T>*) const {}
  };
  template <int K>
  struct Inspector<PowerSeries<K>> {
    CellInspection<PowerSeries<K>, V> inspection;
    void report(Outcome<T>* outcome) const {
      store(inspection.scale, outcome->scale);
      store(inspection.amplitude, outcome->amplitude);
      store(inspection.tail, outcome->tail);
      store(inspection.terms, outcome->terms);
    }
  };

  struct Forward {
    const Block<T>& block;
    const Scheme& scheme;
    const T* ranges;
    void *scratch, *kept;
    Outcome<T>* outcome;

    template <class Rule>
    int64_t run() const {
      if (block.direction != nullptr) {
        switch (block.kind) {
          case IncrementsKind::kRbf: return directed<Rule>(PointIncrements<Rbf, Dual<V>, V>(block, nullptr));
          case IncrementsKind::kMatern12: return directed<Rule>(PointIncrements<Matern12, Dual<V>, V>(block, nullptr));
          case IncrementsKind::kMatern32: return directed<Rule>(PointIncrements<Matern32, Dual<V>, V>(block, nullptr));
          case IncrementsKind::kMatern52: return directed<Rule>(PointIncrements<Matern52, Dual<V>, V>(block, nullptr));
          default: return directed<Rule>(DirectedIncrements<V>(block));
        }
      }
      const BlockIncrements increments(block, nullptr);
      Arena arena(scratch);
      Sweep<Rule, V> sweep(grid_of(block, scheme.refinement), increments.get(), 0, arena, scheme.extended_range);
      if (scratch == nullptr) return arena.used();
      Inspector<Rule> inspector;
      NoNodes no_nodes;
      if (kept == nullptr) {
        store(sweep.forward(inspector.inspection, reinterpret_cast<const V*>(ranges), no_nodes), outcome->value);
      } else {
        Arena kept_arena(kept);
        NodeSizes<V> nodes(grid_of(block, scheme.refinement), kept_arena);
        nodes.start(block, scheme.power_series ? 0.5 : 1.0);  // a look costs as much as a cell of the finite differences
        store(sweep.forward(inspector.inspection, reinterpret_cast<const V*>(ranges), nodes), outcome->value);
      }
      inspector.report(outcome);
      if (scheme.extended_range) store(sweep.exponent(), outcome->exponent);
      return 0;
    }

    template <class Rule>
    int64_t directed(const Increments<Dual<V>>& increments) const {
      Arena arena(scratch);
      Sweep<Rule, Dual<V>> sweep(grid_of(block, scheme.refinement), increments, 0, arena);
      if (scratch == nullptr) return arena.used();
      NoInspection none;
      NoNodes no_nodes;
      const Dual<V> k = sweep.forward(none, nullptr, no_nodes);
      store(k.value, outcome->value);
      store(k.tangent, outcome->tangent);
      return 0;
    }
  };

  struct Weigh {
    const Block<T>& block;
    const Scheme& scheme;
    const T* ranges;
    void *scratch, *kept;
    LaneWeights<T>* weights;

    // What the inspection sees goes nowhere. It is there so that this sweep is the one that is compiled for forward.
    template <class Rule>
    int64_t run() const {
      Arena arena(scratch), kept_arena(kept);
      NodeSizes<V> nodes(grid_of(block, scheme.refinement), kept_arena);
      nodes.reverse();
      const ReversedPaths<V> paths(block, kept_arena);
      const bool has_paths = ReversedPaths<V>::serves(block);
      const Block<T> from = has_paths ? paths.block() : block;
      const BlockIncrements increments(from, nullptr);
      const ReversedIncrements<V> turned(increments.get(), block.rows, block.columns);
      const Increments<V>& reversed = has_paths ? increments.get() : turned;
      Sweep<Rule, V> sweep(grid_of(block, scheme.refinement), reversed, 0, arena);
      Inspector<Rule> inspector;
      store(sweep.forward(inspector.inspection, reinterpret_cast<const V*>(ranges), nodes), weights->reversed);
      store(nodes.largest(), weights->largest);
      store(nodes.increments(), weights->increments);
      return 0;
    }
  };

  // Forward, or, of a reversed pair, the second sweep of weigh_alone. `outcome` and `weights` are written where they are not
  // null.
  struct ForwardAlone {
    const PathPair<T>& pair;
    const Reach<T>& reach;
    void *scratch, *kept;
    Outcome<T>* outcome;
    LaneWeights<T>* weights;

    template <class Rule>
    int64_t run() const {
      Arena arena(scratch), kept_arena(kept);
      SkewedNodes<V> nodes(pair, kept_arena);
      SkewedSweep<Rule, V> sweep(pair, kept == nullptr ? nullptr : &nodes, arena);
      if (scratch == nullptr) return arena.used();
      if (kept != nullptr) pair.is_reversed ? nodes.reverse(pair) : nodes.start();
      Inspector<Rule> inspector;
      const T value = sweep.forward(inspector.inspection, V(reach.largest), V(reach.cell));
      if (weights != nullptr) {
        weights->largest[0] = nodes.largest();
        weights->increments[0] = nodes.increments();
        weights->reversed[0] = value;
        return 0;
      }
      inspector.report(outcome);
      for (int lane = 0; lane < W; ++lane) outcome->value[lane] = value;
      T* const all[] = {outcome->scale, outcome->amplitude, outcome->tail, outcome->terms};
      for (T* seen : all)
        for (int lane = 1; lane < W; ++lane) seen[0] = max(seen[0], seen[lane]);  // what the lanes saw is of one problem
      return 0;
    }
  };

  struct Backward {
    const Block<T>& block;
    const Scheme& scheme;
    const T *upstream, *exponents;
    void* scratch;
    const BlockGradient<T>* gradient;

    template <class Rule>
    int64_t run() const {
      if constexpr (Rule::kCoefficients == FiniteDifference::kCoefficients) {
        if (scheme.gradient == Gradient::kTheorem41) return with<Theorem41>();
      }
      return with<Adjoint<Rule>>();
    }

    template <class Policy>
    int64_t with() const {
      const BlockIncrements increments(block, gradient);
      Arena arena(scratch);
      Sweep<typename Policy::Rule, V> sweep(grid_of(block, scheme.refinement), increments.get(), Policy::kTape, arena,
                                            scheme.extended_range);
      sweep.template reserve<Policy>();
      if (scratch == nullptr) return arena.used();
      sweep.template backward<Policy>(load<V>(upstream), load<V>(exponents));
      return 0;
    }
  };

 public:
  static void pack_increments(const T* const* points, int64_t size, int64_t channels, T* packed) {
    interleave<T>(Differences<T>{points, 0, channels}, size, reinterpret_cast<V*>(packed));
  }

  static void unpack_gradient(const T* packed, int64_t size, int64_t channels, int lanes, T* const* points) {
    const V* bar = reinterpret_cast<const V*>(packed);
    V some[W];
    for (int64_t first = 0; first < size + channels; first += W) {
      const int64_t count = smaller(W, size + channels - first);
      for (int64_t n = 0; n < count; ++n) {
        const int64_t e = first + n;
        some[n] = (e < channels ? V(0) : bar[e - channels]) - (e < size ? bar[e] : V(0));
      }
      deal(some, count, lanes, points, first);
    }
  }

  static int64_t reach_scratch(const Block<T>& block) {
    Arena arena;
    BlockReach<V>(block, arena);
    return arena.used();
  }

  static void reach(const Block<T>& block, void* scratch, T* known, T* ranges, Reach<T>* result) {
    const BlockIncrements increments(block, nullptr);
    Arena arena(scratch);
    BlockReach<V>(block, arena)
        .measure(increments.get(), reinterpret_cast<V*>(known), reinterpret_cast<V*>(ranges), result);
  }

  static int64_t forward_scratch(const Block<T>& block, const Scheme& scheme) {
    return with_rule(scheme, Forward{block, scheme, nullptr, nullptr, nullptr, nullptr});
  }

  static void forward(const Block<T>& block, const Scheme& scheme, const T* ranges, void* scratch, void* kept,
                      Outcome<T>* outcome) {
    with_rule(scheme, Forward{block, scheme, ranges, scratch, kept, outcome});
  }

  static int64_t kept_size(const Block<T>& block, const Scheme& scheme) {
    Arena arena;
    NodeSizes<V>(grid_of(block, scheme.refinement), arena);
    ReversedPaths<V>(block, arena);
    return arena.used();
  }

  static void weigh(const Block<T>& block, const Scheme& scheme, const T* ranges, void* scratch, void* kept,
                    LaneWeights<T>* weights) {
    with_rule(scheme, Weigh{block, scheme, ranges, scratch, kept, weights});
  }

  static Reach<T> reach_alone(const PathPair<T>& pair, void* scratch) {
    return reach_of_pair(pair, static_cast<V*>(scratch));
  }

  static int64_t forward_alone_scratch(const PathPair<T>& pair, const Scheme& scheme) {
    return with_rule(scheme, ForwardAlone{pair, {}, nullptr, nullptr, nullptr, nullptr});
  }

  static void forward_alone(const PathPair<T>& pair, const Scheme& scheme, const Reach<T>& reach, void* scratch,
                            void* kept, Outcome<T>* outcome) {
    with_rule(scheme, ForwardAlone{pair, reach, scratch, kept, outcome, nullptr});
  }

  static void weigh_alone(const PathPair<T>& reversed, const Scheme& scheme, const Reach<T>& reach, void* scratch,
                          void* kept, LaneWeights<T>* weights) {
    with_rule(scheme, ForwardAlone{reversed, reach, scratch, kept, nullptr, weights});
  }

  static int64_t kept_size_alone(const PathPair<T>& pair) {
    Arena arena;
    SkewedNodes<V>(pair, arena);
    return arena.used();
  }

  static int64_t backward_scratch(const Block<T>& block, const Scheme& scheme) {
    return with_rule(scheme, Backward{block, scheme, nullptr, nullptr, nullptr, nullptr});
  }

  static void backward(const Block<T>& block, const Scheme& scheme, const T* upstream, const T* exponents,
                       void* scratch, const BlockGradient<T>& gradient) {
    with_rule(scheme, Backward{block, scheme, upstream, exponents, scratch, &gradient});
  }
};

template <class T, int W>
constexpr GoursatLoops<T> make_goursat_loops() {
  using Packed = PackedGoursat<T, W>;
  return {W,
          &Packed::pack_increments,
          &Packed::unpack_gradient,
          &Packed::reach,
          &Packed::reach_scratch,
          &Packed::forward,
          &Packed::forward_scratch,
          &Packed::weigh,
          &Packed::kept_size,
          &Packed::reach_alone,
          &Packed::forward_alone,
          &Packed::weigh_alone,
          &Packed::kept_size_alone,
          &Packed::forward_alone_scratch,
          &Packed::backward,
          &Packed::backward_scratch};
}

}  // namespace
}  // namespace sigkernel
