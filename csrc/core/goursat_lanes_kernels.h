// What LaneKernels points to, for the instruction set that the including file is compiled for.
#pragma once

#include "core/goursat_degrees.h"
#include "core/goursat_lanes.h"
#include "core/goursat_skewed.h"
#include "core/goursat_sweep.h"
#include "core/simd.h"

namespace sigkernel {
namespace {

template <class T, int W>
class Kernels {
  using V = Pack<T, W>;

  static Grid grid_of(const Block<T>& block, int refinement) {
    return {block.rows, block.columns, refinement, block.symmetric};
  }

  static V load(const T* numbers) {
    V pack;
    for (int lane = 0; lane < W; ++lane) pack.set(lane, numbers[lane]);
    return pack;
  }

  static void store(V pack, T* numbers) {
    for (int lane = 0; lane < W; ++lane) numbers[lane] = pack[lane];
  }

  static const Increments<V>& choose(bool is_first, const Increments<V>& first, const Increments<V>& second) {
    return is_first ? first : second;
  }

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
    explicit Inspector(T) {}
    void report(Outcome<T>*) const {}
  };
  template <int K>
  struct Inspector<PowerSeries<K>> {
    Inspection<PowerSeries<K>, V> inspection;
    explicit Inspector(T reach) : inspection(reach) {}
    void report(Outcome<T>* outcome) const {
      store(inspection.scale, outcome->scale);
      store(inspection.amplitude, outcome->amplitude);
      store(inspection.tail, outcome->tail);
    }
  };

  struct Forward {
    const Block<T>& block;
    const Scheme& scheme;
    T reach;
    void* scratch;
    Outcome<T>* outcome;

    template <class Rule>
    int64_t run() const {
      if (block.dx_direction != nullptr) return directed<Rule>();
      const LinearIncrements<V> linear(block, nullptr);
      const GivenIncrements<V> given(block, nullptr);
      const bool is_given = block.kind == IncrementsKind::kGiven;
      Arena arena(scratch);
      Sweep<Rule, V> sweep(grid_of(block, scheme.refinement), choose(is_given, given, linear), 0, arena);
      if (scratch == nullptr) return arena.used();
      Inspector<Rule> inspector(reach);
      store(sweep.forward(inspector.inspection), outcome->value);
      inspector.report(outcome);
      return 0;
    }

    template <class Rule>
    int64_t directed() const {
      Arena arena(scratch);
      const DirectedIncrements<V> increments(block);
      Sweep<Rule, Dual<V>> sweep(grid_of(block, scheme.refinement), increments, 0, arena);
      if (scratch == nullptr) return arena.used();
      NoInspection none;
      const Dual<V> k = sweep.forward(none);
      store(k.value, outcome->value);
      store(k.tangent, outcome->tangent);
      return 0;
    }
  };

  struct ForwardAlone {
    const PathPair<T>& pair;
    T reach;
    void* scratch;
    Outcome<T>* outcome;

    template <class Rule>
    int64_t run() const {
      Arena arena(scratch);
      SkewedSweep<Rule, V> sweep(pair, arena);
      if (scratch == nullptr) return arena.used();
      Inspector<Rule> inspector(reach);
      const T value = sweep.forward(inspector.inspection);
      inspector.report(outcome);
      for (int lane = 0; lane < W; ++lane) outcome->value[lane] = value;
      for (int lane = 1; lane < W; ++lane) {  // what the lanes saw is of one problem
        outcome->scale[0] = larger_of(outcome->scale[0], outcome->scale[lane]);
        outcome->amplitude[0] = larger_of(outcome->amplitude[0], outcome->amplitude[lane]);
        outcome->tail[0] = larger_of(outcome->tail[0], outcome->tail[lane]);
      }
      return 0;
    }

    static T larger_of(T a, T b) { return a < b ? b : a; }
  };

  struct Backward {
    const Block<T>& block;
    const Scheme& scheme;
    const T* upstream;
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
      const LinearIncrements<V> linear(block, gradient);
      const GivenIncrements<V> given(block, gradient);
      const bool is_given = block.kind == IncrementsKind::kGiven;
      Arena arena(scratch);
      Sweep<typename Policy::Rule, V> sweep(grid_of(block, scheme.refinement), choose(is_given, given, linear),
                                            Policy::kTape, arena);
      sweep.template reserve<Policy>();
      if (scratch == nullptr) return arena.used();
      sweep.template backward<Policy>(load(upstream));
      return 0;
    }
  };

