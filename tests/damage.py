"""Damaged copies of a file's content, on which readers are tried."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def damaged(content: bytes, *, flips: int, cuts: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Copies with one bit flipped, and copies that break off, with a text that says which."""
    rng = np.random.default_rng(seed)
    places = rng.permutation(len(content))[:flips] if flips < len(content) else np.arange(len(content))
    for place in places.tolist():
        bit = int(rng.integers(8))
        copy = bytearray(content)
        copy[place] ^= 1 << bit
        yield f"bit {bit} of byte {place}", bytes(copy)
    for length in np.linspace(0, len(content) - 1, cuts).astype(int).tolist():
        yield f"cut to {length} bytes", content[:length]


def value_or_error(read: Callable[[], Any]) -> tuple[Any, str | None]:
    """What a reader returns, and None; or None, and the message of its ValueError. Other errors pass through."""
    try:
        return read(), None
    except ValueError as error:
        return None, str(error)
