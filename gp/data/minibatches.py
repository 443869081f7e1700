"""Which rows a minibatch has. This depends only on the seed and its number, so that a training can be resumed."""

import functools

import numpy as np


def minibatches(num_data: int, batch_size: int, seed: int, first: int, count: int) -> np.ndarray:
    """
    The rows of the minibatches with numbers ``first`` to ``first + count - 1``, which depend on nothing else.

    Each pass over the data has its own random order; a minibatch may end one pass and begin the next.

    :return: integers [count, batch_size] from 0 to num_data − 1.
    """
    start, stop = first * batch_size, (first + count) * batch_size
    passes = range(start // num_data, (stop - 1) // num_data + 1)
    order = np.concatenate([_shuffled(num_data, seed, number) for number in passes])
    offset = passes[0] * num_data
    return order[start - offset : stop - offset].reshape(count, batch_size)


@functools.lru_cache(maxsize=2)
def _shuffled(num_data: int, seed: int, number: int) -> np.ndarray:
    return np.random.default_rng([seed, 1, number]).permutation(num_data)
