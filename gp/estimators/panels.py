"""Panels of time series in all their usual forms: arrays, lists, tslearn's padded arrays and sktime's data frames."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sigkernel_tf._arguments import check_unmasked, masked_as_nan
from sigkernel_tf._padded_paths import PaddedPaths

Series = list[np.ndarray]
"""One array [L_i, D] for each series."""

_FORMATS = (
    "[N, L, D] (series, time steps, channels), [N, L] for one channel, a list of series [L_i, D] or [L_i], or sktime's "
    "nested or multi-indexed DataFrame"
)


def as_series(X: Any, name: str = "X") -> Series:
    """
    The series of a panel, each as a float64 array [L_i, D]. A panel is one of the following.

    * an array [N, L, D], tslearn's too: steps at a series' end that are NaN in all channels are padding, and masked
      elements of a NumPy masked array count as NaN. sktime's "numpy3D" is [N, D, L] and cannot be told apart: give
      ``X.transpose(0, 2, 1)``, or sktime's DataFrames. ``fit`` warns of arrays with more channels than time steps;
    * an array [N, L] or a list of lists of numbers: one channel;
    * a list (or an array of objects) of series [L_i, D] or [L_i], also of DataFrames with one row for each time step.
      Those of aeon's "np-list" are [D, L_i]: give ``[x.T for x in X]``;
    * sktime's nested DataFrame: each row is a series, each column a channel, each cell a pandas Series or an array;
    * sktime's "pd-multiindex": rows are indexed by (series, time), those of a series beside each other and in the order
      of time; each column is a channel. The times themselves are not used;
    * a DataFrame of numbers: each row is a series of one channel;
    * a tensor [N, L, D] or [N, L] and a ``tf.RaggedTensor``.

    :param name: what errors call X.
    :raises ValueError: for another shape, no series, an empty series, differing numbers of channels, data frames of one
        list with differing columns, rows out of order, and for NaN and infinity inside a series (which series, which
        step).
    :raises TypeError: for anything that is not a panel of numbers.
    """
    series = _split(X, name)
    if not series:
        raise ValueError(f"{name} must hold at least one series, got 0 sample(s): expected {_FORMATS}.")
    channels = series[0].shape[1]
    if channels == 0:
        raise ValueError(
            f"{name} must have at least one channel, got 0 feature(s) (shape of a series: {series[0].shape})."
        )
    for i, one in enumerate(series):
        if one.shape[1] != channels:
            layout = f"; {list_layout(name)}" if is_listed(X) else ""
            raise ValueError(
                f"{name} must have as many channels in every series, got {channels} in series 0 and {one.shape[1]} in "
                f"series {i}: drop or add channels{layout}."
            )
    return [_without_padding(one, i, name) for i, one in enumerate(series)]


def is_listed(X: Any) -> bool:
    """Whether a panel is a list, or an array of objects, with one element for each series."""
    return isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1)


def list_layout(name: str) -> str:
    """How the series of a list lie, and what to do with those of other libraries: the end of an error about lists."""
    return (
        "the series of a list must have shape (time steps, channels); where it is (channels, time steps), as in aeon's "
        f"np-list, give [x.T for x in {name}]"
    )


def warn_if_transposed(X: Any, name: str = "X") -> None:
    """Warn of an array [N, L, D] with more channels than time steps, as it may be sktime's numpy3D, [N, D, L]."""
    shape = tuple(X.shape) if hasattr(X, "ndim") else ()
    if len(shape) != 3 or 0 in shape:
        return
    _, length, channels = shape
    if channels > length:
        warnings.warn(
            f"{name} has shape {shape}, [N, L, D]: {length} time step(s) of {channels} channels. If it is "
            f"sktime's numpy3D, [N, D, L], give {name}.transpose(0, 2, 1); if not, list({name}) says the same without "
            "this warning.",
            UserWarning,
            stacklevel=3,
        )


def pad(series: Series) -> PaddedPaths:
    """The series in one tensor, each padded with its last value."""
    lengths = [len(one) for one in series]
    values = np.empty((len(series), max(lengths), series[0].shape[1]))
    for row, one in zip(values, series, strict=True):
        row[: len(one)], row[len(one) :] = one, one[-1]
    return PaddedPaths(tf.constant(values), tf.constant(lengths, tf.int32))


def sizes(series: Series) -> str:
    """The numbers of series, of time steps and of channels, in words."""
    lengths = [len(one) for one in series]
    span = f"{min(lengths)}" if min(lengths) == max(lengths) else f"{min(lengths)} to {max(lengths)}"
    return f"{len(series)} series, {span} time steps, {series[0].shape[1]} channels"


def _split(X: Any, name: str) -> Series:
    """The series [L_i, D] with their padding."""
    if type(X).__module__.split(".")[0] == "pandas":
        return _from_pandas(X, name)
    if hasattr(X, "toarray"):
        raise TypeError(f"{name} must be dense, got the sparse {type(X).__name__}: give {name}.toarray(), [N, L].")
    if hasattr(X, "row_splits"):  # a ragged tensor
        X = [X[i].numpy() for i in range(int(X.nrows()))]
    if isinstance(X, (str, bytes, dict)) or not (hasattr(X, "__len__") or hasattr(X, "__array__")):
        cure = f": give list({name})" if isinstance(X, Iterator) else ""
        raise TypeError(f"{name} must be {_FORMATS}, got a {type(X).__name__}{cure}.")
    listed = is_listed(X)
    is_series = [isinstance(one, (list, tuple)) or np.ndim(_values(one)) >= 1 for one in X] if listed else []
    if any(is_series):
        if not all(is_series):
            i = is_series.index(False)
            raise ValueError(
                f"{name} must hold a series [L_i, D] or [L_i] in each place, got {X[i]!r} in place {i}: drop it."
            )
        _check_columns(X, name)
        return [_one(one, f"{name}[{i}]") for i, one in enumerate(X)]
    if listed and len(X) == 0:
        return []
    values = _numbers(X, name)
    if values.ndim not in (2, 3):
        raise ValueError(
            f"{name} must be {_FORMATS}, got an array of shape {values.shape}. Reshape your data: one series is "
            f"{name}[None], many of one time step {name}[:, None]."
        )
    if values.ndim == 2:
        values = values[..., None]
    if values.shape[1] == 0 and len(values):
        raise ValueError(
            f"{name} must have at least one time step: 0 feature(s) (shape={values.shape[:2]}) while a minimum of 1 is "
            "required."
        )
    return list(values)


