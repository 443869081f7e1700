"""
Any static kernel under the signature kernel, in bounded memory.

The compiled operations know the linear and the RBF static kernel. For all others the increments of each pair of paths
are formed first, L1 L2 numbers a pair; here that is done for a tile of the Gram matrix at a time, and done again for
the gradient, so that no more than a tile's are ever held.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from gpflow import kernels
from gpflow.kernels import Kernel

from sigkernel_tf import static_kernels
from sigkernel_tf.goursat import Solver, solve_goursat
from sigkernel_tf.signature_kernels import signature_kernel_diag, signature_kernel_gram
from sigkernel_tf.static_kernels import StaticKernel, fused_form, increments

PointKernel = Kernel | StaticKernel

# Numbers for the points of a tile's pairs: 32 MB in float64, and some five times that while a gradient is formed.
NUMBERS_AT_ONCE = 2**22

# GPflow's own take distances by expanding the square, which loses the digits that increments live on.
_STATIONARY = {
    kernels.SquaredExponential: static_kernels.rbf,
    kernels.Matern12: static_kernels.matern12,
    kernels.Matern32: static_kernels.matern32,
    kernels.Matern52: static_kernels.matern52,
    kernels.RationalQuadratic: static_kernels.rational_quadratic,
}
# Noise, which is 0 between any two points; indices of outputs; and changes along one axis.
_NOT_OF_POINTS = (kernels.White, kernels.Coregion, kernels.ChangePoints)
_COMBINATIONS = {kernels.Sum: operator.add, kernels.Product: operator.mul}

# Nothing here needs AutoGraph, which map_fn otherwise calls for each function that it is given, at every call.
_as_it_stands = tf.autograph.experimental.do_not_convert


def check_static_kernel(kernel: Any, num_channels: int) -> None:
    """
    :param num_channels: of the points that it will see.
    :raises TypeError: for anything but a GPflow kernel of one output on points, or a function.
    :raises ValueError: for ``active_dims`` that the points have not.
    """
    if isinstance(kernel, (kernels.MultioutputKernel, type)) or not (isinstance(kernel, Kernel) or callable(kernel)):
        raise TypeError(
            "static_kernel must be None (linear), a kernel of gpflow.kernels for points, or a function of "
            f"sigkernel_tf.static_kernels, got {kernel!r}: for instance gpflow.kernels.RBF()."
        )
    if isinstance(kernel, _NOT_OF_POINTS):
        raise TypeError(
            f"static_kernel must be a kernel of points of {num_channels} channels, got {type(kernel).__name__}, which "
            "is not one of two different points alone: for instance gpflow.kernels.RBF()."
        )
    if isinstance(kernel, kernels.Combination):
        for part in kernel.kernels:
            check_static_kernel(part, num_channels)
        return
    seen = getattr(kernel, "active_dims", None)
    if isinstance(seen, np.ndarray) and (seen >= num_channels).any():
        raise ValueError(
            f"static_kernel must have active_dims from 0 to {num_channels - 1}, the channels of the paths, got "
            f"{seen.tolist()} in {type(kernel).__name__}."
        )


def is_linear(kernel: PointKernel | None) -> bool:
    """Whether paths times the square root of its variance have the same signature kernel, with no static one."""
    return kernel is None or (type(kernel) is kernels.Linear and _takes_all_channels(kernel))


def describe(kernel: PointKernel | None) -> str:
    """The kernel's name, for an error."""
    return type(kernel).__name__ if isinstance(kernel, Kernel) else repr(kernel)


@_as_it_stands
def gram(kernel: PointKernel, x: tf.Tensor, y: tf.Tensor | None, solver: Solver) -> tf.Tensor:
    """The signature kernel of paths [N, L1, D] and [N2, L2, D], lifted by a static kernel; None stands for x."""
    function = as_function(kernel, _gpflow_gram)
    if fused_form(function, x) is not None:
        return signature_kernel_gram(x, y, static_kernel=function, solver=solver)

    def of_tiles(x_tile: tf.Tensor, y_tile: tf.Tensor) -> tf.Tensor:
        return solve_goursat(increments(function, x_tile[:, None], y_tile[None]), solver=solver)

    return _symmetric_gram(of_tiles, x) if y is None else _gram(of_tiles, x, y)


@_as_it_stands
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


def as_function(kernel: PointKernel, by_gpflow: Callable[[Kernel, Any, Any], tf.Tensor]) -> StaticKernel:
    """
    κ as :mod:`sigkernel_tf.static_kernels` has it; ``by_gpflow`` evaluates a kernel that has no such form.

    It reads the parameters when it is called: a tensor made here would be a constant to the gradient of :func:`_solve`.
    """
    if not isinstance(kernel, Kernel):
        return kernel
    if type(kernel) in _COMBINATIONS:
        parts, combine = [as_function(part, by_gpflow) for part in kernel.kernels], _COMBINATIONS[type(kernel)]
        return lambda X, Y: functools.reduce(combine, [part(X, Y) for part in parts])
    if type(kernel) is kernels.Linear and _takes_all_channels(kernel):
        return lambda X, Y: tf.matmul(X * kernel.variance, Y, transpose_b=True)
    if type(kernel) in _STATIONARY:
        parameters = {"lengthscale": kernel.lengthscales, "variance": kernel.variance}
        if isinstance(kernel, kernels.RationalQuadratic):
            parameters["alpha"] = kernel.alpha
        function: StaticKernel = functools.partial(_STATIONARY[type(kernel)], **parameters)
        return function if _takes_all_channels(kernel) else lambda X, Y: function(*kernel.slice(X, Y))
    return functools.partial(by_gpflow, kernel)


