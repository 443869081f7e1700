"""The errors of the Keras layers for wrong input. ``test_layers_backends.py`` also runs this file."""

import keras
import numpy as np
import pytest
from keras_layers import BACKEND, LAYERS

import sigkernel_tf as sk
from sigkernel_tf import _memory


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"depth": 0}, ValueError, "depth must be at least 1, got 0"),
    ({"depth": 2.0}, TypeError, r"depth must be an int, got 2.0 of type float: for instance depth=3"),
    ({"depth": True}, TypeError, "depth must be an int, got True of type bool"),
])  # fmt: skip
@pytest.mark.parametrize("layer", LAYERS)
def test_bad_depths(layer, options, error, message):
    with pytest.raises(error, match=message):
        layer(**options)


def test_bad_basis():
    with pytest.raises(ValueError, match='basis must be "words" or "expanded", got \'lyndon\''):
        sk.LogSignatureLayer(2, basis="lyndon")


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"dtype": "int32"}, ValueError, "dtype must be a float's or a mixed precision policy, got int32"),
    ({"stream": "no"}, TypeError, "stream must be True or False, got 'no'"),
])  # fmt: skip
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        sk.SignatureLayer(2, **options)


@pytest.mark.parametrize(("shape", "message"), [
    ((3, 2), r"inputs of s must have rank 3, .*got shape \(3, 2\).*inputs\[None\]"),
    ((None, 3, 2, 2), "must have rank 3"),
    ((None, None, None), r"known number of channels, got shape \(None, None, None\): set it, as in keras.Input"),
    ((None, 0, 2), "at least one time step"),
    ((None, None, 0), "at least one channel"),
    ((None, None, 10), r"depth=20 with 10 channels makes 1.1111e\+20 words, 4.4444e\+20 bytes .* lower it"),
])  # fmt: skip
@pytest.mark.parametrize("layer", LAYERS)
def test_bad_shapes(layer, shape, message):
    deep = layer(20, name="s", dtype="float32")
    for look in (deep.build, deep.compute_output_shape):
        with pytest.raises(ValueError, match=message):
            look(shape)
    if len(shape) > 1:
        with pytest.raises(ValueError, match=message):
            deep(keras.Input(batch_shape=shape))


def test_the_time_channel_counts_as_one():
    with pytest.raises(ValueError, match="depth=20 with 11 channels"):
        sk.SignatureLayer(20, add_time=True).build((None, None, 10))


@pytest.fixture
def little_memory(monkeypatch):
    """A machine with a megabyte."""
    monkeypatch.setattr(_memory, "memory", lambda: 1_000_000)


@pytest.mark.parametrize(("options", "fits", "too_many"), [
    ({}, (200, 9, 3), (300, 9, 3)), ({}, (None, 9, 3), (300, None, 3)),
    ({"stream": True}, (20, 10, 3), (30, 10, 3)), ({"stream": True}, (20, None, 3), (None, 300, 3)),
    ({"stream": True, "add_basepoint": True}, (2, 99, 3), (3, 99, 3)),
])  # fmt: skip
@pytest.mark.parametrize("layer", LAYERS)
def test_the_words_of_all_paths_are_counted(layer, options, fits, too_many, little_memory):
    layer = layer(6, **options, dtype="float32")
    message = r"depth=6 with 3 channels makes 1093 words, 1.3116e\+6 bytes for all 300 signatures; .* fewer paths"
    for look in (layer.compute_output_shape, layer.build):
        with pytest.raises(ValueError, match=message):
            look(too_many)
    layer.build(fits)
    with pytest.raises(ValueError, match=message):
        layer(keras.Input(batch_shape=too_many))
    if None not in too_many:
        with pytest.raises(ValueError, match=message):
            layer(np.zeros(too_many, "float32"))


def test_doubles_count_twice(little_memory):
    sk.SignatureLayer(6, dtype="float32").build((200, 9, 3))
    with pytest.raises(ValueError, match=r"1.7488e\+6 bytes for all 200 signatures"):
        sk.SignatureLayer(6, dtype="float64").build((200, 9, 3))


@pytest.mark.parametrize("layer", LAYERS)
def test_what_keras_operations_keep_of_each_time_step_is_counted(layer, little_memory):
    layer = layer(6, dtype="float32")
    layer(np.zeros((1, 1000, 3), "float32"))  # 3 + 9 + 27 + 81 words, and 81 and 9 more
    X = np.zeros((2, 1000, 3), "float32")
    if BACKEND == "tensorflow":
        layer(X)  # the compiled operation keeps nothing
    else:
        message = r"depth=6 with 3 channels, .* makes 210 words, 1.6800e\+6 bytes for all 2000 time steps; .* fewer"
        with pytest.raises(ValueError, match=message):
            layer(X)


def test_a_list_of_lyndon_words_is_counted(little_memory):
    sk.LogSignatureLayer(5, basis="expanded", dtype="float32").build((1, 9, 11))
    with pytest.raises(ValueError, match="depth=5 with 11 channels makes 16105 words, .* bytes for each list"):
        sk.LogSignatureLayer(5, dtype="float32").build((1, 9, 11))


def test_other_inputs_than_it_was_built_for():
    layer = sk.SignatureLayer(2, name="s")
    layer(np.zeros((1, 3, 2), "float32"))
    with pytest.raises(ValueError, match="inputs of s must have the 2 channels that it was built with, got shape"):
        layer(np.zeros((1, 3, 4), "float32"))
    with pytest.raises(ValueError, match="must have rank 3"):
        layer(np.zeros((3, 2), "float32"))


@pytest.mark.parametrize("dtype", ["int32", "bool"])
def test_inputs_that_are_not_floats(dtype):
    for inputs in (np.zeros((1, 3, 2), dtype), keras.Input((None, 2), dtype=dtype)):
        with pytest.raises(TypeError, match=f"inputs of .* must be floats, got {dtype}: cast them first"):
            sk.SignatureLayer(2)(inputs)
