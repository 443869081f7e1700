"""
Labelled data by rows: arrays in memory, or what is like an array and stays where it is until rows are asked for.

That is anything with ``shape``, ``dtype`` and rows by slices and sorted integer arrays: memory-mapped files
(``np.load(path, mmap_mode="r")``), :func:`~sigkernel_tf.gp.read_tfrecords`, arrays of h5py and zarr.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from gpflow.config import default_float

from .digest import digest
from .outputs import check_outputs, output_dtype


class Rows:
    """X and Y of the same number of rows; X in GPflow's default float."""

    def __init__(self, X: Any, Y: Any, y_dtype: Any = None, indices: np.ndarray | None = None) -> None:
        """
        :param X: inputs, array-like [N, ...].
        :param Y: outputs, array-like [N, P].
        :param y_dtype: in which rows of Y are read; None: as they are.
        :param indices: which rows of these count, in this order; None: all.
        """
        self._X, self._Y, self._indices = X, Y, indices
        self._y_dtype = Y.dtype if y_dtype is None else y_dtype

    def __len__(self) -> int:
        return self._X.shape[0] if self._indices is None else len(self._indices)

    def subset(self, indices: np.ndarray) -> "Rows":
        """The rows with these numbers; nothing is read."""
        return Rows(self._X, self._Y, self._y_dtype, indices if self._indices is None else self._indices[indices])

    def read(self, rows: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Some rows of X and Y, in memory."""
        if self._indices is not None:
            rows = self._indices[rows]
        X, Y = read_rows(self._X, rows), read_rows(self._Y, rows)
        return X.astype(default_float(), copy=False), Y.astype(self._y_dtype, copy=False)

    def specs(self) -> tuple[tf.TensorSpec, tf.TensorSpec]:
        """Of any number of rows of X and Y."""
        dtypes = default_float(), self._y_dtype
        return tuple(  # type: ignore[return-value]
            tf.TensorSpec([None, *part.shape[1:]], dtype)
            for part, dtype in zip((self._X, self._Y), dtypes, strict=True)
        )

    def digest(self) -> str:
        """SHA-256 of dtypes, shapes and values of X and Y, read a part at a time."""
        return digest(self._X, self._Y)


def read_rows(array: Any, rows: slice | np.ndarray) -> np.ndarray:
    """Rows of an array-like, in memory. Files are read in their order, which some ask for and all are fastest in."""
    if isinstance(rows, slice):
        return np.asarray(array[rows])
    if rows.ndim > 1:
        return read_rows(array, rows.ravel()).reshape(*rows.shape, *array.shape[1:])
    if type(array) is np.ndarray:
        return array[rows]
    ordered, places = np.unique(rows, return_inverse=True)
    return np.asarray(array[ordered])[places]


def as_array_like(array: Any) -> Any:
    """What has rows as it is; everything else (lists, tensors) as a NumPy array."""
    if isinstance(array, tf.Tensor | tf.Variable) or not (hasattr(array, "shape") and hasattr(array, "dtype")):
        return np.asarray(array)
    return array


def as_rows(data: tuple[Any, Any], likelihood: Any = None) -> Rows:
    """
    Data as :class:`Rows`, checked.

    :param data: X [N, ...] and Y [N, P], array-like.
    :param likelihood: GPflow's, which Y is for: it is checked, and read in the dtype that the likelihood takes.
    :raises ValueError: for other ranks, differing numbers of rows, no rows, and what the likelihood cannot take.
    :raises TypeError: for data that are not a pair, and a Y that holds no numbers.
    """
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"data must be a pair (X, Y), got {type(data).__name__}: for instance data=(X_train, Y_train).")
    X, Y = (as_array_like(part) for part in data)
    if len(X.shape) < 2 or len(Y.shape) != 2:
        raise ValueError(
            f"data must be X [N, columns] and Y [N, outputs], got shapes {X.shape} and {Y.shape}: "
            "labels in a vector take y[:, None]."
        )
    if X.shape[0] != Y.shape[0] or X.shape[0] == 0:
        raise ValueError(f"data must have the same number of rows in X and Y, at least one, got {X.shape}, {Y.shape}.")
    if likelihood is None:
        return Rows(X, Y)
    check_outputs(Y, likelihood)
    return Rows(X, Y, output_dtype(likelihood))
