"""Models that hold the Keras layers: training, precision, files. ``test_layers_backends.py`` also runs this file."""

import keras
import numpy as np
import pytest
from keras_layers import JIT, LAYERS
from random_walks import random_paths

import sigkernel_tf as sk


@pytest.mark.parametrize(("layer", "jit"), [(sk.SignatureLayer, JIT[0]), (sk.LogSignatureLayer, JIT[-1])])
def test_training(layer, jit):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 64)  # is a loop walked one way round, or the other?
    angle = np.linspace(0, 2 * np.pi, 12) * np.where(y, 1, -1)[:, None]
    X = (np.stack([np.cos(angle), np.sin(angle)], axis=-1) + 0.05 * rng.normal(size=(64, 12, 2))).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((None, 2)), layer(2, trainable_scaling=True),
        keras.layers.Dense(1, activation="sigmoid", kernel_initializer="zeros"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"], jit_compile=jit)
    model.fit(X, y, epochs=30, batch_size=16, verbose=0)
    loss, accuracy = model.evaluate(X, y, verbose=0)
    assert accuracy > 0.95
    assert loss < 0.4
    assert np.abs(keras.ops.convert_to_numpy(model.layers[0].scaling) - 1).max() > 0.01


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("layer", LAYERS)
def test_mixed_precision_computes_in_float32(layer, half):
    X = (random_paths(3, 40, 2) + 100).astype("float32")  # increments that float16 paths would not have
    value = layer(3, dtype=f"mixed_{half}")(X)
    assert keras.backend.standardize_dtype(value.dtype) == half
    expected = keras.ops.cast(layer(3, dtype="float32")(X), half)
    value, expected = (keras.ops.convert_to_numpy(keras.ops.cast(v, "float32")) for v in (value, expected))
    np.testing.assert_array_equal(value, expected)


def test_mixed_precision_trains():
    X = random_paths(8, 10, 2).astype("float32")
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    model = keras.Sequential([
        keras.Input((None, 2)), keras.layers.Dense(3, dtype=policy),
        sk.SignatureLayer(2, trainable_scaling=True, dtype=policy), keras.layers.Dense(1, dtype=policy),
    ])  # fmt: skip
    assert model.layers[1].compute_dtype == "float16"
    model.compile("sgd", "mse")
    model.fit(X, np.ones((8, 1)), epochs=2, verbose=0)
    assert model.layers[1].scaling.dtype == "float32"
    weights = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    assert all(np.isfinite(w).all() for w in weights)
    assert (weights[2] != 1).all()


FULL = {"depth": 2, "stream": True, "add_time": True, "add_basepoint": True, "trainable_scaling": True,
        "scaling_initializer": keras.initializers.Constant(0.5), "scaling_regularizer": keras.regularizers.L2(0.1),
        "name": "features", "dtype": "float32"}  # fmt: skip


@pytest.mark.parametrize(("layer", "own"), [
    (sk.SignatureLayer, {"include_level_zero": True}), (sk.LogSignatureLayer, {"basis": "expanded"}),
])  # fmt: skip
def test_config(layer, own):
    one = layer(**FULL, **own)
    config = one.get_config()
    assert config | own == config
    for key in ("depth", "stream", "add_time", "add_basepoint", "trainable_scaling", "name"):
        assert config[key] == FULL[key]
    other = layer.from_config(config)
    assert other.get_config() == config
    other.build((None, None, 2))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(other.scaling), [0.5] * 3)
    assert keras.saving.get_registered_name(layer) == f"sigkernel_tf>{layer.__name__}"


@pytest.mark.parametrize("layer", LAYERS)
def test_saving_and_loading(layer, tmp_path):
    X = random_paths(4, 6, 2).astype("float32")
    model = keras.Sequential([keras.Input((None, 2)), layer(**FULL), keras.layers.GlobalAveragePooling1D(),
                              keras.layers.Dense(1)])  # fmt: skip
    model.compile("adam", "mse")
    model.fit(X, np.ones((4, 1)), epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    loaded.fit(X, np.ones((4, 1)), epochs=1, verbose=0)
