"""
Static kernels κ of points, as pure functions, and the increments through which they enter the signature kernel.

.. code-block:: python

    kappa = functools.partial(sk.static_kernels.rbf, lengthscale=0.5)
    k = sk.signature_kernel(X, Y, static_kernel=kappa)
    k = sk.solve_goursat(sk.static_kernels.increments(kappa, X, Y))  # the same

Each function takes points X [..., L1, D] and Y [..., L2, D] of one dtype, float32 or float64, and returns κ(x_i, y_j),
[..., L1, L2]. The leading axes broadcast: a Gram matrix takes X[:, None] and Y[None]. Parameters are numbers or
tensors, and gradients reach them and the points. Each pair of paths takes O(L1 L2 D) memory. For the linear, the RBF
and the Matérn kernels :func:`sigkernel_tf.signature_kernel` needs no such memory, as it forms their increments itself.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from . import _checks, _library
from ._arguments import check_unmasked

StaticKernel = Callable[[Any, Any], tf.Tensor]

_TINY = 1e-36  # the least argument of a square root, which keeps its gradient finite where points coincide


def linear(X: Any, Y: Any, *, variance: Any = 1.0) -> tf.Tensor:
    r"""
    κ = variance ⟨x, y⟩. For the arguments see :mod:`sigkernel_tf.static_kernels`.

    >>> sk.static_kernels.linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), variance=2.0).numpy().tolist()
    [[22.0]]
    """
    X, Y = _points(X, Y)
    return number_of(variance, X, "variance") * tf.matmul(X, Y, transpose_b=True)


def rbf(X: Any, Y: Any, *, lengthscale: Any = 1.0, variance: Any = 1.0) -> tf.Tensor:
    r"""
    κ = variance exp(−\|x − y\|² / (2 lengthscale²)); the lengthscale is one number, or one for each channel.

    >>> x, y = np.array([[0.0]]), np.array([[1.0]])
    >>> round(float(sk.static_kernels.rbf(x, y, lengthscale=0.5)), 4)  # exp(-2)
    0.1353
    """
    squared, variance = _scaled(X, Y, lengthscale, variance)
    return variance * tf.exp(-0.5 * squared)


def matern12(X: Any, Y: Any, *, lengthscale: Any = 1.0, variance: Any = 1.0) -> tf.Tensor:
    r"""
    κ = variance exp(−r), r = \|x − y\| / lengthscale.

    >>> x, y = np.array([[0.0]]), np.array([[1.0]])
    >>> round(float(sk.static_kernels.matern12(x, y, lengthscale=0.5)), 4)  # exp(-2)
    0.1353
    """
    squared, variance = _scaled(X, Y, lengthscale, variance)
    return variance * tf.exp(-_root(squared))


def matern32(X: Any, Y: Any, *, lengthscale: Any = 1.0, variance: Any = 1.0) -> tf.Tensor:
    r"""
    κ = variance (1 + √3 r) exp(−√3 r), r = \|x − y\| / lengthscale.

    >>> x, y = np.array([[0.0]]), np.array([[1.0]])
    >>> round(float(sk.static_kernels.matern32(x, y)), 4)
    0.4834
    """
    squared, variance = _scaled(X, Y, lengthscale, variance)
    r = _root(3.0 * squared)
    return variance * (1.0 + r) * tf.exp(-r)


def matern52(X: Any, Y: Any, *, lengthscale: Any = 1.0, variance: Any = 1.0) -> tf.Tensor:
    r"""
    κ = variance (1 + √5 r + 5 r² / 3) exp(−√5 r), r = \|x − y\| / lengthscale.

    >>> x, y = np.array([[0.0]]), np.array([[1.0]])
    >>> round(float(sk.static_kernels.matern52(x, y)), 4)
    0.524
    """
    squared, variance = _scaled(X, Y, lengthscale, variance)
    r = _root(5.0 * squared)
    return variance * (1.0 + r + 5.0 / 3.0 * squared) * tf.exp(-r)


def rational_quadratic(X: Any, Y: Any, *, lengthscale: Any = 1.0, variance: Any = 1.0, alpha: Any = 1.0) -> tf.Tensor:
    r"""
    κ = variance (1 + r² / (2 α))^(−α), r = \|x − y\| / lengthscale.

    >>> x, y = np.array([[0.0]]), np.array([[1.0]])
    >>> round(float(sk.static_kernels.rational_quadratic(x, y, alpha=1.0)), 4)  # 1 / 1.5
    0.6667
    """
    squared, variance = _scaled(X, Y, lengthscale, variance)
    alpha = number_of(alpha, squared, "alpha")
    return variance * tf.pow(1.0 + squared / (2.0 * alpha), -alpha)


def increments(kappa: StaticKernel, X: Any, Y: Any) -> tf.Tensor:
    r"""
    The double differences of κ over each cell, κ(x_{i+1}, y_{j+1}) − κ(x_{i+1}, y_j) − κ(x_i, y_{j+1}) + κ(x_i, y_j).

    >>> x, y = np.array([[0.0], [1.0], [3.0]]), np.array([[0.0], [5.0]])
    >>> sk.static_kernels.increments(sk.static_kernels.linear, x, y).numpy().tolist()  # products of steps
    [[5.0], [10.0]]

    :param kappa: a function of this module, or any other function of points [..., L1, D] and [..., L2, D] that returns
        [..., L1, L2].
    :param X: [..., L1, D], float32 or float64.
    :param Y: [..., L2, D], of X's dtype.
    :return: [..., L1 - 1, L2 - 1], for :func:`sigkernel_tf.solve_goursat`.
    :raises ValueError: for points of a rank below 2, and for numbers of channels that differ.
    :raises TypeError: for a ``kappa`` that is no such function, and for dtypes that differ.
    """
    return double_differences(values(kappa, X, Y))


def values(kappa: StaticKernel, X: Any, Y: Any) -> tf.Tensor:
    """κ(x_i, y_j), [..., L1, L2], of which :func:`increments` takes the differences; it has the same errors."""
    X, Y = _points(X, Y)
    if not callable(kappa):
        raise TypeError(
            f"static_kernel must be a function of points X and Y, got {kappa!r}: for instance "
            "functools.partial(sk.static_kernels.rbf, lengthscale=0.5)."
        )
    ranks = [points.shape.rank for points in (X, Y)]
    if None not in ranks and max(ranks) > 2:  # on a few points first: all batches with all others may not fit in memory
        _check_values(kappa(_first_points(X), _first_points(Y)), max(ranks))
    K = kappa(X, Y)
    _check_values(K, None if None in ranks else max(ranks))
    return K


def _first_points(points: tf.Tensor) -> tf.Tensor:
    """One point of each of two paths."""
    parts = [slice(2)] + [slice(1)] * (points.shape.rank - 2)
    return points[tuple(parts)]


def _check_values(K: Any, rank: int | None) -> None:
    """:raises TypeError: for what a static kernel must not return; GPflow's kernels pair each batch with all others."""
    if not tf.is_tensor(K) or (K.shape.rank is not None and (K.shape.rank < 2 or rank not in (None, K.shape.rank))):
        raise TypeError(
            "static_kernel must return a tensor [..., L1, L2] for points [..., L1, D] and [..., L2, D], got "
            f"{K.shape if tf.is_tensor(K) else type(K).__name__}: take a function of sk.static_kernels; GPflow's "
            "kernels belong into sigkernel_tf.gp.SignatureKernel(static_kernel=...)."
        )


