r"""
The mode of a Gaussian process with a softmax likelihood: multinomial logistic regression on its features.

With f = Φ W + b and the prior N(0, v I) of the weights of each class, the mode of the posterior is where
sum log softmax(f)_y − \|W\|² / (2 v) is largest. L-BFGS finds it in the coordinates of ΦᵀΦ's eigenvectors, scaled so
that all directions curve alike: by the square root of p̄ w + 1 / v, where w are the eigenvalues and p̄ is the mean of
p (1 − p).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from .feature_maps import Blocks, FeatureMap, as_feature_rows, blocks_to_predict, feature_map
from .logistic import LogisticRegression, fit_logistic
from .ridge import Decomposition
from .targets import as_targets, checked_positive

_DEFAULT_VARIANCES = 4.0 ** np.arange(9)  # of f, where the features have their mean squared norm: 1 to 65536
_HELD_OUT = 0.2
_SMALLEST_CURVATURE = 1e-6
_TOLERANCE = 1e-5  # of the mean over rows of the gradient


@dataclass(frozen=True)
class SoftmaxMode:
    """
    A classifier fitted by :func:`fit_softmax_mode`.

    >>> fit = fit_softmax_mode(model, rows, y, variances=[4.0])
    >>> fit.variance
    4.0
    """

    variance: float
    """v, the prior variance of the weights: of ``variances`` the one with the largest held-out log density."""
    variances: np.ndarray
    """All variances that were tried, in increasing order."""
    held_out_log_densities: np.ndarray
    """The mean log probability of the held-out rows' labels, for each variance. NaN: only one was given."""
    classes: np.ndarray
    """The labels, in the order of all columns, [C]."""
    regression: LogisticRegression
    """From features to probabilities: W [M, C] and b [C]."""
    feature_map: FeatureMap = field(repr=False)
    """Gives the features of rows, from copies of the model's kernel and inducing variables."""

    def predict_log_proba(self, X: Any, *, batch_size: int | None = None) -> np.ndarray:
        """The logarithms of the classes' probabilities at rows, [n, C], with columns in the order of ``classes``."""
        num_features = len(self.regression.coefficients)
        blocks = blocks_to_predict(self.feature_map, X, num_features, batch_size)
        return np.concatenate([self.regression.log_probabilities(block.phi) for block in blocks])

    def predict_proba(self, X: Any, *, batch_size: int | None = None) -> np.ndarray:
        """The classes' probabilities at rows, [n, C], at the mode: the uncertainty of f does not enter."""
        return np.exp(self.predict_log_proba(X, batch_size=batch_size))

    def predict(self, X: Any, *, batch_size: int | None = None) -> np.ndarray:
        """The most probable class of each row, [n]."""
        return self.classes[np.argmax(self.predict_log_proba(X, batch_size=batch_size), axis=1)]


