"""Kernels beyond the largest number of their dtype, as mantissas and exponents: what ``normalize=True`` works with."""

import functools
from typing import Any

import log_scale
import mpmath
import numpy as np
import pytest
import tensorflow as tf

import sigkernel_tf as sk
from sigkernel_tf import FiniteDifference, PowerSeries
from sigkernel_tf._extended_range import Extended, power_of_two
from sigkernel_tf.goursat import Solver
from sigkernel_tf.signature_kernels import _kernel
from sigkernel_tf.static_kernels import StaticKernel

PAIRINGS = ["pairs", "gram", "symmetric_gram", "diagonal"]
DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


def unit_walks(seed: int, count: int, length: int, channels: int, step: float = 1.0) -> np.ndarray:
    """Random walks of ``length`` steps, all of one size."""
    steps = np.random.default_rng(seed).standard_normal([count, length, channels])
    steps *= step / np.linalg.norm(steps, axis=-1, keepdims=True)
    return np.concatenate([np.zeros([count, 1, channels]), np.cumsum(steps, axis=1)], axis=1)


def lines(count: int, length: int) -> np.ndarray:
    """Paths of unit steps that turn a little: their kernel is about as large as it can be."""
    angles = 0.3 * np.sin(np.linspace(0, 3, length)[None] + np.arange(count)[:, None])
    steps = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.concatenate([np.zeros([count, 1, 2]), np.cumsum(steps, axis=1)], axis=1)


def extended(X: Any, Y: Any, pairing: str, solver: Solver, kappa: StaticKernel | None = None) -> Extended:
    X, Y = tf.convert_to_tensor(X), tf.convert_to_tensor(Y)
    return Extended(*_kernel(X, Y, kappa, solver, pairing, False, None, extended=True))


def logarithm(k: Extended) -> np.ndarray:
    """log |k|, in long double."""
    mantissa, exponent = (np.asarray(part).astype(np.longdouble) for part in k)
    return np.log(np.abs(mantissa)) + np.log(np.longdouble(2)) * exponent


def products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.diff(x, axis=0) @ np.diff(y, axis=0).T


def second(X: np.ndarray, Y: np.ndarray, pairing: str) -> np.ndarray:
    return X if pairing in ("symmetric_gram", "diagonal") else Y


def log_of_differences(x: np.ndarray, y: np.ndarray) -> np.longdouble:
    return np.log(np.abs(log_scale.finite_difference(products(x, y))))


@DTYPES
@pytest.mark.parametrize("length", [100, 1300, pytest.param(5000, marks=pytest.mark.slow)])
def test_finite_differences_of_long_paths(length: int, dtype: type) -> None:
    """Up to e^10000. U grows along each row of the grid by more than the dtype's range."""
    X = lines(2, length).astype(dtype)
    k = extended(X, X, "symmetric_gram", FiniteDifference())
    expected = [[log_of_differences(x, y) for y in X.astype(np.float64)] for x in X.astype(np.float64)]
    if (length, dtype) != (100, np.float64):
        assert np.max(expected) > np.log(np.finfo(dtype).max)
    # The increments that float32 rounds are worth sqrt(p) each.
    np.testing.assert_allclose(logarithm(k), expected, rtol=0, atol=1e-10 if dtype == np.float64 else 1e-4)
    np.testing.assert_array_equal(k.mantissa, tf.transpose(k.mantissa))


@pytest.mark.parametrize(
    ("channels", "length", "degree"),
    [(12, 250, 24), pytest.param(3, 1300, 40, marks=[pytest.mark.slow])],
)
def test_the_power_series_of_long_walks(channels: int, length: int, degree: int) -> None:
    X = unit_walks(1, 2, length, channels, step=2.5 if length < 1000 else 1.0)
    X[1] = X[0] + 0.1 * X[1]
    k = extended(X[:1], X[1:], "pairs", PowerSeries())
    expected = log_scale.taylor_series(products(X[0], X[1]), degree)
    assert expected > np.finfo(np.float64).max
    np.testing.assert_allclose(logarithm(k)[0], np.log(expected), rtol=0, atol=1e-10)


