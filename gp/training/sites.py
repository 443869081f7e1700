"""
Likelihoods for the fit in closed form: each gives the expectations from which that fit's Gaussian sites follow.

Two classes, several classes and real numbers; the fit itself is in ``closed_form.py``. No random numbers are drawn, so
that the same marginals always give the same sites.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy.special

from .._chunks import row_slices
from .._quadrature import NODES, WEIGHTS, normal_points
from .closed_form import Expectations

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

    def expectations(self, mean: np.ndarray, variance: np.ndarray) -> Expectations:
        """By Gauss-Hermite quadrature."""
        f = mean + np.sqrt(variance) * NODES
        sign = np.where(self.y == 1, 1.0, -1.0)[:, None]
        p = scipy.special.expit(f)
        return Expectations(
            log_density=float(np.sum(scipy.special.log_expit(sign * f) @ WEIGHTS)),
            slope=((self.y[:, None] - p) @ WEIGHTS)[:, None],
            curvature=((p * (1.0 - p)) @ WEIGHTS)[:, None],
        )


@dataclass(frozen=True)
class SoftmaxSites(_WithoutParameters):
    """Several classes: p(y = c | f) = exp(f_c) / sum exp(f), as GPflow's ``Softmax``."""

    y: np.ndarray
    """0 to C - 1, [N]."""
    num_classes: int

    def expectations(self, mean: np.ndarray, variance: np.ndarray) -> Expectations:
        """By the mean over quasi-random points, the same points in every call."""
        points = normal_points(_DRAWS, self.num_classes)
        total, slope, curvature = 0.0, np.empty_like(mean), np.empty_like(mean)
        for rows in row_slices(len(mean), max(_NUMBERS_AT_ONCE // points.size, 1)):
            f = mean[rows, None, :] + np.sqrt(variance[rows, None, :]) * points
            log_p = f - scipy.special.logsumexp(f, axis=2, keepdims=True)
            p = np.exp(log_p)
            one_hot = np.eye(self.num_classes)[self.y[rows]]
            total += float(np.sum(np.mean(log_p, axis=1) * one_hot))
            slope[rows] = one_hot - p.mean(axis=1)
            curvature[rows] = (p * (1.0 - p)).mean(axis=1)
        return Expectations(total, slope, curvature)


@dataclass(frozen=True)
class GaussianSites:
    """Real numbers: p(y | f) = N(f, noise), as GPflow's ``Gaussian``."""

    Y: np.ndarray
    """[N, P]"""
    noise: float
    """The variance of the noise."""

    def expectations(self, mean: np.ndarray, variance: np.ndarray) -> Expectations:
        """In closed form."""
        error = self.Y - mean
        log_density = -0.5 * np.sum(np.log(2 * np.pi * self.noise) + (error**2 + variance) / self.noise)
        return Expectations(float(log_density), error / self.noise, np.full_like(mean, 1.0 / self.noise))

    def updated(self, mean: np.ndarray, variance: np.ndarray) -> "GaussianSites":
        """With the noise at which the bound is largest for these marginals; GPflow's lower limit is 1e-6."""
        return GaussianSites(self.Y, max(float(np.mean((self.Y - mean) ** 2 + variance)), 1.1e-6))
