"""The solvers, on increments: against quadruple precision, mpmath, closed forms, and each other."""

import mpmath
import numpy as np
import oracles
import pytest
import scipy.special
import tensorflow as tf
from quadruple import MULTIPLE, Oracle

import sigkernel_tf as sk

SOLVERS = [sk.PowerSeries(), sk.FiniteDifference(), sk.FiniteDifference(2, gradient="theorem_4_1")]


def bessel(total: float) -> float:
    """k of two straight lines, where total is the product of their displacements: I0(2 sqrt(total)), or J0 below 0."""
    return float(
        mpmath.besseli(0, 2 * mpmath.sqrt(total)) if total >= 0 else mpmath.besselj(0, 2 * mpmath.sqrt(-total))
    )


def solve(p: np.ndarray, solver: sk.Solver, dtype: type = np.float64) -> np.ndarray:
    return sk.solve_goursat(p.astype(dtype), solver=solver).numpy()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 3), (6, 5), (8, 8)])
def test_power_series_matches_quadruple_precision_on_large_increments(
    shape: tuple[int, int], dtype: type, quadruple: Oracle, rng: np.random.Generator
) -> None:
    for _ in range(2):
        p = rng.uniform(-5, 5, size=shape).astype(dtype)
        k, largest = quadruple.one(p)
        assert abs(solve(p, sk.PowerSeries(), dtype) - k) <= MULTIPLE * np.finfo(dtype).eps * largest


@pytest.mark.parametrize("total", [-400.0, -30.0, -5.0, -0.5, 0.0, 0.5, 5.0, 30.0, 400.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_cell_is_a_bessel_function(total: float, dtype: type) -> None:
    k = solve(np.array([[total]]), sk.PowerSeries(), dtype)
    expected = bessel(total)
    assert abs(k - expected) <= (1e-13 if dtype == np.float64 else 2e-5) * max(1, abs(expected))


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-14])
@pytest.mark.parametrize("length", [2, 10, 100, 1000])
def test_straight_lines_meet_every_tolerance(tolerance: float, length: int) -> None:
    rounding = 2 * length * np.finfo(np.float64).eps  # a corner is a sum over the rows below it
    for total in (-400.0, -50.0, -5.0, -0.5, 0.5, 5.0, 50.0, 400.0):
        p = np.full((length - 1, length - 1), total / (length - 1) ** 2)
        expected = bessel(total)
        error = abs(solve(p, sk.PowerSeries(tolerance)) - expected) / max(1, abs(expected))
        assert error <= tolerance + rounding, total


def test_opposing_lines_do_not_lose_digits_to_two_copies_of_a_corner() -> None:
    p = np.full((80, 80), -400 / 80**2)
    assert abs(solve(p, sk.PowerSeries()) - bessel(-400)) < 1e-12


def test_long_smooth_paths_need_a_degree_chosen_by_their_reach(quadruple: Oracle) -> None:
    """Small increments whose rows add up to 1: a degree chosen by the largest of them would lose five digits."""
    t = np.linspace(0, 1, 100)
    X = np.stack([np.cos(7 * t), np.sin(7 * t)], -1) * 0.2
    p = oracles.increment_products(X, X[::-1] + 0.1 * t[:, None])
    p *= 1 / np.abs(p).sum(1).max()
    k, largest = quadruple.one(p[:25, :25])
    assert abs(solve(p[:25, :25], sk.PowerSeries()) - k) < 1e-14 * largest
    total = solve(p, sk.PowerSeries())
    assert abs(total - solve(p, sk.PowerSeries(1e-8))) < 1e-8 * abs(total)
    assert abs(total - solve(p, sk.FiniteDifference(5))) < 1e-4 * abs(total)


def test_finite_difference_is_the_papers_scheme(rng: np.random.Generator) -> None:
    p = rng.normal(size=(6, 4))
    u = np.ones((7, 5))
    for i in range(6):
        for j in range(4):
            q = p[i, j]
            u[i + 1, j + 1] = (u[i + 1, j] + u[i, j + 1]) * (1 + q / 2 + q**2 / 12) - u[i, j] * (1 - q**2 / 12)
    np.testing.assert_allclose(solve(p, sk.FiniteDifference()), u[-1, -1], rtol=1e-13)


