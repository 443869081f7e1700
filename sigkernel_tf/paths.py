"""
Preparing time series: time, base point, lead-lag, fading, padding, standardizing.

Every function takes the same four kinds of series and returns what it was given: NumPy in, NumPy out; tensors in,
tensors out, differentiable, also inside ``tf.function``.

* an array or tensor [N, L, D];
* the same with NaNs after the end of shorter series, in all channels: variable length;
* a list of N arrays or tensors [L_i, D], or [L_i] for one channel, which comes back as [L_i, 1];
* a ``tf.RaggedTensor`` [N, (L_i), D], or [N, (L_i)] for one channel.

In lists and ragged tensors too, steps at the end that are NaN in all channels count as padding and are dropped. The
masked elements of a NumPy masked array count as NaN, and what comes back is a plain array.
float32 and float64 are kept; integers become float64 in NumPy and are refused as tensors. A NaN or an infinity inside a
series is an error that names the series and the step: a ValueError for NumPy, a tf.errors.InvalidArgumentError for
tensors. What the arguments' shapes and dtypes show is a ValueError or TypeError.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from . import _checks, _padded_paths, static_kernels
from ._arguments import check_unmasked, masked_as_nan
from ._padded_paths import PaddedPaths


def add_time(X: Any) -> Any:
    """
    Puts time in channel 0: from 0 to 1 in equal steps over each series' own length; 0 where the length is 1.

    >>> sk.paths.add_time(np.array([[[3.0], [4.0], [6.0]]])).tolist()
    [[[0.0, 3.0], [0.5, 4.0], [1.0, 6.0]]]

    :param X: series of D channels, of any kind this module takes.
    :return: series of D + 1 channels, of X's kind.
    """
    return _transform(X, _padded_paths.add_time)


def add_basepoint(X: Any) -> Any:
    """
    Prepends zeros to each series, which makes its signature see where the series starts.

    >>> sk.paths.add_basepoint(np.array([[[3.0], [4.0]]])).tolist()
    [[[0.0], [3.0], [4.0]]]

    :param X: series of D channels, of any kind this module takes.
    :return: series that are one step longer, of X's kind.
    """
    return _transform(X, _padded_paths.add_basepoint)


def lead_lag(X: Any) -> Any:
    """
    The lead-lag transform: each series beside itself one step later.

    A series x_1, ..., x_L becomes (x_1, x_1), (x_2, x_1), (x_2, x_2), (x_3, x_2), ..., (x_L, x_L): the lead moves
    first, the lag follows. The lead's channels come first, then the lag's.

    >>> sk.paths.lead_lag(np.array([[[3.0], [4.0], [6.0]]])).tolist()
    [[[3.0, 3.0], [4.0, 3.0], [4.0, 4.0], [6.0, 4.0], [6.0, 6.0]]]

    :param X: series of D channels and L steps, of any kind this module takes.
    :return: series of 2D channels and 2L - 1 steps, of X's kind.
    """
    return _transform(X, _padded_paths.lead_lag)


def fade(X: Any, half_life: Any) -> Any:
    r"""
    Lets the past of each series fade, as in a kernel that forgets (Toth, Cucuringu & Oberhauser 2024).

    Each increment is multiplied by a half for every ``half_life`` steps that come after it, up to the series' own end.
    A series ends where it ended: what is recent stays, and what is long past moves together. In a signature each
    factor dx_t of an iterated integral so counts 2^(−(T − t) / half_life), and one step more multiplies level m of what
    has been by 2^(−m / half_life). Put time or a base point beside the series first if they are to fade, too.

    >>> sk.paths.fade(np.array([[[0.0], [8.0], [16.0]]]), half_life=1.0).tolist()  # the first step counts half
    [[[4.0], [8.0], [16.0]]]

    :param X: series of D channels, of any kind this module takes.
    :param half_life: in time steps, positive: one number, or one for each channel, [D]; a number or a tensor.
    :return: series of X's kind and shape.
    :raises ValueError: for a half-life that is not positive, or not one number or one for each channel.
    """

    def change(paths: PaddedPaths) -> PaddedPaths:
        like = paths.values
        return _padded_paths.fade(paths, static_kernels.one_or_each(half_life, like, "half_life"))

    return _transform(X, change)


def pad_ragged(X: Any) -> Any:
    """
    Pads each series on the right with its own last value, up to the length of the longest, or of the given array.

    It changes neither a signature nor a signature kernel but for rounding. Add time before padding, not after.

    >>> sk.paths.pad_ragged([np.array([[3.0], [4.0], [6.0]]), np.array([[1.0]])]).tolist()
    [[[3.0], [4.0], [6.0]], [[1.0], [1.0], [1.0]]]

    :param X: series of D channels, of any kind this module takes.
    :return: [N, L, D] without NaNs, an array for NumPy, a tensor for tensors.
    """
    return _transform(X, lambda paths: paths, write=lambda paths, _: paths.values)


def standardize(X: Any, *, mean: Any = None, deviation: Any = None) -> Any:
    """
    Subtracts the mean of each channel and divides by its population deviation (ddof 0; a deviation of 0 counts as 1).

    Without ``mean`` and ``deviation``, each series by its own, as tslearn's TimeSeriesScalerMeanVariance does. With
    them, all series by these numbers, as for a test set by its training set's::

        mean, deviation = mean_and_deviation(X_train)
        X_test = standardize(X_test, mean=mean, deviation=deviation)

    Padding is ignored.

    >>> sk.paths.standardize(np.array([[[1.0], [3.0]]])).tolist()
    [[[-1.0], [1.0]]]

    :param X: series of D channels, of any kind this module takes.
    :param mean: [D] or a number.
    :param deviation: [D] or a number, >= 0.
    :return: series of X's kind and shape.
    :raises ValueError: where only one of ``mean`` and ``deviation`` is given, or one is not a number for each channel.
    """
    if (mean is None) != (deviation is None):
        raise ValueError("standardize takes mean and deviation together, or neither: see mean_and_deviation.")
    return _transform(X, lambda paths: _padded_paths.standardize(paths, mean, deviation))


def mean_and_deviation(X: Any) -> tuple[Any, Any]:
    """
    Mean and population deviation of each channel over all time steps of all series, padding left out.

    >>> mean, deviation = sk.paths.mean_and_deviation(np.array([[[1.0], [3.0]], [[1.0], [3.0]]]))
    >>> mean.tolist(), deviation.tolist()
    ([2.0], [1.0])

    :param X: at least one series of D channels, of any kind this module takes.
    :return: mean [D] and deviation [D], arrays for NumPy, tensors for tensors.
    """

    def write(paths: PaddedPaths, _: Any) -> list[tf.Tensor]:
        tf.debugging.assert_positive(tf.size(paths.lengths), "mean_and_deviation needs at least one series")
        return [moment[0, 0] for moment in _padded_paths.moments(paths, per_series=False)]

    mean, deviation = _transform(X, lambda paths: paths, write=write)
    return mean, deviation


def _transform(
    X: Any,
    change: Callable[[PaddedPaths], PaddedPaths],
    write: Callable[[PaddedPaths, Any], Any] | None = None,
) -> Any:
    """``change`` applied to X, the result written in X's kind or by ``write``; NumPy in, NumPy out."""
    write = write or _write_like
    if tf.is_tensor(X) or (isinstance(X, (list, tuple)) and any(tf.is_tensor(one) for one in X)):
        return write(change(_read(X)), X)
    try:
        with tf.init_scope():  # computed at once, also where a tf.function is being traced
            result = write(change(_read(X)), X)
            return [one.numpy() for one in result] if isinstance(result, list) else result.numpy()
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(error.message) from None


