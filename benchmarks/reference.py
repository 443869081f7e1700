"""The signature kernel in NumPy's extended precision, by a power series that is written anew here, cell after cell."""

import numpy as np

_LONG = np.longdouble


def increments_of(x: np.ndarray, y: np.ndarray, lengthscale: float | None = None) -> np.ndarray:
    """The increments p of one pair of paths, [L1 - 1, L2 - 1]: linear, or under an RBF kernel of this lengthscale."""
    x, y = x.astype(_LONG), y.astype(_LONG)
    if lengthscale is None:
        return np.diff(x, axis=0) @ np.diff(y, axis=0).T
    squared = np.sum(np.square((x[:, None] - y[None]) / _LONG(lengthscale)), axis=-1)
    return np.diff(np.diff(np.exp(-squared / 2), axis=0), axis=1)


def kernel_of_increments(p: np.ndarray, degree: int = 24) -> np.longdouble:
    """k of increments p, of so high a degree that nothing is lost."""
    factorials = np.cumprod(np.concatenate([[_LONG(1)], np.arange(1, 2 * degree + 1, dtype=_LONG)]))
    sums = 1 / factorials[np.add.outer(np.arange(degree + 1), np.arange(degree + 1))]
    sums[:, 0] = 0
    sums[np.add.outer(np.arange(degree + 1), np.arange(degree + 1)) > degree] = 0
    powers = np.arange(degree + 1)
    axis = np.zeros(degree + 1, dtype=_LONG)
    axis[0] = 1
    bottoms = [axis.copy() for _ in range(p.shape[1])]
    left = axis
    for row in p:
        left = axis.copy()
        for j, value in enumerate(row):
            power = value**powers
            taylor, bottom = power / factorials[: degree + 1], bottoms[j]
            # scaled coefficients e_k = k! times those of the power series
            bottoms[j] = np.convolve(taylor, bottom)[: degree + 1] + power * (sums @ left)
            left = np.convolve(taylor, left)[: degree + 1] + power * (sums @ bottom)
    return np.sum(left / factorials[: degree + 1])
