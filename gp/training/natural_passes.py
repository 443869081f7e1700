r"""
Passes over a training set, each of which finds where a natural-gradient step of q(u) leads.

With whitened features φ, q(v) = N(m, Λ⁻¹) with Λ = I + G, f has the mean φᵀ m (plus the mean function) and the variance
k(x, x) − \|φ\|² + φᵀ Λ⁻¹ φ. Let s_i = E[∇ log p(y_i | f_i)] and β_i = −E[∇² log p(y_i | f_i)]. A step of length ρ is

.. math:: G ← (1 − ρ) G + ρ \sum_i β_i φ_i φ_i^\top, \qquad m ← m + ρ Λ^{-1} \Bigl(\sum_i s_i φ_i − m\Bigr)

with the new Λ: the sites of Khan & Lin (2017), summed over the rows, so that their memory does not grow with them. A
pass gives the bound and both sums, and from these a step of any length follows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
import tensorflow as tf
from gpflow.config import default_float
from gpflow.models import SVGP

from .expectations import Expectations
from .feature_maps import Block, Blocks
from .latents import Latents


@dataclass(frozen=True)
class NaturalState:
    """q(u) of all latent processes, whitened."""

    m: np.ndarray
    """The means, [M, C]."""
    G: np.ndarray
    """Λ − I for each latent process, or for all of them together: [C or 1, M, M]. Only the lower triangles are read."""

    @classmethod
    def prior(cls, num_features: int, num_latents: int, num_covariances: int) -> "NaturalState":
        """Where nothing has been seen."""
        return cls(np.zeros((num_features, num_latents)), np.zeros((num_covariances, num_features, num_features)))

    @cached_property
    def factors(self) -> list[np.ndarray]:
        """
        T with Λ⁻¹ = Tᵀ T for each of G, lower triangular.

        :raises np.linalg.LinAlgError: where Λ is not positive definite.
        """
        return [inverse_factor(G) for G in self.G]


@dataclass(frozen=True)
class Look:
    """What a pass sees at a state."""

    elbo: float
    """The bound, in nats."""
    slopes: np.ndarray
    """The sum over rows of s φ, [M, C]."""
    curvatures: np.ndarray
    """The sum over rows of β φ φᵀ, [C or 1, M, M], in the lower triangles."""
    steepest: np.ndarray | None
    """Where all latent processes share a covariance, the same for the largest β of each row, [M, M]."""
    was_clipped: bool
    """Whether a negative β was taken for 0."""


class Passes:
    """Passes over the rows of a training set, in blocks, for a model as it is when this is made."""

    def __init__(
        self,
        model: SVGP,
        expected: Callable[..., Expectations],
        latents: Sequence[Latents],
        blocks: Sequence[Blocks],
        *,
        shared_covariance: bool,
    ) -> None:
        """
        :param model: its mean function is used.
        :param expected: gives the likelihood's expectations for X, mean, variance and Y.
        :param latents: its latent processes.
        :param blocks: the features of all rows, for each of ``latents``.
        :param shared_covariance: whether all latent processes have one covariance. They must then share features.
        """
        self._model, self._latents, self._blocks = model, latents, blocks
        self._expected, self._is_shared = expected, shared_covariance

    def __call__(self, state: NaturalState, *, scale: float = 1.0, single: bool = False, clip: bool = True) -> Look:
        """
        One pass.

        :param scale: what each row counts for.
        :param single: whether to multiply matrices in float32, which takes half the time.
        :param clip: whether to take a negative β for 0, so that every step leads to a covariance.
        """
        dtype = np.float32 if single else np.float64
        divergence = _divergence(state)
        factors = [np.asarray(factor, dtype) for factor in state.factors]
        elbo, slopes = 0.0, np.zeros_like(state.m)
        curvatures = [np.zeros(G.shape, dtype, order="F") for G in state.G]
        steepest = np.zeros(state.G.shape[1:], dtype, order="F") if self._is_shared else None
        was_clipped = False
        for parts in self._together():
            X, Y = parts[0].X, parts[0].Y
            transposed = [np.asarray(part.phi.T, dtype) for part in parts]  # [M, n] by columns
            mean, variance = self._marginals(state, factors, parts, transposed)
            floats = (tf.constant(part.astype(default_float())) for part in (mean, variance))
            log_density, slope, curvature = (
                part.numpy().astype(float) for part in self._expected(tf.constant(X), *floats, tf.constant(Y))
            )
            elbo += scale * float(np.sum(log_density))
            if clip:
                was_clipped |= bool((curvature < 0.0).any())
                curvature = np.maximum(curvature, 0.0)
            for latents, part, phi in zip(self._latents, parts, transposed, strict=True):
                columns = latents.columns
                slopes[:, columns] += scale * (part.phi.T @ slope[:, columns])
                if steepest is not None:
                    _add_squares(curvatures[0], phi, scale * curvature.mean(axis=1))
                    _add_squares(steepest, phi, scale * np.maximum(curvature, 0.0).max(axis=1))
                else:
                    for c in range(columns.start, columns.stop):
                        _add_squares(curvatures[c], phi, scale * curvature[:, c])
        summed = np.stack(curvatures).astype(float, copy=False)
        return Look(
            elbo - divergence, slopes, summed, None if steepest is None else steepest.astype(float), was_clipped
        )

    def marginals(self, state: NaturalState) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of f at all rows, [N, C] each."""
        found = [
            self._marginals(state, state.factors, parts, [part.phi.T for part in parts]) for parts in self._together()
        ]
        mean, variance = zip(*found, strict=True)
        return np.concatenate(mean), np.concatenate(variance)

    def _together(self) -> Iterator[tuple[Block, ...]]:
        """The blocks of the same rows, one for each group of latent processes."""
        return zip(*self._blocks, strict=True)

    def _marginals(
        self,
        state: NaturalState,
        factors: Sequence[np.ndarray],
        parts: Sequence[Block],
        transposed: Sequence[np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Mean and variance of f at the rows of a block, [n, C] each.

        :param factors: those of the state, in the dtype of the products.
        :param transposed: the features of each part, [M, n], in this dtype.
        """
        X, num_latents = parts[0].X, state.m.shape[1]
        mean, variance = np.empty((len(X), num_latents)), np.empty((len(X), num_latents))
        for latents, part, of_columns, blocks in zip(self._latents, parts, transposed, self._blocks, strict=True):
            columns, phi = latents.columns, part.phi
            mean[:, columns] = phi @ state.m[:, columns]
            left_out = np.maximum(blocks.prior_variance(part) - np.sum(np.square(phi), axis=1), 0.0)
            for c in range(columns.start, columns.start + 1 if self._is_shared else columns.stop):
                explained = np.sum(np.square(_lower_times(factors[c], of_columns)), axis=0)
                variance[:, columns if self._is_shared else slice(c, c + 1)] = (left_out + explained)[:, None]
        return mean + self._model.mean_function(tf.constant(X)).numpy(), variance


def moved(state: NaturalState, look: Look, step: float) -> NaturalState:
    """
    The state that a step of this length leads to.

    :raises np.linalg.LinAlgError: where that is none, for its precision is not positive definite.
    """
    part = min(step, 1.0)
    to = NaturalState(state.m.copy(), (1.0 - part) * state.G + part * look.curvatures)
    uphill = look.slopes - state.m
    if look.steepest is not None:  # a smaller curvature than a process has would make its mean go too far
        factor = inverse_factor(look.steepest)
        to.m[:] += step * (factor.T @ (factor @ uphill))
    else:
        for c, factor in enumerate(to.factors):
            to.m[:, c] += step * (factor.T @ (factor @ uphill[:, c]))
    return to


def inverse_factor(G: np.ndarray) -> np.ndarray:
    """
    The inverse of the lower Cholesky factor of I + G, [M, M].

    :raises np.linalg.LinAlgError: where I + G is not positive definite.
    """
    precision = np.array(G, order="F")
    precision[np.diag_indices_from(precision)] += 1.0
    factor, info = scipy.linalg.lapack.dpotrf(precision, lower=1, clean=1, overwrite_a=1)
    if info:
        raise np.linalg.LinAlgError("the precision of q(u) is not positive definite")
    return scipy.linalg.lapack.dtrtri(factor, lower=1, overwrite_c=1)[0]


def _divergence(state: NaturalState) -> float:
    """KL[q(v) || N(0, I)] of all latent processes."""
    num_each = state.m.shape[1] // len(state.factors)
    of_covariances = sum(
        float(np.sum(np.square(T))) - len(T) - 2.0 * float(np.sum(np.log(np.diag(T)))) for T in state.factors
    )
    return 0.5 * (num_each * of_covariances + float(np.sum(np.square(state.m))))


def _lower_times(factor: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """T φ for a lower triangle T, [M, n]: half the work of a product."""
    multiply = scipy.linalg.blas.strmm if phi.dtype == np.float32 else scipy.linalg.blas.dtrmm
    return multiply(1.0, factor, phi, lower=1)


def _add_squares(total: np.ndarray, phi: np.ndarray, weights: np.ndarray) -> None:
    """Adds the weighted sum of φ φᵀ to the lower triangle of ``total``, [M, M] by columns."""
    multiply = scipy.linalg.blas.ssyrk if phi.dtype == np.float32 else scipy.linalg.blas.dsyrk
    for sign in (1.0, -1.0):
        some = phi if (sign * weights > 0.0).all() else phi[:, sign * weights > 0.0]
        if some.shape[1]:
            roots = np.sqrt(np.abs(weights[sign * weights > 0.0])).astype(phi.dtype)
            multiply(sign, np.multiply(some, roots, order="F"), beta=1.0, c=total, lower=1, overwrite_c=1)
