"""Checks of arguments that need no TensorFlow: whole numbers, switches, the shapes of paths, and masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def as_int(value: Any, name: str, smallest: int) -> int:
    """
    ``value`` as a Python int, which cannot overflow as NumPy's integers do.

    :param name: of the argument, for the error.
    :param smallest: the least value that is allowed.
    :raises TypeError: where it is no integer; a boolean is none.
    :raises ValueError: where it is below ``smallest``.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"{name} must be an int, got {value!r} of type {type(value).__name__}: "
            f"for instance {name}={max(smallest, 3)}."
        )
    if value < smallest:
        raise ValueError(f"{name} must be at least {smallest}, got {value}.")
    return int(value)


def as_bool(value: Any, name: str) -> bool:
    """
    ``value``, a boolean of Python or NumPy, as Python's. Anything else has a truth, too, but perhaps not the one meant.

    :param name: of the argument, for the error.
    :raises TypeError: for anything but True and False.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def check_path_shape(shape: Sequence[int | None], name: str, variable: str) -> None:
    """
    Refuses what is no batch of paths [B, L, D] with L >= 1 and D >= 1, as far as the sizes are known.

    :param name: of the argument, for the error.
    :param variable: what a user calls the argument in code, for the cure.
    :raises ValueError: for another rank, no time steps or no channels.
    """
    shape = tuple(shape)
    if len(shape) != 3:
        raise ValueError(
            f"{name} must have rank 3, (paths, time steps, channels), got shape {shape}: "
            f"a single path takes {variable}[None], paths with one channel take {variable}[..., None]."
        )
    check_path_sizes(shape, name)


def check_path_sizes(shape: Sequence[int | None], name: str) -> None:
    """
    Refuses paths [..., L, D] without time steps or channels, as far as the sizes are known.

    :param name: of the argument, for the error.
    :raises ValueError: for L = 0 and for D = 0.
    """
    if shape[-2] == 0:
        raise ValueError(f"{name} must have at least one time step, got shape {shape}: drop empty series first.")
    if shape[-1] == 0:
        raise ValueError(f"{name} must have at least one channel, got shape {shape}.")


def check_unmasked(value: Any, name: str, cure: str = "") -> None:
    """
    Refuses a NumPy masked array some of whose elements are masked, and a list that holds one.

    NumPy and TensorFlow would drop the mask without a word and compute with what lies under it.

    :param name: of the argument, for the error.
    :param cure: what to do instead; by default, to fill the masked elements in.
    :raises ValueError: for a masked element.
    """
    if isinstance(value, (list, tuple)):
        for one in value:
            check_unmasked(one, name, cure)
    elif isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(
            f"{name} must have no masked elements, got a masked array with {np.ma.count_masked(value)} of "
            f"{value.size} masked: {cure or f'fill them in first, as in {name}.filled(0.0)'}."
        )


def masked_as_nan(value: Any) -> Any:
    """A masked array of numbers as a plain array that is NaN where it is masked; anything else as it is."""
    if not isinstance(value, np.ma.MaskedArray) or value.dtype.kind not in "iubf":
        return value
    dtype = value.dtype if value.dtype.kind == "f" else np.float64
    return np.ma.filled(value.astype(dtype), np.nan)
