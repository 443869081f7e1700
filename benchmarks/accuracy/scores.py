"""How good predictions are: accuracy, NLPP and calibration of classes; R², NLPP and coverage of numbers."""

import numpy as np
from scipy.stats import norm

_SMALLEST = 1e-15  # the smallest probability that NLPP counts with
_BINS = 10
_COVERED = 0.9


def of_classes(y: np.ndarray, labels: np.ndarray, probabilities: np.ndarray | None) -> dict[str, float | None]:
    """
    Scores of a classifier on a test set.

    :param y: the classes, [N].
    :param labels: those that the classifier names, [N].
    :param probabilities: [N, C]; None where it has none.
    :return: "accuracy"; "nlpp", the mean of −log p(y), p being at least 1e-15; "calibration_error", see
        :func:`calibration_error`. The last two are None without probabilities.
    """
    scores: dict[str, float | None] = {"accuracy": float(np.mean(labels == y)), "nlpp": None, "calibration_error": None}
    if probabilities is not None:
        true = probabilities[np.arange(len(y)), y]
        scores["nlpp"] = float(-np.mean(np.log(np.maximum(true, _SMALLEST))))
        scores["calibration_error"] = calibration_error(y, probabilities)
    return scores


def calibration_error(y: np.ndarray, probabilities: np.ndarray) -> float:
    """
    The expected calibration error of the most probable class, in ten bins of equal width.

    It is the mean over all series of the difference between how probable their bin's classes were held on average and
    how many of them were right.
    """
    confidence, right = probabilities.max(axis=1), np.argmax(probabilities, axis=1) == y
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = [abs(np.sum(confidence[bins == b]) - np.sum(right[bins == b])) for b in range(_BINS)]
    return float(sum(gaps) / len(y))


def of_numbers(y: np.ndarray, mean: np.ndarray, deviation: np.ndarray, scale: float) -> dict[str, float | None]:
    """
    Scores of a regressor, whose predictions are normal, on a test set.

    :param y: the numbers, [N].
    :param mean: of the predictions, [N].
    :param deviation: of the predictions, noise included, [N].
    :param scale: the deviation of the training set's numbers.
    :return: "r2"; "nlpp", of y in units of ``scale``, so that it can be compared between data sets; "coverage", the
        part of the numbers that lie in the central intervals of 90%.
    """
    z = (y - mean) / deviation
    half = norm.ppf(0.5 + _COVERED / 2)
    return {
        "r2": float(1.0 - np.sum((y - mean) ** 2) / np.sum((y - np.mean(y)) ** 2)),
        "nlpp": float(-np.mean(norm.logpdf(z) - np.log(deviation / scale))),
        "coverage": float(np.mean(np.abs(z) <= half)),
    }
