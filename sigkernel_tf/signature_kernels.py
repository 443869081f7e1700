"""The signature kernel of piecewise linear paths: of pairs, as a Gram matrix and as its diagonal."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from . import _batches, _checks, _library, static_kernels
from ._arguments import as_bool
from ._extended_range import Extended, exponents_of
from ._gradients import attributes_of, on_device_of
from ._path_lengths import Lengths, Paths, Windows, both_lengths, increments_of_values, lengths_of
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
_OPTIONS = ("solver", "tolerance", "dyadic_order", "gradient", "static_kernel", "pairing", "difference")
_WINDOW_OPTIONS = ("window", "dilation", "stride", "centre", "scale", "time")


def signature_kernel(
    X: Any,
    Y: Any,
    *,
    static_kernel: StaticKernel | None = None,
    difference: bool = True,
    solver: Solver = PowerSeries(),
    return_error: bool = False,
) -> Any:
    r"""
    The signature kernel of pairs of paths, k(x, y) = ⟨S(x), S(y)⟩ (eqs. 10 and 13), the empty word included.

    Units: X and Y share a unit u, and products of increments have the unit u²; dividing both by a lengthscale makes
    them plain numbers. The paths of X may be longer or shorter than those of Y; a path of one point gives 1. The result
    is differentiable once, in X, Y and the parameters of the static kernel.

    A static kernel κ lifts the points of the paths first: k is then the kernel of t ↦ κ(x_t, ·) and s ↦ κ(y_s, ·).
    The linear, the RBF and the Matérn kernels of :mod:`sigkernel_tf.static_kernels`, with parameters fixed by
    ``functools.partial``, are evaluated while the grid is swept. For any other, and for the Matérn kernels where there
    is a GPU, the increments of all pairs are formed first, which takes O(L1 L2) numbers for each pair.

    **Without differencing**, ``difference=False``, k is the kernel of the integrals of the lifted paths over their own
    length, t ↦ ∫₀ᵗ κ(x_s, ·) ds and s ↦ ∫₀ˢ κ(y_r, ·) dr. Each point is held for one cell, so that the Goursat problem
    has L1 × L2 cells, of p_ij = κ(x_i, y_j) / (L1 L2). What the path does counts wherever it happens, and so do the
    points themselves, not only their increments; the variance of κ says how much higher levels of the signature matter.
    A path of one point gives I₀(2 √κ(x, y)) with another. A path ends with its last change: L1 and L2 count the points
    up to there, and what comes after counts for nothing. So padding a path with its last value changes nothing, and a
    constant tail is padding. On a GPU ``difference=False`` is refused for now.

    Of paths of one channel the linear static kernel sees only the end points. With :class:`PowerSeries` k is then a
    Bessel function of p = (x_L1 − x_1)(y_L2 − y_1): I₀(2 √p) where p ≥ 0, and J₀(2 √−p) below. No grid is swept, and
    value and gradient are exact up to rounding at any length.

    Under the power series the error is about max(tolerance, ε) · max \|U_ij W_ij\|, where U_ij is the kernel of the two
    paths up to their points i and j, W_ij that of what is left of them, and ε the dtype's epsilon. For paths that go
    back on themselves in large steps this can exceed k: :class:`PowerSeries` says what to expect and what helps.

    A pair costs O(L1 L2 (D + K²)), where K is the degree of the power series. Whatever the batch, the memory beyond the
    output is a row of the grid for each pair at work, of which a thread has as many as a SIMD register has lanes; under
    a static kernel of distances each thread keeps up to 4 MB of increments, too. The gradient needs the edges of tiles
    of the grid as well: each thread keeps some 50 MB of them and computes the rest again.

    With ``return_error`` a second sweep, of the reversed paths, estimates \|error\| by the rule that
    :class:`PowerSeries` states, and adds what the rounding of the paths' increments and their products can change. At
    the default tolerance 99 estimates of 100 exceed the true error, by a factor of about a hundred at the median. The
    estimate is infinite where it overflows. No gradient flows through it. For :class:`FiniteDifference` it counts the
    rounding only: the error of the scheme itself is far larger and is not in it. Values of a static kernel count as
    computed to an ε of its largest value. The kernel takes two to three times as long with the estimate, or ten times
    for one or two pairs of long paths, and each thread keeps up to 32 MB more. On a GPU the argument is refused for
    now.

    >>> X, Y = np.random.default_rng(0).normal(size=(2, 4, 10, 3)) / 3  # four pairs of paths
    >>> sk.signature_kernel(X, Y).shape
    TensorShape([4])
    >>> rbf = functools.partial(sk.static_kernels.rbf, lengthscale=0.5)
    >>> k, error = sk.signature_kernel(X, Y, static_kernel=rbf, return_error=True)
    >>> bool(np.all(error < 1e-9 * np.abs(k)))
    True
    >>> cosine = lambda a, b: tf.matmul(tf.math.l2_normalize(a, -1), tf.math.l2_normalize(b, -1), transpose_b=True)
    >>> sk.signature_kernel(X, Y, static_kernel=cosine).shape  # a function of your own
    TensorShape([4])
    >>> x = tf.Variable(X)
    >>> with tf.GradientTape() as tape:
    ...     total = tf.reduce_sum(sk.signature_kernel(x, Y))
    >>> tape.gradient(total, x).shape
    TensorShape([4, 10, 3])

    :param X: [..., L1, D], float32 or float64; there may be any number of leading axes, or none for a single pair.
    :param Y: [..., L2, D], of X's dtype and with the same leading axes; nothing is broadcast.
    :param static_kernel: κ, a function of points [..., L1, D] and [..., L2, D] that returns [..., L1, L2]; None is the
        linear one. For instance ``functools.partial(sk.static_kernels.rbf, lengthscale=0.5)``.
    :param difference: whether κ's double differences over the cells enter, as in the kernel of the lifted paths, or
        its values, as in that of their integrals.
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
    return _kernel(X, Y, static_kernel, solver, "pairs", return_error, lengths_of(X, Y, difference))


