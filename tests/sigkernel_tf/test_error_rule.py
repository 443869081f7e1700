"""What PowerSeries promises of its error, on pairs that are hard to get right, against quadruple precision."""

import functools

import goursat_problems
import mpmath
import numpy as np
import oracles
import point_kernels
import pytest
import tensorflow as tf
from quadruple import MULTIPLE, Oracle

import sigkernel_tf as sk
from sigkernel_tf import _library
from sigkernel_tf.goursat import solver_attributes

DTYPES = [np.float64, np.float32]


def increments(count: int, *, longest: int) -> list[np.ndarray]:
    """The products of increments of pairs of paths, rounded so that both dtypes solve the same problems."""
    pairs = goursat_problems.pairs_of_paths(count, longest=longest)
    return [oracles.increment_products(*pair).astype(np.float32) for pair in pairs]


def errors_in_epsilons(problems: list[np.ndarray], truth: np.ndarray, dtype: type) -> np.ndarray:
    """|error| over eps · max|U W|, or NaN where the solver refuses a problem rather than answer it wrongly."""
    errors = np.full(len(problems), np.nan)
    for n, (p, (k, largest)) in enumerate(zip(problems, truth, strict=True)):
        try:
            computed = float(sk.solve_goursat(p.astype(dtype)))
        except tf.errors.InvalidArgumentError:
            continue
        errors[n] = abs(computed - k) / (np.finfo(dtype).eps * largest)
    return errors


def assert_the_rule_holds(problems: list[np.ndarray], truth: np.ndarray, dtype: type) -> None:
    errors = errors_in_epsilons(problems, truth, dtype)
    solved = errors[np.isfinite(errors)]
    assert len(solved) >= 0.97 * len(problems)
    assert np.max(solved) <= MULTIPLE, f"problem {np.nanargmax(errors)}: {np.max(solved):.3g} epsilons"
    assert np.median(solved) <= 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_error_is_a_few_roundings_of_the_largest_product(dtype: type, quadruple: Oracle) -> None:
    problems = increments(100, longest=9)
    assert_the_rule_holds(problems, quadruple(problems), dtype)


@pytest.mark.slow
def test_the_rule_holds_for_thousands_of_pairs(quadruple: Oracle) -> None:
    problems = increments(3000, longest=20)
    truth = quadruple(problems)
    for dtype in DTYPES:
        assert_the_rule_holds(problems, truth, dtype)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-4, 1e-8, 1e-12])
def test_a_tolerance_takes_the_place_of_epsilon(tolerance: float, quadruple: Oracle) -> None:
    problems = increments(40, longest=10)
    for p, (k, largest) in zip(problems, quadruple(problems), strict=True):
        error = abs(float(sk.solve_goursat(p.astype(np.float64), solver=sk.PowerSeries(tolerance))) - k)
        assert error <= (tolerance + MULTIPLE * np.finfo(np.float64).eps) * largest


@pytest.mark.parametrize("tolerance", [1e-1, 1e-2, 1e-3, 1e-5, 1e-9])
@pytest.mark.parametrize("variance", [1.0, 12.0, 150.0, 1500.0])
def test_a_tolerance_holds_where_no_increment_is_negative(variance: float, tolerance: float, quadruple: Oracle) -> None:
    """Without differencing, p are values of a static kernel, and the degree is chosen by a bound without a margin."""
    pairs = [(x.astype(float), y.astype(float)) for x, y in goursat_problems.pairs_of_paths(20, longest=30)]
    problems = [point_kernels.increments("rbf", *pair, difference=False, variance=variance) for pair in pairs]
    kappa = functools.partial(sk.static_kernels.rbf, variance=variance)
    for (x, y), (k, largest) in zip(pairs, quadruple(problems), strict=True):
        computed = sk.signature_kernel(
            x[None], y[None], static_kernel=kappa, difference=False, solver=sk.PowerSeries(tolerance)
        )
        assert abs(float(computed[0]) - k) <= (tolerance + MULTIPLE * np.finfo(np.float64).eps) * largest


def test_the_degree_where_no_increment_is_negative() -> None:
    """
    The smallest whose bound meets the tolerance.

    Points so near to one another that every κ is the variance, v = 12, have p = v / L². All 2 L rows and columns of the
    grid sum to r = v / L, and 2 L r^4 / 4!² is 7e-4 while 2 L r^3 / 3!² is 0.05.
    """
    X = tf.constant(1e-9 * np.arange(2 * 46 * 2).reshape(2, 46, 2))
    _, plan = _library.ops().sigkernel_tf_signature_kernel(
        X, X, 12.0 * tf.ones([], X.dtype), [46, 46], [46, 46], static_kernel="rbf", pairing="gram", difference=False,
        **solver_attributes(sk.PowerSeries(1e-3), X.dtype),
    )  # fmt: skip
    np.testing.assert_array_equal(plan, 3)


