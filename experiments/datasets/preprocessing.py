"""The paper's preprocessing (appendix B.1): a time channel from 0 to 1 in front, then every channel standardised."""

import numpy as np

import sigkernel_tf as sk

from .dataset import Series


def prepare_each(X: np.ndarray) -> np.ndarray:
    """
    Time added, then each channel of each series standardised by itself, as tslearn's scaler does.

    :param X: series [N, L, D].
    :return: [N, L, D + 1], of X's dtype.
    """
    return sk.paths.standardize(sk.paths.add_time(X))


def prepare_by_training(X_train: Series, X_test: Series) -> tuple[Series, Series]:
    """
    Time added, then each channel less the training set's mean, over its deviation (over all steps of all series).

    For data in which the level of a series tells something, which :func:`prepare_each` would remove.

    :param X_train: arrays [L_i, D] in a list, or [N, L, D].
    :param X_test: the same.
    :return: both, of D + 1 channels.
    """
    X_train, X_test = sk.paths.add_time(X_train), sk.paths.add_time(X_test)
    mean, deviation = sk.paths.mean_and_deviation(X_train)
    X_train, X_test = (sk.paths.standardize(X, mean=mean, deviation=deviation) for X in (X_train, X_test))
    return X_train, X_test
