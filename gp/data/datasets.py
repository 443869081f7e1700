"""``tf.data`` pipelines: made from rows that need not fit in memory, and written to files that have rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from sigkernel_tf._arguments import as_int

from .minibatches import minibatches
from .rows import as_rows

_ROWS_AT_A_TIME = 256
_AHEAD = 2  # batches that are read while an earlier one is used


def path_dataset(
    X: Any, Y: Any, *, batch_size: int = 50, seed: int | None = None, first: int = 0, repeat: bool = False
) -> tf.data.Dataset:
    """
    A ``tf.data`` pipeline of batches (X, Y) from arrays or files.

    Rows stay in their files until shortly before they are used.

    >>> batch, labels = next(iter(path_dataset(rows, Y, batch_size=5, seed=0)))
    >>> batch.shape, labels.shape
    (TensorShape([5, 20]), TensorShape([5, 1]))

    :param X: flattened paths [N, L * D]: an array, a memory-mapped file, or X of :func:`read_tfrecords`.
    :param Y: outputs [N, P], of the same kinds.
    :param batch_size: the number of rows in a batch.
    :param seed: decides the random order of the rows, another one in each pass. None: the rows keep their order.
    :param first: the number of the batch to begin with, from 0, to go on where an earlier pipeline stopped.
    :param repeat: whether to go on for ever, in batches of ``batch_size`` that may end one pass and begin the next.
        Otherwise there is one pass, whose last batch may be smaller.
    :return: batches of X in GPflow's default float, and of Y in its own dtype.
    """
    rows = as_rows((X, Y))
    batch_size = as_int(batch_size, "batch_size", 1)
    num_batches = -(-len(rows) // batch_size)

    def chosen(number: int) -> np.ndarray:
        if seed is None:
            places = np.arange(number * batch_size, (number + 1) * batch_size)
            return places % len(rows) if repeat else places[places < len(rows)]
        batch = minibatches(len(rows), batch_size, seed, number, 1)[0]
        return batch if repeat else batch[: len(rows) - number * batch_size]

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        number = first
        while repeat or number < num_batches:
            yield rows.read(chosen(number))
            number += 1

    return tf.data.Dataset.from_generator(batches, output_signature=rows.specs()).prefetch(_AHEAD)


def spooled(dataset: tf.data.Dataset, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """
    Write the rows of a finite dataset to memory-mapped files, from which they can be read in any order.

    :param dataset: pairs (X, Y), each a batch or one row. X may be flattened or not, and Y may be a vector. A pair of
        ranks 2 and 1 is a batch if Y holds as many numbers as X has rows.
    :param folder: the folder for the files.
    :raises TypeError: for a dataset whose elements are not pairs.
    :raises ValueError: for an endless dataset, an empty one, batches of X and Y that differ in length, and rows of
        several widths.
    """
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise TypeError(f"data must be a tf.data.Dataset of pairs (X, Y), got elements {spec}.")
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("data must be a finite tf.data.Dataset, got one without an end: leave out repeat().")
    if spec[0].shape.rank == 1:
        dataset = dataset.batch(_ROWS_AT_A_TIME)  # fewer elements, each of which passes through Python
    shapes, dtypes, count = None, None, 0
    paths = [folder / "X", folder / "Y"]
    with paths[0].open("wb") as x_file, paths[1].open("wb") as y_file:
        for batch in dataset.as_numpy_iterator():
            parts = _as_batch(*batch)
            shapes, dtypes = shapes or [part.shape[1] for part in parts], [part.dtype for part in parts]
            if [part.shape[1] for part in parts] != shapes:
                raise ValueError(
                    f"data must have rows of one width, {shapes[0]} and {shapes[1]} as the first, got "
                    f"{[part.shape[1] for part in parts]} after {count} rows: bring the paths to one length."
                )
            for part, file in zip(parts, (x_file, y_file), strict=True):
                file.write(np.ascontiguousarray(part).tobytes())
            count += len(parts[0])
    if count == 0 or shapes is None or dtypes is None:
        raise ValueError("data must hold at least one row, got an empty tf.data.Dataset.")
    X, Y = (
        np.memmap(path, dtype, "r", shape=(count, width))
        for path, dtype, width in zip(paths, dtypes, shapes, strict=True)
    )
    return X, Y


def _as_batch(X: np.ndarray, Y: np.ndarray) -> list[np.ndarray]:
    """One element of a dataset as X [B, columns] and Y [B, outputs]."""
    is_one_row = X.ndim < 2 or Y.ndim == 0 or (X.ndim == 2 and Y.ndim == 1 and len(X) != len(Y))
    if is_one_row:
        return [X.reshape(1, -1), Y.reshape(1, -1)]
    if len(X) != len(Y):
        raise ValueError(f"data must have batches of as many rows in X as in Y, got shapes {X.shape} and {Y.shape}.")
    return [X.reshape(len(X), -1), Y.reshape(len(Y), -1)]
