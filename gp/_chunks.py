"""Long computations in chunks, so that memory does not grow with their length, gradients included."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf


def row_slices(num_rows: int, size: int) -> list[slice]:
    """Slices that cover rows 0 to ``num_rows`` − 1 in their order, each of ``size`` rows; the last may be shorter."""
    return [slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]


def row_parts(array: Any, size: int = 4096) -> Iterator[np.ndarray]:
    """The rows of an array-like in their order, ``size`` of them at a time, in memory."""
    for rows in row_slices(array.shape[0], size):
        yield np.asarray(array[rows])


def size_of(tensor: tf.Tensor, axis: int) -> int | tf.Tensor:
    """The size of an axis: an int where it is known while tracing, else a tensor."""
    return tf.shape(tensor)[axis] if tensor.shape[axis] is None else tensor.shape[axis]


@tf.autograph.experimental.do_not_convert
def in_chunks(
    function: Callable[..., tf.Tensor], count: int | tf.Tensor, chunk: int | tf.Tensor, *tensors: tf.Tensor
) -> tf.Tensor:
    """
    The rows ``function(start, stop, *tensors)`` for all of 0, ..., count − 1, at most ``chunk`` of them at a time.

    The gradient computes each chunk again, so that only the rows of a chunk are kept. Where it is known while tracing
    that one chunk holds all rows, the function is called directly.

    :param function: may also read variables. The gradient reaches these and ``tensors``, and nothing else.
    :param count: the number of rows, an int or a scalar tensor.
    :param chunk: an int or a scalar tensor, at least 1.
    :return: [count, ...].
    """
    if isinstance(count, int) and isinstance(chunk, int) and count <= chunk:
        return function(0, count, *tensors)
    count, chunk = tf.cast(count, tf.int32), tf.cast(chunk, tf.int32)

    @tf.custom_gradient
    def run(*tensors: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        num_chunks = tf.maximum((count + chunk - 1) // chunk, 1)  # where there are no rows, one chunk without rows

        def rows(k: tf.Tensor, *tensors: tf.Tensor) -> tf.Tensor:
            return function(k * chunk, tf.minimum((k + 1) * chunk, count), *tensors)

        def append(k: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            return k + 1, found.write(k, rows(k, *tensors))

        def gradient(upstream: tf.Tensor, variables: Any = None) -> Any:
            inputs = [tf.identity(tensor) for tensor in tensors]  # so that a tensor given twice is two inputs
            sources = [*inputs, *(variables or ())]

            def add(k: tf.Tensor, *sums: tf.Tensor) -> list[tf.Tensor]:
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(sources)
                    again = rows(k, *inputs)
                part = upstream[k * chunk : k * chunk + tf.shape(again)[0]]
                found = tape.gradient(again, sources, part, unconnected_gradients=tf.UnconnectedGradients.ZERO)
                return [k + 1, *(total + tf.convert_to_tensor(part) for total, part in zip(sums, found, strict=True))]

            zeros = [tf.zeros_like(source) for source in sources]
            found = tf.while_loop(lambda k, *_: k < num_chunks, add, [0, *zeros], parallel_iterations=1)[1:]
            return (found[: len(tensors)], found[len(tensors) :]) if variables else found

        found = tf.TensorArray(tensors[0].dtype, size=num_chunks, infer_shape=False)
        found = tf.while_loop(lambda k, _: k < num_chunks, append, [0, found], parallel_iterations=1)[1]
        return found.concat(), gradient

    return run(*tensors)
