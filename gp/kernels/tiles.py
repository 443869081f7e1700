"""
The signature kernel under any static kernel, in bounded memory.

The compiled operations know the linear, the RBF and the Matérn static kernels. For all others the increments of each
pair of paths must be formed first, which takes L1 L2 numbers for each pair. They are formed for one tile of the Gram
matrix at a time, and formed again for the gradient, so that only one tile's increments are in memory.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from sigkernel_tf import _library
from sigkernel_tf._batches import merged, on_merged, upper_pairs
from sigkernel_tf._chunks import in_chunks
from sigkernel_tf._extended_range import Extended
from sigkernel_tf._path_lengths import Paths, Windows
from sigkernel_tf.goursat import Solver, solve_goursat
from sigkernel_tf.signature_kernels import diag_of_points, extended_diag, extended_gram, gram_of_points
from sigkernel_tf.static_kernels import StaticKernel, fused_form, increments, values

from .points import PointKernel, gram_function, pairs_function

# How many numbers the points of a tile's pairs may take: 32 MB in float64, and about five times that in a gradient.
NUMBERS_AT_ONCE = 2**22


def gram(kernel: PointKernel | None, x: Paths, y: Paths | None, solver: Solver) -> tf.Tensor:
    """
    The signature kernel of paths, lifted by a static kernel.

    :param kernel: None is the linear one.
    :param x: [N, L1, D]; without y any leading axes, [..., N, L1, D].
    :param y: [N2, L2, D], with lengths where x has them; None stands for x.
    :return: [N, N2]; without y [..., N, N].
    """
    function = None if kernel is None else gram_function(kernel)
    if function is None or _is_compiled(function, x):
        return gram_of_points(x, y, function, solver)

    def of_tiles(x_tile: tf.Tensor, y_tile: tf.Tensor) -> tf.Tensor:
        return solve_goursat(_increments(function, x_tile[:, None], y_tile[None], x.lengths is not None), solver=solver)

    if y is not None:
        return _gram(of_tiles, _with_weights(x), _with_weights(y))
    return on_merged(functools.partial(_symmetric_grams, of_tiles), _with_weights(x), axes=3)


def diagonal(kernel: PointKernel | None, x: Paths, solver: Solver) -> tf.Tensor:
    """The signature kernel of each path [..., L, D] with itself, lifted by a static kernel: [...]."""
    function = None if kernel is None else pairs_function(kernel)
    if function is None or _is_compiled(function, x):
        return diag_of_points(x, function, solver)

    def of_tile(x_tile: tf.Tensor, y_tile: tf.Tensor) -> tf.Tensor:
        return solve_goursat(_increments(function, x_tile, y_tile, x.lengths is not None), solver=solver)

    def of_all(x: tf.Tensor) -> tf.Tensor:
        num_paths = tf.shape(x)[0]
        tiles = _in_tiles(x[None], _tile_size(num_paths, _pairs_at_once(x, x)))[0]
        number = tf.range(tf.shape(tiles)[0])
        k = _solve(of_tile, tiles, tiles, tf.stack([number, number], axis=1))
        return tf.ensure_shape(tf.reshape(k, [-1])[:num_paths], x.shape[:1])

    return on_merged(of_all, _with_weights(x))


def _with_weights(x: Paths) -> tf.Tensor:
    """Paths [..., L, D]; where they are not differenced, the weights of their points follow as one more channel."""
    return x.points if x.lengths is None else tf.concat([x.points, x.weights()[..., None]], axis=-1)


def _increments(function: StaticKernel, x: tf.Tensor, y: tf.Tensor, has_weights: bool) -> tf.Tensor:
    """The increments [..., rows, columns] of paths as :func:`_with_weights` makes them."""
    if not has_weights:
        return increments(function, x, y)
    return values(function, x[..., :-1], y[..., :-1]) * x[..., :, None, -1] * y[..., None, :, -1]


def gram_in_extended_range(kernel: PointKernel | None, x: Paths, y: Paths | None, solver: Solver) -> Extended:
    """:func:`gram` of kernels beyond the largest number, where the compiled operations know the static kernel."""
    function = None if kernel is None else gram_function(kernel)
    if function is None or _is_compiled(function, x):
        return extended_gram(x, y, function, solver)
    return Extended.of(gram(kernel, x, y, solver))


def diagonal_in_extended_range(kernel: PointKernel | None, x: Paths, solver: Solver) -> Extended:
    """:func:`diagonal` in the same way."""
    function = None if kernel is None else pairs_function(kernel)
    if function is None or _is_compiled(function, x):
        return extended_diag(x, function, solver)
    return Extended.of(diagonal(kernel, x, solver))


def _is_compiled(function: StaticKernel, x: Paths) -> bool:
    return fused_form(function, x.like_points, difference=x.difference) is not None


def cuts_windows(kernel: PointKernel | None, windows: Windows) -> bool:
    """Whether the compiled operations cut windows themselves, under this static kernel of the points."""
    if _library.sees_gpu():  # which has no such operation
        return False
    if kernel is None:
        return True
    return fused_form(gram_function(kernel), windows.factors, difference=windows.difference) is not None


def _gram(of_tiles: Callable, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    pairs = _pairs_at_once(x, y)
    n, n2 = tf.shape(x)[0], tf.shape(y)[0]
    size2 = _tile_size(n2, pairs // tf.maximum(tf.minimum(n, _square_root(pairs)), 1))
    x_tiles, y_tiles = _in_tiles(x[None], _tile_size(n, pairs // size2))[0], _in_tiles(y[None], size2)[0]
    rows, columns = tf.meshgrid(tf.range(tf.shape(x_tiles)[0]), tf.range(tf.shape(y_tiles)[0]), indexing="ij")
    index = tf.stack([tf.reshape(rows, [-1]), tf.reshape(columns, [-1])], axis=1)
    k = _solve(of_tiles, x_tiles, y_tiles, index)
    K = _together(k[None], x_tiles, y_tiles)[0, :n, :n2]
    return tf.ensure_shape(K, [x.shape[0], y.shape[0]])


def _symmetric_grams(of_tiles: Callable, x: tf.Tensor) -> tf.Tensor:
    """
    The Gram matrices [B, N, N] of paths [B, N, L, D] with themselves.

    Only the tiles on and above the diagonal are computed; the others are their mirror images.
    """
    num_grams, n = tf.unstack(tf.shape(x)[:2])
    tiles = _in_tiles(x, _tile_size(n, _square_root(_pairs_at_once(x, x))))
    count, size = tf.unstack(tf.shape(tiles)[1:3])
    pairs, numbers = upper_pairs(count)
    of_gram = tf.range(tf.shape(tiles)[0])[:, None, None] * count  # the number of its first tile
    flat = merged(tiles, axes=3)
    k = _solve(of_tiles, flat, flat, tf.reshape(of_gram + pairs, [-1, 2]))
    k = tf.reshape(k, [-1, tf.shape(pairs)[0], size, size])
    k_T = tf.linalg.matrix_transpose(k)
    on_diagonal = tf.equal(pairs[:, 0], pairs[:, 1])[:, None, None]
    k = tf.where(on_diagonal, (k + k_T) / 2, k)  # symmetric to the last bit
    is_above = tf.reshape(tf.range(count)[:, None] <= tf.range(count)[None, :], [-1])[:, None, None]
    numbers = tf.reshape(numbers, [-1])
    k = tf.where(is_above, tf.gather(k, numbers, axis=1), tf.gather(k_T, numbers, axis=1))
    K = _together(k, tiles[0], tiles[0])[:num_grams, :n, :n]
    return tf.ensure_shape(K, [x.shape[0], x.shape[1], x.shape[1]])


def _together(k: tf.Tensor, x_tiles: tf.Tensor, y_tiles: tf.Tensor) -> tf.Tensor:
    """The matrices of tiles [B, T * T2, b, b2], row by row: [B, T * b, T2 * b2]."""
    (t, b), (t2, b2) = tf.unstack(tf.shape(x_tiles)[:2]), tf.unstack(tf.shape(y_tiles)[:2])
    rows = tf.transpose(tf.reshape(k, [-1, t, t2, b, b2]), [0, 1, 3, 2, 4])
    return tf.reshape(rows, [-1, t * b, t2 * b2])


def _pairs_at_once(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """How many pairs of paths a tile may have."""
    length, channels = tf.unstack(tf.shape(x, tf.int64)[-2:])
    numbers = length * tf.shape(y, tf.int64)[-2] * (channels + 3)  # differences of points, κ, and its increments
    return tf.cast(tf.maximum(NUMBERS_AT_ONCE // numbers, 1), tf.int32)


def _square_root(number: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.sqrt(tf.cast(number, tf.float64)), tf.int32)


def _tile_size(count: tf.Tensor, most: tf.Tensor) -> tf.Tensor:
    """The size of equal tiles of ``count`` paths, at most ``most`` and at least 1."""
    num_tiles = -(-count // tf.maximum(most, 1))
    return tf.maximum(-(-count // tf.maximum(num_tiles, 1)), 1)


def _in_tiles(x: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """
    Sets of paths [B, N, L, D] as [B, T, size, L, D], B and T at least 1.

    The first paths of a set once more fill up its last tile; zeros stand where there are no paths.
    """
    num_sets, count, length, channels = tf.unstack(tf.shape(x))
    x = tf.pad(x, [[0, tf.cast(num_sets == 0, tf.int32)], [0, tf.cast(count == 0, tf.int32)], [0, 0], [0, 0]])
    count = tf.maximum(count, 1)
    num_tiles = -(-count // size)
    paths = tf.gather(x, tf.range(num_tiles * size) % count, axis=1)
    return tf.reshape(paths, [-1, num_tiles, size, length, channels])


def _solve(of_tiles: Callable, x: tf.Tensor, y: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """``of_tiles(x[i], y[j])`` for each (i, j) of ``index``, stacked. They are computed one after the other."""

    def one(start: tf.Tensor, stop: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return of_tiles(x[index[start, 0]], y[index[start, 1]])[None]

    return in_chunks(one, tf.shape(index)[0], 1, x, y)
