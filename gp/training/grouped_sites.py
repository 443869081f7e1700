"""
Likelihoods for the fit in closed form: each gives the expectations from which that fit's Gaussian sites follow.

Two classes, several classes and real numbers; the fit itself is in ``grouped_features.py``. No random numbers are
drawn, so that the same marginals always give the same sites. A series may have a weight: one of weight 2 counts as two
would.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import scipy.special

from .._chunks import row_slices
from .._quadrature import NODES, WEIGHTS, normal_points
from .grouped_features import Expectations

_Sites = TypeVar("_Sites")

_DRAWS = 64
_NUMBERS_AT_ONCE = 4_000_000  # 32 MB


class _WithoutParameters:
    """A likelihood without parameters of its own."""

    def updated(self: _Sites, mean: np.ndarray, variance: np.ndarray) -> _Sites:
        """The same likelihood, as there is nothing to move."""
        return self


@dataclass(frozen=True)
class LogisticSites(_WithoutParameters):
    """Two classes: p(y = 1 | f) = 1 / (1 + exp(−f)), as GPflow's ``Bernoulli(tf.sigmoid)``."""

    y: np.ndarray
    """0 or 1, [N]."""
    weights: np.ndarray | None = None
    """The weight of each series, [N]. None: ones."""

    def expectations(self, mean: np.ndarray, variance: np.ndarray) -> Expectations:
        """By Gauss-Hermite quadrature."""
        f = mean + np.sqrt(variance) * NODES
        sign = np.where(self.y == 1, 1.0, -1.0)[:, None]
        p = scipy.special.expit(f)
        return _expectations(
            scipy.special.log_expit(sign * f) @ WEIGHTS,
            ((self.y[:, None] - p) @ WEIGHTS)[:, None],
            ((p * (1.0 - p)) @ WEIGHTS)[:, None],
            self.weights,
        )


@dataclass(frozen=True)
class SoftmaxSites(_WithoutParameters):
    """Several classes: p(y = c | f) = exp(f_c) / sum exp(f), as GPflow's ``Softmax``."""

    y: np.ndarray
    """0 to C - 1, [N]."""
    num_classes: int
    weights: np.ndarray | None = None
    """The weight of each series, [N]. None: ones."""

    def expectations(self, mean: np.ndarray, variance: np.ndarray) -> Expectations:
        """By the mean over quasi-random points, the same points in every call."""
        points = normal_points(_DRAWS, self.num_classes)
        log_density, slope, curvature = np.empty(len(mean)), np.empty_like(mean), np.empty_like(mean)
        for rows in row_slices(len(mean), max(_NUMBERS_AT_ONCE // points.size, 1)):
            f = mean[rows, None, :] + np.sqrt(variance[rows, None, :]) * points
            log_p = f - scipy.special.logsumexp(f, axis=2, keepdims=True)
            p = np.exp(log_p)
            one_hot = np.eye(self.num_classes)[self.y[rows]]
            log_density[rows] = np.sum(np.mean(log_p, axis=1) * one_hot, axis=1)
            slope[rows] = one_hot - p.mean(axis=1)
            curvature[rows] = (p * (1.0 - p)).mean(axis=1)
        return _expectations(log_density, slope, curvature, self.weights)


@dataclass(frozen=True)
class GaussianSites:
    """Real numbers: p(y | f) = N(f, noise), as GPflow's ``Gaussian``."""

    Y: np.ndarray
    """[N, P]"""
    noise: float
    """The variance of the noise."""
    weights: np.ndarray | None = None
    """The weight of each series, by which its noise is divided, [N]. None: ones."""
    smallest: float = 1.1e-6
    """The smallest variance that the noise may get; GPflow's lower limit is 1e-6."""

    def expectations(self, mean: np.ndarray, variance: np.ndarray) -> Expectations:
        """In closed form."""
        error = self.Y - mean
        log_density = -0.5 * np.sum(np.log(2 * np.pi * self.noise) + (error**2 + variance) / self.noise, axis=1)
        return _expectations(log_density, error / self.noise, np.full_like(mean, 1.0 / self.noise), self.weights)

    def updated(self, mean: np.ndarray, variance: np.ndarray) -> "GaussianSites":
        """With the noise at which the bound is largest for these marginals."""
        squares = np.mean((self.Y - mean) ** 2 + variance, axis=1)
        return replace(self, noise=max(float(np.average(squares, weights=self.weights)), self.smallest))


def _expectations(
    log_density: np.ndarray, slope: np.ndarray, curvature: np.ndarray, weights: np.ndarray | None
) -> Expectations:
    """
    :param log_density: of each series, [N].
    :param slope: [N, C].
    :param curvature: [N, C].
    :param weights: of the series, [N].
    """
    if weights is None:
        return Expectations(float(np.sum(log_density)), slope, curvature)
    w = weights[:, None]
    return Expectations(float(weights @ log_density), w * slope, w * curvature)
