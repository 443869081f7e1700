"""The truncated signature against independent tensor algebra, closed forms, its identities and central differences."""

import itertools
import math
from fractions import Fraction

import hypothesis
import numpy as np
import oracles
import pytest
import tensorflow as tf
from comparisons import close
from hypothesis import strategies as st
from pairwise import pairwise
from random_walks import random_paths

import sigkernel_tf as sk


def flat(levels: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([level.ravel() for level in levels])


def levels_of(signature: np.ndarray, channels: int, depth: int) -> list[np.ndarray]:
    ends = np.cumsum([channels**k for k in range(depth + 1)])
    return [part.reshape((channels,) * k) for k, part in enumerate(np.split(signature, ends[:-1]))]


# Values.


@pairwise({
    "channels,depth": [(1, 6), (2, 5), (3, 4), (4, 3), (5, 3), (3, 0), (2, 1)], "length": [1, 2, 33, 1025],
    "dtype,tolerance": [(np.float64, 1e-13), (np.float32, 1e-5)],
})  # fmt: skip
def test_agrees_with_chens_identity(channels, depth, length, dtype, tolerance):
    X = random_paths(3, length, channels)
    expected = np.stack([oracles.signature(path, depth) for path in X])
    value = sk.signature(X.astype(dtype), depth)
    assert value.dtype == dtype
    close(value.numpy(), expected, tolerance)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9, 17])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-14), (np.float32, 1e-6)])
def test_a_path_does_not_depend_on_its_neighbours(count, dtype, tolerance):
    X = random_paths(17, 6, 3)[:count].astype(dtype)
    together = sk.signature(X, 4, stream=True).numpy()
    alone = np.concatenate([sk.signature(X[i : i + 1], 4, stream=True).numpy() for i in range(count)])
    close(together, alone, tolerance)


@pytest.mark.parametrize("count", [1, 5])
def test_many_words(count):
    X = random_paths(count, 4, 2)
    expected = np.stack([oracles.signature(path, 14) for path in X])
    close(sk.signature(X, 14).numpy(), expected, 1e-13)
    close(sk.signature(X, num_words=20000).numpy(), expected[:, :20000], 1e-13)


@pytest.mark.parametrize(("channels", "depth"), [(1, 8), (2, 6), (3, 4)])
def test_rational_paths_are_exact(channels, depth):
    points = np.random.default_rng(1).integers(-3, 4, size=(5, channels)).tolist()
    expected = np.array([float(value) for value in oracles.exact_signature(points, depth)])
    close(sk.signature(np.array([points], float), depth).numpy()[0], expected, 1e-13)


def test_straight_line():
    step = [Fraction(1, 2), Fraction(-3, 4), Fraction(2)]
    X = np.linspace(np.zeros(3), np.array(step, float), 9)[None]
    expected = [math.prod(step[i] for i in word) / math.factorial(len(word)) for word in sk.words(3, 121)]
    close(sk.signature(X, 4).numpy()[0], np.array(expected, float), 1e-15)


def test_first_letter_is_integrated_first():
    corner = np.array([[[0.0, 0.0], [2.0, 0.0], [2.0, 3.0]]])  # channel 0 moves, then channel 1
    for word, value in zip(sk.words(2, 63), sk.signature(corner, 5).numpy()[0], strict=True):
        zeros, ones = word.count(0), word.count(1)
        ordered = word == (0,) * zeros + (1,) * ones
        expected = 2.0**zeros * 3.0**ones / (math.factorial(zeros) * math.factorial(ones)) if ordered else 0.0
        assert value == pytest.approx(expected, rel=1e-14)


def test_one_channel_depends_only_on_the_end_points():
    X = np.array([[0.0, 40.0, -35.0, 1.5], [0.0, -3.0, 60.0, -2.0]])[..., None]
    expected = [[x**n / math.factorial(n) for n in range(60)] for x in X[:, -1, 0]]
    close(sk.signature(X, num_words=60).numpy(), np.array(expected), 1e-15)
    assert np.isfinite(sk.signature(X, num_words=500).numpy()).all()


