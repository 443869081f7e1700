r"""
The state of a fit by passes: q(u) of all latent processes, what a pass sees there, and where a step from it leads.

``natural_passes.py`` says what the sums mean.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import scipy.linalg


@dataclass(frozen=True)
class NaturalState:
    """q(u) of all latent processes, whitened."""

    m: np.ndarray
    """The means, [M, C]."""
    G: np.ndarray
    """Λ − I for each latent process, or for all of them together: [C or 1, M, M]. Only the lower triangles are read."""
    ratios: np.ndarray = field(default_factory=lambda: np.ones(0))
    """Variances of levels that move, as parts of those that the model has (``level_variances.py``)."""

    @classmethod
    def prior(cls, num_features: int, num_latents: int, num_covariances: int) -> "NaturalState":
        """Where nothing has been seen."""
        return cls(np.zeros((num_features, num_latents)), np.zeros((num_covariances, num_features, num_features)))

    @property
    def num_each(self) -> int:
        """How many latent processes have each covariance."""
        return self.m.shape[1] // len(self.G)

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
    left_out: np.ndarray
    """The sum of β times what the features leave out of k(x, x), for each group of latent processes that share them."""
    was_clipped: bool
    """Whether a negative β was taken for 0."""


def moved(state: NaturalState, look: Look, step: float) -> NaturalState:
    """
    The state that a step of this length leads to.

    :raises np.linalg.LinAlgError: where that is none, for its precision is not positive definite.
    """
    part = min(step, 1.0)
    to = replace(state, m=state.m.copy(), G=(1.0 - part) * state.G + part * look.curvatures)
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


def divergence(state: NaturalState) -> float:
    """KL[q(v) || N(0, I)] of all latent processes."""
    of_covariances = sum(
        float(np.sum(np.square(T))) - len(T) - 2.0 * float(np.sum(np.log(np.diag(T)))) for T in state.factors
    )
    return 0.5 * (state.num_each * of_covariances + float(np.sum(np.square(state.m))))
