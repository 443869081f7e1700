"""What a data set is to the experiments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Series = Sequence[np.ndarray]


@dataclass(frozen=True)
class Defaults:
    """How a data set is trained on unless asked otherwise; chosen on validation splits, never on the test set."""

    num_inducing: int
    iterations: int
    batch_size: int
    lengthscale: float
    """Where every channel's lengthscale starts."""


@dataclass(frozen=True)
class PaperScore:
    """A row of the paper's tables: means and deviations over its runs."""

    model: str
    accuracy: tuple[float, float]
    """Fractions, not per cent."""
    nlpp: tuple[float, float]
    seconds_per_iteration: float


@dataclass(frozen=True)
class Description:
    """What is known of a data set before it is loaded."""

    name: str
    summary: str
    preprocessing: str
    defaults: Defaults
    paper: tuple[PaperScore, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Preprocessed series with labels 0 to C − 1, split as published."""

    description: Description
    X_train: Series
    """Series [L_i, D], of any lengths."""
    y_train: np.ndarray
    X_test: Series
    y_test: np.ndarray
    source: str
    """Where the files were read from."""

    @property
    def num_classes(self) -> int:
        """C."""
        return int(self.y_train.max()) + 1

    @property
    def num_channels(self) -> int:
        """D, after preprocessing."""
        return self.X_train[0].shape[1]


def labels_from(values: Any, classes: Sequence[str]) -> np.ndarray:
    """
    Numbers 0, 1, ... for labels in the order of ``classes``; "3" and "3.0" are the same label.

    :raises ValueError: for a label that is none of them.
    """
    number = {name: i for i, name in enumerate(classes)}
    names = [str(value).strip().removesuffix(".0") for value in values]
    unknown = sorted(set(names) - set(number))
    if unknown:
        raise ValueError(f"labels must be among {', '.join(classes)}, got {', '.join(unknown[:5])}.")
    return np.array([number[name] for name in names], dtype=np.int64)


def check_split(
    split: str, X: Series, y: np.ndarray, *, channels: int, lengths: tuple[int, int], class_counts: Sequence[int]
) -> None:
    """
    That a split is what was published.

    :param lengths: the shortest and the longest series.
    :param class_counts: how many series each class has.
    :raises ValueError: naming what differs; the files are then others, or were cut short.
    """
    counts = np.bincount(y, minlength=len(class_counts)).tolist()
    found = [
        ("series", len(X), sum(class_counts)),
        ("channels", sorted({series.shape[1] for series in X}), [channels]),
        ("lengths", (min(map(len, X), default=0), max(map(len, X), default=0)), lengths),
        ("series of each class", counts, list(class_counts)),
        ("finite values", all(np.isfinite(series).all() for series in X), True),
    ]
    for what, got, expected in found:
        if got != expected:
            raise ValueError(
                f"{split}: expected {what} {expected}, got {got}: these are not the published files, or only a part "
                "of them; fetch them again."
            )