@DTYPES
@pytest.mark.parametrize("length", [60, 400])
def test_orthogonal_steps(length: int, dtype: type) -> None:
    """Their kernel is a product of Bessel functions, and so is its gradient along the steps."""
    rng = np.random.default_rng(3)
    sizes = rng.uniform(1.5, 2.5, [2, length])
    X = np.zeros([2, length + 1, length])
    for path, steps in zip(X, sizes, strict=True):
        path[1:] = np.cumsum(np.diag(steps), axis=0)
    X = tf.constant(X, dtype)
    with tf.GradientTape() as tape:
        tape.watch(X)
        k = extended(X, X, "diagonal", PowerSeries())
        of_logarithm = tf.reduce_sum(tf.math.log(k.mantissa))
    gradient = tape.gradient(of_logarithm, X).numpy()
    tolerance = 1e-12 * length if dtype == np.float64 else 3e-6 * length
    expected = [mpmath.log(log_scale.of_orthogonal_steps(steps, steps)) for steps in sizes.astype(dtype)]
    np.testing.assert_allclose(logarithm(k).astype(float), np.array(expected, float), rtol=0, atol=tolerance)
    # A longer step i moves all points behind it along axis i. d log I0(2 s) / ds = 2 I1(2 s) / I0(2 s).
    behind = np.cumsum(gradient[:, ::-1], axis=1)[:, ::-1][:, 1:]
    slopes = [[float(2 * mpmath.besseli(1, 2 * s) / mpmath.besseli(0, 2 * s)) for s in steps] for steps in sizes]
    np.testing.assert_allclose(np.einsum("nii->ni", behind), slopes, rtol=1e-10 if dtype == np.float64 else 1e-3)
    across = extended(X[:1], X[1:], "gram", PowerSeries())
    expected = mpmath.log(log_scale.of_orthogonal_steps(*sizes.astype(dtype)))
    np.testing.assert_allclose(float(logarithm(across)[0, 0]), float(expected), rtol=0, atol=tolerance)


@DTYPES
@pytest.mark.parametrize("length", [3.0, 30.0, 1000.0, 3e5])
def test_one_channel(length: float, dtype: type) -> None:
    """Bessel functions of huge arguments, and their gradient."""
    X = tf.constant([[[0.0], [length]], [[0.0], [-0.7 * length]], [[1.0], [1.0 + 0.6 * length]]], dtype)
    with tf.GradientTape() as tape:
        tape.watch(X)
        k = extended(X, X, "symmetric_gram", PowerSeries())
        of_logarithms = tf.reduce_sum(tf.where(k.mantissa > 0, tf.math.log(tf.abs(k.mantissa)), 0.0)[0, ::2])
    gradient = tape.gradient(of_logarithms, X).numpy()
    steps = [mpmath.mpf(float(x)) for x in X[:, 1, 0] - X[:, 0, 0]]
    with mpmath.workdps(40):
        arguments = {(a, b): 2 * mpmath.sqrt(steps[a] * steps[b]) for a in (0, 2) for b in (0, 2)}
        logs = {pair: mpmath.log(mpmath.besseli(0, z)) for pair, z in arguments.items()}
        slope = {pair: mpmath.besseli(1, z) / mpmath.besseli(0, z) for pair, z in arguments.items()}
        logs = {pair: np.longdouble(str(value)) for pair, value in logs.items()}
    epsilon = np.finfo(dtype).eps
    for pair, expected in logs.items():
        assert abs(logarithm(k)[pair] - expected) < 8 * epsilon + 4e-16 * length
    # Of log I0(2 x) by x, and of log I0(2 sqrt(x z)) by x and by z.
    by_first = 2 * slope[0, 0] + slope[0, 2] * mpmath.sqrt(steps[2] / steps[0])
    by_third = slope[0, 2] * mpmath.sqrt(steps[0] / steps[2])
    tolerance = 20 * epsilon + 1e-15 * length
    np.testing.assert_allclose(gradient[[0, 2], 1, 0], [float(by_first), float(by_third)], rtol=tolerance)
    np.testing.assert_allclose(gradient[:, 0], -gradient[:, 1], rtol=0)
    assert abs(k.mantissa[0, 1]) < 1  # J0
    assert k.exponent[0, 1] == 0


