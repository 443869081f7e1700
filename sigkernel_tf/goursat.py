"""
The Goursat problem of the signature kernel, and the two solvers for it.

The signature kernel is k(x, y) = U(1, 1), where U_st = p U on a grid of cells, p constant on each, and U = 1 on both
axes (eq. 14 of Lemercier et al. 2021; Cass et al. 2020).
"""

import dataclasses
import math
import numbers
from typing import Any, Literal

import tensorflow as tf

from . import _checks, _library
from ._arguments import as_bool, as_int
from ._gradients import attributes_of, differentiable_once, on_device_of


@dataclasses.dataclass(frozen=True)
class PowerSeries:
    r"""
    The solver by power series, which is exact up to rounding by default.

    In each cell U is a power series, and on the edges between cells it is approximated by polynomials. Their degree K
    is chosen for each block of pairs (as many as a SIMD register has lanes) by the sizes of the increments. It is
    raised, or the grid is refined, until the computed coefficients show that the tolerance is met. The grid is refined,
    too, where numbers much larger than U cancel inside cells, as they do where large increments change their signs from
    cell to cell. Each refinement makes four cells of one. A cell costs 2 (K + 1)² multiply-adds; K is 5 to 16 for most
    data.

    How far off k can be: whatever is rounded or dropped on the way changes U at some node (i, j) of the grid. This
    change reaches k multiplied by W_ij, where W solves the problem reversed in time: W_ij is the kernel of what is left
    of the two paths from that node on. With the dtype's epsilon ε (2.2e-16 in float64, 1.2e-7 in float32),

    .. math:: |\mathrm{error}| \approx c \cdot \max(\mathrm{tolerance}, ε) \cdot \max_{ij} |U_{ij} W_{ij}|.

    On 3,000 pairs of random walks, noise, oscillations, spikes and curves that go back on themselves, at the default
    tolerance, the error was below one ε of the largest product at the median, below 10 ε in 99 of 100 pairs, and below
    30 ε in all. Tests hold it below 300 ε for each pair, also for single cells with \|p\| of up to 600 and for noise of
    alternating signs. They were made on the CPU; on a GPU the look inside cells is not taken yet.

    For most pairs the largest product is not much above \|k\|, and k is right to nearly all its digits. Where paths go
    back on themselves it can be astronomically larger: for x = y = 16 unit steps up and 16 down, k is 1 and the largest
    product 3e25, so that no digit of k is right. No solver that crosses the grid in that precision can do better. Paths
    with smaller steps, or larger lengthscales, bring the product down, and float64 brings ε down.

    >>> x = np.array([[0.0], [1.0]])  # k of one step of 1 with itself is the Bessel function I0(2)
    >>> round(float(sk.signature_kernel(x, x, solver=sk.PowerSeries(tolerance=1e-6))), 4)
    2.2796

    :param tolerance: what may be lost by dropping terms, in units of the largest product above, between 0 and 1. None
        stands for four times ε, 8.9e-16 in float64 and 4.8e-7 in float32.
    """

    tolerance: float | None = None

    def __post_init__(self) -> None:
        if self.tolerance is not None and not isinstance(self.tolerance, numbers.Real):
            raise TypeError(f"tolerance must be a number or None, got {self.tolerance!r}: for instance 1e-10.")
        if self.tolerance is not None and not 0.0 < self.tolerance < 1.0:
            raise ValueError(
                f"tolerance must be between 0 and 1, got {self.tolerance}: leave it out for the dtype's precision."
            )
        if self.tolerance is not None:  # NumPy's numbers become Python's
            object.__setattr__(self, "tolerance", float(self.tolerance))


@dataclasses.dataclass(frozen=True)
class FiniteDifference:
    r"""
    The solver by finite differences: the explicit scheme of the paper (appendix C.2), of second order.

    With p divided by 4^dyadic_order it is u11 = (u10 + u01)(1 + p/2 + p²/12) − u00 (1 − p²/12). It is fast and coarse:
    on standardised paths of 8 points and 3 channels its relative error in k(x, x) is 30% or more at dyadic order 0 and
    about 1% at 4, and its Gram matrices need not be positive semi-definite. :class:`PowerSeries` has neither fault.

    >>> x = np.array([[0.0], [1.0]])  # k is 2.2796
    >>> [round(float(sk.signature_kernel(x, x, solver=sk.FiniteDifference(n))), 4) for n in (0, 1, 4)]
    [2.25, 2.2804, 2.2797]

    :param dyadic_order: how often every increment is halved, 0 to 15; each time makes the cost four times as large.
    :param gradient: "adjoint" differentiates the computed k exactly. "theorem_4_1" is the method of the paper, which
        solves the problem reversed in time and converges to the same gradient as the cells shrink.
    """

    dyadic_order: int = 0
    gradient: Literal["adjoint", "theorem_4_1"] = "adjoint"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dyadic_order", as_int(self.dyadic_order, "dyadic_order", 0))
        if self.dyadic_order > 15:
            raise ValueError(
                f"dyadic_order must be at most 15, got {self.dyadic_order}: each one costs four times the last; "
                "PowerSeries() is exact without any."
            )
        if self.gradient not in ("adjoint", "theorem_4_1"):
            raise ValueError(f'gradient must be "adjoint" or "theorem_4_1", got {self.gradient!r}.')


