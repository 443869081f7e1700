"""The logarithm of the truncated signature: all its coefficients, or those at the Lyndon words, which determine it."""

import functools
from typing import Any, Literal

import tensorflow as tf

from . import _checks, _words, tensor_algebra
from ._arguments import as_int
from ._logarithm import logarithm
from .signatures import num_words_of, signature


def log_signature(
    X: Any, depth: int, *, basis: Literal["words", "expanded"] = "words", stream: bool = False
) -> tf.Tensor:
    r"""
    The logarithm of the truncated signature of each path, which determines the signature by fewer numbers.

    It is log S = (S - 1) - (S - 1)²/2 + ... in the tensor algebra. Its level 0 is 0 and left out. As an element of the
    free Lie algebra it is determined by far fewer numbers than the signature (Reutenauer 1993, *Free Lie Algebras*).

    Units: where X has a unit u, the coefficient of a word of k letters has the unit u^k. The result is differentiable
    once, in X. Beyond the signature it costs about depth² M multiply-adds for M words, and memory of a few times the
    signatures. It is computed level by level in TensorFlow's own operations, for which the first call at each depth
    builds a graph (one second at depth 8). The terms of a path that is nearly straight cancel: in float32 the result
    then has a few digits fewer than the signature. For a path of one point it is zero.

    :param X: [..., L, D], float32 or float64; there may be any number of leading axes, or none for a single path.
    :param depth: the last level, >= 1.
    :param basis: "words" gives the coefficients of log S at the Lyndon words, which :func:`lyndon_words` lists in the
        order of the columns; they are not those of a basis of Lie brackets. "expanded" gives the coefficients of all
        words of 1 to ``depth`` letters, in the order of :func:`words`.
    :param stream: whether to return those of all prefixes of a path, beginning with its first point, which has zeros.
    :return: [..., W], or [..., L, W] with ``stream``, for W columns.
    :raises ValueError: where ``depth`` is below 1, where the words of all paths do not fit in memory, for another
        basis; where the number of channels is unknown; for a rank below 2, no time steps or no channels.
    :raises TypeError: where ``depth`` is no integer, and for another dtype.
    :raises tf.errors.InvalidArgumentError: as :func:`signature`.
    """
    X = _checks.as_batches(X, "X")
    depth = as_int(depth, "depth", 1)
    if basis not in ("words", "expanded"):
        raise ValueError(f'basis must be "words" (the Lyndon words\' coefficients) or "expanded" (all), got {basis!r}.')
    num_words = num_words_of(X, depth, stream=stream)
    num_channels = X.shape[-1]
    if num_channels == 1:  # the exact result, where the terms of the series would cancel
        displacement = signature(X, num_words=2, stream=stream)[..., 1:]
        padding = [[0, 0]] * (displacement.shape.rank - 1) + [[0, depth - 1]]
        return displacement if basis == "words" else tf.pad(displacement, padding)
    columns = num_words - 1 if basis == "expanded" else len(_words.lyndon_columns(num_channels, depth))
    S = signature(X, num_words=num_words, stream=stream)
    rows = _logarithm(tf.reshape(S, [-1, num_words]), num_channels, depth, basis)
    return tf.reshape(rows, tf.concat([tf.shape(S)[:-1], [columns]], axis=0))


@functools.partial(tf.function, autograph=False, reduce_retracing=True)  # its many operations are slow in eager mode
def _logarithm(S: tf.Tensor, num_channels: int, depth: int, basis: str) -> tf.Tensor:
    sizes = [num_channels**level for level in range(depth + 1)]
    levels = tf.split(tf.ensure_shape(S, [None, sum(sizes)]), sizes, axis=-1)
    log = tf.concat(logarithm(levels[1:], tensor_algebra.outer), axis=-1)
    return log if basis == "expanded" else tf.gather(log, _words.lyndon_columns(num_channels, depth), axis=-1)
