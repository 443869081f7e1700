"""Checks that Y holds what its likelihood can take, before anything is computed with it."""

from collections.abc import Callable
from typing import Any

import numpy as np
from gpflow.config import default_float
from gpflow.likelihoods import Beta, Exponential, Gamma, Likelihood, Poisson

from .._chunks import row_parts
from .classes import num_classes

# The supports of densities, outside of which GPflow's bound is infinite or NaN.
_SUPPORT: dict[type, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    Poisson: ("non-negative", lambda y: y >= 0),
    Exponential: ("non-negative", lambda y: y >= 0),
    Gamma: ("positive", lambda y: y > 0),
    Beta: ("strictly between 0 and 1", lambda y: (y > 0) & (y < 1)),
}


def output_dtype(likelihood: Likelihood) -> Any:
    """The dtype in which a likelihood takes y: ``Softmax`` and ``MultiClass`` an index, all others a number."""
    return np.int64 if hasattr(likelihood, "num_classes") else default_float()


def check_outputs(Y: Any, likelihood: Likelihood) -> None:
    """
    Check that a likelihood can take Y.

    :param Y: array-like [N, P], read a part at a time.
    :raises ValueError: for values that are not finite or lie outside the likelihood's support, and for labels that are
        not among its classes.
    :raises TypeError: for values that are not numbers.
    """
    if np.dtype(Y.dtype).kind not in "biuf":
        raise TypeError(
            f"Y must hold numbers, got dtype {Y.dtype}: number classes from 0 with "
            "np.unique(y, return_inverse=True)[1][:, None]."
        )
    conditions: list[tuple[str, Callable]] = [("finite", np.isfinite)]
    conditions += [rule for kind, rule in _SUPPORT.items() if isinstance(likelihood, kind)]
    count = num_classes(likelihood)
    if count is not None and Y.shape[1] != 1:
        raise ValueError(
            f"Y must have one column where it holds classes, got shape {tuple(Y.shape)}: of one-hot rows take "
            "np.argmax(Y, axis=1)[:, None]."
        )
    labels, first = np.empty(0), 0
    for part in row_parts(Y):
        for what, holds in conditions:
            good = holds(part).all(axis=1)
            if not good.all():
                row = int(np.argmin(good))
                raise ValueError(
                    f"Y must be {what} for {type(likelihood).__name__}, got {part[row].tolist()} in row {first + row}: "
                    "leave such rows out, or take another likelihood."
                )
        if count is not None:
            labels = np.union1d(labels, part) if first else np.unique(part)
        first += len(part)
    if count is not None:
        _check_labels(labels, count)


def _check_labels(labels: np.ndarray, count: int) -> None:
    if not np.isin(labels, np.arange(count)).all():
        shown = ", ".join(str(label) for label in labels[:5]) + (", ..." if len(labels) > 5 else "")
        raise ValueError(
            f"Y must hold classes 0 to {count - 1}, for the likelihood has {count}, got {shown}: "
            "number them with np.unique(y, return_inverse=True)[1][:, None]."
        )