Solver = PowerSeries | FiniteDifference

# An estimate of the error, in units of the precision asked for. At the dtype's precision the errors themselves are near
# a quarter of a unit at the median, and nearly all are below the estimate.
_ERROR_IN_PRECISIONS = 16.0


def machine_epsilon(dtype: tf.DType) -> float:
    """The distance from 1 to the next number of ``dtype``, float32 or float64."""
    return 2.0**-23 if dtype == tf.float32 else 2.0**-52


def tolerance_of(solver: PowerSeries, dtype: tf.DType) -> float:
    """The solver's tolerance; where it has none, what the class says for ``dtype``."""
    return 4 * machine_epsilon(dtype) if solver.tolerance is None else solver.tolerance


def solver_attributes(solver: Solver, dtype: tf.DType) -> dict[str, Any]:
    """
    The attributes of the compiled operations that choose ``solver``.

    :raises TypeError: for anything but an instance of the two solvers.
    """
    if isinstance(solver, PowerSeries):
        tolerance = tolerance_of(solver, dtype)
        return {"solver": "power_series", "tolerance": tolerance, "dyadic_order": 0, "gradient": "adjoint"}
    if isinstance(solver, FiniteDifference):
        return {
            "solver": "finite_difference",
            "tolerance": 0.0,
            "dyadic_order": solver.dyadic_order,
            "gradient": solver.gradient,
        }
    raise TypeError(
        f"solver must be a PowerSeries or a FiniteDifference, got {solver!r}: for instance solver=PowerSeries()."
    )


Cells = tuple[Any, Any]  # rows and columns: numbers where they are known, and otherwise tensors


@dataclasses.dataclass(frozen=True)
class ErrorWeights:
    """
    How much errors on the way weigh in kernels k, as the compiled operations measure it; tensors of k's shape.

    :param largest: the largest \\|U W\\| over the nodes.
    :param of_increments: the sum over the cells of \\|U W\\| times the rounding of p, in a unit that the caller knows.
    :param reversed_k: k from the reversed sweep.
    """

    largest: tf.Tensor
    of_increments: tf.Tensor
    reversed_k: tf.Tensor

    def error(self, k: tf.Tensor, solver: Solver, cells: Cells, formed: tf.Tensor | None = None) -> tf.Tensor:
        r"""
        An estimate of \|error\| for each k.

        :param cells: the rows and columns of the grids.
        :param formed: what the rounding of p amounts to in k; None where p is exact.
        """
        epsilon = machine_epsilon(k.dtype)
        steps = _as_number(cells[0] + cells[1], k.dtype)
        if isinstance(solver, PowerSeries):
            precision = max(tolerance_of(solver, k.dtype), 4 * epsilon)
            # Both sweeps solve one problem, so their difference is an error that was made.
            seen = 2.0 * tf.abs(k - self.reversed_k)
        else:
            precision, steps = 4 * epsilon, steps * 2.0**solver.dyadic_order
            seen = tf.zeros_like(k)  # reversed, the scheme has another discretisation error
        # Along straight lines each step is rounded the same way.
        error = (_ERROR_IN_PRECISIONS * precision + epsilon / 64 * steps) * self.largest + seen
        if formed is not None:
            error += formed
        is_known = tf.math.is_finite(self.reversed_k) & tf.math.is_finite(error)
        return tf.stop_gradient(tf.where(is_known, error, tf.constant(math.inf, error.dtype)))


def size_of(tensor: tf.Tensor, axis: int) -> Any:
    """A number where the size is known, and otherwise a tensor."""
    known = None if tensor.shape.rank is None else tensor.shape[axis]
    return tf.shape(tensor)[axis] if known is None else known


def share_of_the_worst(cells: Cells, dtype: tf.DType) -> float | tf.Tensor:
    """What errors of a grid's rows come to that are independent, with a margin, for errors that would add up to 1."""
    if isinstance(cells[0], int) and isinstance(cells[1], int):
        return min(1.0, 4.0 / math.sqrt(max(1, min(cells))))
    lines = tf.cast(tf.minimum(*cells), dtype)
    return tf.minimum(tf.ones([], dtype), 4.0 * tf.math.rsqrt(tf.maximum(lines, 1.0)))


def _as_number(value: Any, dtype: tf.DType) -> float | tf.Tensor:
    return tf.cast(value, dtype) if tf.is_tensor(value) else float(value)