 public:
  static int64_t reach_scratch(const Block<T>& block) {
    const int64_t tile = smaller(block.columns, kReachTile) * kReachTile;
    return tile * static_cast<int64_t>(sizeof(V)) + block.columns * static_cast<int64_t>(sizeof(Range<V>)) + 128;
  }

  static void reach(const Block<T>& block, void* scratch, T* result) {
    const LinearIncrements<V> linear(block, nullptr);
    const GivenIncrements<V> given(block, nullptr);
    reach_of(choose(block.kind == IncrementsKind::kGiven, given, linear), block, scratch, result);
  }

  static int64_t forward_scratch(const Block<T>& block, const Scheme& scheme) {
    return with_rule(scheme, Forward{block, scheme, T(0), nullptr, nullptr});
  }

  static void forward(const Block<T>& block, const Scheme& scheme, T reach, void* scratch, Outcome<T>* outcome) {
    with_rule(scheme, Forward{block, scheme, reach, scratch, outcome});
  }

  static T reach_alone(const PathPair<T>& pair, void* scratch) {
    V* increments = static_cast<V*>(scratch);
    const V largest = max(row_reach(pair, increments),
                          row_reach(PathPair<T>{pair.y, pair.x, pair.columns, pair.rows, pair.channels}, increments));
    T reach = 0;
    for (int lane = 0; lane < W; ++lane) reach = ForwardAlone::larger_of(reach, largest[lane]);
    return reach;
  }

  static int64_t forward_alone_scratch(const PathPair<T>& pair, const Scheme& scheme) {
    return with_rule(scheme, ForwardAlone{pair, T(0), nullptr, nullptr});
  }

  static void forward_alone(const PathPair<T>& pair, const Scheme& scheme, T reach, void* scratch,
                            Outcome<T>* outcome) {
    with_rule(scheme, ForwardAlone{pair, reach, scratch, outcome});
  }

  static int64_t backward_scratch(const Block<T>& block, const Scheme& scheme) {
    return with_rule(scheme, Backward{block, scheme, nullptr, nullptr, nullptr});
  }

  static void backward(const Block<T>& block, const Scheme& scheme, const T* upstream, void* scratch,
                       const BlockGradient<T>& gradient) {
    with_rule(scheme, Backward{block, scheme, upstream, scratch, &gradient});
  }

 private:
  static constexpr int64_t kReachTile = 16;

  // Of the whole grid also where half of it is swept.
  static void reach_of(const Increments<V>& increments, const Block<T>& block, void* scratch, T* result) {
    Arena arena(scratch);
    V* p = arena.take<V>(smaller(block.columns, kReachTile) * kReachTile);
    Range<V>* columns = arena.take<Range<V>>(block.columns);
    for (int64_t j = 0; j < block.columns; ++j) columns[j] = Range<V>();
    V largest(0);
    for (int64_t i = 0; i < block.rows; i += kReachTile) {
      const int64_t height = smaller(kReachTile, block.rows - i);
      Range<V> rows[kReachTile];
      for (int64_t j = 0; j < block.columns; j += kReachTile) {
        const int64_t width = smaller(kReachTile, block.columns - j);
        increments.read({i, height, j, width}, p);
        for (int64_t a = 0; a < height; ++a)
          for (int64_t b = 0; b < width; ++b) {
            rows[a].add(p[a * width + b]);
            columns[j + b].add(p[a * width + b]);
          }
      }
      for (int64_t a = 0; a < height; ++a) largest = max(largest, rows[a].high - rows[a].low);
    }
    for (int64_t j = 0; j < block.columns; ++j) largest = max(largest, columns[j].high - columns[j].low);
    store(largest, result);
  }
};

template <class T, int W>
constexpr LaneKernels<T> make_lane_kernels(const char* name) {
  using K = Kernels<T, W>;
  return {name,       W, &K::reach,    &K::reach_scratch,   &K::forward, &K::forward_scratch,
          &K::reach_alone, &K::forward_alone, &K::forward_alone_scratch, &K::backward, &K::backward_scratch};
}

}  // namespace
}  // namespace sigkernel
