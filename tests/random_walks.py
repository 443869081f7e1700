"""The random paths that most tests take."""

import math

import numpy as np


def walks(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Random walks [N, L, D] whose extent does not grow with L: their steps have deviation scale / sqrt(L)."""
    return rng.normal(size=shape).cumsum(axis=1) * scale / math.sqrt(shape[1])


def random_paths(count: int, length: int, channels: int, seed: int = 0) -> np.ndarray:
    """Random walks that are the same wherever a test asks for them."""
    return walks(np.random.default_rng(seed), count, length, channels)
