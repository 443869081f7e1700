"""Signatures that continue an earlier one, and inverse signatures, against NumPy and the whole path."""

import numpy as np
import oracles
import pytest
import tensorflow as tf
from comparisons import close
from pairwise import pairwise
from random_walks import random_paths

import sigkernel_tf as sk


@pairwise({
    "channels,num_words": [(1, 5), (2, 31), (2, 23), (3, 40)], "stream": [False, True], "inverse": [False, True],
    "dtype,tolerance": [(np.float64, 1e-13), (np.float32, 1e-5)],
})  # fmt: skip
def test_a_continued_signature_is_that_of_the_whole_path(channels, num_words, stream, inverse, dtype, tolerance):
    X = random_paths(3, 20, channels).astype(dtype)
    earlier = sk.signature(X[:, :8], num_words=num_words, inverse=inverse)
    S = sk.signature(X[:, 7:], num_words=num_words, stream=stream, initial=earlier, inverse=inverse)
    assert S.dtype == dtype
    depth = len(oracles_levels(channels, num_words)) - 1
    for end in range(8, 21) if stream else [20]:
        whole = [path[:end][::-1] if inverse else path[:end] for path in X.astype(float)]
        expected = np.array([oracles.signature(path, depth)[:num_words] for path in whole])
        close(S[:, end - 8] if stream else S, expected, tolerance)


def oracles_levels(channels: int, num_words: int) -> list[int]:
    sizes: list[int] = []
    while sum(sizes) < num_words:
        sizes.append(channels ** len(sizes))
    return sizes


@pytest.mark.parametrize("stream", [False, True])
def test_inverse_of_rational_paths_is_exact(stream):
    points = np.random.default_rng(1).integers(-2, 3, size=(5, 2)).tolist()
    inverse = sk.signature(np.array(points, float), 4, inverse=True, stream=stream)
    for end in range(1, 6) if stream else [5]:
        expected = [float(value) for value in oracles.exact_signature(points[:end][::-1], 4)]
        close(inverse[end - 1] if stream else inverse, expected, 1e-13)


def test_inverse_and_signature_multiply_to_one():
    X = random_paths(2, 15, 3)
    S, inverse = (sk.signature(X, 3, stream=True, inverse=inverse) for inverse in (False, True))
    close(sk.signature_combine(S, inverse, 3), np.broadcast_to(np.eye(1, 40), (2, 15, 40)), 1e-13)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("inverse", [False, True])
def test_gradient_in_both(stream, inverse):
    X = random_paths(2, 5, 2)
    initial = np.random.default_rng(2).normal(size=(2, 11))
    weights = np.random.default_rng(3).normal(size=(2, 5, 11) if stream else (2, 11))

    def loss(X: object, initial: object) -> tf.Tensor:
        S = sk.signature(X, num_words=11, stream=stream, initial=initial, inverse=inverse)
        return tf.reduce_sum(weights * S)

    variables = [tf.constant(X), tf.constant(initial)]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        value = loss(*variables)
    slopes = tape.gradient(value, variables)
    oracles.check_gradient(lambda X: loss(X, initial), X, slopes[0].numpy())
    oracles.check_gradient(lambda initial: loss(X, initial), initial, slopes[1].numpy())


@pytest.mark.parametrize("stream", [False, True])
def test_unknown_shapes_leading_axes_and_no_paths(stream):
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 2], tf.float64)])
    def function(X):
        earlier = sk.signature(X, 2, inverse=True)
        return sk.signature(X, 2, stream=stream, initial=earlier, inverse=True)

    X = random_paths(6, 5, 2).reshape(2, 3, 5, 2)
    earlier = sk.signature(X, 2, inverse=True)
    close(function(X), sk.signature(X, 2, stream=stream, initial=earlier, inverse=True), 1e-14)
    assert function(X[:, :0]).shape == ((2, 0, 5, 7) if stream else (2, 0, 7))


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"depth": 2, "initial": np.zeros((2, 6))}, ValueError, r"initial must be .* of shape \(2, 7\), got \(2, 6\)"),
    ({"depth": 2, "initial": np.zeros(7)}, ValueError, "nothing is broadcast"),
    ({"depth": 2, "initial": np.zeros((2, 3, 7)), "stream": True}, ValueError, "returned without stream"),
    ({"depth": 2, "initial": np.zeros((2, 7), np.float32)}, TypeError, "initial and X must have one dtype"),
    ({"depth": 2, "inverse": 1}, TypeError, "inverse must be True or False, got 1"),
    ({"words": [(0,)], "initial": np.zeros((2, 1))}, ValueError, "initial takes all words up to a level"),
    ({"words": [(0,)], "depth": 2}, ValueError, "got depth and words"),
])  # fmt: skip
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        sk.signature(np.zeros((2, 3, 2)), **options)


@pytest.mark.parametrize("options", [{"inverse": True, "stream": True}, {"initial": np.ones((1, 1))}])
def test_an_unknown_number_of_channels(options):
    function = tf.function(
        lambda X: sk.signature(X, num_words=1, **options),
        input_signature=[tf.TensorSpec([None, None, None], tf.float64)],
    )
    with pytest.raises(ValueError, match="needs a number of channels known"):
        function(np.zeros((1, 3, 2)))
