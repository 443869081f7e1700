"""Rows of arrays in slices, so that memory does not grow with their number."""

from collections.abc import Iterator
from typing import Any

import numpy as np


def row_slices(num_rows: int, size: int) -> list[slice]:
    """Slices that cover rows 0 to ``num_rows`` − 1 in their order, each of ``size`` rows; the last may be shorter."""
    return [slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]


def row_parts(array: Any, size: int = 4096) -> Iterator[np.ndarray]:
    """The rows of an array-like in their order, ``size`` of them at a time, in memory."""
    for rows in row_slices(array.shape[0], size):
        yield np.asarray(array[rows])
