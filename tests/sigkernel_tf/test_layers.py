"""
The Keras layers on the backend that Keras runs on; ``test_layers_backends.py`` runs this file on the others.

Values are compared with brute-force tensor algebra, gradients with differences of it. Imports no TensorFlow.
"""

import math

import keras
import numpy as np
import oracles
import pytest
from keras_layers import (
    JIT,
    LAYERS,
    TOLERANCE,
    close,
    expected_log_signature,
    expected_signature,
    gradients,
    values,
    words,
)
from pairwise import pairwise
from random_walks import random_paths

import sigkernel_tf as sk

# Values.


@pairwise({
    "channels,depth": [(1, 6), (2, 4), (4, 3), (3, 2), (2, 1)], "length": [1, 2, 33, 1025], "stream": [False, True],
    "dtype": ["float32", "float64"],
})  # fmt: skip
def test_signature(channels, depth, length, stream, dtype):
    X = random_paths(2, length, channels)
    value = values(sk.SignatureLayer(depth, stream, dtype=dtype), X.astype(dtype))
    assert value.dtype == dtype
    close(value, expected_signature(X, depth, stream=stream), TOLERANCE[dtype])


@pairwise({
    "channels,depth": [(1, 4), (2, 5), (4, 3), (2, 1)], "length": [1, 2, 33], "stream": [False, True],
    "dtype": ["float32", "float64"], "basis": ["words", "expanded"],
})  # fmt: skip
def test_log_signature(channels, depth, length, stream, dtype, basis):
    X = random_paths(2, length, channels)
    value = values(sk.LogSignatureLayer(depth, stream, basis=basis, dtype=dtype), X.astype(dtype))
    assert value.dtype == dtype
    close(value, expected_log_signature(X, depth, stream=stream, basis=basis), TOLERANCE[dtype])


def test_log_signature_of_a_long_path():
    X = random_paths(2, 1025, 3)
    close(values(sk.LogSignatureLayer(3, dtype="float64"), X), expected_log_signature(X, 3), 1e-12)


def test_log_signature_of_a_straight_line_is_its_step():
    X = np.linspace(np.zeros(3), np.array([1.0, -2.0, 0.5]), 7)[None]
    expected = np.zeros((1, 32))
    expected[0, :3] = [1.0, -2.0, 0.5]
    close(sk.LogSignatureLayer(4, dtype="float64")(X), expected, 1e-14)


def test_log_signature_of_a_corner_has_its_area():
    corner = np.array([[[0.0, 0.0], [2.0, 0.0], [2.0, 3.0]]])
    close(sk.LogSignatureLayer(2, dtype="float64")(corner), np.array([[2.0, 3.0, 3.0]]), 1e-15)


@pytest.mark.parametrize("stream", [False, True])
def test_the_logarithm_of_one_channel_is_exact(stream):
    X = 1000.0 * random_paths(2, 4, 1).astype("float32")
    log = keras.ops.convert_to_numpy(sk.LogSignatureLayer(4, stream, basis="expanded")(X))
    assert log.shape == ((2, 4, 4) if stream else (2, 4))
    assert (log[..., 1:] == 0).all()
    np.testing.assert_allclose(log[:, -1, 0] if stream else log[:, 0], X[:, -1, 0] - X[:, 0, 0], rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("stream", [False, True])
def test_level_zero(stream):
    X = random_paths(2, 5, 2)
    value = values(sk.SignatureLayer(3, stream, include_level_zero=True, dtype="float64"), X)
    expected = expected_signature(X, 3, stream=stream)
    close(value, np.concatenate([np.ones_like(expected[..., :1]), expected], axis=-1), 1e-14)


@pairwise({
    "layer": LAYERS, "time,basepoint": [(True, False), (False, True), (True, True)], "length": [1, 2, 6],
    "stream": [False, True],
})  # fmt: skip
def test_time_and_base_point(layer, time, basepoint, length, stream):
    X = random_paths(3, length, 2)
    path = X
    if time:
        path = np.concatenate([np.tile(np.linspace(0, 1, length)[:, None], (3, 1, 1)), path], axis=-1)
    if basepoint:
        path = np.concatenate([np.zeros_like(path[:, :1]), path], axis=1)
    value = values(layer(3, stream, add_time=time, add_basepoint=basepoint, dtype="float64"), X)
    expected = expected_signature if layer is sk.SignatureLayer else expected_log_signature
    close(value, expected(path, 3, stream=stream), 1e-13)


def test_scaling_multiplies_a_word_by_its_letters_thetas():
    X = random_paths(2, 5, 2)
    layer = sk.SignatureLayer(3, add_time=True, trainable_scaling=True, dtype="float64")
    plain = values(layer, X)
    theta = [0.5, -2.0, 3.0]
    layer.set_weights([np.array(theta)])
    close(values(layer, X), plain * [math.prod(theta[i] for i in word) for word in words(3, 3)], 1e-13)  # eq. 17


def test_scaling_is_initialized_and_regularized():
    layer = sk.SignatureLayer(2, trainable_scaling=True, scaling_initializer=keras.initializers.Constant(0.5),
                              scaling_regularizer=keras.regularizers.L1(0.1))  # fmt: skip
    layer.build((None, None, 3))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.scaling), [0.5] * 3)
    assert float(keras.ops.convert_to_numpy(sum(layer.losses))) == pytest.approx(0.15)


