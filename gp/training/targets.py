"""What a fit to features takes: targets, numbers as they are or a column for each class of labels, and settings."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from sigkernel_tf._arguments import check_unmasked

Task = Literal["auto", "classification", "regression"]
_MOST_LIKELY_CLASSES = 30  # whole floats of no more different values look like labels


@dataclass(frozen=True)
class Targets:
    """The targets of a training set."""

    Y: np.ndarray
    """Labels as ones and zeros, a column for each class, or numbers; less ``offset``, [N, C]."""
    offset: np.ndarray
    """The frequency of each class, or the mean of each number, [C]."""
    classes: np.ndarray | None
    """The labels, sorted, [C]. None: numbers."""
    numbers: np.ndarray | None
    """The number of each row's class, [N]. None: numbers."""


def as_targets(y: Any, task: Task = "auto") -> Targets:
    """
    Targets of y.

    :param y: labels [N] or [N, 1]: integers, booleans or text; or floats [N] or [N, P].
    :param task: what y holds: labels, which may then be whole floats, too, or numbers, which may be integers, too.
        "auto": numbers where they are floats, and labels otherwise. Warns of floats that look like labels.
    :raises ValueError: for other shapes, for labels of a single class, for a NaN or an infinity, for fractions as
        labels, and for another task.
    :raises TypeError: for another dtype.
    """
    if task not in get_args(Task):
        raise ValueError(f"task must be one of {get_args(Task)}, got {task!r}.")
    check_unmasked(y, "y", "leave such rows out")
    y = np.asarray(y)
    if y.dtype == object and y.ndim and all(isinstance(label, str) for label in y.ravel()):
        y = y.astype(str)
    if y.dtype.kind not in "biuUSf":
        raise TypeError(
            "y must hold labels (integers, booleans or text) or, for a regression, floats, got dtype "
            f"{y.dtype}: for instance y.astype(str) or y.astype(float)."
        )
    if y.ndim not in (1, 2) or not y.size:
        raise ValueError(f"y must hold a label or a float for each row, [N], or floats [N, P], got shape {y.shape}.")
    if task == "regression" and y.dtype.kind in "US":
        raise TypeError(f"y must hold numbers for a regression, got text ({y.dtype}): for instance y.astype(float).")
    if task == "auto" and y.dtype.kind == "f":
        _warn_of_labels(y)
    is_regression = y.dtype.kind == "f" if task == "auto" else task == "regression"
    return _of_numbers(y) if is_regression else _of_labels(y)


def _warn_of_labels(y: np.ndarray) -> None:
    """Warn of floats that were probably meant as labels: whole numbers, and each of them several times."""
    if y.size != len(y) or not (np.isfinite(y) & (y == np.round(y))).all():
        return
    values = np.unique(y)
    if len(values) <= min(_MOST_LIKELY_CLASSES, len(y) // 2):
        warnings.warn(
            f"y holds floats, which are taken as numbers to predict, but only {len(values)} different ones, all whole, "
            f'as class labels are: give task="classification" (or y.astype(int)) if they are labels, and '
            'task="regression" if they are numbers.',
            UserWarning,
            stacklevel=4,
        )


def _of_numbers(y: np.ndarray) -> Targets:
    Y = y.astype(float).reshape(len(y), -1)
    if not np.isfinite(Y).all():
        row, column = np.argwhere(~np.isfinite(Y))[0]
        raise ValueError(f"y must be finite, got {Y[row, column]} in row {row}: leave such rows out.")
    varies = np.ptp(Y, axis=0) > 0
    if not varies.any():
        raise ValueError(f"y must vary, got {Y[0].tolist()} in all of {len(Y)} rows: there is nothing to predict.")
    offset = np.where(varies, Y.mean(axis=0), Y[0])  # the mean of equal numbers may be off by rounding
    return Targets(Y - offset, offset, None, None)


def _of_labels(y: np.ndarray) -> Targets:
    if y.size != len(y):
        raise ValueError(
            f"y must hold one label for each row, [N], got shape {y.shape}: of one-hot rows take np.argmax(y, axis=1); "
            "numbers to regress on take y.astype(float)."
        )
    whole = np.isfinite(y) & (y == np.round(y)) if y.dtype.kind == "f" else np.ones(y.shape, bool)
    if not whole.all():
        row = int(np.argmin(whole.ravel()))
        raise ValueError(
            f"y must hold labels (integers, booleans, text or whole floats), got {y.ravel()[row]} in row {row}: leave "
            "rows without a label out; numbers to predict are for a regression."
        )
    classes, numbers = np.unique(y.ravel(), return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y must hold at least two classes, got only {classes[0]!r}: add rows of another class.")
    frequencies = np.bincount(numbers) / len(numbers)
    return Targets(np.eye(len(classes))[numbers] - frequencies, frequencies, classes, numbers)


def checked_positive(values: Sequence[float], name: str) -> np.ndarray:
    """
    Settings among which a fit chooses, as a vector.

    :raises ValueError: for anything but positive numbers.
    """
    found = np.atleast_1d(np.asarray(values))
    if found.ndim != 1 or found.dtype.kind not in "iuf" or not found.size:
        raise ValueError(f"{name} must be a sequence of positive numbers, got {values!r}: for instance [0.01, 0.1].")
    if not (np.isfinite(found) & (found > 0)).all():
        raise ValueError(f"{name} must be positive and finite, got {found.tolist()}: for instance [0.01, 0.1].")
    return found.astype(float)