# Identities.


def shuffles(u: tuple[int, ...], v: tuple[int, ...]) -> list[tuple[int, ...]]:
    if not u or not v:
        return [u + v]
    return [(u[0], *w) for w in shuffles(u[1:], v)] + [(v[0], *w) for w in shuffles(u, v[1:])]


def test_shuffle_identity():
    depth, channels = 5, 2
    signature = sk.signature(random_paths(1, 12, channels), depth).numpy()[0]
    words = sk.words(channels, len(signature))
    value = dict(zip(words, signature, strict=True))
    pairs = [(u, v) for u, v in itertools.product(words, words) if len(u) + len(v) <= depth]
    for u, v in pairs:
        assert value[u] * value[v] == pytest.approx(sum(value[w] for w in shuffles(u, v)), abs=1e-13)


def test_concatenation_multiplies_signatures():
    first, second = random_paths(2, 10, 3, seed=2)
    whole = np.concatenate([first, second - second[0] + first[-1]])
    factors = [levels_of(sk.signature(path[None], 4).numpy()[0], 3, 4) for path in (first, second)]
    close(sk.signature(whole[None], 4).numpy()[0], flat(oracles.tensor_product(*factors)), 1e-13)


def test_reversed_path_has_the_inverse_signature():
    path = random_paths(1, 10, 3)[0]
    forth, back = (levels_of(sk.signature(x[None], 4).numpy()[0], 3, 4) for x in (path, path[::-1]))
    close(flat(oracles.tensor_product(forth, back)), np.eye(1, 121)[0], 1e-13)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_num_words_is_a_prefix_of_the_depth(channels):
    X = random_paths(5, 7, channels)
    whole = sk.signature(X, 4).numpy()
    for num_words in range(1, whole.shape[1] + 1):
        np.testing.assert_array_equal(sk.signature(X, num_words=num_words).numpy(), whole[:, :num_words])


@pytest.mark.parametrize("channels", [1, 3])
def test_stream_rows_are_signatures_of_prefixes(channels):
    X = random_paths(5, 6, channels)
    stream = sk.signature(X, num_words=17, stream=True).numpy()
    assert stream.shape == (5, 6, 17)
    np.testing.assert_array_equal(stream[:, 0], np.eye(1, 17).repeat(5, axis=0))
    for end in range(1, 7):
        np.testing.assert_array_equal(stream[:, end - 1], sk.signature(X[:, :end], num_words=17).numpy())


paths = st.integers(1, 3).flatmap(
    lambda channels: st.lists(
        st.lists(st.floats(-2, 2, width=32), min_size=channels, max_size=channels), min_size=2, max_size=6
    )
)


@hypothesis.given(path=paths, data=st.data(), where=st.floats(0, 1))
@hypothesis.settings(max_examples=50, deadline=None)
def test_time_does_not_matter(path, data, where):
    X = np.array([path])
    segment = data.draw(st.integers(0, X.shape[1] - 2))
    between = (1 - where) * X[:, segment] + where * X[:, segment + 1]
    expected = sk.signature(X, 4).numpy()
    close(sk.signature(np.insert(X, segment + 1, between, axis=1), 4).numpy(), expected, 1e-12)
    close(sk.signature(np.concatenate([X, X[:, -1:], X[:, -1:]], axis=1), 4).numpy(), expected, 1e-14)


# Words.


def test_words():
    assert sk.words(2, 4) == [(), (0,), (1,), (0, 0)]
    assert sk.words(1, 4) == [(), (0,), (0, 0), (0, 0, 0)]
    assert sk.words(5, 1) == [()]
    expected = [w for k in range(4) for w in sorted(itertools.product(range(3), repeat=k))]
    assert sk.words(3, 40) == expected


