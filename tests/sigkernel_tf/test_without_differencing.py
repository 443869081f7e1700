"""The signature kernel of paths that are not differenced, and the Matérn kernels in the compiled sweep."""

import functools
from collections.abc import Callable

import numpy as np
import oracles
import point_kernels
import pytest
import scipy.special
import tensorflow as tf
from comparisons import close
from random_walks import walks

import sigkernel_tf as sk
from sigkernel_tf import static_kernels

COMPILED = ["linear", "rbf", "matern12", "matern32", "matern52"]
PARAMETERS = {"lengthscale": 0.7, "variance": 3.0}


def kernel_of(name: str) -> tuple[Callable, dict[str, float]]:
    """A static kernel, and the parameters that it was given."""
    parameters = {"variance": 3.0} if name == "linear" else PARAMETERS
    return functools.partial(getattr(static_kernels, name), **parameters), parameters


def expected(name: str, x: np.ndarray, y: np.ndarray, *, difference: bool = False) -> float:
    """The kernel of two paths in mpmath."""
    x, y = (point_kernels.without_tail(path.astype(float)) for path in (x, y))
    return oracles.goursat(point_kernels.increments(name, x, y, difference=difference, **kernel_of(name)[1]), degree=14)


def ragged(rng: np.random.Generator, count: int, length: int, channels: int) -> np.ndarray:
    """Paths of unequal lengths: of one point, of two, and so on, padded with their last value."""
    X = walks(rng, count, length, channels)
    for n, path in enumerate(X):
        path[n + 1 :] = path[n]
    return X


