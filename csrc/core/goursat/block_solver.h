// Blocks of problems on the CPU: how their paths are laid out side by side, and how a block is solved at the resolution
// that it needs.
#pragma once

#include <algorithm>
#include <cmath>

#include "core/arithmetic.h"
#include "core/goursat/goursat.h"
#include "core/goursat/loops.h"
#include "core/goursat/plan.h"
#include "core/goursat/windows.h"
#include "core/memory.h"

namespace sigkernel {

// The lanes of a block: problems first .. first + used - 1 of a list. Lanes beyond them repeat the first problem.
struct LaneRange {
  int64_t first;
  int used, lanes;

  static LaneRange of(int64_t block, int lanes, int64_t count) {
    const int64_t first = block * lanes;
    return {first, static_cast<int>(std::min<int64_t>(lanes, count - first)), lanes};
  }
  int64_t operator[](int lane) const { return lane < used ? first + lane : first; }
};

// How a block holds the paths of a problem: their increments side by side, or, for a static kernel that is not linear,
// their points; [segments or length][channels][lanes]. Where points are not differenced, they have weights, 1 over the
// length of their path and 0 beyond its end: the linear static kernel's points are multiplied by them, those of others
// are followed by them, [length][lanes]. Where points are windows, those of one path at a time are cut into what follows.
template <class T>
class Packing {
 public:
  // lanes: loops.lanes, or 1 where nothing but rounding is packed.
  Packing(const KernelProblem<T>& problem, const GoursatLoops<T>& loops, int lanes)
      : loops_(loops), static_kernel_(problem.static_kernel), difference_(problem.difference), is_scaled_(problem.is_scaled),
        variance_(problem.variance), windows_(problem.windows), lanes_(lanes),
        rounding_of_step_(T(0.5) + T(0.25) * std::sqrt(static_cast<T>(problem.X.channels))) {}

  int64_t size(const Paths<T>& paths) const {
    const int64_t cut = windows_.are_cut() ? length_of(paths) * channels_of(paths) : 0;
    return place_for_cut(paths) + parts_of(cut, lanes_) * lanes_;
  }
  int64_t rounding_size(const Paths<T>& paths) const { return holds_increments() ? 2 * paths.segments() * lanes_ : 0; }

  void pack(const Paths<T>& paths, const LaneRange& range, T* packed) const {
    const int64_t size = elements(paths), channels = channels_of(paths);
    if (holds_increments()) {
      const T* points[kMaxLanes];
      for (int lane = 0; lane < lanes_; ++lane) points[lane] = paths.path(range[lane]);
      return loops_.pack_increments(points, size, channels, packed);
    }
    const T* path = nullptr;
    for (int lane = 0; lane < lanes_; ++lane) {
      if (lane == 0 || range[lane] != range[lane - 1]) path = points_of(paths, range[lane], packed);
      T* to = packed + lane;
      if (holds_points()) {
        for (int64_t e = 0; e < size; ++e) to[e * lanes_] = path[e];
      } else if (difference_) {
        for (int64_t e = 0; e < size; ++e) to[e * lanes_] = path[e + channels] - path[e];
      } else {
        const Weights weights = weights_of(paths, range[lane]);
        const int64_t inside = weights.length * channels;
        for (int64_t e = 0; e < size; ++e) to[e * lanes_] = e < inside ? path[e] * weights.weight : T(0);
      }
      if (!has_weights()) continue;
      const Weights weights = weights_of(paths, range[lane]);
      for (int64_t i = 0; i < length_of(paths); ++i) to[(size + i) * lanes_] = i < weights.length ? weights.weight : T(0);
    }
  }

  // Block's x_rounding or y_rounding of these paths, in units of epsilon.
  void pack_rounding(const Paths<T>& paths, const LaneRange& range, T* packed) const {
    if (!holds_increments()) return;
    for (int lane = 0; lane < range.used; ++lane) {
      const T* point = paths.path(range[lane]);
      for (int64_t i = 0; i < paths.segments(); ++i, point += paths.channels) {
        T* to = packed + 2 * i * lanes_ + lane;
        to[0] = rounding_of(point, paths.channels, &to[lanes_]);
      }
    }
    if (range.used == lanes_) return;
    for (T* line = packed; line < packed + 2 * paths.segments() * lanes_; line += lanes_)
      std::fill_n(line + range.used, lanes_ - range.used, line[0]);  // as all other lanes repeat the first problem
  }

