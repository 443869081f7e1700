// The solver on the CPU: one sweep for each pair, threads over pairs.

#include "core/goursat.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <vector>

#include "core/goursat_plan.h"
#include "core/goursat_sweep.h"

namespace sigkernel {
namespace {

// p_ij = <dx_i, dy_j> of one pair, from increments packed channel by channel, [channels, segments].
template <class T>
class LinearIncrements final : public Increments<T> {
 public:
  LinearIncrements(const T* dx, int64_t rows, const T* dy, int64_t columns, int64_t channels, T* dx_bar, T* dy_bar)
      : dx_(dx), dy_(dy), dx_bar_(dx_bar), dy_bar_(dy_bar), rows_(rows), columns_(columns), channels_(channels) {}

  void read_row(int64_t row, int64_t first, T* p) override {
    std::fill(p + first, p + columns_, T(0));
    for (int64_t d = 0; d < channels_; ++d) {
      const T x = dx_[d * rows_ + row];
      const T* y = dy_ + d * columns_;
      for (int64_t j = first; j < columns_; ++j) p[j] += x * y[j];
    }
  }

  void add_gradient_row(int64_t row, int64_t first, const T* gradient) override {
    for (int64_t d = 0; d < channels_; ++d) {
      const T x = dx_[d * rows_ + row];
      const T* y = dy_ + d * columns_;
      T* y_bar = dy_bar_ + d * columns_;
      T x_bar = 0;
      for (int64_t j = first; j < columns_; ++j) x_bar += gradient[j] * y[j];
      for (int64_t j = first; j < columns_; ++j) y_bar[j] += gradient[j] * x;
      dx_bar_[d * rows_ + row] += x_bar;
    }
  }

 private:
  const T *dx_, *dy_;
  T *dx_bar_, *dy_bar_;
  int64_t rows_, columns_, channels_;
};

template <class T>
class GivenIncrements final : public Increments<T> {
 public:
  GivenIncrements(const T* p, int64_t columns, T* p_bar) : p_(p), p_bar_(p_bar), columns_(columns) {}

  void read_row(int64_t row, int64_t first, T* p) override {
    std::copy(p_ + row * columns_ + first, p_ + (row + 1) * columns_, p + first);
  }

  void add_gradient_row(int64_t row, int64_t first, const T* gradient) override {
    T* p_bar = p_bar_ + row * columns_;
    for (int64_t j = first; j < columns_; ++j) p_bar[j] += gradient[j];
  }

 private:
  const T* p_;
  T* p_bar_;
  int64_t columns_;
};

// r of goursat_plan.h: the largest row or column sum of |p|, of the whole grid also where half of it is swept.
template <class T>
double reach_of(const Grid& grid, Increments<T>& increments, Workspace<T>& work) {
  std::vector<T>& column_sums = work.gradient;
  column_sums.assign(grid.columns, T(0));
  work.p.resize(grid.columns);
  T reach = 0;
  for (int64_t i = 0; i < grid.rows; ++i) {
    increments.read_row(i, 0, work.p.data());
    T row_sum = 0;
    for (int64_t j = 0; j < grid.columns; ++j) {
      const T size = std::abs(work.p[j]);
      row_sum += size;
      column_sums[j] += size;
    }
    reach = std::max(reach, row_sum);
  }
  for (const T sum : column_sums) reach = std::max(reach, sum);
  return reach;
}

template <class T>
struct Trial {
  Grid grid;
  Increments<T>& increments;
  Workspace<T>& work;
  const ResolutionSearch<T>& search;

  struct Outcome {
    T value;
    bool finite, tail_is_small, rounding_is_small;
  };

