"""
Static kernels: kernels of points, which lift the points of a path before the signature kernel sees it.

Users give them as kernels of :mod:`gpflow.kernels` or as functions of :mod:`sigkernel_tf.static_kernels`. This module
checks them, and turns either into a function of two arrays of points.
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
from sigkernel_tf.static_kernels import StaticKernel

PointKernel = Kernel | StaticKernel

# GPflow computes distances by expanding the square. That loses the digits on which increments depend.
_STATIONARY = {
    kernels.SquaredExponential: static_kernels.rbf,
    kernels.Matern12: static_kernels.matern12,
    kernels.Matern32: static_kernels.matern32,
    kernels.Matern52: static_kernels.matern52,
    kernels.RationalQuadratic: static_kernels.rational_quadratic,
}
# White noise is 0 between any two points, Coregion takes indices of outputs, and ChangePoints change along one axis.
_NOT_OF_POINTS = (kernels.White, kernels.Coregion, kernels.ChangePoints)
_COMBINATIONS = {kernels.Sum: operator.add, kernels.Product: operator.mul}


def check_static_kernel(kernel: Any, num_channels: int) -> None:
    """
    :param num_channels: the number of channels of the points that the kernel will see.
    :raises TypeError: for anything but a function or a GPflow kernel of points with one output.
    :raises ValueError: for ``active_dims`` that the points do not have.
    """
    if isinstance(kernel, (kernels.MultioutputKernel, type)) or not (isinstance(kernel, Kernel) or callable(kernel)):
        raise TypeError(
            "static_kernel must be None (linear), a kernel of gpflow.kernels for points, or a function of "
            f"sigkernel_tf.static_kernels, got {kernel!r}: for instance gpflow.kernels.RBF()."
        )
    if isinstance(kernel, _NOT_OF_POINTS):
        raise TypeError(
            f"static_kernel must be a kernel of points of {num_channels} channels, got {type(kernel).__name__}, which "
            "depends on more than the two points: take for instance gpflow.kernels.RBF()."
        )
    if isinstance(kernel, kernels.Combination):
        for part in kernel.kernels:
            check_static_kernel(part, num_channels)
        return
    seen = getattr(kernel, "active_dims", None)
    if isinstance(seen, np.ndarray) and (seen >= num_channels).any():
        raise ValueError(
            f"static_kernel must have active_dims from 0 to {num_channels - 1}, the channels of the paths, got "
            f"{seen.tolist()} in {type(kernel).__name__}: leave active_dims out, or choose among these channels."
        )


def is_linear(kernel: PointKernel | None) -> bool:
    """
    Whether a static kernel is linear: None, or a ``gpflow.kernels.Linear`` of all channels.

    Such a kernel only scales the points, by the square root of its variance.
    """
    return kernel is None or (type(kernel) is kernels.Linear and _takes_all_channels(kernel))


def is_stationary(kernel: PointKernel | None) -> bool:
    """Whether a static kernel is known to depend only on the difference of two points."""
    if isinstance(kernel, kernels.Combination):
        return all(is_stationary(part) for part in kernel.kernels)
    function = kernel.func if isinstance(kernel, functools.partial) and not kernel.args else kernel
    return isinstance(kernel, (kernels.Stationary, kernels.Constant)) or function in _STATIONARY.values()


def gram_function(kernel: PointKernel) -> StaticKernel:
    """The kernel as a function of points [N, 1, L1, D] and [1, N2, L2, D]: [N, N2, L1, L2]."""
    return _as_function(kernel, _gpflow_gram)


def pairs_function(kernel: PointKernel) -> StaticKernel:
    """The kernel as a function of points [P, L1, D] and [P, L2, D], one pair of paths at a time: [P, L1, L2]."""
    return _as_function(kernel, _gpflow_pairs)


def _as_function(kernel: PointKernel, by_gpflow: Callable[[Kernel, Any, Any], tf.Tensor]) -> StaticKernel:
    """
    The kernel as a function of :mod:`sigkernel_tf.static_kernels`, or ``by_gpflow`` where there is none.

    The function reads the parameters when it is called. A tensor made here from a parameter would be a constant to the
    gradient of :func:`~sigkernel_tf._chunks.in_chunks`.
    """
    if not isinstance(kernel, Kernel):
        return kernel
    if type(kernel) in _COMBINATIONS:
        parts, combine = [_as_function(part, by_gpflow) for part in kernel.kernels], _COMBINATIONS[type(kernel)]
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


def _takes_all_channels(kernel: Kernel) -> bool:
    return isinstance(kernel.active_dims, slice) and kernel.active_dims == slice(None)


def _gpflow_gram(kernel: Kernel, X: tf.Tensor, Y: tf.Tensor) -> tf.Tensor:
    """GPflow's kernel of points [N, 1, L1, D] and [1, N2, L2, D]: [N, N2, L1, L2]."""
    channels = tf.shape(X)[3]
    K = kernel(tf.reshape(X, [-1, channels]), tf.reshape(Y, [-1, channels]))
    K = tf.reshape(K, [tf.shape(X)[0], tf.shape(X)[2], tf.shape(Y)[1], tf.shape(Y)[2]])
    return tf.transpose(K, [0, 2, 1, 3])


# map_fn would otherwise have AutoGraph convert the function at every call.
@tf.autograph.experimental.do_not_convert
def _gpflow_pairs(kernel: Kernel, X: tf.Tensor, Y: tf.Tensor) -> tf.Tensor:
    """GPflow's kernel of points [N, L1, D] and [N, L2, D]: [N, L1, L2]. A single call would pair all X with all Y."""
    return tf.map_fn(lambda pair: kernel(*pair), (X, Y), fn_output_signature=X.dtype)
