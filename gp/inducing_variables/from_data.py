"""The choice of paths from which inducing variables are made."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from sigkernel_tf._arguments import check_unmasked
from sigkernel_tf.paths import pad_ragged

from ..kernels import PathKernel, flatten_paths

_SMALLEST_VARIANCE = 1e-12  # of the largest, below which the chosen paths explain a path completely
_MOST_STEPS = 100  # of k-means
_AT_ONCE = 8  # series whose kernel with all others is evaluated at once


def drawn_paths(X: Any, num_paths: int, kernel: PathKernel, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """
    Paths [L_i, num_channels] drawn at random from those that move, without their padding.

    No path is drawn twice before each has been drawn once.

    :param X: rows with flattened paths in the kernel's active columns, or what :func:`flatten_paths` takes.
    :raises ValueError: for a width that is no multiple of D, for a NaN, and for data in which no path moves.
    """
    paths, moves = _paths_and_moves(X, kernel)
    moving = np.flatnonzero(moves.any(axis=1))
    for first in range(0, num_paths, len(moving)):
        for chosen in rng.permutation(moving)[: num_paths - first]:
            yield paths[chosen, : np.flatnonzero(moves[chosen])[-1] + 2]


def drawn_series(
    X: Any, at_least: int, kernel: PathKernel, length: int | None, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """
    Series of one length in random order: all series whole, or a stretch of each path that moves.

    They begin anew, with other stretches, until there are ``at_least`` so many. A path that is shorter than ``length``
    is taken whole, and padded with its last value.

    :param X: as :func:`drawn_paths` takes it.
    :param length: of a stretch. None: whole series, [L, num_channels] each.
    """
    paths, _ = _paths_and_moves(X, kernel)
    count = max(at_least, len(paths))
    if length is None:
        for first in range(0, count, len(paths)):
            yield from paths[rng.permutation(len(paths))[: count - first]]
        return
    for path in drawn_paths(X, count, kernel, rng):
        start = rng.integers(max(len(path) - length, 0) + 1)
        stretch = path[start : start + length]
        yield np.concatenate([stretch, np.repeat(stretch[-1:], length - len(stretch), axis=0)])


def different(series: Iterable[np.ndarray], count: int | None = None) -> np.ndarray:
    """The first ``count`` of the series that differ from one another, all of them for None: [M, L, D]."""
    found: dict[bytes, np.ndarray] = {}
    for one in series:
        found.setdefault((one + 0.0).tobytes(), one)  # −0.0 + 0.0 is 0.0
        if len(found) == count:
            break
    return np.stack(list(found.values()))


def nearest_to_centroids(series: np.ndarray, count: int, seed: int) -> np.ndarray:
    """
    The numbers of the series nearest to the centroids of k-means, [count].

    The centroids are those of the flattened series. A series that is nearest to two of them is taken for the first, and
    the next one for the second.

    :param series: [P, L, D], P >= count.
    """
    from sklearn.cluster import MiniBatchKMeans  # here, as few need it and it takes a second to import

    flat = series.reshape(len(series), -1)
    flat = flat - flat.mean(axis=0)
    means = MiniBatchKMeans(count, n_init=1, max_iter=_MOST_STEPS, random_state=seed).fit(flat).cluster_centers_
    squares = np.sum(np.square(flat), axis=1)
    chosen: list[int] = []
    for centroid in means:
        distances = squares - 2.0 * flat @ centroid
        distances[chosen] = np.inf
        chosen.append(int(np.argmin(distances)))
    return np.array(chosen)


def largest_conditional_variance(series: np.ndarray, count: int, kernel: PathKernel) -> np.ndarray:
    """
    The numbers of the series that a greedy choice by conditional variance takes, in its order, [count].

    Each is the one of which the process knows least, given its values at those before: the pivots of a pivoted Cholesky
    factorization (Burt, Rasmussen & van der Wilk 2020). The kernel is evaluated for eight series at a time with all
    others, which is several times as fast as one by one: the next one and those with the next largest variances, most
    of which follow soon. So there are P · count pairs and some more, one tenth for many series and as many again for
    few, and as many numbers are kept. Where the chosen ones explain all that is left, the first ones of the others
    follow.

    :param series: [P, L, D], P >= count.
    """
    flat = series.reshape(len(series), -1)
    variance = kernel(flat, full_cov=False, presliced=True).numpy().astype(float)
    smallest = _SMALLEST_VARIANCE * variance.max()
    factor = np.empty((count, len(flat)))
    chosen: list[int] = []
    known: dict[int, np.ndarray] = {}  # the kernel of a series that is not chosen yet with all others
    for step in range(count):
        pivot = int(np.argmax(variance))
        if variance[pivot] <= smallest:
            others = np.setdiff1d(np.arange(len(flat)), chosen)
            return np.append(chosen, others[: count - step]).astype(int)
        if pivot not in known:
            unknown = variance.copy()
            unknown[list(known)] = -np.inf
            next_ones = np.argsort(-unknown, kind="stable")[: min(_AT_ONCE, len(flat) - step - len(known))]
            values = kernel(flat[next_ones], flat, presliced=True).numpy().astype(float)
            known.update(zip(next_ones.tolist(), values, strict=True))
        factor[step] = (known.pop(pivot) - factor[:step, pivot] @ factor[:step]) / np.sqrt(variance[pivot])
        variance -= np.square(factor[step])
        chosen.append(pivot)
        variance[pivot] = -np.inf
    return np.array(chosen)


def _paths_and_moves(X: Any, kernel: PathKernel) -> tuple[np.ndarray, np.ndarray]:
    """All paths [N, L, num_channels] with their padding, and where they move, [N, L - 1]."""
    is_flat = not isinstance(X, (list, tuple)) and len(X.shape) == 2
    if is_flat:
        check_unmasked(X, "X", "give the paths [N, L, D] as they are, where masked steps at the end are padding")
    D = kernel.num_channels
    if is_flat:
        flat = np.asarray(kernel.slice(np.asarray(X), None)[0])
    else:
        padded = pad_ragged(X)
        if padded.shape[-1] != D:
            raise ValueError(
                f"X must be paths of the kernel's num_channels={D}, [N, L, {D}], or rows with flattened paths, [N, L * "
                f"{D}], got {padded.shape[-1]} channels in paths of shape {tuple(padded.shape)}: merge the leading "
                "dimensions of rows that have more than one, as in X.reshape(-1, X.shape[-1])."
            )
        flat = np.asarray(flatten_paths(padded))
    if flat.shape[1] == 0 or flat.shape[1] % D:
        raise ValueError(
            f"the width of X must be a positive multiple of the kernel's num_channels={D} (L * D columns, as "
            f"flatten_paths makes them), got shape {flat.shape}."
        )
    if not np.isfinite(flat).all():
        raise ValueError("X must be finite, got NaN or infinite values: flatten_paths pads paths of unequal lengths.")
    paths = flat.reshape(len(flat), -1, D)
    moves = np.any(paths[:, 1:] != paths[:, :-1], axis=-1)
    if not moves.any():
        raise ValueError(
            f"X must hold at least one path that moves, got {len(paths)} paths, constant all of them: give other data."
        )
    return paths, moves
