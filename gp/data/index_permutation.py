"""
Random orders of rows of which any part is computed by itself, for data with too many rows to hold an order of them.

A Feistel network is a bijection of the numbers below 4^h, whatever its round functions are (Luby & Rackoff 1988).
Numbers of this range that are no rows are sent through it again until they are (cycle walking, Black & Rogaway 2002),
which makes a bijection of the rows.
"""

from collections.abc import Sequence

import numpy as np

_ROUNDS = 6
_FEWEST_BITS = 3  # of one half: with fewer there are too few different networks


class IndexPermutation:
    """A permutation of 0, ..., n − 1 that a seed decides: ``permutation[places]`` is what it has at these places."""

    def __init__(self, n: int, seed: Sequence[int]) -> None:
        self._n = n
        bits = max(_FEWEST_BITS, -(-int(n - 1).bit_length() // 2))
        self._half, self._low = np.uint64(bits), np.uint64((1 << bits) - 1)
        self._keys = np.random.SeedSequence(list(seed)).generate_state(_ROUNDS, np.uint64)

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        numbers = np.array(places, np.uint64).ravel()
        outside = np.arange(len(numbers))
        while len(outside):  # a try succeeds with probability n / 4^h, which is 1/4 or more unless n is tiny
            numbers[outside] = tried = self._network(numbers[outside])
            outside = outside[tried >= self._n]
        return numbers.astype(np.int64).reshape(np.shape(places))

    def _network(self, numbers: np.ndarray) -> np.ndarray:
        left, right = numbers >> self._half, numbers & self._low
        for key in self._keys:
            left, right = right, left ^ (_mixed(right, key) & self._low)
        return (left << self._half) | right


def _mixed(numbers: np.ndarray, key: np.uint64) -> np.ndarray:
    """The output function of SplitMix64 (Steele, Lea & Flood 2014), whose every output bit depends on all of input."""
    mixed = (numbers + key) * np.uint64(0x9E3779B97F4A7C15)  # modulo 2^64, as arrays wrap around
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
