"""
Product, inverse, logarithm and exponential in the truncated tensor algebra, in TensorFlow's own operations.

An element is one array with a number for each word, in the order of :func:`sigkernel_tf.words`; its last level may be
cut midway. As no compiled operation of this package is used, all of it runs on a GPU and under XLA, and is
differentiable to any order.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from . import _checks
from ._arguments import as_int
from ._logarithm import logarithm
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

    >>> X = np.random.default_rng(0).normal(size=(9, 2))
    >>> first, second = sk.signature(X[:5], 3), sk.signature(X[4:], 3)  # they share a point
    >>> bool(np.allclose(sk.signature_combine(first, second, 2), sk.signature(X, 3)))
    True

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
    product_of_rows = _graph("product", num_channels, num_words, a.dtype)
    rows = product_of_rows(tf.reshape(a, [-1, num_words]), tf.reshape(b, [-1, num_words]))
    return tf.ensure_shape(tf.reshape(rows, tf.shape(a)), a.shape)


def multi_signature_combine(signatures: Any, num_channels: int) -> tf.Tensor:
    r"""
    The signature of many paths, one after the other, from the signatures of each, as :func:`signature_combine` of two.

    The product is associative, so neighbours are multiplied in pairs, then the pairs, and so on: each number goes
    through about log2 K products, and not K. It costs K - 1 products.

    >>> X = np.random.default_rng(0).normal(size=(9, 2))
    >>> parts = tf.stack([sk.signature(X[i : i + 3], 3) for i in (0, 2, 4, 6)])
    >>> bool(np.allclose(sk.multi_signature_combine(parts, 2), sk.signature(X, 3)))
    True

    :param signatures: [..., K, M], float32 or float64: the signatures of K >= 1 consecutive paths; the last level may
        be cut midway.
    :param num_channels: the number of channels D of the paths, >= 1.
    :return: [..., M].
    :raises ValueError: where K or M is 0 or unknown while a function is traced, or ``num_channels`` is below 1.
    :raises TypeError: for another dtype, and where ``num_channels`` is no integer.
    """
    num_channels = as_int(num_channels, "num_channels", 1)
    factors = _checks.as_float_tensor(signatures, "signatures")
    if factors.shape.rank is None or factors.shape.rank < 2 or not all(factors.shape[-2:]):
        raise ValueError(
            "signatures must have a last axis of words and before it an axis of at least one signature, both known "
            f"while the function is traced, got shape {factors.shape}: set them with "
            "signatures = tf.ensure_shape(signatures, [None, K, M])."
        )
    while (count := factors.shape[-2]) > 1:
        pairs = signature_combine(factors[..., : count - 1 : 2, :], factors[..., 1::2, :], num_channels)
        factors = pairs if count % 2 == 0 else tf.concat([pairs, factors[..., -1:, :]], axis=-2)
    return factors[..., 0, :]


def signature_inverse(S: Any, num_channels: int) -> tf.Tensor:
    r"""
    The inverse in the tensor algebra, whose product with ``S`` from either side is (1, 0, ...).

    The inverse of a path's signature is the signature of the path run backwards. Where you have that path,
    ``signature(X, inverse=True)`` is more accurate. Any element whose level 0 is not zero has an inverse T; it follows
    level by level from S_0 T_n = -(S_1 T_{n-1} + ... + S_n T_0). Its rounding error is up to 2^depth times that of the
    signature. The cost is that of :func:`signature_combine`; it is differentiable to any order.

    >>> X = np.random.default_rng(0).normal(size=(9, 2))
    >>> bool(np.allclose(sk.signature_inverse(sk.signature(X, 3), 2), sk.signature(X[::-1], 3)))
    True

    :param S: [..., M], float32 or float64; its last level may be cut midway.
    :param num_channels: the number of channels D of the paths, >= 1.
    :return: [..., M].
    :raises ValueError: where M is 0 or unknown while a function is traced, or ``num_channels`` is below 1.
    :raises TypeError: for another dtype, and where ``num_channels`` is no integer.
    :raises tf.errors.InvalidArgumentError: where level 0 is 0.
    """
    S, num_channels = _checked_element(S, "S", num_channels, smallest=1)
    message = "S must have a level 0, its column 0, that is a number other than 0: this element has no inverse."
    with tf.control_dependencies([tf.debugging.assert_positive(tf.abs(S[..., 0]), message=message)]):
        S = tf.identity(S)
    return _by_rows("inverse", S, num_channels, S.shape[-1])


def tensor_log(S: Any, num_channels: int) -> tf.Tensor:
    r"""
    The logarithm in the tensor algebra, log S = (S - 1) - (S - 1)²/2 + ..., of signatures that you have already.

    Of paths, :func:`log_signature` is the same in one step, also at the Lyndon words. S need not be the signature of a
    path: of an expected signature, this gives the signature cumulants (Bonnier & Oberhauser 2020). Level 0 of S must be
    1, and counts as exactly 1; that of the logarithm is 0 and left out. :func:`tensor_exp` is the inverse function.

    Where the terms of the sum cancel, as for a path that is nearly straight, digits are lost: in float32 the result
    then has a few digits fewer than S. The cost is about depth² M multiply-adds for M words; it is differentiable to
    any order. The first call at each depth builds a graph (one second at depth 8).

    >>> corner = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    >>> sk.tensor_log(sk.signature(corner, 2), 2).numpy().tolist()  # 0, 1, 00, 01, 10, 11: the area is 1/2
    [1.0, 1.0, 0.0, 0.5, -0.5, 0.0]

    :param S: [..., M], M >= 2, float32 or float64; its last level may be cut midway.
    :param num_channels: the number of channels D of the paths, >= 1. M does not tell it.
    :return: [..., M - 1]: the coefficients at all words from level 1 on, as ``log_signature(..., basis="expanded")``.
    :raises ValueError: where M is below 2 or unknown while a function is traced, or ``num_channels`` is below 1.
    :raises TypeError: for another dtype, and where ``num_channels`` is no integer.
    :raises tf.errors.InvalidArgumentError: where level 0 is not 1, up to the square root of the dtype's precision.
    """
    S, num_channels = _checked_element(S, "S", num_channels, smallest=2)
    error = tf.abs(S[..., 0] - 1)
    allowed = tf.constant(np.sqrt(np.finfo(S.dtype.as_numpy_dtype).eps), S.dtype)
    message = "S must have a level 0, its column 0, of 1, as signatures have: divide S by it first."
    with tf.control_dependencies([tf.debugging.assert_less_equal(error, allowed, message=message)]):
        S = tf.identity(S)
    return _by_rows("log", S, num_channels, S.shape[-1] - 1)


def tensor_exp(L: Any, num_channels: int) -> tf.Tensor:
    r"""
    The exponential in the tensor algebra, exp L = 1 + L + L²/2 + ..., which makes a signature of a log signature.

    It is the inverse function of :func:`tensor_log`. The signature of a straight line with the displacement v is
    exp v. The cost is about depth² M multiply-adds for M words; it is differentiable to any order. The first call at
    each depth builds a graph (one second at depth 8).

    >>> step = np.array([1.0, 2.0, 0.0, 0.0, 0.0, 0.0])  # of a straight line: nothing at level 2
    >>> sk.tensor_exp(step, 2).numpy().tolist()
    [1.0, 1.0, 2.0, 0.5, 1.0, 1.0, 2.0]

    :param L: [..., M - 1], float32 or float64: the coefficients at all words from level 1 on; the last level may be cut
        midway. ``log_signature(..., basis="expanded")`` has this layout, the other bases have not.
    :param num_channels: the number of channels D of the paths, >= 1. M does not tell it.
    :return: [..., M], with a level 0 of 1 in column 0.
    :raises ValueError: where there are no words or their number is unknown while a function is traced, or
        ``num_channels`` is below 1.
    :raises TypeError: for another dtype, and where ``num_channels`` is no integer.
    """
    L, num_channels = _checked_element(L, "L", num_channels, smallest=1)
    return _by_rows("exp", L, num_channels, L.shape[-1] + 1)


def _checked_element(value: Any, name: str, num_channels: Any, smallest: int) -> tuple[tf.Tensor, int]:
    """An element [..., M] as a tensor with at least ``smallest`` columns, and the number of channels."""
    num_channels = as_int(num_channels, "num_channels", 1)
    tensor = _checks.as_float_tensor(value, name)
    if tensor.shape.rank is None or (tensor.shape.rank > 0 and tensor.shape[-1] is None):
        raise ValueError(
            f"{name} must have a number of words known while the function is traced, got shape {tensor.shape}: "
            f"set it with {name} = tf.ensure_shape({name}, [None, M])."
        )
    if tensor.shape.rank == 0 or tensor.shape[-1] < smallest:
        raise ValueError(f"{name} must have a last axis of at least {smallest} columns, got shape {tensor.shape}.")
    return tensor, num_channels


def _by_rows(name: str, element: tf.Tensor, num_channels: int, columns: int) -> tf.Tensor:
    """One of the functions of ``_FUNCTIONS`` of each element [..., K], which makes it [..., columns]."""
    leading = tf.shape(element)[:-1]
    rows = tf.reshape(element, [tf.reduce_prod(leading), element.shape[-1]])  # written out: there may be no rows
    result = _graph(name, num_channels, element.shape[-1], element.dtype)(rows)
    result = tf.reshape(result, tf.concat([leading, [columns]], axis=0))
    return tf.ensure_shape(result, [*element.shape[:-1], columns])


@functools.lru_cache(maxsize=128)
def _graph(name: str, num_channels: int, columns: int, dtype: tf.DType) -> Callable[..., tf.Tensor]:
    """
    The graph of one of the functions of ``_FUNCTIONS``, whose many operations would be slow one by one.

    There is one for each size, because TensorFlow would take the sizes of one graph for a mistake and warn of tracing.
    """
    function = functools.partial(_FUNCTIONS[name], num_channels=num_channels)
    rows = [tf.TensorSpec([None, columns], dtype)] * (2 if name == "product" else 1)
    with tf.init_scope():  # a graph of its own, also where it is first asked for while another function is traced
        return tf.function(function, autograph=False).get_concrete_function(*rows)


def _product(a: tf.Tensor, b: tf.Tensor, num_channels: int) -> tf.Tensor:
    """The product of elements [rows, M]."""
    num_words = a.shape[-1]
    if num_channels == 1:
        return _convolve(a, b, num_words)
    sizes = level_sizes(num_channels, num_words)
    return tf.concat(product(tf.split(a, sizes, axis=-1), tf.split(b, sizes, axis=-1)), axis=-1)


def _inverse(S: tf.Tensor, num_channels: int) -> tf.Tensor:
    """The inverses [rows, M] of elements [rows, M]."""
    sizes = level_sizes(num_channels, S.shape[-1])
    levels, join = tf.split(S, sizes, axis=-1), _outer_up_to(sizes, num_channels)
    inverse = [1 / levels[0]]
    for n in range(1, len(sizes)):
        inverse.append(-inverse[0] * tf.add_n([join(levels[k], inverse[n - k]) for k in range(1, n + 1)]))
    return tf.concat(inverse, axis=-1)


def _logarithm(S: tf.Tensor, num_channels: int) -> tf.Tensor:
    """The logarithms [rows, M - 1] of elements [rows, M]."""
    sizes = level_sizes(num_channels, S.shape[-1])
    return tf.concat(logarithm(tf.split(S, sizes, axis=-1)[1:], _outer_up_to(sizes, num_channels)), axis=-1)


def _exponential(L: tf.Tensor, num_channels: int) -> tf.Tensor:
    """
    The exponentials [rows, M] of elements x [rows, M - 1].

    By Horner's rule exp x = 1 + x ⊗ (1 + x/2 ⊗ (1 + x/3 ⊗ ...)). As x has no level 0, the n-th bracket is needed only
    up to level N - n.
    """
    sizes = level_sizes(num_channels, L.shape[-1] + 1)
    x, join = tf.split(L, sizes[1:], axis=-1), _outer_up_to(sizes, num_channels)
    bracket: Levels = []  # levels 1, 2, ... of the n-th bracket; its level 0 is 1
    for n in range(len(x), 0, -1):
        bracket = [
            tf.add_n([x[k], *(join(x[i], bracket[k - i - 1]) for i in range(k))]) / n for k in range(len(x) + 1 - n)
        ]
    return tf.concat([tf.ones_like(L[:, :1]), *bracket], axis=-1)


_FUNCTIONS: dict[str, Callable[..., tf.Tensor]] = {
    "product": _product,
    "inverse": _inverse,
    "log": _logarithm,
    "exp": _exponential,
}


def _outer_up_to(sizes: list[int], num_channels: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """:func:`outer` of two levels, where the last of the levels with these sizes may be cut."""
    last = num_channels ** (len(sizes) - 1)  # what it has uncut

    def join(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        width = left.shape[-1] * right.shape[-1]
        return outer(left, right, size=sizes[-1] if width == last else width)

    return join


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
