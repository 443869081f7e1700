r"""
The bound as a function of the hyperparameters, where the sites are held.

At q(u), row i has for each latent process the site exp(λ f − β f²/2), with β = −E[∇² log p] and
λ = E[∇ log p] + β E[f]. For other hyperparameters the same sites give another q(u), and with it a bound that can be
differentiated; it is flatter and higher than the bound of a q(u) that is held itself (Adam, Chang, Khan & Solin 2021).
All latent processes that share features take the mean of their β, so that there is one matrix to factorise.

Where several processes share the rows, each has the sites of its own. What they add up for a bound and its gradient is
Φᵀ diag(β) Φ and Φᵀ λ, and the derivatives by these.
"""

import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
import tensorflow as tf
from gpflow.config import default_float
from gpflow.models import SVGP

from .expectations import expectations, expected_log_density
from .latents import Latents
from .workers import Alone

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


class _OwnRows(NamedTuple):
    """What the rows of a process give latent processes that share features."""

    phi: tf.Tensor
    """Their features, [M, n]."""
    left_out: tf.Tensor
    """What these leave out of k(x, x), [n]."""
    offset: tf.Tensor
    """The mean function, [n, C]."""
    gram: tf.Tensor
    """Their part of G, [M, M]."""
    projected: tf.Tensor
    """Their part of Φᵀ λ, [M, C]."""


class _Posterior(NamedTuple):
    """q(u) of latent processes that share features, at the sites that are held."""

    factor: tf.Tensor
    """The Cholesky factor of I + G."""
    m: tf.Tensor
    """The whitened means, [M, C]."""


def _own_rows(model: SVGP, latents: Sequence[Latents], sites: HeldSites) -> list[_OwnRows]:
    offset = tf.broadcast_to(tf.cast(model.mean_function(sites.X), tf.float64), sites.lam.shape)
    found = []
    for each in latents:
        phi = each.whitened(sites.X, each.prior_factor())
        left_out = tf.maximum(each.prior_variance(sites.X) - tf.reduce_sum(tf.square(phi), axis=0), 0.0)
        beta = sites.beta[:, each.columns.start]
        gram = tf.matmul(phi * (sites.scale * beta), phi, transpose_b=True)
        lam = sites.lam[:, each.columns] - beta[:, None] * offset[:, each.columns]
        found.append(_OwnRows(phi, left_out, offset[:, each.columns], gram, sites.scale * tf.matmul(phi, lam)))
    return found


def _sums(own: Sequence[_OwnRows]) -> list[tf.Tensor]:
    """What is to be added up over all processes."""
    return [part for rows in own for part in (rows.gram, rows.projected)]


def _posteriors(totals: Sequence[tf.Tensor]) -> list[_Posterior]:
    """q(u) from the totals of :func:`_sums`."""
    found = []
    for gram, projected in zip(totals[::2], totals[1::2], strict=True):
        factor = tf.linalg.cholesky(gram + tf.eye(gram.shape[0], dtype=tf.float64))
        found.append(_Posterior(factor, tf.linalg.cholesky_solve(factor, projected)))
    return found


def _own_bound(
    model: SVGP,
    latents: Sequence[Latents],
    sites: HeldSites,
    own: Sequence[_OwnRows],
    totals: Sequence[tf.Tensor],
    *,
    is_chief: bool,
) -> tf.Tensor:
    """The part of the bound by a process' rows, and in the first process what does not belong to single rows."""
    means, variances, divergence = [], [], tf.constant(0.0, tf.float64)
    for each, rows, q in zip(latents, own, _posteriors(totals), strict=True):
        squares = tf.reduce_sum(tf.square(tf.linalg.triangular_solve(q.factor, rows.phi)), axis=0)  # φᵀ Λ⁻¹ φ
        num_columns = q.m.shape[1]
        means.append(tf.matmul(rows.phi, q.m, transpose_a=True) + rows.offset)
        variances.append(tf.repeat((rows.left_out + squares)[:, None], num_columns, axis=1))
        weights = sites.scale * sites.beta[:, each.columns.start]
        of_covariance = -tf.reduce_sum(weights * squares)  # tr Λ⁻¹ − M is −tr Λ⁻¹ G
        if is_chief:
            of_covariance += 2.0 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(q.factor)))
            divergence += 0.5 * tf.reduce_sum(tf.square(q.m))
        divergence += 0.5 * num_columns * of_covariance
    mean, variance = (tf.cast(tf.concat(parts, axis=1), default_float()) for parts in (means, variances))
    log_density = expected_log_density(model.likelihood, sites.X, mean, variance, sites.Y)
    found = sites.scale * tf.reduce_sum(tf.cast(log_density, tf.float64)) - divergence
    return found + tf.cast(model.log_prior_density(), tf.float64) if is_chief else found


