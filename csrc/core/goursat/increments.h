// Where a sweep's increments p come from, and where their gradient goes: formed from a block's paths under a static kernel,
// some cells at a time and never kept, or given. For the files that are compiled for an
// instruction set: it includes nothing of the standard library.
#pragma once

#include "core/arithmetic.h"
#include "core/goursat/loops.h"
#include "core/goursat/static_kernels.h"
#include "core/simd/dual_numbers.h"
#include "core/simd/pack.h"

namespace sigkernel {
namespace {  // nothing here may meet another instruction set's at link time

// A rectangle of coarse cells.
struct Cells {
  int64_t row, rows, column, columns;
};

// Where a sweep reads its increments p and leaves their gradient, some cells at a time.
template <class V>
class Increments {
 public:
  // p: [cells.rows][cells.columns], overwritten.
  virtual void read(const Cells& cells, V* p) const = 0;
  // p_bar: likewise.
  virtual void add_gradient(const Cells& cells, const V* p_bar) const = 0;

 protected:
  ~Increments() = default;
};

// p_ij = <dx_i, dy_j>, four rows by four columns at a time.
template <class V>
class LinearIncrements final : public Increments<V> {
 public:
  LinearIncrements(const Block<typename V::Scalar>& block, const BlockGradient<typename V::Scalar>* gradient)
      : dx_(reinterpret_cast<const V*>(block.x)), dy_(reinterpret_cast<const V*>(block.y)), channels_(block.channels),
        dx_bar_(gradient == nullptr ? nullptr : reinterpret_cast<V*>(gradient->x)),
        dy_bar_(gradient == nullptr ? nullptr : reinterpret_cast<V*>(gradient->y)) {}

  void read(const Cells& cells, V* p) const override {
    for (int64_t i = 0; i < cells.rows; i += kBlock)
      for (int64_t j = 0; j < cells.columns; j += kBlock) {
        const int64_t rows = smaller(kBlock, cells.rows - i), columns = smaller(kBlock, cells.columns - j);
        const V *x = dx_ + (cells.row + i) * channels_, *y = dy_ + (cells.column + j) * channels_;
        V* out = p + i * cells.columns + j;
        if (rows == kBlock && columns == kBlock) {
          read_block<kBlock, kBlock>(x, y, out, cells.columns);
        } else if (rows == kBlock) {
          for (int64_t b = 0; b < columns; ++b) read_block<kBlock, 1>(x, y + b * channels_, out + b, cells.columns);
        } else {
          for (int64_t a = 0; a < rows; ++a)
            read_row(x + a * channels_, y, columns, out + a * cells.columns);
        }
      }
  }

  void add_gradient(const Cells& cells, const V* p_bar) const override {
    add_products(cells.rows, cells.columns, p_bar, cells.columns, 1, dy_ + cells.column * channels_,
                 dx_bar_ + cells.row * channels_);
    add_products(cells.columns, cells.rows, p_bar, 1, cells.columns, dx_ + cells.row * channels_,
                 dy_bar_ + cells.column * channels_);
  }

 private:
  static constexpr int kBlock = 4;

  // One row of up to kBlock columns.
  void read_row(const V* x, const V* y, int64_t columns, V* p) const {
    if (columns == kBlock) return read_block<1, kBlock>(x, y, p, 0);
    for (int64_t b = 0; b < columns; ++b) read_block<1, 1>(x, y + b * channels_, p + b, 0);
  }

  template <int R, int C>
  SIGKERNEL_INLINE void read_block(const V* x, const V* y, V* p, int64_t stride) const {
    V sum[R][C];
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a)
      SIGKERNEL_UNROLL for (int b = 0; b < C; ++b) sum[a][b] = x[a * channels_] * y[b * channels_];
    for (int64_t d = 1; d < channels_; ++d)
      SIGKERNEL_UNROLL for (int a = 0; a < R; ++a)
        SIGKERNEL_UNROLL for (int b = 0; b < C; ++b) sum[a][b] += x[a * channels_ + d] * y[b * channels_ + d];
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a)
      SIGKERNEL_UNROLL for (int b = 0; b < C; ++b) p[a * stride + b] = sum[a][b];
  }

