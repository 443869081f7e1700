r"""
Expectations of a likelihood's log density, and of its derivatives, under Gaussian marginals of f.

For f ~ N(μ, v) the derivatives of E[log p(y | f)] by μ and v are E[∇ log p] and E[∇² log p] / 2 (Bonnet's and Price's
theorems; Opper & Archambeau 2009), so that whatever gives the expectation gives both.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import gpflow
import numpy as np
import tensorflow as tf
from gpflow.likelihoods import Likelihood, MonteCarloLikelihood, Ordinal, Softmax

from .._chunks import row_slices
from .._quadrature import normal_points

_DRAWS = 64  # with their mirror images twice as many
_DRAWS_AT_ONCE = 16
# Derivatives by a variance that is smaller than this would be lost in rounding.
_SMALLEST_VARIANCE = {np.dtype(np.float64): 1e-8, np.dtype(np.float32): 1e-4}
_FAR_LEFT = 1e-3  # GPflow's normal distribution function at minus infinity, which keeps probabilities away from 0


class Expectations(NamedTuple):
    """Expectations for n rows and C latent processes."""

    log_density: tf.Tensor
    """E[log p(y | f)] of each row, [n]."""
    slope: tf.Tensor
    """E[∇ log p], [n, C]."""
    curvature: tf.Tensor
    """−E[∇² log p], its diagonal, [n, C]: negative where the log density is not concave."""


def check_likelihood(likelihood: Likelihood) -> None:
    """:raises TypeError: for a likelihood whose expectations GPflow finds only by random draws, except ``Softmax``."""
    if isinstance(likelihood, MonteCarloLikelihood) and not isinstance(likelihood, Softmax):
        raise TypeError(
            "model.likelihood must have expectations in closed form or by quadrature, got "
            f"{type(likelihood).__name__}, for which GPflow draws random numbers: take gpflow.likelihoods.Softmax, or "
            "train the model by train(...)."
        )


def expectations(
    likelihood: Likelihood, X: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, Y: tf.Tensor
) -> Expectations:
    """
    The expectations under marginals N(mean, variance) of f.

    :param X: rows [n, W], for likelihoods that depend on them.
    :param mean: [n, C].
    :param variance: [n, C], not negative.
    :param Y: [n, P].
    """
    if isinstance(likelihood, Softmax):
        return _of_softmax(mean, variance, Y)
    variance = tf.maximum(variance, _SMALLEST_VARIANCE[np.dtype(variance.dtype.as_numpy_dtype)])
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch((mean, variance))
        log_density = expected_log_density(likelihood, X, mean, variance, Y)
    slope, by_variance = tape.gradient(log_density, (mean, variance))
    return Expectations(log_density, slope, -2.0 * by_variance)


def compiled_expectations(likelihood: Likelihood) -> Callable[..., Expectations]:
    """:func:`expectations` as a TensorFlow function of X, mean, variance and Y."""
    return tf.function(partial(expectations, likelihood), autograph=False)


def expected_log_density(
    likelihood: Likelihood, X: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, Y: tf.Tensor
) -> tf.Tensor:
    """
    E[log p(y | f)] of each row, [n], which can be differentiated; the arguments are those of :func:`expectations`.

    It is GPflow's, in closed form or by quadrature, but for ``Softmax``, for which GPflow draws random numbers, and
    for ``Ordinal``, whose log density is NaN in GPflow for the first and the last class.
    """
    if isinstance(likelihood, Softmax):
        log_p = _softmax_draws(mean, variance, normal_points(_DRAWS, mean.shape[1]))
        return tf.reduce_sum(tf.reduce_mean(log_p, axis=0) * _one_hot(Y, mean), axis=1)
    if isinstance(likelihood, Ordinal):
        found = likelihood.quadrature(lambda f, Y: _ordinal_log_density(likelihood, f, Y), mean, variance, Y=Y)
        return tf.reduce_sum(found, axis=-1)
    return likelihood.variational_expectations(X, mean, variance, Y)


def _of_softmax(mean: tf.Tensor, variance: tf.Tensor, Y: tf.Tensor) -> Expectations:
    """By the mean over quasi-random points, the same in every call, a part of them at a time."""
    points = normal_points(_DRAWS, mean.shape[1])
    one_hot = _one_hot(Y, mean)
    log_p, p, squares = 0.0, 0.0, 0.0
    for rows in row_slices(len(points), _DRAWS_AT_ONCE):
        drawn = _softmax_draws(mean, variance, points[rows])
        log_p += tf.reduce_sum(drawn, axis=0)
        drawn = tf.exp(drawn)
        p += tf.reduce_sum(drawn, axis=0)
        squares += tf.reduce_sum(tf.square(drawn), axis=0)
    count = tf.cast(len(points), mean.dtype)
    return Expectations(tf.reduce_sum(log_p * one_hot, axis=1) / count, one_hot - p / count, (p - squares) / count)


def _softmax_draws(mean: tf.Tensor, variance: tf.Tensor, points: np.ndarray) -> tf.Tensor:
    """log softmax(f) at draws of f, [draws, n, C]."""
    f = mean + tf.sqrt(variance) * tf.constant(points[:, None, :], mean.dtype)
    return tf.nn.log_softmax(f)


def _one_hot(Y: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    return tf.one_hot(tf.cast(Y[:, 0], tf.int32), mean.shape[1], dtype=mean.dtype)


def _ordinal_log_density(likelihood: Ordinal, f: tf.Tensor, Y: tf.Tensor) -> tf.Tensor:
    """GPflow's log density at f [..., n, C], but with the limits of the distribution function at infinite edges."""
    edges = tf.cast(likelihood.bin_edges, f.dtype)
    inner = gpflow.likelihoods.utils.inv_probit((edges - f[..., None]) / likelihood.sigma)
    ends = tf.ones_like(inner[..., :1])
    steps = tf.concat([_FAR_LEFT * ends, inner, (1.0 - _FAR_LEFT) * ends], axis=-1)
    which = tf.one_hot(tf.cast(Y, tf.int32), likelihood.num_bins, dtype=f.dtype)
    return tf.math.log(tf.reduce_sum((steps[..., 1:] - steps[..., :-1]) * which, axis=-1) + 1e-6)
