// Signature kernels, signatures and their gradients in quadruple precision: what the device check compares with. It shares no code
// with the package.
//
// Standard input holds problems, one after the other: ten int64 (Header), the static kernel's variance, and points or increments as
// doubles. Standard output holds the results of each as doubles:
//   a kernel: k, the largest |U W| over the nodes, where W solves the problem reversed in time, and where a gradient is wanted dX, dY and
//     d_variance, or with increments given their gradient [rows][columns];
//   a signature: its words, [depth] levels of them with the first, of all prefixes where it is a stream, and where a gradient is wanted
//     dX of the sum of words times the weights that follow the points.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

using Quad = __float128;
using Quads = std::vector<Quad>;

struct Header {
  int64_t what;           // 0: the kernel itself; 1: finite differences; 2: these with the gradient of theorem 4.1; 3: a signature
  int64_t static_kernel;  // 0: linear; 1: RBF; 2: increments are given, [x_length][y_length]
  int64_t x_length, y_length, channels;
  int64_t dyadic_order;   // of finite differences
  int64_t depth, is_stream;
  int64_t wants_gradient, wants_weights;  // wants_weights: the largest |U W|; else 0
};

Quad exponential(Quad x) {
  constexpr int kHalvings = 12;
  Quad term = 1, sum = 1;
  x /= Quad(1 << kHalvings);
  for (int n = 1; n < 24; ++n) sum += term *= x / n;
  for (int n = 0; n < kHalvings; ++n) sum *= sum;
  return sum;
}

std::vector<double> read(int64_t count) {
  std::vector<double> values(count);
  if (std::fread(values.data(), sizeof(double), values.size(), stdin) != values.size()) std::exit(1);
  return values;
}

void write(const Quads& values) {
  for (const Quad value : values) {
    const double rounded = static_cast<double>(value);
    std::fwrite(&rounded, sizeof rounded, 1, stdout);
  }
}

// Increments on a grid, and the solution's way through it.
struct Grid {
  int64_t rows = 0, columns = 0;
  Quads p;

  Grid reversed() const { return {rows, columns, {p.rbegin(), p.rend()}}; }
};

// Cuts every cell into halves in both directions, so often.
Grid refined(const Grid& grid, int halvings) {
  const int64_t cut = int64_t{1} << halvings;
  Grid fine{grid.rows * cut, grid.columns * cut, Quads(grid.p.size() * cut * cut)};
  for (int64_t i = 0; i < fine.rows; ++i)
    for (int64_t j = 0; j < fine.columns; ++j) fine.p[i * fine.columns + j] = grid.p[i / cut * grid.columns + j / cut] / Quad(cut * cut);
  return fine;
}

// The gradient by the coarse increments from that by the fine ones.
Quads gathered(const Quads& fine, const Grid& grid, int halvings) {
  const int64_t cut = int64_t{1} << halvings;
  Quads coarse(grid.p.size(), 0);
  for (int64_t i = 0; i < grid.rows * cut; ++i)
    for (int64_t j = 0; j < grid.columns * cut; ++j)
      coarse[i / cut * grid.columns + j / cut] += fine[i * grid.columns * cut + j] / Quad(cut * cut);
  return coarse;
}

// The scheme u11 = (u10 + u01) (1 + p/2 + p²/12) - u00 (1 - p²/12): U at the nodes, [rows + 1][columns + 1].
Quads differences(const Grid& grid) {
  const int64_t stride = grid.columns + 1;
  Quads u((grid.rows + 1) * stride, 1);
  for (int64_t i = 0; i < grid.rows; ++i)
    for (int64_t j = 0; j < grid.columns; ++j) {
      const Quad p = grid.p[i * grid.columns + j], square = p * p / 12;
      Quad* at = &u[i * stride + j];
      at[stride + 1] = (at[1] + at[stride]) * (1 + p / 2 + square) - at[0] * (1 - square);
    }
  return u;
}