def fit_softmax_mode(
    features: Any,
    X: Any,
    y: Any,
    *,
    variances: Sequence[float] | None = None,
    seed: int = 0,
    max_iterations: int = 200,
) -> SoftmaxMode:
    r"""
    Fit a classifier at the mode of its posterior, by multinomial logistic regression on the features.

    The prior's variance is chosen on a fifth of the rows of each class, held out: from small variances to large ones,
    until their log density falls. Then all rows are fitted. It takes longer than :func:`fit_least_squares`; which of
    the two predicts better depends on the data.

    >>> fit_softmax_mode(model, rows, y, variances=[4.0]).predict_proba(rows).shape
    (20, 2)

    :param features: as :func:`fit_least_squares` takes them. The features of all rows are kept in memory, N M numbers.
    :param X: rows [N, W] as the model takes them.
    :param y: labels [N]: integers, booleans, text or whole floats.
    :param variances: the variances of the weights among which to choose, positive. A single one needs no held-out rows.
        None: those that give f the variances 1, 4, 16, ..., 65536, by the mean of \|φ\|².
    :param seed: decides which rows are held out.
    :param max_iterations: the largest number of steps of L-BFGS in each fit.
    :raises ValueError: as :func:`fit_least_squares`, for fractions as labels, and for a class of a single row unless
        there is one variance.
    :raises TypeError: as :func:`fit_least_squares`.
    """
    of_rows, targets = feature_map(features), as_targets(y, "classification")
    assert targets.classes is not None
    assert targets.numbers is not None
    blocks = Blocks(of_rows, as_feature_rows(X, targets.Y, of_rows))
    decomposition = Decomposition.of(blocks)
    rotated = np.concatenate([block.phi @ decomposition.vectors for block in blocks])
    if variances is None:
        tried = _DEFAULT_VARIANCES / max(np.mean(np.sum(np.square(rotated), axis=1)), 1e-300)
    else:
        tried = np.sort(checked_positive(variances, "variances"))
    path = _Path(rotated, targets.numbers, len(targets.classes), decomposition.eigenvalues, max_iterations)
    start, best, densities = None, 0, [np.nan]
    if len(tried) > 1:
        start, best, densities = _chosen(path, tried, seed)
    found = path.fit(np.arange(len(rotated)), tried[best], start)
    regression = LogisticRegression(decomposition.vectors @ found.coefficients, found.intercepts)
    return SoftmaxMode(
        variance=float(tried[best]),
        variances=tried[: len(densities)],
        held_out_log_densities=np.array(densities),
        classes=targets.classes,
        regression=regression,
        feature_map=of_rows,
    )


@dataclass(frozen=True)
class _Path:
    """Fits at one variance after another, each of which starts from the one before."""

    rotated: np.ndarray
    """Features in the coordinates of the eigenvectors, [N, M]."""
    numbers: np.ndarray
    num_classes: int
    eigenvalues: np.ndarray
    max_iterations: int

    def fit(self, rows: np.ndarray, variance: float, start: LogisticRegression | None) -> LogisticRegression:
        """At these rows, in the coordinates of the eigenvectors."""
        phi, numbers = self.rotated[rows], self.numbers[rows]
        if start is None:
            start = LogisticRegression(np.zeros((phi.shape[1], self.num_classes)), np.zeros(self.num_classes))
        p = start.probabilities(phi)
        curvature = max(np.mean(p * (1.0 - p)), _SMALLEST_CURVATURE)
        factor = np.sqrt(curvature * self.eigenvalues + 1.0 / variance)
        found = fit_logistic(
            phi / factor,
            numbers,
            self.num_classes,
            variance * factor**2,
            start=LogisticRegression(start.coefficients * factor[:, None], start.intercepts),
            max_iterations=self.max_iterations,
            tolerance=_TOLERANCE,
        )
        return LogisticRegression(found.coefficients / factor[:, None], found.intercepts)


def _chosen(path: _Path, variances: np.ndarray, seed: int) -> tuple[LogisticRegression, int, list[float]]:
    """The fit with the largest held-out log density, the number of its variance, and all log densities."""
    counts = np.bincount(path.numbers)
    if counts.min() < 2:
        raise ValueError(
            "y must hold at least two rows of each class, for some are held out, got a class of one row: leave it out, "
            "or give a single variance."
        )
    rows, held_out = train_test_split(
        np.arange(len(path.numbers)),
        test_size=max(round(_HELD_OUT * len(path.numbers)), len(counts)),
        stratify=path.numbers,
        random_state=seed,
    )
    fits: list[LogisticRegression] = []
    densities: list[float] = []
    for variance in variances:
        fits.append(path.fit(rows, variance, fits[-1] if fits else None))
        log_p = fits[-1].log_probabilities(path.rotated[held_out])
        densities.append(float(np.mean(log_p[np.arange(len(held_out)), path.numbers[held_out]])))
        if densities[-1] < max(densities):
            break
    best = int(np.argmax(densities))
    return fits[best], best, densities
