"""What the Keras layers do only on TensorFlow: the compiled operation, XLA, ragged tensors, SavedModels."""

import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from random_walks import random_paths

import sigkernel_tf as sk

if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)


def operations(function) -> set[str]:
    graph = function.get_concrete_function(tf.TensorSpec([None, None, 2], tf.float64)).graph
    return {operation.type for operation in graph.get_operations()}


@pytest.mark.parametrize("stream", [False, True])
def test_it_calls_the_compiled_operation_but_under_xla(stream):
    layer = sk.SignatureLayer(3, stream, include_level_zero=True, dtype="float64")
    layer.build((None, None, 2))
    X = tf.constant(random_paths(4, 9, 2))
    plain, compiled = (tf.function(lambda X: layer(X), jit_compile=jit) for jit in (False, True))
    assert "SigkernelTfSignature" in operations(plain)
    assert "SigkernelTfSignature" not in operations(compiled)
    expected = sk.signature(X, 3, stream=stream).numpy()
    np.testing.assert_array_equal(layer(X), expected)
    np.testing.assert_array_equal(plain(X), expected)
    np.testing.assert_allclose(compiled(X), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("options", [{}, {"add_time": True, "add_basepoint": True}])
@pytest.mark.parametrize("layer", [sk.SignatureLayer, sk.LogSignatureLayer])
def test_xla_takes_masks_and_gradients(layer, options):
    layer = layer(3, dtype="float64", **options)
    X, mask = tf.constant(random_paths(3, 6, 2)), tf.sequence_mask([6, 2, 4], 6)
    layer.build(X.shape)

    def value_and_gradient(X):
        with tf.GradientTape() as tape:
            tape.watch(X)
            value = layer(X, mask=mask)
        return value, tape.gradient(value, X)

    value, gradient = value_and_gradient(X)
    compiled_value, compiled_gradient = tf.function(value_and_gradient, jit_compile=True)(X)
    np.testing.assert_allclose(compiled_value, value, rtol=0, atol=1e-13)
    np.testing.assert_allclose(compiled_gradient, gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"stream": True, "add_time": True, "add_basepoint": True}])
@pytest.mark.parametrize("layer", [sk.SignatureLayer, sk.LogSignatureLayer])
def test_xla_takes_unknown_batch_and_length(layer, options):
    layer = layer(3, dtype="float64", **options)
    unknown = [tf.TensorSpec([None, None, 2], tf.float64), tf.TensorSpec([None, None], tf.bool)]
    compiled = tf.function(lambda X, mask: layer(X, mask=mask), jit_compile=True, input_signature=unknown)
    for count, length in ((1, 1), (3, 6), (2, 9)):
        X, mask = tf.constant(random_paths(count, length, 2)), tf.sequence_mask(np.arange(count) + 1, length)
        np.testing.assert_allclose(compiled(X, mask), layer(X, mask=mask), rtol=0, atol=1e-13)


@pytest.mark.parametrize("options", [{}, {"stream": True}, {"add_time": True}, {"add_basepoint": True}])
@pytest.mark.parametrize("layer", [sk.SignatureLayer, sk.LogSignatureLayer])
def test_ragged_tensors(layer, options):
    lengths = [4, 1, 6]
    X = random_paths(3, 6, 2)
    ragged = tf.RaggedTensor.from_tensor(X, lengths=lengths)
    layer = layer(3, dtype="float64", **options)
    value = layer(ragged).numpy()
    np.testing.assert_array_equal(value, layer(X, lengths=np.array(lengths)))
    place = keras.Input((None, 2), ragged=True, dtype="float64")
    assert keras.Model(place, layer(place))(ragged).shape == value.shape
    with pytest.raises(ValueError, match="a ragged tensor has lengths of its own"):
        layer(ragged, lengths=np.array(lengths))


def test_a_model_trains_on_ragged_tensors():
    X = tf.RaggedTensor.from_tensor(random_paths(8, 6, 2).astype("float32"), lengths=[4, 1, 6, 3, 6, 2, 5, 6])
    place = keras.Input((None, 2), ragged=True)
    model = keras.Model(place, keras.layers.Dense(1)(sk.SignatureLayer(2)(place)))
    model.compile("sgd", "mse")
    first = model.evaluate(X, np.ones((8, 1)), verbose=0)
    model.fit(X, np.ones((8, 1)), epochs=20, verbose=0)
    assert model.evaluate(X, np.ones((8, 1)), verbose=0) < first


def test_values_that_are_not_finite_are_named():
    X = np.zeros((2, 4, 2), "float32")
    X[1, 2, 0] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="path 1 has nan at time step 2, channel 0"):
        sk.SignatureLayer(2)(X)


@pytest.mark.parametrize("layer", [sk.SignatureLayer, sk.LogSignatureLayer])
def test_what_xla_would_keep_is_counted_while_a_function_is_traced(layer):
    layer = layer(4, dtype="float32")
    compiled, plain = (tf.function(lambda X: layer(X), jit_compile=jit) for jit in (True, False))
    long = tf.TensorSpec([1, 10**9, 20], tf.float32)
    plain.get_concrete_function(long)
    with pytest.raises(ValueError, match=r"makes 1220 words, 4.8800e\+12 bytes for all 1000000000 time steps; "):
        compiled.get_concrete_function(long)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("layer", [sk.SignatureLayer, sk.LogSignatureLayer])
def test_the_words_of_all_time_steps_are_counted_while_a_function_is_traced(layer, jit):
    layer = layer(5, True, dtype="float32")
    traced = tf.function(lambda X: layer(X), jit_compile=jit)
    with pytest.raises(ValueError, match=r"depth=5 with 40 .* bytes for all 1000000 signatures; .* fewer"):
        traced.get_concrete_function(tf.TensorSpec([10, 10**5, 40], tf.float32))


def exported(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """A SavedModel that Keras exported, paths, and its predictions for them."""
    X = random_paths(3, 7, 2).astype("float32")
    model = keras.Sequential([keras.Input((None, 2)), sk.SignatureLayer(3, add_time=True), keras.layers.Dense(1)])
    model.export(tmp_path / "model", verbose=False)
    return tmp_path / "model", X, model.predict(X, verbose=0)


def test_an_exported_model_serves_paths_of_any_length(tmp_path):
    folder, X, expected = exported(tmp_path)
    served = tf.saved_model.load(folder)
    np.testing.assert_allclose(served.serve(X), expected, rtol=1e-5)
    assert served.serve(X[:2, :4]).shape == (2, 1)


@pytest.mark.slow
@pytest.mark.ci
def test_an_exported_model_needs_the_library_where_it_is_loaded(tmp_path):
    """As the documentation says: the operations are loaded by importing sigkernel_tf.gp."""
    folder, X, expected = exported(tmp_path)
    np.save(tmp_path / "X.npy", X)
    script = f"""
        import numpy as np, tensorflow as tf
        try:
            tf.saved_model.load({str(folder)!r})
        except Exception as error:
            assert "SigkernelTf" in str(error), error
        else:
            raise SystemExit("the operations came from nowhere")
        import sigkernel_tf.gp
        loaded = tf.saved_model.load({str(folder)!r})
        np.save({str(tmp_path / "served.npy")!r}, loaded.serve(np.load({str(tmp_path / "X.npy")!r})))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "served.npy"), expected, rtol=1e-5)
