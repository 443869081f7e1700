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
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from . import _memory
from ._arguments import as_int

Word = tuple[int, ...]

# What a list of words takes: for each word a tuple and its place in the list, and a place in the tuple for each letter.
_BYTES_OF_A_PLACE = 8
_BYTES_OF_A_WORD = sys.getsizeof(()) + _BYTES_OF_A_PLACE
_MOST_OF_ONE_CHANNEL = 2**30  # bytes; more takes seconds, and all of these words are alike


def words(num_channels: int, num_words: int) -> list[Word]:
    """
    The first ``num_words`` words over ``num_channels`` channels: what the columns of :func:`signature` stand for.

    ``words(2, 4)`` is ``[(), (0,), (1,), (0, 0)]``.

    >>> sk.words(2, 6)
    [(), (0,), (1,), (0, 0), (0, 1), (1, 0)]

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


def weighted_words(weights: Sequence[float], max_weight: float) -> list[Word]:
    """
    The words whose letters weigh at most ``max_weight`` together, where each channel has a weight of its own.

    These are the words of an anisotropic signature: a channel of half the weight is taken to twice the depth. With
    weights of 1 they are all words up to the depth ``max_weight``. They are ordered as those of :func:`words` are, and
    :func:`signature` takes them as ``words``: ``weighted_words([1, 2], 3)`` is
    ``[(), (0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0)]``. In the terms of rough paths, a channel of finite
    p-variation has the weight 1/p (Gyurkó 2016, *Differential equations driven by Π-rough paths*).

    >>> sk.weighted_words([1.0, 2.0], max_weight=3.0)  # a letter 1 weighs as much as two letters 0
    [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0)]

    :param weights: a positive number for each channel.
    :param max_weight: the largest weight of a word, >= 0. A word that exceeds it by rounding only is kept.
    :raises ValueError: where there are no weights, one is not positive or not finite, ``max_weight`` is negative or not
        finite, and where the words do not fit in memory.
    :raises TypeError: for weights that are no numbers.
    """
    try:
        weights, most = [float(weight) for weight in weights], float(max_weight)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"weights and max_weight must be a list of numbers and a number, got {weights!r} and {max_weight!r}."
        ) from error
    if not weights or not all(0 < weight < math.inf for weight in weights):
        raise ValueError(f"weights must have a positive number for each channel, got {weights}.")
    if not 0 <= most < math.inf:
        raise ValueError(f"max_weight must be a finite number >= 0, got {max_weight!r}.")
    most *= 1 + 1e-12
    _check_weighted_words_fit(weights, most, f"max_weight={max_weight} with the weights {weights}")
    found: list[Word] = [()]
    level: list[tuple[Word, float]] = [((), 0.0)]
    while level:
        level = [
            ((*word, letter), weight + more)
            for word, weight in level
            for letter, more in enumerate(weights)
            if weight + more <= most
        ]
        found += [word for word, _ in level]
    return found


def _check_weighted_words_fit(weights: list[float], most: float, cause: str) -> None:
    """:raises ValueError: where a list of the words up to a weight does not fit in memory; they are only counted."""
    total = letters = level = 0
    numbers = {0.0: 1}  # how many words of the level have this weight, up to rounding
    while numbers:
        words_of_level = sum(numbers.values())
        total, letters, level = total + words_of_level, letters + level * words_of_level, level + 1
        _check_list_fits(cause, Decimal(total), letters / Decimal(total))
        longer: dict[float, int] = {}
        for weight, number in numbers.items():
            for more in weights:
                if weight + more <= most:
                    key = float(f"{weight + more:.12g}")
                    longer[key] = longer.get(key, 0) + number
        numbers = longer


def word_index(word: Sequence[int], num_channels: int) -> int:
    """
    The column of a word in a signature: ``words(num_channels, M)[word_index(word, num_channels)]`` is the word.

    A log signature at all words has no column for the empty word: there subtract 1.

    >>> sk.word_index((1, 0), num_channels=2)
    5

    :param word: channels, counted from 0; ``()`` is the empty word. ``word_index((1, 0), 2)`` is 5.
    :param num_channels: >= 1.
    :raises ValueError: for a letter that is no channel, and ``num_channels`` below 1.
    :raises TypeError: for a word that is no sequence of integers, and where ``num_channels`` is no integer.
    """
    num_channels = as_int(num_channels, "num_channels", 1)
    return columns_of([as_word(word, num_channels, "word")], num_channels)[0]


def as_word(value: Any, channels: int, name: str) -> Word:
    """
    ``value`` as a word, a tuple of Python's integers from 0 to ``channels`` - 1.

    :param name: of the argument, for the error.
    :raises TypeError: for what is no sequence of integers.
    :raises ValueError: for a letter that is no channel.
    """
    letters: list[Any] = list(value) if isinstance(value, Iterable) else [None]
    if any(isinstance(letter, bool) or not isinstance(letter, (int, np.integer)) for letter in letters):
        raise TypeError(
            f"{name} must be a tuple of channels, got {value!r}: for instance (0, 1); () is the empty word."
        )
    word = tuple(int(letter) for letter in letters)
    if any(not 0 <= letter < channels for letter in word):
        raise ValueError(f"{name} must have letters from 0 to {channels - 1}, one for each channel, got {word}.")
    return word


def as_words(value: Any, channels: int) -> tuple[Word, ...]:
    """
    ``value`` as words, at least one.

    :raises TypeError: for what is no sequence of words.
    :raises ValueError: where there are none, and for a letter that is no channel.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(
            f"words must be a list of words, each a tuple of channels, got {value!r}: for instance [(0, 1)]."
        )
    words = tuple(as_word(word, channels, f"words[{i}]") for i, word in enumerate(value))
    if not words:
        raise ValueError("words must have at least one word, got none: [()] asks for the empty word.")
    return words


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


