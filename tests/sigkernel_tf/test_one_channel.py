"""
Paths of one channel under the linear static kernel, where the power series needs only their end points.

The truth is mpmath's: k = F0(p) and dk/dp = F1(p), F_v(p) = Σ p^n / (n! (n + v)!), with p = (x_L - x_1)(y_L - y_1).
"""

import functools

import mpmath
import numpy as np
import oracles
import pytest
import tensorflow as tf

import sigkernel_tf as sk

LENGTHS = [1, 2, 33, 1025]
DTYPES = [np.float64, np.float32]
OPERATIONS = {
    "pairs": sk.signature_kernel,
    "gram": sk.signature_kernel_gram,
    "symmetric_gram": lambda x, _: sk.signature_kernel_gram(x),
    "diagonal": lambda x, _: sk.signature_kernel_diag(x),
}


def F(v: int, p: mpmath.mpf) -> mpmath.mpf:  # noqa: N802  (its usual name)
    with mpmath.workdps(40):
        return mpmath.hyp0f1(v + 1, p)


def product(x: np.ndarray, y: np.ndarray) -> mpmath.mpf:
    """p of two paths [L, 1], without rounding."""
    with mpmath.workdps(40):
        ends = [mpmath.mpf(float(path[-1, 0])) - mpmath.mpf(float(path[0, 0])) for path in (x, y)]
        return ends[0] * ends[1]


def noise(rng: np.random.Generator, count: int, length: int, dtype: type = np.float64) -> np.ndarray:
    """Points that jump about, on which a sweep loses all digits where there are many of them."""
    return rng.normal(size=(count, length, 1)).astype(dtype) * 2