@DTYPES
@pytest.mark.parametrize("solver", [PowerSeries(), FiniteDifference(1), FiniteDifference(0, "theorem_4_1")], ids=str)
@pytest.mark.parametrize("static_kernel", [None, functools.partial(sk.static_kernels.rbf, variance=1.5)])
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_what_does_not_overflow_is_the_same(
    pairing: str, static_kernel: StaticKernel | None, solver: Solver, dtype: type
) -> None:
    X, Y = unit_walks(5, 5, 21, 3).astype(dtype), unit_walks(6, 5, 34, 3).astype(dtype)
    X[0] *= 1.5  # with k beyond 2^32, but not beyond float32
    X[1:] /= 2
    X, Y = tf.constant(X), tf.constant(second(X, Y, pairing))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([X, Y])
        Y_or_X = X if second(0, 1, pairing) == 0 else Y
        plain = _kernel(X, Y_or_X, static_kernel, solver, pairing, False, None)
        k = extended(X, Y_or_X, pairing, solver, static_kernel)
        value = k.mantissa * power_of_two(k.exponent)
    if pairing == "diagonal" and static_kernel is None and solver == PowerSeries():
        assert k.exponent[0] > 0
        assert k.exponent[1] == 0
    np.testing.assert_allclose(value, plain, rtol=8 * np.finfo(dtype).eps)
    for source in (X,) if Y_or_X is X else (X, Y):
        one, other = tape.gradient(value, source).numpy(), tape.gradient(plain, source).numpy()
        np.testing.assert_allclose(one, other, rtol=0, atol=200 * np.finfo(dtype).eps * np.abs(other).max())


@pytest.mark.parametrize("solver", [PowerSeries(), FiniteDifference(), FiniteDifference(1)], ids=str)
@pytest.mark.parametrize(
    ("static_kernel", "step"),
    [(None, 2.5), (functools.partial(sk.static_kernels.rbf, variance=6.0), 3.0)],
    ids=["linear", "rbf"],
)
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_gradients_beyond_the_range(
    pairing: str, static_kernel: StaticKernel | None, step: float, solver: Solver
) -> None:
    """Against differences of log |k|, for paths whose kernels are beyond float64."""
    X = unit_walks(8, 2, 270, 12, step)
    X[1] = X[0] + 0.01 * X[1]
    X, Y = tf.constant(X), tf.constant(X[::-1, :-7])
    direction = np.random.default_rng(9).standard_normal(X.shape)
    is_symmetric = pairing in ("symmetric_gram", "diagonal")

    def of_moved(by: float) -> Extended:
        moved = X + by * direction
        return extended(moved, moved if is_symmetric else Y, pairing, solver, static_kernel)

    with tf.GradientTape() as tape:
        tape.watch(X)
        k = extended(X, X if is_symmetric else Y, pairing, solver, static_kernel)
        of_logarithms = tf.reduce_sum(tf.math.log(tf.abs(k.mantissa)))
    assert np.max(logarithm(k)) > np.log(np.finfo(np.float64).max)
    slope = np.sum(tape.gradient(of_logarithms, X) * direction)
    difference = np.sum(logarithm(of_moved(1e-6)) - logarithm(of_moved(-1e-6))) / 2e-6
    np.testing.assert_allclose(slope, float(difference), rtol=2e-5)


