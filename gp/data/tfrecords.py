"""
Paths and labels in a TFRecord file, written in one pass and read by rows in any order.

A record is a ``tf.train.Example`` with the features ``x`` and ``y``. Each holds the bytes of a serialized tensor, which
``tf.io.parse_tensor`` reads in any pipeline. The file is not compressed, so that the place of a record follows from the
lengths of the records before it.

TFRecord files hold checksums of each record's length and content. TensorFlow's reader, which compares them, reads the
whole file when it is opened. Rows are then read from their places without it, as it cannot skip records fast.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.python.lib.io import _pywrap_record_io  # the reader beneath tf.data, without a graph for each file

from sigkernel_tf._arguments import check_unmasked

from .._chunks import row_slices
from .checked_files import replacing
from .rows import as_rows

_HEADER, _CHECKSUM = 12, 4  # bytes before a record (its length, and the length's checksum) and after it


def write_tfrecords(path: str | Path, data: tuple[Any, Any] | Iterable[tuple[Any, Any]]) -> int:
    """
    Write flattened paths and their labels to a TFRecord file, replacing it in one step.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_tfrecords(f"{folder}/paths.tfrecord", (rows, Y))
    20

    :param path: the file.
    :param data: X [N, L * D] and Y [N, P], array-like; or a generator or ``tf.data.Dataset`` of such pairs, of which
        only one is in memory at a time. All rows must have the same width and dtype;
        :func:`~sigkernel_tf.gp.flatten_paths` pads paths to one length.
    :return: the number of rows written.
    :raises ValueError: for rows of another width or dtype than the first, and for no rows at all.
    """
    batches = as_batches(data)
    first, count = None, 0
    with replacing(Path(path)) as temporary:
        temporary.touch()  # so that it is Python's error that says why a file cannot be written
        with tf.io.TFRecordWriter(str(temporary)) as writer:
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

    This call reads the whole file once, to compare its checksums: about a second for a million short records, or for
    2 GB of long ones. After that, only the rows that are asked for are read.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     count = write_tfrecords(f"{folder}/paths.tfrecord", (rows, Y))
    ...     X_file, Y_file = read_tfrecords(f"{folder}/paths.tfrecord")
    ...     evaluate(model, (X_file, Y_file)).nlpp > 0
    True

    :raises FileNotFoundError: where there is no such file.
    :raises ValueError: for a file that :func:`write_tfrecords` did not write, and for a damaged one, naming the first
        damaged record.
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


def as_batches(data: tuple[Any, Any] | Iterable[tuple[Any, Any]]) -> Iterable[tuple[Any, Any]]:
    """Pairs (X, Y) as they are; a single pair of arrays in parts."""
    is_pair = isinstance(data, (tuple, list)) and len(data) == 2 and not isinstance(data[0], (tuple, list))
    return _parts(data) if is_pair else data  # type: ignore[return-value]


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
    """The first byte and the length of each record, [N, 2], once all checksums are found right."""
    with path.open("rb"):  # so that it is Python's error that says why a file cannot be read
        size = path.stat().st_size
    lengths: list[int] = []
    error = None
    try:
        for record in _pywrap_record_io.RecordIterator(str(path), ""):
            lengths.append(len(record))
    except tf.errors.DataLossError as found:
        error = found
    starts = np.cumsum([0, *(_HEADER + length + _CHECKSUM for length in lengths)])
    if error is not None or starts[-1] != size:  # TensorFlow takes a header that breaks off for the end
        raise ValueError(
            f"{path} must be a whole TFRecord file, not compressed, but record {len(lengths)}, which begins at byte "
            f"{starts[-1]}, is damaged: its checksum differs, or the file breaks off at byte {size}. Write the file "
            "again."
        ) from error
    if not lengths:
        raise ValueError(f"{path} must hold at least one record, got an empty file.")
    return np.stack([starts[:-1] + _HEADER, np.array(lengths, np.int64)], axis=1)
