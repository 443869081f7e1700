"""The estimates of the error that return_error=True asks for: shapes, coverage, size and gradients."""

import functools
import math

import goursat_problems
import numpy as np
import oracles
import pytest
import tensorflow as tf
from quadruple import Oracle
from random_walks import walks

import sigkernel_tf as sk
from sigkernel_tf.goursat import ErrorWeights

DTYPES = [np.float64, np.float32]
SOLVERS = [sk.PowerSeries(), sk.FiniteDifference(1)]


def assert_estimates_are_good(estimates: np.ndarray, errors: np.ndarray) -> None:
    assert np.mean(estimates >= errors) >= 0.99, np.flatnonzero(estimates < errors)
    assert np.median(errors / estimates) >= 1 / 300


def solved(problems: list[np.ndarray], solver: sk.Solver, dtype: type) -> np.ndarray:
    """k and the estimate for each of the increments, NaN where the solver refuses them."""
    found = np.full((len(problems), 2), np.nan)
    for n, p in enumerate(problems):
        try:
            found[n] = [float(value) for value in sk.solve_goursat(p.astype(dtype), solver=solver, return_error=True)]
        except tf.errors.InvalidArgumentError:
            continue
    return found


def judge(quadruple: Oracle, dtype: type, *, count: int, longest: int) -> None:
    pairs = goursat_problems.pairs_of_paths(count, longest=longest, seed=1)
    problems = [oracles.increment_products(*pair).astype(np.float32) for pair in pairs]
    k, estimates = solved(problems, sk.PowerSeries(), dtype).T
    errors = np.abs(k - quadruple(problems)[:, 0])
    is_solved = np.isfinite(k)
    assert np.mean(is_solved) >= 0.97
    assert_estimates_are_good(estimates[is_solved], errors[is_solved])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_estimate_covers_the_error_and_is_near_it(dtype: type, quadruple: Oracle) -> None:
    judge(quadruple, dtype, count=100, longest=12)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_thousands_of_estimates_cover_the_error(dtype: type, quadruple: Oracle) -> None:
    judge(quadruple, dtype, count=3000, longest=24)


def test_the_estimate_includes_the_rounding_of_the_increments(quadruple: Oracle) -> None:
    """Of paths in float32, whose products float64 forms exactly for this purpose."""
    found, truth = [], []
    for X, Y in goursat_problems.pairs_of_paths(100, longest=12, seed=2):
        X, Y = X + np.float32(100), Y + np.float32(100)  # the points' offset costs nothing beyond their own rounding
        k, error = sk.signature_kernel(X[None], Y[None], return_error=True)
        found.append((float(k[0]), float(error[0])))
        truth.append(oracles.increment_products(X.astype(np.float64), Y.astype(np.float64)))
    k, estimates = np.array(found).T
    assert_estimates_are_good(estimates, np.abs(k - quadruple(truth)[:, 0]))


def test_the_estimate_covers_the_error_of_a_given_tolerance(quadruple: Oracle) -> None:
    pairs = goursat_problems.pairs_of_paths(60, longest=10, seed=3)
    problems = [oracles.increment_products(*pair).astype(np.float32) for pair in pairs]
    truth = quadruple(problems)[:, 0]
    for tolerance in (1e-3, 1e-7):
        k, estimates = solved(problems, sk.PowerSeries(tolerance), np.float64).T
        assert np.all(estimates >= np.abs(k - truth))


@pytest.mark.parametrize("steps", [8, 16])
def test_a_path_that_goes_back_on_itself_says_how_little_is_left(steps: int) -> None:
    """k is 1 for unit steps up and down again, in any number, and the solver cannot know it."""
    up = np.arange(steps + 1.0)
    X = np.concatenate([up, up[-2::-1]])[None, :, None]
    p = oracles.increment_products(X[0], X[0])
    k, error = sk.solve_goursat(p, return_error=True)
    assert abs(k - 1) <= error
    assert error <= 1e4 * max(abs(k - 1), 1e-6)


def test_finite_differences_count_their_rounding_only(rng: np.random.Generator) -> None:
    """The same scheme in float64 is what float32 rounds."""
    p = (rng.normal(size=(100, 9, 8)) / 2).astype(np.float32)
    solver = sk.FiniteDifference(2)
    k, error = sk.solve_goursat(p, solver=solver, return_error=True)
    rounding = np.abs(k - sk.solve_goursat(p.astype(np.float64), solver=solver).numpy())
    assert_estimates_are_good(error.numpy(), rounding)
    assert np.max(error / np.abs(k)) < 1e-2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_k_is_the_same_and_the_error_has_its_shape(solver: sk.Solver, dtype: type, rng: np.random.Generator) -> None:
    X, Y = walks(rng, 5, 9, 2).astype(dtype), walks(rng, 5, 6, 2).astype(dtype)
    rbf = functools.partial(sk.static_kernels.rbf, lengthscale=0.7)
    matern = functools.partial(sk.static_kernels.matern32, lengthscale=0.7)
    for kappa in (None, functools.partial(sk.static_kernels.linear, variance=0.5), rbf, matern):
        options = {"static_kernel": kappa, "solver": solver}
        for compute in (
            functools.partial(sk.signature_kernel, X, Y, **options),
            functools.partial(sk.signature_kernel_gram, X, Y[:3], **options),
            functools.partial(sk.signature_kernel_gram, X, **options),
            functools.partial(sk.signature_kernel_diag, X, **options),
        ):
            expected = compute()
            k, error = compute(return_error=True)
            np.testing.assert_allclose(k, expected, rtol=1e-6 if dtype == np.float32 else 1e-13)
            assert k.dtype == error.dtype == dtype
            assert error.shape == k.shape
            assert np.all(error >= np.finfo(dtype).eps * np.abs(k))
            assert np.all(error <= 1e-2 * np.abs(k))


