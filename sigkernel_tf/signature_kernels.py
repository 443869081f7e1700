"""The signature kernel of piecewise linear paths: pairs, Gram matrices and diagonals."""

from typing import Any

import tensorflow as tf

from . import _checks, _library, static_kernels
from ._gradients import attributes_of
from .goursat import PowerSeries, Solver, solve_goursat, solver_attributes
from .static_kernels import StaticKernel


def signature_kernel(
    X: Any, Y: Any, *, static_kernel: StaticKernel | None = None, solver: Solver = PowerSeries()
) -> tf.Tensor:
    r"""
    The signature kernel of pairs of paths, k(x, y) = ⟨S(x), S(y)⟩ (eqs. 10 and 13), the empty word included.

    Units: X and Y share a unit u, products of increments carry u²; dividing both by a lengthscale makes them numbers.
    Paths may differ in length between X and Y; a path of one point gives 1. Differentiable once, in X, Y and the static
    kernel's parameters.

    A static kernel κ lifts the paths' points first: k is that of t ↦ κ(x_t, ·) and s ↦ κ(y_s, ·). The linear and the
    RBF of :mod:`sigkernel_tf.static_kernels`, with parameters fixed by ``functools.partial``, enter inside the sweep;
    of any other all pairs' increments are formed first, in O(L1 L2) numbers a pair.

    Cost: O(L1 L2 (D + K²)) a pair, K the power series' degree. Memory beyond the output, whatever the batch: a row of
    the grid for each pair at work (a SIMD register of them a thread); for the gradient the edges of tiles, too, of
    which some 50 MB a thread are kept and the rest computed again.

    :param X: [B, L1, D], float32 or float64.
    :param Y: [B, L2, D], of X's dtype.
    :param static_kernel: κ of points [..., L1, D] and [..., L2, D] to [..., L1, L2]; None is the linear one. For
        instance ``functools.partial(sk.static_kernels.rbf, lengthscale=0.5)``.
    :param solver: :class:`PowerSeries`, exact to rounding, or :class:`FiniteDifference`.
    :return: [B].
    :raises ValueError: for another rank, no time steps, and sizes that differ between X and Y where known.
    :raises TypeError: for another dtype, and dtypes that differ.
    :raises tf.errors.InvalidArgumentError: for NaN or infinite values (which path, which step) and a kernel that
        overflows the dtype (which pair); for the faults above where shapes are known at run time alone.
    """
    X, Y = _pair(X, Y)
    _checks.check_same_size(X, Y, 0, "X and Y", "paths")
    return _kernel(X, Y, static_kernel, solver, "pairs")


def signature_kernel_gram(
    X: Any, Y: Any = None, *, static_kernel: StaticKernel | None = None, solver: Solver = PowerSeries()
) -> tf.Tensor:
    r"""
    Gram matrix of the signature kernel, k(x_i, y_j).

    Without ``Y`` it is the symmetric matrix of X with itself: each pair is solved once, and the result is symmetric to
    the last bit. Units, precision, errors and gradients as in :func:`signature_kernel`.

    :param X: [N1, L1, D], float32 or float64.
    :param Y: [N2, L2, D], of X's dtype; None stands for X.
    :param static_kernel: as in :func:`signature_kernel`; None is the linear one.
    :param solver: :class:`PowerSeries` or :class:`FiniteDifference`.
    :return: [N1, N2].
    """
    if Y is None:
        X = _checks.as_paths(X, "X")
        return _kernel(X, X, static_kernel, solver, "symmetric_gram")
    X, Y = _pair(X, Y)
    return _kernel(X, Y, static_kernel, solver, "gram")


def signature_kernel_diag(
    X: Any, *, static_kernel: StaticKernel | None = None, solver: Solver = PowerSeries()
) -> tf.Tensor:
    r"""
    k(x, x) of each path: the diagonal of :func:`signature_kernel_gram`, at half the work of a pair by symmetry.

    Units, precision, errors and gradients as in :func:`signature_kernel`; the gradient counts both arguments.

    :param X: [N, L, D], float32 or float64.
    :param static_kernel: as in :func:`signature_kernel`; None is the linear one.
    :param solver: :class:`PowerSeries` or :class:`FiniteDifference`.
    :return: [N].
    """
    X = _checks.as_paths(X, "X")
    return _kernel(X, X, static_kernel, solver, "diagonal")