  // One path in every lane.
  void repeat(const Paths<T>& paths, int64_t index, T* packed) const { pack(paths, {index, 1, lanes_}, packed); }

  // Accumulates some lanes of a gradient, all of one path, into the points of a path, of all of them, and into the windows'
  // factors. A point's is the difference of its two segments'. packed: as pack leaves it, its place for windows is
  // overwritten.
  void add_gradient(const Paths<T>& paths, T* packed, const LaneRange& lanes, int64_t index, T* all_points,
                    T* factors) const {
    const int64_t size = elements(paths), channels = channels_of(paths);
    T* path = all_points + index * paths.length * paths.channels;
    T* points = windows_.are_cut() ? packed + place_for_cut(paths) : path;
    if (windows_.are_cut()) std::fill_n(points, length_of(paths) * channels, T(0));
    for (int64_t e = 0; e < size; ++e) {
      T from = 0;
      for (int n = 0; n < lanes.used; ++n) from += packed[e * lanes_ + lanes.first + n];
      if (holds_points()) {
        points[e] += from;
      } else if (difference_) {
        points[e] -= from;
        points[e + channels] += from;
      } else {
        const Weights weights = weights_of(paths, index);
        if (e < weights.length * channels) points[e] += from * weights.weight;
      }
    }
    if (!windows_.are_cut()) return;
    WindowCut<T>(windows_).cut_backward(paths.path(index), paths.length, paths.channels, paths.lengths[index],
                                        points, path, factors);
  }

  // Likewise of paths that have a lane each and no other gradient, so that theirs are overwritten where they are those of
  // increments. factors: of each path its own, num_factors of them.
  void write_gradients(const Paths<T>& paths, T* packed, const LaneRange& range, T* all_points, T* factors,
                       int64_t num_factors) const {
    T* points[kMaxLanes];
    for (int lane = 0; lane < range.used; ++lane) {
      const int64_t index = range[lane];
      points[lane] = all_points + index * paths.length * paths.channels;
      if (!holds_increments())
        add_gradient(paths, packed, {lane, 1, lanes_}, index, all_points, factors + index * num_factors);
    }
    if (holds_increments())
      loops_.unpack_gradient(packed, elements(paths), channels_of(paths), range.used, points);
  }

  // x_rounding, y_rounding: null, or as pack_rounding leaves them.
  Block<T> block(const Paths<T>& X, const Paths<T>& Y, const T* x, const T* y, const T* x_rounding,
                 const T* y_rounding) const {
    Block<T> block;
    block.kind = kind();
    block.rows = length_of(X) - (difference_ ? 1 : 0);
    block.columns = length_of(Y) - (difference_ ? 1 : 0);
    block.channels = channels_of(X);
    block.x = x;
    block.y = y;
    block.variance = variance_;
    block.x_weights = has_weights() ? x + elements(X) * lanes_ : nullptr;
    block.y_weights = has_weights() ? y + elements(Y) * lanes_ : nullptr;
    block.x_rounding = holds_increments() ? x_rounding : nullptr;
    block.y_rounding = holds_increments() ? y_rounding : nullptr;
    return block;
  }

 private:
  bool holds_points() const { return static_kernel_ != StaticKernel::kLinear; }
  bool has_weights() const { return holds_points() && !difference_; }
  // Of the paths as they are.
  bool holds_increments() const { return !holds_points() && difference_ && !windows_.are_cut(); }

  IncrementsKind kind() const {
    switch (static_kernel_) {
      case StaticKernel::kRbf: return IncrementsKind::kRbf;
      case StaticKernel::kMatern12: return IncrementsKind::kMatern12;
      case StaticKernel::kMatern32: return IncrementsKind::kMatern32;
      case StaticKernel::kMatern52: return IncrementsKind::kMatern52;
      default: return IncrementsKind::kLinear;
    }
  }

  int64_t elements(const Paths<T>& paths) const {
    return (length_of(paths) - (holds_points() || !difference_ ? 0 : 1)) * channels_of(paths);
  }

  // Of the points.
  int64_t length_of(const Paths<T>& paths) const { return windows_.points(paths.length); }
  int64_t channels_of(const Paths<T>& paths) const { return windows_.channels(paths.channels); }

