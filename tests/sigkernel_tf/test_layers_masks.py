"""The Keras layers on paths of unequal length: masks and lengths. ``test_layers_backends.py`` also runs this file."""

import keras
import numpy as np
import pytest
from keras_layers import JIT, LAYERS, close, gradients
from random_walks import random_paths

import sigkernel_tf as sk


def padded(X: np.ndarray, mask: np.ndarray, fill: float) -> np.ndarray:
    """Paths of ``mask``'s shape that have the steps of X where it is true, and ``fill`` elsewhere."""
    paths = np.full((*mask.shape, X.shape[2]), fill)
    for path, kept, own in zip(paths, mask, X, strict=True):
        path[kept] = own[: kept.sum()]
    return paths


MASK = np.array([
    [1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1], [0, 1, 0, 0, 1, 1, 0], [0, 0, 0, 1, 0, 0, 0],
], bool)  # fmt: skip
OPTIONS = [{}, {"add_time": True}, {"add_basepoint": True}, {"add_time": True, "add_basepoint": True}]


@pytest.mark.parametrize("fill", [0.0, 7.0, np.nan])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("layer", LAYERS)
def test_masked_steps_change_nothing(layer, options, fill):
    X = random_paths(5, 7, 2)
    layer = layer(3, dtype="float64", **options)
    value = keras.ops.convert_to_numpy(layer(padded(X, MASK, fill), mask=MASK))
    for i, kept in enumerate(MASK):
        close(value[i : i + 1], keras.ops.convert_to_numpy(layer(X[i : i + 1, : kept.sum()])), 1e-13)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_stream_stands_still_where_it_is_masked(options):
    X = random_paths(5, 7, 2)
    layer = sk.SignatureLayer(3, True, dtype="float64", **options)
    value = keras.ops.convert_to_numpy(layer(padded(X, MASK, np.nan), mask=MASK))
    first = int("add_basepoint" in options)
    for i, kept in enumerate(MASK):
        alone = keras.ops.convert_to_numpy(layer(X[i : i + 1, : kept.sum()]))[0]
        steps = np.maximum(np.cumsum(kept) - 1, 0) + first
        close(value[i], alone[[0] * first + steps.tolist()], 1e-13)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_path_masked_throughout_rests_at_zero(options):
    X = np.full((2, 4, 2), np.nan)
    layer = sk.SignatureLayer(2, dtype="float64", **options)
    value = keras.ops.convert_to_numpy(layer(X, mask=np.zeros((2, 4), bool)))
    np.testing.assert_array_equal(value, np.zeros_like(value))


def test_lengths_are_a_mask():
    X = random_paths(4, 6, 2)
    lengths = np.array([6, 3, 1, 0])
    layer = sk.SignatureLayer(3, add_time=True, add_basepoint=True)
    expected = keras.ops.convert_to_numpy(layer(X, mask=np.arange(6) < lengths[:, None]))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(X, lengths=lengths)), expected)
    place, ends = keras.Input((None, 2)), keras.Input((), dtype="int32")
    model = keras.Model([place, ends], layer(place, lengths=ends))
    close(model.predict([X.astype("float32"), lengths.astype("int32")], verbose=0), expected, 1e-6)


def test_lengths_and_masks_as_lists():
    layer, X = sk.SignatureLayer(2), random_paths(2, 4, 3).astype("float32")
    expected = layer(X, lengths=np.array([2, 4]))
    close(layer(X, lengths=[2, 4]), keras.ops.convert_to_numpy(expected), 0)
    close(layer(X, mask=[[True] * 2 + [False] * 2, [True] * 4]), keras.ops.convert_to_numpy(expected), 0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("basepoint", [False, True])
def test_a_mask_comes_from_the_layer_before_and_goes_to_the_next(basepoint, stream):
    X = padded(random_paths(5, 7, 2) + 10, MASK, 0.0)
    layer = sk.SignatureLayer(2, stream, add_basepoint=basepoint, dtype="float64")
    masked = keras.layers.Masking(dtype="float64")(X)
    value = layer(masked)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(value), keras.ops.convert_to_numpy(layer(X, mask=MASK)))
    handed_on = layer.compute_mask(X, MASK)
    if stream:
        expected = np.concatenate([np.ones((5, 1), bool)] * basepoint + [MASK], axis=1)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(handed_on), expected)
    else:
        assert handed_on is None
        assert getattr(value, "_keras_mask", None) is None


def test_a_masked_stream_goes_into_a_recurrent_layer():
    X = padded(random_paths(5, 7, 2) + 10, MASK, 0.0)
    place = keras.Input((None, 2))
    stream = sk.LogSignatureLayer(2, True, add_basepoint=True)(keras.layers.Masking()(place))
    model = keras.Model(place, keras.layers.GRU(4)(stream))
    assert model.predict(X, verbose=0).shape == (5, 4)


@pytest.mark.parametrize(("options", "jit"), [({}, JIT[0]), ({"add_time": True, "add_basepoint": True}, JIT[-1])])
def test_gradient_under_a_mask(options, jit):
    X = random_paths(5, 7, 2)
    layer = sk.SignatureLayer(3, dtype="float64", **options)
    weights = np.random.default_rng(1).normal(size=layer(X).shape)
    (computed,) = gradients(layer, padded(X, MASK, np.nan), weights, jit=jit, mask=keras.ops.convert_to_tensor(MASK))
    assert (computed[~MASK] == 0).all()
    for i in (0, 3):
        kept = MASK[i]
        (alone,) = gradients(layer, X[i : i + 1, : kept.sum()], weights[i : i + 1], jit=jit)
        close(computed[i, kept], alone[0], 1e-12)


@pytest.mark.parametrize(("call", "message"), [
    ({"mask": np.ones((2, 4), bool), "lengths": np.array([1, 1])}, "from mask or from lengths, got both"),
    ({"mask": np.ones((2, 3), bool)}, r"mask must have shape \(paths, time steps\), \(2, 4\) here, got \(2, 3\)"),
    ({"mask": np.ones(4, bool)}, r"mask must have shape .* got \(4,\)"),
    ({"lengths": np.array([[1, 1]])}, r"lengths must have shape \(paths\), \(2,\) here, got \(1, 2\)"),
    ({"lengths": 3}, r"lengths must have shape \(paths\), \(2,\) here, got \(\)"),
    ({"lengths": [4, 5]}, "lengths must be from 0 to the 4 steps of the inputs, got 5 for path 1"),
    ({"lengths": [-1, 4]}, "lengths must be from 0 to the 4 steps of the inputs, got -1 for path 0"),
])  # fmt: skip
def test_bad_masks_and_lengths(call, message):
    with pytest.raises(ValueError, match=message):
        sk.SignatureLayer(2)(np.zeros((2, 4, 3), "float32"), **call)


def test_lengths_that_are_no_arguments():
    with pytest.raises(TypeError, match="lengths must be integers, the number of steps of each path that count"):
        sk.SignatureLayer(2)(np.zeros((2, 4, 3), "float32"), lengths=[1.5, 2.0])