def double_differences(K: tf.Tensor) -> tf.Tensor:
    """Those of values [..., L1, L2] over each cell: [..., L1 - 1, L2 - 1]."""
    along = K[..., 1:, :] - K[..., :-1, :]
    return along[..., 1:] - along[..., :-1]


@dataclasses.dataclass(frozen=True)
class FusedForm:
    """A static kernel as the compiled operations take it: the kernel called ``name`` of the points times ``scale``."""

    name: str
    scale: tf.Tensor | None
    variance: tf.Tensor

    def scaled_paths(self, X: tf.Tensor, Y: tf.Tensor, *, difference: bool = True) -> tuple[tf.Tensor, tf.Tensor]:
        """Paths [..., L1, D] and [..., L2, D] times ``scale``, moved towards 0 first as far as the kernel allows."""
        if self.scale is None:
            return X, Y
        if self.name == "linear" and not difference:
            scaled = X * self.scale
            return scaled, scaled if Y is X else Y * self.scale
        if self.name == "linear":
            scaled = (X - offset_of_each(X)) * self.scale
            return scaled, scaled if Y is X else (Y - offset_of_each(Y)) * self.scale
        offset = common_offset(X, Y)
        return (X - offset) * self.scale, (Y - offset) * self.scale

    def scaled_displacements(self, displacements: tf.Tensor) -> tf.Tensor:
        return displacements if self.scale is None else displacements * self.scale


def fused_form(kappa: StaticKernel | None, like: tf.Tensor, *, difference: bool = True) -> FusedForm | None:
    """
    The form in which the compiled operations take a static kernel, or None where they do not know it.

    They know :func:`linear`, for which None stands as well, :func:`rbf`, the Matérn kernels, and a
    ``functools.partial`` of one of them with only keywords. A GPU does not know the Matérn kernels yet: where it may be
    asked, these count as unknown, unless nothing is differenced, which is refused on a GPU in any case.
    """
    function, keywords = kappa, dict[str, Any]()
    if isinstance(kappa, functools.partial) and not kappa.args:
        function, keywords = kappa.func, kappa.keywords
    one = tf.ones([], like.dtype)
    variance = number_of(keywords.get("variance", 1.0), like, "variance")
    if function is None:
        return FusedForm("linear", None, one)
    if function is linear and keywords.keys() <= {"variance"}:
        return FusedForm("linear", tf.sqrt(variance) if keywords else None, one)
    if function in _MATERN and difference and _library.sees_gpu():
        return None
    if function in (rbf, *_MATERN) and keywords.keys() <= {"lengthscale", "variance"}:
        scale = 1.0 / lengthscale_of(keywords["lengthscale"], like) if "lengthscale" in keywords else None
        return FusedForm(function.__name__, scale, variance)
    return None