def _write_like(paths: PaddedPaths, X: Any) -> Any:
    if isinstance(X, tf.RaggedTensor):
        lengths = tf.cast(paths.lengths, X.row_splits.dtype)
        return tf.RaggedTensor.from_tensor(paths.values, lengths=lengths, row_splits_dtype=X.row_splits.dtype)
    if isinstance(X, (list, tuple)):
        return [paths.values[i, : paths.lengths[i]] for i in range(len(X))]
    return tf.where(paths.inside(), paths.values, tf.constant(np.nan, paths.values.dtype))


def _read(X: Any) -> PaddedPaths:
    if isinstance(X, tf.RaggedTensor):
        values = _dense(X)
    elif isinstance(X, (list, tuple)):
        values = _dense(_ragged(X))
    else:
        values = _checks.as_paths(X if tf.is_tensor(X) else _floats(X, "X"), "X")
        values = tf.ensure_shape(values, [None, None, None])
    step = tf.range(tf.shape(values)[1])[None, :]
    has_values = tf.logical_not(tf.reduce_all(tf.math.is_nan(values), axis=-1))
    lengths = tf.maximum(tf.reduce_max(tf.where(has_values, step + 1, 0), axis=1), 0)  # 0 where there are no steps
    values = _checked(values, lengths)
    last = tf.maximum(lengths - 1, 0)[:, None]
    return PaddedPaths(tf.gather(values, tf.minimum(step, last), batch_dims=1), lengths)


