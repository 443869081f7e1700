"""What the experiments know of a data set, and checks that its files are the published ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Series = Sequence[np.ndarray] | np.ndarray
"""Arrays [L_i, D] of any lengths; or one array [N, L, D], which `protocol.as_inputs` does not copy."""

Where = Callable[[int], str]
"""Gives the place that a series was read from, by its number: its file and line, for messages."""


def nowhere(number: int) -> str:
    """The place of a series that was read from no file: only its number."""
    return f"series {number}"


@dataclass(frozen=True)
class Defaults:
    """How a model is trained on a data set by default. Validation splits chose these values, never the test set."""

    num_inducing: int
    iterations: int
    batch_size: int
    lengthscale: float
    """Where every channel's lengthscale starts."""
    validation_fraction: float = 0.2
    """The part of the training series held out in phases 1 and 2 (appendix B.2: 20%; 2% of the million series)."""
    learning_rate: float = 1e-3
    """Nadam's. It is that of appendix B.2, unless there are too few steps for it."""


@dataclass(frozen=True)
class PaperScore:
    """A row of the paper's tables: the means and standard deviations over its runs."""

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
    channels: tuple[str, ...] = ()
    """Names of the channels after preprocessing, time first; () if they have none."""
    stands_in_for: str | None = None
    """The data set that these synthetic series stand in for, which every table says; None for real data."""


@dataclass(frozen=True)
class Dataset:
    """Preprocessed series with labels from 0 to C − 1, split into training and test set as published."""

    description: Description
    X_train: Series
    """Series [L_i, D], of any lengths."""
    y_train: np.ndarray
    X_test: Series
    y_test: np.ndarray
    source: str
    """Where the series were read from."""
    amounts_test: np.ndarray | None = None
    """[N_test], the amount that the label says is large or small, for pictures: rain in mm. None if there is none."""
    validation: np.ndarray | None = None
    """The rows of ``X_train`` held out in phases 1 and 2; None to draw them at random."""

    @property
    def num_classes(self) -> int:
        """The number of classes, C."""
        return int(self.y_train.max()) + 1

    @property
    def num_channels(self) -> int:
        """The number of channels after preprocessing, D."""
        return self.X_train[0].shape[1]


def labels_from(values: Any, classes: Sequence[str], where: Where = nowhere) -> np.ndarray:
    """
    Number labels from 0 in the order of ``classes``; "3" and "3.0" are the same label.

    :raises ValueError: for a label that is not among ``classes``, saying where it first occurs.
    """
    number = {name: i for i, name in enumerate(classes)}
    names = [str(value).strip().removesuffix(".0") for value in values]
    unknown = sorted(set(names) - set(number))
    if unknown:
        first = next(i for i, name in enumerate(names) if name not in number)
        raise ValueError(
            f"labels must be among {', '.join(classes)}, got {', '.join(unknown[:5])}; first {where(first)}."
        )
    return np.array([number[name] for name in names], dtype=np.int64)


def check_split(
    split: str,
    X: Series,
    y: np.ndarray,
    *,
    channels: int,
    lengths: tuple[int, int],
    class_counts: Sequence[int] | None = None,
    num_series: int | None = None,
    missing: float | None = None,
    where: Where = nowhere,
) -> None:
    """
    Check that a split is the published one.

    :param split: what messages call it, such as "Crop, training".
    :param lengths: the lengths of the shortest and the longest series.
    :param class_counts: how many series each class has; None if that is not published.
    :param num_series: how many series there are, if ``class_counts`` is None.
    :param missing: a number that stands for a missing value.
    :param where: gives the place of a series, for the message.
    :raises ValueError: naming what differs and where. The files are then other ones, or were cut short.
    """
    shapes = sorted({series.shape[1] for series in X})
    extent = (min(map(len, X), default=0), max(map(len, X), default=0))
    whole = [bool(np.isfinite(series).all() and not (series == missing).any()) for series in X]
    found: list[tuple[str, Any, Any, list[bool]]] = [
        ("channels", shapes, [channels], [series.shape[1] == channels for series in X]),
        ("lengths", extent, lengths, [lengths[0] <= len(series) <= lengths[1] for series in X]),
        ("finite values", all(whole), True, whole),
    ]
    if class_counts is not None:
        num_series = sum(class_counts)
        counts = np.bincount(y, minlength=len(class_counts)).tolist()
        found.append(("series of each class", counts, list(class_counts), []))
    if num_series is not None:
        found.insert(0, ("series", len(X), num_series, []))
    for what, got, expected, good in found:
        if got != expected:
            place = "" if all(good) else f" (first {where(good.index(False))})"
            raise ValueError(
                f"{split}: expected {what} {expected}, got {got}{place}: these are not the published files, or only a "
                "part of them; fetch them again."
            )
