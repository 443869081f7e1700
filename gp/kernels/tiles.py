"""
The signature kernel under any static kernel, in bounded memory.

The compiled operations know the linear and the RBF static kernel. For all others the increments of each pair of paths
must be formed first, which takes L1 L2 numbers for each pair. They are formed for one tile of the Gram matrix at a
time, and formed again for the gradient, so that only one tile's increments are in memory.
"""

from collections.abc import Callable

import tensorflow as tf

from sigkernel_tf.goursat import Solver, solve_goursat
from sigkernel_tf.signature_kernels import signature_kernel_diag, signature_kernel_gram
from sigkernel_tf.static_kernels import fused_form, increments

from .._chunks import in_chunks
from .points import PointKernel, gram_function, pairs_function

# How many numbers the points of a tile's pairs may take: 32 MB in float64, and about five times that in a gradient.
NUMBERS_AT_ONCE = 2**22


def gram(kernel: PointKernel, x: tf.Tensor, y: tf.Tensor | None, solver: Solver) -> tf.Tensor:
    """The signature kernel of paths [N, L1, D] and [N2, L2, D], lifted by a static kernel; None stands for x."""
    function = gram_function(kernel)
    if fused_form(function, x) is not None:
        return signature_kernel_gram(x, y, static_kernel=function, solver=solver)

    def of_tiles(x_tile: tf.Tensor, y_tile: tf.Tensor) -> tf.Tensor:
        return solve_goursat(increments(function, x_tile[:, None], y_tile[None]), solver=solver)

    return _symmetric_gram(of_tiles, x) if y is None else _gram(of_tiles, x, y)


def diagonal(kernel: PointKernel, x: tf.Tensor, solver: Solver) -> tf.Tensor:
    """The signature kernel of each path [N, L, D] with itself, lifted by a static kernel: [N]."""
    function = pairs_function(kernel)
    if fused_form(function, x) is not None:
        return signature_kernel_diag(x, static_kernel=function, solver=solver)

    def of_tile(x_tile: tf.Tensor, y_tile: tf.Tensor) -> tf.Tensor:
        return solve_goursat(increments(function, x_tile, y_tile), solver=solver)

    num_paths = tf.shape(x)[0]
    tiles = _in_tiles(x, _tile_size(num_paths, _pairs_at_once(x, x)))
    number = tf.range(tf.shape(tiles)[0])
    k = _solve(of_tile, tiles, tiles, tf.stack([number, number], axis=1))
    return tf.ensure_shape(tf.reshape(k, [-1])[:num_paths], x.shape[:1])


def _gram(of_tiles: Callable, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    pairs = _pairs_at_once(x, y)
    n, n2 = tf.shape(x)[0], tf.shape(y)[0]
    size2 = _tile_size(n2, pairs // tf.maximum(tf.minimum(n, _square_root(pairs)), 1))
    x_tiles, y_tiles = _in_tiles(x, _tile_size(n, pairs // size2)), _in_tiles(y, size2)
    rows, columns = tf.meshgrid(tf.range(tf.shape(x_tiles)[0]), tf.range(tf.shape(y_tiles)[0]), indexing="ij")
    index = tf.stack([tf.reshape(rows, [-1]), tf.reshape(columns, [-1])], axis=1)
    k = _solve(of_tiles, x_tiles, y_tiles, index)
    return tf.ensure_shape(_together(k, x_tiles, y_tiles)[:n, :n2], [x.shape[0], y.shape[0]])


def _symmetric_gram(of_tiles: Callable, x: tf.Tensor) -> tf.Tensor:
    """Only the tiles on and above the diagonal are computed; the others are their mirror images."""
    n = tf.shape(x)[0]
    tiles = _in_tiles(x, _tile_size(n, _square_root(_pairs_at_once(x, x))))
    count = tf.shape(tiles)[0]
    index = tf.cast(tf.where(tf.linalg.band_part(tf.ones([count, count]), 0, -1) > 0), tf.int32)
    k = _solve(of_tiles, tiles, tiles, index)
    k_T = tf.linalg.matrix_transpose(k)
    on_diagonal = tf.equal(index[:, 0], index[:, 1])[:, None, None]
    k = tf.where(on_diagonal, (k + k_T) / 2, k)  # symmetric to the last bit
    number = tf.scatter_nd(index, tf.range(tf.shape(index)[0]), [count, count])
    number += tf.transpose(tf.linalg.set_diag(number, tf.zeros([count], tf.int32)))
    number = tf.reshape(number, [-1])
    is_above = tf.reshape(tf.range(count)[:, None] <= tf.range(count)[None, :], [-1])[:, None, None]
    k = tf.where(is_above, tf.gather(k, number), tf.gather(k_T, number))
    return tf.ensure_shape(_together(k, tiles, tiles)[:n, :n], [x.shape[0], x.shape[0]])


def _together(k: tf.Tensor, x_tiles: tf.Tensor, y_tiles: tf.Tensor) -> tf.Tensor:
    """The matrix of tiles [T * T2, b, b2], row by row: [T * b, T2 * b2]."""
    (t, b), (t2, b2) = tf.unstack(tf.shape(x_tiles)[:2]), tf.unstack(tf.shape(y_tiles)[:2])
    return tf.reshape(tf.transpose(tf.reshape(k, [t, t2, b, b2]), [0, 2, 1, 3]), [t * b, t2 * b2])


def _pairs_at_once(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """How many pairs of paths a tile may have."""
    _, length, channels = tf.unstack(tf.shape(x, tf.int64))
    numbers = length * tf.shape(y, tf.int64)[1] * (channels + 3)  # differences of points, κ, and its increments
    return tf.cast(tf.maximum(NUMBERS_AT_ONCE // numbers, 1), tf.int32)


def _square_root(number: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.sqrt(tf.cast(number, tf.float64)), tf.int32)


def _tile_size(count: tf.Tensor, most: tf.Tensor) -> tf.Tensor:
    """The size of equal tiles of ``count`` paths, at most ``most`` and at least 1."""
    num_tiles = -(-count // tf.maximum(most, 1))
    return tf.maximum(-(-count // tf.maximum(num_tiles, 1)), 1)


def _in_tiles(x: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Paths [N, L, D] as [T, size, L, D], T at least 1. The first paths once more fill up the last tile."""
    count, length, channels = tf.unstack(tf.shape(x))
    x = tf.pad(x, [[0, tf.cast(count == 0, tf.int32)], [0, 0], [0, 0]])
    count = tf.maximum(count, 1)
    num_tiles = -(-count // size)
    paths = tf.gather(x, tf.range(num_tiles * size) % count)
    return tf.reshape(paths, [num_tiles, size, length, channels])


def _solve(of_tiles: Callable, x: tf.Tensor, y: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """``of_tiles(x[i], y[j])`` for each (i, j) of ``index``, stacked. They are computed one after the other."""

    def one(start: tf.Tensor, stop: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return of_tiles(x[index[start, 0]], y[index[start, 1]])[None]

    return in_chunks(one, tf.shape(index)[0], 1, x, y)
