// Quadratic forms |L_c^T s_n|^2 of lower triangular factors L_c [M, M] and vectors s_n [M], and their adjoints: the
// variances that a Gaussian process gets from q(u) = N(m, L L^T), by half the multiply-adds of full matrices.
//
// A factor is packed as tfp.bijectors.FillTriangular packs it, which is how GPflow keeps q_sqrt: M (M + 1) / 2 numbers
// x, of which L_ij is x[M + iM + j] in the upper rows, where iM < M (M - 1) / 2, and x[M^2 - 1 - iM - j] in the lower
// ones. So each row is contiguous, the lower ones backwards.
//
// f = |z|^2 with z = L^T s has the adjoint z_bar = 2 f_bar z,   L_bar_ij = s_i z_bar_j for j <= i,   s_bar = L z_bar.
#pragma once

#include <cstdint>

#include "core/parallel.h"

namespace sigkernel {

template <class T>
struct QuadraticForms {
  int64_t num_factors = 0, size = 0, num_vectors = 0;  // C, M and N
  const T* factors = nullptr;                          // packed, [C, M (M + 1) / 2]
  const T* vectors = nullptr;                          // [M, N]
};

// Overwrites forms [C, N] by |L_c^T s_n|^2 and products [C, N, M] by L_c^T s_n. All three throw OutOfMemory.
template <class T>
void quadratic_forms(const QuadraticForms<T>& problem, const ParallelFor& parallel_for, T* forms, T* products);

// The adjoints, from upstream [C, N] and the products: d_factors, packed [C, M (M + 1) / 2], is overwritten. The
// problem's factors are not read.
template <class T>
void quadratic_forms_backward_factors(const QuadraticForms<T>& problem, const ParallelFor& parallel_for,
                                       const T* products, const T* upstream, T* d_factors);

// d_vectors [M, N] is overwritten. The problem's vectors are not read.
template <class T>
void quadratic_forms_backward_vectors(const QuadraticForms<T>& problem, const ParallelFor& parallel_for,
                                       const T* products, const T* upstream, T* d_vectors);

}  // namespace sigkernel
