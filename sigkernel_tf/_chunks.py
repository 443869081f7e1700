"""Long computations in chunks, so that memory does not grow with their length, gradients included."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import record


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

        # In eager mode a tape would record what is in here, too, and so keep it.
        with record.stop_recording():
            found = tf.TensorArray(tensors[0].dtype, size=num_chunks, infer_shape=False)
            found = tf.while_loop(lambda k, _: k < num_chunks, append, [0, found], parallel_iterations=1)[1].concat()
        return found, gradient

    return run(*tensors)
