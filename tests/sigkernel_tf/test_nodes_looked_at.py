"""What return_error=True sees of the largest |U W| where it looks at some nodes only, in blocks and in lone pairs."""

import functools
from collections.abc import Callable

import goursat_problems
import numpy as np
import oracles
import pytest
from quadruple import Oracle
from random_walks import walks

import sigkernel_tf as sk

Pairs = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
DTYPES = [np.float64, np.float32]


def spiked(rng: np.random.Generator, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Walks that leave for one point and come back, both of them: |U W| is large at one node only."""
    paths = walks(rng, 2, points, 2)
    for path in paths:
        path[rng.integers(1, points - 1)] += [2.5, -1.5]
    return paths[0], paths[1]


def retraced(rng: np.random.Generator, points: int) -> tuple[np.ndarray, np.ndarray]:
    half = walks(rng, points // 2 + 1, 1, 2, scale=4 * np.sqrt(points // 2 + 1))[:, 0].cumsum(axis=0) / points
    path = np.concatenate([half, half[-2::-1]])
    return path, path


def assert_the_largest_product_is_seen(
    pairs: list[tuple[np.ndarray, np.ndarray]], dtype: type, quadruple: Oracle
) -> None:
    """The estimate is at least 64 epsilons of what is seen, and this a quarter of what is there."""
    problems = [oracles.increment_products(X.astype(np.float64), Y.astype(np.float64)) for X, Y in pairs]
    for (X, Y), (k, largest) in zip(pairs, quadruple(problems), strict=True):
        computed, error = sk.signature_kernel(X[None].astype(dtype), Y[None].astype(dtype), return_error=True)
        assert error[0] >= 64 / 4 * np.finfo(dtype).eps * largest
        assert error[0] >= abs(computed[0] - k)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_block_sees_the_largest_product(dtype: type, quadruple: Oracle, rng: np.random.Generator) -> None:
    pairs = [pair for pair in goursat_problems.pairs_of_paths(60, longest=16, seed=4) if pair[0].shape[1] > 1]
    pairs += [spiked(rng, points) for points in range(5, 17)]
    assert_the_largest_product_is_seen(
        [(X.astype(np.float32), Y.astype(np.float32)) for X, Y in pairs], dtype, quadruple
    )


@pytest.mark.parametrize("kind", [spiked, retraced])
def test_a_lone_long_pair_sees_the_largest_product(kind: Pairs, quadruple: Oracle, rng: np.random.Generator) -> None:
    """Long for float64: a lone pair of float32 must be twice as long, for which the oracle is slow."""
    pairs = [kind(rng, points) for points in (34, 37, 40)]
    assert_the_largest_product_is_seen(
        [(X.astype(np.float32), Y.astype(np.float32)) for X, Y in pairs], np.float64, quadruple
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("lengths", "solver"),
    [
        ((65, 66), sk.PowerSeries()),
        ((65, 81), sk.FiniteDifference(0)),
        ((90, 70), sk.PowerSeries()),
        ((1500, 1450), sk.FiniteDifference(0)),  # the largest of a few nodes is kept
    ],
    ids=repr,
)
def test_a_lone_pair_has_the_error_that_it_has_among_others(
    lengths: tuple[int, int], solver: sk.Solver, dtype: type, rng: np.random.Generator
) -> None:
    X, Y = (walks(rng, 1, length, 2).astype(dtype) for length in lengths)
    estimate = functools.partial(sk.signature_kernel, solver=solver, return_error=True)
    k, error = estimate(X, Y)
    of_several, errors = estimate(np.repeat(X, 9, 0), np.repeat(Y, 9, 0))
    np.testing.assert_allclose(k[0], of_several[0], rtol=1e-12 if dtype == np.float64 else 1e-4)
    assert abs(np.log(error[0] / errors[0])) < np.log(3)  # k and its reverse differ by chance


@pytest.mark.parametrize("size", [20, 33, 800])
def test_the_largest_product_of_straight_lines_is_a_product_of_bessel_functions(size: int) -> None:
    """Also where the largest of a square of nodes is kept. The finite differences' estimate is a multiple of it."""
    total = 4.0
    _, error = sk.solve_goursat(
        np.full((size, size), total / size**2), solver=sk.FiniteDifference(0), return_error=True
    )
    seen = float(error) / (np.finfo(np.float64).eps * (64 + 2 * size / 64))
    at = np.arange(size + 1) / size
    U = np.i0(2 * np.sqrt(total * np.outer(at, at)))
    largest = np.max(U * U[::-1, ::-1])
    assert 0.99 * largest <= seen <= 1.05 * largest
