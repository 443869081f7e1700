"""
Paths and labels in several TFRecord or Parquet files, the shards of one data set, in a folder with a list of them.

The list holds how many rows and bytes each shard has. So a shard that is missing or cut short is seen at once, and a
shard is opened, and its checksums are compared, only when one of its paths is needed. Workers that share the rows of a
fit therefore read the shards of their own rows only. The labels, which are small and of which all are needed, are in a
file of their own, too.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sigkernel_tf._arguments import as_int

from .checked_files import file_digest, read_json, replacing, write_json
from .parquet import ParquetColumn, write_parquet
from .tfrecords import RecordColumn, as_batches, read_tfrecords, write_tfrecords

_LIST, _LABELS = "shards.json", "Y.bin"
_WRITE: dict[str, Callable[[Path, Any], int]] = {"tfrecord": write_tfrecords, "parquet": write_parquet}


def write_shards(
    folder: str | Path,
    data: tuple[Any, Any] | Iterable[tuple[Any, Any]],
    *,
    rows_per_shard: int = 100_000,
    format: str = "tfrecord",
) -> int:
    """
    Write flattened paths and their labels to files in a folder, and the list of these files last.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_shards(folder, (rows, Y), rows_per_shard=8)  # the number of files
    3

    :param folder: it is made where it does not exist; a list that is there is replaced.
    :param data: as :func:`write_tfrecords` takes it: arrays, or a generator of batches.
    :param rows_per_shard: how many rows a file holds; the last may hold fewer.
    :param format: ``"tfrecord"``, from which rows are read fast in any order, as the minibatches of a training are.
        ``"parquet"``, which other programs read, too, and from which rows are read fast in their order, as the passes
        of a fit do. It needs pyarrow, and memory for the rows of a shard.
    :return: the number of files.
    :raises ValueError: for rows of another width or dtype than the first, for no rows at all, and for another format.
    :raises ImportError: for Parquet without pyarrow.
    """
    if format not in _WRITE:
        raise ValueError(f"format must be one of {', '.join(_WRITE)}, got {format!r}.")
    folder, size = Path(folder), as_int(rows_per_shard, "rows_per_shard", 1)
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, Any]] = []
    first: tuple[Any, ...] | None = None
    with replacing(folder / _LABELS) as labels, labels.open("wb") as file:
        for part in _parts(as_batches(data), size):
            kind = tuple((array.shape[1:], array.dtype) for array in part[0])
            first = first or kind
            if kind != first:
                raise ValueError(
                    f"data must have rows of one width and dtype, {first} as in the first batch, got {kind} in shard "
                    f"{len(shards)}: use flatten_paths on all paths together."
                )
            path = folder / f"shard-{len(shards):05d}.{format}"
            rows = _WRITE[format](path, part)
            shards.append({"file": path.name, "rows": rows, **_described(path)})
            for _, Y in part:
                file.write(np.ascontiguousarray(Y).tobytes())
        if first is None:
            raise ValueError("data must hold at least one row, got none.")
    (x_shape, x_dtype), (y_shape, y_dtype) = first
    content = {
        "X": {"shape": x_shape, "dtype": x_dtype.str},
        "Y": {"shape": y_shape, "dtype": y_dtype.str, "file": _LABELS, **_described(folder / _LABELS)},
        "shards": shards,
    }
    write_json(folder / _LIST, content)
    return len(shards)


def _described(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_digest(path)}


def read_shards(folder: str | Path) -> tuple["ShardedPaths", np.ndarray]:
    """
    X and Y of a folder that :func:`write_shards` wrote: X as an array-like whose rows are read when they are needed.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     count = write_shards(folder, (rows, Y), rows_per_shard=8)
    ...     X_file, Y_file = read_shards(folder)
    ...     X_file.shape, Y_file.shape
    ((20, 20), (20, 1))

    :return: X, and Y as a memory-mapped file.
    :raises FileNotFoundError: where the folder has no list of shards, and for a shard that is missing, naming it.
    :raises ValueError: for a list that is damaged, and for a shard that has another size than it had, naming it. A
        shard with another content is named when one of its rows is first read.
    """
    folder = Path(folder)
    try:
        content = read_json(folder / _LIST)
        shards = [_Shard(folder / one["file"], one["rows"], one["bytes"], one["sha256"]) for one in content["shards"]]
        labels = _Shard(folder / content["Y"]["file"], len(shards), content["Y"]["bytes"], content["Y"]["sha256"])
        X = ShardedPaths(shards, tuple(content["X"]["shape"]), np.dtype(content["X"]["dtype"]))
        shape, dtype = (len(X), *content["Y"]["shape"]), np.dtype(content["Y"]["dtype"])
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{folder} holds no {_LIST}, which write_shards writes last: write the shards again, to the end."
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / _LIST} is damaged ({error!r}): write the shards again.") from error
    for shard in (*shards, labels):
        shard.check()
    if file_digest(labels.path) != labels.sha256:
        raise ValueError(f"{labels.path} is damaged, for its SHA-256 differs: copy it, or write the shards again.")
    return X, np.memmap(labels.path, dtype, "r", shape=shape)


@dataclass(frozen=True)
class _Shard:
    """A file of the list, and what the list says of it."""

    path: Path
    rows: int
    size: int
    sha256: str

    def check(self) -> None:
        """:raises FileNotFoundError: where the file is missing; ValueError where it has another size."""
        if not self.path.is_file():
            raise FileNotFoundError(f"shard {self.path} is missing: copy it, or write the shards again.")
        if self.path.stat().st_size != self.size:
            raise ValueError(
                f"shard {self.path} must have {self.size} bytes, got {self.path.stat().st_size}: it was cut short or "
                "replaced; copy it, or write the shards again."
            )


class ShardedPaths:
    """The paths of all shards as an array-like whose rows stay in the files; :func:`read_shards` returns one."""

    def __init__(self, shards: list[_Shard], shape: tuple[int, ...], dtype: np.dtype) -> None:
        """
        :param shape: of a row.
        :param dtype: of X.
        """
        self._shards = shards
        self._opened: dict[int, RecordColumn | ParquetColumn] = {}
        self._ends = np.cumsum([shard.rows for shard in shards])
        self.shape, self.dtype = (int(self._ends[-1]), *shape), dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        numbers = np.atleast_1d(rows)
        numbers = np.where(numbers < 0, numbers + len(self), numbers)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"row numbers must be from 0 to {len(self) - 1}, got {rows}.")
        found = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        places = np.searchsorted(self._ends, numbers, side="right")
        for place in np.unique(places):
            chosen = places == place
            start = self._ends[place] - self._shards[place].rows
            found[chosen] = self._column(int(place))[numbers[chosen] - start]
        return found[0] if np.ndim(rows) == 0 else found

    def digest(self) -> str:
        """A digest of the files' digests, for which nothing is read."""
        text = " ".join(f"{shard.rows} {shard.sha256}" for shard in self._shards)
        return hashlib.sha256(text.encode()).hexdigest()

    def _column(self, place: int) -> RecordColumn | ParquetColumn:
        """The paths of a file, which is opened when they are first asked for."""
        if place not in self._opened:
            path = self._shards[place].path
            is_parquet = path.suffix == ".parquet"
            self._opened[place] = ParquetColumn(path, "x") if is_parquet else read_tfrecords(path)[0]
        return self._opened[place]


def _parts(batches: Iterable[tuple[Any, Any]], size: int) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """The same rows in lists of batches, each list with ``size`` rows; the last may have fewer."""
    part: list[tuple[np.ndarray, np.ndarray]] = []
    missing = size
    for batch in batches:
        X, Y = (np.asarray(each) for each in batch)
        while len(X):
            part.append((X[:missing], Y[:missing]))
            missing -= len(part[-1][0])
            X, Y = X[len(part[-1][0]) :], Y[len(part[-1][0]) :]
            if not missing:
                yield part
                part, missing = [], size
    if part:
        yield part
