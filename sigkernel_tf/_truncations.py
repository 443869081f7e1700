"""Which words a truncation keeps, and how many, compared with memory before anything is allocated; no TensorFlow."""

import decimal
import functools
import math
import os
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np

BYTES_OF_A_TUPLE = 80  # a word as a Python object, and its place in a list
_MOST_WORDS = 2**31 - 1


def as_int(value: Any, name: str, smallest: int) -> int:
    """
    ``value`` as a Python int, which does not overflow as NumPy's do.

    :raises TypeError: where it is no integer.
    :raises ValueError: where it is below ``smallest``.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a Python int, got {value!r} of type {type(value).__name__}: use int({name}).")
    if value < smallest:
        raise ValueError(f"{name} must be at least {smallest}, got {value}.")
    return int(value)


def words_up_to(depth: int, channels: int, bytes_each: int, rows: int = 1) -> int:
    """
    The number of words over ``channels`` channels with at most ``depth`` letters, the empty word among them.

    :raises ValueError: where they do not fit in memory ``rows`` times, ``bytes_each`` for each word.
    """
    with decimal.localcontext() as context:
        context.traps[decimal.Overflow] = False  # beyond 10^(10^18) words are infinitely many
        count = Decimal(depth + 1)
        if channels > 1:
            count = (Decimal(channels) ** (depth + 1) - 1) / (channels - 1)
    check_fits(count, f"depth={depth} with {channels} channels", bytes_each, rows)
    return int(count)


def memory() -> int:
    """This machine's, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def known_product(sizes: Iterable[Any]) -> int:
    """Of the sizes that are known: one that is None, or a symbol while a function is traced, counts as 1."""
    return math.prod(int(size) if isinstance(size, (int, np.integer)) else 1 for size in sizes)


def check_fits(count: Decimal, cause: str, bytes_each: int, rows: int = 1, holder: str = "signature") -> None:
    """
    :param count: words, which ``cause`` asks for.
    :param rows: how many times they are wanted at once: for each path, with a stream for each of its time steps.
    :param holder: what has so many words.
    :raises ValueError: where they do not fit in memory.
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


def check_lyndon_words_fit(channels: int, depth: int) -> None:
    """:raises ValueError: where a list of all of them does not fit in memory."""
    with decimal.localcontext() as context:
        context.traps[decimal.Overflow] = False
        at_least = Decimal(channels) ** depth / (2 * depth)  # this share of the last level's words, at least
    check_fits(at_least, f"depth={depth} with {channels} channels", BYTES_OF_A_TUPLE, holder="list")


def lyndon_words(channels: int, depth: int) -> list[tuple[int, ...]]:
    """
    The Lyndon words of at most ``depth`` letters, by length, then lexicographically (Duval 1988).

    A Lyndon word comes strictly before all of its proper suffixes. There are as many of k letters as the free Lie
    algebra has dimensions at level k, and a Lie element is known by its coefficients at them.

    :raises ValueError: where they do not fit in memory.
    """
    if channels == 1:
        return [(0,)]
    check_lyndon_words_fit(channels, depth)
    found, word = [], [-1]
    while word:
        word[-1] += 1
        found.append(tuple(word))
        period = len(word)
        while len(word) < depth:
            word.append(word[len(word) - period])
        while word and word[-1] == channels - 1:
            word.pop()
    return sorted(found, key=len)


@functools.lru_cache(maxsize=64)
def lyndon_columns(channels: int, depth: int) -> np.ndarray:
    """Where the Lyndon words stand among the columns of a signature without level 0."""
    return np.array(positions(lyndon_words(channels, depth), channels), np.int32)


def count_lyndon_words(channels: int, depth: int) -> int:
    """How many there are, by Witt's formula: sum over k of the mean of mu(d) D^(k/d) over the divisors d of k."""
    return sum(
        sum(_moebius(d) * channels ** (k // d) for d in range(1, k + 1) if k % d == 0) // k for k in range(1, depth + 1)
    )


def _moebius(n: int) -> int:
    sign, factor = 1, 2
    while n > 1:
        if n % factor == 0:
            n //= factor
            if n % factor == 0:
                return 0
            sign = -sign
        factor += 1
    return sign


def positions(words: list[tuple[int, ...]], channels: int) -> list[int]:
    """Where words of at least one letter stand among the columns of a signature without level 0."""
    places = []
    for word in words:
        place = 0
        for letter in word:  # (D + D^2 + ... before the level) + (the word read as a number in base D)
            place = place * channels + letter + 1
        places.append(place - 1)
    return places
