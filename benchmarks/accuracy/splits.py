"""
Training and test sets: the archive's own, resampled ones of the same sizes, and halves of the training set alone.

Split 0 is the archive's. In every other one both sets are pooled and dealt out again, with as many series of each class
for training as the archive has. ``half_of_training`` is what defaults may be developed on: it deals out the archive's
training set only, half of each class for training, and the test set is not even read.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import datasets
from .datasets import Labelled, Source
from .exchange import CLASSIFICATION, Series


@dataclass(frozen=True)
class Split:
    """What a method is fitted to and scored on."""

    X: Series
    y: np.ndarray
    """[N]: classes from 0 to C - 1, or numbers."""
    X_test: Series
    y_test: np.ndarray
    num_classes: int
    """0 for a regression."""


def load(source: Source, number: int, *, halves: bool = False, environment: Path | None = None) -> Split:
    """
    A split of a data set, always the same one for the same number.

    :param number: 0 for the archive's own split, and from 1 for others; halves are resampled for 0 as well.
    :param halves: whether to use the archive's training set alone.
    """
    train = datasets.load(source, datasets.TRAIN, environment)
    if halves:
        return half_of_training(source.task, train, number)
    test = datasets.load(source, datasets.TEST, environment)
    pooled = Labelled([*train.X, *test.X], np.concatenate([train.y, test.y]))
    rows = np.arange(len(pooled.X))
    if number == 0:
        return _split(source.task, pooled, rows[: len(train.X)], rows[len(train.X) :])
    sizes = _sizes(source.task, pooled.y, train.y)
    return _split(source.task, pooled, *_dealt(source.task, pooled.y, sizes, number))


def half_of_training(task: str, train: Labelled, number: int) -> Split:
    """Halves of a training set: of each class, one series more for training where their number is odd."""
    kinds = train.y if task == CLASSIFICATION else np.zeros(len(train.y))
    _, counts = np.unique(kinds, return_counts=True)
    return _split(task, train, *_dealt(task, train.y, (counts + 1) // 2, number))


def _sizes(task: str, pooled: np.ndarray, train: np.ndarray) -> np.ndarray:
    """How many series of each kind in the pooled data are for training."""
    if task != CLASSIFICATION:
        return np.array([len(train)])
    return np.array([np.sum(train == kind) for kind in np.unique(pooled)])


def _dealt(task: str, y: np.ndarray, sizes: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and for testing, of each kind so many for training, in the order of the data."""
    random = np.random.default_rng(number)
    kinds = np.unique(y, return_inverse=True)[1] if task == CLASSIFICATION else np.zeros(len(y), int)
    training = np.zeros(len(y), bool)
    for kind, size in enumerate(sizes):
        training[random.permutation(np.flatnonzero(kinds == kind))[:size]] = True
    return np.flatnonzero(training), np.flatnonzero(~training)


def _split(task: str, data: Labelled, training: np.ndarray, testing: np.ndarray) -> Split:
    y, num_classes = data.y, 0
    if task == CLASSIFICATION:
        classes, y = np.unique(data.y, return_inverse=True)
        num_classes = len(classes)
    X, X_test = ([data.X[row] for row in rows] for rows in (training, testing))
    return Split(X, y[training], X_test, y[testing], num_classes)
