"""The signature at selected words, computed at these and their prefixes only, in TensorFlow's own operations."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from ._words import Word, columns_of

# How much longer a letter takes here than a word in the compiled operation, by measurement; for few paths it is more.
_SLOWER = 100


@dataclasses.dataclass(frozen=True)
class Plan:
    """What there is to compute for some words. A word is here known by its level and its place in it."""

    num_words: int
    """How many of the first words include all of these."""
    columns: list[int]
    """Where the words are among them."""
    num_letters: int
    """The letters of the words' prefixes, counted once for each prefix that has them; the words are among these."""
    letters: list[np.ndarray]
    """The letters of the prefixes on level k = 1, 2, ...: [k, words of the level]."""
    prefixes: list[np.ndarray]
    """The places of their prefixes on level j: [k, words of the level] with j = 0, ..., k - 1."""
    places: np.ndarray
    """The places of the words among all prefixes from level 0 on."""

    @property
    def is_cheaper(self) -> bool:
        """Whether this costs less than the compiled operation for the first words, of which these are then taken."""
        return self.num_words > _SLOWER * self.num_letters


@functools.lru_cache(maxsize=64)
def plan_of(words: tuple[Word, ...], channels: int) -> Plan:
    """The plan for these words over so many channels."""
    closure = sorted({word[:k] for word in words for k in range(len(word) + 1)}, key=lambda word: (len(word), word))
    levels: list[dict[Word, int]] = []
    for word in closure:
        if len(word) == len(levels):
            levels.append({})
        levels[len(word)][word] = len(levels[len(word)])
    columns = columns_of(words, channels)
    overall = {word: i for i, word in enumerate(closure)}
    return Plan(
        num_words=max(columns) + 1,
        columns=columns,
        num_letters=sum(map(len, closure)),
        letters=[np.array(list(level), np.int32).T for level in levels[1:]],
        prefixes=[
            np.array([[levels[j][word[:j]] for word in level] for j in range(k)], np.int32)
            for k, level in enumerate(levels[1:], 1)
        ],
        places=np.array([overall[word] for word in words], np.int32),
    )


def signature_at(X: tf.Tensor, *, plan: Plan, stream: bool) -> tf.Tensor:
    r"""
    The signature at the words of a plan, level by level for all time steps at once.

    By Chen's identity a segment dx makes the number at the word w = (w_1, ..., w_k) grow by the sum over j < k of
    S_{w_1...w_j} dx_{w_{j+1}} ... dx_{w_k} / (k-j)!, where S is the signature at the segment's start. It needs prefixes
    of w only, and is summed by Horner's rule. The number along the path is the cumulative sum.

    :param X: [B, L, D].
    :return: [B, W], or [B, L, W] with ``stream``.
    :raises tf.errors.InvalidArgumentError: for NaN or infinite values, and a result that overflows.
    """
    X = tf.debugging.assert_all_finite(X, "X must hold finite numbers at the channels of the words; it has others")
    points = tf.transpose(X, [2, 0, 1])  # [D, B, L]: channels and words are rows in this function
    steps = points[..., 1:] - points[..., :-1]
    found = [tf.ones_like(points[:1])]
    for k, (letters, prefixes) in enumerate(zip(plan.letters, plan.prefixes, strict=True), 1):
        growth = tf.gather(steps, letters[0]) / k
        for j in range(1, k):
            at_start = tf.gather(found[j][..., :-1], prefixes[j])
            growth = (at_start + growth) * tf.gather(steps, letters[j]) / (k - j)
        found.append(tf.pad(tf.cumsum(growth, axis=-1), [[0, 0], [0, 0], [1, 0]]))
    rows = tf.concat(found if stream else [level[..., -1] for level in found], axis=0)
    result = tf.gather(rows, plan.places)
    result = tf.transpose(result, [1, 2, 0] if stream else [1, 0])
    return tf.debugging.assert_all_finite(result, "the signature of X overflows at a word: rescale the paths; it has")