  template <class Rule>
  Outcome visit() const {
    Inspection<Rule, T> inspection(search.reach(grid.refinement));
    const T value = Sweep<Rule, T>(grid, increments, work).forward([&](int64_t first, const T* edges) {
      inspection.look_at_row(edges, first, grid.fine_columns());
      return inspection.finite();
    });
    return {value, inspection.finite() && std::isfinite(value), inspection.tail_is_small(search.tolerance()),
            inspection.rounding_is_small(search.tolerance())};
  }
};

template <class T>
Plan solve_power_series(Grid grid, Increments<T>& increments, Workspace<T>& work, double tolerance, T* k) {
  const double reach = reach_of(grid, increments, work);
  if (!std::isfinite(reach)) return kOverflow;
  const ResolutionSearch<T> search(tolerance, reach, grid.rows + grid.columns);
  Resolution resolution = search.first();
  while (resolution.reached) {
    grid.refinement = resolution.refinement;
    const auto outcome = visit_degree<T>(resolution.degree, Trial<T>{grid, increments, work, search});
    if (!outcome.finite) return kOverflow;
    *k = outcome.value;
    if (outcome.tail_is_small && outcome.rounding_is_small) break;
    resolution =
        outcome.rounding_is_small ? search.with_next_degree(resolution) : search.with_next_refinement(resolution);
  }
  return resolution.plan();
}

template <class T>
Plan solve(Grid grid, Increments<T>& increments, Workspace<T>& work, const Solver& solver, T* k) try {
  if (solver.power_series) return solve_power_series(grid, increments, work, solver.tolerance, k);
  grid.refinement = solver.dyadic_order;
  *k = Sweep<FiniteDifference, T>(grid, increments, work).forward([](int64_t, const T*) { return true; });
  return std::isfinite(*k) ? 0 : kOverflow;
} catch (const std::bad_alloc&) {
  return kOutOfMemory;
}

template <class T>
struct PowerSeriesBackward {
  Grid grid;
  Increments<T>& increments;
  Workspace<T>& work;
  T upstream;

  template <class Rule>
  void visit() const {
    Sweep<Rule, T>(grid, increments, work).template backward<Adjoint<Rule>>(upstream);
  }
};

template <class T>
void solve_backward(Grid grid, Increments<T>& increments, Workspace<T>& work, const Solver& solver, Plan plan,
                    T upstream) {
  if (solver.power_series) {
    const Resolution resolution = Resolution::of(plan);
    grid.refinement = resolution.refinement;
    visit_degree<T>(resolution.degree, PowerSeriesBackward<T>{grid, increments, work, upstream});
    return;
  }
  grid.refinement = solver.dyadic_order;
  Sweep<FiniteDifference, T> sweep(grid, increments, work);
  if (solver.gradient == Gradient::kAdjoint) {
    sweep.template backward<Adjoint<FiniteDifference>>(upstream);
  } else {
    sweep.template backward<Theorem41>(upstream);
  }
}

// Rough nanoseconds for one pair, for the thread pool to cut its ranges by.
int64_t cost_of(const Solver& solver, int64_t rows, int64_t columns) {
  const int64_t cell = solver.power_series ? 200 : int64_t{8} << (2 * solver.dyadic_order);
  return 1000 + cell * rows * columns;
}

// Increments of every path, [count, channels, segments]: made once per path and not once per pair.
template <class T>
std::vector<T> pack_increments(const Paths<T>& paths) {
  const int64_t segments = paths.segments(), channels = paths.channels;
  std::vector<T> packed(paths.count * channels * segments);
  for (int64_t n = 0; n < paths.count; ++n)
    for (int64_t l = 0; l < segments; ++l) {
      const T* from = paths.values + (n * paths.length + l) * channels;
      for (int64_t d = 0; d < channels; ++d)
        packed[(n * channels + d) * segments + l] = from[channels + d] - from[d];
    }
  return packed;
}

// The gradient at a knot is the difference of its two segments'. Accumulates into knots.
template <class T>
void unpack_gradient(const Paths<T>& paths, const std::vector<T>& packed, T* knots) {
  const int64_t segments = paths.segments(), channels = paths.channels;
  for (int64_t n = 0; n < paths.count; ++n)
    for (int64_t d = 0; d < channels; ++d)
      for (int64_t l = 0; l < segments; ++l) {
        const T gradient = packed[(n * channels + d) * segments + l];
        T* knot = knots + (n * paths.length + l) * channels + d;
        knot[0] -= gradient;
        knot[channels] += gradient;
      }
}

// One pair of a kernel problem: its paths, its place in the output and its grid.
template <class T>
class PairLoop {
 public:
  explicit PairLoop(const KernelProblem<T>& problem)
      : problem_(problem), dx_(pack_increments(problem.X)),
        dy_(problem.is_symmetric() ? std::vector<T>() : pack_increments(problem.Y)) {}

  int64_t row(int64_t pair) const { return problem_.is_gram() ? pair / problem_.Y.count : pair; }
  int64_t column(int64_t pair) const { return problem_.is_gram() ? pair % problem_.Y.count : pair; }

