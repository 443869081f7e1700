"""Pairs of paths on which the solver is hard to get right, as increments of the Goursat problem."""

from collections.abc import Callable

import numpy as np
from random_walks import walks

# Beyond this sum of |p| the solution for |p| reaches 1e15, and the oracle needs long.
LARGEST_TOTAL = 300.0


def random_walks(rng: np.random.Generator, points: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    scale = rng.uniform(0.3, 4)
    X, Y = walks(rng, 2, points, channels, scale=scale)
    return X, Y[: max(2, points - int(rng.integers(0, 4)))]


def noise(rng: np.random.Generator, points: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    X, Y = rng.normal(size=(2, points, channels))
    return X, Y


def oscillations(rng: np.random.Generator, points: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    t = np.linspace(0, 1, points)[:, None]
    frequencies, phases = rng.uniform(2, 40, size=(2, channels)), rng.uniform(0, 6, size=(2, channels))
    X, Y = (rng.uniform(0.5, 3) * np.sin(f * t + p) for f, p in zip(frequencies, phases, strict=True))
    return X, Y


def retraced_curves(rng: np.random.Generator, points: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """There and back, against itself or against another curve."""
    half = walks(rng, 2, points // 2 + 1, channels, scale=rng.uniform(0.5, 4))
    if rng.uniform() < 0.3:
        half[:] = np.linspace(0, rng.uniform(1, 4), half.shape[1])[:, None] / np.sqrt(channels)
    X, Y = (np.concatenate([there, there[-2::-1]]) for there in half)
    return X, X if rng.uniform() < 0.6 else Y


def spikes(rng: np.random.Generator, points: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    X, Y = walks(rng, 2, points, channels)
    for path in (X, Y):
        path[rng.integers(1, points)] += rng.uniform(2, 8) * rng.normal(size=channels) / np.sqrt(channels)
    return X, X if rng.uniform() < 0.3 else Y


FAMILIES: tuple[Callable[..., tuple[np.ndarray, np.ndarray]], ...] = (
    random_walks,
    noise,
    oscillations,
    retraced_curves,
    spikes,
)


def pairs_of_paths(count: int, *, longest: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of paths of up to ``longest`` points in 1 to 4 channels, of every family in turn, in float32."""
    rng = np.random.default_rng(seed)
    pairs = []
    for n in range(count):
        X, Y = FAMILIES[n % len(FAMILIES)](rng, int(rng.integers(3, longest + 1)), int(rng.integers(1, 5)))
        total = np.abs(np.diff(X, axis=0) @ np.diff(Y, axis=0).T).sum()
        shrunk = min(1.0, np.sqrt(LARGEST_TOTAL / total))
        pairs.append(((X * shrunk).astype(np.float32), (Y * shrunk).astype(np.float32)))
    return pairs
