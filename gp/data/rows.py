"""
Labelled data by rows: arrays in memory, or array-likes whose rows stay in their files until they are needed.

An array-like is anything with ``shape``, ``dtype`` and indexing by slices and by sorted integer arrays: memory-mapped
files (``np.load(path, mmap_mode="r")``), what :func:`~sigkernel_tf.gp.read_tfrecords` returns, arrays of h5py and zarr.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from gpflow.config import default_float

from sigkernel_tf._arguments import check_unmasked

from .._checks import check_rows
from .._chunks import row_slices
from .digest import digest
from .outputs import check_outputs, output_dtype

_UNMASK = (
    "fill the masked elements in, or leave their rows out; flatten_paths takes masked steps at a path's end as padding"
)


class Rows:
    """
    X and Y, with the same number of rows, read on demand; X is read in GPflow's default float.

    X must be finite. Arrays in memory are checked when they come in (:func:`as_rows`), and files whenever a part of
    them is read, as reading them twice could take hours.
    """

    def __init__(self, X: Any, Y: Any, y_dtype: Any = None, indices: np.ndarray | None = None) -> None:
        """
        :param X: inputs, array-like [N, ...].
        :param Y: outputs, array-like [N, P].
        :param y_dtype: the dtype in which rows of Y are read. None: their own.
        :param indices: the numbers of the rows that belong to the data, in their order. None: all.
        """
        self._X, self._Y, self._indices = X, Y, indices
        self._y_dtype = Y.dtype if y_dtype is None else y_dtype

    def __len__(self) -> int:
        return self._X.shape[0] if self._indices is None else len(self._indices)

    def subset(self, indices: np.ndarray) -> "Rows":
        """The data of these rows only; nothing is read yet."""
        return Rows(self._X, self._Y, self._y_dtype, indices if self._indices is None else self._indices[indices])

    def read(self, rows: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Some rows of X and Y, in memory.

        :raises ValueError: for a NaN or an infinity in these rows of an X that stays in its file.
        """
        if self._indices is not None:
            rows = self._indices[rows]
        X, Y = read_rows(self._X, rows), read_rows(self._Y, rows)
        X = X.astype(default_float(), copy=False)
        if not _is_in_memory(self._X):
            check_finite(X, np.arange(self._X.shape[0])[rows].ravel())
        return X, Y.astype(self._y_dtype, copy=False)

    def specs(self) -> tuple[tf.TensorSpec, tf.TensorSpec]:
        """The specifications of any number of rows of X and Y."""
        dtypes = default_float(), self._y_dtype
        return tuple(  # type: ignore[return-value]
            tf.TensorSpec([None, *part.shape[1:]], dtype)
            for part, dtype in zip((self._X, self._Y), dtypes, strict=True)
        )

    def digest(self) -> str:
        """The SHA-256 digest of dtypes, shapes and values of X and Y, read a part at a time."""
        return digest(self._X, self._Y)


def read_rows(array: Any, rows: slice | np.ndarray) -> np.ndarray:
    """Rows of an array-like, in memory. Files are read in their order, as that is fastest and some require it."""
    if isinstance(rows, slice):
        return np.asarray(array[rows])
    if rows.ndim > 1:
        return read_rows(array, rows.ravel()).reshape(*rows.shape, *array.shape[1:])
    if type(array) is np.ndarray:
        return array[rows]
    ordered, places = np.unique(rows, return_inverse=True)
    return np.asarray(array[ordered])[places]


def _is_in_memory(array: Any) -> bool:
    return type(array) is np.ndarray  # a memory-mapped file is of a subclass


def check_finite(X: np.ndarray, numbers: Sequence[int] | np.ndarray) -> None:
    """
    :param X: some rows.
    :param numbers: their numbers in the data.
    :raises ValueError: for a NaN or an infinity in X, naming its row in the data.
    """
    if np.isfinite(X).all():
        return
    table = X.reshape(len(numbers), -1)
    row, column = np.argwhere(~np.isfinite(table))[0]
    raise ValueError(
        f"X must be finite, got {table[row, column]} in row {numbers[row]}, column {column}: fill it in, or leave such "
        "rows out; flatten_paths pads paths of unequal lengths."
    )


def as_array_like(array: Any, name: str) -> Any:
    """
    An array-like as it is; anything else, such as lists and tensors, as a NumPy array.

    :param name: of the argument, for the error.
    :raises ValueError: for a masked array.
    """
    check_unmasked(array, name, _UNMASK)
    if isinstance(array, tf.Tensor | tf.Variable) or not (hasattr(array, "shape") and hasattr(array, "dtype")):
        return np.asarray(array)
    return array


def as_default_float(array: Any) -> tf.Tensor:
    """An array, a tensor or a list of numbers as a tensor in GPflow's default float."""
    if isinstance(array, np.ndarray) and array.dtype.kind in "iuf":  # TensorFlow does not know all of NumPy's dtypes
        array = array.astype(default_float(), copy=False)
    return tf.convert_to_tensor(array, default_float())


def as_rows(data: tuple[Any, Any], likelihood: Any = None) -> Rows:
    """
    Data as :class:`Rows`, checked.

    :param data: X [N, ...] and Y [N, P], array-like.
    :param likelihood: one of GPflow's. X must then have rank 2; Y is checked against the likelihood and read in the
        dtype that it takes. None: Y is neither checked nor converted.
    :raises ValueError: for other ranks, differing numbers of rows, no rows, a NaN or an infinity in an array X, and a Y
        that the likelihood cannot take.
    :raises TypeError: for data that are not a pair, and a Y that does not hold numbers.
    """
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"data must be a pair (X, Y), got {type(data).__name__}: for instance data=(X_train, Y_train).")
    X, Y = (as_array_like(part, name) for part, name in zip(data, "XY", strict=True))
    if len(X.shape) < 2 or len(Y.shape) != 2:
        raise ValueError(
            f"data must be X [N, columns] and Y [N, outputs], got shapes {X.shape} and {Y.shape}: "
            "labels in a vector take y[:, None]."
        )
    if X.shape[0] != Y.shape[0] or X.shape[0] == 0:
        raise ValueError(f"data must have the same number of rows in X and Y, at least one, got {X.shape}, {Y.shape}.")
    if _is_in_memory(X):
        for rows in row_slices(len(X), 4096):
            check_finite(X[rows].astype(default_float(), copy=False), range(rows.start, rows.stop))
    if likelihood is None:
        return Rows(X, Y)
    check_rows(X, "X")
    check_outputs(Y, likelihood)
    return Rows(X, Y, output_dtype(likelihood))
