"""The signature kernel of piecewise linear paths: of pairs, as a Gram matrix and as its diagonal."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from . import _batches, _checks, _library, static_kernels
from ._arguments import as_bool
from ._extended_range import Extended, exponents_of
from ._gradients import attributes_of
from .goursat import (
    ErrorWeights,
    PowerSeries,
    Solver,
    machine_epsilon,
    of_independent_cells,
    share_of_the_worst,
    size_of,
    solve_goursat,
    solve_with_error,
    solver_attributes,
)
from .static_kernels import StaticKernel

_SYMMETRIC = ("symmetric_gram", "diagonal")  # pairings in which X is paired with itself


def signature_kernel(
    X: Any,
    Y: Any,
    *,
    static_kernel: StaticKernel | None = None,
    solver: Solver = PowerSeries(),
    return_error: bool = False,
) -> Any:
    r"""
    The signature kernel of pairs of paths, k(x, y) = ⟨S(x), S(y)⟩ (eqs. 10 and 13), the empty word included.

    Units: X and Y share a unit u, and products of increments have the unit u²; dividing both by a lengthscale makes
    them plain numbers. The paths of X may be longer or shorter than those of Y; a path of one point gives 1. The result
    is differentiable once, in X, Y and the parameters of the static kernel.

    A static kernel κ lifts the points of the paths first: k is then the kernel of t ↦ κ(x_t, ·) and s ↦ κ(y_s, ·).
    The linear and the RBF kernel of :mod:`sigkernel_tf.static_kernels`, with parameters fixed by ``functools.partial``,
    are evaluated while the grid is swept. For any other the increments of all pairs are formed first, which takes
    O(L1 L2) numbers for each pair.

    Of paths of one channel the linear static kernel sees only the end points. With :class:`PowerSeries` k is then a
    Bessel function of p = (x_L1 − x_1)(y_L2 − y_1): I₀(2 √p) where p ≥ 0, and J₀(2 √−p) below. No grid is swept, and
    value and gradient are exact up to rounding at any length.

    Under the power series the error is about max(tolerance, ε) · max \|U_ij W_ij\|, where U_ij is the kernel of the two
    paths up to their points i and j, W_ij that of what is left of them, and ε the dtype's epsilon. For paths that go
    back on themselves in large steps this can exceed k: :class:`PowerSeries` says what to expect and what helps.

    A pair costs O(L1 L2 (D + K²)), where K is the degree of the power series. Whatever the batch, the memory beyond the
    output is a row of the grid for each pair at work, of which a thread has as many as a SIMD register has lanes. The
    gradient needs the edges of tiles of the grid as well: each thread keeps some 50 MB of them and computes the rest
    again.

    With ``return_error`` a second sweep, of the reversed paths, estimates \|error\| by the rule that
    :class:`PowerSeries` states, and adds what the rounding of the paths' increments and their products can change. At
    the default tolerance 99 estimates of 100 exceed the true error, by a factor of about a hundred at the median. The
    estimate is infinite where it overflows. No gradient flows through it. For :class:`FiniteDifference` it counts the
    rounding only: the error of the scheme itself is far larger and is not in it. A static kernel other than the linear
    and the RBF one counts as computed to an ε of its largest value. The kernel takes two to three times as long with
    the estimate, or ten times for one or two pairs of long paths, and each thread keeps up to 32 MB more. On a GPU the
    argument is refused for now.

    :param X: [..., L1, D], float32 or float64; there may be any number of leading axes, or none for a single pair.
    :param Y: [..., L2, D], of X's dtype and with the same leading axes; nothing is broadcast.
    :param static_kernel: κ, a function of points [..., L1, D] and [..., L2, D] that returns [..., L1, L2]; None is the
        linear one. For instance ``functools.partial(sk.static_kernels.rbf, lengthscale=0.5)``.
    :param solver: :class:`PowerSeries`, exact to rounding, or :class:`FiniteDifference`.
    :param return_error: whether to return an estimate of \|error\| as well.
    :return: k, [...]; with ``return_error`` k and the estimate, [...] each.
    :raises ValueError: for a rank below 2, for no time steps or channels, and for sizes that are known to differ
        between X and Y.
    :raises TypeError: for a dtype other than float32 and float64, and for dtypes that differ.
    :raises tf.errors.InvalidArgumentError: for NaN or infinite values (which path, which step) and a kernel that
        overflows the dtype (which pair, counted through all leading axes); for the faults above where shapes become
        known only at run time. Where even the rank is unknown while a function is traced, it must be 3.
    """
    X, Y = _pair(X, Y)
    _batches.check_same_leading(X, Y, 2, "X and Y")
    return _kernel(X, Y, static_kernel, solver, "pairs", return_error)


def signature_kernel_gram(
    X: Any,
    Y: Any = None,
    *,
    static_kernel: StaticKernel | None = None,
    solver: Solver = PowerSeries(),
    return_error: bool = False,
) -> Any:
    r"""
    The Gram matrix of the signature kernel, k(x_i, y_j).

    Without ``Y`` it is the symmetric matrix of X with itself. Each pair is then solved once, and the result is
    symmetric to the last bit. Units, precision, errors and gradients are as in :func:`signature_kernel`. On the CPU the
    gradient adds up its sums in up to 16 parts, so that they do not depend on the number of threads. It takes as many
    arrays of the size of X, and of Y where that is given, beyond what the gradient of pairs takes. Leading axes make
    one matrix each; these are computed one after the other, and an error counts paths within its matrix.

    :param X: [..., N1, L1, D], float32 or float64.
    :param Y: [..., N2, L2, D], of X's dtype and with the same leading axes; None stands for X.
    :param static_kernel: as in :func:`signature_kernel`; None is the linear one.
    :param solver: :class:`PowerSeries` or :class:`FiniteDifference`.
    :param return_error: as in :func:`signature_kernel`.
    :return: k, [..., N1, N2]; with ``return_error`` k and the estimate, [..., N1, N2] each.
    :raises tf.errors.InvalidArgumentError: as in :func:`signature_kernel`. Without ``Y`` the CPU also refuses what the
        power series under the linear static kernel returns only where it has lost its digits: k(x, x) < 1, or
        k(x, y)² > k(x, x) k(y, y), by more than max(1e-3, 100 tolerance) relative to the bound. The message names the
        pair and what helps. Smaller deviations pass, and so do all with ``return_error``, as the estimate tells them.
    """
    if Y is None:
        X = _checks.as_batches(X, "X", sets=True)
        return _kernel(X, X, static_kernel, solver, "symmetric_gram", return_error)
    X, Y = _pair(X, Y, sets=True)
    _batches.check_same_leading(X, Y, 3, "X and Y")
    return _kernel(X, Y, static_kernel, solver, "gram", return_error)


def signature_kernel_diag(
    X: Any,
    *,
    static_kernel: StaticKernel | None = None,
    solver: Solver = PowerSeries(),
    return_error: bool = False,
) -> Any:
    r"""
    The diagonal of :func:`signature_kernel_gram`, k(x, x) of each path, which by symmetry is half the work of a pair.

    Units, precision, errors and gradients are as in :func:`signature_kernel`; the gradient counts both arguments.

    :param X: [..., N, L, D], float32 or float64.
    :param static_kernel: as in :func:`signature_kernel`; None is the linear one.
    :param solver: :class:`PowerSeries` or :class:`FiniteDifference`.
    :param return_error: as in :func:`signature_kernel`.
    :return: k, [..., N]; with ``return_error`` k and the estimate, [..., N] each.
    :raises tf.errors.InvalidArgumentError: as in :func:`signature_kernel_gram`, for k(x, x) < 1.
    """
    X = _checks.as_batches(X, "X", sets=True)
    return _kernel(X, X, static_kernel, solver, "diagonal", return_error)


def directional_derivative(
    X: Any,
    Y: Any,
    direction: Any,
    *,
    static_kernel: StaticKernel | None = None,
    solver: Solver = PowerSeries(),
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""
    The signature kernel of pairs of paths and its derivative along a direction, in one sweep (eq. 41, Algorithm 1).

    The derivative is d/dε k(x + ε direction, y) at ε = 0, exact for the computed k. It is the inner product of the
    gradient by X with ``direction``, at about half the cost of the gradient and with the memory of a forward sweep. It
    is not differentiable itself. Units, precision and errors are as in :func:`signature_kernel`; the derivative is per
    unit of ``direction``.

    :param X: [..., L1, D], float32 or float64.
    :param Y: [..., L2, D], of X's dtype and with the same leading axes.
    :param direction: [..., L1, D], the displacements of the points of X, of X's dtype.
    :param static_kernel: the linear one (None) or the RBF one, as in :func:`signature_kernel`.
    :param solver: :class:`PowerSeries` or :class:`FiniteDifference`; the gradient chosen there does not matter here.
    :return: k [...] and its derivative [...].
    :raises ValueError: for shapes that do not fit, as far as they are known, and for any other static kernel.
    """
    X, Y = _pair(X, Y)
    _batches.check_same_leading(X, Y, 2, "X and Y")
    direction = _checks.as_batches(direction, "direction")
    _checks.check_same_dtype(X, direction, "X and direction")
    if not X.shape.is_compatible_with(direction.shape):
        raise ValueError(f"direction must have X's shape {X.shape}, one displacement a point, got {direction.shape}.")
    form = static_kernels.fused_form(static_kernel, X)
    if form is None:
        raise ValueError(
            "directional_derivative takes the linear static kernel (None), static_kernels.rbf, or a functools.partial "
            f"of either with only keywords, got {static_kernel!r}: for others contract signature_kernel's gradient."
        )
    attributes = solver_attributes(solver, X.dtype)

    def solve(X: tf.Tensor, Y: tf.Tensor, direction: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tuple(
            _library.ops().sigkernel_tf_directional_derivative(
                X, Y, form.variance, direction, static_kernel=form.name, **attributes
            )
        )

    return _batches.on_merged(solve, *form.scaled_paths(X, Y), form.scaled_displacements(direction))


def _pair(X: Any, Y: Any, *, sets: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
    X, Y = _checks.as_batches(X, "X", sets=sets), _checks.as_batches(Y, "Y", sets=sets)
    _checks.check_same_dtype(X, Y, "X and Y")
    _checks.check_same_size(X, Y, -1, "X and Y", "channels")
    return X, Y


def extended_gram(X: tf.Tensor, Y: tf.Tensor | None, static_kernel: StaticKernel | None, solver: Solver) -> Extended:
    """
    :func:`signature_kernel_gram` for kernels that may be far beyond the largest number; on a GPU these are NaN.

    The static kernel must have a fused form. Below 2^32 the exponent is 0, and the mantissa is k.
    """
    if Y is None:
        return Extended(*_kernel(X, X, static_kernel, solver, "symmetric_gram", False, extended=True))
    return Extended(*_kernel(X, Y, static_kernel, solver, "gram", False, extended=True))


def extended_diag(X: tf.Tensor, static_kernel: StaticKernel | None, solver: Solver) -> Extended:
    """:func:`signature_kernel_diag` in the same way."""
    return Extended(*_kernel(X, X, static_kernel, solver, "diagonal", False, extended=True))


def _kernel(
    X: tf.Tensor,
    Y: tf.Tensor,
    static_kernel: StaticKernel | None,
    solver: Solver,
    pairing: str,
    return_error: bool,
    *,
    extended: bool = False,
) -> Any:
    """
    The kernel of paths with leading axes, paired as ``pairing`` says; where Y counts for nothing, it is X again.

    :return: k; with ``return_error`` k and an estimate of its error, in the same shape; with ``extended`` the mantissa
        and the exponent of k, likewise.
    """
    return_error = as_bool(return_error, "return_error")
    attributes = solver_attributes(solver, X.dtype)
    form = static_kernels.fused_form(static_kernel, X)
    function: Callable[..., Any]
    if form is None:
        assert static_kernel is not None
        function = functools.partial(_by_increments, static_kernel, solver, pairing, return_error)
    else:
        attributes |= {"static_kernel": form.name, "pairing": pairing}
        function = functools.partial(_without_error, form, attributes)
        if return_error:
            function = functools.partial(_with_error, form, attributes, solver)
        if extended:
            function = functools.partial(_with_exponent, form, attributes)
        X, Y = form.scaled_paths(X, Y)
    paths = (X,) if pairing in _SYMMETRIC else (X, Y)
    if pairing in ("gram", "symmetric_gram"):
        return _batches.gram_of_each(function, *paths, num_results=2 if return_error or extended else 1)
    return _batches.on_merged(function, *paths)


def _without_error(form: static_kernels.FusedForm, attributes: dict[str, Any], *paths: tf.Tensor) -> tf.Tensor:
    """The kernel of scaled paths [N, L, D] by a compiled operation; of X with itself where there is no Y."""
    k, _ = _library.ops().sigkernel_tf_signature_kernel(paths[0], paths[-1], form.variance, **attributes)
    return k


def _with_exponent(
    form: static_kernels.FusedForm, attributes: dict[str, Any], *paths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The same in extended range: mantissas and exponents."""
    k, plan = _library.ops().sigkernel_tf_signature_kernel(
        paths[0], paths[-1], form.variance, **attributes, extended_range=True
    )
    return k, exponents_of(plan, k.dtype)


def _with_error(
    form: static_kernels.FusedForm, attributes: dict[str, Any], solver: Solver, *paths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The same, and an estimate of each k's error."""
    X, Y = paths[0], paths[-1]
    k, _, *measured = _library.ops().sigkernel_tf_signature_kernel_weights(
        X, Y, form.variance, **attributes, is_scaled=form.scale is not None
    )
    weights, cells = ErrorWeights(*measured), (size_of(X, 1) - 1, size_of(Y, 1) - 1)
    if form.name == "linear":  # the operation knows how large the increments are
        unit = machine_epsilon(X.dtype) * share_of_the_worst(cells, X.dtype)
        return k, weights.error(k, solver, cells, unit * weights.of_increments)
    formed = _rounding_of_rbf(form, X, Y) * of_independent_cells(weights, cells)
    return k, weights.error(k, solver, cells, formed)


def _by_increments(kappa: StaticKernel, solver: Solver, pairing: str, return_error: bool, *paths: tf.Tensor) -> Any:
    """The kernel of paths [N, L, D] under a static kernel that the compiled operations do not know."""
    X, Y = paths[0], paths[-1]
    if pairing != "symmetric_gram":
        if pairing == "gram":
            X, Y = X[:, None], Y[None]
        return _of_increments(static_kernels.values(kappa, X, Y), solver, return_error)
    # Solved twice, as (i, j) and (j, i), a pair would get two results that differ by rounding.
    pairs, numbers = _batches.upper_pairs(tf.shape(X)[0] if X.shape.rank is None else _batches.sizes(X)[0])
    first, second = (_batches.rows_at(X, pairs[:, side]) for side in (0, 1))
    results = _of_increments(static_kernels.values(kappa, first, second), solver, return_error)
    return tf.nest.map_structure(lambda of_pairs: _batches.rows_at(of_pairs, numbers), results)


def _of_increments(K: tf.Tensor, solver: Solver, return_error: bool) -> Any:
    """The kernel of paths from the values [..., L1, L2] of a static kernel at their points."""
    increments = static_kernels.double_differences(K)
    if not return_error:
        return solve_goursat(increments, solver=solver)
    return solve_with_error(increments, solver, _rounding_of_differences(tf.reduce_max(tf.abs(K), axis=[-2, -1])))


def _rounding_of_rbf(form: static_kernels.FusedForm, X: tf.Tensor, Y: tf.Tensor) -> tf.Tensor:
    """What a cell's increment p is off by under the RBF static kernel, for points that were scaled."""
    rounding = _rounding_of_differences(tf.abs(form.variance))
    if form.scale is None:
        return rounding
    # Each point was rounded when it was scaled, and the kernel's slope is at most 0.61.
    farthest = tf.maximum(*(tf.reduce_max(tf.norm(points, axis=-1)) for points in (X, Y)))
    return rounding * (1.0 + 0.61 * farthest)


def _rounding_of_differences(largest: tf.Tensor) -> tf.Tensor:
    """What a double difference is off by whose four values, up to ``largest``, were each computed to an epsilon."""
    return 4.0 * machine_epsilon(largest.dtype) * largest


@tf.RegisterGradient("SigkernelTfSignatureKernel")
def _signature_kernel_gradient(op: tf.Operation, upstream: tf.Tensor, *_: tf.Tensor) -> list[tf.Tensor | None]:
    return _gradient_by_plan(op, upstream, extended_range=op.get_attr("extended_range"))


@tf.RegisterGradient("SigkernelTfSignatureKernelWeights")
def _weighing_gradient(op: tf.Operation, upstream: tf.Tensor, *_: tf.Tensor) -> list[tf.Tensor | None]:
    return _gradient_by_plan(op, upstream, extended_range=False)


def _gradient_by_plan(op: tf.Operation, upstream: tf.Tensor, *, extended_range: bool) -> list[tf.Tensor | None]:
    attributes = attributes_of(op, "solver", "tolerance", "dyadic_order", "gradient", "static_kernel", "pairing")
    dX, dY, d_variance = _library.ops().sigkernel_tf_signature_kernel_grad(
        *op.inputs, op.outputs[1], upstream, **attributes, extended_range=extended_range
    )
    symmetric = attributes["pairing"] in _SYMMETRIC
    return [dX, None if symmetric else dY, d_variance]  # in a symmetric pairing dX counts both arguments