def test_a_gram_matrix_has_the_errors_of_its_pairs(rng: np.random.Generator) -> None:
    X, Y = walks(rng, 5, 20, 2, scale=2), walks(rng, 11, 18, 2, scale=2)
    _, error = sk.signature_kernel_gram(X, Y, return_error=True)
    for i in range(len(X)):
        _, of_pairs = sk.signature_kernel(np.repeat(X[i : i + 1], len(Y), 0), Y, return_error=True)
        assert np.all(np.abs(np.log(error[i] / of_pairs)) < np.log(3))  # k and its reverse differ by chance
    _, symmetric = sk.signature_kernel_gram(X, return_error=True)
    np.testing.assert_array_equal(symmetric, tf.transpose(symmetric))
    _, diagonal = sk.signature_kernel_diag(X, return_error=True)
    assert np.all(np.abs(np.log(tf.linalg.diag_part(symmetric) / diagonal)) < np.log(3))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (0, 3, 4), (3, 0, 5), (3, 5, 0)])
def test_grids_of_any_number_and_size(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    p = rng.normal(size=shape) / 4
    k, error = sk.solve_goursat(p, return_error=True)
    assert k.shape == error.shape == shape[:-2]
    np.testing.assert_allclose(k, sk.solve_goursat(p), rtol=1e-13)
    assert np.all(error < 1e-12)


def test_unknown_shapes_in_a_function(rng: np.random.Generator) -> None:
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float64)] * 2)
    def k_and_error(X: tf.Tensor, Y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return sk.signature_kernel_gram(X, Y, return_error=True)

    X, Y = walks(rng, 3, 7, 2), walks(rng, 4, 5, 2)
    for found, expected in zip(k_and_error(X, Y), sk.signature_kernel_gram(X, Y, return_error=True), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_gradients_flow_through_k_only(rng: np.random.Generator) -> None:
    X, Y = tf.constant(walks(rng, 4, 6, 2)), tf.constant(walks(rng, 4, 5, 2))

    def gradient(weight: float, *, return_error: bool) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(X)
            found = sk.signature_kernel(X, Y, return_error=return_error)
            k, error = found if return_error else (found, 0.0)
            total = tf.reduce_sum(k + weight * error)
        return tape.gradient(total, X)

    expected = gradient(0.0, return_error=False)
    for weight in (0.0, 1e6):
        np.testing.assert_allclose(gradient(weight, return_error=True), expected, rtol=1e-12)
    p = tf.constant(rng.normal(size=(3, 4)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(p)
        k, error = sk.solve_goursat(p, return_error=True)
        alone = sk.solve_goursat(p)
    np.testing.assert_allclose(tape.gradient(k, p), tape.gradient(alone, p), rtol=1e-12)
    assert tape.gradient(error, p) is None


def test_a_reversed_sweep_that_overflows_makes_the_error_infinite() -> None:
    k = tf.constant([1.0, 1.0, 1.0])
    weights = ErrorWeights(tf.constant([1.0, 1.0, math.inf]), tf.zeros(3), tf.constant([1.0, math.nan, 1.0]))
    for solver in SOLVERS:
        error = weights.error(k, solver, (tf.constant(5), tf.constant(4)))
        np.testing.assert_array_equal(np.isinf(error), [False, True, True])


def test_where_only_the_rest_of_the_paths_overflows_nothing_raises() -> None:
    """x goes out by 46 and back, y the other way by 46: U is small up to the turn, and W there is I0(92) > 3.4e38."""
    out = np.arange(93.0) / 2
    p = oracles.increment_products(np.concatenate([out, out[-2::-1]])[:, None], -out[:, None]).astype(np.float32)
    k, error = sk.solve_goursat(p, return_error=True)
    assert np.isfinite(k)
    assert np.isposinf(error)


def test_a_large_grid_keeps_a_bound_of_its_nodes(rng: np.random.Generator) -> None:
    """Its nodes are more than are kept, and the largest of each few stands for them."""
    X = np.repeat(walks(rng, 1, 60, 2), 20, axis=1)  # each point 20 times, which adds cells and changes nothing
    _, error = sk.signature_kernel_diag(X[:, ::20], return_error=True)
    _, of_many = sk.signature_kernel(X, X, return_error=True)
    assert 0.3 * error < of_many < 30 * error


def test_anything_but_true_and_false_is_refused(rng: np.random.Generator) -> None:
    X = walks(rng, 2, 4, 2)
    for compute in (
        functools.partial(sk.signature_kernel, X, X),
        functools.partial(sk.signature_kernel_gram, X),
        functools.partial(sk.signature_kernel_diag, X),
        functools.partial(sk.solve_goursat, X),
    ):
        with pytest.raises(TypeError, match="return_error must be True or False, got 'yes'"):
            compute(return_error="yes")
