"""The logarithm of the truncated signature: all its coefficients, those at the Lyndon words, or those of a basis."""

import functools
from collections.abc import Callable
from typing import Any, Literal

import tensorflow as tf

from . import _checks, _lyndon_brackets, _words, tensor_algebra
from ._arguments import as_bool, as_int
from ._logarithm import logarithm
from .signatures import num_words_of, signature

Basis = Literal["words", "lyndon_brackets", "expanded"]


def log_signature(X: Any, depth: int, *, basis: Basis = "words", stream: bool = False) -> tf.Tensor:
    r"""
    The logarithm of the truncated signature of each path, which determines the signature by fewer numbers.

    It is log S = (S - 1) - (S - 1)²/2 + ... in the tensor algebra. Its level 0 is 0 and left out. As an element of the
    free Lie algebra it is determined by far fewer numbers than the signature (Reutenauer 1993, *Free Lie Algebras*).

    Units: where X has a unit u, the coefficient of a word of k letters has the unit u^k. The result is differentiable
    once, in X. Beyond the signature it costs about depth² M multiply-adds for M words, and memory of a few times the
    signatures. It is computed level by level in TensorFlow's own operations, for which the first call at each depth
    builds a graph (one second at depth 8). The terms of a path that is nearly straight cancel: in float32 the result
    then has a few digits fewer than the signature. For a path of one point it is zero.

    >>> corner = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    >>> sk.log_signature(corner, 2).numpy().tolist()  # at the words 0, 1 and 01: the area is 1/2
    [1.0, 1.0, 0.5]
    >>> sk.log_signature(corner, 2, stream=True).numpy().tolist()
    [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.5]]

    :param X: [..., L, D], float32 or float64; there may be any number of leading axes, or none for a single path.
    :param depth: the last level, >= 1.
    :param basis: "words" gives the coefficients of log S at the Lyndon words, which :func:`lyndon_words` lists in the
        order of the columns; they are not those of a basis of Lie brackets. "lyndon_brackets" gives the coefficients
        in such a basis: column i is that of the bracket of the Lyndon word i, [[u], [v]] for the word uv whose longest
        proper suffix that is a Lyndon word is v. iisignature's default and signatory's "brackets" are the same. It
        costs a product with a sparse integer matrix, which is made once for each number of channels and depth.
        "expanded" gives the coefficients of all words of 1 to ``depth`` letters, in the order of :func:`words`.
    :param stream: whether to return those of all prefixes of a path, beginning with its first point, which has zeros.
    :return: [..., W], or [..., L, W] with ``stream``, for W columns.
    :raises ValueError: where ``depth`` is below 1, where the words of all paths do not fit in memory, for another
        basis; where the number of channels is unknown; for a rank below 2, no time steps or no channels.
    :raises TypeError: where ``depth`` is no integer or ``stream`` no bool, and for another dtype.
    :raises tf.errors.InvalidArgumentError: as :func:`signature`.
    """
    X, stream = _checks.as_batches(X, "X"), as_bool(stream, "stream")
    depth = as_int(depth, "depth", 1)
    check_basis(basis)
    num_words = num_words_of(X, depth, stream=stream)
    if X.shape[-1] == 1:  # the level that is not zero in the result
        num_words = 2
    return of_signatures(signature(X, num_words=num_words, stream=stream), X.shape[-1], depth, basis)


def check_basis(basis: Any) -> None:
    """:raises ValueError: where ``basis`` is none of the bases of :func:`log_signature`."""
    if basis not in ("words", "lyndon_brackets", "expanded"):
        raise ValueError(
            'basis must be "words" (the Lyndon words\' coefficients), "lyndon_brackets" (those of their brackets) or '
            f'"expanded" (all words\'), got {basis!r}.'
        )


def of_signatures(S: tf.Tensor, num_channels: int, depth: int, basis: Basis) -> tf.Tensor:
    """
    The logarithms of the signatures of paths.

    :param S: [..., M]: all words up to ``depth``; of one channel, level 1 is enough.
    :return: [..., W].
    """
    if num_channels == 1:  # the exact result, where the terms of the series would cancel
        padding = [[0, 0]] * (S.shape.rank - 1) + [[0, depth - 1]]
        return tf.pad(S[..., 1:2], padding) if basis == "expanded" else S[..., 1:2]
    columns = S.shape[-1] - 1 if basis == "expanded" else len(_words.lyndon_columns(num_channels, depth))
    rows = tf.reshape(S, [tf.reduce_prod(tf.shape(S)[:-1]), S.shape[-1]])  # written out: there may be no rows
    logarithms = _logarithm(num_channels, depth, basis, S.dtype)(rows)
    return tf.reshape(logarithms, tf.concat([tf.shape(S)[:-1], [columns]], axis=0))


@functools.lru_cache(maxsize=64)
def _logarithm(num_channels: int, depth: int, basis: str, dtype: tf.DType) -> Callable[[tf.Tensor], tf.Tensor]:
    """
    The graph of the logarithms of signatures [N, M], whose many operations would be slow one by one.

    There is one for each size, because TensorFlow would take the sizes of one graph for a mistake and warn of tracing.
    """
    sizes = [num_channels**level for level in range(depth + 1)]

    def logarithms(S: tf.Tensor) -> tf.Tensor:
        levels = tf.split(S, sizes, axis=-1)
        log = tf.concat(logarithm(levels[1:], tensor_algebra.outer), axis=-1)
        if basis == "expanded":
            return log
        # By rows of the transpose: the gradient of a gather along another axis fails in TensorFlow for no paths.
        coefficients = tf.gather(tf.transpose(log), _words.lyndon_columns(num_channels, depth))
        if basis == "lyndon_brackets":
            places, entries = _lyndon_brackets.from_coefficients(num_channels, depth)
            matrix = tf.SparseTensor(places, tf.constant(entries, dtype), [coefficients.shape[0]] * 2)
            coefficients = tf.sparse.sparse_dense_matmul(matrix, coefficients)
        return tf.transpose(coefficients)

    with tf.init_scope():  # a graph of its own, also where it is first asked for while another function is traced
        return tf.function(logarithms, autograph=False).get_concrete_function(tf.TensorSpec([None, sum(sizes)], dtype))
