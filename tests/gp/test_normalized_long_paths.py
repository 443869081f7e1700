"""Normalized kernels of paths whose own kernel is far beyond the largest number: values, gradients and models."""

import gpflow
import log_scale
import numpy as np
import pytest
import tensorflow as tf

from sigkernel_tf import FiniteDifference
from sigkernel_tf.gp import OrthogonalSignatureFeatures, SigGPDE, SignatureKernel, check_residual, flatten_paths


def long_paths(count: int, length: int, apart: float = 0.01) -> np.ndarray:
    """Random walks of unit steps that are close to each other, [count, length + 1, 2]."""
    rng = np.random.default_rng(4)
    steps = rng.standard_normal([1, length, 2]) + apart * rng.standard_normal([count, length, 2])
    steps /= np.linalg.norm(steps, axis=-1, keepdims=True)
    return np.concatenate([np.zeros([count, 1, 2]), np.cumsum(steps, axis=1)], axis=1)


def normalized(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """By long double, which holds all of these kernels."""

    def k(x: np.ndarray, y: np.ndarray) -> np.longdouble:
        return log_scale.finite_difference(np.diff(x, axis=0) @ np.diff(y, axis=0).T)

    norms = [[np.sqrt(k(x, x)) for x in paths] for paths in (X, Y)]
    return np.array(
        [[k(x, y) / a / b for y, b in zip(Y, norms[1], strict=True)] for x, a in zip(X, norms[0], strict=True)]
    )


@pytest.mark.parametrize("length", [1300, pytest.param(5000, marks=pytest.mark.slow)])
def test_values(length: int) -> None:
    X = 1.3 * long_paths(3, length)
    kernel = SignatureKernel(2, variance=1.5, normalize=True, solver=FiniteDifference())
    x, expected = flatten_paths(X), 1.5 * normalized(X, X).astype(float)
    np.testing.assert_allclose(kernel(x), expected, rtol=1e-9)
    np.testing.assert_array_equal(kernel(x), tf.transpose(kernel(x)))
    np.testing.assert_allclose(kernel(x, x[1:]), expected[:, 1:], rtol=1e-9)
    np.testing.assert_allclose(kernel(x, full_cov=False), np.diag(expected), rtol=1e-9)
    with pytest.raises(tf.errors.InvalidArgumentError, match="overflows float64"):
        SignatureKernel(2, solver=FiniteDifference())(x)
    with pytest.raises(tf.errors.InvalidArgumentError, match="overflows float64"):
        SignatureKernel(2, normalize=True, level_variances=1, solver=FiniteDifference())(x)


def test_in_float32() -> None:
    X = 1.3 * long_paths(3, 200)
    assert np.log(log_scale.finite_difference(np.diff(X[0], axis=0) @ np.diff(X[0], axis=0).T)) > 89
    with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
        kernel = SignatureKernel(2, normalize=True, solver=FiniteDifference())
        value = kernel(flatten_paths(X))
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, normalized(X, X).astype(float), rtol=1e-4)


def test_the_power_series_with_a_static_kernel() -> None:
    """Longer lengthscales bring the kernel below the largest number, where plain numbers can be compared."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal([3, 260, 12])
    X[1:] = X[:1] + 0.03 * X[1:]
    x = flatten_paths(X)
    for variance, overflows in ((2.0, False), (6.0, True)):
        kernel = SignatureKernel(
            12, normalize=True, static_kernel=gpflow.kernels.RBF(variance=variance, lengthscales=1.6)
        )
        plain = SignatureKernel(12, static_kernel=kernel.static_kernel)
        value = kernel(x).numpy()
        np.testing.assert_allclose(np.diag(value), 1, rtol=1e-12)
        assert np.all(value > 0)
        assert np.all(value < 1 + 1e-12)
        if overflows:
            with pytest.raises(tf.errors.InvalidArgumentError, match="overflows float64"):
                plain(x)
            continue
        k = plain(x).numpy()
        norms = np.sqrt(np.diag(k))
        np.testing.assert_allclose(value, k / norms / norms[:, None], rtol=1e-12)


def test_gradients_reach_the_lengthscales() -> None:
    x = flatten_paths(1.3 * long_paths(2, 1300))
    kernel = SignatureKernel(2, lengthscales=[1.0, 1.1], normalize=True, solver=FiniteDifference())
    with tf.GradientTape() as tape:
        value = kernel(x)[0, 1] + kernel(x[:1], x[1:])[0, 0]
    variable = kernel.lengthscales.unconstrained_variable
    gradient = tape.gradient(value, variable).numpy()
    differences, start = [], variable.numpy()
    for n in range(2):
        moved = []
        for by in (1e-6, -1e-6):
            variable.assign(start + by * np.eye(2)[n])
            moved.append(2 * float(kernel(x)[0, 1]))
        differences.append((moved[0] - moved[1]) / 2e-6)
    assert np.all(np.abs(differences) > 1e-6)
    np.testing.assert_allclose(gradient, differences, rtol=1e-4)


def test_a_sparse_model_has_a_finite_bound_and_gradient() -> None:
    x = flatten_paths(1.3 * long_paths(6, 1300))
    y = np.linspace(-1, 1, 6)[:, None]
    kernel = SignatureKernel(2, normalize=True, solver=FiniteDifference())
    model = gpflow.models.SVGP(kernel, gpflow.likelihoods.Gaussian(), OrthogonalSignatureFeatures(7))
    with tf.GradientTape() as tape:
        bound = model.elbo((x, y))
    gradients = tape.gradient(bound, model.trainable_variables)
    assert np.isfinite(bound)
    assert all(np.all(np.isfinite(tf.convert_to_tensor(gradient))) for gradient in gradients)
    mean, covariance = model.predict_f(x, full_cov=True)
    assert np.all(np.isfinite(mean))
    np.testing.assert_allclose(covariance[0], kernel(x), atol=1e-6)  # the features are nothing beside the norms
    assert check_residual(kernel, model.inducing_variable, x) <= 0
    dense = gpflow.models.GPR((x, y), kernel)
    assert np.isfinite(dense.training_loss())
    classifier = SigGPDE(2, 7, normalize=True, solver=FiniteDifference(), likelihood=gpflow.likelihoods.Bernoulli())
    assert np.isfinite(classifier.elbo((x, (y > 0).astype(float))))