Quads differences_gradient(const Grid& grid, bool is_theorem) {
  const int64_t stride = grid.columns + 1, last = (grid.rows + 1) * stride - 1;
  const Quads u = differences(grid), w = differences(grid.reversed());
  Quads bar(u.size(), 0), result(grid.p.size());
  bar[last] = 1;
  for (int64_t i = grid.rows - 1; i >= 0; --i)
    for (int64_t j = grid.columns - 1; j >= 0; --j) {
      const int64_t at = i * stride + j;
      const Quad p = grid.p[i * grid.columns + j], of = bar[at + stride + 1], sum = u[at + 1] + u[at + stride];
      Quad& here = result[i * grid.columns + j];
      if (is_theorem) {  // the integral of U V over the cell, by its corners
        here = 0;
        for (const int64_t corner : {at, at + 1, at + stride, at + stride + 1}) here += u[corner] * w[last - corner] / 4;
        continue;
      }
      here = of * (sum * (Quad(1) / 2 + p / 6) + u[at] * p / 6);
      bar[at + 1] += of * (1 + p / 2 + p * p / 12);
      bar[at + stride] += of * (1 + p / 2 + p * p / 12);
      bar[at] -= of * (1 - p * p / 12);
    }
  return result;
}

// The kernel itself. In a cell U = sum c_kl s^k t^l with (k + 1)(l + 1) c_{k+1,l+1} = p c_kl, s along the row of cells and t across it;
// c_k0 and c_0l are the coefficients of its bottom and left edge.
class Series {
 public:
  // The edges' coefficients are at most r^k / (k!)² times the solution for |p|, about exp(2 sqrt(sum of |p|)), r being the largest
  // row or column sum of |p|. Cells are cut first where that would need too many.
  Series(const Grid& coarse, bool keeps_edges) : keeps_edges_(keeps_edges) {
    double largest = 0, reach = 0, total = 0;
    std::vector<double> columns(coarse.columns, 0.0);
    for (int64_t i = 0; i < coarse.rows; ++i) {
      double row = 0;
      for (int64_t j = 0; j < coarse.columns; ++j) {
        const double size = std::abs(static_cast<double>(coarse.p[i * coarse.columns + j]));
        largest = std::fmax(largest, size);
        row += size;
        columns[j] += size;
      }
      reach = std::fmax(reach, row);
      total += row;
    }
    for (const double column : columns) reach = std::fmax(reach, column);
    for (; largest > 100; largest /= 4, reach /= 2) ++halvings;
    grid = refined(coarse, halvings);
    const double dropped = std::log(1e-19 / double(grid.rows + grid.columns)) - 2 * std::sqrt(total);
    for (size_ = 2; size_ < 200; ++size_)
      if (size_ >= 9 && size_ * std::log(reach + 1e-300) - 2 * std::lgamma(size_ + 1.0) <= dropped) break;
    c_.resize(size_ * size_);
    inverse_.resize(size_ * size_);
    for (int k = 1; k < size_; ++k)
      for (int l = 1; l < size_; ++l) inverse_[k * size_ + l] = Quad(1) / (k * l);
  }

  // U at the nodes of the fine grid.
  Quads solve() {
    const int64_t stride = grid.columns + 1;
    Quads nodes((grid.rows + 1) * stride, 1), bottoms(grid.columns * size_, 0), left(size_), right(size_), top(size_);
    for (int64_t j = 0; j < grid.columns; ++j) bottoms[j * size_] = 1;
    for (int64_t i = 0; i < grid.rows; ++i) {
      left.assign(size_, 0);
      left[0] = 1;
      for (int64_t j = 0; j < grid.columns; ++j) {
        Quad* bottom = &bottoms[j * size_];
        if (keeps_edges_) {
          edges_.insert(edges_.end(), bottom, bottom + size_);
          edges_.insert(edges_.end(), left.begin(), left.end());
        }
        expand(grid.p[i * grid.columns + j], bottom, left.data());
        top.assign(size_, 0);
        right.assign(size_, 0);
        Quad corner = 0;
        for (int k = 0; k < size_; ++k)
          for (int l = 0; l < size_; ++l) {
            top[k] += c_[k * size_ + l];
            right[l] += c_[k * size_ + l];
          }
        for (int k = size_ - 1; k >= 0; --k) corner += bottom[k] = top[k];
        left = right;
        nodes[(i + 1) * stride + j + 1] = corner;
      }
    }
    return nodes;
  }