def _from_pandas(X: Any, name: str) -> Series:
    if not hasattr(X, "columns"):
        raise TypeError(f"{name} must be a DataFrame where it comes from pandas, got a {type(X).__name__}: {_FORMATS}.")
    if X.index.nlevels == 2:
        _check_order(X, name)
        return [_one(group, f"{name}, series {key!r}") for key, group in X.groupby(level=0, sort=False)]
    if X.index.nlevels > 2:
        raise ValueError(
            f"{name} must have an index of (series, time), got {X.index.nlevels} levels: flatten a hierarchy first."
        )
    is_nested = X.size > 0 and any(np.ndim(_values(cell)) for cell in X.iloc[0])
    if not is_nested:
        return list(_numbers(X.to_numpy(), name)[..., None])
    series = []
    for i, row in enumerate(X.itertuples(index=False, name=None)):
        cells = [_numbers(_values(cell), f"{name}, series {i}, column {c!r}") for cell, c in zip(row, X, strict=True)]
        if any(cell.ndim != 1 for cell in cells) or len({len(cell) for cell in cells}) > 1:
            raise ValueError(
                f"{name} must have one vector a cell, of equal lengths in a row, got shapes "
                f"{', '.join(str(cell.shape) for cell in cells)} in series {i}: resample its channels to common times."
            )
        series.append(np.stack(cells, axis=1))
    return series


def _check_columns(X: Sequence[Any], name: str) -> None:
    """Check that all data frames of a list have the same columns in the same order, as these are taken by position."""
    expected = None
    for i, one in enumerate(X):
        columns = list(getattr(one, "columns", []))
        expected = expected or columns
        if columns and columns != expected:
            raise ValueError(
                f"{name} must hold data frames with the same columns in the same order, got {columns} in series {i} "
                f"after {expected}: give [frame[{expected}] for frame in {name}]."
            )


def _check_order(X: Any, name: str) -> None:
    """Check that the rows of each series are beside each other, and that its times increase unless they are text."""
    key = X.index.codes[0]
    inside = key[1:] == key[:-1]
    times = X.index.get_level_values(1)
    is_text = times.dtype == "category" or any(isinstance(time, str) for time in times[:1])
    backwards = np.zeros_like(inside) if is_text else inside & ~np.asarray(times[1:] > times[:-1], bool)
    if len(key) and 1 + np.count_nonzero(~inside) != len(np.unique(key)):
        fault = "rows of one series that are not beside each other"
    elif backwards.any():
        at = int(np.argmax(backwards))
        fault = f"time {times[at + 1]} after {times[at]} in series {X.index[at][0]!r}"
    else:
        return
    raise ValueError(
        f"{name} must have an index (series, time) whose times increase within each series, got {fault}: give "
        f"{name}.sort_index(), with a label a series in the order of its index, and each time once."
    )


def _values(one: Any) -> Any:
    """The array that a pandas object or a tensor holds; anything else as it is."""
    if hasattr(one, "to_numpy"):
        return one.to_numpy()
    return one.numpy() if hasattr(one, "numpy") else one


def _one(one: Any, name: str) -> np.ndarray:
    values = _numbers(_values(one), name)
    if values.ndim not in (1, 2):
        raise ValueError(
            f"{name} must have shape (time steps, channels) or (time steps,), got {values.shape}: give "
            "each series as an element of the list by itself."
        )
    return values if values.ndim == 2 else values[:, None]


def _numbers(values: Any, name: str) -> np.ndarray:
    values = masked_as_nan(values)
    check_unmasked(values, name, "give a masked array of numbers by itself, one for each series")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} must be a rectangle of numbers, or a list with one array (time steps, channels) for each "
            f"series: {error}."
        ) from error
    if array.dtype.kind == "c":
        raise ValueError(
            f"{name} must hold real numbers. Complex data not supported: give real and imaginary channels."
        )
    if array.dtype.kind not in "fiubO":
        cure = f", or give {name}.astype(float) where the text is numbers" if array.dtype.kind in "US" else ""
        raise ValueError(
            f"{name} must hold numbers, got dtype {array.dtype}: encode what it stands for as numbers{cure}."
        )
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{name} must hold numbers only: {error} (argument must be a string or a number): encode others."
        ) from error


def _without_padding(one: np.ndarray, number: int, name: str) -> np.ndarray:
    steps = np.flatnonzero(~np.isnan(one).all(axis=1))
    if len(steps) == 0:
        raise ValueError(
            f"{name} must have at least one time step in each series, got none (or only NaN) in series {number}: drop "
            "that series."
        )
    kept = one[: steps[-1] + 1]
    bad = np.argwhere(~np.isfinite(kept))
    if len(bad):
        step, channel = bad[0]
        raise ValueError(
            f"{name} must be finite inside a series (NaN after its end, in all channels, is padding); got "
            f"{'NaN' if np.isnan(kept[step, channel]) else 'inf (infinity)'} in series {number}, time step {step}, "
            f"channel {channel}: interpolate or drop it first."
        )
    return kept
