"""
Signatures and log signatures in Keras operations, which every backend of Keras runs and XLA compiles.

A *level* k of a batch of tensor algebra elements is a tensor [..., D^k], the coefficients of the words of k letters in
lexicographic order. Level 0 is left out throughout: it is 1 for a signature and 0 for its logarithm.
"""

import itertools
from decimal import Decimal
from typing import Any

import keras
from keras import ops

from . import _logarithm, _memory

Tensor = Any  # of whichever backend Keras runs on
Levels = list[Tensor]


def signature(X: Tensor, depth: int, *, stream: bool) -> Tensor:
    """
    The signature without level 0, by the fastest way there is.

    On TensorFlow this is the compiled operation; on other backends and under XLA it is :func:`levels`.

    :param X: [B, L, D], float32 or float64.
    :param depth: >= 1.
    :return: [B, M - 1], or [B, L, M - 1] with ``stream``.
    """
    if keras.backend.backend() == "tensorflow":
        from . import _library, signatures  # imported here, because other backends need no TensorFlow

        if not _library.xla_compiles():
            return signatures.signature(X, depth, stream=stream)[..., 1:]
    return ops.concatenate(levels(X, depth, stream=stream), axis=-1)


def levels(X: Tensor, depth: int, *, stream: bool) -> Levels:
    r"""
    Levels 1 to ``depth`` of the signature of piecewise linear paths, each level for all time steps at once.

    By Chen's identity a segment dx makes level k grow by sum_{i < k} S^i ⊗ dx^{⊗(k-i)} / (k-i)!, where S^i is level i
    at the segment's start. These are lower levels, which are known along the whole path, so that level k along the path
    is a cumulative sum over time. Without ``stream`` the last two levels are needed only at the end of the path, where
    they are products of matrices. A path takes O(L (D^2 + D^(depth-2))) memory, or O(L D^depth) with ``stream``.

    :param X: [B, L, D], L >= 1; B and L may be unknown.
    :return: level k: [B, D^k], or [B, L, D^k] with ``stream``.
    :raises ValueError: where that does not fit in memory, as far as B and L are known.
    """
    _check_memory(X, depth, stream=stream)
    points = ops.transpose(X, (0, 2, 1))  # [B, D, L]: time last, as in all of this module's sums over time
    steps = ops.pad(points[..., 1:] - points[..., :-1], [[0, 0], [0, 0], [1, 0]])  # the first point is reached by 0
    starts: Levels = []  # level k at each segment's start, [B, D^k, L]
    found: Levels = []
    for k in range(1, (depth if stream else max(depth - 2, 1)) + 1):
        along = points - points[..., :1] if k == 1 else _sum_over_time(_outer(_horner(steps, starts, k), steps))
        if k < depth:
            starts.append(ops.pad(along[..., :-1], [[0, 0], [0, 0], [1, 0]]))
        found.append(ops.transpose(along, (0, 2, 1)) if stream else along[..., -1])
    if not stream and depth == 2:
        found.append(_integral(_horner(steps, starts, 2), steps))
    elif not stream and depth > 2:
        found += _last_two(points, steps, starts)
    return found


def _check_memory(X: Tensor, depth: int, *, stream: bool) -> None:
    """
    Refuses paths whose levels do not fit in memory, before any of it is allocated.

    What :func:`levels` holds at once for each time step is counted. With ``stream`` these are all levels, twice: each
    by itself, and all of them joined in the result. Without it these are levels 1 to K - 2 of the depth K, the sum of
    level K - 2 that is multiplied with the steps, and the array of level 2 that it is multiplied with.

    :raises ValueError: where they do not fit, as far as the numbers of paths and steps are known.
    """
    channels = X.shape[-1]
    sizes = [Decimal(channels) ** k for k in range(1, depth + 1)]
    held = sizes[0]
    if stream:
        held = 2 * sum(sizes, Decimal())
    elif depth > 2:
        held = sum(sizes[: depth - 2], Decimal()) + sizes[depth - 3] + sizes[1]
    cause = f"depth={depth} with {channels} channels, in Keras operations,"
    bytes_each = 8 if keras.backend.standardize_dtype(X.dtype) == "float64" else 4
    _memory.check_fits(held, cause, bytes_each, _memory.known_product(X.shape[:2]), holder="time step")


def _last_two(points: Tensor, steps: Tensor, starts: Levels) -> Levels:
    """
    Levels K - 1 and K at the end of the path from levels 1 to K - 2 along it.

    Level K - 1 is sum_j h_j ⊗ dx_j, level K is sum_j (S^{K-1}_{j-1} + g_j ⊗ dx_j / 2) ⊗ dx_j, with h and g by Horner's
    rule. S^{K-1}_{j-1} is the part of the first sum before j, so the sums change places: what h_i ⊗ dx_i adds is
    multiplied with the sum of all later steps, which is what is left of the way to the end of the path. Level K - 1 is
    never held along the path.
    """
    depth = len(starts) + 2
    before, within = _horner(steps, starts, depth - 1), _horner(steps, starts, depth)
    left = points[..., -1:] - points
    last = _integral(before, _outer(steps, left)) + _integral(within, _outer(steps, steps / 2))
    return [_integral(before, steps), last]


def _integral(a: Tensor, b: Tensor) -> Tensor:
    """a ⊗ b, summed over time, as a product of matrices: [B, m, L], [B, n, L] -> [B, m n]."""
    return ops.reshape(a @ ops.transpose(b, (0, 2, 1)), (-1, a.shape[1] * b.shape[1]))


def _sum_over_time(x: Tensor) -> Tensor:
    """The cumulative sum along the last axis. On PyTorch that of Keras would make float32 of float64."""
    return x.cumsum(-1) if keras.backend.backend() == "torch" else ops.cumsum(x, axis=-1)


def _horner(steps: Tensor, starts: Levels, k: int) -> Tensor:
    """
    What level k grows by in each segment, but for the last factors of dx.

    There is one such factor where ``starts`` go up to level m = k - 1, and one more for each level fewer. The rest is

    S^m + (S^{m-1} + ... (S^1 + dx / k) ⊗ dx / (k-1) ...) ⊗ dx / (k+1-m).

    :param steps: [B, D, L].
    :param starts: levels 1 to m at each segment's start, [B, D^i, L].
    :return: [B, D^m, L].
    """
    growth = starts[0] + steps / k
    for i, start in enumerate(starts[1:], 2):
        growth = start + _outer(growth, steps / (k + 1 - i))
    return growth


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """The coefficients of a ⊗ b at each time step: [B, m, L], [B, n, L] -> [B, m n, L]."""
    batch, _, length = ops.shape(b)
    return ops.reshape(a[:, :, None] * b[:, None], (batch, a.shape[1] * b.shape[1], length))


def split(flat: Tensor, channels: int, depth: int) -> Levels:
    """Levels 1 to ``depth`` of elements whose coefficients are in one array, [..., M - 1]."""
    ends = itertools.accumulate((channels**k for k in range(1, depth + 1)), initial=0)
    return [flat[..., start:end] for start, end in itertools.pairwise(ends)]


def logarithm(x: Levels) -> Levels:
    """Levels 1 to the depth of the logarithm of 1 + x in the tensor algebra, where ``x`` are levels 1 to the depth."""
    return _logarithm.logarithm(x, _outer_of_rows)


def _outer_of_rows(a: Tensor, b: Tensor) -> Tensor:
    """The coefficients of a ⊗ b: [..., m], [..., n] -> [..., m n]."""
    return ops.reshape(a[..., :, None] * b[..., None, :], (*ops.shape(a)[:-1], a.shape[-1] * b.shape[-1]))
