"""Random orders that are computed where they are needed, and what training and pipelines do with them."""

import tracemalloc

import numpy as np
import pytest
from training_toys import toy_options

from sigkernel_tf.gp import TrainingOptions
from sigkernel_tf.gp.data import minibatches
from sigkernel_tf.gp.data.index_permutation import IndexPermutation
from sigkernel_tf.gp.training.validation_split import RowsBut, split_rows


@pytest.mark.parametrize("n", [1, 2, 3, 10, 63, 64, 65, 257, 1000, 4097])
def test_every_row_comes_once(n: int) -> None:
    permutation = IndexPermutation(n, [0, n])
    found = permutation[np.arange(n)]
    np.testing.assert_array_equal(np.sort(found), np.arange(n))
    np.testing.assert_array_equal(permutation[np.array([[n - 1], [0]])], found[[[n - 1], [0]]])


def test_all_orders_are_about_as_likely() -> None:
    """The pair at two places, over many seeds: 90 pairs by a chi-squared test, whose 99.9% quantile is 135.98."""
    pairs = np.array([IndexPermutation(10, [seed])[np.array([0, 1])] for seed in range(4500)])
    counts = np.bincount(pairs[:, 0] * 10 + pairs[:, 1], minlength=100).reshape(10, 10)
    assert not np.diag(counts).any()
    others = counts[~np.eye(10, dtype=bool)]
    assert np.sum((others - 50.0) ** 2 / 50.0) < 135.98


def test_neighbours_are_not_related() -> None:
    """The correlation of a row with the next, of 20,000 rows: its standard deviation is 1 / sqrt(20,000)."""
    found = IndexPermutation(20_000, [1, 2, 3])[np.arange(20_000)]
    for lag in (1, 2, 128, 256):
        assert abs(np.corrcoef(found[:-lag], found[lag:])[0, 1]) < 4 / np.sqrt(20_000)


def test_many_rows_take_no_memory() -> None:
    """An order of ten billion rows would take 80 GB."""
    n, options = 10**10, TrainingOptions(batch_size=200, validation_size=1000)
    tracemalloc.start()
    training, held_out = split_rows(n, options, None)
    rows = training[minibatches(len(training), 200, 0, 10**6, 25)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6
    assert len(held_out) == 1000
    assert len(training) == n - 1000
    assert rows.shape == (25, 200)
    assert len(np.unique(rows)) == 5000
    assert rows.min() >= 0 and rows.max() < n  # noqa: PT018
    assert not np.isin(rows, held_out).any()


def test_rows_but_some() -> None:
    left_out = np.array([0, 3, 4, 9])
    np.testing.assert_array_equal(RowsBut(10, left_out)[np.arange(6)], [1, 2, 5, 6, 7, 8])
    np.testing.assert_array_equal(RowsBut(3, np.empty(0, int))[np.array([[2, 0]])], [[2, 0]])


def test_a_split_has_all_rows_once_and_depends_on_the_seed() -> None:
    splits = [split_rows(60, toy_options(seed=seed), None) for seed in (0, 0, 1)]
    for training, held_out in splits:
        everything = np.concatenate([training[np.arange(len(training))], held_out])
        np.testing.assert_array_equal(np.sort(everything), np.arange(60))
        assert (np.diff(held_out) > 0).all()
        assert len(held_out) == 15
    np.testing.assert_array_equal(splits[0][1], splits[1][1])
    assert not np.array_equal(splits[0][1], splits[2][1])


def test_a_split_has_a_largest_size() -> None:
    """All that ``validation_fraction`` says, and no more than ``validation_size``."""
    sizes = [
        len(split_rows(60, toy_options(validation_fraction=0.5, validation_size=size), None)[1])
        for size in (None, 100, 30, 7)
    ]
    assert sizes == [30, 30, 30, 7]
    with pytest.raises(ValueError, match="validation_size must be at least 1, got 0"):
        TrainingOptions(validation_size=0)
