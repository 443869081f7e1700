// Goursat problems U_st = p U in quadruple precision, for the tests: it shares no code with the package.
//
// Standard input holds the problems, one after the other: two int64, the rows and columns, and the increments p as
// doubles, row after row. For each problem a line is printed: k = U(1, 1), and the largest |U W| over the nodes, where W
// solves the problem reversed in time, so that W at a node is the kernel of what is left of both paths.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

using Quad = __float128;

struct Problem {
  int64_t rows, columns;
  std::vector<double> p;  // [rows][columns]

  Problem reversed() const { return {rows, columns, {p.rbegin(), p.rend()}}; }
};

// How finely a problem is cut, and by polynomials of which degree it is solved.
struct Scheme {
  int halvings = 0, degree = 0;

  // The edges' coefficients are at most r^k / (k!)² times the solution for |p|, r being the largest row or column sum of
  // |p|, and that solution is about exp(2 sqrt(sum of |p|)). What is dropped is to be nothing beside |U W|, which is 1 at
  // two of the corners.
  explicit Scheme(const Problem& problem) {
    double largest = 0, reach = 0, total = 0;
    std::vector<double> columns(problem.columns, 0.0);
    for (int64_t i = 0; i < problem.rows; ++i) {
      double row = 0;
      for (int64_t j = 0; j < problem.columns; ++j) {
        const double size = std::abs(problem.p[i * problem.columns + j]);
        largest = std::fmax(largest, size);
        row += size;
        columns[j] += size;
      }
      reach = std::fmax(reach, row);
      total += row;
    }
    for (const double column : columns) reach = std::fmax(reach, column);
    for (; largest > 100; largest /= 4, reach /= 2) ++halvings;
    const double lines = static_cast<double>((problem.rows + problem.columns) << halvings);
    const double dropped = std::log(1e-19 / lines) - 2 * std::sqrt(total);
    double logarithm = 0;
    for (degree = 1; degree < 200; ++degree) {
      logarithm = (degree + 1) * std::log(reach + 1e-300) - 2 * std::lgamma(degree + 2.0);
      if (degree >= 8 && logarithm <= dropped) break;
    }
  }
};

// U at the nodes, [rows + 1][columns + 1]. In a cell U = sum c_kl s^k t^l, s along the row of cells and t across it, with
// (k + 1)(l + 1) c_{k+1,l+1} = p c_kl; c_k0 and c_0l are the coefficients of its bottom and left edge.
std::vector<Quad> solve(const Problem& problem, const Scheme& scheme) {
  const int64_t cut = int64_t{1} << scheme.halvings, rows = problem.rows * cut, columns = problem.columns * cut;
  const int size = scheme.degree + 1;
  std::vector<Quad> nodes((problem.rows + 1) * (problem.columns + 1), 1), bottoms(columns * size, 0), left(size);
  std::vector<Quad> top(size), right(size), c(size * size), inverse(size * size);
  for (int k = 1; k < size; ++k)
    for (int l = 1; l < size; ++l) inverse[k * size + l] = Quad(1) / (k * l);
  for (int64_t j = 0; j < columns; ++j) bottoms[j * size] = 1;
  for (int64_t i = 0; i < rows; ++i) {
    left.assign(size, 0);
    left[0] = 1;
    for (int64_t j = 0; j < columns; ++j) {
      Quad* bottom = &bottoms[j * size];
      const Quad p = Quad(problem.p[i / cut * problem.columns + j / cut]) / (cut * cut);
      top.assign(size, 0);
      right.assign(size, 0);
      for (int k = 0; k < size; ++k)
        for (int l = 0; l < size; ++l) {
          Quad& here = c[k * size + l];
          here = l == 0 ? bottom[k] : k == 0 ? left[l] : p * inverse[k * size + l] * c[(k - 1) * size + l - 1];
          top[k] += here;
          right[l] += here;
        }
      for (int k = 0; k < size; ++k) bottom[k] = top[k];
      left = right;
      if ((i + 1) % cut == 0 && (j + 1) % cut == 0) {
        Quad corner = 0;
        for (int k = size - 1; k >= 0; --k) corner += top[k];
        nodes[(i + 1) / cut * (problem.columns + 1) + (j + 1) / cut] = corner;
      }
    }
  }
  return nodes;
}

int main() {
  int64_t shape[2];
  while (std::fread(shape, sizeof(int64_t), 2, stdin) == 2) {
    Problem problem{shape[0], shape[1], std::vector<double>(shape[0] * shape[1])};
    if (std::fread(problem.p.data(), sizeof(double), problem.p.size(), stdin) != problem.p.size()) return 1;
    const Scheme scheme(problem);
    const std::vector<Quad> U = solve(problem, scheme), W = solve(problem.reversed(), scheme);
    Quad largest = 0;
    for (size_t n = 0; n < U.size(); ++n) {
      const Quad product = U[n] * W[U.size() - 1 - n], size = product < 0 ? -product : product;
      if (largest < size) largest = size;
    }
    std::printf("%.17g %.17g\n", static_cast<double>(U.back()), static_cast<double>(largest));
  }
}