  // Where windows are cut into, behind all that a block reads.
  int64_t place_for_cut(const Paths<T>& paths) const {
    return (elements(paths) + (has_weights() ? length_of(paths) : 0)) * lanes_;
  }

  // The points of one path. Windows stay until the next ones are cut.
  const T* points_of(const Paths<T>& paths, int64_t index, T* packed) const {
    const T* path = paths.path(index);
    if (!windows_.are_cut()) return path;
    T* cut = packed + place_for_cut(paths);
    WindowCut<T>(windows_).cut(path, paths.length, paths.channels, paths.lengths[index], cut);
    return cut;
  }

  // Of points that are not differenced: those before `length`; all others have none.
  struct Weights {
    int64_t length;
    T weight;
  };
  Weights weights_of(const Paths<T>& paths, int64_t index) const {
    const int64_t length = windows_.points(paths.lengths[index]);
    return {length, T(1) / static_cast<T>(length)};
  }

  // A path's share in the rounding of its products p = <dx, dy> with another: what a segment is off by for each unit of
  // |dy|. `point` is its first; *step is overwritten by |dx|. Each coordinate of dx is rounded once when it is formed,
  // and a sum of D products is off by about the square root of D roundings, half of which count here. Where the points
  // were rounded before, both are off by half an epsilon of their own size.
  T rounding_of(const T* point, int64_t channels, T* step) const {
    T squared = 0, first = 0, last = 0;
    for (int64_t d = 0; d < channels; ++d) {
      const T difference = point[channels + d] - point[d];
      squared += difference * difference;
      first += point[d] * point[d];
      last += point[channels + d] * point[channels + d];
    }
    *step = std::sqrt(squared);
    const T of_step = rounding_of_step_ * *step;
    return is_scaled_ ? of_step + T(0.5) * (std::sqrt(first) + std::sqrt(last)) : of_step;
  }

  const GoursatLoops<T>& loops_;
  const StaticKernel static_kernel_;
  const bool difference_, is_scaled_;
  const T variance_;
  const Windows<T> windows_;
  const int lanes_;
  const T rounding_of_step_;  // for each unit of a segment's length
};

// The plans of a block's lanes, for its gradient: a resolution that serves all of them, and their exponents. Forward they
// may have been solved apart, by an instruction set with fewer lanes or one by one.
template <class T>
struct LanePlans {
  Resolution common = Resolution::of(0);
  T exponents[kMaxLanes] = {};

  LanePlans(const Plan* plans, const int64_t* places, int used) {
    for (int lane = 0; lane < used; ++lane) {
      const Resolution one = Resolution::of(plans[places[lane]]);
      common.degree = std::max(common.degree, one.degree);
      common.refinement = std::max(common.refinement, one.refinement);
      exponents[lane] = static_cast<T>(exponent_of(plans[places[lane]]));
    }
  }
};

// Writes a lane's weights to a pair's place.
template <class T>
void write_weights(const LaneWeights<T>& from, int lane, const ErrorWeights<T>& to, int64_t place) {
  to.largest[place] = from.largest[lane];
  to.increments[place] = from.increments[lane];
  to.reversed[place] = from.reversed[lane];
}

// Solves blocks, one after the other, on one thread.
template <class T>
class BlockSolver {
 public:
  BlockSolver(const GoursatLoops<T>& loops, const Solver& solver) : loops_(loops), solver_(solver) {}

  // Overwrites value and plan of the block's first `used` lanes, and all of weights unless it is null.
  void forward(const Block<T>& block, int used, T* value, Plan* plan, LaneWeights<T>* weights = nullptr) {
    is_keeping_ = weights != nullptr;
    Outcome<T> seen;
    if (solver_.power_series) {
      forward_power_series(block, used, &seen, plan);
    } else {
      sweep(block, scheme_of(Resolution::of(0)), nullptr, &seen);
      std::fill_n(plan, used, 0);
    }
    for (int lane = 0; lane < used; ++lane) {
      value[lane] = seen.value[lane];
      if (plan[lane] >= 0 && !std::isfinite(value[lane])) plan[lane] = kOverflow;
      if (plan[lane] >= 0 && solver_.extended_range)
        plan[lane] = with_exponent(plan[lane], &value[lane], static_cast<int>(seen.exponent[lane]));
    }
    if (is_keeping_) weigh(block, used, plan, weights);
    is_keeping_ = false;
  }

