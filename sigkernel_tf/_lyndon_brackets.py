"""
The basis of the free Lie algebra whose elements are the brackets of Lyndon words; it needs no TensorFlow.

A Lyndon word w of several letters is w = uv, where v is its longest proper suffix that is a Lyndon word; then u is one
too. Its bracket is [w] = [u][v] - [v][u], and that of a letter is the letter. As a polynomial in words, [w] is w plus
words that come later in lexicographic order, of the same letters (Reutenauer 1993, *Free Lie Algebras*, theorem 5.1).
"""

import functools
import itertools

import numpy as np

from ._words import Word, lyndon_words

Polynomial = dict[Word, int]  # the coefficients of words that are not 0


@functools.lru_cache(maxsize=16)
def from_coefficients(channels: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """
    The matrix that makes the coefficients of a Lie element in the basis of brackets from those at the Lyndon words.

    If c_u is the coefficient of the bracket [u], the element's coefficient at the Lyndon word w is the sum of
    c_u [u]_w. Here [u]_w is 0 unless u <= w and both have the same letters, and [w]_w = 1. This triangular system is
    solved in integers, from the first word to the last.

    :return: the places of the matrix' non-zero entries, int64 [entries, 2], in the order of rows; and the entries.
    """
    words = lyndon_words(channels, depth)
    place = {word: i for i, word in enumerate(words)}
    brackets = _brackets(words)
    places: list[tuple[int, int]] = []
    entries: list[int] = []
    # The rows that are solved, of words of the same letters: row[w] is e_w minus the sum of [u]_w row[u].
    families: dict[Word, list[Word]] = {}
    for word in words:  # within a level in lexicographic order
        families.setdefault(tuple(sorted(word)), []).append(word)
    rows: dict[Word, dict[Word, int]] = {}
    for family in families.values():
        for i, word in enumerate(family):
            row = {word: 1}
            for earlier in family[:i]:
                factor = brackets[earlier].get(word, 0)
                if factor:
                    for column, value in rows[earlier].items():
                        row[column] = row.get(column, 0) - factor * value
            rows[word] = row
    for word in words:
        for column, value in sorted(rows[word].items(), key=lambda item: place[item[0]]):
            if value:
                places.append((place[word], place[column]))
                entries.append(value)
    return np.array(places, np.int64), np.array(entries, np.float64)


def _brackets(words: list[Word]) -> dict[Word, Polynomial]:
    """The bracket of each of these Lyndon words, the shorter ones first, as a polynomial in words."""
    found: dict[Word, Polynomial] = {}
    for word in words:
        if len(word) == 1:
            found[word] = {word: 1}
            continue
        cut = next(cut for cut in range(1, len(word)) if word[cut:] in found)
        bracket: Polynomial = {}
        pairs = itertools.product(found[word[:cut]].items(), found[word[cut:]].items())
        for (left, a), (right, b) in pairs:
            bracket[left + right] = bracket.get(left + right, 0) + a * b
            bracket[right + left] = bracket.get(right + left, 0) - a * b
        found[word] = bracket
    return found
