"""
The product of signatures in the truncated tensor algebra, in TensorFlow's own operations.

An element is one array with a number for each word, in the order of :func:`sigkernel_tf.words`; its last level may be
cut midway. As no compiled operation of this package is used, all of it runs on a GPU and under XLA, and is
differentiable to any order.
"""

from typing import Any

import tensorflow as tf

from . import _checks
from ._arguments import as_int
from ._words import level_sizes

# Levels of elements, [rows, D^k] each; the last may have fewer words.
Levels = list[tf.Tensor]


def signature_combine(first: Any, second: Any, num_channels: int) -> tf.Tensor:
    r"""
    The signature of two paths, one after the other, from the signatures of each, by Chen's identity.

    This is the product in the tensor algebra: S(x * y)_w is the sum of S(x)_u S(y)_v over the ways w = uv to cut the
    word w. Of signatures over the times [s, t] and [t, u] it makes that over [s, u]. The arguments need not be
    signatures: the product is linear in both of them, and column 0 enters like the others. It is not commutative; the
    signature (1, 0, ...) changes nothing.

    The product is differentiable in both arguments, to any order, and works under ``jit_compile=True``. It costs about
    depth times M multiply-adds for M words, and memory of a few times the arguments.

    :param first: [..., M], float32 or float64: the signature of the earlier path; its last level may be cut midway.
    :param second: [..., M], of the same shape and dtype; nothing is broadcast.
    :param num_channels: the number of channels D of the paths, >= 1. M does not tell it: a wrong number gives another
        product, and no error.
    :return: [..., M].
    :raises ValueError: where the shapes differ, the number of words is 0 or unknown while a function is traced, or
        ``num_channels`` is below 1.
    :raises TypeError: where the dtypes differ or are others, and where ``num_channels`` is no integer.
    :raises tf.errors.InvalidArgumentError: where shapes differ that become known only at run time.
    """
    num_channels = as_int(num_channels, "num_channels", 1)
    a, b, num_words = _checked_pair(first, second)
    rows_a, rows_b = tf.reshape(a, [-1, num_words]), tf.reshape(b, [-1, num_words])
    if num_channels == 1:
        rows = _convolve(rows_a, rows_b, num_words)
    else:
        sizes = level_sizes(num_channels, num_words)
        rows = tf.concat(product(tf.split(rows_a, sizes, axis=-1), tf.split(rows_b, sizes, axis=-1)), axis=-1)
    return tf.ensure_shape(tf.reshape(rows, tf.shape(a)), a.shape)


def _checked_pair(first: Any, second: Any) -> tuple[tf.Tensor, tf.Tensor, int]:
    """The arguments of :func:`signature_combine` as tensors of one shape, and their number of words."""
    a, b = _checks.as_float_tensor(first, "first"), _checks.as_float_tensor(second, "second")
    _checks.check_same_dtype(a, b, "first and second")
    for tensor, name in ((a, "first"), (b, "second")):
        if tensor.shape.rank == 0 or (tensor.shape.rank is not None and tensor.shape[-1] == 0):
            raise ValueError(f"{name} must have a last axis with at least one word, got shape {tensor.shape}.")
    if not a.shape.is_compatible_with(b.shape):
        raise ValueError(
            f"first and second must have the same shape, [..., words], got {a.shape} and {b.shape}: "
            "take signatures of as many paths to the same depth; nothing is broadcast."
        )
    if not a.shape.is_fully_defined() or not b.shape.is_fully_defined():
        message = "first and second must have the same shape, [..., words]: nothing is broadcast."
        with tf.control_dependencies([tf.debugging.assert_equal(tf.shape(a), tf.shape(b), message)]):
            a, b = tf.identity(a), tf.identity(b)
    shape = a.shape.merge_with(b.shape)
    if shape.rank is None or shape[-1] is None:
        raise ValueError(
            f"signature_combine needs a number of words known while the function is traced, got shapes {a.shape} and "
            f"{b.shape}: set it with first = tf.ensure_shape(first, [None, M])."
        )
    return a, b, shape[-1]


def product(a: Levels, b: Levels) -> Levels:
    """The product of two elements with the same levels, over two channels or more."""
    return [
        tf.add_n([outer(a[n - k], b[k], size=a[n].shape[-1]) for k in range(n + 1)]) for n in range(len(a))
    ]  # fmt: skip


def outer(left: tf.Tensor, right: tf.Tensor, size: int | None = None) -> tf.Tensor:
    """
    The products at the words uv, where u is a word of ``left`` and v one of ``right``.

    :param size: how many of them, the first ones; None: all P Q.
    :return: [rows, size] of [rows, P] and [rows, Q].
    """
    width = right.shape[-1]
    size = size or left.shape[-1] * width
    if left.shape[-1] == 1 or width == 1:
        return left * right
    prefixes = -(-size // width)
    table = left[:, :prefixes, None] * right[:, None, :]
    words = tf.reshape(table, [-1, prefixes * width])
    return words if prefixes * width == size else words[:, :size]


def _convolve(a: tf.Tensor, b: tf.Tensor, num_words: int) -> tf.Tensor:
    """The product over one channel, where each level has one word."""
    shifts = (tf.pad(b[:, : num_words - k], [[0, 0], [k, 0]]) for k in range(num_words))
    return tf.add_n([a[:, k : k + 1] * shifted for k, shifted in enumerate(shifts)])