  // For a block with a direction: does what forward does, and overwrites tangent by the derivative.
  void directional(const Block<T>& block, int used, T* value, T* tangent, Plan* plan) {
    Block<T> undirected = block;
    undirected.direction = nullptr;
    forward(undirected, used, value, plan);
    if (std::any_of(plan, plan + used, [](Plan p) { return p < 0; })) return;
    Outcome<T> seen;
    sweep(block, scheme_of(Resolution::of(plan[0])), nullptr, &seen);  // the lanes were solved together, at one resolution
    for (int lane = 0; lane < used; ++lane) {
      tangent[lane] = seen.tangent[lane];
      if (!std::isfinite(tangent[lane])) plan[lane] = kOverflow;
    }
  }

  // Solves one pair by all lanes together. Returns false where that is not offered because the pair needs a refinement.
  // reversed: null, or the pair that weigh_alone takes; then weights are overwritten.
  bool forward_alone(const PathPair<T>& pair, const PathPair<T>* reversed, T* value, Plan* plan,
                     LaneWeights<T>* weights) {
    Outcome<T> seen;
    Reach<T> reach;
    void* kept = reversed == nullptr ? nullptr : kept_.reserve(loops_.kept_size_alone(pair));
    const auto scheme_at = [&](const Resolution& now) {
      return Scheme{solver_.power_series, now.degree, 0, solver_.gradient};
    };
    const auto sweep = [&](const Resolution& now) {
      if (now.refinement > 0) return false;
      void* scratch = scratch_.reserve(loops_.forward_alone_scratch(pair, scheme_at(now)));
      loops_.forward_alone(pair, scheme_at(now), reach, scratch, kept, &seen);
      return true;
    };
    if (solver_.power_series) {
      void* scratch = scratch_.reserve(loops_.forward_alone_scratch(pair, {}));
      reach = loops_.reach_alone(pair, scratch);
      if (!resolve(&reach, 1, &seen, plan, sweep)) return false;
    } else {
      if (!sweep({0, solver_.dyadic_order, true})) return false;
      *plan = 0;
    }
    *value = seen.value[0];
    if (*plan >= 0 && !std::isfinite(*value)) *plan = kOverflow;
    if (reversed == nullptr) return true;
    *weights = {};
    if (*plan < 0) return true;
    const Scheme scheme = scheme_at(Resolution::of(*plan));
    void* scratch = scratch_.reserve(loops_.forward_alone_scratch(pair, scheme));
    loops_.weigh_alone(*reversed, scheme, reach, scratch, kept, weights);
    return true;
  }

  // Accumulates. upstream: a number for each lane, 0 for those not used.
  void backward(const Block<T>& block, const LanePlans<T>& plans, const T* upstream, const BlockGradient<T>& gradient) {
    const Scheme scheme = scheme_of(plans.common);
    void* scratch = scratch_.reserve(loops_.backward_scratch(block, scheme));
    loops_.backward(block, scheme, upstream, plans.exponents, scratch, gradient);
  }

 private:
  Scheme scheme_of(const Resolution& resolution) const {
    if (!solver_.power_series) return {false, 0, solver_.dyadic_order, solver_.gradient, solver_.extended_range};
    return {true, resolution.degree, resolution.refinement, Gradient::kAdjoint, solver_.extended_range};
  }

  void sweep(const Block<T>& block, const Scheme& scheme, const T* ranges, Outcome<T>* seen) {
    void* scratch = scratch_.reserve(loops_.forward_scratch(block, scheme));
    void* kept = is_keeping_ ? kept_.reserve(loops_.kept_size(block, scheme)) : nullptr;
    loops_.forward(block, scheme, ranges, scratch, kept, seen);
  }