def signature_kernel_gram(
    X: Any,
    Y: Any = None,
    *,
    static_kernel: StaticKernel | None = None,
    difference: bool = True,
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

    >>> X, Y = np.random.default_rng(0).normal(size=(2, 4, 10, 3)) / 3
    >>> sk.signature_kernel_gram(X).shape, sk.signature_kernel_gram(X, Y[:3, :7]).shape
    (TensorShape([4, 4]), TensorShape([4, 3]))

    :param X: [..., N1, L1, D], float32 or float64.
    :param Y: [..., N2, L2, D], of X's dtype and with the same leading axes; None stands for X.
    :param static_kernel: as in :func:`signature_kernel`; None is the linear one.
    :param difference: as in :func:`signature_kernel`.
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
        return _kernel(X, X, static_kernel, solver, "symmetric_gram", return_error, lengths_of(X, X, difference))
    X, Y = _pair(X, Y, sets=True)
    _batches.check_same_leading(X, Y, 3, "X and Y")
    return _kernel(X, Y, static_kernel, solver, "gram", return_error, lengths_of(X, Y, difference))


def signature_kernel_diag(
    X: Any,
    *,
    static_kernel: StaticKernel | None = None,
    difference: bool = True,
    solver: Solver = PowerSeries(),
    return_error: bool = False,
) -> Any:
    r"""
    The diagonal of :func:`signature_kernel_gram`, k(x, x) of each path, which by symmetry is half the work of a pair.

    Units, precision, errors and gradients are as in :func:`signature_kernel`; the gradient counts both arguments.

    >>> X = np.random.default_rng(0).normal(size=(4, 10, 3)) / 3
    >>> bool(np.allclose(sk.signature_kernel_diag(X), np.diag(sk.signature_kernel_gram(X))))
    True

    :param X: [..., N, L, D], float32 or float64.
    :param static_kernel: as in :func:`signature_kernel`; None is the linear one.
    :param difference: as in :func:`signature_kernel`.
    :param solver: :class:`PowerSeries` or :class:`FiniteDifference`.
    :param return_error: as in :func:`signature_kernel`.
    :return: k, [..., N]; with ``return_error`` k and the estimate, [..., N] each.
    :raises tf.errors.InvalidArgumentError: as in :func:`signature_kernel_gram`, for k(x, x) < 1.
    """
    X = _checks.as_batches(X, "X", sets=True)
    return _kernel(X, X, static_kernel, solver, "diagonal", return_error, lengths_of(X, X, difference))


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
    unit of ``direction``. Paths are differenced, as ``difference=True`` of :func:`signature_kernel` has it.

    >>> X, Y, V = np.random.default_rng(0).normal(size=(3, 4, 10, 3)) / 3
    >>> k, derivative = sk.directional_derivative(X, Y, V)
    >>> difference = (sk.signature_kernel(X + 1e-6 * V, Y) - sk.signature_kernel(X - 1e-6 * V, Y)) / 2e-6
    >>> bool(np.allclose(derivative, difference, rtol=1e-6))
    True

    :param X: [..., L1, D], float32 or float64.
    :param Y: [..., L2, D], of X's dtype and with the same leading axes.
    :param direction: [..., L1, D], the displacements of the points of X, of X's dtype.
    :param static_kernel: the linear one (None), the RBF one or a Matérn one, as in :func:`signature_kernel`.
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
            "directional_derivative takes the linear static kernel (None), static_kernels.rbf, on the CPU a Matern "
            f"one, or a functools.partial of these with only keywords, got {static_kernel!r}: for others contract "
            "signature_kernel's gradient."
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


def gram_of_points(x: Paths, y: Paths | None, static_kernel: StaticKernel | None, solver: Solver) -> tf.Tensor:
    """:func:`signature_kernel_gram` of paths whose lengths the caller knows."""
    return _gram_of_points(x, y, static_kernel, solver)


def diag_of_points(x: Paths, static_kernel: StaticKernel | None, solver: Solver) -> tf.Tensor:
    """:func:`signature_kernel_diag` in the same way."""
    return _diag_of_points(x, static_kernel, solver)


def extended_gram(x: Paths, y: Paths | None, static_kernel: StaticKernel | None, solver: Solver) -> Extended:
    """
    :func:`gram_of_points` for kernels that may be far beyond the largest number; on a GPU these are NaN.

    The static kernel must have a fused form. Below 2^32 the exponent is 0, and the mantissa is k.
    """
    return Extended(*_gram_of_points(x, y, static_kernel, solver, extended=True))


def extended_diag(x: Paths, static_kernel: StaticKernel | None, solver: Solver) -> Extended:
    """:func:`diag_of_points` in the same way."""
    return Extended(*_diag_of_points(x, static_kernel, solver, extended=True))


def _gram_of_points(
    x: Paths, y: Paths | None, static_kernel: StaticKernel | None, solver: Solver, *, extended: bool = False
) -> Any:
    pairing = "symmetric_gram" if y is None else "gram"
    y = x if y is None else y
    lengths = both_lengths(x, y)
    return _kernel(
        x.points, y.points, static_kernel, solver, pairing, False, lengths, windows=x.windows, extended=extended
    )


def _diag_of_points(x: Paths, static_kernel: StaticKernel | None, solver: Solver, *, extended: bool = False) -> Any:
    lengths = both_lengths(x, x)
    return _kernel(
        x.points, x.points, static_kernel, solver, "diagonal", False, lengths, windows=x.windows, extended=extended
    )


def _kernel(
    X: tf.Tensor,
    Y: tf.Tensor,
    static_kernel: StaticKernel | None,
    solver: Solver,
    pairing: str,
    return_error: bool,
    lengths: Lengths,
    *,
    windows: Windows | None = None,
    extended: bool = False,
) -> Any:
    """
    The kernel of paths with leading axes, paired as ``pairing`` says; where Y counts for nothing, it is X again.

    With windows, which only a static kernel with a fused form has, the paths are not cut yet; no error is returned.

    :return: k; with ``return_error`` k and an estimate of its error, in the same shape; with ``extended`` the mantissa
        and the exponent of k, likewise.
    """
    return_error = as_bool(return_error, "return_error")
    difference = lengths is None if windows is None else windows.difference
    attributes = solver_attributes(solver, X.dtype)
    form = static_kernels.fused_form(static_kernel, X if windows is None else windows.factors, difference=difference)
    function: Callable[..., Any]
    if form is None:
        assert static_kernel is not None
        function = functools.partial(_by_increments, static_kernel, solver, pairing, return_error)
    else:
        attributes |= {"static_kernel": form.name, "pairing": pairing, "difference": difference}
        function = functools.partial(_without_error, form, attributes)
        if return_error:
            function = functools.partial(_with_error, form, attributes, solver)
        if extended:
            function = functools.partial(_with_exponent, form, attributes)
        if windows is None:
            X, Y = form.scaled_paths(X, Y, difference=difference)
        else:
            function = functools.partial(_of_windows, form, attributes, windows, extended)
    sides = 1 if pairing in _SYMMETRIC else 2
    paths = (X, Y)[:sides]
    # The lengths go the same way as the paths, as [..., 1, 1].
    counts = () if lengths is None else tuple(each[..., None, None] for each in lengths[:sides])

    def of_paths(*tensors: tf.Tensor) -> Any:
        return function(*(Paths(tensors[n], tensors[sides + n][..., 0, 0] if counts else None) for n in range(sides)))

    if pairing in ("gram", "symmetric_gram"):
        num_results = 2 if return_error or extended else 1
        return _batches.gram_of_each(of_paths, *paths, *counts, num_sides=sides, num_results=num_results)
    return _batches.on_merged(of_paths, *paths, *counts)


def _operands(form: static_kernels.FusedForm, *paths: Paths) -> list[tf.Tensor]:
    """The inputs of the compiled operations for scaled paths [N, L, D]; X stands for Y too where there is no Y."""
    lengths = [tf.zeros([0], tf.int32) if path.lengths is None else path.lengths for path in (paths[0], paths[-1])]
    return [paths[0].points, paths[-1].points, form.variance, *lengths]


def _without_error(form: static_kernels.FusedForm, attributes: dict[str, Any], *paths: Paths) -> tf.Tensor:
    """The kernel of scaled paths [N, L, D] by a compiled operation; of X with itself where there is no Y."""
    k, _ = _library.ops().sigkernel_tf_signature_kernel(*_operands(form, *paths), **attributes)
    return k


def _with_exponent(
    form: static_kernels.FusedForm, attributes: dict[str, Any], *paths: Paths
) -> tuple[tf.Tensor, tf.Tensor]:
    """The same in extended range: mantissas and exponents."""
    operands = _operands(form, *paths)
    k, plan = _library.ops().sigkernel_tf_signature_kernel(*operands, **attributes, extended_range=True)
    return k, exponents_of(plan, k.dtype)


def _of_windows(
    form: static_kernels.FusedForm, attributes: dict[str, Any], windows: Windows, extended: bool, *paths: Paths
) -> Any:
    """The kernel of points that are cut out of paths [N, L, D]; in extended range mantissas and exponents."""
    factors = windows.factors if form.scale is None else windows.factors * form.scale
    k, plan = _library.ops().sigkernel_tf_window_kernel(
        *_operands(form, *paths), factors, **attributes, **windows.attributes, extended_range=extended
    )
    return (k, exponents_of(plan, k.dtype)) if extended else k


def _with_error(
    form: static_kernels.FusedForm, attributes: dict[str, Any], solver: Solver, *paths: Paths
) -> tuple[tf.Tensor, tf.Tensor]:
    """The same, and an estimate of each k's error."""
    k, _, *measured = _library.ops().sigkernel_tf_signature_kernel_weights(
        *_operands(form, *paths), **attributes, is_scaled=form.scale is not None
    )
    x, y = paths[0], paths[-1]
    weights, cells = ErrorWeights(*measured), (x.num_cells(), y.num_cells())
    if x.lengths is None and form.name == "linear":  # the operation knows how large the increments are
        unit = machine_epsilon(k.dtype) * share_of_the_worst(cells, k.dtype)
        return k, weights.error(k, solver, cells, unit * weights.of_increments)
    if attributes["pairing"] in ("gram", "symmetric_gram"):
        x, y = x.along(1), y.along(0)
    formed = _off_by_compiled(form, x, y) * of_independent_cells(weights, cells)
    return k, weights.error(k, solver, cells, formed)


def _by_increments(kappa: StaticKernel, solver: Solver, pairing: str, return_error: bool, *paths: Paths) -> Any:
    """The kernel of paths [N, L, D] under a static kernel that the compiled operations do not know."""
    x, y = paths[0], paths[-1]
    if pairing != "symmetric_gram":
        if pairing == "gram":
            x, y = x.along(1), y.along(0)
        return _of_values(kappa, x, y, solver, return_error)
    # Solved twice, as (i, j) and (j, i), a pair would get two results that differ by rounding.
    pairs, numbers = _batches.upper_pairs(size_of(x.points, 0))
    results = _of_values(kappa, x.at(pairs[:, 0]), x.at(pairs[:, 1]), solver, return_error)
    return tf.nest.map_structure(lambda of_pairs: _batches.rows_at(of_pairs, numbers), results)


def _of_values(kappa: StaticKernel, x: Paths, y: Paths, solver: Solver, return_error: bool) -> Any:
    """The kernel of paths under a static kernel whose values at all their points are formed first."""
    K = static_kernels.values(kappa, x.points, y.points)
    p = increments_of_values(K, x, y)
    if not return_error:
        return solve_goursat(p, solver=solver)
    return solve_with_error(p, solver, _off_by(tf.reduce_max(tf.abs(K), axis=[-2, -1]), x, y))


def _off_by(largest: tf.Tensor, x: Paths, y: Paths) -> tf.Tensor:
    """What an increment p is off by, made of values up to ``largest`` [...] that were each computed to an epsilon."""
    rounding = 4.0 * machine_epsilon(largest.dtype) * largest  # a double difference has four of them
    if x.lengths is None or y.lengths is None:
        return rounding
    return rounding / tf.cast(x.lengths, rounding.dtype) / tf.cast(y.lengths, rounding.dtype)


def _slope_of(form: static_kernels.FusedForm) -> float:
    """A bound of how fast a static kernel of distances falls, for unit variance and lengthscale."""
    return 1.0 if form.name == "matern12" else 0.64


def _off_by_compiled(form: static_kernels.FusedForm, x: Paths, y: Paths) -> tf.Tensor:
    """The same for points that were scaled, where the compiled operations form the increments."""
    norms = [tf.reduce_max(tf.norm(each.points, axis=-1)) for each in (x, y)]
    if form.name == "linear":
        return _off_by(norms[0] * norms[1] * tf.sqrt(tf.cast(tf.shape(x.points)[-1], norms[0].dtype)), x, y)
    largest = tf.abs(form.variance)
    if form.scale is not None:  # each point was rounded when it was scaled
        largest *= 1.0 + _slope_of(form) * tf.maximum(*norms)
    return _off_by(largest, x, y)


@tf.RegisterGradient("SigkernelTfSignatureKernel")
def _signature_kernel_gradient(op: tf.Operation, upstream: tf.Tensor, *_: tf.Tensor) -> list[tf.Tensor | None]:
    return _gradient_by_plan(op, upstream, extended_range=op.get_attr("extended_range"))


@tf.RegisterGradient("SigkernelTfSignatureKernelWeights")
def _weighing_gradient(op: tf.Operation, upstream: tf.Tensor, *_: tf.Tensor) -> list[tf.Tensor | None]:
    return _gradient_by_plan(op, upstream, extended_range=False)


@tf.RegisterGradient("SigkernelTfWindowKernel")
def _window_gradient(op: tf.Operation, upstream: tf.Tensor, *_: tf.Tensor) -> list[tf.Tensor | None]:
    attributes = attributes_of(op, *_OPTIONS, "extended_range", *_WINDOW_OPTIONS)
    with on_device_of(op):
        dX, dY, d_variance, d_factors = _library.ops().sigkernel_tf_window_kernel_grad(
            *op.inputs[:5], op.outputs[1], upstream, op.inputs[5], **attributes
        )
    return [dX, None if attributes["pairing"] in _SYMMETRIC else dY, d_variance, None, None, d_factors]


def _gradient_by_plan(op: tf.Operation, upstream: tf.Tensor, *, extended_range: bool) -> list[tf.Tensor | None]:
    attributes = attributes_of(op, *_OPTIONS)
    with on_device_of(op):
        dX, dY, d_variance = _library.ops().sigkernel_tf_signature_kernel_grad(
            *op.inputs, op.outputs[1], upstream, **attributes, extended_range=extended_range
        )
    symmetric = attributes["pairing"] in _SYMMETRIC
    return [dX, None if symmetric else dY, d_variance, None, None]  # in a symmetric pairing dX counts both arguments