  // to_i += sum_j g_ij from_j, where g_ij = g[i * row_stride + j * column_stride].
  void add_products(int64_t rows, int64_t columns, const V* g, int64_t row_stride, int64_t column_stride,
                    const V* from, V* to) const {
    for (int64_t i = 0; i < rows; i += kBlock)
      for (int64_t d = 0; d < channels_; d += kBlock) {
        const int64_t height = smaller(kBlock, rows - i), depth = smaller(kBlock, channels_ - d);
        const V* g_i = g + i * row_stride;
        V* to_i = to + i * channels_ + d;
        if (height == kBlock) {
          switch (depth) {
            case 1: add_block<kBlock, 1>(columns, g_i, row_stride, column_stride, from + d, to_i); break;
            case 2: add_block<kBlock, 2>(columns, g_i, row_stride, column_stride, from + d, to_i); break;
            case 3: add_block<kBlock, 3>(columns, g_i, row_stride, column_stride, from + d, to_i); break;
            default: add_block<kBlock, 4>(columns, g_i, row_stride, column_stride, from + d, to_i);
          }
        } else {
          for (int64_t a = 0; a < height; ++a)
            for (int64_t e = 0; e < depth; ++e)
              add_block<1, 1>(columns, g_i + a * row_stride, row_stride, column_stride, from + d + e,
                              to_i + a * channels_ + e);
        }
      }
  }

  template <int R, int D>
  SIGKERNEL_INLINE void add_block(int64_t columns, const V* g, int64_t row_stride, int64_t column_stride,
                                  const V* from, V* to) const {
    V sum[R][D];
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a)
      SIGKERNEL_UNROLL for (int d = 0; d < D; ++d) sum[a][d] = to[a * channels_ + d];
    for (int64_t j = 0; j < columns; ++j)
      SIGKERNEL_UNROLL for (int a = 0; a < R; ++a)
        SIGKERNEL_UNROLL for (int d = 0; d < D; ++d)
          sum[a][d] += g[a * row_stride + j * column_stride] * from[j * channels_ + d];
    SIGKERNEL_UNROLL for (int a = 0; a < R; ++a)
      SIGKERNEL_UNROLL for (int d = 0; d < D; ++d) to[a * channels_ + d] = sum[a][d];
  }

  const V *dx_, *dy_;
  int64_t channels_;
  V *dx_bar_, *dy_bar_;
};

// p under the linear static kernel, and its derivative as x moves in a direction.
template <class V>
class DirectedIncrements final : public Increments<Dual<V>> {
 public:
  explicit DirectedIncrements(const Block<typename V::Scalar>& block)
      : dx_(reinterpret_cast<const V*>(block.x)), direction_(reinterpret_cast<const V*>(block.direction)),
        dy_(reinterpret_cast<const V*>(block.y)), channels_(block.channels) {}

  void read(const Cells& cells, Dual<V>* p) const override {
    for (int64_t i = 0; i < cells.rows; ++i)
      for (int64_t j = 0; j < cells.columns; ++j) {
        const int64_t x = (cells.row + i) * channels_, y = (cells.column + j) * channels_;
        Dual<V> sum(0.0);
        for (int64_t d = 0; d < channels_; ++d) {
          sum.value += dx_[x + d] * dy_[y + d];
          sum.tangent += direction_[x + d] * dy_[y + d];
        }
        p[i * cells.columns + j] = sum;
      }
  }

  void add_gradient(const Cells&, const Dual<V>*) const override {}  // forward only

 private:
  const V *dx_, *direction_, *dy_;
  int64_t channels_;
};

