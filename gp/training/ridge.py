r"""
Ridge regression on features, for all ridges at once, with its leave-one-out predictions.

With the features Φ [N, M] and the targets Y [N, C], the weights of ridge λ are (ΦᵀΦ + λ I)⁻¹ Φᵀ Y. They are the
posterior mean of a Gaussian process with the covariance s Φ Φᵀ and noise of the variance s λ, whatever the scale s.
One eigendecomposition ΦᵀΦ = U diag(w) Uᵀ serves every ridge. With the leverages h_i = φ_iᵀ (ΦᵀΦ + λ I)⁻¹ φ_i and the
residuals r_i of the fit, the prediction of row i by all others has the mean y_i − r_i / (1 − h_i) and the variance
s λ / (1 − h_i): Rasmussen & Williams (2006), eq. 5.12, where [K_y⁻¹]_ii = (1 − h_i) / (s λ).

Their log density (eqs. 5.10 and 5.11), summed over rows and outputs, is

.. math:: \log p = -\tfrac12 \sum_{ic} \Bigl( \log \frac{2π s_c λ}{1 - h_i} + \frac{r_{ic}^2}{s_c λ (1 - h_i)} \Bigr),

and the scale at which it is largest is s_c = mean_i r_ic² / (λ (1 − h_i)). It makes the second term 1 on average.
"""

from dataclasses import dataclass

import numpy as np

from .feature_maps import Block, Blocks
from .triangular import lower_root

_SMALLEST = 1e-300
_SMALLEST_VARIANCE = 1e-12  # of a direction of q(u), where the prior's is 1
_SMALLEST_REST = 1e-10  # of 1 − h, below which rounding has eaten it up
_DEFAULT_RIDGES = np.logspace(-8, 2, 21)  # in mean squared norms of the features


@dataclass(frozen=True)
class Decomposition:
    """ΦᵀΦ by eigenvalues and eigenvectors, and ΦᵀY in their coordinates."""

    eigenvalues: np.ndarray
    """w, [M], not negative."""
    vectors: np.ndarray
    """U, [M, M]."""
    projected: np.ndarray
    """Uᵀ Φᵀ Y, [M, C]."""

    @classmethod
    def of(cls, blocks: Blocks) -> "Decomposition":
        """In one pass over the rows."""
        gram = np.zeros((blocks.num_features, blocks.num_features))
        products = np.zeros((blocks.num_features, blocks.num_outputs))
        with blocks.workers.together():
            for block in blocks:
                gram += block.phi.T @ block.phi
                products += block.phi.T @ block.Y
        gram, products = blocks.workers.total(gram), blocks.workers.total(products)
        eigenvalues, vectors = np.linalg.eigh(gram)
        return cls(np.maximum(eigenvalues, 0.0), vectors, vectors.T @ products)

    def weights(self, ridge: float) -> np.ndarray:
        """The weights of the features, [M, C]."""
        return self.vectors @ (self.projected / (self.eigenvalues + ridge)[:, None])

    def default_ridges(self, num_rows: int) -> np.ndarray:
        """Ridges in half decades, from 1e-8 to 100 mean squared norms of the features."""
        return _DEFAULT_RIDGES * max(self.eigenvalues.sum() / num_rows, _SMALLEST)


@dataclass(frozen=True)
class LeaveOneOut:
    """What leaving each row out tells of every ridge."""

    leverages: np.ndarray
    """h, [n, R] for R ridges, of the n rows of this process."""
    squares: np.ndarray
    """The sum over all rows of r² / (1 − h), [R, C]."""
    log_variances: np.ndarray
    """The sum over all rows of log(λ / (1 − h)), [R]."""
    num_rows: int
    """N, the number of all rows."""
    ridges: np.ndarray

    def scales(self, *, shared: bool) -> np.ndarray:
        """
        s_c, [R, C].

        :param shared: whether all outputs have the same scale, which is the mean of their own.
        """
        scales = self.squares / (self.num_rows * self.ridges[:, None])
        if shared:
            scales = np.broadcast_to(scales.mean(axis=1, keepdims=True), scales.shape)
        return np.maximum(scales, _SMALLEST)

    def log_densities(self, scales: np.ndarray) -> np.ndarray:
        """
        The log density of the left-out rows for each ridge, at scales where it is largest, [R].

        Outputs that do not vary, and that any ridge predicts without an error, are left out.
        """
        varies = self.squares.any(axis=0)
        of_scales = self.num_rows * np.sum(np.log(2 * np.pi * scales[:, varies]) + 1.0, axis=1)
        return -0.5 * (of_scales + np.sum(varies) * self.log_variances)


def leave_one_out(blocks: Blocks, decomposition: Decomposition, ridges: np.ndarray) -> LeaveOneOut:
    """Leverages and residuals of all rows, for all ridges, in one pass over the rows."""
    shrinking = 1.0 / (decomposition.eigenvalues[:, None] + ridges)  # [M, R]
    leverages = np.empty((blocks.own.stop - blocks.own.start, len(ridges)))
    squares = np.zeros((len(ridges), decomposition.projected.shape[1]))
    with blocks.workers.together():
        for block in blocks:
            rotated = block.phi @ decomposition.vectors
            h = leverages[_own(blocks, block)] = np.square(rotated) @ shrinking
            for r in range(len(ridges)):
                residuals = block.Y - rotated @ (shrinking[:, r, None] * decomposition.projected)
                squares[r] += np.sum(np.square(residuals) / _rest(h[:, r, None]), axis=0)
    log_variances = np.sum(np.log(ridges / _rest(leverages)), axis=0)
    totals = blocks.workers.total(squares), blocks.workers.total(log_variances)
    return LeaveOneOut(leverages, *totals, len(blocks), ridges)


def left_out_means(blocks: Blocks, weights: np.ndarray, leverages: np.ndarray) -> np.ndarray:
    """The prediction of each of this process' rows by all others, [n, C], from its leverages [n] of one ridge."""
    found = np.empty((len(leverages), weights.shape[1]))
    with blocks.workers.together():
        for block in blocks:
            own = _own(blocks, block)
            found[own] = block.Y - (block.Y - block.phi @ weights) / _rest(leverages[own])[:, None]
    return found


def _own(blocks: Blocks, block: Block) -> slice:
    """The numbers of a block's rows among those of this process."""
    return slice(block.rows.start - blocks.own.start, block.rows.stop - blocks.own.start)


def whitened_root(explained: np.ndarray) -> np.ndarray:
    r"""
    The root of the covariance I − T Tᵀ of a whitened q(u): R, lower triangular, where R Rᵀ is that covariance.

    Where rounding or GPflow's jitter has made it indefinite, it gets at least the smallest variance in every direction.

    :param explained: T, [M, .], by which the posterior's variance falls below the prior's: by \|Aᵀ T\|², with
        A = L⁻¹ Kuf and L Lᵀ = Kuu as GPflow computes them.
    """
    covariance = np.eye(len(explained)) - explained @ explained.T
    try:
        return np.linalg.cholesky(covariance + _SMALLEST_VARIANCE * np.eye(len(explained)))
    except np.linalg.LinAlgError:
        variances, axes = np.linalg.eigh(covariance)
        return lower_root((axes * np.sqrt(np.maximum(variances, _SMALLEST_VARIANCE))).T)


def _rest(leverages: np.ndarray) -> np.ndarray:
    """1 − h, which is positive."""
    return np.maximum(1.0 - leverages, _SMALLEST_REST)
