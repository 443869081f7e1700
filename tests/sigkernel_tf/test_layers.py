"""
The Keras layers on the backend that Keras runs on; ``test_layers_backends.py`` runs this file on the others.

Values are compared with brute-force tensor algebra, gradients with differences of it. Imports no TensorFlow.
"""

import contextlib
import itertools
import math
from collections.abc import Iterator

import keras
import numpy as np
import oracles
import pytest

import sigkernel_tf as sk

BACKEND = keras.backend.backend()
# Whether a training step is compiled. PyTorch's compiler takes minutes, as JAX does without its own.
JIT = {"tensorflow": [False, True], "jax": [True], "torch": [False]}[BACKEND]
LAYERS = [sk.SignatureLayer, sk.LogSignatureLayer]
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def random_paths(count: int, length: int, channels: int, seed: int = 0) -> np.ndarray:
    """Random walks whose extent does not grow with their length."""
    steps = np.random.default_rng(seed).normal(size=(count, length, channels))
    return np.cumsum(steps, axis=1) / math.sqrt(length)


def words(channels: int, depth: int) -> list[tuple[int, ...]]:
    return [word for k in range(1, depth + 1) for word in itertools.product(range(channels), repeat=k)]


def flat(levels: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([level.ravel() for level in levels[1:]])


def expected_signature(X: np.ndarray, depth: int, *, stream: bool = False) -> np.ndarray:
    every = np.array([[flat(one) for one in oracles.signatures_of_prefixes(path, depth)] for path in X])
    return every if stream else every[:, -1]


def expected_log_signature(X: np.ndarray, depth: int, *, stream: bool = False, basis: str = "words") -> np.ndarray:
    every = np.array([
        [flat(oracles.tensor_logarithm(one)) for one in oracles.signatures_of_prefixes(path, depth)] for path in X
    ])  # fmt: skip
    kept = [
        i for i, w in enumerate(words(X.shape[2], depth))
        if basis == "expanded" or all(w < w[j:] for j in range(1, len(w)))
    ]  # fmt: skip
    return every[..., kept] if stream else every[:, -1, kept]


def close(value: object, expected: np.ndarray, tolerance: float) -> None:
    value = keras.ops.convert_to_numpy(value)
    assert value.shape == expected.shape
    assert np.abs(value - expected).max(initial=0.0) <= tolerance * max(1.0, np.abs(expected).max(initial=0.0))


@contextlib.contextmanager
def keras_floats(dtype: str) -> Iterator[None]:
    """Keras casts the arrays that it is trained on and predicts with to its own float type."""
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def values(layer: keras.layers.Layer, X: np.ndarray) -> np.ndarray:
    """What the layer says, on JAX by one compiled function: one for each of its operations would take long."""
    if not layer.built:
        layer.build(X.shape)
    call = layer
    if BACKEND == "jax":
        import jax

        call = jax.jit(lambda X: layer(X))
    return keras.ops.convert_to_numpy(call(X))


class Shift(keras.layers.Layer):
    """Adds a trained number to each coordinate of each path of a batch, so that training takes a path's gradient."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.shift = self.add_weight(name="shift", shape=shape, initializer="zeros")

    def call(self, inputs: object) -> object:
        return inputs + self.shift


def gradients(layer: keras.layers.Layer, X: np.ndarray, weights: np.ndarray, *, jit: bool, **call: object) -> list:
    """Those of sum(weights * layer(X)), by X and by what the layer trains: what a step of plain descent subtracts."""
    with keras_floats("float64"):
        place = keras.Input(batch_shape=X.shape)
        model = keras.Model(place, layer(Shift(dtype="float64")(place), **call))
        model.compile(keras.optimizers.SGD(1.0), loss=lambda y, p: keras.ops.sum(y * p), jit_compile=jit)
        before = [keras.ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
        model.train_on_batch(X, weights)
    return [b - keras.ops.convert_to_numpy(v) for b, v in zip(before, model.trainable_variables, strict=True)]


# Values.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [1, 2, 33, 1025])
@pytest.mark.parametrize(("channels", "depth"), [(1, 6), (2, 4), (4, 3), (3, 2), (2, 1)])
@pytest.mark.parametrize("stream", [False, True])
def test_signature(channels, depth, length, stream, dtype):
    X = random_paths(2, length, channels)
    value = values(sk.SignatureLayer(depth, stream, dtype=dtype), X.astype(dtype))
    assert value.dtype == dtype
    close(value, expected_signature(X, depth, stream=stream), TOLERANCE[dtype])


@pytest.mark.parametrize("basis", ["words", "expanded"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [1, 2, 33])
@pytest.mark.parametrize(("channels", "depth"), [(1, 4), (2, 5), (4, 3), (2, 1)])
@pytest.mark.parametrize("stream", [False, True])
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
def test_level_zero(stream):
    X = random_paths(2, 5, 2)
    value = values(sk.SignatureLayer(3, stream, include_level_zero=True, dtype="float64"), X)
    expected = expected_signature(X, 3, stream=stream)
    close(value, np.concatenate([np.ones_like(expected[..., :1]), expected], axis=-1), 1e-14)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("length", [1, 2, 6])
@pytest.mark.parametrize(("time", "basepoint"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("layer", LAYERS)
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


# Masks and lengths.


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


# Gradients.


@pytest.mark.parametrize("jit", JIT)
@pytest.mark.parametrize(("channels", "length", "depth", "stream"), [
    (2, 5, 4, False), (3, 4, 3, True), (1, 4, 3, False), (2, 1, 2, False), (2, 2, 3, True), (2, 5, 1, False),
])  # fmt: skip
@pytest.mark.parametrize("layer", LAYERS)
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


@pytest.mark.parametrize("jit", JIT)
@pytest.mark.parametrize("options", [{}, {"add_time": True, "add_basepoint": True}])
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


@pytest.mark.parametrize("length", [33, 1025])
def test_gradient_of_a_long_path_along_a_direction(length):
    X, direction = random_paths(1, length, 2), random_paths(1, length, 2, seed=1)
    weights = np.random.default_rng(2).normal(size=(1, 30))
    (computed,) = gradients(sk.SignatureLayer(4, dtype="float64"), X, weights, jit=JIT[0])
    ends = [expected_signature(X + h * direction, 4) for h in (-1e-3, 1e-3, -2e-3, 2e-3)]
    derivative = np.sum(weights * (8 * (ends[1] - ends[0]) - (ends[3] - ends[2]))) / 12e-3
    assert np.sum(computed * direction) == pytest.approx(derivative, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("jit", JIT)
@pytest.mark.parametrize("layer", LAYERS)
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


# Precision.


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


# Configuration and files.


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


# Bad input.


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"depth": 0}, ValueError, "depth must be at least 1, got 0"),
    ({"depth": 2.0}, TypeError, r"depth must be a Python int, got 2.0 of type float: use int\(depth\)"),
    ({"depth": True}, TypeError, "depth must be a Python int, got True of type bool"),
])  # fmt: skip
@pytest.mark.parametrize("layer", LAYERS)
def test_bad_depths(layer, options, error, message):
    with pytest.raises(error, match=message):
        layer(**options)


def test_bad_basis():
    with pytest.raises(ValueError, match='basis must be "words" or "expanded", got \'lyndon\''):
        sk.LogSignatureLayer(2, basis="lyndon")


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


def test_other_inputs_than_it_was_built_for():
    layer = sk.SignatureLayer(2, name="s")
    layer(np.zeros((1, 3, 2), "float32"))
    with pytest.raises(ValueError, match="inputs of s must have the 2 channels that it was built with, got shape"):
        layer(np.zeros((1, 3, 4), "float32"))
    with pytest.raises(ValueError, match="must have rank 3"):
        layer(np.zeros((3, 2), "float32"))


@pytest.mark.parametrize("dtype", ["int32", "bool"])
def test_inputs_that_are_not_floats(dtype):
    with pytest.raises(TypeError, match=f"inputs of .* must be floats, got {dtype}: cast them first"):
        sk.SignatureLayer(2)(np.zeros((1, 3, 2), dtype))


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


def test_lengths_that_are_no_integers():
    with pytest.raises(TypeError, match="lengths must be integers, how many steps of each path count, got float"):
        sk.SignatureLayer(2)(np.zeros((2, 4, 3), "float32"), lengths=[1.5, 2.0])


def test_lengths_and_masks_as_lists():
    layer, X = sk.SignatureLayer(2), random_paths(2, 4, 3).astype("float32")
    expected = layer(X, lengths=np.array([2, 4]))
    close(layer(X, lengths=[2, 4]), keras.ops.convert_to_numpy(expected), 0)
    close(layer(X, mask=[[True] * 2 + [False] * 2, [True] * 4]), keras.ops.convert_to_numpy(expected), 0)


@pytest.mark.parametrize("stream", [False, True])
def test_the_logarithm_of_one_channel_is_exact(stream):
    X = 1000.0 * random_paths(2, 4, 1).astype("float32")
    log = keras.ops.convert_to_numpy(sk.LogSignatureLayer(4, stream, basis="expanded")(X))
    assert log.shape == ((2, 4, 4) if stream else (2, 4))
    assert (log[..., 1:] == 0).all()
    np.testing.assert_allclose(log[:, -1, 0] if stream else log[:, 0], X[:, -1, 0] - X[:, 0, 0], rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"dtype": "int32"}, ValueError, "dtype must be a float's or a mixed precision policy, got int32"),
    ({"stream": "no"}, TypeError, "stream must be True or False, got 'no'"),
])  # fmt: skip
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        sk.SignatureLayer(2, **options)
