"""The channels of series: whether those to predict have the number, names and order of the training set's."""

import warnings
from typing import Any

from .panels import Series, is_listed, list_layout


def column_names(X: Any) -> list[str] | None:
    """The names of a panel's columns where it comes in data frames and all are text, as scikit-learn has them."""
    frames = X if is_listed(X) else [X]
    columns = list(getattr(frames[0], "columns", [])) if len(frames) else []
    return columns if columns and all(isinstance(name, str) for name in columns) else None


def check_names(names: list[str] | None, fitted: list[str] | None, estimator: str) -> None:
    """
    Channels are taken by position, so their names must be those of ``fit``, in its order.

    Warns, as scikit-learn does, where only one of the two panels has names.

    :param names: of the panel to predict; None: it has none.
    :param fitted: of the training set; None: it had none.
    :param estimator: the estimator's class, for messages.
    :raises ValueError: for other names, and for another order.
    """
    if names is None and fitted is None:
        return
    if fitted is None:
        warnings.warn(f"X has feature names, but {estimator} was fitted without feature names", stacklevel=4)
    elif names is None:
        warnings.warn(
            f"X does not have valid feature names, but {estimator} was fitted with feature names", stacklevel=4
        )
    elif names != fitted:
        raise ValueError(_differing(names, fitted))


def check_number(series: Series, num_channels: int, X: Any, estimator: str) -> None:
    """
    :param num_channels: the training set's.
    :param X: the panel as the user gave it: its shape can show what went wrong.
    :param estimator: the estimator's class, for messages.
    :raises ValueError: for series with another number of channels.
    """
    if series[0].shape[1] == num_channels:
        return
    shape: Any = getattr(X, "shape", ())
    cure = "give the same channels in the same order, time before channels ([N, L, D])"
    if is_listed(X):
        cure = f"give the same channels in the same order; {list_layout('X')}"
    if len(shape) == 2 and shape[1] == num_channels:
        cure = f"an array {tuple(shape)} is that many series of one channel; one series is X[None]"
    elif len(shape) == 3 and shape[1] == num_channels:
        cure = "sktime's numpy3D is [N, D, L]: give X.transpose(0, 2, 1)"
    raise ValueError(
        f"X must have the {num_channels} channels that {estimator} was fitted on, got {series[0].shape[1]}: {cure}."
    )


def _differing(names: list[str], fitted: list[str]) -> str:
    """scikit-learn's message for columns that are not those of ``fit``, and the cure."""
    lines = ["The feature names should match those that were passed during fit."]
    for title, listed in (
        ("Feature names unseen at fit time:", sorted(set(names) - set(fitted))),
        ("Feature names seen at fit time, yet now missing:", sorted(set(fitted) - set(names))),
    ):
        if listed:
            lines += [title, *(f"- {name}" for name in listed[:5]), *(["- ..."] if len(listed) > 5 else [])]
    if len(lines) == 1:
        lines.append("Feature names must be in the same order as they were in fit.")
    lines.append("X must have the columns feature_names_in_: give X[list(estimator.feature_names_in_)].")
    return "\n".join(lines) + "\n"