  // Of the last node, by the fine grid's increments; after solve().
  Quads gradient() {
    Quads result(grid.p.size()), tops(grid.columns * size_, 0), right(size_), bar(size_ * size_);
    for (int k = 0; k < size_; ++k) tops[(grid.columns - 1) * size_ + k] = 1;
    for (int64_t i = grid.rows - 1; i >= 0; --i) {
      right.assign(size_, 0);
      for (int64_t j = grid.columns - 1; j >= 0; --j) {
        const int64_t cell = i * grid.columns + j;
        Quad* top = &tops[j * size_];
        expand(grid.p[cell], &edges_[cell * 2 * size_], &edges_[(cell * 2 + 1) * size_]);
        Quad sum = 0;
        for (int k = size_ - 1; k >= 0; --k)
          for (int l = size_ - 1; l >= 0; --l) {
            Quad& here = bar[k * size_ + l];
            here = top[k] + right[l];
            if (k + 1 < size_ && l + 1 < size_) {
              const int next = (k + 1) * size_ + l + 1;
              here += grid.p[cell] * inverse_[next] * bar[next];
              sum += inverse_[next] * c_[k * size_ + l] * bar[next];
            }
          }
        result[cell] = sum;
        for (int k = 0; k < size_; ++k) top[k] = bar[k * size_];
        right[0] = 0;
        for (int l = 1; l < size_; ++l) right[l] = bar[l];
      }
    }
    return result;
  }

  Grid grid;
  int halvings = 0;

 private:
  void expand(Quad p, const Quad* bottom, const Quad* left) {
    for (int k = 0; k < size_; ++k)
      for (int l = 0; l < size_; ++l) {
        const int here = k * size_ + l;
        c_[here] = l == 0 ? bottom[k] : k == 0 ? left[l] : p * inverse_[here] * c_[here - size_ - 1];
      }
  }

  bool keeps_edges_;
  int size_ = 0;
  Quads c_, inverse_, edges_;  // edges_: [cells][bottom, left][size]
};

// Points, and what cells make of them.
struct StaticKernel {
  const Header& h;
  Quad variance;
  std::vector<double> X, Y;

  Quad difference(int64_t i, int64_t j, int64_t d) const { return Quad(X[i * h.channels + d]) - Quad(Y[j * h.channels + d]); }

  Quad kappa(int64_t i, int64_t j) const {
    Quad sum = 0;
    for (int64_t d = 0; d < h.channels; ++d) {
      const Quad apart = difference(i, j, d);
      sum += h.static_kernel == 1 ? apart * apart : Quad(X[i * h.channels + d]) * Quad(Y[j * h.channels + d]);
    }
    return h.static_kernel == 1 ? variance * exponential(-sum / 2) : sum;
  }

  Grid grid() const {
    if (h.static_kernel == 2) return {h.x_length, h.y_length, Quads(X.begin(), X.end())};
    Quads points(h.x_length * h.y_length);
    for (int64_t i = 0; i < h.x_length; ++i)
      for (int64_t j = 0; j < h.y_length; ++j) points[i * h.y_length + j] = kappa(i, j);
    Grid result{h.x_length - 1, h.y_length - 1, {}};
    for (int64_t i = 0; i < result.rows; ++i)
      for (int64_t j = 0; j < result.columns; ++j) {
        const Quad* at = &points[i * h.y_length + j];
        result.p.push_back(at[h.y_length + 1] - at[h.y_length] - at[1] + at[0]);
      }
    return result;
  }

  // dX, dY and d_variance from the gradient by the increments.
  Quads gradient(const Grid& grid, const Quads& by_p) const {
    if (h.static_kernel == 2) return by_p;
    Quads by_kappa(h.x_length * h.y_length, 0), result((h.x_length + h.y_length) * h.channels + 1, 0);
    for (int64_t i = 0; i < grid.rows; ++i)
      for (int64_t j = 0; j < grid.columns; ++j) {
        const Quad by = by_p[i * grid.columns + j];
        Quad* at = &by_kappa[i * h.y_length + j];
        at[h.y_length + 1] += by;
        at[h.y_length] -= by;
        at[1] -= by;
        at[0] += by;
        if (h.static_kernel == 1) result.back() += by * grid.p[i * grid.columns + j] / variance;
      }
    for (int64_t i = 0; i < h.x_length; ++i)
      for (int64_t j = 0; j < h.y_length; ++j) {
        const Quad by = by_kappa[i * h.y_length + j], of_rbf = h.static_kernel == 1 ? by * kappa(i, j) : by;
        for (int64_t d = 0; d < h.channels; ++d) {
          Quad &dx = result[i * h.channels + d], &dy = result[(h.x_length + j) * h.channels + d];
          dx += h.static_kernel == 1 ? -of_rbf * difference(i, j, d) : by * Quad(Y[j * h.channels + d]);
          dy += h.static_kernel == 1 ? of_rbf * difference(i, j, d) : by * Quad(X[i * h.channels + d]);
        }
      }
    return result;
  }
};

