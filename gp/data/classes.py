"""
Classes: how many a likelihood has, and how probable each of them is.

:func:`class_probabilities` asks one of GPflow's likelihoods, of any kind. :func:`logistic_or_softmax_probabilities`
needs no likelihood and no random numbers, for the two links that the estimators use.
"""

from typing import Any

import numpy as np
import scipy.special
import tensorflow as tf
import tensorflow_probability as tfp
from check_shapes import inherit_check_shapes
from gpflow.base import TensorType
from gpflow.likelihoods import Bernoulli, Likelihood, Ordinal

from .._chunks import row_slices
from .._quadrature import NODES, WEIGHTS, normal_points

_DRAWS = 512
_NUMBERS_AT_ONCE = 4_000_000  # 32 MB


class LogisticBernoulli(Bernoulli):
    """GPflow's ``Bernoulli(tf.sigmoid)``, with a log density that stays finite where the probability rounds to 0."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(invlink=tf.sigmoid, **kwargs)

    @inherit_check_shapes
    def _scalar_log_prob(self, X: TensorType, F: TensorType, Y: TensorType) -> tf.Tensor:
        return -tf.math.softplus(tf.where(tf.equal(Y, 1), -F, F))


def num_classes(likelihood: Likelihood) -> int | None:
    """How many classes a likelihood has, numbered from 0; None where y is not a class."""
    if isinstance(likelihood, Bernoulli):
        return 2
    if isinstance(likelihood, Ordinal):
        return int(likelihood.num_bins)
    return getattr(likelihood, "num_classes", None)


def class_probabilities(likelihood: Likelihood, X: tf.Tensor, f_mean: tf.Tensor, f_var: tf.Tensor) -> tf.Tensor:
    """
    p(y = c | x) under one of GPflow's likelihoods with classes, given the marginals of f.

    Some likelihoods (``Softmax``) draw random numbers for this.

    :param X: inputs [N, ...].
    :param f_mean: means of f at them, [N, latents].
    :param f_var: variances of f at them, [N, latents].
    :return: [N, classes].
    """
    if isinstance(likelihood, Ordinal):
        # y <= c where f plus Gaussian noise of scale sigma is below edge c.
        edges = tf.convert_to_tensor(likelihood.bin_edges, f_mean.dtype)
        below = tfp.distributions.Normal(f_mean, tf.sqrt(f_var + likelihood.sigma**2)).cdf(edges)  # [N, classes - 1]
        return tf.concat([below, tf.ones_like(f_mean)], -1) - tf.concat([tf.zeros_like(f_mean), below], -1)
    mean, _ = likelihood.predict_mean_and_var(X, f_mean, f_var)
    return tf.concat([1 - mean, mean], axis=-1) if isinstance(likelihood, Bernoulli) else mean


def logistic_or_softmax_probabilities(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """
    p(y = c | x) from the marginals of f, the same in every call: nothing is drawn at random.

    One latent process stands for two classes with a logistic link, E[1 / (1 + exp(−f))] being the second class's
    probability; several stand for a class each with a softmax link, E[exp(f_c) / sum exp(f)].

    :param mean: means of f, [N, C].
    :param variance: variances of f, [N, C].
    :return: [N, 2] for C = 1, else [N, C].
    """
    if mean.shape[1] == 1:
        p = scipy.special.expit(mean + np.sqrt(variance) * NODES) @ WEIGHTS
        return np.stack([1.0 - p, p], axis=1)
    points = normal_points(_DRAWS, mean.shape[1])
    out = np.empty_like(mean)
    for rows in row_slices(len(mean), max(_NUMBERS_AT_ONCE // points.size, 1)):
        f = mean[rows, None, :] + np.sqrt(variance[rows, None, :]) * points
        out[rows] = scipy.special.softmax(f, axis=2).mean(axis=1)
    return out / out.sum(axis=1, keepdims=True)
