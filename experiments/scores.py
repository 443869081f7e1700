"""Scores of predicted probabilities of two classes, from scikit-learn."""

from typing import Any

import numpy as np

_BINS = 10


def binary_scores(y: np.ndarray, probability: np.ndarray) -> dict[str, Any]:
    """
    The area under the ROC curve, and how often class 1 came true among series of about the same probability.

    :param y: classes [N], 0 and 1.
    :param probability: predicted probabilities [N] of class 1.
    :return: ``roc_auc``, and ``calibration``: for each of ten bins of equal width that is not empty, the mean
        ``predicted`` probability and the ``observed`` frequency.
    """
    from sklearn.calibration import calibration_curve  # imported here because it is slow
    from sklearn.metrics import roc_auc_score

    observed, predicted = calibration_curve(y, probability, n_bins=_BINS)
    return {
        "roc_auc": float(roc_auc_score(y, probability)),
        "calibration": {"predicted": predicted.tolist(), "observed": observed.tolist()},
    }
