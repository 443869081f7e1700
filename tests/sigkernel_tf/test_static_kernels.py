"""Static kernels against GPflow's, and the signature kernels on them against differences and invariances."""

import functools
from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf

import sigkernel_tf as sk
from sigkernel_tf import static_kernels

PEERS = {
    "linear": gpflow.kernels.Linear,
    "rbf": gpflow.kernels.SquaredExponential,
    "matern12": gpflow.kernels.Matern12,
    "matern32": gpflow.kernels.Matern32,
    "matern52": gpflow.kernels.Matern52,
    "rational_quadratic": gpflow.kernels.RationalQuadratic,
}
STATIONARY = [name for name in PEERS if name != "linear"]


def walks(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).cumsum(axis=1) / np.sqrt(shape[1])


def kernel_of(name: str, **parameters: object) -> Callable:
    return functools.partial(getattr(static_kernels, name), **parameters)


@pytest.mark.parametrize("name", PEERS)
def test_values_are_gpflows(name: str, rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))
    parameters = {"variance": 1.7}
    if name != "linear":
        parameters["lengthscale"] = np.array([0.5, 2.0, 1.1])
    if name == "rational_quadratic":
        parameters["alpha"] = 0.6
    peer = PEERS[name](**{key.replace("scale", "scales"): value for key, value in parameters.items()})
    np.testing.assert_allclose(kernel_of(name, **parameters)(X, Y), peer(X, Y), rtol=1e-12, atol=1e-14)


def test_linear_increments_are_the_signature_kernels(rng: np.random.Generator) -> None:
    X, Y = walks(rng, 4, 9, 3), walks(rng, 5, 7, 3)
    p = static_kernels.increments(static_kernels.linear, X[:, None], Y[None])
    assert p.shape == (4, 5, 8, 6)
    np.testing.assert_allclose(sk.solve_goursat(p), sk.signature_kernel_gram(X, Y), rtol=1e-12)


@pytest.mark.parametrize("name", STATIONARY)
def test_invariances_and_positivity(name: str, rng: np.random.Generator) -> None:
    """Symmetric and positive semi-definite; padding and a common translation change nothing."""
    X = walks(rng, 12, 6, 2)
    kappa = kernel_of(name, lengthscale=0.8)

    def gram(paths: np.ndarray) -> np.ndarray:
        return sk.solve_goursat(static_kernels.increments(kappa, paths[:, None], paths[None])).numpy()

    K = gram(X)
    np.testing.assert_allclose(K, K.T, rtol=1e-12)
    assert np.linalg.eigvalsh(K)[0] > -1e-10 * np.trace(K)
    np.testing.assert_allclose(gram(np.concatenate([X, X[:, -1:]], axis=1)), K, rtol=1e-12)
    np.testing.assert_allclose(gram(X + 3.0), K, rtol=1e-10)


@pytest.mark.parametrize("name", STATIONARY)
def test_gradients_reach_points_and_parameters(name: str, rng: np.random.Generator) -> None:
    X, Y = walks(rng, 3, 5, 2), walks(rng, 3, 6, 2)
    direction = rng.normal(size=X.shape)
    parameters = {"lengthscale": 0.7, "variance": 1.3} | ({"alpha": 0.6} if name == "rational_quadratic" else {})

    def total(x: tf.Tensor, **values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(sk.solve_goursat(static_kernels.increments(kernel_of(name, **values), x, Y)))

    x, variables = tf.constant(X), {key: tf.Variable(value, dtype=tf.float64) for key, value in parameters.items()}
    with tf.GradientTape() as tape:
        tape.watch(x)
        gradient = tape.gradient(total(x, **variables), {"x": x, **variables})
    h = 1e-6
    moved = [float(total(tf.constant(X + sign * h * direction), **parameters)) for sign in (1, -1)]
    assert float(tf.reduce_sum(gradient["x"] * direction)) == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=1e-6)
    for key, value in parameters.items():
        moved = [float(total(x, **{**parameters, key: value + sign * h})) for sign in (1, -1)]
        assert float(gradient[key]) == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", STATIONARY)
def test_gradient_is_finite_where_points_coincide(name: str, rng: np.random.Generator) -> None:
    x = tf.constant(walks(rng, 2, 5, 2))
    with tf.GradientTape() as tape:
        tape.watch(x)
        k = sk.solve_goursat(static_kernels.increments(kernel_of(name), x, x))
    assert np.isfinite(tape.gradient(k, x)).all()


def test_float32_and_unknown_shapes_in_a_function(rng: np.random.Generator) -> None:
    X, Y = walks(rng, 3, 5, 2).astype(np.float32), walks(rng, 3, 6, 2).astype(np.float32)

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32), tf.TensorSpec(None, tf.float32)])
    def kernel(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return sk.solve_goursat(static_kernels.increments(static_kernels.rbf, x, y))

    expected = sk.solve_goursat(static_kernels.increments(static_kernels.rbf, X.astype(float), Y.astype(float)))
    np.testing.assert_allclose(kernel(X, Y), expected, rtol=1e-5)


def test_faults_are_explained(rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(5, 3)), rng.normal(size=(4, 2))
    with pytest.raises(ValueError, match="same number of channels, got 3 and 2"):
        static_kernels.rbf(X, Y)
    with pytest.raises(ValueError, match="X must have rank 2 or more"):
        static_kernels.increments(static_kernels.rbf, X[0], X)
    with pytest.raises(TypeError, match="X and Y must have one dtype"):
        static_kernels.linear(X, X.astype(np.float32))
    with pytest.raises(TypeError, match="lengthscale must be a number or a tensor of the points' dtype float64"):
        static_kernels.rbf(X, X, lengthscale=tf.constant(1.0, tf.float32))
