"""A Keras model before the signature kernel."""

import gpflow
import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from comparisons import close
from random_walks import walks

from sigkernel_tf.gp import (
    DeepSignatureKernel,
    OrthogonalSignatureFeatures,
    SignatureKernel,
    TrainingOptions,
    fit_least_squares,
    flatten_paths,
    train,
)


def network(dtype: str = "float64") -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input([None, 2], dtype=dtype), keras.layers.GRU(3, return_sequences=True, dtype=dtype)]
    )


@pytest.fixture(name="paths", scope="module")
def fixture_paths() -> np.ndarray:
    return walks(np.random.default_rng(0), 6, 5, 2, scale=2.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_the_kernel_of_what_the_network_returns(dtype: str, paths: np.ndarray) -> None:
    g = network(dtype)
    returned = np.asarray(g(paths.astype(dtype)))
    X, tolerance = flatten_paths(paths), 1e-6 if dtype == "float32" else 1e-12
    for options in ({}, {"normalize": True, "lengthscales": [0.5, 1.0, 2.0]}, {"static_kernel": gpflow.kernels.RBF()}):
        deep, plain = DeepSignatureKernel(g, **options), SignatureKernel(3, **options)
        expected = plain(flatten_paths(returned))
        close(deep(X), expected, tolerance)
        close(deep(X, X[:2]), expected[:, :2], tolerance)
        close(deep(X, full_cov=False), np.diag(expected), tolerance)
        close(deep(X.reshape(2, 3, -1))[1], expected[3:, 3:], tolerance)
    features = OrthogonalSignatureFeatures(13)
    expected = gpflow.covariances.Kuf(features, SignatureKernel(3), flatten_paths(returned))
    close(gpflow.covariances.Kuf(features, DeepSignatureKernel(g), X), expected, tolerance)


def test_padding_changes_nothing(paths: np.ndarray) -> None:
    kernel = DeepSignatureKernel(network())
    padded = np.concatenate([paths, np.repeat(paths[:, -1:], 4, axis=1)], axis=1)
    close(kernel(flatten_paths(padded)), kernel(flatten_paths(paths)), 1e-13)


def test_gradients_reach_the_weights(paths: np.ndarray) -> None:
    kernel, X = DeepSignatureKernel(network()), flatten_paths(paths)
    upstream = np.random.default_rng(1).normal(size=(6, 6))
    variables = kernel.trainable_variables
    assert len(variables) == 2 + len(kernel.network.trainable_weights)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(kernel(X) * upstream)
    for variable, found in zip(variables, tape.gradient(value, variables), strict=True):
        start = variable.numpy()
        direction = np.asarray(np.random.default_rng(2).normal(size=start.shape))

        def moved(numbers: np.ndarray, variable: tf.Variable = variable) -> float:
            variable.assign(numbers)
            return float(tf.reduce_sum(kernel(X) * upstream))

        close(np.sum(found * direction), oracles.slope(moved, start, direction, 1e-3), 1e-8)
        variable.assign(start)


def test_training_moves_the_weights_of_its_own_network(paths: np.ndarray) -> None:
    """A copy, such as a fit in closed form keeps, has a network of its own."""
    X, y = flatten_paths(paths), paths[:, -1, :1]
    kernel = DeepSignatureKernel(network())
    model = gpflow.models.SVGP(kernel, gpflow.likelihoods.Gaussian(), OrthogonalSignatureFeatures(13), num_data=6)
    fit = fit_least_squares(model, X, y)
    before, expected = kernel.network.get_weights(), fit.predict(X)
    copied = gpflow.utilities.deepcopy(kernel)
    options = TrainingOptions(iterations=2, batch_size=3, validation_fraction=0.4, monitor_every=1, progress=False)
    train(model, (X, y), options)
    assert any((one != other).any() for one, other in zip(before, kernel.network.get_weights(), strict=True))
    close(fit.predict(X), expected, 0.0)
    for one, other in zip(before, copied.network.get_weights(), strict=True):
        close(one, other, 0.0)
    copied.network.set_weights(kernel.network.get_weights())
    copied.lengthscales.assign(kernel.lengthscales)
    copied.variance.assign(kernel.variance)
    close(copied(X), kernel(X), 1e-13)
    assert {id(each) for each in copied.trainable_variables}.isdisjoint(
        {id(each) for each in kernel.trainable_variables}
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DeepSignatureKernel(keras.layers.GRU(3)), TypeError, "network must be a keras.Model, got GRU"),
        (
            lambda: DeepSignatureKernel(keras.Sequential([keras.layers.GRU(3)])),
            ValueError,
            "network must be built, with one input",
        ),
        (
            lambda: DeepSignatureKernel(keras.Sequential([keras.Input([None, 2]), keras.layers.GRU(3)])),
            ValueError,
            r"got \(None, None, 2\) and \(None, 3\): .*return_sequences=True",
        ),
        (lambda: DeepSignatureKernel(network(), channels=[0]), ValueError, "channels must be None here"),
    ],
)
def test_wrong_networks_are_refused(make, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()
