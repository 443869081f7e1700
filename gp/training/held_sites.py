r"""
The bound as a function of the hyperparameters, where the sites are held.

At q(u), row i has for each latent process the site exp(λ f − β f²/2), with β = −E[∇² log p] and
λ = E[∇ log p] + β E[f]. For other hyperparameters the same sites give another q(u), and with it a bound that can be
differentiated; it is flatter and higher than the bound of a q(u) that is held itself (Adam, Chang, Khan & Solin 2021).
All latent processes that share features take the mean of their β, so that there is one matrix to factorise.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.optimize
import tensorflow as tf
from gpflow.config import default_float
from gpflow.models import SVGP

from .expectations import expectations, expected_log_density
from .latents import Latents
from .natural_state import NaturalState

_REFUSED = 1e10  # nats a row: what the search takes for a bound that is not a number


@dataclass(frozen=True)
class HeldSites:
    """Some rows with their sites."""

    X: tf.Tensor
    Y: tf.Tensor
    lam: tf.Tensor
    """λ, [n, C]."""
    beta: tf.Tensor
    """β, [n, C]."""
    scale: float
    """How many rows of the training set each of these stands for."""

    @classmethod
    def at(
        cls,
        model: SVGP,
        latents: Sequence[Latents],
        X: np.ndarray,
        Y: np.ndarray,
        mean: np.ndarray,
        variance: np.ndarray,
        scale: float,
    ) -> "HeldSites":
        """The sites where f has this mean and variance, [n, C]."""
        rows, outputs = tf.constant(X), tf.constant(Y)
        at_mean, at_variance = (tf.constant(part.astype(default_float())) for part in (mean, variance))
        found = expectations(model.likelihood, rows, at_mean, at_variance, outputs)
        slope, curvature = (part.numpy().astype(float) for part in (found.slope, found.curvature))
        beta = np.empty_like(curvature)
        for each in latents:
            beta[:, each.columns] = np.maximum(curvature[:, each.columns], 0.0).mean(axis=1, keepdims=True)
        return cls(rows, outputs, tf.constant(slope + beta * mean), tf.constant(beta), scale)


class _Posterior(NamedTuple):
    """q(u) of latent processes that share features, at the sites that are held."""

    phi: tf.Tensor
    """Their features, [M, n]."""
    weights: tf.Tensor
    """What β of each row counts, [n]."""
    gram: tf.Tensor
    """G, [M, M]."""
    factor: tf.Tensor
    """The Cholesky factor of I + G."""
    m: tf.Tensor
    """The whitened means, [M, C]."""
    offset: tf.Tensor
    """The mean function, [n, C]."""


def _posterior(model: SVGP, latents: Latents, sites: HeldSites) -> _Posterior:
    phi = latents.whitened(sites.X, latents.prior_factor())
    beta = sites.beta[:, latents.columns.start]
    weights = sites.scale * beta
    gram = tf.matmul(phi * weights, phi, transpose_b=True)
    factor = tf.linalg.cholesky(gram + tf.eye(phi.shape[0], dtype=tf.float64))
    of_all = tf.broadcast_to(tf.cast(model.mean_function(sites.X), tf.float64), sites.lam.shape)
    offset = of_all[:, latents.columns]
    lam = sites.lam[:, latents.columns] - beta[:, None] * offset
    m = tf.linalg.cholesky_solve(factor, sites.scale * tf.matmul(phi, lam))
    return _Posterior(phi, weights, gram, factor, m, offset)


def bound(model: SVGP, latents: Sequence[Latents], sites: HeldSites) -> tf.Tensor:
    """The bound for the model's present hyperparameters, in nats: a scalar in float64 that can be differentiated."""
    means, variances, divergence = [], [], tf.constant(0.0, tf.float64)
    for each in latents:
        q = _posterior(model, each, sites)
        squares = tf.reduce_sum(tf.square(tf.linalg.triangular_solve(q.factor, q.phi)), axis=0)  # φᵀ Λ⁻¹ φ
        left_out = tf.maximum(each.prior_variance(sites.X) - tf.reduce_sum(tf.square(q.phi), axis=0), 0.0)
        num_columns = q.m.shape[1]
        means.append(tf.matmul(q.phi, q.m, transpose_a=True) + q.offset)
        variances.append(tf.repeat((left_out + squares)[:, None], num_columns, axis=1))
        log_determinant = 2.0 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(q.factor)))
        of_covariance = log_determinant - tf.reduce_sum(q.weights * squares)  # tr Λ⁻¹ − M is −tr Λ⁻¹ G
        divergence += 0.5 * (num_columns * of_covariance + tf.reduce_sum(tf.square(q.m)))
    mean, variance = (tf.cast(tf.concat(parts, axis=1), default_float()) for parts in (means, variances))
    log_density = expected_log_density(model.likelihood, sites.X, mean, variance, sites.Y)
    prior = tf.cast(model.log_prior_density(), tf.float64)
    return sites.scale * tf.reduce_sum(tf.cast(log_density, tf.float64)) - divergence + prior


def state_at(model: SVGP, latents: Sequence[Latents], sites: HeldSites, num_covariances: int) -> NaturalState:
    """q(u) at the sites that are held, from which passes over all rows go on."""
    found = [(each, _posterior(model, each, sites)) for each in latents]
    m = np.concatenate([q.m.numpy() for _, q in found], axis=1)
    grams = [q.gram.numpy() for each, q in found for _ in range(each.columns.stop - each.columns.start)]
    return NaturalState(m, np.stack(grams[:num_covariances]))


def maximize(
    model: SVGP,
    variables: Sequence[tf.Variable],
    latents: Sequence[Latents],
    sites: HeldSites,
    num_evaluations: int,
    report: Callable[[int, float], None],
) -> None:
    """
    Set hyperparameters to where :func:`bound` is largest, by L-BFGS.

    :param variables: the hyperparameters.
    :param num_evaluations: the largest number of evaluations of the bound, each with its gradient.
    :param report: called after each evaluation with its number and the bound, or NaN where there is none.
    """
    shapes = [variable.shape.as_list() for variable in variables]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    size = len(sites.X)

    @tf.function(autograph=False)
    def evaluate() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            loss = -bound(model, latents, sites) / (size * sites.scale)
        found = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, [tf.convert_to_tensor(part) for part in found]

    def assign(x: np.ndarray) -> None:
        for variable, part, shape in zip(variables, np.split(x, ends[:-1]), shapes, strict=True):
            variable.assign(part.reshape(shape).astype(variable.dtype.as_numpy_dtype))

    numbers = itertools.count(1)

    def loss_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        found = searched(x)
        report(next(numbers), -found[0] * size * sites.scale if found[0] < _REFUSED else np.nan)
        return found

    def searched(x: np.ndarray) -> tuple[float, np.ndarray]:
        assign(x)
        try:
            loss, gradient = evaluate()
        except tf.errors.InvalidArgumentError:  # a kernel that overflows, or a matrix that has no factor
            return _REFUSED, np.zeros_like(x)
        flat = np.concatenate([part.numpy().ravel() for part in gradient]).astype(float)
        if not (np.isfinite(loss) and np.isfinite(flat).all()):
            return _REFUSED, np.zeros_like(x)
        return float(loss), flat

    start = np.concatenate([variable.numpy().ravel() for variable in variables]).astype(float)
    found = scipy.optimize.minimize(
        loss_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxfun": num_evaluations}
    )
    assign(found.x if found.fun < _REFUSED else start)
