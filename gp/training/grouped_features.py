r"""
Fitting a sparse Gaussian process to a whole training set in some ten steps, without minibatches and learning rates.

It finds q(u), the variances of groups of features (the levels of the signature) and the likelihood's own parameters.
It needs inducing variables whose covariance Kuu is the identity, and a likelihood from ``grouped_sites.py``.

**q(u).** Every series has a Gaussian site exp(λ f − β f²/2) for each latent process (Khan & Lin 2017; Adam et al. 2021,
eq. 15). With the features Φ [N, M] this gives q(u) = N(m, Λ⁻¹), Λ = I + Φᵀ diag(β) Φ and m = Λ⁻¹ Φᵀ λ. A
natural-gradient step of length ρ keeps the part 1 − ρ of the sites (λ, β) and adds ρ times their targets
(E[∇ log p] + β f̄, −E[∇² log p]), where f̄ is the mean of f.

**Variances.** The variance w_j of group j follows by MacKay's fixed point (1992): the new one is w_j \|m_j\|² / γ_j.
Here γ_j, the sum of 1 − diag Λ⁻¹ over the group, is the number of directions that the data determine.

Both steps go uphill on the bound; a step that lowers it is halved and tried again. With fewer series than features the
same is computed from Gram matrices, by H = (Φ Φᵀ + diag(1/β))⁻¹.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import scipy.linalg

_LONGEST_STEP = 0.8
_SHORTEST_STEP = 1e-3
_LARGEST_CHANGE = 4.0  # of a variance in one step
_SMALLEST = 1e-12  # a group's part of the variance of a path


@dataclass(frozen=True)
class Expectations:
    """Expectations of a likelihood's log density and its derivatives, under Gaussian marginals of f."""

    log_density: float
    """E[log p(y | f)], summed over the data."""
    slope: np.ndarray
    """E[∇ log p], [N, C]."""
    curvature: np.ndarray
    """−E[∇² log p], not negative, [N, C]."""


class SiteLikelihood(Protocol):
    """What the fit needs of a likelihood."""

    def expectations(self, mean: np.ndarray, variance: np.ndarray) -> Expectations:
        """The expectations under marginals of f with this mean and variance, [N, C] each."""
        ...

    def updated(self, mean: np.ndarray, variance: np.ndarray) -> "SiteLikelihood":
        """The same likelihood with its own parameters at the maximum of the bound for these marginals."""
        ...


@dataclass(frozen=True)
class Features:
    """Features of a training set, in groups that share a variance."""

    S: np.ndarray
    """The features where all variances are 1, [N, M]."""
    groups: np.ndarray
    """The group of each feature, [M]."""
    residual: np.ndarray | None = None
    """The prior variance of each series that the features leave out, where the first group's variance is 1, [N]."""

    @property
    def num_groups(self) -> int:
        """The number J of groups."""
        return int(self.groups.max()) + 1

    def mean_squares(self) -> np.ndarray:
        """What each group adds to the mean variance of a series where all variances are 1, [J]."""
        squares = np.mean(np.square(self.S), axis=0)
        return np.bincount(self.groups, weights=squares, minlength=self.num_groups)

    def scaled(self, variances: np.ndarray) -> np.ndarray:
        """The features Φ for variances of the groups, [N, M]."""
        return self.S * np.sqrt(variances)[self.groups]


