"""Inverse, logarithm, exponential and products of many in the tensor algebra, against NumPy's outer products."""

import functools

import numpy as np
import oracles
import pytest
import tensorflow as tf
from comparisons import close
from random_walks import random_paths

import sigkernel_tf as sk

# Channels, depth, words: all of the depth, or a last level that is cut midway.
SIZES = [(1, 3, 4), (2, 5, 63), (2, 4, 20), (3, 3, 40), (3, 3, 23), (5, 2, 8)]
DTYPES = [(np.float64, 1e-12), (np.float32, 2e-5)]


def elements(count: int, num_words: int, seed: int = 0) -> np.ndarray:
    """Elements [N, M] with a level 0 of 1 that are no signatures."""
    rows = np.random.default_rng(seed).normal(size=(count, num_words))
    rows[:, 0] = 1
    return rows


def levels_of(flat: np.ndarray, channels: int, depth: int) -> list[np.ndarray]:
    """An element as the oracles have it, level k of shape (D,) * k; what a cut level lacks is 0."""
    sizes = [channels**k for k in range(depth + 1)]
    full = np.concatenate([flat, np.zeros(sum(sizes) - len(flat))])
    return [part.reshape((channels,) * k) for k, part in enumerate(np.split(full, np.cumsum(sizes)[:-1]))]


def flat(levels: list[np.ndarray], num_words: int) -> np.ndarray:
    return np.concatenate([level.ravel() for level in levels])[:num_words]


# Values.


@pytest.mark.parametrize(("channels", "depth", "num_words"), SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_logarithm_and_exponential_are_their_series(channels, depth, num_words, dtype, tolerance):
    S = elements(3, num_words)
    log = sk.tensor_log(S.astype(dtype), channels)
    assert log.dtype == dtype
    expected = [flat(oracles.tensor_logarithm(levels_of(row, channels, depth)), num_words)[1:] for row in S]
    close(log, expected, tolerance)
    L = S[:, 1:]
    full = sum(channels**k for k in range(1, depth + 1)) - L.shape[1]
    exponential = sk.tensor_exp(L.astype(dtype), channels)
    assert exponential.dtype == dtype
    expected = [oracles.exponential(np.concatenate([[0], row, np.zeros(full)]), channels, depth) for row in L]
    close(exponential, np.array(expected)[:, :num_words], tolerance)
    close(sk.tensor_exp(log, channels), S, 10 * tolerance)


@pytest.mark.parametrize(("channels", "depth"), [(2, 5), (3, 3)])
def test_logarithm_of_signatures_is_the_log_signature_and_back(channels, depth):
    X = random_paths(2, 33, channels)
    expanded = sk.log_signature(X, depth, basis="expanded")
    S = sk.signature(X, depth)
    close(sk.tensor_log(S, channels), expanded, 1e-14)
    close(sk.tensor_exp(expanded, channels), S, 1e-13)


def test_exponential_of_a_displacement_is_the_signature_of_a_straight_line():
    v = np.array([1.5, -2.0, 0.25])
    L = np.concatenate([v, np.zeros(9 + 27)])
    line, levels = np.ones(()), [[1.0]]
    for k in range(1, 4):
        line = np.multiply.outer(line, v) / k
        levels.append(line.ravel())
    close(sk.tensor_exp(L, 3), np.concatenate(levels), 1e-15)


@pytest.mark.parametrize(("channels", "depth", "num_words"), SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-3)])
def test_inverse_multiplies_to_one(channels, depth, num_words, dtype, tolerance):
    """The product is the oracle's; the elements are no signatures, and their level 0 is not 1."""
    S = elements(3, num_words)
    S[:, 0] = [2.0, -1.5, 1.0]
    inverse = sk.signature_inverse(S.astype(dtype), channels)
    assert inverse.dtype == dtype
    one = np.eye(1, num_words)[0]
    for row, other in zip(S, inverse.numpy().astype(float), strict=True):
        a, b = levels_of(row, channels, depth), levels_of(other, channels, depth)
        close(flat(oracles.tensor_product(a, b), num_words), one, tolerance)
        close(flat(oracles.tensor_product(b, a), num_words), one, tolerance)


@pytest.mark.parametrize(("channels", "num_words"), [(1, 6), (2, 63), (3, 23)])
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_inverse_of_a_signature_is_that_of_the_reversed_path(channels, num_words, dtype, tolerance):
    X = random_paths(3, 33, channels)
    S = sk.signature(X.astype(dtype), num_words=num_words)
    close(sk.signature_inverse(S, channels), sk.signature(X[:, ::-1], num_words=num_words), tolerance)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