def solve_goursat(increments: Any, *, solver: Solver = PowerSeries(), return_error: bool = False) -> Any:
    r"""
    The signature kernel for given increments, which may come from any static kernel.

    For a static kernel κ the increments are the double differences
    p_ij = κ(x_{i+1}, y_{j+1}) − κ(x_{i+1}, y_j) − κ(x_i, y_{j+1}) + κ(x_i, y_j), which
    :func:`sigkernel_tf.static_kernels.increments` computes. For the linear and the RBF kernel
    :func:`sigkernel_tf.signature_kernel` needs no such array. A solver that refines the grid divides the increments
    itself. The result is differentiable once, with respect to ``increments``. Its error is about max(tolerance, ε)
    times the largest \|U W\| over the nodes of the grid: :class:`PowerSeries` explains this.

    >>> x, y = np.random.default_rng(0).normal(size=(2, 5, 3))
    >>> p = sk.static_kernels.increments(sk.static_kernels.linear, x, y)
    >>> bool(np.isclose(sk.solve_goursat(p), sk.signature_kernel(x, y)))
    True

    :param increments: [..., L1 - 1, L2 - 1], float32 or float64. A path of one point has no rows or no columns, and
        k = 1.
    :param solver: :class:`PowerSeries` or :class:`FiniteDifference`.
    :param return_error: whether to return an estimate of \|error\| as well, as in
        :func:`sigkernel_tf.signature_kernel`. The increments count as exact.
    :return: k, [...]; with ``return_error`` k and the estimate, [...] each.
    :raises ValueError: where the rank is below 2.
    :raises tf.errors.InvalidArgumentError: for NaN or infinite increments, and where the kernel overflows the dtype.
    """
    return_error = as_bool(return_error, "return_error")
    p = _checks.as_float_tensor(increments, "increments")
    if p.shape.rank is not None and p.shape.rank < 2:
        raise ValueError(
            f"increments must have rank 2 or more, (..., L1 - 1, L2 - 1), got shape {p.shape}: "
            "a single row of increments takes increments[None]."
        )
    if return_error:
        return solve_with_error(p, solver)
    k, _ = _library.ops().sigkernel_tf_solve_goursat(_as_list_of_grids(p), **solver_attributes(solver, p.dtype))
    return _shaped_like(p, k)


def solve_with_error(p: tf.Tensor, solver: Solver, rounding: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """
    k [...] for increments p [..., rows, columns], and an estimate of its error.

    :param rounding: what each of a grid's increments is off by, [...]; None: nothing.
    """
    k, _, *measured = _library.ops().sigkernel_tf_solve_goursat_weights(
        _as_list_of_grids(p), **solver_attributes(solver, p.dtype)
    )
    k, *measured = [_shaped_like(p, of_each_grid) for of_each_grid in (k, *measured)]
    weights = ErrorWeights(*measured)
    cells = (size_of(p, -2), size_of(p, -1))
    formed = None if rounding is None else rounding * of_independent_cells(weights, cells)
    return k, weights.error(k, solver, cells, formed)


def of_independent_cells(weights: ErrorWeights, cells: Cells) -> tf.Tensor:
    """What increments that are each off by 1, one way or the other, come to in k."""
    # The sum of the squares of |U W| is at most the largest times the sum.
    squares = tf.sqrt(weights.largest) * tf.sqrt(weights.of_increments)
    return share_of_the_worst(cells, squares.dtype) * squares


def _as_list_of_grids(p: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(p)
    # The number of grids is written out, as reshape cannot infer it where a path has one point and the grid is empty.
    return tf.reshape(p, tf.concat([[tf.reduce_prod(shape[:-2])], shape[-2:]], 0))


def _shaped_like(p: tf.Tensor, of_each_grid: tf.Tensor) -> tf.Tensor:
    """One number for each of the grids p [..., rows, columns], [...]."""
    shaped = tf.reshape(of_each_grid, tf.shape(p)[:-2])
    shaped.set_shape(p.shape[:-2])
    return shaped


@tf.RegisterGradient("SigkernelTfSolveGoursat")
@tf.RegisterGradient("SigkernelTfSolveGoursatWeights")
def _solve_goursat_gradient(op: tf.Operation, upstream: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
    attributes = attributes_of(op, "solver", "tolerance", "dyadic_order", "gradient")
    with on_device_of(op):
        return _library.ops().sigkernel_tf_solve_goursat_grad(op.inputs[0], op.outputs[1], upstream, **attributes)


@tf.RegisterGradient("SigkernelTfDirectionalDerivative")
def _no_derivative_of_the_derivative(op: tf.Operation, *_: tf.Tensor) -> None:
    raise LookupError(
        "directional_derivative has no gradient: differentiate signature_kernel, which is differentiable once, or take "
        "differences of the directional derivative."
    )


_refuse_a_second_derivative = differentiable_once(
    "the signature kernel",
    "; tf.autodiff.ForwardAccumulator asks for one as well, in place of which sigkernel_tf.directional_derivative "
    "computes derivatives along a direction",
)
tf.RegisterGradient("SigkernelTfSolveGoursatGrad")(_refuse_a_second_derivative)
tf.RegisterGradient("SigkernelTfSignatureKernelGrad")(_refuse_a_second_derivative)
