"""
Checks of the arguments that are tensors, before anything is computed.

A size that is unknown while a function is traced passes; the compiled operations check it when they run.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from . import _library
from ._arguments import check_path_shape, check_path_sizes, check_unmasked

DTYPES = (tf.float32, tf.float64)
_UNMASK = "sk.paths.pad_ragged takes masked steps at the end of a path as padding; fill others in, as in X.filled(0.0)"


def as_float_tensor(value: Any, name: str) -> tf.Tensor:
    """
    ``value`` as a float32 or float64 tensor.

    :raises TypeError: for any other dtype, as nothing is cast silently, and for what is no dense array.
    :raises ValueError: for nested lists of unequal length, and for a masked array.
    :raises RuntimeError: in a process that was forked from one that had used TensorFlow.
    """
    _library.check_process()  # before TensorFlow is asked for anything
    if isinstance(value, (tf.RaggedTensor, tf.SparseTensor)):
        raise TypeError(
            f"{name} must be a dense tensor or an array, got a {type(value).__name__}: "
            "sk.paths.pad_ragged makes a dense one of paths of unequal length."
        )
    check_no_long_double(value, name)
    check_unmasked(value, name, _UNMASK)
    try:
        tensor = tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{name} must be a tensor or an array of floats, got a {type(value).__name__} that cannot be made one "
            f"({str(error)[:200]}): for paths of unequal length see sk.paths.pad_ragged."
        ) from error
    if tensor.dtype not in DTYPES:
        raise TypeError(
            f"{name} must be float32 or float64, got {tensor.dtype.name}: cast it first, "
            f"as in tf.cast({name}, tf.float64)."
        )
    return tensor


def check_no_long_double(value: Any, name: str) -> None:
    """:raises TypeError: for an array of NumPy's long double, for which TensorFlow has no dtype and no clear error."""
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype == np.longdouble:
        raise TypeError(
            f"{name} must be float32 or float64, got {value.dtype.name}, NumPy's long double, for which TensorFlow has "
            f"no dtype: cast it first, as in {name}.astype(np.float64)."
        )


def as_paths(value: Any, name: str) -> tf.Tensor:
    """
    ``value`` as a tensor of paths [B, L, D] with L >= 1 and D >= 1.

    :raises ValueError: for another rank, no time steps or no channels.
    :raises TypeError: for a dtype other than float32 and float64.
    """
    paths = as_float_tensor(value, name)
    if paths.shape.rank is not None:
        check_path_shape(paths.shape, name, name)
    return paths


def as_batches(value: Any, name: str, *, sets: bool = False) -> tf.Tensor:
    """
    ``value`` as a tensor of paths [..., L, D] with any leading axes, L >= 1 and D >= 1.

    :param sets: whether sets of paths are asked for, [..., N, L, D], and not single ones.
    :raises ValueError: for a rank below 2, or below 3 for sets; for no time steps or no channels.
    :raises TypeError: for a dtype other than float32 and float64.
    """
    paths = as_float_tensor(value, name)
    if paths.shape.rank is None:
        return paths
    shape = tuple(paths.shape)
    if sets and len(shape) < 3:
        raise ValueError(
            f"{name} must have rank 3 or more, (..., paths, time steps, channels), got shape {shape}: "
            f"a single path takes {name}[None], paths with one channel take {name}[..., None]."
        )
    if len(shape) < 2:
        raise ValueError(
            f"{name} must have rank 2 or more, (..., time steps, channels), got shape {shape}: "
            f"a path with one channel takes {name}[:, None]."
        )
    check_path_sizes(shape, name)
    return paths


def check_sizes_known(X: tf.Tensor) -> None:
    """:raises ValueError: for paths X whose number of steps or channels is unknown while a function is traced."""
    if X.shape.rank is None or None in X.shape[-2:]:
        raise ValueError(
            f"X must have numbers of time steps and channels known while the function is traced, got shape {X.shape}: "
            "set them with X = tf.ensure_shape(X, [None, L, D])."
        )


def check_same_dtype(first: tf.Tensor, second: tf.Tensor, names: str) -> None:
    """:raises TypeError: where the dtypes differ."""
    if first.dtype != second.dtype:
        raise TypeError(
            f"{names} must have one dtype, got {first.dtype.name} and {second.dtype.name}: cast one of them first."
        )


def check_same_size(first: tf.Tensor, second: tf.Tensor, axis: int, names: str, what: str) -> None:
    """:raises ValueError: where the sizes along ``axis`` are known and differ."""
    if first.shape.rank is None or second.shape.rank is None:
        return
    if not first.shape[axis:][:1].is_compatible_with(second.shape[axis:][:1]):
        raise ValueError(
            f"{names} must have the same number of {what}, got {first.shape[axis]} and {second.shape[axis]} "
            f"(shapes {first.shape} and {second.shape})."
        )