# Gradients.


@pairwise({
    "channels,length,depth,stream": [
        (2, 5, 4, False), (3, 4, 3, True), (1, 4, 3, False), (2, 1, 2, False), (2, 2, 3, True), (2, 5, 1, False),
    ],
    "layer": LAYERS, "jit": JIT,
})  # fmt: skip
def test_gradient(layer, channels, length, depth, stream, jit):
    X = random_paths(2, length, channels)
    expected = expected_signature if layer is sk.SignatureLayer else expected_log_signature
    weights = np.random.default_rng(1).normal(size=expected(X, depth, stream=stream).shape)
    (computed,) = gradients(layer(depth, stream, dtype="float64"), X, weights, jit=jit)
    function = lambda x: np.sum(weights * expected(x, depth, stream=stream))  # noqa: E731
    close(computed, oracles.central_differences(function, X, 1e-3), 1e-9)


@pytest.mark.parametrize("jit", JIT)
def test_gradient_of_the_scaling(jit):
    X = random_paths(2, 5, 2)
    theta, weights = np.array([0.5, -2.0, 3.0]), np.random.default_rng(1).normal(size=(2, 39))
    layer = sk.SignatureLayer(3, add_time=True, trainable_scaling=True, dtype="float64")
    layer.build(X.shape)
    layer.set_weights([theta])
    time = np.tile(np.linspace(0, 1, 5)[:, None], (2, 1, 1))

    def function(t: np.ndarray) -> float:
        return np.sum(weights * expected_signature(np.concatenate([time, X], axis=-1) * t, 3))

    _, computed = gradients(layer, X, weights, jit=jit)
    close(computed, oracles.central_differences(function, theta, 1e-3), 1e-9)


@pytest.mark.parametrize("length", [33, 1025])
def test_gradient_of_a_long_path_along_a_direction(length):
    X, direction = random_paths(1, length, 2), random_paths(1, length, 2, seed=1)
    weights = np.random.default_rng(2).normal(size=(1, 30))
    (computed,) = gradients(sk.SignatureLayer(4, dtype="float64"), X, weights, jit=JIT[0])
    ends = [expected_signature(X + h * direction, 4) for h in (-1e-3, 1e-3, -2e-3, 2e-3)]
    derivative = np.sum(weights * (8 * (ends[1] - ends[0]) - (ends[3] - ends[2]))) / 12e-3
    assert np.sum(computed * direction) == pytest.approx(derivative, rel=1e-8, abs=1e-8)


# Shapes.


@pytest.mark.parametrize("options", [
    {}, {"add_time": True, "add_basepoint": True}, {"stream": True, "add_basepoint": True}, {"stream": True},
])  # fmt: skip
@pytest.mark.parametrize("layer", LAYERS)
def test_unknown_batch_and_length(layer, options):
    layer = layer(3, **options)
    place = keras.Input((None, 2))
    model = keras.Model(place, layer(place))
    assert model.output_shape[0] is None
    assert model.output_shape == layer.compute_output_shape((None, None, 2))
    for count, length in ((1, 1), (3, 2), (2, 9)):
        X = random_paths(count, length, 2).astype("float32")
        value = model.predict(X, verbose=0)
        assert value.shape == layer.compute_output_shape(X.shape)
        close(value, keras.ops.convert_to_numpy(layer(X)), 1e-6)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("layer", LAYERS)
def test_no_paths(layer, stream):
    layer = layer(3, stream)
    X = np.zeros((0, 5, 2), "float32")
    assert tuple(layer(X).shape) == layer.compute_output_shape(X.shape)
    mask = np.zeros((0, 5), bool)
    assert tuple(layer(X, mask=mask).shape) == layer.compute_output_shape(X.shape)


def test_feature_counts():
    assert sk.SignatureLayer(4).compute_output_shape((8, 100, 5)) == (8, 780)
    assert sk.SignatureLayer(4, include_level_zero=True).compute_output_shape((8, 100, 5)) == (8, 781)
    assert sk.SignatureLayer(2, True, add_time=True).compute_output_shape((None, 7, 2)) == (None, 7, 12)
    assert sk.LogSignatureLayer(4).compute_output_shape((8, 100, 2)) == (8, 2 + 1 + 2 + 3)
    assert sk.LogSignatureLayer(6).compute_output_shape((8, 100, 1)) == (8, 1)
    assert sk.LogSignatureLayer(3, basis="expanded").compute_output_shape((8, 100, 2)) == (8, 14)
