"""
Series of unequal lengths as one padded tensor with their lengths, and what :mod:`sigkernel_tf.paths` does to them.

The public functions there turn what the user gave into this form and back. Several steps in a row stay in this form
and so skip the conversions between them.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from ._arguments import check_unmasked


@dataclasses.dataclass(frozen=True)
class PaddedPaths:
    """N series of D channels; all functions of this module keep the padding as described here."""

    values: tf.Tensor
    """[N, L, D], finite; after its end each series keeps its last value."""
    lengths: tf.Tensor
    """The number of time steps of each series, int32 [N], at least 1 and at most L."""

    def steps(self) -> tf.Tensor:
        """0 to L - 1."""
        return tf.range(tf.shape(self.values)[1])

    def inside(self) -> tf.Tensor:
        """Which steps are a series' own and not padding, [N, L, 1]."""
        return (self.steps()[None, :] < self.lengths[:, None])[..., None]


def add_time(paths: PaddedPaths) -> PaddedPaths:
    """Time in channel 0, from 0 to 1 over each series' own length; 0 where the length is 1."""
    last = paths.lengths[:, None] - 1
    dtype = paths.values.dtype
    time = tf.cast(tf.minimum(paths.steps()[None, :], last), dtype) / tf.cast(tf.maximum(last, 1), dtype)
    return PaddedPaths(tf.concat([time[..., None], paths.values], axis=-1), paths.lengths)


def add_basepoint(paths: PaddedPaths) -> PaddedPaths:
    """A step of zeros before each series."""
    return PaddedPaths(tf.pad(paths.values, [[0, 0], [1, 0], [0, 0]]), paths.lengths + 1)


def fade(paths: PaddedPaths, half_life: tf.Tensor) -> PaddedPaths:
    """Each increment times a half for each ``half_life`` steps that are left until the series' end."""
    return PaddedPaths(faded(paths.values, paths.lengths, half_life), paths.lengths)


def faded(paths: tf.Tensor, lengths: tf.Tensor, half_life: tf.Tensor) -> tf.Tensor:
    """
    Paths [..., L, D] whose increments fade with their age, and which end where they ended.

    :param lengths: how many points each has, [...], int32; what comes after is padding.
    :param half_life: in steps, [] or [D].
    """
    dx = paths[..., 1:, :] - paths[..., :-1, :]
    dx *= fading_weights(lengths, tf.shape(dx)[-2], half_life)
    older = tf.cumsum(dx, axis=-2, reverse=True)
    return tf.concat([paths[..., -1:, :] - older, paths[..., -1:, :]], axis=-2)


def fading_weights(lengths: tf.Tensor, num_increments: Any, half_life: tf.Tensor) -> tf.Tensor:
    """A half for each ``half_life`` [] or [D] of the steps after an increment: [..., L - 1, 1 or D]."""
    ages = tf.maximum(lengths[..., None] - 2 - tf.range(num_increments), 0)  # padding does not change, so is not old
    return tf.exp(-np.log(2.0) * tf.cast(ages, half_life.dtype)[..., None] / half_life)


def lead_lag(paths: PaddedPaths) -> PaddedPaths:
    """Each series beside itself one step later: 2D channels, the lead's first, and 2L - 1 steps."""
    twice = tf.repeat(paths.values, 2, axis=1)
    return PaddedPaths(tf.concat([twice[:, 1:], twice[:, :-1]], axis=-1), 2 * paths.lengths - 1)


def standardize(paths: PaddedPaths, mean: Any = None, deviation: Any = None) -> PaddedPaths:
    """
    Each channel less its mean, divided by its deviation; a deviation of 0 counts as 1.

    :param mean: [D] or a number, of all series; None: each series has its own mean and deviation.
    :param deviation: [D] or a number, of all series.
    :raises ValueError: for a mean or a deviation of another shape, or one that is not finite, and for a negative
        deviation.
    """
    if mean is None:
        centre, scale = moments(paths, per_series=True)
    else:
        centre, scale = _statistic(mean, "mean", paths), _statistic(deviation, "deviation", paths)
    scale = tf.where(scale == 0, tf.ones_like(scale), scale)
    return PaddedPaths((paths.values - centre) / scale, paths.lengths)


def moments(paths: PaddedPaths, *, per_series: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and population deviation over a series' own steps, [N, 1, D], or over those of all of them, [1, 1, D]."""
    axes = [1] if per_series else [0, 1]
    inside = tf.cast(paths.inside(), paths.values.dtype)
    count = tf.reduce_sum(inside, axes, keepdims=True)
    # Taken off first, so that a constant channel has a deviation of 0 and not of rounding.
    origin = paths.values[:, :1] if per_series else paths.values[:1, :1]
    moved = (paths.values - origin) * inside
    # In units of the largest number, so that squares neither overflow nor vanish.
    unit = tf.stop_gradient(tf.reduce_max(tf.abs(moved), axes, keepdims=True))
    unit = tf.where(unit == 0, tf.ones_like(unit), unit)
    shift = tf.reduce_sum(moved / unit, axes, keepdims=True) / count
    variance = tf.reduce_sum(tf.square(moved / unit - shift) * inside, axes, keepdims=True) / count
    constant = variance == 0
    # The square root's derivative at 0 is infinite: it never sees one.
    deviation = tf.where(constant, variance, tf.sqrt(tf.where(constant, tf.ones_like(variance), variance)))
    return origin + shift * unit, deviation * unit


def _statistic(given: Any, name: str, paths: PaddedPaths) -> tf.Tensor:
    check_unmasked(given, name)
    value = _as_dtype(given, name, paths.values.dtype)
    channels = paths.values.shape[-1]
    if value.shape.rank not in (0, 1, None) or (value.shape.rank == 1 and value.shape[0] not in (channels, None)):
        raise ValueError(f"{name} must be one number, or one for each of X's {channels} channels, got {value.shape}.")
    known = tf.get_static_value(value)
    if known is not None and not (np.isfinite(known).all() and (name == "mean" or (known >= 0).all())):
        raise ValueError(
            f"{name} must be finite{'' if name == 'mean' else ' and not negative'}, in X's dtype {value.dtype.name}, "
            f"got {np.asarray(given)}: take what mean_and_deviation returns for finite series, or cast X to float64."
        )
    return value


def _as_dtype(value: Any, name: str, dtype: tf.DType) -> tf.Tensor:
    """Numbers and arrays of numbers in this dtype; a tensor must have it already."""
    if tf.is_tensor(value):
        return tf.convert_to_tensor(value, dtype)
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a number or an array of numbers, got {value!r}.")
    with np.errstate(over="ignore"):
        return tf.constant(array.astype(dtype.as_numpy_dtype))