def test_finite_difference_converges_at_second_order(rng: np.random.Generator) -> None:
    p = rng.uniform(-2, 2, size=(5, 6))
    exact = oracles.goursat(p)
    errors = [abs(solve(p, sk.FiniteDifference(order)) - exact) for order in range(4, 10)]
    rates = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(np.abs(rates - 2) < 0.3), rates
    assert abs(rates[-1] - 2) < 0.03, rates


@pytest.mark.parametrize(
    "solver", [sk.PowerSeries(), sk.PowerSeries(1e-6), sk.FiniteDifference(), sk.FiniteDifference(2)], ids=repr
)
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 5), (9, 7)])
def test_adjoint_matches_central_differences(
    solver: sk.Solver, shape: tuple[int, int], rng: np.random.Generator
) -> None:
    p = rng.uniform(-2, 2, size=shape)
    with tf.GradientTape() as tape:
        variable = tf.constant(p)
        tape.watch(variable)
        k = sk.solve_goursat(variable, solver=solver)
    gradient = tape.gradient(k, variable).numpy()
    expected = oracles.central_differences(lambda q: solve(q, solver), p, step=1e-3)
    bound = 1e-7 if solver != sk.PowerSeries(1e-6) else 1e-5  # the error that the lower degree allows
    assert np.max(np.abs(gradient - expected)) <= bound * max(1, np.max(np.abs(expected)))


def gradient_of(p: np.ndarray, solver: sk.Solver) -> np.ndarray:
    with tf.GradientTape() as tape:
        variable = tf.constant(p)
        tape.watch(variable)
        k = sk.solve_goursat(variable, solver=solver)
    return tape.gradient(k, variable).numpy()


def test_theorem_4_1_converges_to_the_exact_gradient_at_second_order(rng: np.random.Generator) -> None:
    p = rng.uniform(-1.5, 1.5, size=(4, 5))
    exact = gradient_of(p, sk.PowerSeries())
    errors = [
        np.max(np.abs(gradient_of(p, sk.FiniteDifference(order, gradient="theorem_4_1")) - exact))
        for order in range(2, 7)
    ]
    rates = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(np.abs(rates[1:] - 2) < 0.15), rates


def cell_coefficients(p: np.ndarray, degree: int) -> np.ndarray:
    """c_kl of every cell, [rows, columns, degree + 1, degree + 1], by the recursion (k+1)(l+1) c_{k+1,l+1} = p c_kl."""
    rows, columns = p.shape
    c = np.zeros((rows, columns, degree + 1, degree + 1))
    for i in range(rows):
        for j in range(columns):
            cell = c[i, j]
            # k counts powers along the row, l across it
            cell[:, 0] = c[i - 1, j].sum(1) if i else np.eye(degree + 1)[0]
            cell[0, :] = c[i, j - 1].sum(0) if j else np.eye(degree + 1)[0]
            for k in range(degree):
                for l in range(degree):
                    cell[k + 1, l + 1] = p[i, j] * cell[k, l] / ((k + 1) * (l + 1))
    return c


