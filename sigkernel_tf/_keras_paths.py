"""
Masks, time and base points of the Keras layers, in Keras operations that run on each of its backends.

The conventions are those of ``sigkernel_tf.paths``, which needs TensorFlow.
"""

import sys
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any  # of whichever backend Keras runs on


def hold(X: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """
    Lets each path stand still where it is masked: its signature is then that of the path without the masked steps.

    A masked step takes the value of the last unmasked step before it or, where there is none, of the first one after
    it. A path without any unmasked step rests at zero. What the masked steps hold has no influence, not even NaN.

    :param X: [B, L, D].
    :param mask: [B, L], true where a step counts.
    :return: the paths [B, L, D], and the number of unmasked steps up to each step, [B, L].
    """
    mask = ops.cast(mask, "bool")
    step = ops.arange(ops.shape(X)[1], dtype="int32")
    unmasked_first = ops.argsort(ops.where(mask, step, step + ops.shape(X)[1]), axis=1)
    count = ops.cumsum(ops.cast(mask, "int32"), axis=1)
    source = ops.take_along_axis(unmasked_first, ops.maximum(count - 1, 0), axis=1)
    held = ops.take_along_axis(X, source[..., None], axis=1)
    return ops.where(count[:, -1:, None] > 0, held, ops.zeros_like(held)), count


def mask_of_lengths(lengths: Tensor, length: Any) -> Tensor:
    """The mask [B, ``length``] of paths that have ``lengths`` [B] steps: true up to each path's end."""
    return ops.arange(length, dtype="int32")[None, :] < ops.cast(lengths, "int32")[:, None]


def check_lengths(lengths: Tensor, length: int | None) -> None:
    """
    Refuses numbers of steps that no path of ``length`` steps can have.

    :raises TypeError: for numbers that are no integers.
    :raises ValueError: for values below 0 or above ``length``, where the values can be read without waiting for a GPU.
    """
    dtype = keras.backend.standardize_dtype(lengths.dtype)
    if not keras.backend.is_int_dtype(dtype):
        raise TypeError(f"lengths must be integers, the number of steps of each path that count, got {dtype}.")
    values = _values(lengths)
    if values is None:
        return
    wrong = (values < 0) | (values > (values if length is None else length))
    if wrong.any():
        path = int(wrong.argmax())
        raise ValueError(
            f"lengths must be from 0 to the {length} steps of the inputs, got {values[path]} for path {path}: clip "
            "them, or give the inputs that they belong to."
        )


def _values(tensor: Tensor) -> np.ndarray | None:
    """The values of a tensor that has them in the host's memory; None while a function is compiled, and for a GPU."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.compiler.is_compiling():
        return None
    try:
        return np.asarray(tensor)
    except Exception:  # each backend has an error of its own for a tensor without values
        return None


def add_time(X: Tensor, count: Tensor | None) -> Tensor:
    """
    Puts time in channel 0, from 0 to 1.

    :param count: the numbers of unmasked steps that :func:`hold` returns, over which time goes on; None: all steps.
    """
    if count is None:
        count = ops.arange(1, ops.shape(X)[1] + 1, dtype="int32")[None, :]
    passed = ops.maximum(count - 1, 0)
    # The maximum is taken of integers, because on PyTorch Keras would make float32 of the maximum of floats.
    time = ops.cast(passed, X.dtype) / ops.cast(ops.maximum(passed[:, -1:], 1), X.dtype)
    return ops.concatenate([ops.broadcast_to(time[..., None], ops.shape(X[..., :1])), X], axis=-1)


def add_basepoint(X: Tensor) -> Tensor:
    """Puts a first step of zeros in front of each path."""
    return ops.pad(X, [[0, 0], [1, 0], [0, 0]])
