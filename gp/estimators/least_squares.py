r"""
Least squares on features in memory, for series with weights: what a search compares, and what a fit ends with.

The algebra is that of :mod:`sigkernel_tf.gp.training.ridge`. The square root of a series' weight multiplies its
features and its targets, so that a series of weight 2 counts as two would.
"""

from collections.abc import Iterator
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

    @property
    def noise(self) -> float:
        """The variance of the noise."""
        return self.scale * self.ridge

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
    return _fit(root * phi, None, targets, series_weights, smallest_ridge)


def fit_gram(
    gram: np.ndarray, targets: np.ndarray, series_weights: np.ndarray, *, smallest_ridge: float = 0.0
) -> LeastSquares:
    """The same with the covariance of all series in place of features, [N, N], by a single decomposition."""
    of_gram = OfGram.of(gram, targets, series_weights)
    kept = of_gram.eigenvalues > 1e-7 * max(of_gram.eigenvalues[-1], 1e-300)
    eigenvalues = of_gram.eigenvalues[kept]
    phi = of_gram.vectors[:, kept] * np.sqrt(eigenvalues)
    decomposition = Decomposition(eigenvalues, np.eye(len(eigenvalues)), phi.T @ of_gram.targets)
    return _fit(phi, decomposition, targets, series_weights, smallest_ridge)


def _fit(
    weighted: np.ndarray,
    decomposition: Decomposition | None,
    targets: np.ndarray,
    series_weights: np.ndarray,
    smallest_ridge: float,
) -> LeastSquares:
    """
    :param weighted: the features times the roots of the weights, [N, M].
    :param decomposition: of these. None: to be computed.
    """
    root = np.sqrt(series_weights)[:, None]
    offset = np.average(targets, axis=0, weights=series_weights)
    rows = Rows(weighted, root * (targets - offset))
    blocks = Blocks(_identity, rows, num_features=weighted.shape[1])  # type: ignore[arg-type]
    decomposition = decomposition or Decomposition.of(blocks)
    ridges = _RIDGES * max(decomposition.eigenvalues.sum() / len(weighted), 1e-300)
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


@dataclass(frozen=True)
class OfGram:
    """Regression with a Gram matrix as the covariance, for all ridges at once."""

    eigenvalues: np.ndarray
    vectors: np.ndarray
    targets: np.ndarray
    """Less their weighted means, times the roots of the weights, [N, C]."""
    roots: np.ndarray
    """Of the weights of the series, [N, 1]."""

    @classmethod
    def of(cls, gram: np.ndarray, targets: np.ndarray, series_weights: np.ndarray) -> "OfGram":
        """
        :param gram: [N, N].
        :param targets: [N, C]; their weighted mean is subtracted.
        :param series_weights: the noise of a row is divided by its weight, [N].
        """
        roots = np.sqrt(series_weights)[:, None]
        eigenvalues, vectors = np.linalg.eigh(roots * gram * roots.T)
        centred = roots * (targets - np.average(targets, axis=0, weights=series_weights))
        return cls(np.maximum(eigenvalues, 0.0), vectors, centred, roots)

    @property
    def ridges(self) -> np.ndarray:
        """Those that are tried, in half decades."""
        return np.logspace(-5, 1.5, 14) * max(self.eigenvalues.mean(), 1e-300)

    def evidence(self) -> float:
        """The log evidence of a Gaussian process, at its best scale and noise, over the number of rows."""
        squares = np.sum(np.square(self.vectors.T @ self.targets), axis=1)
        best = -np.inf
        for ridge in self.ridges:
            precision = 1.0 / (self.eigenvalues + ridge)
            scale = max(float(squares @ precision) / self.targets.size, 1e-300)
            best = max(best, 0.5 * float(np.mean(np.log(precision))) - 0.5 * np.log(2 * np.pi * scale) - 0.5)
        return best * self.targets.shape[1]

    def left_out_scores(self) -> Iterator[np.ndarray]:
        """For each ridge, the prediction for each row by all others, less the targets' means, [N, C]."""
        squares, projected = np.square(self.vectors), self.vectors.T @ self.targets
        for ridge in self.ridges:
            precision = 1.0 / (self.eigenvalues + ridge)
            residuals = (self.vectors @ (precision[:, None] * projected)) / (squares @ precision)[:, None]
            yield (self.targets - residuals) / self.roots