def _checked(values: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """``values``, once they are known to be finite up to their lengths, and their lengths not to be 0."""
    inside = tf.range(tf.shape(values)[1])[None, :] < lengths[:, None]
    bad = tf.where(inside & tf.logical_not(tf.reduce_all(tf.math.is_finite(values), axis=-1)))[:1]  # [0 or 1, 2]
    empty = tf.where(lengths == 0)[:1]
    missing = (
        "X must hold finite numbers inside a series; fill or interpolate missing values first (only a series' end "
        "may be NaN, in all channels); not finite at [series, time step]:"
    )
    none = "X must hold at least one time step in each series: drop empty series first; empty is series"
    checks = [(missing, bad), (none, empty)]
    if tf.executing_eagerly():
        for message, place in checks:
            if len(place) > 0:
                raise tf.errors.InvalidArgumentError(None, None, f"{message} {place[0].numpy().tolist()}.")
        return values
    with tf.control_dependencies([tf.debugging.Assert(tf.size(at) == 0, [message, at]) for message, at in checks]):
        return tf.identity(values)


def _dense(X: tf.RaggedTensor) -> tf.Tensor:
    """[N, L, D], NaN after each row's end."""
    flat = X.flat_values
    if X.ragged_rank != 1 or flat.shape.rank not in (1, 2):
        raise ValueError(
            f"a ragged X must have shape [N, (L), D] with time steps as its only ragged dimension, got {X.shape} with "
            f"ragged rank {X.ragged_rank}: build it with tf.RaggedTensor.from_row_lengths, or with "
            "tf.ragged.constant(..., ragged_rank=1)."
        )
    flat = _checks.as_float_tensor(flat, "X")
    columns = flat if flat.shape.rank == 2 else flat[:, None]
    if columns.shape[1] == 0:
        raise ValueError(f"X must have at least one channel, got shape {X.shape}.")
    return X.with_flat_values(columns).to_tensor(default_value=tf.constant(np.nan, flat.dtype))


def _ragged(X: list[Any] | tuple[Any, ...]) -> tf.RaggedTensor:
    if len(X) == 0:
        raise ValueError("X must hold at least one series, got an empty list.")
    series = []
    for i, one in enumerate(X):
        name = f"X[{i}]"
        values = _checks.as_float_tensor(one if tf.is_tensor(one) else _floats(one, name), name)
        if values.shape.rank not in (1, 2):
            raise ValueError(f"{name} must have shape (time steps, channels) or (time steps,), got {values.shape}.")
        series.append(values if values.shape.rank == 2 else values[:, None])
        _checks.check_same_dtype(series[0], series[i], f"X[0] and {name}")
        _checks.check_same_size(series[0], series[i], 1, f"X[0] and {name}", "channels")
    return tf.RaggedTensor.from_row_lengths(tf.concat(series, 0), [tf.shape(one)[0] for one in series])


def _floats(value: Any, name: str) -> np.ndarray:
    """``value`` as a NumPy array, integers and booleans as float64, and NaN where a masked array is masked."""
    value = masked_as_nan(value)
    check_unmasked(value, name, "give masked arrays by themselves, one a series")  # in a list within a list
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangle of numbers: {error}. A list holds one array a series.") from error
    if array.dtype.kind in "iub":
        return array.astype(np.float64)
    if array.dtype.kind != "f":
        raise TypeError(f"{name} must hold numbers, got dtype {array.dtype}: an array of series takes list({name}).")
    return array
