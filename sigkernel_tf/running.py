"""Signatures of what has come last of streams, kept up to date as points arrive."""

from typing import Any

import numpy as np
import tensorflow as tf

from . import _batches, _checks, static_kernels
from ._arguments import as_int
from ._padded_paths import faded
from .intervals import finite
from .signatures import num_words_of, signature
from .tensor_algebra import signature_combine


class RunningSignature:
    r"""
    The signature of a stream, brought up to date by each point that arrives, for forecasts made one after the other.

    It is over all points so far, or over the last ``window`` points. With ``half_life`` the past fades, as
    :func:`sigkernel_tf.paths.fade` says: what came before counts less with each step, so that the whole past can be
    kept where a window would cut it off.

    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> running = sk.RunningSignature(3, window=20)
    >>> for t in range(100):
    ...     S = running.update(X[t : t + 1])  # of one point, or of several
    >>> np.allclose(S, sk.signature(X[80:], 3))
    True

    Without a window the state is one signature: a step costs a product of two signatures with M words, and memory does
    not grow. With a window the state also has the signatures from each of its older points to one in its middle, which
    are computed anew once every ``window`` points: a step costs two products and, on average, one step along the path,
    whatever the window's length, and memory is that of ``window`` signatures. No inverse is used, which would cost
    digits, and nothing is carried along from before the window: the result is as exact as that of :func:`signature` on
    the same points, however long the stream.

    It keeps its state between calls, so call it eagerly. In a traced function take ``signature(initial=...)``.

    :param depth: the last level, >= 0.
    :param window: how many points count, >= 2; None: all.
    :param half_life: None, or in how many steps an increment comes to count half as much, positive: one number, or one
        for each channel, [D].
    :raises ValueError: for a depth, a window or a half-life that is out of range.
    :raises TypeError: where ``depth`` or ``window`` is no integer.
    """

    def __init__(self, depth: int, *, window: int | None = None, half_life: Any = None) -> None:
        self._depth = as_int(depth, "depth", 0)
        self._window = None if window is None else as_int(window, "window", 2)
        self._half_life = half_life
        self._num_points = 0
        self._recent: Any = None  # the points from the middle of the window on; without a window, the last
        self._since: Any = None  # the signature of the points from the middle on, [..., M]
        self._before: Any = None  # those from each older point to the middle, [..., older, M]

    @property
    def num_points(self) -> int:
        """How many points the signature is of."""
        return self._num_points

    @property
    def signature(self) -> tf.Tensor:
        """
        The signature as it is, [..., M].

        :raises ValueError: before the first point.
        """
        if self._recent is None:
            raise ValueError("there is no signature before the first point: call update first.")
        if not self._num_older():
            return self._since
        return self._joined(self._before[..., 0, :], self._recent.shape[-2] - 1, self._since)

    def update(self, points: Any) -> tf.Tensor:
        """
        Takes the points that come next, and returns the signature with them.

        :param points: [..., K, D], float32 or float64, K >= 1: K points of each stream; later calls take other K, but
            the same dtype, leading axes and channels.
        :return: [..., M].
        :raises ValueError: for another shape, a half-life that does not fit the channels, and in a traced function.
        :raises TypeError: for another dtype.
        :raises tf.errors.InvalidArgumentError: for NaN or infinite values, and a signature that overflows the dtype.
        """
        if not tf.executing_eagerly():
            raise ValueError(
                "update must be called eagerly, as it keeps the signature for the next call: in a traced function take "
                "signature(points, depth, initial=S)."
            )
        points = finite(_checks.as_batches(points, "points"), "points")
        if self._recent is None:
            self._begin(points[..., :1, :])
            points = points[..., 1:, :]
        else:
            self._check_continues(points)
        if points.shape[-2]:
            self._append(points)
        return self.signature

    def _begin(self, first: tf.Tensor) -> None:
        num_words_of(first, self._depth, stream=self._window is not None)
        self._decay = None if self._half_life is None else self._decay_of_words(first)
        self._recent, self._since, self._num_points = first, signature(first, self._depth), 1

    def _num_older(self) -> int:
        """How many points of the window come before its middle."""
        return 0 if self._before is None else self._before.shape[-2]

    def _decay_of_words(self, points: tf.Tensor) -> tf.Tensor:
        """By how much the logarithm of each word's weight falls in a step, [M]."""
        half_life = static_kernels.one_or_each(self._half_life, points, "half_life")
        if not bool(tf.reduce_all(half_life > 0.0)):
            raise ValueError(f"half_life must be positive, got {half_life.numpy()}.")
        self._half_life = half_life
        of_letters = tf.broadcast_to(np.log(2.0) / half_life, points.shape[-1:])
        levels = [tf.zeros([1], points.dtype)]
        for _ in range(self._depth):
            levels.append(tf.reshape(levels[-1][:, None] + of_letters, [-1]))
        return tf.concat(levels, axis=0)

    def _check_continues(self, points: tf.Tensor) -> None:
        _checks.check_same_dtype(self._recent, points, "the points so far and points")
        *leading, _, channels = self._recent.shape
        if not points.shape.is_compatible_with([*leading, None, channels]):
            raise ValueError(
                f"points must have the leading axes and channels of those before, {[*leading, 'K', channels]}, got "
                f"shape {points.shape}: a single point takes points[..., None, :]."
            )

    def _append(self, points: tf.Tensor) -> None:
        further = signature(self._faded(tf.concat([self._recent[..., -1:, :], points], axis=-2)), self._depth)
        self._since = self._joined(self._since, points.shape[-2], further)
        self._num_points += points.shape[-2]
        if self._window is None:
            self._recent = points[..., -1:, :]
            return
        self._recent = tf.concat([self._recent, points], axis=-2)
        excess = self._num_points - self._window
        self._num_points = min(self._num_points, self._window)
        if excess > self._num_older():
            self._make_the_end_the_middle(self._recent[..., -self._window :, :])
        elif excess > 0:
            self._before = self._before[..., excess:, :]

    def _make_the_end_the_middle(self, points: tf.Tensor) -> None:
        """All points of the window but the last one become older ones."""
        backwards = tf.reverse(self._faded(points), [-2])
        self._before = tf.reverse(signature(backwards, self._depth, stream=True, inverse=True)[..., 1:, :], [-2])
        self._recent = points[..., -1:, :]
        self._since = signature(self._recent, self._depth)

    def _joined(self, first: tf.Tensor, steps: int, second: tf.Tensor) -> tf.Tensor:
        """The signature of two stretches, of which the second takes a number of steps, in which the first one fades."""
        if self._decay is not None:
            first *= tf.exp(-float(steps) * self._decay)
        return signature_combine(first, second, self._recent.shape[-1])

    def _faded(self, points: tf.Tensor) -> tf.Tensor:
        if self._decay is None:
            return points
        *leading, length, _ = _batches.sizes(points)
        return faded(points, tf.fill(leading, length), self._half_life)