@pytest.mark.parametrize(("channels", "num_words"), [(1, 5), (2, 12), (3, 40)])
def test_many_are_combined_in_order(count, channels, num_words):
    factors = np.random.default_rng(2).normal(size=(2, count, num_words))
    depth = {5: 4, 12: 3, 40: 3}[num_words]
    expected = [
        flat(functools.reduce(oracles.tensor_product, [levels_of(one, channels, depth) for one in row]), num_words)
        for row in factors
    ]
    close(sk.multi_signature_combine(factors, channels), expected, 1e-12)


def test_pieces_of_a_path_combine_to_its_signature():
    X = random_paths(3, 31, 2)
    pieces = np.stack([X[:, start : start + 6] for start in range(0, 30, 5)], axis=1)
    S = sk.multi_signature_combine(sk.signature(pieces, 4), 2)
    for row, path in zip(S, X, strict=True):
        close(row, oracles.signature(path, 4), 1e-13)


# Gradients, shapes, compilation.

FUNCTIONS = {
    "tensor_log": (lambda x: sk.tensor_log(tf.concat([tf.ones_like(x[..., :1]), x], -1), 2), 11),
    "tensor_exp": (lambda x: sk.tensor_exp(x, 2), 11),
    "signature_inverse": (lambda x: sk.signature_inverse(x, 2), 12),
    "multi_signature_combine": (lambda x: sk.multi_signature_combine(tf.stack([x, 2 * x, x * x], -2), 2), 12),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_of_first_and_second_order(name):
    function, columns = FUNCTIONS[name]
    rng = np.random.default_rng(3)
    x, first = rng.normal(size=(2, columns)) / 2
    x[0] += 2
    weights = rng.normal(size=function(tf.constant(x)).shape)

    def loss(x: object) -> tf.Tensor:
        return tf.reduce_sum(weights * function(tf.convert_to_tensor(x)))

    def along(x: object) -> tf.Tensor:
        """The derivative of the loss along the first direction."""
        x = tf.convert_to_tensor(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x)
        return tf.reduce_sum(first * tape.gradient(value, x))

    point = tf.constant(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(point)
        value, slope = loss(point), along(point)
    oracles.check_gradient(loss, x, tape.gradient(value, point).numpy())
    oracles.check_gradient(along, x, tape.gradient(slope, point).numpy(), 1e-7)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_leading_axes_unknown_rows_and_xla(name):
    function, columns = FUNCTIONS[name]
    x = np.random.default_rng(4).normal(size=(2, 3, columns)) + 2
    expected = function(tf.constant(x)).numpy()
    close(function(tf.constant(x[1, 2])), expected[1, 2], 1e-14)
    assert function(tf.constant(x[:0])).shape == (0, *expected.shape[1:])
    unknown = tf.function(function, input_signature=[tf.TensorSpec([None, None, columns], tf.float64)])
    close(unknown(x), expected, 1e-14)
    close(tf.function(function, jit_compile=True)(tf.constant(x)), expected, 1e-12)


# Bad input.


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: sk.tensor_log(np.ones((2, 1)), 2), ValueError, "S must have a last axis of at least 2 columns"),
    (lambda: sk.tensor_log(np.ones((2, 3), int), 2), TypeError, "S must be float32 or float64, got int64"),
    (lambda: sk.tensor_log(np.ones((2, 3)), 0), ValueError, "num_channels must be at least 1, got 0"),
    (lambda: sk.tensor_log(np.full((2, 3), 2.0), 2), tf.errors.InvalidArgumentError, "column 0, of 1.*divide S"),
    (lambda: sk.tensor_log(np.full((2, 3), np.nan), 2), tf.errors.InvalidArgumentError, "column 0, of 1"),
    (lambda: sk.tensor_exp(np.ones(()), 2), ValueError, "L must have a last axis of at least 1 columns"),
    (lambda: sk.tensor_exp(np.ones((2, 0)), 2), ValueError, r"at least 1 columns, got shape \(2, 0\)"),
    (lambda: sk.signature_inverse(np.zeros((1, 3)), 2), tf.errors.InvalidArgumentError, "has no inverse"),
    (lambda: sk.signature_inverse(np.zeros((1, 3)), 2.0), TypeError, "num_channels must be an int"),
    (lambda: sk.multi_signature_combine(np.zeros((0, 3)), 2), ValueError, r"at least one signature.*shape \(0, 3\)"),
    (lambda: sk.multi_signature_combine(np.zeros(3), 2), ValueError, "signatures must have a last axis of words"),
])  # fmt: skip
def test_bad_elements(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", ["tensor_log", "tensor_exp", "signature_inverse", "multi_signature_combine"])
def test_the_number_of_words_must_be_known(name):
    function = tf.function(lambda x: getattr(sk, name)(x, 2), input_signature=[tf.TensorSpec([None, None], tf.float64)])
    with pytest.raises(ValueError, match="known while the function is traced.*tf.ensure_shape"):
        function(np.ones((1, 3)))