// p under a static kernel of points, formed where it is used: double differences of variance Kappa(|x - y|²), or its
// values with their weights. N is V, or Dual<V> with a direction, for which there are no weights.
template <class Kappa, class N, class V>
class PointIncrements final : public Increments<N> {
 public:
  PointIncrements(const Block<typename V::Scalar>& block, const BlockGradient<typename V::Scalar>* gradient)
      : x_(reinterpret_cast<const V*>(block.x)), direction_(reinterpret_cast<const V*>(block.direction)),
        y_(reinterpret_cast<const V*>(block.y)), x_weights_(reinterpret_cast<const V*>(block.x_weights)),
        y_weights_(reinterpret_cast<const V*>(block.y_weights)), channels_(block.channels), variance_(block.variance),
        x_bar_(gradient == nullptr ? nullptr : reinterpret_cast<V*>(gradient->x)),
        y_bar_(gradient == nullptr ? nullptr : reinterpret_cast<V*>(gradient->y)),
        variance_bar_(gradient == nullptr ? nullptr : reinterpret_cast<V*>(gradient->variance)) {}

  void read(const Cells& cells, N* p) const override {
    x_weights_ == nullptr ? read_differences(cells, p) : read_weighted(cells, p);
  }

  void add_gradient(const Cells& cells, const N* p_bar) const override {
    x_weights_ == nullptr ? add_of_differences(cells, p_bar) : add_of_weighted(cells, p_bar);
  }

 private:
  static constexpr int64_t kChunk = 16;
  static constexpr int kAtOnce = 4;

  void read_differences(const Cells& cells, N* p) const {
    for (int64_t first = 0; first < cells.columns; first += kChunk) {
      const int64_t width = smaller(kChunk, cells.columns - first);
      N values[2][kChunk + 1];  // at the points below and above a row of cells, and those two in turn
      read_values(cells.row, cells.column + first, width + 1, values[0]);
      for (int64_t i = 0; i < cells.rows; ++i) {
        const N* below = values[i % 2];
        N *above = values[(i + 1) % 2], *to = p + i * cells.columns + first;
        read_values(cells.row + i + 1, cells.column + first, width + 1, above);
        for (int64_t j = 0; j < width; ++j) to[j] = (above[j + 1] - below[j + 1]) - (above[j] - below[j]);
      }
    }
  }

  // The static kernel's values at (i, j), ..., (i, j + count - 1), some at a time so that none waits for another.
  void read_values(int64_t i, int64_t j, int64_t count, N* values) const {
    int64_t done = 0;
    for (; done + kAtOnce <= count; done += kAtOnce) read_values_at<kAtOnce>(i, j + done, values + done);
    for (; done < count; ++done) read_values_at<1>(i, j + done, values + done);
  }

  template <int C>
  SIGKERNEL_INLINE void read_values_at(int64_t i, int64_t j, N* values) const {
    N squared[C];
    SIGKERNEL_UNROLL for (int b = 0; b < C; ++b) squared[b] = N(0.0);
    for (int64_t d = 0; d < channels_; ++d)
      SIGKERNEL_UNROLL for (int b = 0; b < C; ++b) {
        const N difference = difference_of(i, j + b, d);
        squared[b] += difference * difference;
      }
    SIGKERNEL_UNROLL for (int b = 0; b < C; ++b) values[b] = N(variance_) * Kappa::value(squared[b]);
  }

  // The derivative by the static kernel's value at each pair of points, which is a corner of four cells, leads to all
  // others.
  void add_of_differences(const Cells& cells, const N* p_bar) const {
    if constexpr (std::is_same_v<N, V>) {
      const auto at = [&](int64_t i, int64_t j) {
        const bool is_inside = i >= 0 && i < cells.rows && j >= 0 && j < cells.columns;
        return is_inside ? p_bar[i * cells.columns + j] : V(0);
      };
      for (int64_t i = 0; i <= cells.rows; ++i)
        for (int64_t j = 0; j <= cells.columns; ++j) {
          const V bar = (at(i - 1, j - 1) - at(i - 1, j)) - (at(i, j - 1) - at(i, j));
          add_of_value(cells.row + i, cells.column + j, bar);
        }
    }
  }

  void read_weighted(const Cells& cells, N* p) const {
    if constexpr (std::is_same_v<N, V>) {
      for (int64_t i = 0; i < cells.rows; ++i) {
        V* to = p + i * cells.columns;
        read_values(cells.row + i, cells.column, cells.columns, to);
        for (int64_t j = 0; j < cells.columns; ++j)
          to[j] *= x_weights_[cells.row + i] * y_weights_[cells.column + j];
      }
    }
  }

