"""The paper's preprocessing (appendix B.1): put a time channel from 0 to 1 in front, then standardise every channel."""

import numpy as np

import sigkernel_tf as sk

from .dataset import Series


def prepare_each(X: np.ndarray) -> np.ndarray:
    """
    Add time, then standardise each channel of each series by itself, as tslearn's scaler does.

    :param X: series [N, L, D].
    :return: [N, L, D + 1], with the dtype of X.
    """
    return sk.paths.standardize(sk.paths.add_time(X))


def prepare_by_training(X_train: Series, X_test: Series) -> tuple[Series, Series]:
    """
    Add time, then standardise each channel by the training set's mean and deviation over all steps of all series.

    This is for data in which the level of a series matters, which :func:`prepare_each` would remove.

    :param X_train: a list of arrays [L_i, D], or one array [N, L, D].
    :param X_test: the same.
    :return: both, with D + 1 channels.
    """
    X_train, X_test = sk.paths.add_time(X_train), sk.paths.add_time(X_test)
    mean, deviation = sk.paths.mean_and_deviation(X_train)
    X_train, X_test = (sk.paths.standardize(X, mean=mean, deviation=deviation) for X in (X_train, X_test))
    return X_train, X_test
