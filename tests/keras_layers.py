"""
What the tests of the Keras layers share: values and gradients of a layer, and expected values by brute force.

It imports no TensorFlow, because the tests run on every backend of Keras.
"""

import contextlib
import itertools
from collections.abc import Iterator

import comparisons
import keras
import numpy as np
import oracles

import sigkernel_tf as sk

BACKEND = keras.backend.backend()
# Whether a training step is compiled. PyTorch takes minutes if it is, and JAX if it is not.
JIT = {"tensorflow": [False, True], "jax": [True], "torch": [False]}[BACKEND]
LAYERS = [sk.SignatureLayer, sk.LogSignatureLayer]
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


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
    """As :func:`comparisons.close`, for tensors of whichever backend Keras runs on."""
    comparisons.close(keras.ops.convert_to_numpy(value), expected, tolerance)


@contextlib.contextmanager
def keras_floats(dtype: str) -> Iterator[None]:
    """Sets the float type to which Keras casts the arrays that a model is trained on and predicts with."""
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def values(layer: keras.layers.Layer, X: np.ndarray) -> np.ndarray:
    """What the layer returns. On JAX it is compiled as one function, as one for each operation would take long."""
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
    """The gradients of sum(weights * layer(X)) by X and by what the layer trains, which a step of descent subtracts."""
    with keras_floats("float64"):
        place = keras.Input(batch_shape=X.shape)
        model = keras.Model(place, layer(Shift(dtype="float64")(place), **call))
        model.compile(keras.optimizers.SGD(1.0), loss=lambda y, p: keras.ops.sum(y * p), jit_compile=jit)
        before = [keras.ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
        model.train_on_batch(X, weights)
    return [b - keras.ops.convert_to_numpy(v) for b, v in zip(before, model.trainable_variables, strict=True)]