def bound(p: mpmath.mpf, truth: mpmath.mpf, dtype: type) -> float:
    """Some ulp of the result, and what p's own rounding makes of it."""
    double, epsilon = np.finfo(np.float64).eps, np.finfo(dtype).eps
    return float((epsilon + (12 + 4 * mpmath.sqrt(abs(p))) * double) * max(1, abs(truth)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", LENGTHS)
def test_all_operations_match_mpmath(length: int, dtype: type, rng: np.random.Generator) -> None:
    X, Y = noise(rng, 4, length, dtype), noise(rng, 4, 9, dtype)
    gram, symmetric = sk.signature_kernel_gram(X, Y).numpy(), sk.signature_kernel_gram(X).numpy()
    assert gram.dtype == symmetric.dtype == dtype
    for a in range(4):
        for k, others in ((gram, Y), (symmetric, X)):
            for b in range(4):
                p = product(X[a], others[b])
                assert abs(k[a, b] - F(0, p)) <= bound(p, F(0, p), dtype)
    np.testing.assert_array_equal(symmetric, symmetric.T)
    np.testing.assert_array_equal(sk.signature_kernel(X, Y), np.diag(gram))
    np.testing.assert_array_equal(sk.signature_kernel_diag(X), np.diag(symmetric))


@pytest.mark.parametrize(
    "p", [-1e12, -1e6, -2000.0, -400.0, -30.0, -0.5, -1e-300, 0.0, 1e-9, 0.5, 30.0, 225.0, 225.01, 400.0, 2e4, 1.2e5]
)
def test_value_and_slope_at_any_product(p: float) -> None:
    """x = (0, 1) and y = (0, p), so that p is exact: dk/dx = p F1(p) and dk/dy = F1(p)."""
    X, Y = tf.constant([[[0.0], [1.0]]], tf.float64), tf.constant([[[0.0], [p]]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([X, Y])
        k = sk.signature_kernel(X, Y)
    dX, dY = (gradient.numpy()[0, :, 0] for gradient in tape.gradient(k, [X, Y]))
    value, slope = F(0, mpmath.mpf(p)), F(1, mpmath.mpf(p))
    ulp = np.finfo(np.float64).eps
    # Below 0 what counts is the size of the waves; the argument of J_v is rounded, too.
    size = (abs(value), abs(slope)) if p >= 0 else (1 + (-p) ** 0.25, (1 + (-p) ** 0.25) / max(1, (-p) ** 0.5))
    assert abs(k.numpy()[0] - value) <= 16 * ulp * size[0]
    assert abs(dY[1] - slope) <= 16 * ulp * size[1]
    assert dY[0] == -dY[1]
    assert abs(dX[1] - p * slope) <= 17 * ulp * abs(p) * size[1]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("length", LENGTHS)
def test_gradient_matches_differences_and_is_zero_between_the_ends(
    length: int, operation: str, rng: np.random.Generator
) -> None:
    X, Y = noise(rng, 3, length) / 2, noise(rng, 3, 6) / 2

    def total(x: np.ndarray, y: np.ndarray) -> tf.Tensor:
        """Weights every entry differently, so that no gradient can be right by symmetry."""
        k = tf.reshape(OPERATIONS[operation](x, y), [-1])
        return tf.reduce_sum(k * tf.linspace(tf.constant(0.5, k.dtype), 1.5, tf.size(k)))

    x, y = tf.constant(X), tf.constant(Y)
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        value = total(x, y)
    dX, dY = tape.gradient(value, [x, y])
    cases = [(X, dX, lambda array: total(array, Y)), (Y, dY, lambda array: total(X, array))]
    for paths, gradient, function in cases[:1] if dY is None else cases:
        np.testing.assert_array_equal(gradient[:, 1:-1], 0)
        for a in range(3):
            for end in (0, -1):
                direction = np.zeros_like(paths)
                direction[a, end] = 1
                expected = oracles.slope(function, paths, direction, step=1e-3)
                assert abs(gradient[a, end, 0] - expected) <= 1e-8 * max(1, abs(expected))
    assert (dY is None) == (operation in ("symmetric_gram", "diagonal"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", LENGTHS)
def test_directional_derivative(length: int, dtype: type, rng: np.random.Generator) -> None:
    X, Y, direction = noise(rng, 3, length, dtype), noise(rng, 3, 7, dtype), noise(rng, 3, length, dtype)
    k, derivative = sk.directional_derivative(X, Y, direction)
    np.testing.assert_array_equal(k, sk.signature_kernel(X, Y))
    for b in range(3):
        p = product(X[b], Y[b])
        truth = F(1, p) * product(direction[b], Y[b])
        size = 1 + abs(product(direction[b], Y[b]))
        assert abs(derivative.numpy()[b] - truth) <= 4 * size * bound(p, truth, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_of_a_gram_matrix_matches_mpmath(dtype: type, rng: np.random.Generator) -> None:
    X = noise(rng, 20, 50, np.float32)
    x = tf.constant(X, dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(sk.signature_kernel_gram(x))
    steps = [mpmath.mpf(float(path[-1, 0])) - mpmath.mpf(float(path[0, 0])) for path in X]
    expected = [2 * mpmath.fsum(F(1, a * b) * b for b in steps) for a in steps]
    largest = float(max(abs(one) for one in expected))
    np.testing.assert_allclose(
        tape.gradient(total, x)[:, -1, 0],
        np.array(expected, float),
        rtol=0,
        atol=(1e-13 if dtype == np.float64 else 2e-7) * largest,
    )


@pytest.mark.parametrize("v", [14.2, 20.0, 300.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_paths_that_go_back_on_themselves(v: float, dtype: type) -> None:
    back, line = np.array([[[0], [v], [0]]], dtype), np.array([[[0], [-v]]], dtype)
    for x, y in ((back, line), (line, back), (back, back)):
        assert sk.signature_kernel(x, y).numpy()[0] == 1
    steps = np.concatenate([np.arange(33), np.arange(31, -1, -1)]).astype(dtype)[None, :, None]  # 32 up and 32 down
    assert sk.signature_kernel_gram(steps).numpy()[0, 0] == sk.signature_kernel_diag(steps).numpy()[0] == 1


def test_a_float32_gram_matrix_of_noise_is_positive_semi_definite_up_to_rounding() -> None:
    X = np.random.default_rng(0).normal(size=(200, 10, 1)).astype(np.float32)
    K = sk.signature_kernel_gram(X).numpy().astype(np.float64)
    assert np.linalg.eigvalsh(K)[0] >= -np.finfo(np.float32).eps * np.trace(K)


@pytest.mark.parametrize(("dtype", "fits", "overflows"), [(np.float64, 1.27e5, 1.28e5), (np.float32, 2000, 2120)])
def test_only_a_kernel_beyond_the_dtype_overflows(dtype: type, fits: float, overflows: float) -> None:
    largest = mpmath.mpf(float(np.finfo(dtype).max))
    assert F(0, mpmath.mpf(fits)) < largest < F(0, mpmath.mpf(overflows))
    X, Y = np.zeros((2, 3, 1), dtype), np.ones((2, 3, 1), dtype)
    Y[:, 0] = 0
    X[:, -1, 0] = 1, fits
    truth = F(0, mpmath.mpf(fits))
    assert abs(sk.signature_kernel(X, Y).numpy()[1] - truth) <= 16 * np.finfo(dtype).eps * truth
    X[1, -1] = overflows
    message = rf"X\[1\] and Y\[{{}}\], whose increments .* overflows float{8 * np.dtype(dtype).itemsize}\. Rescale"
    for operation, b in ((sk.signature_kernel, 1), (sk.signature_kernel_gram, 0)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message.format(b)):
            operation(X, Y)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message.format(1)):
        sk.directional_derivative(X, Y, X)


def test_only_the_linear_power_series_takes_the_end_points(rng: np.random.Generator) -> None:
    """Every tolerance and every spelling of the linear kernel does; other solvers and static kernels sweep the grid."""
    X = noise(rng, 3, 4)
    expected = sk.signature_kernel_gram(X[:, [0, -1]]).numpy()
    linear = sk.static_kernels.linear
    for options in ({"solver": sk.PowerSeries(0.5)}, {"static_kernel": linear}, {"solver": sk.PowerSeries(1e-3)}):
        np.testing.assert_array_equal(sk.signature_kernel_gram(X, **options), expected)
    rbf = functools.partial(sk.static_kernels.rbf, lengthscale=2.0)
    for options in ({"solver": sk.FiniteDifference()}, {"static_kernel": rbf}):
        swept = sk.signature_kernel_gram(X, **options).numpy()
        assert np.abs(swept - sk.signature_kernel_gram(X[:, [0, -1]], **options)).max() > 1e-3


def test_unknown_shapes_and_empty_batches_in_a_function(rng: np.random.Generator) -> None:
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float64)])
    def gradient(X: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(X)
            total = tf.reduce_sum(sk.signature_kernel_gram(X)) + tf.reduce_sum(sk.signature_kernel_gram(X, X[:0]))
        return tape.gradient(total, X)

    for shape in ((3, 5), (0, 5), (2, 1)):
        assert gradient(noise(rng, *shape)).shape == (*shape, 1)
