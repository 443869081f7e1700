"""How a path becomes the points that the static kernel sees: windows of its values, and time beside them."""

import dataclasses
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from sigkernel_tf._arguments import as_int
from sigkernel_tf._batches import sizes
from sigkernel_tf._path_lengths import Windows, points_up_to_last_change

Time = Literal["relative", "absolute"]

_SHARE_OF_PATH = 0.1  # of the deviation of the whole path, in what a window is scaled by


@dataclasses.dataclass(frozen=True)
class Lifting:
    """
    The options of :class:`~sigkernel_tf.gp.SignatureKernel` that change its points; by default they are the path's own.

    :param time: None, or how the time of a window is counted.
    """

    difference: bool = True
    window: int = 1
    dilation: int = 1
    stride: int = 1
    centre: bool = False
    scale: bool = False
    time: Time | None = None

    def __post_init__(self) -> None:
        for name in ("difference", "centre", "scale"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}.")
        for name in ("window", "dilation", "stride"):
            object.__setattr__(self, name, as_int(getattr(self, name), name, 1))
        if self.centre and self.window == 1:
            raise ValueError(
                "centre=True needs a window of at least 2, got window=1: a single value less its own mean is 0. Give "
                "for instance window=9."
            )
        if self.time not in (None, "relative", "absolute"):
            raise ValueError(f'time must be "relative" or "absolute", got {self.time!r}.')

    @property
    def span(self) -> int:
        """From the first step of a window to its last."""
        return (self.window - 1) * self.dilation

    @property
    def has_windows(self) -> bool:
        """Whether points are anything but the path's own, all of them."""
        return self.window > 1 or self.stride > 1 or bool(self.scale)

    def arguments(self) -> list[str]:
        """The arguments of the kernel that are not at their defaults, as far as they matter."""
        found = {
            "difference": not self.difference,
            "window": self.window > 1,
            "stride": self.stride > 1,
            "centre": bool(self.centre),
            "scale": bool(self.scale),
            "time_scale": self.time is not None,
        }
        return [name for name, differs in found.items() if differs]

    def num_channels(self, num_channels: int) -> int:
        """The number of channels of the points, of paths of so many channels."""
        return self.window * num_channels + (self.time is not None)

    @property
    def moves_with_values(self) -> bool:
        """Whether points move as far as all values of a channel do, so that it can be moved before points are cut."""
        return not (self.centre or self.scale)

    def factors(self, lengthscales: tf.Tensor, time_scale: Any) -> tf.Tensor:
        """What the channels of a point are multiplied by, [C], with lengthscales [D]; first that of time."""
        factors = tf.tile(1.0 / (lengthscales * np.sqrt(self.window)), [self.window])
        if self.time is None:
            return factors
        return tf.concat([tf.reshape(tf.cast(time_scale, factors.dtype), [1]), factors], axis=0)

    def compiled(self, factors: tf.Tensor) -> Windows:
        """These options as the compiled operations take them."""
        attributes = {"window": self.window, "dilation": self.dilation, "stride": self.stride}
        flags = {"centre": bool(self.centre), "scale": bool(self.scale), "time": self.time or "none"}
        return Windows(bool(self.difference), attributes | flags, factors)

    def points(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """
        The points of each path, and how many they are: as the compiled operations cut them, for what these do not know.

        Points are windows, with time in front, before channels are multiplied by anything. Beyond the end of a path its
        last window is repeated.

        :param x: paths [..., L, D], which end with their last change.
        :return: [..., T, C]; and [...], int32, at least 1.
        """
        lengths = points_up_to_last_change(x)
        counts = self._num_kept(lengths)
        windows = self._windows(x, lengths, counts)
        *leading, window, num_channels = sizes(windows)
        points = tf.reshape(windows, [*leading, window * num_channels])
        if self.time is not None:
            points = tf.concat([self._times(x, counts)[..., None], points], axis=-1)
        return points, counts

    def _windows(self, x: tf.Tensor, lengths: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """The windows that are kept of each path, centred and scaled: [..., T, window, D]."""
        if not self.has_windows:
            return x[..., None, :]
        *leading, length, num_channels = sizes(x)
        first = self.stride * self._numbers(x, counts)  # [..., T], the place where each window starts
        places = tf.minimum(first[..., None] + self.dilation * tf.range(self.window), length - 1)
        flat = tf.reshape(places, [*leading, sizes(places)[-2] * self.window])
        values = tf.gather(x, flat, axis=-2, batch_dims=len(leading))
        windows = tf.reshape(values, [*leading, sizes(places)[-2], self.window, num_channels])
        return self._centred_and_scaled(windows, x, lengths)

    def _times(self, x: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """The time of each window of the paths, for a time scale of 1: [..., T]."""
        numbers = tf.cast(self._numbers(x, counts), x.dtype)
        if self.time == "absolute":
            return numbers * self.stride
        return numbers / tf.cast(tf.maximum(counts - 1, 1), x.dtype)[..., None]

    def _num_kept(self, lengths: int | tf.Tensor) -> int | tf.Tensor:
        """How many windows of paths of these lengths are kept."""
        if isinstance(lengths, int):
            return -(-max(lengths - self.span, 1) // self.stride)
        return -(-tf.maximum(lengths - self.span, 1) // self.stride)

    def _numbers(self, x: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """0, ..., T − 1 for each path [..., L, D]; beyond the path's end the number of its last window: [..., T]."""
        return tf.minimum(tf.range(self._num_kept(sizes(x)[-2])), counts[..., None] - 1)

    def _centred_and_scaled(self, windows: tf.Tensor, x: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """
        :param windows: [..., T, window, D].
        :param x: the paths that they were cut from, [..., L, D].
        :param lengths: of these, [...].
        """
        # Where all values are one number, they are 0 to the last bit once one of them is subtracted.
        moved = windows - windows[..., :1, :]
        centred = moved - tf.reduce_mean(moved, axis=-2, keepdims=True)
        if not self.scale:
            return centred if self.centre else windows
        deviation = _root(tf.reduce_mean(tf.square(centred), axis=-2, keepdims=True))  # [..., T, 1, D]
        divisor = deviation + _SHARE_OF_PATH * _deviations(x, lengths)[..., None, None, :]
        is_positive = divisor > 0
        scaled = (centred if self.centre else windows) / tf.where(is_positive, divisor, tf.ones_like(divisor))
        return tf.where(is_positive, scaled, tf.zeros_like(scaled))


def _deviations(x: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """The deviation of each channel of paths [..., L, D], up to their ends: [..., D]."""
    is_inside = tf.range(tf.shape(x)[-2]) < lengths[..., None]
    share = (tf.cast(is_inside, x.dtype) / tf.cast(lengths, x.dtype)[..., None])[..., None]  # [..., L, 1]
    moved = x - x[..., :1, :]
    centred = moved - tf.reduce_sum(share * moved, axis=-2, keepdims=True)
    return _root(tf.reduce_sum(share * tf.square(centred), axis=-2))


def _root(squared: tf.Tensor) -> tf.Tensor:
    """The square root, with a finite gradient at 0."""
    is_positive = squared > 0
    safe = tf.where(is_positive, squared, tf.ones_like(squared))
    return tf.where(is_positive, tf.sqrt(safe), tf.zeros_like(squared))
