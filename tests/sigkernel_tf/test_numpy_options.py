"""Options take NumPy's numbers as they take Python's, eagerly and while a function is traced."""

import functools
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

import sigkernel_tf as sk

INTEGERS = (np.int8, np.uint8, np.int32, np.int64, np.uint64)
FLOATS = (np.float16, np.float32, np.float64, np.longdouble)
kappas = sk.static_kernels
X = np.random.default_rng(0).normal(size=(3, 4, 2)).cumsum(axis=1)

# Functions of paths and of an option that is 2.
OF_AN_INTEGER: dict[str, Callable] = {
    "dyadic_order": lambda X, n: sk.signature_kernel_gram(X, solver=sk.FiniteDifference(n)),
    "dyadic_order of solve_goursat": lambda X, n: sk.solve_goursat(X, solver=sk.FiniteDifference(n)),
    "depth": lambda X, n: sk.signature(X, n),
    "num_words": lambda X, n: sk.signature(X, num_words=n, stream=True),
    "depth of log_signature": lambda X, n: sk.log_signature(X, n, basis="expanded"),
    "num_channels": lambda X, n: sk.signature_combine(X, X, n),
    "lengthscale": lambda X, n: sk.signature_kernel_gram(X, static_kernel=functools.partial(kappas.rbf, lengthscale=n)),
    "depth of a layer": lambda X, n: sk.LogSignatureLayer(n, dtype="float64")(X),
    "mean": lambda X, n: sk.paths.standardize(X, mean=n, deviation=n),
}
# Functions of paths and of an option that is 0.5.
OF_A_FLOAT: dict[str, Callable] = {
    "tolerance": lambda X, x: sk.signature_kernel_gram(X, solver=sk.PowerSeries(x / 1024)),
    "tolerance of a derivative": lambda X, x: sk.directional_derivative(X, X, X, solver=sk.PowerSeries(x / 1024))[1],
    "variance": lambda X, x: sk.signature_kernel(X, X, static_kernel=functools.partial(kappas.linear, variance=x)),
    "alpha": lambda X, x: sk.signature_kernel_gram(
        X, static_kernel=functools.partial(kappas.rational_quadratic, lengthscale=x, variance=x, alpha=x)
    ),
    "deviation": lambda X, x: sk.paths.standardize(X, mean=x, deviation=x),
}


def check(function: Callable, option: float, kinds: tuple) -> None:
    for dtype in (np.float32, np.float64):
        paths = X.astype(dtype)
        expected = function(tf.constant(paths), option)
        for kind in kinds:
            of_paths = functools.partial(lambda given, X: function(X, given), kind(option))
            np.testing.assert_array_equal(of_paths(tf.constant(paths)), expected)
        traced = tf.function(of_paths, autograph=False).get_concrete_function(tf.TensorSpec(paths.shape, dtype))
        np.testing.assert_allclose(traced(tf.constant(paths)), expected, rtol=1e-6)


@pytest.mark.parametrize("name", OF_AN_INTEGER)
def test_integers(name: str) -> None:
    check(OF_AN_INTEGER[name], 2, INTEGERS)


@pytest.mark.parametrize("name", OF_A_FLOAT)
def test_floats(name: str) -> None:
    check(OF_A_FLOAT[name], 0.5, FLOATS)


def test_words_take_numpys_integers() -> None:
    assert sk.words(np.uint8(2), np.int64(300)) == sk.words(2, 300)  # 300 does not fit in the other's dtype
    assert sk.lyndon_words(np.int8(2), np.uint64(3)) == sk.lyndon_words(2, 3)


def test_solvers_hold_pythons_numbers() -> None:
    """They are equal to those of Python's numbers, and print and hash like them."""
    assert repr(sk.FiniteDifference(np.int64(2))) == repr(sk.FiniteDifference(2))
    assert {sk.PowerSeries(np.float32(0.5)), sk.PowerSeries(0.5)} == {sk.PowerSeries(0.5)}
    for wrong in (np.bool_(True), np.float64(2.0)):
        with pytest.raises(TypeError, match="dyadic_order must be an int"):
            sk.FiniteDifference(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dyadic_order must be at least 0, got -1"):
        sk.FiniteDifference(np.int8(-1))


SWITCHES: dict[str, Callable] = {
    "return_error": lambda switch: sk.signature_kernel_gram(X, return_error=switch),
    "return_error of solve_goursat": lambda switch: sk.solve_goursat(X, return_error=switch),
    "stream": lambda switch: sk.signature(X, 2, stream=switch),
    "stream of log_signature": lambda switch: sk.log_signature(X, 2, stream=switch),
    "add_time": lambda switch: sk.SignatureLayer(2, add_time=switch, dtype="float64")(X),
    "add_basepoint": lambda switch: sk.SignatureLayer(2, add_basepoint=switch, dtype="float64")(X),
    "trainable_scaling": lambda switch: sk.LogSignatureLayer(2, trainable_scaling=switch, dtype="float64")(X),
    "include_level_zero": lambda switch: sk.SignatureLayer(2, include_level_zero=switch, dtype="float64")(X),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_switches_take_numpys_booleans_and_nothing_else(name: str) -> None:
    """Any other value is true or false as well, and "no" is true."""
    call = SWITCHES[name]
    for switch in (False, True):
        for found, expected in zip(call(np.bool_(switch)), call(switch), strict=True):
            np.testing.assert_array_equal(found, expected)
    for wrong in ("no", 1, None):
        with pytest.raises(TypeError, match=f"{name.split()[0]} must be True or False, got {wrong!r}"):
            call(wrong)


def test_layers_with_numpys_numbers_are_saved() -> None:
    layer = sk.SignatureLayer(np.int64(2), stream=np.bool_(True), add_time=np.bool_(True))
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert (copy.depth, copy.stream, copy.add_time) == (2, True, True)
    assert type(layer.get_config()["depth"]) is int
