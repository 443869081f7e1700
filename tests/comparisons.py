"""How tests compare arrays whose entries differ in size."""

import numpy as np


def close(value: object, expected: object, tolerance: float) -> None:
    """Arrays of one shape, whose entries differ by at most the tolerance times the largest expected entry (or 1)."""
    value, expected = np.asarray(value), np.asarray(expected)
    assert value.shape == expected.shape
    assert np.abs(value - expected).max(initial=0.0) <= tolerance * max(1.0, np.abs(expected).max(initial=0.0))