# Spikes that both paths have, with products of up to 58, and oscillations with steps as large as they are, of which the
# products in a row change their signs.
WORST_OF_THE_PAIRS = [374, 864, 972, 1614, 1939]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_rule_holds_where_terms_cancel_inside_cells(dtype: type, quadruple: Oracle) -> None:
    problems = increments(max(WORST_OF_THE_PAIRS) + 1, longest=20)
    problems = [problems[n] for n in WORST_OF_THE_PAIRS]
    assert np.max(errors_in_epsilons(problems, quadruple(problems), dtype)) <= MULTIPLE


@pytest.mark.parametrize("size", [8.0, 20.0, 60.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_rule_holds_on_a_chequered_grid(dtype: type, size: float, quadruple: Oracle) -> None:
    """Zigzags: p is as large in every cell, and its sign changes from each to the next."""
    problems = [size * np.outer((-1.0) ** np.arange(rows), (-1.0) ** np.arange(4)) for rows in (3, 4, 5)]
    assert np.max(errors_in_epsilons(problems, quadruple(problems), dtype)) <= MULTIPLE


def noise_in_one_channel(count: int, length: int) -> list[np.ndarray]:
    """Products of the steps between N(0, 1) points."""
    steps = np.diff(np.random.default_rng(0).normal(size=(count, 2, length)))
    return [np.outer(x, y).astype(np.float32) for x, y in steps]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_rule_holds_for_noise_in_one_channel(dtype: type, quadruple: Oracle) -> None:
    """Of 4,000 problems those that lose the most, 3,500 epsilons without a refinement."""
    problems = noise_in_one_channel(4000, 16)
    problems = [problems[n] for n in (1936, 2277, 2645, 3240, 3664, 3861, 3883)]
    assert np.max(errors_in_epsilons(problems, quadruple(problems), dtype)) <= MULTIPLE


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_rule_holds_for_long_noise_in_one_channel(dtype: type, quadruple: Oracle) -> None:
    problems = noise_in_one_channel(20, 46)
    assert np.max(errors_in_epsilons(problems, quadruple(problems), dtype)) <= MULTIPLE


@pytest.mark.parametrize("squared", [200.0, 400.0, 600.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_large_cell_there_and_back_costs_what_the_rule_says(dtype: type, squared: float, quadruple: Oracle) -> None:
    """x = (0, v, 0) and y = (0, -v): k = 1, and max|U| = 1 says nothing of an error of 1e-5, or of 1e10."""
    p = np.array([[-squared], [squared]])
    _, largest = quadruple.one(p)
    assert largest == pytest.approx(float(mpmath.besseli(0, 2 * mpmath.sqrt(squared))), rel=1e-12)
    assert errors_in_epsilons([p], np.array([[1.0, largest]]), dtype)[0] <= MULTIPLE


def test_the_oracle_agrees_with_mpmath(quadruple: Oracle, rng: np.random.Generator) -> None:
    p = rng.uniform(-4, 4, size=(4, 5))
    k, _ = quadruple.one(p)
    expected = oracles.goursat(p)
    assert k == pytest.approx(expected, rel=1e-15, abs=1e-15)


@pytest.mark.parametrize("total", [-400.0, -5.0, 5.0, 400.0])
def test_the_oracle_agrees_with_a_bessel_function(total: float, quadruple: Oracle) -> None:
    """Straight lines, in one cell and in 12."""
    expected = float(
        mpmath.besseli(0, 2 * mpmath.sqrt(total)) if total > 0 else mpmath.besselj(0, 2 * mpmath.sqrt(-total))
    )
    for shape in ((1, 1), (3, 4)):
        k, largest = quadruple.one(np.full(shape, total / np.prod(shape)))
        assert k == pytest.approx(expected, rel=1e-14)
        assert largest >= abs(k)


def test_the_oracles_largest_product_is_that_of_its_own_kernels(quadruple: Oracle, rng: np.random.Generator) -> None:
    """U at a node is the kernel of what came before it, and W that of what is left."""
    p = rng.uniform(-3, 3, size=(3, 4))
    products = [
        quadruple.one(p[:i, :j])[0] * quadruple.one(p[i:, j:])[0]
        for i in range(p.shape[0] + 1)
        for j in range(p.shape[1] + 1)
    ]
    assert quadruple.one(p)[1] == pytest.approx(np.max(np.abs(products)), rel=1e-14)