def directional_derivative(
    X: Any,
    Y: Any,
    direction: Any,
    *,
    static_kernel: StaticKernel | None = None,
    solver: Solver = PowerSeries(),
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""
    The signature kernel of pairs of paths and its derivative along a direction (eq. 41, Algorithm 1), in one sweep.

    The derivative is d/dε k(x + ε direction, y) at ε = 0, exact for the computed k: what the gradient by X gives when
    contracted with ``direction``, at about half its cost and a forward sweep's memory. Not differentiable itself.
    Units, precision and errors as in :func:`signature_kernel`; the derivative is per unit of ``direction``.

    :param X: [B, L1, D], float32 or float64.
    :param Y: [B, L2, D], of X's dtype.
    :param direction: [B, L1, D], displacements of X's points, of X's dtype.
    :param static_kernel: the linear (None) or the RBF one, as in :func:`signature_kernel`.
    :param solver: :class:`PowerSeries` or :class:`FiniteDifference`; the gradient chosen there does not matter here.
    :return: k [B] and its derivative [B].
    :raises ValueError: for shapes that do not fit, as far as they are known, and for another static kernel.
    """
    X, Y = _pair(X, Y)
    _checks.check_same_size(X, Y, 0, "X and Y", "paths")
    direction = _checks.as_paths(direction, "direction")
    _checks.check_same_dtype(X, direction, "X and direction")
    if not X.shape.is_compatible_with(direction.shape):
        raise ValueError(f"direction must have X's shape {X.shape}, one displacement a point, got {direction.shape}.")
    form = static_kernels.fused_form(static_kernel, X)
    if form is None:
        raise ValueError(
            "directional_derivative takes the linear static kernel (None), static_kernels.rbf, or a functools.partial "
            f"of one with keywords alone, got {static_kernel!r}: for others contract signature_kernel's gradient."
        )
    k, derivative = _library.ops().sigkernel_tf_directional_derivative(
        form.scaled(X),
        form.scaled(Y),
        form.variance,
        form.scaled(direction),
        static_kernel=form.name,
        **solver_attributes(solver, X.dtype),
    )
    return k, derivative


def _pair(X: Any, Y: Any) -> tuple[tf.Tensor, tf.Tensor]:
    X, Y = _checks.as_paths(X, "X"), _checks.as_paths(Y, "Y")
    _checks.check_same_dtype(X, Y, "X and Y")
    _checks.check_same_size(X, Y, 2, "X and Y", "channels")
    return X, Y


def _kernel(X: tf.Tensor, Y: tf.Tensor, static_kernel: StaticKernel | None, solver: Solver, pairing: str) -> tf.Tensor:
    attributes = solver_attributes(solver, X.dtype)
    form = static_kernels.fused_form(static_kernel, X)
    if static_kernel is not None and form is None:
        if pairing in ("gram", "symmetric_gram"):
            X, Y = X[:, None], Y[None]
        return solve_goursat(static_kernels.increments(static_kernel, X, Y), solver=solver)
    assert form is not None
    k, _ = _library.ops().sigkernel_tf_signature_kernel(
        form.scaled(X), form.scaled(Y), form.variance, static_kernel=form.name, pairing=pairing, **attributes
    )
    return k


@tf.RegisterGradient("SigkernelTfSignatureKernel")
def _signature_kernel_gradient(op: tf.Operation, upstream: tf.Tensor, _: tf.Tensor) -> list[tf.Tensor | None]:
    attributes = attributes_of(op, "solver", "tolerance", "dyadic_order", "gradient", "static_kernel", "pairing")
    dX, dY, d_variance = _library.ops().sigkernel_tf_signature_kernel_grad(
        *op.inputs, op.outputs[1], upstream, **attributes
    )
    symmetric = attributes["pairing"] in ("symmetric_gram", "diagonal")
    return [dX, None if symmetric else dY, d_variance]  # of a symmetric pairing dX counts both arguments
