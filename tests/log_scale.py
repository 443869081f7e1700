"""Signature kernels far beyond the largest float64: slow, independent solvers in long double, and closed forms."""

import mpmath
import numpy as np

LARGEST_LOG = 11000.0  # of long double, whose largest number is about e^11356


def finite_difference(p: np.ndarray, dyadic_order: int = 0) -> np.longdouble:
    """k of increments p [rows, columns] by the paper's scheme, along antidiagonals."""
    p = np.repeat(np.repeat(p, 2**dyadic_order, 0), 2**dyadic_order, 1).astype(np.longdouble) / 4**dyadic_order
    rows, columns = p.shape
    before, now = _ones(rows), _ones(rows)  # U at (i, s - 1 - i) and (i, s - i), by i
    for s in range(1, rows + columns):
        i = np.arange(max(0, s - columns), min(rows, s))  # the cells whose last corner has i + j = s + 1
        cells = p[i, s - 1 - i]
        after = _ones(rows)
        after[i + 1] = (now[i] + now[i + 1]) * (1 + cells / 2 + cells**2 / 12) - before[i] * (1 - cells**2 / 12)
        before, now = now, after
    return now[rows]


def taylor_series(p: np.ndarray, degree: int) -> np.longdouble:
    """k of increments p [rows, columns], from each cell's double Taylor series, along antidiagonals."""
    p = p.astype(np.longdouble)
    rows, columns = p.shape
    axis = np.zeros(degree + 1, np.longdouble)
    axis[0] = 1
    bottom, left = np.tile(axis, [columns, 1]), np.tile(axis, [rows, 1])
    across = np.arange(1, degree + 1, dtype=np.longdouble)
    for s in range(rows + columns - 1):
        i = np.arange(max(0, s - columns + 1), min(rows, s + 1))
        j = s - i
        c = np.empty([len(i), degree + 1, degree + 1], np.longdouble)  # powers along the row, then across it
        c[:, :, 0], c[:, 0, :] = bottom[j], left[i]
        for k in range(degree):
            c[:, k + 1, 1:] = p[i, j][:, None] * c[:, k, :-1] / ((k + 1) * across)
        bottom[j], left[i] = c.sum(axis=2), c.sum(axis=1)
    return left[-1].sum()


def of_orthogonal_steps(a: np.ndarray, b: np.ndarray) -> mpmath.mpf:
    """k of paths whose step i is a_i, or b_i, along axis i: words with sorted letters are all that they have."""
    return mpmath.fprod(
        mpmath.besseli(0, 2 * mpmath.sqrt(mpmath.mpf(float(x)) * float(y))) for x, y in zip(a, b, strict=True)
    )


def _ones(rows: int) -> np.ndarray:
    return np.ones(rows + 1, np.longdouble)
