"""Whether what is asked for fits in memory, which is checked before anything is allocated; it needs no TensorFlow."""

import math
import os
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np

_MOST_WORDS = 2**31 - 1


def memory() -> int:
    """This machine's memory in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def known_product(sizes: Iterable[Any]) -> int:
    """The product of the sizes that are known: None, or a symbol while a function is traced, counts as 1."""
    return math.prod(int(size) if isinstance(size, (int, np.integer)) else 1 for size in sizes)


def check_fits(count: Decimal, cause: str, bytes_each: int, rows: int = 1, holder: str = "signature") -> None:
    """
    Refuses words that do not fit in memory.

    :param count: the number of words.
    :param cause: the arguments that ask for so many words, for the error.
    :param bytes_each: the memory that one word takes.
    :param rows: how many times the words are held at once: for each path, or with ``stream`` for each time step.
    :param holder: what has so many words, for the error.
    :raises ValueError: where the words of one row, or those of all rows, do not fit in memory.
    """
    available = memory()
    if count > _MOST_WORDS or count * bytes_each > available:
        raise ValueError(
            f"{cause} makes {count:.5g} words, {count * bytes_each:.5g} bytes for each {holder}; at most "
            f"{_MOST_WORDS} words, and this machine's {available} bytes of memory, can be had: lower it."
        )
    if count * bytes_each * rows > available:
        raise ValueError(
            f"{cause} makes {count:.5g} words, {count * bytes_each * rows:.5g} bytes for all {rows} {holder}s; this "
            f"machine has {available} bytes of memory: lower it, or take fewer paths at a time."
        )