// The largest |U W|, both at the nodes of one grid.
Quad largest_product(const Quads& U, const Quads& W) {
  Quad largest = 0;
  for (size_t n = 0; n < U.size(); ++n) {
    const Quad product = U[n] * W[U.size() - 1 - n], size = product < 0 ? -product : product;
    if (largest < size) largest = size;
  }
  return largest;
}

void kernel(const Header& h, Quad variance) {
  const bool is_given = h.static_kernel == 2;
  StaticKernel points{h, variance, read(is_given ? h.x_length * h.y_length : h.x_length * h.channels), {}};
  if (!is_given) points.Y = read(h.y_length * h.channels);
  const Grid grid = points.grid();
  Quads by_p;
  if (h.what == 0) {
    Series series(grid, h.wants_gradient);
    const Quads U = series.solve();
    write({U.back(), h.wants_weights ? largest_product(U, Series(grid.reversed(), false).solve()) : Quad(0)});
    if (h.wants_gradient) by_p = gathered(series.gradient(), grid, series.halvings);
  } else {
    const Grid fine = refined(grid, static_cast<int>(h.dyadic_order));
    const Quads U = differences(fine);
    write({U.back(), h.wants_weights ? largest_product(U, differences(fine.reversed())) : Quad(0)});
    if (h.wants_gradient) by_p = gathered(differences_gradient(fine, h.what == 2), grid, static_cast<int>(h.dyadic_order));
  }
  if (h.wants_gradient) write(points.gradient(grid, by_p));
}

// Chen's rule: level n of S exp(dx) is the sum of S_k times dx^(n - k) / (n - k)!. Returns the words of all prefixes, or of the whole.
Quads signature(const Header& h, const Quads& X) {
  std::vector<Quads> S(h.depth + 1), next, power(h.depth + 1);
  for (int64_t n = 0, size = 1; n <= h.depth; ++n, size *= h.channels) S[n].assign(size, n == 0);
  Quads result;
  const auto keep = [&] {
    for (const Quads& level : S) result.insert(result.end(), level.begin(), level.end());
  };
  if (h.is_stream) keep();
  power[0] = {1};
  for (int64_t l = 1; l < h.x_length; ++l) {
    for (int64_t n = 1; n <= h.depth; ++n) {
      power[n].clear();
      for (const Quad prefix : power[n - 1])
        for (int64_t d = 0; d < h.channels; ++d) power[n].push_back(prefix * (X[l * h.channels + d] - X[(l - 1) * h.channels + d]) / n);
    }
    next = S;
    for (int64_t n = 1; n <= h.depth; ++n)
      for (int64_t k = 0; k < n; ++k)
        for (size_t word = 0; word < S[n].size(); ++word) next[n][word] += S[k][word / power[n - k].size()] * power[n - k][word % power[n - k].size()];
    S = next;
    if (h.is_stream) keep();
  }
  if (!h.is_stream) keep();
  return result;
}

// Differences in quadruple precision are exact to a double's digits.
void signature_and_gradient(const Header& h) {
  const std::vector<double> points = read(h.x_length * h.channels);
  Quads X(points.begin(), points.end());
  const Quads words = signature(h, X);
  write(words);
  if (!h.wants_gradient) return;
  const std::vector<double> weights = read(words.size());
  const Quad step = Quad(1) / Quad(int64_t{1} << 36);
  Quads gradient;
  for (Quad& x : X) {
    Quad sum = 0;
    const Quad before = x;
    for (const int sign : {1, -1}) {
      x = before + sign * step;
      const Quads moved = signature(h, X);
      for (size_t n = 0; n < moved.size(); ++n) sum += sign * moved[n] * weights[n];
    }
    x = before;
    gradient.push_back(sum / (2 * step));
  }
  write(gradient);
}

int main() {
  Header h;
  while (std::fread(&h, sizeof h, 1, stdin) == 1) {
    const Quad variance = read(1)[0];
    if (h.what == 3) signature_and_gradient(h);
    else kernel(h, variance);
  }
}