_MATERN = (matern12, matern32, matern52)


def common_offset(*points: tf.Tensor) -> tf.Tensor:
    """
    One point [D] for all of several sets of points [..., D], to be subtracted from them before they are scaled.

    A number far from 0 has few digits left for its differences, and scaling rounds the last of them. Where the kernel
    depends only on differences of points, the points are therefore moved towards 0 first. That is done only where it
    is exact, which x - s is for s / 2 <= x <= 2 s (Sterbenz 1974): in a channel where all values are of one sign and
    none is more than twice as large as the smallest, which is then s. In all other channels s is 0.
    """
    flat = [tf.reshape(each, [-1, tf.shape(each)[-1]]) for each in points]
    return _offset(
        functools.reduce(tf.minimum, [tf.reduce_min(each, axis=0) for each in flat]),
        functools.reduce(tf.maximum, [tf.reduce_max(each, axis=0) for each in flat]),
    )


def offset_of_each(paths: tf.Tensor) -> tf.Tensor:
    """The same for each path [..., L, D] by itself, [..., 1, D], for kernels that depend only on its increments."""
    return _offset(tf.reduce_min(paths, axis=-2, keepdims=True), tf.reduce_max(paths, axis=-2, keepdims=True))


def _offset(least: tf.Tensor, greatest: tf.Tensor) -> tf.Tensor:
    is_positive = (least > 0) & (greatest <= 2 * least) & tf.math.is_finite(least)  # without points it is infinite
    is_negative = (greatest < 0) & (least >= 2 * greatest) & tf.math.is_finite(greatest)
    zero = tf.zeros_like(least)
    # What depends only on differences has the same gradient whatever is subtracted.
    return tf.stop_gradient(tf.where(is_positive, least, tf.where(is_negative, greatest, zero)))


def _points(X: Any, Y: Any) -> tuple[tf.Tensor, tf.Tensor]:
    X, Y = _checks.as_float_tensor(X, "X"), _checks.as_float_tensor(Y, "Y")
    _checks.check_same_dtype(X, Y, "X and Y")
    for points, name in ((X, "X"), (Y, "Y")):
        if points.shape.rank is not None and points.shape.rank < 2:
            raise ValueError(f"{name} must have rank 2 or more, (..., points, channels), got shape {points.shape}.")
    _checks.check_same_size(X, Y, -1, "X and Y", "channels")
    return X, Y


def _scaled(X: Any, Y: Any, lengthscale: Any, variance: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """
    The squared distances r² [..., L1, L2] of the points over the lengthscale, and the variance as a tensor.

    The distances are those of differences: expanding the square would lose the digits that the increments consist of.
    The differences are taken before they are scaled, as scaling rounds the points of paths far from 0.
    """
    X, Y = _points(X, Y)
    differences = (X[..., :, None, :] - Y[..., None, :, :]) / lengthscale_of(lengthscale, X)
    return tf.reduce_sum(tf.square(differences), axis=-1), number_of(variance, X, "variance")


def number_of(value: Any, like: tf.Tensor, name: str) -> tf.Tensor:
    """A parameter in the dtype of the points; a tensor or variable of another dtype is refused, not cast."""
    if not tf.is_tensor(value):  # a number or an array, whose values can be read
        check_unmasked(value, name)
        known = np.asarray(value)
        if known.dtype.kind in "iuf":
            if (known <= 0).any():
                raise ValueError(f"{name} must be positive, got {value!r}.")
            if isinstance(value, (int, float, list, tuple, np.generic, np.ndarray)):  # and no parameter of GPflow
                value = known.astype(like.dtype.as_numpy_dtype)
    try:
        return tf.convert_to_tensor(value, like.dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must be a number or a tensor of the points' dtype {like.dtype.name}, got {value!r}."
        ) from error


def lengthscale_of(value: Any, like: tf.Tensor) -> tf.Tensor:
    """The lengthscale in the dtype of the points."""
    return one_or_each(value, like, "lengthscale")


def one_or_each(value: Any, like: tf.Tensor, name: str) -> tf.Tensor:
    """
    A parameter in the dtype of the points ``like`` [..., D].

    :raises ValueError: for what is neither one number nor one for each channel.
    """
    tensor = number_of(value, like, name)
    if like.shape.rank is not None and not any(
        tensor.shape.is_compatible_with(shape) for shape in ([], [like.shape[-1]])
    ):
        raise ValueError(
            f"{name} must be one number, or have shape [{like.shape[-1]}], one for each channel, got shape "
            f"{tensor.shape}."
        )
    return tensor


def _root(squared: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.maximum(squared, tf.cast(_TINY, squared.dtype)))
