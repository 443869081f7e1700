"""Which rows a minibatch has. This depends only on the seed and its number, so that a training can be resumed."""

import numpy as np

from .index_permutation import IndexPermutation


def minibatches(num_data: int, batch_size: int, seed: int, first: int, count: int) -> np.ndarray:
    """
    The rows of the minibatches with numbers ``first`` to ``first + count - 1``, which depend on nothing else.

    Each pass over the data has its own random order; a minibatch may end one pass and begin the next. Memory and time
    are those of the rows that are returned, whatever the number of all rows.

    :return: integers [count, batch_size] from 0 to num_data − 1.
    """
    number, place = np.divmod(np.arange(first * batch_size, (first + count) * batch_size), num_data)
    rows = np.empty_like(place)
    for each in np.unique(number):
        rows[number == each] = IndexPermutation(num_data, [seed, 1, int(each)])[place[number == each]]
    return rows.reshape(count, batch_size)