  // Below the diagonal of a symmetric Gram matrix: the mirror image of a pair that is computed.
  bool is_mirrored(int64_t pair) const {
    return problem_.pairing == Pairing::kSymmetricGram && row(pair) > column(pair);
  }
  int64_t mirror(int64_t pair) const { return column(pair) * problem_.Y.count + row(pair); }

  Grid grid(int64_t pair) const {
    return {problem_.X.segments(), problem_.Y.segments(), 0, problem_.is_symmetric() && row(pair) == column(pair)};
  }

  // dx_bar, dy_bar: packed gradients of all paths, or null for a forward sweep.
  LinearIncrements<T> increments(int64_t pair, T* dx_bar, T* dy_bar) const {
    const int64_t x = row(pair) * x_stride(), y = column(pair) * y_stride();
    const std::vector<T>& dy = problem_.is_symmetric() ? dx_ : dy_;
    return {dx_.data() + x,        problem_.X.segments(), dy.data() + y, problem_.Y.segments(),
            problem_.X.channels, dx_bar ? dx_bar + x : nullptr, dy_bar ? dy_bar + y : nullptr};
  }

  int64_t x_size() const { return problem_.X.count * x_stride(); }
  int64_t y_size() const { return problem_.Y.count * y_stride(); }

 private:
  int64_t x_stride() const { return problem_.X.channels * problem_.X.segments(); }
  int64_t y_stride() const { return problem_.Y.channels * problem_.Y.segments(); }

  const KernelProblem<T>& problem_;
  const std::vector<T> dx_, dy_;
};

// In a Gram matrix a path meets many others, so its gradient is a sum over pairs. Pairs are dealt to a fixed number of
// blocks, each with sums of its own, added up in order at the end: no race, and the same result for any thread count.
constexpr int64_t kGramBlocks = 16;

template <class T>
struct GradientBlock {
  std::vector<T> dx, dy;
};

template <class T>
void backward_range(const KernelProblem<T>& problem, const PairLoop<T>& loop, const Plan* plan, const T* upstream,
                    int64_t first, int64_t stride, int64_t end, GradientBlock<T>& sums) {
  Workspace<T> work;
  for (int64_t pair = first; pair < end; pair += stride) {
    if (loop.is_mirrored(pair)) continue;
    T scale = upstream[pair];
    if (problem.pairing == Pairing::kSymmetricGram && loop.mirror(pair) != pair) scale += upstream[loop.mirror(pair)];
    auto increments = loop.increments(pair, sums.dx.data(), sums.dy.data());
    solve_backward(loop.grid(pair), increments, work, problem.solver, plan[pair], scale);
  }
}

template <class T>
void add_into(std::vector<T>& total, const std::vector<T>& part) {
  for (size_t i = 0; i < total.size(); ++i) total[i] += part[i];
}

template <class T>
GradientBlock<T> sum_over_pairs(const KernelProblem<T>& problem, const ParallelFor& parallel_for, const Plan* plan,
                                const T* upstream, std::atomic<bool>& has_memory) {
  const PairLoop<T> loop(problem);
  const int64_t cost = 4 * cost_of(problem.solver, problem.X.segments(), problem.Y.segments());
  auto guarded = [&](auto&& body) {  // an exception must not leave a thread of the pool
    try {
      body();
    } catch (const std::bad_alloc&) {
      has_memory = false;
    }
  };
  const int64_t blocks = problem.is_gram() ? std::min(kGramBlocks, problem.pairs()) : 1;
  std::vector<GradientBlock<T>> sums(blocks);
  for (auto& block : sums) block = {std::vector<T>(loop.x_size()), std::vector<T>(loop.y_size())};
  if (problem.is_gram()) {
    parallel_for(blocks, cost * (problem.pairs() / std::max<int64_t>(blocks, 1)), [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b)
        guarded([&] { backward_range(problem, loop, plan, upstream, b, blocks, problem.pairs(), sums[b]); });
    });
  } else {  // every path belongs to one pair: all may add into one block
    parallel_for(problem.pairs(), cost, [&](int64_t begin, int64_t end) {
      guarded([&] { backward_range(problem, loop, plan, upstream, begin, 1, end, sums[0]); });
    });
  }
  for (int64_t b = 1; b < blocks; ++b) {
    add_into(sums[0].dx, sums[b].dx);
    add_into(sums[0].dy, sums[b].dy);
  }
  return sums.empty() ? GradientBlock<T>{std::vector<T>(loop.x_size()), std::vector<T>(loop.y_size())}
                      : std::move(sums[0]);
}

}  // namespace

