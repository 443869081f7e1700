"""Points and weights that stand for a standard normal distribution, for expectations without random numbers."""

import numpy as np
import scipy.special
import scipy.stats

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(20)
"""Gauss-Hermite quadrature in one dimension: E[g(z)] is about ``g(NODES) @ WEIGHTS``, [20] each."""
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def normal_points(count: int, dimension: int) -> np.ndarray:
    """
    Quasi-random points of a standard normal distribution: a Sobol sequence and its mirror image.

    They are the same in every call, and the mean of a function over them is near its expectation.

    :return: [2 * count, dimension].
    """
    uniform = scipy.stats.qmc.Sobol(dimension, scramble=True, seed=0).random(count)
    points = scipy.special.ndtri(np.clip(uniform, 1e-12, 1 - 1e-12))
    return np.concatenate([points, -points])
