"""The weights of series, by themselves and by their classes."""

from typing import Any

import numpy as np

from sigkernel_tf._arguments import check_unmasked


def checked_weights(sample_weight: Any, num_series: int) -> np.ndarray:
    """
    The weights [N] with mean 1 over those that are not 0.

    :param sample_weight: N numbers that are not negative; None: ones.
    :raises ValueError: for another shape, and for weights that are negative, not finite, or 0 for all but one series.
    :raises TypeError: for what are no numbers.
    """
    if sample_weight is None:
        return np.ones(num_series)
    check_unmasked(sample_weight, "sample_weight")
    try:
        weights = np.asarray(sample_weight, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"sample_weight must hold numbers: {error}.") from error
    if weights.shape != (num_series,):
        raise ValueError(
            f"sample_weight must hold a number for each of the {num_series} series of X, got shape {weights.shape}: "
            "sample_weight.shape must be (n_samples,)."
        )
    good = np.isfinite(weights) & (weights >= 0)
    if not good.all():
        bad = int(np.argmin(good))
        raise ValueError(
            f"sample_weight must hold finite numbers that are not negative, got {weights[bad]} for series {bad}: set "
            "those to leave out to 0."
        )
    if np.count_nonzero(weights) < 2:
        raise ValueError(
            f"sample_weight must not be zero for all series but one, got {np.count_nonzero(weights)} above 0: give "
            "None for equal weights."
        )
    weights = weights / weights.max()  # so that no sum of them overflows
    return weights / weights[weights > 0].mean()


def with_class_weights(weights: np.ndarray, class_weight: Any, classes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """
    The weights times those of the classes, with mean 1.

    :param weights: of the series, [N].
    :param class_weight: a dict from labels to positive numbers, which leaves others at 1, "balanced" or None.
    :param classes: the labels.
    :param numbers: the number of each series' class, [N].
    :raises ValueError: for another text, for labels that are not among ``classes``, and for weights that are not
        positive.
    :raises TypeError: for anything else.
    """
    if class_weight is None:
        return weights / weights.mean()
    if isinstance(class_weight, str) and class_weight == "balanced":
        of_classes = 1.0 / np.bincount(numbers, weights=weights)
    elif isinstance(class_weight, dict):
        unknown = sorted(map(str, set(class_weight) - set(classes.tolist())))
        if unknown:
            raise ValueError(
                f"class_weight must have weights for labels of y, {classes.tolist()}, got {', '.join(unknown)}: leave "
                "them out, or correct them."
            )
        try:
            of_classes = np.array([class_weight.get(label, 1.0) for label in classes.tolist()], dtype=float)
        except (TypeError, ValueError) as error:
            raise TypeError(f"class_weight must hold positive numbers, got {class_weight!r}: {error}.") from error
        if not (np.isfinite(of_classes) & (of_classes > 0)).all():
            raise ValueError(f"class_weight must hold positive numbers, got {class_weight!r}.")
    else:
        raise ValueError(
            f'class_weight must be a dict from labels to numbers, "balanced" or None, got {class_weight!r}.'
        )
    found = weights * of_classes[numbers]
    return found / found.mean()