template <class T>
void signature_kernel(const KernelProblem<T>& problem, const ParallelFor& parallel_for, T* k, Plan* plan) {
  const PairLoop<T> loop(problem);
  const int64_t cost = cost_of(problem.solver, problem.X.segments(), problem.Y.segments());
  parallel_for(problem.pairs(), cost, [&](int64_t begin, int64_t end) {
    Workspace<T> work;
    for (int64_t pair = begin; pair < end; ++pair) {
      if (loop.is_mirrored(pair)) continue;
      auto increments = loop.increments(pair, nullptr, nullptr);
      plan[pair] = solve(loop.grid(pair), increments, work, problem.solver, &k[pair]);
      if (problem.pairing == Pairing::kSymmetricGram) {
        k[loop.mirror(pair)] = k[pair];
        plan[loop.mirror(pair)] = plan[pair];
      }
    }
  });
}

template <class T>
bool signature_kernel_backward(const KernelProblem<T>& problem, const ParallelFor& parallel_for, const Plan* plan,
                               const T* upstream, T* dX, T* dY) try {
  std::atomic<bool> has_memory{true};
  const GradientBlock<T> sums = sum_over_pairs(problem, parallel_for, plan, upstream, has_memory);
  std::fill_n(dX, problem.X.size(), T(0));
  unpack_gradient(problem.X, sums.dx, dX);
  if (problem.is_symmetric()) {
    unpack_gradient(problem.Y, sums.dy, dX);
  } else {
    std::fill_n(dY, problem.Y.size(), T(0));
    unpack_gradient(problem.Y, sums.dy, dY);
  }
  return has_memory;
} catch (const std::bad_alloc&) {
  return false;
}

template <class T>
void solve_goursat(const GoursatProblem<T>& problem, const ParallelFor& parallel_for, T* k, Plan* plan) {
  const int64_t size = problem.rows * problem.columns;
  parallel_for(problem.count, cost_of(problem.solver, problem.rows, problem.columns), [&](int64_t begin, int64_t end) {
    Workspace<T> work;
    for (int64_t n = begin; n < end; ++n) {
      GivenIncrements<T> increments(problem.increments + n * size, problem.columns, nullptr);
      plan[n] = solve({problem.rows, problem.columns, 0, false}, increments, work, problem.solver, &k[n]);
    }
  });
}

template <class T>
bool solve_goursat_backward(const GoursatProblem<T>& problem, const ParallelFor& parallel_for, const Plan* plan,
                            const T* upstream, T* d_increments) {
  const int64_t size = problem.rows * problem.columns;
  std::fill_n(d_increments, problem.count * size, T(0));
  std::atomic<bool> has_memory{true};
  const int64_t cost = 4 * cost_of(problem.solver, problem.rows, problem.columns);
  parallel_for(problem.count, cost, [&](int64_t begin, int64_t end) {
    try {
      Workspace<T> work;
      for (int64_t n = begin; n < end; ++n) {
        GivenIncrements<T> increments(problem.increments + n * size, problem.columns, d_increments + n * size);
        solve_backward({problem.rows, problem.columns, 0, false}, increments, work, problem.solver, plan[n],
                       upstream[n]);
      }
    } catch (const std::bad_alloc&) {
      has_memory = false;
    }
  });
  return has_memory;
}

#define SIGKERNEL_INSTANTIATE(T)                                                                                   \
  template void signature_kernel<T>(const KernelProblem<T>&, const ParallelFor&, T*, Plan*);                       \
  template bool signature_kernel_backward<T>(const KernelProblem<T>&, const ParallelFor&, const Plan*, const T*,   \
                                             T*, T*);                                                              \
  template void solve_goursat<T>(const GoursatProblem<T>&, const ParallelFor&, T*, Plan*);                         \
  template bool solve_goursat_backward<T>(const GoursatProblem<T>&, const ParallelFor&, const Plan*, const T*, T*);
SIGKERNEL_INSTANTIATE(float)
SIGKERNEL_INSTANTIATE(double)
#undef SIGKERNEL_INSTANTIATE

}  // namespace sigkernel
