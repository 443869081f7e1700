"""
Predictions at rows with leading batch dimensions [..., N, W], for posteriors whose own code takes rows [N, W].

GPflow's code for cached posteriors, diagonal q(u) and covariances between outputs takes no such dimensions.
"""

from collections.abc import Callable

import tensorflow as tf
from gpflow.base import MeanAndVariance, TensorType
from gpflow.config import default_float

from sigkernel_tf._arguments import check_unmasked
from sigkernel_tf._batches import on_merged
from sigkernel_tf._checks import check_no_long_double


def as_rows(X: TensorType) -> tf.Tensor:
    """
    X as a tensor; lists of numbers get GPflow's default float.

    :raises ValueError: for masked elements, whose mask a tensor would lose before a kernel sees it.
    :raises TypeError: for NumPy's long double.
    """
    check_no_long_double(X, "Xnew")
    check_unmasked(X, "Xnew", "flatten_paths takes masked steps at the end of a path as padding; fill others in")
    return tf.convert_to_tensor(X, default_float() if isinstance(X, (list, tuple)) else None)


def marginals_of_rows(function: Callable[[tf.Tensor], MeanAndVariance], X: tf.Tensor) -> MeanAndVariance:
    """
    Means and variances of each row by itself, for which the leading dimensions of X are merged.

    :param function: takes rows [N, W] and returns means [N, P] and variances [N, P] or [N, P, P].
    :param X: rows [..., N, W].
    :return: means [..., N, P] and variances [..., N, P] or [..., N, P, P].
    """
    return on_merged(function, X, axes=1)


def with_output_covariances(covariances: tf.Tensor) -> tf.Tensor:
    """The covariances [..., N, P, N, P] of independent outputs, which have [..., P, N, N] each by itself."""
    identity = tf.eye(tf.shape(covariances)[-3], dtype=covariances.dtype)
    return tf.einsum("...pnm,pq->...npmq", covariances, identity)


def first_axis_moved(tensor: tf.Tensor, *, to: int) -> tf.Tensor:
    """The first axis moved to a place from the end: [..., L, N, M] of [L, ..., N, M] for ``to`` = -3."""
    rank = tensor.shape.rank
    return tf.transpose(tensor, [*range(1, rank + to + 1), 0, *range(rank + to + 1, rank)])
