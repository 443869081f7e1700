"""The two tasks, classification and regression: what the search and the fit need to know of the labels."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import scipy.special

from ..data.classes import logistic_or_softmax_probabilities
from ..training.grouped_features import SiteLikelihood
from ..training.grouped_sites import GaussianSites, LogisticSites, SoftmaxSites
from .calibration import fit_factor, left_out_log_probabilities
from .least_squares import LeastSquares, OfGram

SMALLEST_PROBABILITY = 1e-12


class Task(Protocol):
    """The labels of a training set, and the likelihood that goes with them."""

    @property
    def series_weights(self) -> np.ndarray:
        """How much each series counts, with mean 1, [N]."""
        ...

    @property
    def labels(self) -> np.ndarray:
        """The numbers of classes, or the numbers to predict as floats."""
        ...

    @property
    def columns(self) -> np.ndarray:
        """What least squares regress on, [N, C]: a column of ones and zeros for each class, or the numbers."""
        ...

    def of(self, rows: np.ndarray) -> "Task":
        """The task of these series alone."""
        ...

    def left_out_nlpp(self, fit: LeastSquares, rows: np.ndarray) -> np.ndarray:
        """−log p(y | x) of these series, to which least squares were fitted, each predicted by the others, [n]."""
        ...

    def screening_nlpp(self, gram: np.ndarray, rows: np.ndarray) -> float:
        """A quick measure of how well a kernel with this matrix explains the labels of these series, in nats each."""
        ...

    @property
    def num_latents(self) -> int:
        """The number C of latent processes."""
        ...

    @property
    def smallest_noise(self) -> float:
        """No fit says that the noise has a smaller variance than this."""
        ...

    @property
    def targets(self) -> np.ndarray:
        """The numbers on which the search by evidence regresses, [N, C]."""
        ...

    @property
    def strata(self) -> np.ndarray | None:
        """The classes, in whose proportions subsets and folds are drawn, [N]. None: the labels are not classes."""
        ...

    def sites(self, rows: np.ndarray) -> SiteLikelihood:
        """The likelihood of the labels of these series."""
        ...

    def nlpp(self, mean: np.ndarray, variance: np.ndarray, rows: np.ndarray, fitted: SiteLikelihood) -> np.ndarray:
        """−log p(y | x) of these series, [n], given the marginals of f, [n, C] each."""
        ...


@dataclass(frozen=True)
class Classification:
    """Classes, numbered from 0."""

    y: np.ndarray
    num_classes: int
    series_weights: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """The numbers of the classes."""
        return self.y

    @property
    def columns(self) -> np.ndarray:
        """A column of ones and zeros for each class."""
        return np.eye(self.num_classes)[self.y]

    def of(self, rows: np.ndarray) -> "Classification":
        """The task of these series alone."""
        return replace(self, y=self.y[rows], series_weights=self.series_weights[rows])

    def left_out_nlpp(self, fit: LeastSquares, rows: np.ndarray) -> np.ndarray:
        """By calibrations to other series than those whose probabilities they give."""
        return -left_out_log_probabilities(fit.scores, self.y[rows], self.series_weights[rows])

    def screening_nlpp(self, gram: np.ndarray, rows: np.ndarray) -> float:
        """
        The NLPP of each series given all others, at the best ridge, with one factor of all scores as the calibration.

        The evidence of the regression on the columns would cost less. But with many classes it ranks kernels by how
        well they explain a column's zeros.
        """
        y, weights = self.y[rows], self.series_weights[rows]
        found = []
        for scores in OfGram.of(gram, self.columns[rows], weights).left_out_scores():
            log_p = scipy.special.log_softmax(fit_factor(scores, y, weights) * scores, axis=1)
            found.append(-np.average(log_p[np.arange(len(y)), y], weights=weights))
        return float(min(found))

    @property
    def num_latents(self) -> int:
        """One process for two classes; of more classes, each has its own."""
        return 1 if self.num_classes == 2 else self.num_classes

    @property
    def smallest_noise(self) -> float:
        """0: only the calibration makes probabilities."""
        return 0.0

    @property
    def targets(self) -> np.ndarray:
        """1 for the series of a class and −1 for others, centred; a column for each latent process."""
        one_hot = np.eye(self.num_classes)[self.y][:, -self.num_latents :]
        return 2 * (one_hot - one_hot.mean(axis=0))

    @property
    def strata(self) -> np.ndarray:
        """The classes."""
        return self.y

    def sites(self, rows: np.ndarray) -> SiteLikelihood:
        """With a logistic link for two classes, and a softmax link for more."""
        y = self.y[rows]
        weights = self.series_weights[rows]
        return LogisticSites(y, weights) if self.num_classes == 2 else SoftmaxSites(y, self.num_classes, weights)

    def nlpp(self, mean: np.ndarray, variance: np.ndarray, rows: np.ndarray, fitted: SiteLikelihood) -> np.ndarray:
        """Minus the log probability of the true class."""
        p = logistic_or_softmax_probabilities(mean, variance)[np.arange(len(mean)), self.y[rows]]
        return -np.log(np.maximum(p, SMALLEST_PROBABILITY))


@dataclass(frozen=True)
class Regression:
    """Numbers [N, P], each column with mean 0 and deviation 1."""

    Y: np.ndarray
    series_weights: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """The numbers themselves."""
        return self.Y

    @property
    def columns(self) -> np.ndarray:
        """The numbers themselves."""
        return self.Y

    def of(self, rows: np.ndarray) -> "Regression":
        """The task of these series alone."""
        return replace(self, Y=self.Y[rows], series_weights=self.series_weights[rows])

    def left_out_nlpp(self, fit: LeastSquares, rows: np.ndarray) -> np.ndarray:
        """Minus the log density, summed over the columns."""
        error = self.Y[rows] - fit.offset - fit.scores
        variances = fit.variances[:, None] + max(self.smallest_noise - fit.noise, 0.0)
        return 0.5 * np.sum(np.log(2 * np.pi * variances) + error**2 / variances, axis=1)

    def screening_nlpp(self, gram: np.ndarray, rows: np.ndarray) -> float:
        """Minus the log evidence of the regression."""
        return -OfGram.of(gram, self.columns[rows], self.series_weights[rows]).evidence()

    @property
    def num_latents(self) -> int:
        """One process for each column."""
        return self.Y.shape[1]

    @property
    def smallest_noise(self) -> float:
        """
        0 where the numbers differ; more where many of them are equal, as zeros among counts are.

        The density of equal numbers has no limit: a kernel under which their series are alike, with no noise, would
        predict them best of all, and would be certain of the same number for every further series of the kind. Let a
        share q of n series have the most frequent number. Noise with a deviation below q would give this number a
        higher density than all numbers have. And where all n q of them are predicted well, errors that are rarer than
        1 in n q may still come: with a variance below 1 / (n q), they cost more than the narrow noise gains.
        """
        counts = [np.unique(column, return_counts=True)[1].max() for column in self.Y.T if np.ptp(column) > 0]
        most = min(counts, default=1)
        return min((most / len(self.Y)) ** 2, 1.0 / most) if most > 1 else 0.0

    @property
    def targets(self) -> np.ndarray:
        """The numbers themselves."""
        return self.Y

    @property
    def strata(self) -> None:
        """None, as there are no classes."""
        return None

    def sites(self, rows: np.ndarray) -> SiteLikelihood:
        """A Gaussian, whose noise starts from a tenth of the variance, or the smallest noise."""
        smallest = max(self.smallest_noise, GaussianSites.smallest)
        return GaussianSites(self.Y[rows], max(0.1, smallest), self.series_weights[rows], smallest)

    def nlpp(self, mean: np.ndarray, variance: np.ndarray, rows: np.ndarray, fitted: SiteLikelihood) -> np.ndarray:
        """Minus the log density, summed over the columns."""
        assert isinstance(fitted, GaussianSites)
        total = variance + fitted.noise
        return 0.5 * np.sum(np.log(2 * np.pi * total) + (self.Y[rows] - mean) ** 2 / total, axis=1)
