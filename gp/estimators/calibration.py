r"""
From the scores of a regression on labels to probabilities of classes.

The scores f [N, C] are predictions of a column of ones and zeros for each class. Their probabilities are the softmax
of f W + b. With many series W and b are a multinomial logistic regression. With few they must come from somewhere else:
the prior of W is N(t I, v), whose factor t is near 5, as log t ~ N(log 5, 1/4), and that of b is N(0, 0.3). So no class
is ever certain because a few series happened to be separated, and with v small the order of the scores is kept. t is
fitted first, with W = t I; v is chosen by five-fold cross-validation.
"""

import numpy as np
import scipy.optimize
import scipy.special

from ..training.logistic import LogisticRegression
from .threads import one_thread

FACTOR = 5.0
LOG_FACTOR_VARIANCE = 0.25
_INTERCEPT_VARIANCE = 0.3
_VARIANCES = (1.0, 3.0, 10.0, 30.0, 100.0)
_FOLDS = 5
_MOST_ROWS = 5000  # for the choice of v
_OPTIONS = {"maxiter": 300, "ftol": 1e-8, "gtol": 1e-5}


def fit_calibration(
    scores: np.ndarray, numbers: np.ndarray, weights: np.ndarray, variance: float | None = None
) -> LogisticRegression:
    """
    The map from scores to probabilities.

    :param scores: of series that were left out when their scores were computed, less the classes' frequencies, [N, C].
    :param numbers: the number of each series' class, [N].
    :param weights: of the series, with mean 1, [N].
    :param variance: v; None: chosen.
    """
    if variance is None:
        variance = chosen_variance(scores, numbers, weights)
    factor = fit_factor(scores, numbers, weights)
    num_classes = scores.shape[1]
    targets = np.eye(num_classes)[numbers]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        change, b = flat[:-num_classes].reshape(num_classes, num_classes), flat[-num_classes:]
        log_p = scipy.special.log_softmax(factor * scores + scores @ change + b, axis=1)
        value = -np.sum(weights[:, None] * targets * log_p)
        value += 0.5 * (np.sum(change**2) / variance + np.sum(b**2) / _INTERCEPT_VARIANCE)
        error = weights[:, None] * (np.exp(log_p) - targets)
        slopes = scores.T @ error + change / variance, error.sum(axis=0) + b / _INTERCEPT_VARIANCE
        return value / len(scores), np.concatenate([part.ravel() for part in slopes]) / len(scores)

    begin = np.zeros((num_classes + 1) * num_classes)
    # Products of so few columns gain nothing from threads, which are slow where other programs use the cores.
    with one_thread():
        found = scipy.optimize.minimize(loss, begin, jac=True, method="L-BFGS-B", options=_OPTIONS).x
    coefficients = factor * np.eye(num_classes) + found[:-num_classes].reshape(num_classes, num_classes)
    return LogisticRegression(coefficients, found[-num_classes:].copy())


def left_out_log_probabilities(scores: np.ndarray, numbers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The log probability of each series' class by calibrations to the other folds, [N]."""
    variance = chosen_variance(scores, numbers, weights)
    return _cross_validated(scores, numbers, weights, variance)


def chosen_variance(scores: np.ndarray, numbers: np.ndarray, weights: np.ndarray) -> float:
    """The v with the largest log probability of held-out folds."""
    rows = np.random.default_rng(0).permutation(len(scores))[:_MOST_ROWS]
    parts = scores[rows], numbers[rows], weights[rows]
    return max(_VARIANCES, key=lambda v: float(np.sum(weights[rows] * _cross_validated(*parts, v))))


def _cross_validated(scores: np.ndarray, numbers: np.ndarray, weights: np.ndarray, variance: float) -> np.ndarray:
    fold = np.empty(len(numbers), int)
    fold[np.argsort(numbers, kind="stable")] = np.arange(len(numbers)) % min(_FOLDS, len(numbers))
    found = np.empty(len(numbers))
    for number in range(fold.max() + 1):
        inside, outside = fold != number, fold == number
        calibration = fit_calibration(scores[inside], numbers[inside], weights[inside], variance)
        log_p = calibration.log_probabilities(scores[outside])
        found[outside] = log_p[np.arange(len(log_p)), numbers[outside]]
    return found


def fit_factor(scores: np.ndarray, numbers: np.ndarray, weights: np.ndarray) -> float:
    """t, with W = t I and b = 0; the arguments are those of :func:`fit_calibration`."""
    rows = np.arange(len(scores))

    def loss(log_factor: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = np.exp(log_factor[0]) * scores
        log_p = scipy.special.log_softmax(scaled, axis=1)
        away = log_factor[0] - np.log(FACTOR)
        value = -np.sum(weights * log_p[rows, numbers]) + 0.5 * away**2 / LOG_FACTOR_VARIANCE
        slope = np.sum(weights * (np.sum(np.exp(log_p) * scaled, axis=1) - scaled[rows, numbers]))
        return value, np.array([slope + away / LOG_FACTOR_VARIANCE])

    bounds = [(np.log(FACTOR) - 4, np.log(FACTOR) + 4)]
    found = scipy.optimize.minimize(loss, [np.log(FACTOR)], jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(found.x[0]))
