"""The likelihoods of the estimators: what their sites need, and class probabilities without random numbers."""

from dataclasses import dataclass
from typing import Any

import gpflow
import numpy as np
import scipy.special
import scipy.stats
import tensorflow as tf
from check_shapes import inherit_check_shapes
from gpflow.base import TensorType

from .closed_form import Expectations

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(20)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_FIT_DRAWS = 64
_PREDICTION_DRAWS = 512
_NUMBERS_AT_ONCE = 4_000_000  # 32 MB


@dataclass(frozen=True)
class LogisticSites:
    """Two classes: p(y = 1 | f) = 1 / (1 + exp(−f)), gpflow's ``Bernoulli(tf.sigmoid)``."""

    y: np.ndarray
    """0 or 1, [N]."""

    def expectations(self, mean: np.ndarray, variance: np.ndarray) -> Expectations:
        """By Gauss-Hermite quadrature."""
        f = mean + np.sqrt(variance) * _NODES
        sign = np.where(self.y == 1, 1.0, -1.0)[:, None]
        p = scipy.special.expit(f)
        return Expectations(
            log_density=float(np.sum(scipy.special.log_expit(sign * f) @ _WEIGHTS)),
            slope=((self.y[:, None] - p) @ _WEIGHTS)[:, None],
            curvature=((p * (1.0 - p)) @ _WEIGHTS)[:, None],
        )

    def updated(self, mean: np.ndarray, variance: np.ndarray) -> "LogisticSites":
        """Itself: there are no parameters."""
        return self


@dataclass(frozen=True)
class SoftmaxSites:
    """More classes: p(y = c | f) = exp(f_c) / sum exp(f), gpflow's ``Softmax``, at quasi-random points."""

    y: np.ndarray
    """0 to C - 1, [N]."""
    num_classes: int

    def expectations(self, mean: np.ndarray, variance: np.ndarray) -> Expectations:
        """By the mean over a fixed set of points, the same in every call."""
        draws = normal_points(_FIT_DRAWS, self.num_classes)
        total, slope, curvature = 0.0, np.empty_like(mean), np.empty_like(mean)
        for rows in _row_blocks(len(mean), draws.size):
            f = mean[rows, None, :] + np.sqrt(variance[rows, None, :]) * draws
            log_p = f - scipy.special.logsumexp(f, axis=2, keepdims=True)
            p = np.exp(log_p)
            one_hot = np.eye(self.num_classes)[self.y[rows]]
            total += float(np.sum(np.mean(log_p, axis=1) * one_hot))
            slope[rows] = one_hot - p.mean(axis=1)
            curvature[rows] = (p * (1.0 - p)).mean(axis=1)
        return Expectations(total, slope, curvature)

    def updated(self, mean: np.ndarray, variance: np.ndarray) -> "SoftmaxSites":
        """Itself: there are no parameters."""
        return self


@dataclass(frozen=True)
class GaussianSites:
    """Real numbers: p(y | f) = N(f, noise), gpflow's ``Gaussian``."""

    Y: np.ndarray
    """[N, P]"""
    noise: float

    def expectations(self, mean: np.ndarray, variance: np.ndarray) -> Expectations:
        """In closed form."""
        error = self.Y - mean
        log_density = -0.5 * np.sum(np.log(2 * np.pi * self.noise) + (error**2 + variance) / self.noise)
        return Expectations(float(log_density), error / self.noise, np.full_like(mean, 1.0 / self.noise))

    def updated(self, mean: np.ndarray, variance: np.ndarray) -> "GaussianSites":
        """With the noise at which the bound is largest for these marginals; gpflow's lower limit is 1e-6."""
        return GaussianSites(self.Y, max(float(np.mean((self.Y - mean) ** 2 + variance)), 1.1e-6))


def softmax_probabilities(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """E[softmax(f)] of Gaussian marginals [N, C], the same in every call."""
    draws = normal_points(_PREDICTION_DRAWS, mean.shape[1])
    out = np.empty_like(mean)
    for rows in _row_blocks(len(mean), draws.size):
        f = mean[rows, None, :] + np.sqrt(variance[rows, None, :]) * draws
        out[rows] = scipy.special.softmax(f, axis=2).mean(axis=1)
    return out / out.sum(axis=1, keepdims=True)


def logistic_probabilities(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """[N, 2] from marginals [N, 1], by quadrature."""
    p = scipy.special.expit(mean + np.sqrt(variance) * _NODES) @ _WEIGHTS
    return np.stack([1.0 - p, p], axis=1)


def normal_points(count: int, dimension: int) -> np.ndarray:
    """Points [2 * count, dimension] that stand for a standard normal distribution: Sobol's, and their mirror images."""
    uniform = scipy.stats.qmc.Sobol(dimension, scramble=True, seed=0).random(count)
    points = scipy.special.ndtri(np.clip(uniform, 1e-12, 1 - 1e-12))
    return np.concatenate([points, -points])


def _row_blocks(num_rows: int, numbers_a_row: int) -> list[slice]:
    size = max(_NUMBERS_AT_ONCE // numbers_a_row, 1)
    return [slice(start, start + size) for start in range(0, num_rows, size)]


class LogisticBernoulli(gpflow.likelihoods.Bernoulli):
    """gpflow's ``Bernoulli(tf.sigmoid)``, whose logarithm is finite where the probability rounds to 0 (f beyond 37)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(invlink=tf.sigmoid, **kwargs)

    @inherit_check_shapes
    def _scalar_log_prob(self, X: TensorType, F: TensorType, Y: TensorType) -> tf.Tensor:
        return -tf.math.softplus(tf.where(tf.equal(Y, 1), -F, F))
