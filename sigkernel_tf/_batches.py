"""
Leading axes, such as the batch dimensions of GPflow, around operations that know only one of them.

The compiled operations take paths [B, L, D], and Gram matrices are of paths [N, L, D]. Here all leading axes are merged
into one before, and split again after. Where the rank is unknown while a function is traced, nothing is reshaped, and
the operations check it when they run.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

Sizes = list[int | tf.Tensor]


def sizes(tensor: tf.Tensor) -> Sizes:
    """The sizes of all axes of a tensor of known rank: an int where it is known while tracing, else a tensor."""
    known = tensor.shape.as_list()
    if None not in known:
        return known
    dynamic = tf.unstack(tf.shape(tensor), num=len(known))
    return [size if given is None else given for size, given in zip(dynamic, known, strict=True)]


def on_merged(function: Callable[..., Any], *tensors: tf.Tensor, axes: int = 2) -> Any:
    """
    ``function`` with all leading axes of its arguments merged into one.

    :param function: takes tensors [B, ...] with as many axes after the first as ``axes`` says, and returns one tensor
        [B, ...] or several.
    :param tensors: [..., L, D] for two ``axes``, all with the same leading axes; there may be none. Where there is just
        one, nothing is to be merged, and it is the function that must check it.
    :return: what the function returns, with these leading axes in place of B.
    """
    if any(tensor.shape.rank in (None, axes + 1) for tensor in tensors):
        return function(*tensors)
    tensors = _same_leading(tensors, axes)
    leading = sizes(tensors[0])[:-axes]
    results = function(*(merged(tensor, axes) for tensor in tensors))
    return tf.nest.map_structure(lambda result: tf.reshape(result, [*leading, *sizes(result)[1:]]), results)


def merged(tensor: tf.Tensor, axes: int = 2) -> tf.Tensor:
    """A tensor with all but its last ``axes`` axes merged into one: [B, L, D] of [..., L, D] for two."""
    shape = sizes(tensor)
    # The number is written out, as reshape cannot infer it for an empty batch.
    return tf.reshape(tensor, [math.prod(shape[:-axes]), *shape[-axes:]])


@tf.autograph.experimental.do_not_convert  # map_fn would otherwise have AutoGraph convert the function at every call
def gram_of_each(function: Callable[..., Any], *paths: tf.Tensor, num_sides: int, num_results: int = 1) -> Any:
    """
    Gram matrices of paths with leading axes, computed one after the other.

    :param function: takes paths [N, L1, D], or these and [M, L2, D], and returns [N, M], or a tuple of several.
    :param paths: [..., N, L1, D], or these and [..., M, L2, D], with the same leading axes; after them there may be
        more tensors of the same rank, one for each of them.
    :param num_sides: 1 or 2, how many of the tensors are paths.
    :param num_results: how many matrices the function returns.
    :return: [..., N, M], or a tuple of several.
    """
    if any(tensor.shape.rank in (None, 3) for tensor in paths):
        return function(*paths)
    spec = tf.TensorSpec([paths[0].shape[-3], paths[num_sides - 1].shape[-3]], paths[0].dtype)
    specs = spec if num_results == 1 else (spec,) * num_results

    def one_after_the_other(*batches: tf.Tensor) -> Any:
        batches = _same_leading(batches, 3)
        count = sizes(batches[0])[0]
        if not isinstance(count, int) or count == 0:  # map_fn needs one batch at least, to learn the shape
            extra = tf.cast(tf.equal(count, 0), tf.int32)
            batches = tuple(tf.pad(batch, [[0, extra], [0, 0], [0, 0], [0, 0]], constant_values=1) for batch in batches)
        grams = tf.map_fn(lambda of_one: function(*of_one), batches, fn_output_signature=specs)
        return tf.nest.map_structure(lambda of_all: of_all[:count], grams)

    return on_merged(one_after_the_other, *paths, axes=3)


def check_same_leading(first: tf.Tensor, second: tf.Tensor, axes: int, names: str) -> None:
    """:raises ValueError: where the leading axes, all but the last ``axes``, are known to differ."""
    if first.shape.rank is None or second.shape.rank is None:
        return
    one, other = first.shape[:-axes], second.shape[:-axes]
    if one.is_compatible_with(other):
        return
    if len(one) == len(other) == 1:
        raise ValueError(
            f"{names} must have the same number of paths, got {one[0]} and {other[0]} "
            f"(shapes {first.shape} and {second.shape})."
        )
    raise ValueError(
        f"{names} must have the same leading axes, got {one} and {other} (shapes {first.shape} and {second.shape}): "
        "nothing is broadcast."
    )


def _same_leading(tensors: tuple[tf.Tensor, ...], axes: int) -> tuple[tf.Tensor, ...]:
    """The tensors, with a check at run time where sizes of their leading axes are unknown."""
    if len(tensors) == 1 or all(tensor.shape[:-axes].is_fully_defined() for tensor in tensors):
        return tensors
    first = tf.shape(tensors[0])[:-axes]
    message = "all paths must have the same leading axes: nothing is broadcast."
    checks = [tf.debugging.assert_equal(first, tf.shape(other)[:-axes], message) for other in tensors[1:]]
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tuple(tf.identity(tensor) for tensor in tensors)


def upper_pairs(count: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """
    The pairs i <= j of ``count`` things, which a symmetric matrix needs, and where the matrix takes each from.

    :return: the pairs [P, 2]; and for each entry (i, j) of the matrix the number of its pair, [count, count].
    """
    upper = tf.cast(tf.where(tf.linalg.band_part(tf.ones([count, count], tf.bool), 0, -1)), tf.int32)
    numbers = tf.scatter_nd(upper, tf.range(tf.shape(upper)[0]), [count, count])
    return upper, numbers + tf.transpose(tf.linalg.set_diag(numbers, tf.zeros([count], tf.int32)))


def rows_at(tensor: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """``tensor[indices]`` along the first axis, with a dense gradient, where that of tf.gather is IndexedSlices."""
    return tf.gather(tensor[None], indices, axis=1)[0]


def columns_at(tensor: tf.Tensor, columns: Sequence[int] | np.ndarray) -> tf.Tensor:
    """
    ``tensor[..., columns]``, of a tensor whose number of columns is known.

    It goes by rows of the transpose: the gradient of a gather along another axis fails in TensorFlow for no rows.
    """
    leading = sizes(tensor)[:-1]
    rows = tf.reshape(tensor, [math.prod(leading), tensor.shape[-1]])
    return tf.reshape(tf.transpose(tf.gather(tf.transpose(rows), columns)), [*leading, len(columns)])
