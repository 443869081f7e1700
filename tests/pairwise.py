"""Few combinations of many options: all pairs of two options' values, in place of the full product of all values."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest


def pairwise(axes: dict[str, Sequence[Any]]) -> pytest.MarkDecorator:
    """
    Parametrizes a test such that each value of an axis meets each value of every other axis at least once.

    A fault mostly depends on one option or on two together, and a full product takes many times as long.

    :param axes: the values for each name of an argument, or, where names are joined by commas, tuples of values.
    """
    values = list(axes.values())
    combinations = list(itertools.product(*(range(len(axis)) for axis in values)))
    missing = {pair for combination in combinations for pair in _pairs(combination)}
    rows = []
    while missing:
        best = max(combinations, key=lambda combination: len(missing & _pairs(combination)))
        missing -= _pairs(best)
        row = []
        for names, axis, place in zip(axes, values, best, strict=True):
            row += axis[place] if "," in names else [axis[place]]
        rows.append(pytest.param(*row, id="-".join(getattr(value, "__name__", str(value)) for value in row)))
    return pytest.mark.parametrize(",".join(axes), rows)


def _pairs(combination: tuple[int, ...]) -> set:
    """The pairs of (axis, place in the axis) that are in a combination."""
    return set(itertools.combinations(enumerate(combination), 2))