# Gradients.


def gradient(X: np.ndarray, weights: np.ndarray, **options) -> np.ndarray:
    """The gradient of sum(weights * signature)."""
    X = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(X)
        loss = tf.reduce_sum(sk.signature(X, **options) * weights)
    return tape.gradient(loss, X).numpy()


@pairwise({
    "channels,options": [
        (1, {"depth": 5}), (2, {"depth": 5}), (3, {"depth": 3}), (4, {"depth": 2}), (5, {"depth": 2}),
        (2, {"depth": 0}), (2, {"num_words": 2}), (2, {"num_words": 23}), (3, {"num_words": 31}),
        (3, {"num_words": 38}), (1, {"num_words": 9}),
    ],
    "length": [1, 2, 7], "stream": [False, True],
})  # fmt: skip
def test_gradient_against_central_differences(channels, options, stream, length):
    X = random_paths(5, length, channels)
    options = options | {"stream": stream}
    weights = np.random.default_rng(3).normal(size=sk.signature(X, **options).shape)
    step, differences = 1e-5, np.zeros_like(X)
    for l, d in np.ndindex(X.shape[1:]):  # all paths at once: they do not depend on each other
        shift = np.zeros_like(X)
        shift[:, l, d] = step
        change = sk.signature(X + shift, **options).numpy() - sk.signature(X - shift, **options).numpy()
        differences[:, l, d] = (change * weights).reshape(len(X), -1).sum(axis=1) / (2 * step)
    close(gradient(X, weights, **options), differences, 1e-7)


@pytest.mark.parametrize("length", [33, 1025])
@pytest.mark.parametrize(("channels", "depth"), [(1, 6), (2, 5), (5, 3)])
@pytest.mark.parametrize("stream", [False, True])
def test_gradient_of_long_paths(length, channels, depth, stream):
    X = random_paths(3, length, channels)
    shape = sk.signature(X, depth, stream=stream).shape
    weights = np.random.default_rng(4).normal(size=shape) / math.sqrt(shape[1])
    computed = gradient(X, weights, depth=depth, stream=stream)
    for seed in range(5):
        direction = np.random.default_rng(seed).normal(size=X.shape) / math.sqrt(X.size)
        ends = [sk.signature(X + step * direction, depth, stream=stream).numpy() for step in (1e-5, -1e-5)]
        difference = (weights * (ends[0] - ends[1])).sum() / 2e-5
        assert abs((computed * direction).sum() - difference) <= 1e-7 * max(1.0, np.abs(computed).max())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("length", [1, 2, 33, 1025])
@pytest.mark.parametrize("channels", [1, 3])
def test_gradient_in_float32(channels, length, stream):
    X = random_paths(9, length, channels)
    weights = np.random.default_rng(5).normal(size=sk.signature(X, 4, stream=stream).shape)
    expected = gradient(X, weights, depth=4, stream=stream)
    computed = gradient(X.astype(np.float32), weights.astype(np.float32), depth=4, stream=stream)
    assert computed.dtype == np.float32
    close(computed, expected, 1e-4)


def test_walking_back_reaches_the_stream():
    X = random_paths(2, 200, 3)
    weights = np.random.default_rng(6).normal(size=(2, 200, 121))
    weights[:, :-1] = 0.0
    close(gradient(X, weights[:, -1], depth=4), gradient(X, weights, depth=4, stream=True), 1e-13)


def test_gradient_with_one_channel_at_great_depth():
    X = np.array([[0.0, 45.0, -50.0, 2.0]])[..., None]
    computed = gradient(X, np.ones((1, 500)), num_words=500)
    close(computed[0, :, 0], np.array([-math.exp(2.0), 0.0, 0.0, math.exp(2.0)]), 1e-14)  # d exp(x_3 - x_0)


