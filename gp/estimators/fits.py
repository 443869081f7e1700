r"""
The three fits of a classifier to features, and which of them predicts held-out series best.

* "least squares": a regression on a column of ones and zeros for each class, and a calibration of its scores;
* "mode": the most probable f under a logistic or softmax link (:func:`~sigkernel_tf.gp.fit_softmax_mode`);
* "sites": a Gaussian approximation of the posterior under this link (``grouped_features.py``).

Each gives a process with the mean φᵀ m + offset and, for each output, the covariance S of the features' weights, where
the prior's is v I.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..data.classes import logistic_or_softmax_probabilities
from ..training.grouped_features import Features, fit
from ..training.logistic import LogisticRegression
from ..training.softmax_mode import fit_softmax_mode
from .calibration import fit_calibration
from .least_squares import fit_features
from .search.rows import folds, is_sure
from .tasks import SMALLEST_PROBABILITY, Task

LEAST_SQUARES, MODE, SITES = "least squares", "mode", "sites"
_WORK = 2e10  # multiply-adds of a comparison, at effort 1
_OF_SITES = 300  # times the number of outputs and the cube of that of series: what the sites take in all folds
_LARGEST_PART = 3  # no comparison where all series are more than so many times those that can be afforded
_START = 4.0  # the variance of f from which the sites start
_FEWEST = 5  # series of each class, one for each fold
_ITERATIONS = 60


@dataclass(frozen=True)
class LinkedFit:
    """A process on features under a logistic link, with one output for two classes, or a softmax link."""

    weights: np.ndarray
    """m, [M, C]."""
    offset: np.ndarray
    """[C]"""
    variance: float
    """v"""
    covariances: np.ndarray
    """S, over v, [C, M, M]."""
    at_mode: bool
    """Whether probabilities are those at the mean of f. Otherwise they are averaged over f."""

    def log_probabilities(self, phi: np.ndarray) -> np.ndarray:
        """
        Of the classes for rows of features [n, M], whose prior variance is v: [n, classes].
        """
        mean = phi @ self.weights + self.offset
        if self.at_mode:
            return identity_calibration(mean.shape[1]).log_probabilities(mean)
        rest = np.maximum(1.0 - np.sum(np.square(phi), axis=1), 0.0)
        explained = np.stack([np.sum((phi @ S) * phi, axis=1) for S in self.covariances], axis=1)
        p = logistic_or_softmax_probabilities(mean, self.variance * (explained + rest[:, None]))
        return np.log(np.maximum(p, SMALLEST_PROBABILITY))


def identity_calibration(num_outputs: int) -> LogisticRegression:
    """The probabilities of a link as a logistic regression from f: the first of two classes has zeros."""
    if num_outputs == 1:
        return LogisticRegression(np.array([[0.0, 1.0]]), np.zeros(2))
    return LogisticRegression(np.eye(num_outputs), np.zeros(num_outputs))


def fit_mode(phi: np.ndarray, task: Task, rows: np.ndarray) -> LinkedFit:
    """
    The mode, with the covariance of Laplace's approximation.

    :param phi: features of the series ``rows``, [n, M].
    """
    found = fit_softmax_mode(lambda X: X, phi, task.labels[rows])
    W, b = found.regression.coefficients, found.regression.intercepts
    p = found.regression.probabilities(phi)
    if task.num_latents == 1:
        W, b, p = W[:, 1:] - W[:, :1], b[1:] - b[:1], p[:, 1:]
    curvatures = (p * (1.0 - p)).T
    eye = np.eye(phi.shape[1])
    covariances = np.stack([np.linalg.inv(eye + found.variance * phi.T @ (beta[:, None] * phi)) for beta in curvatures])
    return LinkedFit(W, b, found.variance, covariances, at_mode=True)


def fit_sites(phi: np.ndarray, task: Task, rows: np.ndarray) -> LinkedFit:
    """Sites, with the variance of the process learnt; the arguments are those of :func:`fit_mode`."""
    rest = np.maximum(1.0 - np.sum(np.square(phi), axis=1), 0.0)
    features = Features(phi, np.zeros(phi.shape[1], int), rest if rest.max() > 1e-6 else None)
    found = fit(features, np.array([_START]), task.sites(rows), task.num_latents, max_iterations=_ITERATIONS)
    q_mu, q_sqrt = found.posterior(features)
    variance = float(found.variances[0])
    covariances = q_sqrt @ q_sqrt.transpose(0, 2, 1)
    return LinkedFit(np.sqrt(variance) * q_mu, np.zeros(q_mu.shape[1]), variance, covariances, at_mode=False)


FITS: dict[str, Callable[[np.ndarray, Task, np.ndarray], LinkedFit]] = {MODE: fit_mode, SITES: fit_sites}


def compared(gram: np.ndarray, task: Task, rows: np.ndarray) -> dict[str, np.ndarray]:
    """
    −log p(y | x) of each series, [n], by fits to the other folds.

    :param gram: the normalized kernel of the series ``rows``, [n, n].
    """
    fold, y = folds(task.labels[rows], len(rows)), task.labels[rows]
    # The mode knows no weights of series.
    names = [LEAST_SQUARES, SITES] if np.ptp(task.series_weights) > 0 else [LEAST_SQUARES, MODE, SITES]
    found = {name: np.empty(len(rows)) for name in names}
    for number in range(fold.max() + 1):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        eigenvalues, vectors = np.linalg.eigh(gram[np.ix_(inside, inside)])
        kept = eigenvalues > 1e-7 * eigenvalues[-1]
        W = vectors[:, kept] / np.sqrt(eigenvalues[kept])
        phi, new = gram[np.ix_(inside, inside)] @ W, gram[np.ix_(outside, inside)] @ W
        for name in names:
            if name == LEAST_SQUARES:
                log_p = _by_least_squares(phi, task, rows[inside], new)
            else:
                log_p = FITS[name](phi, task, rows[inside]).log_probabilities(new)
            found[name][outside] = -log_p[np.arange(len(outside)), y[outside]]
    return found


def _by_least_squares(phi: np.ndarray, task: Task, rows: np.ndarray, new: np.ndarray) -> np.ndarray:
    weights = task.series_weights[rows]
    found = fit_features(phi, task.columns[rows], weights, smallest_ridge=1e-6)
    return fit_calibration(found.scores, task.labels[rows], weights).log_probabilities(new @ found.weights)


def has_enough(task: Task, rows: np.ndarray | slice = slice(None)) -> bool:
    """Whether these series are enough of each class to hold some of them out."""
    if task.strata is None:
        return False
    return bool(np.bincount(task.strata[rows], minlength=int(task.strata.max()) + 1).min() >= _FEWEST)


def num_compared(task: Task, effort: float) -> int:
    """How many series the fits are compared on; 0 where these would be too few, or are of too few in a class."""
    if task.strata is None or not has_enough(task):
        return 0
    affordable = int((_WORK * effort / (_OF_SITES * task.num_latents)) ** (1 / 3))
    return min(affordable, len(task.strata)) if len(task.strata) <= _LARGEST_PART * affordable else 0


def chosen(nlpps: dict[str, np.ndarray], weights: np.ndarray) -> str:
    """The best fit; least squares, unless another one is better by more than one standard error of the difference."""
    best = LEAST_SQUARES
    for name, nlpp in nlpps.items():
        is_best = np.average(nlpp, weights=weights) < np.average(nlpps[best], weights=weights)
        if is_best and is_sure(nlpps[LEAST_SQUARES] - nlpp, weights):
            best = name
    return best
