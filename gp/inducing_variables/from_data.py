"""The draw of paths from which inducing variables are made."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from sigkernel_tf._arguments import check_unmasked

from ..kernels import PathKernel, flatten_paths


def drawn_paths(X: Any, num_paths: int, kernel: PathKernel, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """
    Paths [L_i, num_channels] drawn at random from those that move, without their padding.

    No path is drawn twice before each has been drawn once.

    :param X: rows with flattened paths in the kernel's active columns, or what :func:`flatten_paths` takes.
    :raises ValueError: for a width that is no multiple of D, for a NaN, and for data in which no path moves.
    """
    is_flat = not isinstance(X, (list, tuple)) and len(X.shape) == 2
    if is_flat:
        check_unmasked(X, "X", "give the paths [N, L, D] as they are, where masked steps at the end are padding")
    flat = np.asarray(kernel.slice(np.asarray(X), None)[0] if is_flat else flatten_paths(X))
    D = kernel.num_channels
    if flat.shape[1] == 0 or flat.shape[1] % D:
        raise ValueError(
            f"the width of X must be a positive multiple of the kernel's num_channels={D} (L * D columns, as "
            f"flatten_paths makes them), got shape {flat.shape}."
        )
    if not np.isfinite(flat).all():
        raise ValueError("X must be finite, got NaN or infinite values: flatten_paths pads paths of unequal lengths.")
    paths = flat.reshape(len(flat), -1, D)
    moves = np.any(paths[:, 1:] != paths[:, :-1], axis=-1)  # [N, L - 1]
    moving = np.flatnonzero(moves.any(axis=1))
    if not moving.size:
        raise ValueError(
            f"X must hold at least one path that moves, got {len(paths)} paths, constant all of them: give other data."
        )
    for first in range(0, num_paths, len(moving)):
        for chosen in rng.permutation(moving)[: num_paths - first]:
            yield paths[chosen, : np.flatnonzero(moves[chosen])[-1] + 2]