def lyndon_words(num_channels: int, depth: int) -> list[Word]:
    """
    The Lyndon words of 1 to ``depth`` letters: what the columns of :func:`log_signature` stand for.

    A Lyndon word comes before all its rotations in lexicographic order. There are as many of k letters as the free Lie
    algebra has dimensions at level k, and a Lie element is known by its coefficients at them. The words are ordered by
    level, then lexicographically: ``lyndon_words(2, 3)`` is ``[(0,), (1,), (0, 1), (0, 0, 1), (0, 1, 1)]``. They are
    found by the algorithm of Duval (1988).

    >>> sk.lyndon_words(2, depth=3)
    [(0,), (1,), (0, 1), (0, 0, 1), (0, 1, 1)]

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
    return np.array(columns_of(lyndon_words(channels, depth), channels), np.int32) - 1


@functools.lru_cache(maxsize=64)
def reversed_columns(channels: int, num_words: int) -> tuple[np.ndarray, np.ndarray]:
    """
    The antipode: where the first words stand when they are read backwards, and the sign (-1)^k of those of k letters.

    The inverse of a signature has at a word the signature's number at the word read backwards, times the sign.
    """
    columns, signs = [], []
    start, backwards = 0, np.zeros(1, np.int64)  # of each word on the level, read backwards as a number in base D
    for level, size in enumerate(level_sizes(channels, num_words)):
        columns.append(start + backwards[:size])
        signs.append(np.full(size, (-1.0) ** level))
        start += channels**level
        backwards = (backwards[:, None] + channels**level * np.arange(channels)).ravel()
    return np.concatenate(columns), np.concatenate(signs)


def columns_of(words: Iterable[Word], channels: int) -> list[int]:
    """Where words stand among the columns of a signature."""
    places = []
    for word in words:
        place = 0
        for letter in word:  # (D + D^2 + ... before the level) + (the word read as a number in base D)
            place = place * channels + letter + 1
        places.append(place)
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
