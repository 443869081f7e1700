r"""
Variances of a signature's levels that move with q(u), by MacKay's fixed point (1992).

With orthogonal signature features, the feature of a word with j letters is proportional to the square root of the
variance w_j of its level. What the features leave out of k(x, x) is proportional to the last one, w_rest, if they hold
all words of the levels with a variance of their own. At the best q(v) = N(m, S) the derivative of the bound by log w_j
is then (\|m_j\|² − γ_j − ρ_j) / 2. Here γ_j is the sum of 1 − S_aa over the words of level j. ρ_j is 0, but for w_rest
the sum of β = −E[∇² log p] times what is left out, over the rows. A step of the fixed point, with the sites held, is

.. math:: w_j ← w_j \frac{\|m_j\|^2}{γ_j + ρ_j}.

No gradient is needed, and no feature is computed again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import tensorflow as tf
from gpflow.base import Parameter

from ..kernels.levels import levels_of_words
from .latents import Latents
from .natural_state import Look, NaturalState

_LARGEST_CHANGE = 4.0  # of a variance in one step
_SMALLEST = 1e-12  # to which a variance may fall, as a part of the largest of its model


@dataclass(frozen=True)
class Levels:
    """Where a group of latent processes has its variances among all that move."""

    of_features: np.ndarray
    """The place of each feature's variance, [M]."""
    of_rest: int
    """The place of w_rest."""


class LevelVariances:
    """The level variances of a model's kernels that move by the fixed point, as one vector."""

    def __init__(self, latents: Sequence[Latents], variables: Sequence[tf.Variable]) -> None:
        """
        Takes the kernels whose features they scale: those without ``normalize``, with all weighed words as features.

        :param variables: those that may move. A parameter with a prior is left to a search by gradient.
        """
        self._latents = latents
        self._parameters: list[Parameter] = []
        self.groups: list[Levels | None] = []
        """For each group of latent processes; None: its kernel has no variances that move."""
        starts: dict[int, int] = {}
        ids = {id(variable) for variable in variables}
        for each in latents:
            parameter = _movable(each, ids)
            if parameter is None:
                self.groups.append(None)
                continue
            if id(parameter) not in starts:
                starts[id(parameter)] = len(self._values())
                self._parameters.append(parameter)
            start, last = starts[id(parameter)], len(parameter.numpy()) - 1
            levels = np.minimum(_levels(each, each.inducing_variable.num_inducing), last)
            self.groups.append(Levels(start + levels, start + last))

    @property
    def variables(self) -> list[tf.Variable]:
        """The unconstrained variables of the parameters."""
        return [parameter.unconstrained_variable for parameter in self._parameters]

    def unchanged(self) -> np.ndarray:
        """Ratios of 1, one for each variance."""
        return np.ones(len(self._values()))

    def multiply(self, ratios: np.ndarray) -> None:
        """Multiply the variances by these numbers."""
        ends = np.cumsum([len(parameter.numpy()) for parameter in self._parameters])
        for parameter, part in zip(self._parameters, np.split(ratios, ends[:-1]), strict=False):
            parameter.assign(parameter.numpy() * part)

    def scales(self, ratios: np.ndarray) -> np.ndarray | None:
        """What the features of each latent process are multiplied by if the variances are, [M, C]. None: by 1."""
        if not self._parameters:
            return None
        columns = []
        for levels, latents in zip(self.groups, self._latents, strict=True):
            num_features, count = latents.inducing_variable.num_inducing, latents.columns.stop - latents.columns.start
            scale = np.ones(num_features) if levels is None else np.sqrt(ratios[levels.of_features])
            columns.append(np.tile(scale[:, None], count))
        return np.concatenate(columns, axis=1)

    def moved(self, state: NaturalState, look: Look, to: NaturalState, step: float) -> NaturalState:
        """
        The state ``to`` after a step of the variances, in which its sites are held.

        :param state: where ``look`` was seen, and from which the variances move.
        :param step: the length of the step; beyond 1 they go no further.
        :raises np.linalg.LinAlgError: where there is no covariance.
        """
        if not self._parameters:
            return to
        sizes, determined = np.zeros_like(state.ratios), np.zeros_like(state.ratios)
        for levels, latents, left_out in zip(self.groups, self._latents, look.left_out, strict=True):
            if levels is not None:
                for c in range(latents.columns.start, latents.columns.stop):
                    factor = state.factors[c // state.num_each]
                    np.add.at(sizes, levels.of_features, np.square(state.m[:, c]))
                    np.add.at(determined, levels.of_features, 1.0 - np.sum(np.square(factor), axis=0))
                determined[levels.of_rest] += left_out
        change = np.where(determined > 0.0, sizes / np.where(determined > 0.0, determined, 1.0), 1.0)
        change = np.clip(change, 1.0 / _LARGEST_CHANGE, _LARGEST_CHANGE) ** min(step, 1.0)
        values = self._values()
        smallest = _SMALLEST * values.max() / np.where(values > 0.0, values, 1.0)
        ratios = np.where(values > 0.0, np.maximum(state.ratios * change, smallest), 1.0)
        scales = self.scales(ratios / state.ratios)
        assert scales is not None
        return _rescaled(replace(to, ratios=ratios), scales)

    def _values(self) -> np.ndarray:
        return np.concatenate([np.zeros(0), *(parameter.numpy().astype(float) for parameter in self._parameters)])


def _movable(latents: Latents, ids: set[int]) -> Parameter | None:
    """The kernel's level variances, where features and what they leave out are proportional to them."""
    parameter = getattr(latents.kernel, "level_variances", None)
    if parameter is None or not latents.has_identity or latents.kernel.normalize or parameter.prior is not None:
        return None
    if id(parameter.unconstrained_variable) not in ids:
        return None
    level_left_out = _levels(latents, latents.inducing_variable.num_inducing + 1)[-1]
    return parameter if level_left_out >= len(parameter.numpy()) - 1 else None


def _levels(latents: Latents, num_words: int) -> np.ndarray:
    return levels_of_words(latents.kernel.num_channels_seen, num_words)


def _rescaled(state: NaturalState, scales: np.ndarray) -> NaturalState:
    """Where the same sites lead for features that are multiplied by ``scales`` [M, C]: Λ m and G are, too."""
    m, G = state.m.copy(), state.G.copy()
    for c, scale in enumerate(scales.T):
        # Only the lower triangle of G holds, which is the upper one of what BLAS takes for its columns.
        m[:, c] += scipy.linalg.blas.dsymv(1.0, state.G[c // state.num_each].T, state.m[:, c], lower=0)
        m[:, c] *= scale
    for c in range(len(G)):
        scale = scales[:, c * state.num_each]
        G[c] *= scale[:, None] * scale
    to = replace(state, m=m, G=G)
    for c in range(m.shape[1]):
        factor = to.factors[c // state.num_each]
        m[:, c] = factor.T @ (factor @ m[:, c])
    return to
