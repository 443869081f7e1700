"""Signatures over windows of paths: sliding, expanding or dyadic ones, all at once."""

from typing import Any, Literal

import numpy as np
import tensorflow as tf

from . import _batches, _checks, _memory, _words
from ._arguments import as_int
from .intervals import stretches
from .signatures import signature
from .tensor_algebra import signature_combine

# Up to so many increments a window, for each step, are walked along faster than two signatures are multiplied, and up
# to so many times the result's memory is allowed for the points of windows, each cut out by itself.
_MOST_INCREMENTS, _MOST_MEMORY = 256, 4


def signature_windows(
    X: Any,
    depth: int,
    kind: Literal["sliding", "expanding", "dyadic"],
    *,
    length: int | None = None,
    step: int | None = None,
    levels: int | None = None,
) -> tf.Tensor:
    r"""
    The signatures over many windows of each path.

    * "sliding": windows of ``length`` points; window i begins at point i * ``step``.
    * "expanding": windows that begin at the first point; window i ends before point ``length`` + i * ``step``.
    * "dyadic": the whole path, its halves, its quarters, and so on up to 2^levels parts. Part i of 2^j goes from point
      i (L - 1) / 2^j to point (i + 1)(L - 1) / 2^j, rounded down: neighbours share a point, so that the product of all
      parts is the whole. Windows come in the order whole, first half, second half, first quarter, ... These are
      the windows of Morrill et al. (2020), *A generalised signature method*, but for the shared points.

    There are (L - ``length``) // ``step`` + 1 sliding or expanding windows, and 2^(levels + 1) - 1 dyadic ones.

    Windows share their work. Short sliding windows are walked along each by itself. Long ones are cut at one point in
    ``length`` - 1: a window is what is left of one stretch and the beginning of the next, so that all windows cost
    O(L M) for M words and a product each, whatever their length, and no inverse, which would cost digits. Expanding
    windows cost O(L M), dyadic ones O(L M) and a product for each but the smallest. The result is as exact as
    :func:`signature` of each window. Long sliding windows need memory for 2 L signatures of a path, expanding ones for
    L. It is differentiable once, in X.

    >>> X = np.random.default_rng(0).normal(size=(4, 100, 2))
    >>> sk.signature_windows(X, 3, "sliding", length=20, step=10).shape
    TensorShape([4, 9, 15])

    :param X: [..., L, D], float32 or float64; there may be any number of leading axes, or none for a single path.
    :param depth: the last level, >= 0.
    :param length: the points of a sliding window, or of the first expanding one (1 by default), from 1 to L.
    :param step: by how many points a window is later, or longer, than the one before, >= 1; 1 by default.
    :param levels: how often a dyadic window is halved, >= 0. A window without increments has the signature (1, 0, ...).
    :return: [..., W, M] for W windows.
    :raises ValueError: for another ``kind``, an option that it lacks or has no use for, or one that is out of range;
        where L or D is unknown; for a rank below 2, no time steps or no channels; and where the words of all windows do
        not fit in memory.
    :raises TypeError: for options that are no integers, and for another dtype.
    :raises tf.errors.InvalidArgumentError: as :func:`signature`; paths and steps are counted through the windows.
    """
    X, depth = _checks.as_batches(X, "X"), as_int(depth, "depth", 0)
    _checks.check_sizes_known(X)
    if kind == "dyadic":
        if levels is None or length is not None or step is not None:
            raise ValueError(f'kind="dyadic" takes levels only, got levels={levels}, length={length} and step={step}.')
        levels = as_int(levels, "levels", 0)
        _check_fits(X, depth, 2 ** (levels + 1) - 1)
        return _dyadic(X, depth, levels)
    if kind not in ("sliding", "expanding"):
        raise ValueError(f'kind must be "sliding", "expanding" or "dyadic", got {kind!r}.')
    if levels is not None or (kind == "sliding" and length is None):
        raise ValueError(f'kind="{kind}" takes length and step, and no levels, got length={length}, levels={levels}.')
    length, step = as_int(1 if length is None else length, "length", 1), as_int(1 if step is None else step, "step", 1)
    if length > X.shape[-2]:
        raise ValueError(f"length must be at most the number of points, {X.shape[-2]}, got {length}: pad the paths.")
    _check_fits(X, depth, (X.shape[-2] - length) // step + 1)
    return (_sliding if kind == "sliding" else _expanding)(X, depth, length, step)


def _check_fits(X: tf.Tensor, depth: int, count: int) -> int:
    """
    The number of words.

    :raises ValueError: where those of so many windows of each path do not fit in memory.
    """
    return _words.num_words_up_to(depth, X.shape[-1], X.dtype.size, _memory.known_product(X.shape[:-2]) * count)


def _sliding(X: tf.Tensor, depth: int, length: int, step: int) -> tf.Tensor:
    *_, num_points, channels = X.shape
    starts, increments = np.arange(0, num_points - length + 1, step), length - 1
    num_words = _check_fits(X, depth, len(starts))
    if increments * channels <= _MOST_MEMORY * num_words * step and increments <= _MOST_INCREMENTS * step:
        return signature(_points_at(X, starts[:, None] + np.arange(length)), depth)
    # Window i is what is left of stretch n after r increments, and the first r increments of the next stretch.
    n, r = np.divmod(starts, increments)
    count = n[-1] + 2
    parts = stretches(_points_at(X, np.minimum(np.arange(count * increments + 1), num_points - 1)), count, increments)
    beginnings = signature(parts, depth, stream=True)
    ends = signature(tf.reverse(parts, [-2]), depth, stream=True, inverse=True)  # of the last 0, 1, 2, ... increments
    left = _rows_at(_flat(ends), n * length + increments - r)
    right = _rows_at(_flat(beginnings), (n + 1) * length + r)
    return signature_combine(left, right, channels)


def _expanding(X: tf.Tensor, depth: int, length: int, step: int) -> tf.Tensor:
    return signature(X, depth, stream=True)[..., length - 1 :: step, :]


def _dyadic(X: tf.Tensor, depth: int, levels: int) -> tf.Tensor:
    *_, num_points, channels = X.shape
    bounds = np.arange(2**levels + 1) * (num_points - 1) // 2**levels
    widest = np.diff(bounds).max()
    # A window that is shorter than others stands at its last point.
    smallest = _points_at(X, np.minimum(bounds[:-1, None] + np.arange(widest + 1), bounds[1:, None]))
    found = [signature(smallest, depth)]
    for _ in range(levels):
        found.append(signature_combine(found[-1][..., ::2, :], found[-1][..., 1::2, :], channels))
    return tf.concat(found[::-1], axis=-2)


def _points_at(X: tf.Tensor, points: np.ndarray) -> tf.Tensor:
    """The points of these numbers, an array of any shape: [..., *shape, D] of [..., L, D]."""
    taken = _rows_at(X, points.ravel())
    return tf.reshape(taken, [*_batches.sizes(X)[:-2], *points.shape, X.shape[-1]])


def _flat(streams: tf.Tensor) -> tf.Tensor:
    """[..., P Q, M] of [..., P, Q, M]."""
    *leading, count, length, num_words = _batches.sizes(streams)
    return tf.reshape(streams, [*leading, count * length, num_words])


def _rows_at(tensor: tf.Tensor, rows: np.ndarray) -> tf.Tensor:
    """``tensor[..., rows, :]``."""
    return tf.gather(tensor, rows, axis=-2)