def test_the_gradient_of_a_grid_whose_edges_do_not_fit() -> None:
    """Only the edges of strips of tiles are kept then, with their exponents."""
    X = tf.constant(unit_walks(11, 1, 2600, 4))
    direction = np.random.default_rng(9).standard_normal(X.shape)
    with tf.GradientTape() as tape:
        tape.watch(X)
        k = extended(X, X, "diagonal", FiniteDifference())
        of_logarithm = tf.math.log(tf.abs(k.mantissa[0]))
    assert logarithm(k)[0] > np.log(np.finfo(np.float64).max)
    slope = np.sum(tape.gradient(of_logarithm, X) * direction)
    moved = [
        logarithm(extended(X + by * direction, X + by * direction, "diagonal", FiniteDifference()))
        for by in (1e-6, -1e-6)
    ]
    np.testing.assert_allclose(slope, float(moved[0][0] - moved[1][0]) / 2e-6, rtol=1e-4)


def test_pairings_agree() -> None:
    X = unit_walks(12, 3, 300, 6, step=2.0)
    X[1:] = X[:1] + 0.1 * X[1:]
    gram = extended(X, X, "symmetric_gram", FiniteDifference())
    for pairing, expected in (("gram", logarithm(gram)), ("diagonal", np.diag(logarithm(gram)))):
        np.testing.assert_allclose(logarithm(extended(X, X, pairing, FiniteDifference())), expected, rtol=0, atol=1e-9)
    k = extended(X, X[::-1], "pairs", FiniteDifference())
    np.testing.assert_allclose(logarithm(k), np.diag(logarithm(gram)[:, ::-1]), rtol=0, atol=1e-9)


def test_leading_axes() -> None:
    X = unit_walks(13, 6, 260, 6, step=2.5).reshape(2, 3, 261, 6)
    k = extended(X, X, "symmetric_gram", FiniteDifference())
    assert k.mantissa.shape == k.exponent.shape == [2, 3, 3]
    for n in range(2):
        one = extended(X[n], X[n], "symmetric_gram", FiniteDifference())
        np.testing.assert_allclose(logarithm(Extended(k.mantissa[n], k.exponent[n])), logarithm(one), rtol=0, atol=1e-9)


def test_what_is_beyond_any_exponent_overflows() -> None:
    X = tf.constant([[[0.0], [4e5]]], tf.float64)
    with pytest.raises(tf.errors.InvalidArgumentError, match="overflows float64"):
        extended(X, X, "diagonal", PowerSeries())
    X = tf.constant(1e14 * unit_walks(14, 1, 9, 2))  # in one tile
    with pytest.raises(tf.errors.InvalidArgumentError, match="overflows float64"):
        extended(X, X, "diagonal", FiniteDifference())


def test_lost_digits_are_seen_beyond_the_range() -> None:
    """A path there and back has k(x, x) = 1 at its end, but U is beyond float64 half way."""
    there = 3 * lines(1, 16)
    X = np.concatenate([there, there[:, ::-1]], axis=1) + 1e-4 * np.random.default_rng(1).standard_normal([40, 34, 2])
    match = r"came out as -.* \* 2\^\d+, but k\(x, x\) is at least 1"
    with pytest.raises(tf.errors.InvalidArgumentError, match=match):  # one of 40 has lost its sign, too
        extended(X.astype(np.float32), X, "diagonal", PowerSeries())


@DTYPES
def test_powers_of_two(dtype: type) -> None:
    least, most = np.finfo(dtype).minexp, np.finfo(dtype).maxexp
    n = np.array([-5000, least - 1, least, -3, 0, 1, 16, most - 1, most, 5000])
    expected = np.array([0, 0, *np.ldexp(1.0, n[2:-2]), np.inf, np.inf], dtype)
    np.testing.assert_array_equal(power_of_two(tf.constant(n, dtype)), expected)