  // After a forward sweep that kept what this needs. The lanes that were solved were all solved by one plan.
  void weigh(const Block<T>& block, int used, const Plan* plan, LaneWeights<T>* weights) {
    const Plan* solved = std::find_if(plan, plan + used, [](Plan p) { return p >= 0; });
    *weights = {};
    if (solved == plan + used) return;
    const Scheme scheme = scheme_of(Resolution::of(*solved));
    void* scratch = scratch_.reserve(loops_.forward_scratch(block, scheme));
    const T* ranges = ranges_.template reserve_numbers<T>((block.rows + block.columns + 1) * loops_.lanes);
    loops_.weigh(block, scheme, ranges, scratch, kept_.reserve(loops_.kept_size(block, scheme)), weights);
  }

  void forward_power_series(const Block<T>& block, int used, Outcome<T>* seen, Plan* plan) {
    Reach<T> reaches[kMaxLanes];
    T* ranges = ranges_.template reserve_numbers<T>((block.rows + block.columns + 1) * loops_.lanes);
    T* known = place_for_increments(block);
    loops_.reach(block, scratch_.reserve(loops_.reach_scratch(block)), known, ranges, reaches);
    Block<T> measured = block;
    measured.known = known;
    const auto solve = [&](const Resolution& now) {
      sweep(measured, scheme_of(now), ranges, seen);
      return true;
    };
    resolve(reaches, used, seen, plan, solve);
  }

  // For the increments that the look at their reach has to form, so that sweeps need not form them again: null where that
  // costs less than to keep them, or where they are many.
  T* place_for_increments(const Block<T>& block) {
    constexpr int64_t kMost = (int64_t{4} << 20) / sizeof(T);
    const int64_t numbers = block.rows * block.columns * loops_.lanes;
    const bool are_cheap = block.kind == IncrementsKind::kLinear || block.kind == IncrementsKind::kGiven;
    return are_cheap || numbers == 0 || numbers > kMost ? nullptr : known_.template reserve_numbers<T>(numbers);
  }

  // Sweeps at finer and finer resolutions until all lanes meet the tolerance, or until one cannot be solved.
  // sweep(resolution) returns false where it does not offer that resolution; then this returns false, too.
  template <class Sweep>
  bool resolve(const Reach<T>* reaches, int used, Outcome<T>* seen, Plan* plan, const Sweep& sweep) {
    Reach<T> reach;
    for (int lane = 0; lane < used; ++lane) {
      const bool is_finite = std::isfinite(reaches[lane].largest);
      plan[lane] = is_finite ? ResolutionSearch<T>(solver_.tolerance, reaches[lane]).first().plan() : kOverflow;
      if (plan[lane] < 0) continue;
      reach.largest = std::max(reach.largest, reaches[lane].largest);
      reach.moment = std::max(reach.moment, reaches[lane].moment);
      reach.cell = std::max(reach.cell, reaches[lane].cell);
      reach.cubes = std::max(reach.cubes, reaches[lane].cubes);
      reach.is_not_negative = reaches[lane].is_not_negative;  // of all lanes, or of none
    }
    const ResolutionSearch<T> search(solver_.tolerance, reach);
    Resolution now = search.first();
    while (true) {
      if (!sweep(now)) return false;
      bool tail_is_small = true, rounding_is_small = true, is_lost = false;
      for (int lane = 0; lane < used; ++lane) {
        if (!std::isfinite(seen->value[lane]) || !std::isfinite(seen->amplitude[lane])) plan[lane] = kOverflow;
        if (plan[lane] < 0) {
          is_lost = true;
          continue;
        }
        tail_is_small &= search.tail_is_small(*seen, lane);
        rounding_is_small &= search.rounding_is_small(*seen, lane);
      }
      if (tail_is_small && rounding_is_small) break;
      const Resolution next = rounding_is_small ? search.with_next_degree(now) : search.with_next_refinement(now);
      if (!next.reached || is_lost) {
        for (int lane = 0; lane < used; ++lane) {
          const bool is_met = search.tail_is_small(*seen, lane) && search.rounding_is_small(*seen, lane);
          if (plan[lane] >= 0 && !is_met) plan[lane] = is_lost ? kSkipped : kUnreached;
        }
        break;
      }
      now = next;
    }
    for (int lane = 0; lane < used; ++lane)
      if (plan[lane] >= 0) plan[lane] = now.plan();
    return true;
  }

  const GoursatLoops<T>& loops_;
  const Solver solver_;
  Scratch scratch_, ranges_, kept_, known_;
  bool is_keeping_ = false;  // whether sweeps keep what weigh needs
};

}  // namespace sigkernel