@pytest.mark.parametrize("difference", [False, True])
@pytest.mark.parametrize("name", [*COMPILED, "rational_quadratic"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_pairings_against_the_series(name: str, dtype: type, difference: bool, rng: np.random.Generator) -> None:
    X, Y = (ragged(rng, 3, length, 2).astype(dtype) for length in (4, 5))
    options = {"static_kernel": kernel_of(name)[0], "difference": difference}
    tolerance = 2e-6 if dtype == np.float32 else 2e-14
    gram = np.array([[expected(name, x, y, difference=difference) for y in Y] for x in X])
    of_itself = np.array([[expected(name, x, y, difference=difference) for y in X] for x in X])
    close(sk.signature_kernel_gram(X, Y, **options), gram, tolerance)
    close(sk.signature_kernel_gram(Y, X, **options), gram.T, tolerance)
    close(sk.signature_kernel(X, Y, **options), np.diag(gram), tolerance)
    close(sk.signature_kernel_gram(X, **options), of_itself, tolerance)
    close(sk.signature_kernel_diag(X, **options), np.diag(of_itself), tolerance)


@pytest.mark.parametrize("name", [*COMPILED, "rational_quadratic"])
def test_padding_changes_nothing(name: str, rng: np.random.Generator) -> None:
    X, Y = walks(rng, 4, 6, 2), walks(rng, 5, 3, 2)
    padded = np.concatenate([X, np.repeat(X[:, -1:], 21, axis=1)], axis=1)
    options = {"static_kernel": kernel_of(name)[0], "difference": False}
    close(sk.signature_kernel_gram(padded, Y, **options), sk.signature_kernel_gram(X, Y, **options), 1e-15)
    close(sk.signature_kernel_diag(padded, **options), sk.signature_kernel_diag(X, **options), 1e-15)


@pytest.mark.parametrize("name", [*COMPILED, "rational_quadratic"])
def test_single_points_have_a_bessel_function(name: str, rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(2, 20, 1, 3))
    kappa, parameters = kernel_of(name)
    p = np.array([point_kernels.values(name, x, y, **parameters)[0, 0] for x, y in zip(X, Y, strict=True)])
    bessel = np.where(p >= 0, scipy.special.iv(0, 2 * np.sqrt(np.abs(p))), scipy.special.jv(0, 2 * np.sqrt(np.abs(p))))
    close(sk.signature_kernel(X, Y, static_kernel=kappa, difference=False), bessel, 1e-13)


@pytest.mark.parametrize("solver", [sk.PowerSeries(), sk.FiniteDifference(1)])
@pytest.mark.parametrize("name", COMPILED)
def test_many_paths_are_those_of_given_increments(
    name: str, solver: sk.goursat.Solver, rng: np.random.Generator
) -> None:
    """More pairs than a register has lanes, on grids of many tiles."""
    X, Y = walks(rng, 19, 40, 2) * 0.3, walks(rng, 18, 33, 2) * 0.3
    X[3, 20:] = X[3, 20]
    kappa, _ = kernel_of(name)
    p = kappa(X[:, None], Y[None]) / (40 * 33)
    p = np.concatenate([p[:3], np.where(np.arange(40)[:, None] > 20, 0.0, p[3:4] * 40 / 21), p[4:]])
    found = sk.signature_kernel_gram(X, Y, static_kernel=kappa, difference=False, solver=solver)
    close(found, sk.solve_goursat(p, solver=solver), 1e-13)
    differences = sk.solve_goursat(static_kernels.increments(kappa, X[:, None], Y[None]), solver=solver)
    close(sk.signature_kernel_gram(X, Y, static_kernel=kappa, solver=solver), differences, 1e-13)


@pytest.mark.parametrize("difference", [False, True])
@pytest.mark.parametrize("name", [*COMPILED, "rational_quadratic"])
def test_gradients_against_differences(name: str, difference: bool, rng: np.random.Generator) -> None:
    X, Y = ragged(rng, 4, 4, 2), walks(rng, 3, 5, 2)
    weights = rng.normal(size=(4, 3))
    function = getattr(static_kernels, name)
    parameters = np.array([3.0] if name == "linear" else [3.0, 0.7])
    keys = ["variance", "lengthscale"][: len(parameters)]

    def loss(X: object, Y: object, parameters: object) -> tf.Tensor:
        given = dict(zip(keys, tf.unstack(parameters), strict=True))
        kappa = functools.partial(function, **given)
        gram = sk.signature_kernel_gram(X, Y, static_kernel=kappa, difference=difference)
        of_itself = sk.signature_kernel_gram(X, static_kernel=kappa, difference=difference)
        diagonal = sk.signature_kernel_diag(X, static_kernel=kappa, difference=difference)
        return tf.reduce_sum(gram * weights) + tf.reduce_sum(of_itself * weights[:, :1]) + tf.reduce_sum(diagonal**2)

    inputs = [tf.constant(each) for each in (X, Y, parameters)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = loss(*inputs)
    gradients = tape.gradient(value, inputs)
    # A path's end is where it last changes, so that its points move together from there on.
    is_end = [np.maximum(np.arange(4) - n, 0) > 0 for n in range(4)]
    direction = np.array(
        [
            np.where(beyond[:, None], step[n], step)
            for n, (beyond, step) in enumerate(zip(is_end, rng.normal(size=X.shape), strict=True))
        ]
    )
    assert np.isfinite(gradients[0]).all()
    found = np.sum(gradients[0] * direction)
    close(found, oracles.slope(lambda X: loss(X, Y, parameters), X, direction), 1e-7)
    close(gradients[1], oracles.central_differences(lambda Y: loss(X, Y, parameters), Y), 1e-7)
    close(gradients[2], oracles.central_differences(lambda p: loss(X, Y, p), parameters), 1e-7)


@pytest.mark.parametrize("name", COMPILED)
def test_gradients_in_single_precision(name: str, rng: np.random.Generator) -> None:
    X, Y = walks(rng, 18, 5, 3), walks(rng, 17, 6, 3)
    kappa, _ = kernel_of(name)
    found = []
    for dtype in (tf.float32, tf.float64):
        inputs = [tf.constant(each, dtype) for each in (X, Y)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            k = sk.signature_kernel_gram(*inputs, static_kernel=kappa, difference=False)
        found.append(tape.gradient(k, inputs))
    for single, double in zip(*found, strict=True):
        close(single, double, 1e-5)


@pytest.mark.parametrize("name", COMPILED[2:])
def test_derivatives_along_a_direction(name: str, rng: np.random.Generator) -> None:
    X, Y, direction = walks(rng, 3, 5, 2), walks(rng, 3, 4, 2), rng.normal(size=(3, 5, 2))
    kappa, _ = kernel_of(name)
    k, derivative = sk.directional_derivative(X, Y, direction, static_kernel=kappa)
    close(k, sk.signature_kernel(X, Y, static_kernel=kappa), 1e-14)
    for n in range(3):
        one = [each[n : n + 1] for each in (X, Y, direction)]
        slope = oracles.slope(lambda x, y=one[1]: sk.signature_kernel(x, y, static_kernel=kappa)[0], one[0], one[2])
        close(derivative[n], slope, 1e-7)


@pytest.mark.parametrize("difference", [False, True])
@pytest.mark.parametrize("name", [*COMPILED, "rational_quadratic"])
def test_the_estimate_bounds_the_error(name: str, difference: bool, rng: np.random.Generator) -> None:
    X, Y = (ragged(rng, 4, 4, 2).astype(np.float32) for _ in range(2))
    options = {"static_kernel": kernel_of(name)[0], "difference": difference, "return_error": True}
    k, error = sk.signature_kernel_gram(X, Y, **options)
    true = np.array([[expected(name, x, y, difference=difference) for y in Y] for x in X])
    assert np.all(np.abs(k - true) <= error)
    assert np.max(error) < 1e-3
    of_pairs = sk.signature_kernel(X, Y, **options)
    close(of_pairs[0], np.diag(k), 1e-6)
    assert np.all(np.abs(of_pairs[0] - np.diag(true)) <= of_pairs[1])
    symmetric = sk.signature_kernel_gram(X, **options)
    np.testing.assert_array_equal(symmetric[1], np.transpose(symmetric[1]))
    assert sk.signature_kernel_diag(X, **options)[1].shape == (4,)


@pytest.mark.parametrize("name", ["matern52", "rational_quadratic"])
def test_leading_axes_and_unknown_shapes(name: str, rng: np.random.Generator) -> None:
    X, Y = walks(rng, 6, 5, 2).reshape(2, 3, 5, 2), walks(rng, 8, 4, 2).reshape(2, 4, 4, 2)
    kappa, _ = kernel_of(name)
    gram = functools.partial(sk.signature_kernel_gram, static_kernel=kappa, difference=False)
    apart = np.stack([gram(x, y) for x, y in zip(X, Y, strict=True)])
    close(gram(X, Y), apart, 1e-15)
    for shape in ([None, None, None, None], [None, 3, 5, 2]):
        traced = tf.function(gram, input_signature=[tf.TensorSpec(shape, tf.float64), tf.TensorSpec(None, tf.float64)])
        if shape[1] is None:
            traced = tf.function(gram, input_signature=[tf.TensorSpec([None] * 4, tf.float64)] * 2)
            close(traced(X, Y), apart, 1e-15)
            assert traced(X[:0], Y[:0]).shape == (0, 3, 4)
    unknown = tf.function(gram, input_signature=[tf.TensorSpec(None, tf.float64)] * 2)
    close(unknown(X[0], Y[0]), apart[0], 1e-15)
    assert gram(X[0, :0], Y[0]).shape == (0, 4)
    diagonal = sk.signature_kernel_diag(X, static_kernel=kappa, difference=False)
    close(diagonal, np.stack([np.diag(gram(x)) for x in X]), 1e-15)


def test_difference_must_be_a_boolean(rng: np.random.Generator) -> None:
    with pytest.raises(TypeError, match="difference must be True or False, got 1"):
        sk.signature_kernel_gram(walks(rng, 2, 3, 1), difference=1)


def test_an_overflow_names_the_points() -> None:
    X = np.full([1, 2, 2], 1e8)
    X[0, 1] = 2e8
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"X\[0\] and X\[0\], whose points have inner products up to"
    ):
        sk.signature_kernel_gram(X, difference=False)