@dataclass(frozen=True)
class Fit:
    """A fitted process, or one on the way to it."""

    elbo: float
    """The bound for all the data, in nats."""
    variances: np.ndarray
    """The variance w of each group of features, [J]."""
    likelihood: SiteLikelihood
    iterations: int
    sites: tuple[np.ndarray, np.ndarray]
    """λ and β, [N, C] each."""

    def posterior(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        """q_mu [M, C], and q_sqrt [C, M, M], the lower Cholesky factors of q(u)'s covariances."""
        phi = features.scaled(self.variances)
        q_mu, q_sqrt = [], []
        for lam, beta in zip(*(site.T for site in self.sites), strict=True):
            factor = _inverse_factor(phi, beta)
            covariance = factor.T @ factor
            q_mu.append(covariance @ (phi.T @ lam))
            q_sqrt.append(np.linalg.cholesky(covariance))
        return np.stack(q_mu, axis=1), np.stack(q_sqrt)


def fit(
    features: Features,
    variances: np.ndarray,
    likelihood: SiteLikelihood,
    num_latents: int,
    *,
    sites: tuple[np.ndarray, np.ndarray] | None = None,
    max_iterations: int = 100,
    tolerance: float = 3e-4,
    report: Callable[[str], None] = lambda _: None,
) -> Fit:
    """
    Fit until a full step raises the bound by less than ``tolerance`` nats a series.

    :param variances: the variances to start from, [J].
    :param num_latents: the number C of latent processes.
    :param sites: the sites λ and β to start from, [N, C] each. None: Newton's first step from f = 0.
    :param max_iterations: the largest number of steps, those that were halved included.
    :param report: gets a line of text every ten steps.
    :return: the best of all steps.
    """
    marginals = _Marginals(features)
    if sites is None:
        zeros = np.zeros((len(features.S), num_latents))
        newton = likelihood.expectations(zeros, zeros)
        sites = newton.slope, newton.curvature
    step, best = 1.0, None
    at = Fit(-np.inf, np.asarray(variances, float), likelihood, 0, sites)
    uphill = None
    for iteration in range(1, max_iterations + 1):
        if uphill is not None:
            at = uphill(step)
            at = replace(at, variances=np.maximum(at.variances, marginals.floor))
        seen = marginals(at)
        moved = at.likelihood.updated(seen.mean, seen.variance) if best is not None else at.likelihood
        expected = moved.expectations(seen.mean, seen.variance)
        at = replace(at, elbo=expected.log_density - seen.divergence, likelihood=moved, iterations=iteration)
        gain = at.elbo - best.elbo if best is not None else np.inf
        if iteration % 10 == 0:
            report(f"iteration {iteration}: ELBO {max(at.elbo, best.elbo if best else at.elbo):.2f}")
        if best is None or gain > 0:
            best, uphill = at, _uphill(at, seen, expected)
            if gain < tolerance * len(features.S) and step > _LONGEST_STEP / 2:
                break
            step = min(_LONGEST_STEP, 2 * step)
        else:
            step /= 2
            if step < _SHORTEST_STEP:
                break
    assert best is not None
    return replace(best, iterations=iteration)


@dataclass(frozen=True)
class _Seen:
    """What q(u) implies for f and for the groups of features."""

    mean: np.ndarray  # [N, C]
    variance: np.ndarray
    divergence: float  # KL[q(u) || N(0, I)]
    determined: np.ndarray  # γ of each group, [J]
    sizes: np.ndarray  # |m_j|², [J]


def _uphill(at: Fit, seen: _Seen, expected: Expectations) -> Callable[[float], Fit]:
    """From a step length to the sites and variances that such a step uphill leads to."""
    targets = expected.slope + expected.curvature * seen.mean, expected.curvature
    ratio = seen.sizes / np.maximum(seen.determined, 1e-10)
    change = np.clip(ratio, 1 / _LARGEST_CHANGE, _LARGEST_CHANGE)

    def go(step: float) -> Fit:
        sites = tuple((1 - step) * old + step * new for old, new in zip(at.sites, targets, strict=True))
        return replace(at, sites=sites, variances=at.variances * change ** min(step / _LONGEST_STEP, 1.0))

    return go


class _Marginals:
    """From sites and variances to what they imply, by features or by Gram matrices, whichever are smaller."""

    def __init__(self, features: Features) -> None:
        self.features = features
        squares = features.mean_squares()
        self.floor = np.where(squares > 0, _SMALLEST / np.where(squares > 0, squares, 1.0), 0.0)
        self.grams: np.ndarray | None = None
        if len(features.S) < features.S.shape[1]:
            groups = [features.S[:, features.groups == j] for j in range(features.num_groups)]
            self.grams = np.stack([S @ S.T for S in groups])

    def __call__(self, at: Fit) -> _Seen:
        by = self._by_features if self.grams is None else self._by_grams
        seen = by(at.variances, *at.sites)
        if self.features.residual is None:
            return seen
        rest = at.variances[0] * self.features.residual
        # The residual also depends on that variance: MacKay's fixed point becomes w |m|² / (γ + sum β w r).
        determined = seen.determined.copy()
        determined[0] += np.sum(at.sites[1] * rest[:, None])
        return replace(seen, variance=seen.variance + rest[:, None], determined=determined)

    def _by_features(self, variances: np.ndarray, lam: np.ndarray, beta: np.ndarray) -> _Seen:
        phi = self.features.scaled(variances)
        q_mu, variance, covariances, divergence = [], [], [], 0.0
        for c in range(lam.shape[1]):
            factor = _inverse_factor(phi, beta[:, c])
            q_mu.append(factor.T @ (factor @ (phi.T @ lam[:, c])))
            variance.append(np.sum(np.square(phi @ factor.T), axis=1))
            covariances.append(np.sum(np.square(factor), axis=0))
            divergence -= np.sum(np.log(np.diag(factor)))
        m, diagonal = np.stack(q_mu, axis=1), np.stack(covariances, axis=1)
        divergence += 0.5 * (np.sum(diagonal - 1.0) + np.sum(m**2))
        return _Seen(
            phi @ m, np.stack(variance, axis=1), divergence, self._of_groups(1.0 - diagonal), self._of_groups(m**2)
        )

    def _by_grams(self, variances: np.ndarray, lam: np.ndarray, beta: np.ndarray) -> _Seen:
        assert self.grams is not None
        num_series = len(lam)
        grams = variances[:, None, None] * self.grams
        K = grams.sum(axis=0)
        mean, variance, divergence = np.empty_like(lam), np.empty_like(lam), 0.0
        determined, sizes = np.zeros(len(variances)), np.zeros(len(variances))
        for c in range(lam.shape[1]):
            root = np.sqrt(beta[:, c])
            B = root[:, None] * K * root
            B[np.diag_indices(num_series)] += 1.0
            L = np.linalg.cholesky(B)
            V = scipy.linalg.solve_triangular(L, np.diag(root), lower=True)
            H = V.T @ V
            alpha = lam[:, c] - H @ (K @ lam[:, c])
            mean[:, c] = K @ alpha
            variance[:, c] = np.diag(K) - np.sum(np.square(V @ K), axis=0)
            determined += np.tensordot(grams, H, 2)
            sizes += np.einsum("jnm,n,m->j", grams, alpha, alpha, optimize=True)
            divergence += np.sum(np.log(np.diag(L)))
        divergence += 0.5 * (sizes.sum() - determined.sum())
        return _Seen(mean, np.maximum(variance, 0.0), divergence, determined, sizes)

    def _of_groups(self, of_features: np.ndarray) -> np.ndarray:
        groups = self.features.groups
        return np.bincount(groups, weights=of_features.sum(axis=1), minlength=self.features.num_groups)


def _inverse_factor(phi: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """The inverse of Λ's lower Cholesky factor, [M, M]."""
    precision = phi.T @ (beta[:, None] * phi)
    precision[np.diag_indices_from(precision)] += 1.0
    return scipy.linalg.solve_triangular(np.linalg.cholesky(precision), np.eye(len(precision)), lower=True)
