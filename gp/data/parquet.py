"""
Paths and labels in a Parquet file, one row of lists for each path. It needs pyarrow, an extra of this package.

Rows are read a row group at a time, and the group that was read last is kept. Passes over the rows in their order thus
read each group once; rows in a random order are read faster from TFRecord files.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .checked_files import replacing

_ROWS_IN_GROUP = 4096


def write_parquet(path: Path, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> int:
    """
    Write paths and labels to a Parquet file with the columns x and y, replacing it in one step.

    :param batches: X [n, W] and Y [n, P], all of one width and dtype; together they must fit into memory.
    :return: the number of rows written.
    :raises ImportError: where there is no pyarrow.
    """
    arrow, parquet = _pyarrow()
    columns = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    lists = [arrow.FixedSizeListArray.from_arrays(arrow.array(part.ravel()), part.shape[1]) for part in columns]
    with replacing(path) as temporary:
        parquet.write_table(
            arrow.table(lists, names=["x", "y"]), temporary, row_group_size=_ROWS_IN_GROUP, write_page_checksum=True
        )
    return len(columns[0])


class ParquetColumn:
    """One column of a file that :func:`write_parquet` wrote, as an array-like whose rows stay in the file."""

    def __init__(self, path: Path, name: str) -> None:
        """
        :param path: the file.
        :param name: of the column, x or y.
        :raises ImportError: where there is no pyarrow.
        :raises ValueError: for another file, and for a damaged one.
        """
        self._path, self._name = path, name
        arrow, parquet = _pyarrow()
        try:
            # The reader's own errors, which differ between versions, are of one of these kinds.
            self._file = parquet.ParquetFile(path, page_checksum_verification=True)
            kind = self._file.schema_arrow.field(name).type
            self.dtype = np.dtype(kind.value_type.to_pandas_dtype())
            width = kind.list_size
        except (OSError, arrow.ArrowException, KeyError, AttributeError) as error:
            raise self._damaged(error) from error
        groups = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._ends = np.cumsum(groups)
        self.shape = (int(self._ends[-1]), width)
        self._read: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        numbers = np.arange(len(self))[rows]
        found = np.empty((*np.shape(numbers), self.shape[1]), self.dtype)
        places = np.searchsorted(self._ends, numbers, side="right")
        for place in np.unique(places):
            chosen, group = places == place, self._group(int(place))
            found[chosen] = group[numbers[chosen] - (self._ends[place] - len(group))]
        return found

    def _group(self, place: int) -> np.ndarray:
        """The rows of a row group."""
        if self._read is None or self._read[0] != place:
            arrow, _ = _pyarrow()
            try:
                column = self._file.read_row_group(place, columns=[self._name]).column(0)
            except (OSError, arrow.ArrowException) as error:
                raise self._damaged(error) from error
            flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
            self._read = place, flat.reshape(-1, self.shape[1])
        return self._read[1]

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(
            f"{self._path} must be a whole Parquet file of write_shards, but it cannot be read ({error}): copy it, or "
            "write the shards again."
        )


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError('Parquet files need pyarrow: pip install "sigkernel-tf[parquet]".') from error
    return pyarrow, pyarrow.parquet
