r"""
Passes over a training set, each of which finds where a natural-gradient step of q(u) leads.

With whitened features φ, q(v) = N(m, Λ⁻¹) with Λ = I + G, f has the mean φᵀ m (plus the mean function) and the variance
k(x, x) − \|φ\|² + φᵀ Λ⁻¹ φ. Let s_i = E[∇ log p(y_i | f_i)] and β_i = −E[∇² log p(y_i | f_i)]. A step of length ρ is

.. math:: G ← (1 − ρ) G + ρ \sum_i β_i φ_i φ_i^\top, \qquad m ← m + ρ Λ^{-1} \Bigl(\sum_i s_i φ_i − m\Bigr)

with the new Λ: the sites of Khan & Lin (2017), summed over the rows, so that their memory does not grow with them. A
pass gives the bound and both sums, and from these a step of any length follows.

Where several processes share the rows, each passes over its own, and one sum over the processes, of C M² / 2 numbers
and a few more, gives all of them what a single process sees.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import scipy.linalg
import tensorflow as tf
from gpflow.config import default_float
from gpflow.models import SVGP

from .expectations import Expectations
from .feature_maps import Block, Blocks
from .latents import Latents
from .level_variances import LevelVariances
from .natural_state import Look, NaturalState, divergence
from .workers import Alone


class Passes:
    """Passes over the rows of a training set, in blocks, for a model as it is when this is made."""

    def __init__(
        self,
        model: SVGP,
        expected: Callable[..., Expectations],
        latents: Sequence[Latents],
        blocks: Sequence[Blocks],
        levels: LevelVariances,
        *,
        shared_covariance: bool,
    ) -> None:
        """
        :param model: its mean function is used.
        :param expected: gives the likelihood's expectations for X, mean, variance and Y.
        :param latents: its latent processes.
        :param blocks: the features of all rows, for each of ``latents``, and the processes that share the rows.
        :param levels: its variances of levels that move.
        :param shared_covariance: whether all latent processes have one covariance. They must then share features.
        """
        self._model, self._latents, self._blocks, self._levels = model, latents, blocks, levels
        self._expected, self._is_shared, self._workers = expected, shared_covariance, blocks[0].workers

    def __call__(self, state: NaturalState, *, scale: float = 1.0, single: bool = False, clip: bool = True) -> Look:
        """
        One pass over all rows.

        :param scale: what each row counts for.
        :param single: whether to multiply matrices in float32, which takes half the time.
        :param clip: whether to take a negative β for 0, so that every step leads to a covariance.
        """
        with self._workers.together():
            look = self._own_look(state, scale, np.float32 if single else np.float64, clip)
        look = _total(look, self._workers)
        scales = self._levels.scales(state.ratios)
        return look if scales is None else _scaled(look, scales)

    def _own_look(self, state: NaturalState, scale: float, dtype: type[np.floating], clip: bool) -> Look:
        """
        What a pass over the rows of this process sees, with the features as they are kept.

        The first process counts the divergence, so that all of them have the same bound to the last bit.
        """
        scales = self._levels.scales(state.ratios)
        m, factors = self._as_kept(state, scales)
        factors = [np.asarray(factor, dtype) for factor in factors]
        elbo, slopes, beyond = 0.0, np.zeros_like(state.m), np.zeros(len(self._latents))
        curvatures = [np.zeros(G.shape, dtype, order="F") for G in state.G]
        steepest = np.zeros(state.G.shape[1:], dtype, order="F") if self._is_shared else None
        was_clipped = False
        for parts in self._together():
            transposed: list[np.ndarray] = [np.asarray(part.phi.T, dtype) for part in parts]  # [M, n] by columns
            left_out = self._left_out(parts, state.ratios)
            mean, variance = self._marginals(m, factors, parts, transposed, left_out)
            log_density, slope, curvature = self._expectations(parts[0], mean, variance)
            elbo += scale * float(np.sum(log_density))
            if clip:
                was_clipped |= bool((curvature < 0.0).any())
                curvature = np.maximum(curvature, 0.0)
            for number, (latents, part, phi) in enumerate(zip(self._latents, parts, transposed, strict=True)):
                columns = latents.columns
                slopes[:, columns] += scale * (part.phi.T @ slope[:, columns])
                beyond[number] += scale * np.sum(curvature[:, columns].T @ left_out[number])
                if steepest is not None:
                    _add_squares(curvatures[0], phi, scale * curvature.mean(axis=1))
                    _add_squares(steepest, phi, scale * np.maximum(curvature, 0.0).max(axis=1))
                else:
                    for c in range(columns.start, columns.stop):
                        _add_squares(curvatures[c], phi, scale * curvature[:, c])
        summed = np.stack(curvatures).astype(float, copy=False)
        steepest = None if steepest is None else steepest.astype(float)
        elbo -= divergence(state) if self._workers.is_chief else 0.0
        return Look(elbo, slopes, summed, steepest, beyond, was_clipped)

    def sites(self, state: NaturalState) -> list[tuple[np.ndarray, np.ndarray]]:
        """The sites of the rows of this process, block by block: λ and β as in ``held_sites.py``, [n, C] each."""
        m, factors = self._as_kept(state, self._levels.scales(state.ratios))
        found = []
        for parts in self._together():
            left_out = self._left_out(parts, state.ratios)
            mean, variance = self._marginals(m, factors, parts, [part.phi.T for part in parts], left_out)
            _, slope, curvature = self._expectations(parts[0], mean, variance)
            beta = np.maximum(curvature, 0.0)
            if self._is_shared:
                beta[:] = beta.mean(axis=1, keepdims=True)
            found.append((slope + beta * mean, beta))
        return found

    def state_at(self, sites: Sequence[tuple[np.ndarray, np.ndarray]], *, scale: float = 1.0) -> NaturalState:
        """
        q(u) at sites that are held, for the features as they are now.

        :param sites: as :meth:`sites` has returned them, for other hyperparameters.
        :param scale: what each row counts for.
        """
        with self._workers.together():
            G, projected = self._own_sums(sites, scale)
        (projected,) = _totals(self._workers, list(G), [projected])
        state = NaturalState(np.empty_like(projected), G)
        for c in range(projected.shape[1]):
            factor = state.factors[c // state.num_each]
            state.m[:, c] = factor.T @ (factor @ projected[:, c])
        return state

    def _own_sums(self, sites: Sequence[tuple[np.ndarray, np.ndarray]], scale: float) -> tuple[np.ndarray, np.ndarray]:
        """Φᵀ diag(β) Φ [C or 1, M, M], in the lower triangles, and Φᵀ λ [M, C], over the rows of this process."""
        num_features, num_latents = self._blocks[0].num_features, self._latents[-1].columns.stop
        projected = np.zeros((num_features, num_latents))
        grams = [
            np.zeros((num_features, num_features), order="F") for _ in range(1 if self._is_shared else num_latents)
        ]
        for parts, (lam, beta) in zip(self._together(), sites, strict=True):
            target = scale * (lam - beta * self._model.mean_function(tf.constant(parts[0].X)).numpy())
            for latents, part in zip(self._latents, parts, strict=True):
                columns = latents.columns
                projected[:, columns] += part.phi.T @ target[:, columns]
                for c in range(columns.start, columns.start + 1 if self._is_shared else columns.stop):
                    _add_squares(grams[c], part.phi.T, scale * beta[:, c])
        return np.stack(grams), projected

    def marginals(self, state: NaturalState) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of f at the rows of this process, [n, C] each."""
        m, factors = self._as_kept(state, self._levels.scales(state.ratios))
        found = [
            self._marginals(m, factors, parts, [part.phi.T for part in parts], self._left_out(parts, state.ratios))
            for parts in self._together()
        ]
        mean, variance = zip(*found, strict=True)
        return np.concatenate(mean), np.concatenate(variance)

    def _expectations(self, block: Block, mean: np.ndarray, variance: np.ndarray) -> list[np.ndarray]:
        """The likelihood's expectations at the rows of a block where f has this mean and variance, in float64."""
        floats = (tf.constant(part.astype(default_float())) for part in (mean, variance))
        found = self._expected(tf.constant(block.X), *floats, tf.constant(block.Y))
        return [part.numpy().astype(float) for part in found]

    def _as_kept(self, state: NaturalState, scales: np.ndarray | None) -> tuple[np.ndarray, list[np.ndarray]]:
        """The means and factors of a state for features with the variances of levels that the model has."""
        if scales is None:
            return state.m, state.factors
        return state.m * scales, [T * scales[:, c * state.num_each] for c, T in enumerate(state.factors)]

    def _left_out(self, parts: Sequence[Block], ratios: np.ndarray) -> list[np.ndarray]:
        """What the features of each part leave out of k(x, x), [n] each."""
        found = []
        for levels, part, blocks in zip(self._levels.groups, parts, self._blocks, strict=True):
            left_out = np.maximum(blocks.prior_variance(part) - np.sum(np.square(part.phi), axis=1), 0.0)
            found.append(left_out if levels is None else ratios[levels.of_rest] * left_out)
        return found

    def _together(self) -> Iterator[tuple[Block, ...]]:
        """The blocks of the same rows, one for each group of latent processes."""
        return zip(*self._blocks, strict=True)

    def _marginals(
        self,
        m: np.ndarray,
        factors: Sequence[np.ndarray],
        parts: Sequence[Block],
        transposed: Sequence[np.ndarray],
        left_out: Sequence[np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Mean and variance of f at the rows of a block, [n, C] each.

        :param m: the means of q(v), [M, C].
        :param factors: T of each covariance, in the dtype of the products.
        :param transposed: the features of each part, [M, n], in this dtype.
        :param left_out: what they leave out of k(x, x).
        """
        X, num_latents = parts[0].X, m.shape[1]
        mean, variance = np.empty((len(X), num_latents)), np.empty((len(X), num_latents))
        for latents, part, of_columns, rest in zip(self._latents, parts, transposed, left_out, strict=True):
            columns = latents.columns
            mean[:, columns] = part.phi @ m[:, columns]
            for c in range(columns.start, columns.start + 1 if self._is_shared else columns.stop):
                explained = np.sum(np.square(_lower_times(factors[c], of_columns)), axis=0)
                variance[:, columns if self._is_shared else slice(c, c + 1)] = (rest + explained)[:, None]
        return mean + self._model.mean_function(tf.constant(X)).numpy(), variance


def _total(look: Look, workers: Alone) -> Look:
    """What all processes see together."""
    squares = [*look.curvatures, *([] if look.steepest is None else [look.steepest])]
    numbers = np.array([look.elbo, float(look.was_clipped)])
    numbers, slopes, left_out = _totals(workers, squares, [numbers, look.slopes, look.left_out])
    return replace(look, elbo=float(numbers[0]), slopes=slopes, left_out=left_out, was_clipped=bool(numbers[1]))


def _totals(workers: Alone, squares: Sequence[np.ndarray], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The sums over the processes of arrays, and, in place, of the lower triangles of square matrices."""
    if workers.size == 1:
        return list(arrays)
    lower = np.tril_indices(len(squares[0]))
    found = workers.totals([*arrays, *(square[lower] for square in squares)])
    for square, part in zip(squares, found[len(arrays) :], strict=True):
        square[lower] = part
    return list(found[: len(arrays)])


def _scaled(look: Look, scales: np.ndarray) -> Look:
    """What is seen with features that are multiplied by ``scales`` [M, C]."""
    num_each = scales.shape[1] // len(look.curvatures)
    of_each = scales.T[::num_each]
    steepest = None if look.steepest is None else scales[:, :1] * look.steepest * scales[:, 0]
    curvatures = of_each[:, :, None] * look.curvatures * of_each[:, None, :]
    return replace(look, slopes=scales * look.slopes, curvatures=curvatures, steepest=steepest)


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