def test_second_derivative_is_refused():
    X = tf.constant(random_paths(1, 4, 2))
    with tf.GradientTape() as outer:
        outer.watch(X)
        with tf.GradientTape() as inner:
            inner.watch(X)
            value = tf.reduce_sum(sk.signature(X, 2) ** 2)
        first = tf.reduce_sum(inner.gradient(value, X))
    with pytest.raises(LookupError, match="differentiable once"):
        outer.gradient(first, X)


# Shapes and functions.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 2])
def test_no_paths(channels, dtype):
    X = np.zeros((0, 5, channels), dtype)
    assert sk.signature(X, 3).shape == (0, len(oracles.signature(np.zeros((1, channels)), 3)))
    assert sk.signature(X, num_words=6, stream=True).shape == (0, 5, 6)
    assert gradient(X, np.zeros((0, 6), dtype), num_words=6).shape == X.shape


@pytest.mark.parametrize("shape", [[None, None, None], [None, None, 3], [4, None, 3], None])
@pytest.mark.parametrize("stream", [False, True])
def test_unknown_shapes(shape, stream):
    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float64)])
    def value_and_gradient(X):
        with tf.GradientTape() as tape:
            tape.watch(X)
            value = sk.signature(X, num_words=20, stream=stream)
        assert value.shape.rank == 2 + stream
        assert value.shape[-1] == 20
        return value, tape.gradient(value, X)

    for length in (1, 2, 9):
        X = random_paths(4, length, 3)
        value, slope = value_and_gradient(X)
        np.testing.assert_array_equal(value, sk.signature(X, num_words=20, stream=stream))
        np.testing.assert_array_equal(slope, gradient(X, np.ones(value.shape), num_words=20, stream=stream))


def test_depth_with_unknown_batch_and_length():
    function = tf.function(lambda X: sk.signature(X, 3), input_signature=[tf.TensorSpec([None, None, 2], tf.float32)])
    assert function.get_concrete_function().output_shapes == tf.TensorShape([None, 15])
    assert function(np.zeros((4, 7, 2), np.float32)).shape == (4, 15)


# Bad input.


@pytest.mark.parametrize(("options", "error", "message"), [
    ({}, ValueError, "either depth, num_words or words, got none of them"),
    ({"depth": 2, "num_words": 3}, ValueError, "either depth, num_words or words, got depth and num_words"),
    ({"depth": -1}, ValueError, "depth must be at least 0, got -1"),
    ({"num_words": 0}, ValueError, "num_words must be at least 1, got 0"),
    ({"depth": 2.0}, TypeError, r"depth must be an int, got 2.0 of type float: for instance depth=3"),
    ({"depth": True}, TypeError, "depth must be an int, got True of type bool"),
    ({"num_words": 3.0}, TypeError, r"num_words must be an int, got 3.0 of type float: for instance num_words=3"),
    ({"num_words": False}, TypeError, "num_words must be an int, got False of type bool"),
    ({"depth": 40}, ValueError, r"depth=40 with 2 channels makes 2.1990e\+12 words, 1.7592e\+13 bytes .* lower it"),
    ({"depth": 10**6}, ValueError, r"makes 1.9801e\+301030 words"),
    ({"depth": 10**30}, ValueError, "makes Infinity words"),
    ({"num_words": 2**31}, ValueError, "num_words=2147483648 makes .* at most 2147483647 words"),
])  # fmt: skip
def test_bad_truncations(options, error, message):
    with pytest.raises(error, match=message):
        sk.signature(np.zeros((1, 3, 2)), **options)


def test_numbers_of_numpy_are_taken():
    X = random_paths(2, 5, 3)
    np.testing.assert_array_equal(sk.signature(X, np.int64(2)), sk.signature(X, 2))
    np.testing.assert_array_equal(sk.signature(X, num_words=np.int8(5)), sk.signature(X, num_words=5))
    with pytest.raises(ValueError, match="Infinity|words"):
        sk.signature(X, np.int8(100))  # and not what 3^100 becomes in eight bits


