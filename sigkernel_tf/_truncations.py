"""Which words a truncation keeps, and how many, compared with memory before anything is allocated; no TensorFlow."""

import decimal
import os
from decimal import Decimal
from typing import Any

_MOST_WORDS = 2**31 - 1


def check_int(value: Any, name: str, smallest: int) -> None:
    """
    :raises TypeError: where ``value`` is not a Python int.
    :raises ValueError: where it is below ``smallest``.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a Python int, got {value!r} of type {type(value).__name__}: use int({name}).")
    if value < smallest:
        raise ValueError(f"{name} must be at least {smallest}, got {value}.")


def words_up_to(depth: int, channels: int, bytes_each: int, rows: int = 1) -> int:
    """
    The number of words over ``channels`` channels with at most ``depth`` letters, the empty word among them.

    :raises ValueError: where they do not fit in memory, ``bytes_each`` for each word of ``rows`` signatures.
    """
    with decimal.localcontext() as context:
        context.traps[decimal.Overflow] = False  # beyond 10^(10^18) words are infinitely many
        count = Decimal(depth + 1)
        if channels > 1:
            count = (Decimal(channels) ** (depth + 1) - 1) / (channels - 1)
    check_fits(count, f"depth={depth} with {channels} channels", bytes_each, rows)
    return int(count)


def check_fits(count: Decimal, cause: str, bytes_each: int, rows: int = 1) -> None:
    """:raises ValueError: where ``rows`` times ``count`` words, which ``cause`` asks for, do not fit in memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size = count * bytes_each * rows
    if count > _MOST_WORDS or size > memory:
        of = "each signature" if rows == 1 else f"the {rows} signatures of a path's prefixes (stream=True)"
        raise ValueError(
            f"{cause} makes {count:.5g} words, {size:.5g} bytes for {of}; at most "
            f"{_MOST_WORDS} words, and this machine's {memory} bytes of memory, can be had: lower it."
        )


def lyndon_words(channels: int, depth: int) -> list[tuple[int, ...]]:
    """
    The Lyndon words of at most ``depth`` letters, by length, then lexicographically (Duval 1988).

    A Lyndon word comes strictly before all of its proper suffixes. There are as many of k letters as the free Lie
    algebra has dimensions at level k, and a Lie element is known by its coefficients at them.
    """
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