def test_power_series_adjoint_equals_theorem_4_1s_integral(rng: np.random.Generator) -> None:
    """dk/dp is the integral over the cell of U(s, t) V(1-s, 1-t), where V is the solution reversed in time."""
    degree = 22
    p = rng.uniform(-2, 2, size=(4, 3))
    forward = cell_coefficients(p, degree)
    reversed_in_time = cell_coefficients(p[::-1, ::-1], degree)[::-1, ::-1]
    nodes, weights = np.polynomial.legendre.leggauss(30)
    nodes, weights = (nodes + 1) / 2, weights / 2
    powers = nodes[:, None] ** np.arange(degree + 1)
    mirrored = (1 - nodes)[:, None] ** np.arange(degree + 1)
    U = np.einsum("ijkl,sk,tl->ijst", forward, powers, powers)
    V = np.einsum("ijkl,sk,tl->ijst", reversed_in_time, mirrored, mirrored)
    integral = np.einsum("ijst,ijst,s,t->ij", U, V, weights, weights)
    np.testing.assert_allclose(gradient_of(p, sk.PowerSeries()), integral, rtol=0, atol=1e-9 * np.max(np.abs(integral)))


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_shapes(solver: sk.Solver, rng: np.random.Generator) -> None:
    p = rng.normal(size=(2, 3, 4, 5)) / 4
    k = sk.solve_goursat(p, solver=solver)
    assert k.shape == (2, 3)
    np.testing.assert_allclose(k[1, 2], sk.solve_goursat(p[1, 2], solver=solver), rtol=1e-14)
    assert sk.solve_goursat(np.zeros((0, 4, 5)), solver=solver).shape == (0,)
    for empty in ((3, 0, 5), (3, 5, 0), (3, 0, 0)):
        np.testing.assert_array_equal(sk.solve_goursat(np.zeros(empty), solver=solver), np.ones(3))


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_unknown_shapes_and_gradient_in_a_function(solver: sk.Solver, rng: np.random.Generator) -> None:
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float64)])
    def k_and_gradient(p: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(p)
            k = sk.solve_goursat(p, solver=solver)
        return k, tape.gradient(k, p)

    for shape in ((4, 5), (2, 3, 1), (0, 2, 2), (2, 0, 2)):
        p = rng.normal(size=shape) / 4
        k, gradient = k_and_gradient(p)
        np.testing.assert_array_equal(k, sk.solve_goursat(p, solver=solver))
        assert gradient.shape == shape


def test_static_kernels_increments_give_its_signature_kernel(rng: np.random.Generator) -> None:
    """The linear kernel's double differences, formed by hand, against the operation that forms them itself."""
    X, Y = rng.normal(size=(3, 6, 2)) / 2, rng.normal(size=(3, 4, 2)) / 2
    G = np.einsum("bid,bjd->bij", X, Y)
    p = np.diff(np.diff(G, axis=1), axis=2)
    np.testing.assert_allclose(sk.solve_goursat(p), sk.signature_kernel(X, Y), rtol=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(bad: float) -> None:
    p = np.zeros((2, 3, 4))
    p[1, 2, 3] = bad
    with pytest.raises(tf.errors.InvalidArgumentError, match="increments must be finite; problem 1 .* row 2, column 3"):
        sk.solve_goursat(p)


@pytest.mark.parametrize("solver", [sk.PowerSeries(), sk.FiniteDifference()], ids=repr)
def test_overflow_is_named(solver: sk.Solver) -> None:
    p = np.full((2, 40, 40), 0.1)
    p[1] = 1e3
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"increments\[1\], which reach 1000.*Rescale"):
        sk.solve_goursat(p, solver=solver)


def test_increments_beyond_the_power_series_are_refused_and_not_answered_wrongly() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"increments\[0\].*does not reach its tolerance"):
        sk.solve_goursat(np.full((1, 1, 1), -1e6))


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="rank 2 or more"):
        sk.solve_goursat(np.zeros(3))
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        sk.solve_goursat(np.zeros((3, 3), np.int64))
    with pytest.raises(TypeError, match=r"solver must be .*PowerSeries\(\)"):
        sk.solve_goursat(np.zeros((3, 3)), solver="power_series")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tolerance must be between 0 and 1"):
        sk.PowerSeries(0.0)
    for order, expected in ((-1, "at least 0, got -1"), (16, "at most 15, got 16")):
        with pytest.raises(ValueError, match=f"dyadic_order must be {expected}"):
            sk.FiniteDifference(order)
    with pytest.raises(TypeError, match="dyadic_order must be an int"):
        sk.FiniteDifference(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="adjoint"):
        sk.FiniteDifference(gradient="exact")  # type: ignore[arg-type]


def test_a_second_derivative_says_that_there_is_none() -> None:
    p = tf.constant([[0.1, 0.2]], tf.float64)
    with tf.GradientTape() as outer, tf.GradientTape() as inner:
        outer.watch(p)
        inner.watch(p)
        k = sk.solve_goursat(p)
        gradient = inner.gradient(k, p)
        with pytest.raises(LookupError, match="differentiable once"):
            outer.gradient(gradient, p)


def test_bessel_oracle_agrees_with_scipy() -> None:
    assert bessel(5.0) == pytest.approx(scipy.special.i0(2 * np.sqrt(5.0)), rel=1e-14)
    assert bessel(-5.0) == pytest.approx(scipy.special.j0(2 * np.sqrt(5.0)), rel=1e-13)
