r"""
Least squares on features in memory, for series with weights: what a search compares, and what a fit ends with.

The algebra is that of :mod:`sigkernel_tf.gp.training.ridge`. The square root of a series' weight multiplies its
features and its targets, so that a series of weight 2 counts as two would.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..data.rows import Rows
from ..training.feature_maps import Blocks
from ..training.ridge import Decomposition, leave_one_out, left_out_means

_RIDGES = np.logspace(-8, 2, 21)  # in mean squared norms of the features


@dataclass(frozen=True)
class LeastSquares:
    """A regression on features Φ [N, M], with the ridge whose left-out log density is largest."""

    decomposition: Decomposition
    ridge: float
    scale: float
    """By which the prior's variance and the ridge must be multiplied to explain the targets best."""
    weights: np.ndarray
    """Of the features, [M, C]."""
    offset: np.ndarray
    """The targets' weighted mean, which is added to the process, [C]."""
    scores: np.ndarray
    """The prediction for each series by all others, less ``offset``, [N, C]."""
    variances: np.ndarray
    """The variance of each of these predictions, that of the noise included, [N]."""

    def of(self, rows: np.ndarray) -> "LeastSquares":
        """The same regression with the predictions for some of the series only."""
        return replace(self, scores=self.scores[rows], variances=self.variances[rows])


def fit_features(
    phi: np.ndarray, targets: np.ndarray, series_weights: np.ndarray, *, smallest_ridge: float = 0.0
) -> LeastSquares:
    """
    Fit by least squares.

    :param phi: the features, [N, M]; the prior of their weights is N(0, I).
    :param targets: [N, C].
    :param series_weights: positive, with mean 1, [N].
    :param smallest_ridge: no ridge below this is tried, for features that are no more accurate.
    """
    root = np.sqrt(series_weights)[:, None]
    offset = np.average(targets, axis=0, weights=series_weights)
    rows = Rows(root * phi, root * (targets - offset))
    blocks = Blocks(_identity, rows, num_features=phi.shape[1])  # type: ignore[arg-type]
    decomposition = Decomposition.of(blocks)
    ridges = _RIDGES * max(decomposition.eigenvalues.sum() / len(phi), 1e-300)
    ridges = ridges[ridges >= smallest_ridge] if (ridges >= smallest_ridge).any() else ridges[-1:]
    left_out = leave_one_out(blocks, decomposition, ridges)
    scales = left_out.scales(shared=True)
    best = int(np.argmax(left_out.log_densities(scales)))
    weights, leverages = decomposition.weights(ridges[best]), left_out.leverages[:, best]
    scale = float(scales[best, 0])
    return LeastSquares(
        decomposition=decomposition,
        ridge=float(ridges[best]),
        scale=scale,
        weights=weights,
        offset=offset,
        scores=left_out_means(blocks, weights, leverages) / root,
        variances=scale * ridges[best] / np.maximum(1.0 - leverages, 1e-10) / series_weights,
    )


def _identity(phi: np.ndarray) -> np.ndarray:
    return phi


def root_of(gram: np.ndarray) -> np.ndarray:
    """Features [N, M] whose inner products are the entries of a positive semi-definite matrix."""
    eigenvalues, vectors = np.linalg.eigh(gram)
    kept = eigenvalues > 1e-7 * max(eigenvalues[-1], 1e-300)
    return vectors[:, kept] * np.sqrt(eigenvalues[kept])


def evidence(gram: np.ndarray, targets: np.ndarray, series_weights: np.ndarray) -> float:
    """
    The log evidence of a Gaussian process with this Gram matrix, at its best scale and noise, over the number of rows.

    :param gram: [N, N].
    :param targets: [N, C]; their weighted mean is subtracted.
    :param series_weights: the noise of a row is divided by its weight, [N].
    """
    root = np.sqrt(series_weights)[:, None]
    Y = root * (targets - np.average(targets, axis=0, weights=series_weights))
    eigenvalues, vectors = np.linalg.eigh(root * gram * root.T)
    eigenvalues, squares = np.maximum(eigenvalues, 0.0), np.sum(np.square(vectors.T @ Y), axis=1)
    best = -np.inf
    for ridge in np.logspace(-5, 1.5, 14) * max(eigenvalues.mean(), 1e-300):
        precision = 1.0 / (eigenvalues + ridge)
        scale = max(float(squares @ precision) / Y.size, 1e-300)
        best = max(best, 0.5 * float(np.mean(np.log(precision))) - 0.5 * np.log(2 * np.pi * scale) - 0.5)
    return best * Y.shape[1]
