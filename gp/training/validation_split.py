"""Which rows a training validates on, and which it trains on meanwhile."""

from typing import Any

import numpy as np

from sigkernel_tf._arguments import check_unmasked

from ..data.index_permutation import IndexPermutation
from .options import TrainingOptions


class RowsBut:
    """The numbers of all rows but some, in increasing order; of many rows, only those left out are in memory."""

    def __init__(self, num_data: int, left_out: np.ndarray) -> None:
        """:param left_out: in increasing order, each once."""
        self._count = num_data - len(left_out)
        self._skipped = left_out - np.arange(len(left_out))  # how many rows that stay come before each

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        return places + np.searchsorted(self._skipped, places, side="right")


def split_rows(num_data: int, options: TrainingOptions, validation: Any) -> tuple[RowsBut, np.ndarray]:
    """The numbers of the rows to train on in phases 1 and 2, and of those to validate on, both in increasing order."""
    if validation is None:
        num_validation = round(options.validation_fraction * num_data)
        what = f"validation_fraction={options.validation_fraction}"
        if options.validation_size is not None:
            num_validation = min(num_validation, options.validation_size)
        held_out = IndexPermutation(num_data, [options.seed, 0])[np.arange(num_validation)]
    else:
        check_unmasked(validation, "validation", "give validation.compressed(), the row numbers that are not masked")
        try:
            held_out = np.asarray(validation)
        except ValueError:  # arrays of several shapes
            held_out = np.empty(0, object)
        if held_out.ndim != 1 or not np.issubdtype(held_out.dtype, np.integer) or len(set(held_out)) < len(held_out):
            raise ValueError(
                f"validation must be a vector of row numbers, each once, got {held_out.dtype} {held_out.shape}: "
                "make one from a mask by np.flatnonzero; append a separate validation set to the data, and give the "
                "numbers of its rows."
            )
        if len(held_out) and not 0 <= held_out.min() <= held_out.max() < num_data:
            raise ValueError(
                f"validation must hold row numbers from 0 to {num_data - 1}, got {held_out.min()} to {held_out.max()}."
            )
        num_validation, what = len(held_out), f"validation, {len(held_out)} rows"
    if not 0 < num_validation < num_data:
        raise ValueError(
            f"{what} of {num_data} series leaves {num_validation} to validate on and {num_data - num_validation} to "
            "train on, expected at least 1 of each: change it."
        )
    if options.batch_size > num_data - num_validation:
        raise ValueError(
            f"batch_size must be at most {num_data - num_validation}, the {num_data} series less the "
            f"{num_validation} of the validation split, got {options.batch_size}: take a smaller batch_size."
        )
    held_out = np.sort(held_out)
    return RowsBut(num_data, held_out), held_out
