"""The signature kernel of all prefixes of two paths: the surface U that the Goursat problem is solved for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from . import _checks
from .goursat import PowerSeries, Solver
from .signature_kernels import signature_kernel_gram
from .static_kernels import StaticKernel


def signature_kernel_surface(
    X: Any,
    Y: Any,
    *,
    rows: Sequence[int] | None = None,
    columns: Sequence[int] | None = None,
    static_kernel: StaticKernel | None = None,
    solver: Solver = PowerSeries(),
) -> tf.Tensor:
    r"""
    The signature kernel of the prefixes of two paths: U over the nodes of the grid.

    Entry (i, j) is the kernel of x up to its point ``rows[i]`` and y up to its point ``columns[j]``. So the first row
    and column are 1, and the last entry is k(x, y). This is for looking at a kernel and for teaching: each prefix is a
    path of its own, so that all nodes cost O(L1² L2²), which is seconds for 200 points. Choose rows and columns of
    longer paths. Units, precision, errors and gradients are those of :func:`signature_kernel_gram`.

    >>> x, y = np.random.default_rng(0).normal(size=(2, 8, 3)) / 3
    >>> U = sk.signature_kernel_surface(x, y)
    >>> U.shape, bool(np.isclose(U[-1, -1], sk.signature_kernel(x, y)))
    (TensorShape([8, 8]), True)

    :param X: [..., L1, D], float32 or float64.
    :param Y: [..., L2, D], of X's dtype and with the same leading axes.
    :param rows: R points of X, counted from 0; None stands for all of them.
    :param columns: C points of Y, counted from 0; None stands for all of them.
    :param static_kernel: as in :func:`signature_kernel`; None is the linear one.
    :param solver: :class:`PowerSeries` or :class:`FiniteDifference`.
    :return: [..., R, C].
    :raises ValueError: as :func:`signature_kernel_gram` does; where L1 or L2 is unknown while a function is traced; and
        for rows or columns that are no points of the path.
    """
    x = _prefixes(_checks.as_batches(X, "X"), rows, "rows", "X")
    y = _prefixes(_checks.as_batches(Y, "Y"), columns, "columns", "Y")
    return signature_kernel_gram(x, y, static_kernel=static_kernel, solver=solver)


def _prefixes(paths: tf.Tensor, points: Sequence[int] | None, name: str, of: str) -> tf.Tensor:
    """Prefixes of paths [..., L, D], padded with their last points: [..., R, L', D]."""
    length = None if paths.shape.rank is None else paths.shape[-2]
    if length is None:
        raise ValueError(
            f"{of} must have a number of time steps that is known while the function is traced, got shape "
            f"{paths.shape}: set it with {of} = tf.ensure_shape({of}, [L, D])."
        )
    last = np.arange(length) if points is None else np.asarray(points)
    if last.ndim != 1 or not last.size or last.dtype.kind not in "iu" or last.min() < 0 or last.max() >= length:
        raise ValueError(
            f"{name} must be a list of points of {of}, integers from 0 to {length - 1}, got {points!r}: "
            f"for instance {name}=[0, {length - 1}]."
        )
    return tf.gather(paths, np.minimum(np.arange(last.max() + 1), last[:, None]), axis=-2)
