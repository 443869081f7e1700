"""
The words that stand for the columns of signatures and log signatures, and their numbers; it needs no TensorFlow.

A word is a tuple of channels, which are counted from 0. Words are ordered by level, which is their number of letters,
then lexicographically; the empty word () comes first.
"""

import decimal
import functools
import itertools
import math
import sys
from decimal import Decimal

import numpy as np

from . import _memory
from ._arguments import as_int

# What a list of words takes: for each word a tuple and its place in the list, and a place in the tuple for each letter.
_BYTES_OF_A_PLACE = 8
_BYTES_OF_A_WORD = sys.getsizeof(()) + _BYTES_OF_A_PLACE
_MOST_OF_ONE_CHANNEL = 2**30  # bytes; more takes seconds, and all of these words are alike


def words(num_channels: int, num_words: int) -> list[tuple[int, ...]]:
    """
    The first ``num_words`` words over ``num_channels`` channels: what the columns of :func:`signature` stand for.

    ``words(2, 4)`` is ``[(), (0,), (1,), (0, 0)]``.

    :param num_channels: >= 1.
    :param num_words: >= 1.
    :raises ValueError: where either is below 1, where the words do not fit in memory, and where those of one channel,
        which are as long as there are words, take more than 1 GiB.
    :raises TypeError: where either is no integer.
    """
    num_channels = as_int(num_channels, "num_channels", 1)
    num_words = as_int(num_words, "num_words", 1)
    cause = f"num_words={num_words} with {num_channels} channels"
    _check_list_fits(cause, Decimal(num_words))  # first, as there may be too many levels to count their letters
    letters = num_words * (num_words - 1) // 2  # over one channel, where each level has one word
    if num_channels > 1:
        letters = sum(level * size for level, size in enumerate(level_sizes(num_channels, num_words)))
    _check_list_fits(cause, Decimal(num_words), letters / Decimal(num_words))
    if num_channels == 1:  # as many levels as words, and so quadratically many letters
        needed = letters * _BYTES_OF_A_PLACE
        if needed > _MOST_OF_ONE_CHANNEL:
            most = math.isqrt(2 * _MOST_OF_ONE_CHANNEL // _BYTES_OF_A_PLACE)
            raise ValueError(
                f"num_words must be at most {most} with one channel, got {num_words}, whose words would take "
                f"{needed / 1e9:.2g} GB: the word of column k is (0,) * k, so make only those that you need."
            )
        return [(0,) * level for level in range(num_words)]
    levels = (itertools.product(range(num_channels), repeat=level) for level in itertools.count())
    return list(itertools.islice(itertools.chain.from_iterable(levels), num_words))


def num_words_up_to(depth: int, channels: int, bytes_each: int, rows: int = 1) -> int:
    """
    The number of words over ``channels`` channels with at most ``depth`` letters, the empty word among them.

    :param bytes_each: the memory that the number at one word takes.
    :param rows: how many times the words are held at once.
    :raises ValueError: where they do not fit in memory.
    """
    with decimal.localcontext() as context:
        context.traps[decimal.Overflow] = False  # a number above 10^(10^18) counts as infinite
        count = Decimal(depth + 1)
        if channels > 1:
            count = (Decimal(channels) ** (depth + 1) - 1) / (channels - 1)
    _memory.check_fits(count, f"depth={depth} with {channels} channels", bytes_each, rows)
    return int(count)


def level_sizes(num_channels: int, num_words: int) -> list[int]:
    """How many of the first ``num_words`` words are on each level."""
    sizes: list[int] = []
    while num_words > 0:
        sizes.append(min(num_channels ** len(sizes), num_words))
        num_words -= sizes[-1]
    return sizes


def lyndon_words(num_channels: int, depth: int) -> list[tuple[int, ...]]:
    """
    The Lyndon words of 1 to ``depth`` letters: what the columns of :func:`log_signature` stand for.

    A Lyndon word comes before all its rotations in lexicographic order. There are as many of k letters as the free Lie
    algebra has dimensions at level k, and a Lie element is known by its coefficients at them. The words are ordered by
    level, then lexicographically: ``lyndon_words(2, 3)`` is ``[(0,), (1,), (0, 1), (0, 0, 1), (0, 1, 1)]``. They are
    found by the algorithm of Duval (1988).

    :param num_channels: >= 1.
    :param depth: >= 1.
    :raises ValueError: where either is below 1, and where the words do not fit in memory.
    :raises TypeError: where either is no integer.
    """
    num_channels = as_int(num_channels, "num_channels", 1)
    depth = as_int(depth, "depth", 1)
    if num_channels == 1:
        return [(0,)]
    check_lyndon_words_fit(num_channels, depth)
    found, word = [], [-1]
    while word:
        word[-1] += 1
        found.append(tuple(word))
        period = len(word)
        while len(word) < depth:
            word.append(word[len(word) - period])
        while word and word[-1] == num_channels - 1:
            word.pop()
    found.sort(key=len)
    return found


def check_lyndon_words_fit(channels: int, depth: int) -> None:
    """:raises ValueError: where a list of all Lyndon words of at most ``depth`` letters does not fit in memory."""
    if channels == 1:  # one word, whatever the depth
        return
    cause = f"depth={depth} with {channels} channels"
    with decimal.localcontext() as context:
        context.traps[decimal.Overflow] = False
        at_least = Decimal(channels) ** depth / (2 * depth)  # so many of the last level's words are Lyndon words
    _check_list_fits(cause, at_least, depth)
    counts = [_count_lyndon_words_of(k, channels) for k in range(1, depth + 1)]
    letters = sum(k * count for k, count in enumerate(counts, 1))
    _check_list_fits(cause, Decimal(sum(counts)), letters / Decimal(sum(counts)))


def _check_list_fits(cause: str, count: Decimal, letters_each: int | Decimal = 0) -> None:
    """:raises ValueError: where a list of ``count`` words, of so many letters on average, does not fit in memory."""
    _memory.check_fits(count, cause, _BYTES_OF_A_WORD + _BYTES_OF_A_PLACE * letters_each, holder="list")


@functools.lru_cache(maxsize=64)
def lyndon_columns(channels: int, depth: int) -> np.ndarray:
    """Where the Lyndon words stand among the columns of a signature without level 0."""
    return np.array(_columns(lyndon_words(channels, depth), channels), np.int32)


def _columns(words: list[tuple[int, ...]], channels: int) -> list[int]:
    """Where words of at least one letter stand among the columns of a signature without level 0."""
    places = []
    for word in words:
        place = 0
        for letter in word:  # (D + D^2 + ... before the level) + (the word read as a number in base D)
            place = place * channels + letter + 1
        places.append(place - 1)
    return places


def count_lyndon_words(channels: int, depth: int) -> int:
    """
    How many Lyndon words of at most ``depth`` letters there are.

    By Witt's formula those of k letters are the mean of mu(d) D^(k/d) over the divisors d of k, times their number.
    """
    if channels == 1:  # only (0,), as the formula would find in quadratic time
        return min(depth, 1)
    return sum(_count_lyndon_words_of(k, channels) for k in range(1, depth + 1))


def _count_lyndon_words_of(k: int, channels: int) -> int:
    return sum(_moebius(d) * channels ** (k // d) for d in range(1, k + 1) if k % d == 0) // k


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
