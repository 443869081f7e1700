"""
Paths and labels in a TFRecord file, written in one pass and read by rows in any order.

A record is a ``tf.train.Example`` with the features ``x`` and ``y``. Each holds the bytes of a serialized tensor, which
``tf.io.parse_tensor`` reads in any pipeline. The file is not compressed, so that the place of a record follows from the
lengths of the records before it.
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from sigkernel_tf._arguments import check_unmasked

from .._chunks import row_slices
from .rows import as_rows

_HEADER, _CHECKSUM = 12, 4  # bytes before a record (its length, and the length's checksum) and after it
_FEATURES = {name: tf.io.FixedLenFeature([], tf.string) for name in ("x", "y")}


def write_tfrecords(path: str | Path, data: tuple[Any, Any] | Iterable[tuple[Any, Any]]) -> int:
    """
    Write flattened paths and their labels to a TFRecord file, replacing it.

    :param path: the file.
    :param data: X [N, L * D] and Y [N, P], array-like; or a generator or ``tf.data.Dataset`` of such pairs, of which
        only one is in memory at a time. All rows must have the same width and dtype;
        :func:`~sigkernel_tf.gp.flatten_paths` pads paths to one length.
    :return: the number of rows written.
    :raises ValueError: for rows of another width or dtype than the first, and for no rows at all.
    """
    is_pair = isinstance(data, (tuple, list)) and len(data) == 2 and not isinstance(data[0], (tuple, list))
    batches: Iterable[tuple[Any, Any]] = _parts(data) if is_pair else data  # type: ignore[arg-type, assignment]
    first, count = None, 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for batch in batches:
            for part, name in zip(batch, "XY", strict=True):
                check_unmasked(part, name)
            X, Y = (np.asarray(part) for part in batch)
            kind = (X.shape[1:], X.dtype, Y.shape[1:], Y.dtype)
            first = first or kind
            if kind != first or len(X) != len(Y):
                raise ValueError(
                    f"data must have rows of one width and dtype, {first} as in the first batch, got {kind} after "
                    f"{count} rows ({len(X)} of X, {len(Y)} of Y): use flatten_paths on all paths together."
                )
            for x, y in zip(X, Y, strict=True):
                writer.write(_example(x, y))
            count += len(X)
    if count == 0:
        raise ValueError("data must hold at least one row, got none.")
    return count


def read_tfrecords(path: str | Path) -> tuple["RecordColumn", "RecordColumn"]:
    """
    X and Y of a file that :func:`write_tfrecords` wrote, as array-likes whose rows are read when they are needed.

    This call reads only the lengths of the records, 12 bytes each, and the first record.

    .. code-block:: python

        train(model, read_tfrecords("paths.tfrecord"))

    :raises FileNotFoundError: where there is no such file.
    :raises ValueError: for a file that :func:`write_tfrecords` did not write.
    """
    places = _places(Path(path))
    return RecordColumn(Path(path), "x", places), RecordColumn(Path(path), "y", places)


class RecordColumn:
    """One feature of all records as an array-like whose rows stay in the file; :func:`read_tfrecords` returns two."""

    def __init__(self, path: Path, feature: str, places: np.ndarray) -> None:
        """
        :param path: the file.
        :param feature: x or y.
        :param places: the first byte and the length of each record, [N, 2].
        """
        self._path, self._feature, self._places = path, feature, places
        with path.open("rb") as file:
            row = self._row(file, 0)
        self.dtype = row.dtype
        self.shape = (len(places), *row.shape)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        numbers = np.arange(len(self))[rows]
        with self._path.open("rb") as file:
            if np.ndim(numbers) == 0:
                return self._row(file, int(numbers))
            read = [self._row(file, int(number)) for number in numbers]
        return np.stack(read) if read else np.empty((0, *self.shape[1:]), self.dtype)

    def _row(self, file: Any, number: int) -> np.ndarray:
        start, length = self._places[number]
        file.seek(int(start))
        try:
            example = tf.train.Example.FromString(file.read(int(length)))
            content = example.features.feature[self._feature].bytes_list.value[0]
            return tf.make_ndarray(tensor_pb2.TensorProto.FromString(content))
        except Exception as error:
            raise ValueError(f"{self._path} is no file of write_tfrecords: record {number} cannot be read.") from error


def _example(x: np.ndarray, y: np.ndarray) -> bytes:
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[tf.make_tensor_proto(value).SerializeToString()]))
        for name, value in (("x", x), ("y", y))
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _parts(data: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rows = as_rows(data)
    for part in row_slices(len(rows), 1000):
        yield rows.read(part)


def _places(path: Path) -> np.ndarray:
    size = path.stat().st_size
    places, start = [], 0
    with path.open("rb") as file:
        while start < size:
            file.seek(start)
            header = file.read(_HEADER)
            length = struct.unpack("<Q", header[:8])[0] if len(header) == _HEADER else size
            if start + _HEADER + length + _CHECKSUM > size:
                raise ValueError(
                    f"{path} must be a whole TFRecord file, not compressed; it breaks off at byte {start}."
                )
            places.append((start + _HEADER, length))
            start += _HEADER + length + _CHECKSUM
    if not places:
        raise ValueError(f"{path} must hold at least one record, got an empty file.")
    return np.array(places, dtype=np.int64)
