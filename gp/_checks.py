"""Argument checks that several modules of this package share."""

from typing import Any

import numpy as np


def as_positive_int(value: Any, name: str) -> int:
    """
    ``value`` as an int of at least 1.

    :raises TypeError: for anything but an integer, booleans included.
    :raises ValueError: for less than 1.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, got {value!r}: for instance {name}=3.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")
    return int(value)
