"""k and its derivative along a direction, against differences and the gradient."""

import numpy as np
import pytest
import tensorflow as tf
from random_walks import walks

import sigkernel_tf as sk

SOLVERS = [sk.PowerSeries(), sk.FiniteDifference(), sk.FiniteDifference(2)]


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("lengths", [(1, 5), (2, 2), (9, 6), (40, 21)])
def test_agrees_with_differences_and_the_gradient(
    solver: sk.Solver, lengths: tuple[int, int], rng: np.random.Generator
) -> None:
    X, Y = walks(rng, 11, lengths[0], 3), walks(rng, 11, lengths[1], 3)
    direction = rng.normal(size=X.shape)
    k, derivative = sk.directional_derivative(X, Y, direction, solver=solver)
    np.testing.assert_allclose(k, sk.signature_kernel(X, Y, solver=solver), rtol=1e-13)

    def moved(by: float) -> np.ndarray:
        return sk.signature_kernel(X + by * direction, Y, solver=solver).numpy()

    h = 1e-4
    differences = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h)
    np.testing.assert_allclose(derivative, differences, rtol=1e-8, atol=1e-8)
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = sk.signature_kernel(x, Y, solver=solver)
    contracted = tf.reduce_sum(tape.gradient(value, x) * direction, axis=(1, 2))
    np.testing.assert_allclose(derivative, contracted, rtol=1e-11, atol=1e-11)


def test_theorem_4_1s_solver_gives_the_derivative_of_the_same_k(rng: np.random.Generator) -> None:
    X, Y, direction = walks(rng, 4, 7, 2), walks(rng, 4, 8, 2), walks(rng, 4, 7, 2)
    expected = sk.directional_derivative(X, Y, direction, solver=sk.FiniteDifference(1))
    given = sk.directional_derivative(X, Y, direction, solver=sk.FiniteDifference(1, gradient="theorem_4_1"))
    np.testing.assert_array_equal(given, expected)


def test_float32_in_a_function_with_unknown_shapes(rng: np.random.Generator) -> None:
    X, Y, direction = (walks(rng, 5, 12, 2).astype(np.float32) for _ in range(3))
    traced = tf.function(sk.directional_derivative, input_signature=[tf.TensorSpec(None, tf.float32) for _ in range(3)])
    k, derivative = traced(X, Y, direction)
    expected = sk.directional_derivative(*(array.astype(np.float64) for array in (X, Y, direction)))
    assert k.dtype == derivative.dtype == tf.float32
    np.testing.assert_allclose(k, expected[0], rtol=1e-5)
    np.testing.assert_allclose(derivative, expected[1], rtol=1e-4, atol=1e-5)


def test_no_paths() -> None:
    k, derivative = sk.directional_derivative(np.zeros((0, 4, 2)), np.zeros((0, 3, 2)), np.zeros((0, 4, 2)))
    assert k.shape == derivative.shape == (0,)


def test_faults_are_explained(rng: np.random.Generator) -> None:
    X, Y = walks(rng, 3, 5, 2), walks(rng, 3, 5, 2)
    with pytest.raises(ValueError, match=r"direction must have X's shape \(3, 5, 2\).*got \(3, 4, 2\)"):
        sk.directional_derivative(X, Y, X[:, :4])
    with pytest.raises(TypeError, match="X and direction must have one dtype"):
        sk.directional_derivative(X, Y, X.astype(np.float32))
    direction = X.copy()
    direction[1, 2, 0] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="direction must hold finite numbers; path 1 .* step 2"):
        sk.directional_derivative(X, Y, direction)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"X\[0\] and Y\[0\], whose increments .* Rescale"):
        sk.directional_derivative(X * 1e3, X * 1e3, X)


def test_forward_accumulator_says_what_to_use_instead(rng: np.random.Generator) -> None:
    X, Y = tf.constant(walks(rng, 3, 5, 2)), tf.constant(walks(rng, 3, 5, 2))
    with pytest.raises(LookupError, match="directional_derivative"), tf.autodiff.ForwardAccumulator(X, X):
        sk.signature_kernel(X, Y)