def pairs_function(kernel: PointKernel) -> StaticKernel:
    """κ of points [P, L1, D] and [P, L2, D], a pair of paths at a time: [P, L1, L2]."""
    return as_function(kernel, _gpflow_pairs)


def _takes_all_channels(kernel: Kernel) -> bool:
    return isinstance(kernel.active_dims, slice) and kernel.active_dims == slice(None)


def _gpflow_gram(kernel: Kernel, X: tf.Tensor, Y: tf.Tensor) -> tf.Tensor:
    """κ of points [N, 1, L1, D] and [1, N2, L2, D]: [N, N2, L1, L2]."""
    channels = tf.shape(X)[3]
    K = kernel(tf.reshape(X, [-1, channels]), tf.reshape(Y, [-1, channels]))
    K = tf.reshape(K, [tf.shape(X)[0], tf.shape(X)[2], tf.shape(Y)[1], tf.shape(Y)[2]])
    return tf.transpose(K, [0, 2, 1, 3])


@_as_it_stands
def _gpflow_pairs(kernel: Kernel, X: tf.Tensor, Y: tf.Tensor) -> tf.Tensor:
    """κ of points [N, L1, D] and [N, L2, D]: [N, L1, L2]; GPflow would take all of X with all of Y."""
    return tf.map_fn(lambda pair: kernel(*pair), (X, Y), fn_output_signature=X.dtype)


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
    """The tiles on and above the diagonal are solved, and mirrored."""
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
    numbers = length * tf.shape(y, tf.int64)[1] * (channels + 3)  # differences of points, κ and its increments
    return tf.cast(tf.maximum(NUMBERS_AT_ONCE // numbers, 1), tf.int32)


def _square_root(number: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.sqrt(tf.cast(number, tf.float64)), tf.int32)


def _tile_size(count: tf.Tensor, most: tf.Tensor) -> tf.Tensor:
    """The size of equal tiles of ``count`` paths, ``most`` of them or fewer; at least 1."""
    num_tiles = -(-count // tf.maximum(most, 1))
    return tf.maximum(-(-count // tf.maximum(num_tiles, 1)), 1)


def _in_tiles(x: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Paths [N, L, D] as [T, size, L, D], T at least 1; the first paths once more where the last tile is not full."""
    count, length, channels = tf.unstack(tf.shape(x))
    x = tf.pad(x, [[0, tf.cast(count == 0, tf.int32)], [0, 0], [0, 0]])
    count = tf.maximum(count, 1)
    num_tiles = -(-count // size)
    paths = tf.gather(x, tf.range(num_tiles * size) % count)
    return tf.reshape(paths, [num_tiles, size, length, channels])


def _solve(of_tiles: Callable, x: tf.Tensor, y: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """
    ``of_tiles(x[i], y[j])`` for each (i, j) of ``index``, one after the other, stacked.

    The gradient computes each again: without that, backpropagation would keep what all of them hold. It reaches x, y
    and the variables that ``of_tiles`` reads.
    """

    @tf.custom_gradient
    def solve(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        k = tf.map_fn(
            lambda ij: of_tiles(x[ij[0]], y[ij[1]]), index, fn_output_signature=x.dtype, parallel_iterations=1
        )

        def gradient(upstream: tf.Tensor, variables: Any = None) -> Any:
            dx, dy, *dv = _tiles_gradient(of_tiles, x, y, index, upstream, list(variables or ()))
            return ((dx, dy), dv) if variables else (dx, dy)

        return k, gradient

    return solve(x, y)


def _tiles_gradient(
    of_tiles: Callable, x: tf.Tensor, y: tf.Tensor, index: tf.Tensor, upstream: tf.Tensor, variables: list
) -> list[tf.Tensor]:
    """The gradients of :func:`_solve` with respect to x, y and variables."""

    def add_tile(number: tf.Tensor, dx: tf.Tensor, dy: tf.Tensor, *dv: tf.Tensor) -> tuple[tf.Tensor, ...]:
        i, j = index[number, 0], index[number, 1]
        x_tile, y_tile = x[i], y[j]
        with tf.GradientTape() as tape:
            tape.watch((x_tile, y_tile))
            k = of_tiles(x_tile, y_tile)
        found = tape.gradient(k, [x_tile, y_tile, *variables], upstream[number], unconnected_gradients="zero")
        dx = tf.tensor_scatter_nd_add(dx, [[i]], found[0][None])
        dy = tf.tensor_scatter_nd_add(dy, [[j]], found[1][None])
        return number + 1, dx, dy, *(total + part for total, part in zip(dv, found[2:], strict=True))

    start = [tf.zeros_like(x), tf.zeros_like(y), *(tf.zeros_like(variable) for variable in variables)]
    _, *gradients = tf.while_loop(
        lambda number, *_: number < tf.shape(index)[0], add_tile, [tf.constant(0), *start], parallel_iterations=1
    )
    return gradients
