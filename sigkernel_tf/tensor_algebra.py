"""
The truncated tensor algebra in TensorFlow operations: the product of signatures.

An element is one array of numbers, a word each, in the order of :func:`sigkernel_tf.words`; its last level may be cut
midway. Nothing here is compiled by us, so that all runs on a GPU and under XLA, and is differentiable to any order.
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
    Signature of two paths one after the other, from theirs: Chen's identity.

    S(x * y)_w is the sum of S(x)_u S(y)_v over the ways w = uv to cut the word w, the product in the tensor algebra.
    For signatures over [s, t] and [t, u] it is that over [s, u]. Any numbers are taken, not signatures alone: the
    product is linear in both arguments, and column 0 counts. Not commutative; the column (1, 0, ...) changes nothing.

    Differentiable in both arguments, to any order; works under ``jit_compile=True``. Cost: about depth times M
    multiply-adds for M words; memory is a few times that of the arguments.

    :param first: [..., M], float32 or float64: the earlier path's; with ``num_words`` cutting its last level midway or
        not.
    :param second: [..., M]: of the same shape and dtype; nothing is broadcast.
    :param num_channels: the channels D of the paths, >= 1, which M alone does not tell: another number gives another
        product, and no error.
    :return: [..., M].
    :raises ValueError: where the shapes differ, the number of words is 0 or unknown while a function is traced, or
        ``num_channels`` is below 1.
    :raises TypeError: where the dtypes differ or are others, and where ``num_channels`` is no integer.
    :raises tf.errors.InvalidArgumentError: where shapes known at run time alone differ.
    """
    num_channels = as_int(num_channels, "num_channels", 1)
    a, b = _checks.as_float_tensor(first, "first"), _checks.as_float_tensor(second, "second")
    _checks.check_same_dtype(a, b, "first and second")
    for tensor, name in ((a, "first"), (b, "second")):
        if tensor.shape.rank == 0 or (tensor.shape.rank is not None and tensor.shape[-1] == 0):
            raise ValueError(f"{name} must have a last axis with at least one word, got shape {tensor.shape}.")
    if not a.shape.is_compatible_with(b.shape):
        raise ValueError(
            f"first and second must have the same shape, [..., words], got {a.shape} and {b.shape}: "
            "signatures of the same paths' intervals, to the same depth; nothing is broadcast."
        )
    if not a.shape.is_fully_defined() or not b.shape.is_fully_defined():
        message = "first and second must have the same shape, [..., words]: nothing is broadcast."
        with tf.control_dependencies([tf.debugging.assert_equal(tf.shape(a), tf.shape(b), message)]):
            a, b = tf.identity(a), tf.identity(b)
    num_words = (a.shape[-1:] if a.shape.rank is not None else tf.TensorShape([None])).merge_with(
        b.shape[-1:] if b.shape.rank is not None else tf.TensorShape([None])
    )[0]
    if num_words is None:
        raise ValueError(
            f"signature_combine needs a number of words known while the function is traced, got shapes {a.shape} and "
            f"{b.shape}: set it with first = tf.ensure_shape(first, [None, M])."
        )
    rows_a, rows_b = tf.reshape(a, [-1, num_words]), tf.reshape(b, [-1, num_words])
    if num_channels == 1:
        rows = _convolve(rows_a, rows_b, num_words)
    else:
        sizes = level_sizes(num_channels, num_words)
        rows = tf.concat(product(tf.split(rows_a, sizes, axis=-1), tf.split(rows_b, sizes, axis=-1)), axis=-1)
    return tf.ensure_shape(tf.reshape(rows, tf.shape(a)), a.shape)


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
    """The product over one channel, whose levels have a word each."""
    shifts = (tf.pad(b[:, : num_words - k], [[0, 0], [k, 0]]) for k in range(num_words))
    return tf.add_n([a[:, k : k + 1] * shifted for k, shifted in enumerate(shifts)])