def test_the_memory_of_all_signatures_is_counted():
    X = np.zeros((1000, 1000, 2))
    with pytest.raises(
        ValueError, match=r"num_words=100000000 makes .* words, 8.0000e\+11 bytes for all 1000 signatures"
    ):
        sk.signature(X, num_words=10**8)
    with pytest.raises(ValueError, match=r"depth=20 .* bytes for all 1000000 signatures"):
        sk.signature(X, 20, stream=True)


@pytest.mark.parametrize("X", [
    tf.ragged.constant([[[1.0], [2.0]], [[3.0]]]), [np.zeros((3, 2)), np.zeros((2, 2))], None,
])  # fmt: skip
def test_what_is_no_array_of_paths(X):
    with pytest.raises((TypeError, ValueError), match=r"X must be a (dense )?tensor .*pad_ragged"):
        sk.signature(X, 2)


@pytest.mark.parametrize(("X", "error", "message"), [
    (np.zeros(3), ValueError, r"X must have rank 2 or more, .*got shape \(3,\).*X\[:, None\]"),
    (np.zeros((1, 0, 2)), ValueError, "X must have at least one time step"),
    (np.zeros((1, 3, 0)), ValueError, "X must have at least one channel"),
    (np.zeros((1, 3, 2), int), TypeError, "X must be float32 or float64, got int64: cast it first"),
])  # fmt: skip
def test_bad_paths(X, error, message):
    with pytest.raises(error, match=message):
        sk.signature(X, 2)


@pytest.mark.parametrize(("shape", "message"), [
    ((3, 2), "X must have rank 3"), ((1, 0, 2), "at least one time step"), ((1, 3, 0), "at least one channel"),
])  # fmt: skip
def test_bad_paths_known_only_at_run_time(shape, message):
    function = tf.function(lambda X: sk.signature(X, num_words=3), input_signature=[tf.TensorSpec(None, tf.float64)])
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        function(np.zeros(shape))


def test_a_stream_of_too_many_rows_is_refused_while_traced():
    function = tf.function(lambda X: sk.signature(X, 20, stream=True))
    with pytest.raises(ValueError, match="for all 1099511627776 signatures"):
        function.get_concrete_function(tf.TensorSpec([1, 2**40, 2], tf.float64))


def test_depth_needs_a_known_number_of_channels():
    function = tf.function(lambda X: sk.signature(X, 2), input_signature=[tf.TensorSpec([None] * 3, tf.float64)])
    with pytest.raises(ValueError, match=r"depth=2 needs a number of channels .*tf.ensure_shape.*num_words"):
        function(np.zeros((1, 3, 2)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite(bad):
    X = random_paths(3, 5, 2)
    X[1, 4, 0] = bad
    with pytest.raises(tf.errors.InvalidArgumentError, match="path 1 has (nan|inf) at time step 4, channel 0"):
        sk.signature(X, 2)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("dtype", "huge"), [(np.float64, 1e80), (np.float32, 1e10)])
def test_overflow_names_the_path_and_the_cure(channels, stream, dtype, huge):
    X = random_paths(9, 4, channels).astype(dtype)
    X[6, 2] += huge
    X[8, 3] += huge
    first = 8 if channels == 1 and not stream else 6  # over one channel path 6 returns, and has a signature
    message = rf"X\[{first}\] overflows {np.dtype(dtype).name}. Rescale .* lower the depth"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        sk.signature(X, 4, stream=stream)


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((0, 3), ValueError, "num_channels must be at least 1, got 0"),
    ((2, 0), ValueError, "num_words must be at least 1, got 0"),
    ((2.0, 3), TypeError, "num_channels must be an int"),
    ((2, True), TypeError, "num_words must be an int"),
])  # fmt: skip
def test_bad_words(arguments, error, message):
    with pytest.raises(error, match=message):
        sk.words(*arguments)