  void add_of_weighted(const Cells& cells, const N* p_bar) const {
    if constexpr (std::is_same_v<N, V>) {
      for (int64_t i = 0; i < cells.rows; ++i)
        for (int64_t j = 0; j < cells.columns; ++j) {
          const V weight = x_weights_[cells.row + i] * y_weights_[cells.column + j];
          add_of_value(cells.row + i, cells.column + j, weight * p_bar[i * cells.columns + j]);
        }
    }
  }

  // bar: the derivative by the static kernel's value at one pair of points.
  SIGKERNEL_INLINE void add_of_value(int64_t i, int64_t j, V bar) const {
    const int64_t x = i * channels_, y = j * channels_;
    V squared(0.0);
    for (int64_t d = 0; d < channels_; ++d) squared += difference_of(i, j, d) * difference_of(i, j, d);
    *variance_bar_ += bar * Kappa::value(squared);
    const V pull = V(variance_) * bar * Kappa::pull(squared);
    for (int64_t d = 0; d < channels_; ++d) {
      const V change = pull * (y_[y + d] - x_[x + d]);
      x_bar_[x + d] += change;
      y_bar_[y + d] -= change;
    }
  }

  // Of x_i from y_j, in one channel.
  SIGKERNEL_INLINE N difference_of(int64_t i, int64_t j, int64_t channel) const {
    const int64_t x = i * channels_ + channel;
    const V difference = x_[x] - y_[j * channels_ + channel];
    if constexpr (std::is_same_v<N, V>) return difference;
    else return {difference, direction_[x]};
  }

  const V *x_, *direction_, *y_, *x_weights_, *y_weights_;
  int64_t channels_;
  double variance_;
  V *x_bar_, *y_bar_, *variance_bar_;
};

// Those that were formed before and kept. Forward only.
template <class V>
class KnownIncrements final : public Increments<V> {
 public:
  explicit KnownIncrements(const Block<typename V::Scalar>& block)
      : known_(reinterpret_cast<const V*>(block.known)), columns_(block.columns) {}

  void read(const Cells& cells, V* p) const override {
    for (int64_t i = 0; i < cells.rows; ++i) {
      const V* row = known_ + (cells.row + i) * columns_ + cells.column;
      for (int64_t j = 0; j < cells.columns; ++j) p[i * cells.columns + j] = row[j];
    }
  }

  void add_gradient(const Cells&, const V*) const override {}

 private:
  const V* known_;
  const int64_t columns_;
};

// Numbers that the caller gives.
template <class V>
class GivenIncrements final : public Increments<V> {
 public:
  using Scalar = typename V::Scalar;

  GivenIncrements(const Block<Scalar>& block, const BlockGradient<Scalar>* gradient)
      : block_(block), gradient_(gradient) {}

  void read(const Cells& cells, V* p) const override {
    for (int lane = 0; lane < V::kLanes; ++lane)
      for (int64_t i = 0; i < cells.rows; ++i) {
        const Scalar* row = block_.given[lane] + (cells.row + i) * block_.columns + cells.column;
        for (int64_t j = 0; j < cells.columns; ++j) p[i * cells.columns + j].set(lane, row[j]);
      }
  }

  void add_gradient(const Cells& cells, const V* p_bar) const override {
    for (int lane = 0; lane < V::kLanes; ++lane) {
      if (gradient_->given[lane] == nullptr) continue;
      for (int64_t i = 0; i < cells.rows; ++i) {
        Scalar* row = gradient_->given[lane] + (cells.row + i) * block_.columns + cells.column;
        for (int64_t j = 0; j < cells.columns; ++j) row[j] += p_bar[i * cells.columns + j][lane];
      }
    }
  }

 private:
  const Block<Scalar>& block_;
  const BlockGradient<Scalar>* gradient_;
};

}  // namespace
}  // namespace sigkernel