def bound(model: SVGP, latents: Sequence[Latents], sites: HeldSites) -> tf.Tensor:
    """The bound for the model's present hyperparameters, in nats: a scalar in float64 that can be differentiated."""
    own = _own_rows(model, latents, sites)
    return _own_bound(model, latents, sites, own, _sums(own), is_chief=True)


def maximize(
    model: SVGP,
    variables: Sequence[tf.Variable],
    latents: Sequence[Latents],
    sites: HeldSites,
    num_evaluations: int,
    workers: Alone,
    report: Callable[[int, float], None],
) -> None:
    """
    Set hyperparameters to where :func:`bound` is largest, by L-BFGS.

    The first process searches, and all of them evaluate where it says.

    :param variables: the hyperparameters.
    :param sites: of the rows of this process.
    :param num_evaluations: the largest number of evaluations of the bound, each with its gradient.
    :param workers: the processes that share the rows.
    :param report: called after each evaluation, in all processes, with its number and the bound, or NaN where there is
        none.
    """
    shapes = [variable.shape.as_list() for variable in variables]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    num_rows = float(workers.total(np.int64(len(sites.X)))) * sites.scale
    numbers = itertools.count(1)

    # Outside the graphs, an error in one process is told to the others, which would wait for its sums within them.
    own_rows = tf.function(lambda: _own_rows(model, latents, sites), autograph=False)
    own_bound = tf.function(
        lambda own, totals: _own_bound(model, latents, sites, own, totals, is_chief=workers.is_chief), autograph=False
    )

    def assign(x: np.ndarray) -> None:
        for variable, part, shape in zip(variables, np.split(x, ends[:-1]), shapes, strict=True):
            variable.assign(part.reshape(shape).astype(variable.dtype.as_numpy_dtype))

    def loss_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        assign(x)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            own = _attempted(workers, own_rows)
            value = None
            if own is not None:
                value = _attempted(workers, own_bound, own, workers.differentiable_totals(_sums(own)))
        if value is None:
            return _REFUSED, np.zeros_like(x)
        parts = tape.gradient(value, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        flat = np.concatenate([tf.convert_to_tensor(part).numpy().ravel() for part in parts]).astype(float)
        total, gradient = workers.totals([value.numpy(), flat])
        if not (np.isfinite(total) and np.isfinite(gradient).all()):
            return _REFUSED, np.zeros_like(x)
        return -float(total) / num_rows, -gradient / num_rows

    def searched(x: Sequence[float]) -> tuple[float, np.ndarray]:
        found = loss_and_gradient(np.asarray(x))
        report(next(numbers), -found[0] * num_rows if found[0] < _REFUSED else np.nan)
        return found

    best = None
    if workers.is_chief:
        start = np.concatenate([variable.numpy().ravel() for variable in variables]).astype(float)
        found = scipy.optimize.minimize(
            lambda x: searched(workers.from_chief(x.tolist())),
            start,
            jac=True,
            method="L-BFGS-B",
            options={"maxfun": num_evaluations},
        )
        workers.from_chief(None)  # there is nothing more to evaluate
        best = (found.x if found.fun < _REFUSED else start).tolist()
    else:
        while (x := workers.from_chief(None)) is not None:
            searched(x)
    assign(np.asarray(workers.from_chief(best)))


def _attempted(workers: Alone, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns; None where, in one of the processes, a kernel overflows or a matrix has no factor."""
    found = None
    with workers.together(), contextlib.suppress(tf.errors.InvalidArgumentError):
        found = function(*arguments)
    return None if workers.any(found is None) else found
