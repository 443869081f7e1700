"""Log signatures and Chen's product against brute force in the tensor algebra, closed forms and identities."""

import itertools
import logging
from fractions import Fraction

import numpy as np
import oracles
import pytest
import tensorflow as tf
from comparisons import close
from pairwise import pairwise
from random_walks import random_paths

import sigkernel_tf as sk

SIZES = [(1, 5), (2, 1), (2, 5), (3, 4), (5, 3), (29, 2)]


def is_lyndon(word: tuple[int, ...]) -> bool:
    return all(word < word[k:] + word[:k] for k in range(1, len(word)))


def lyndon_columns(channels: int, depth: int) -> list[int]:
    """Where the Lyndon words are among the words of 1 to ``depth`` letters, by their definition."""
    words = sk.words(channels, sum(channels**k for k in range(depth + 1)))[1:]
    return [column for column, word in enumerate(words) if is_lyndon(word)]


# Values.


@pytest.mark.parametrize(("channels", "depth"), [(1, 4), (2, 5), (3, 3)])
def test_rational_paths_are_exact(channels, depth):
    points = np.random.default_rng(1).integers(-2, 3, size=(5, channels)).tolist()
    words = sk.words(channels, sum(channels**k for k in range(depth + 1)))
    signature = dict(zip(words, oracles.exact_signature(points, depth), strict=True))
    log = oracles.exact_logarithm(signature, depth)
    expanded = sk.log_signature(np.array([points], float), depth, basis="expanded").numpy()[0]
    close(expanded, [float(log[word]) for word in words[1:]], 1e-12)
    lyndon = [float(log[word]) for word in words[1:] if is_lyndon(word)]
    close(sk.log_signature(np.array([points], float), depth).numpy()[0], lyndon, 1e-12)


@pairwise({
    "channels,depth": SIZES, "length": [1, 2, 33, 1025], "dtype,tolerance": [(np.float64, 1e-12), (np.float32, 2e-5)],
})  # fmt: skip
def test_exponential_of_the_logarithm_is_the_signature(channels, depth, length, dtype, tolerance):
    """The exponential is the oracle's, level by level in NumPy."""
    X = random_paths(2, length, channels)
    log = sk.log_signature(X.astype(dtype), depth, basis="expanded")
    assert log.dtype == dtype
    signature = sk.signature(X, depth).numpy()
    for row, expected in zip(log.numpy().astype(float), signature, strict=True):
        close(oracles.exponential(np.concatenate([[0.0], row]), channels, depth), expected, tolerance)
    words = sk.log_signature(X.astype(dtype), depth).numpy()
    close(words, log.numpy()[:, lyndon_columns(channels, depth)], 1e-7)


def test_two_segments_agree_with_baker_campbell_hausdorff():
    """log(exp a exp b) = a + b + [a,b]/2 + [a,[a,b]]/12 - [b,[a,b]]/12 - [b,[a,[a,b]]]/24 + ..."""
    a, b = np.random.default_rng(2).normal(size=(2, 3))

    def bracket(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.multiply.outer(u, v) - np.multiply.outer(v, u)

    ab = bracket(a, b)
    levels = [a + b, ab / 2, (bracket(a, ab) - bracket(b, ab)) / 12, -bracket(b, bracket(a, ab)) / 24]
    X = np.stack([np.zeros(3), a, a + b])[None]
    expected = np.concatenate([level.ravel() for level in levels])
    close(sk.log_signature(X, 4, basis="expanded").numpy()[0], expected, 1e-13)


def test_straight_line_has_only_its_displacement():
    X = np.linspace(np.zeros(3), [1.0, -2.0, 0.5], 40)[None]
    close(sk.log_signature(X, 4).numpy()[0], [1.0, -2.0, 0.5] + [0.0] * (len(sk.lyndon_words(3, 4)) - 3), 1e-13)


def test_one_channel_at_great_depth():
    X = np.array([[0.0, 45.0, -50.0, 12.0]])[..., None]
    np.testing.assert_array_equal(sk.log_signature(X, 200).numpy(), [[12.0]])
    np.testing.assert_array_equal(sk.log_signature(X, 200, basis="expanded").numpy(), np.eye(1, 200) * 12)
    close(sk.log_signature(X, 9, basis="expanded", stream=True)[0, :, 0], X[0, :, 0], 1e-15)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("basis", ["words", "lyndon_brackets", "expanded"])
def test_stream_rows_are_those_of_prefixes(channels, basis):
    X = random_paths(4, 6, channels)
    stream = sk.log_signature(X, 3, basis=basis, stream=True).numpy()
    np.testing.assert_array_equal(stream[:, 0], 0 * stream[:, 0])
    for end in range(1, 7):
        close(stream[:, end - 1], sk.log_signature(X[:, :end], 3, basis=basis), 1e-13)


# Lyndon words.


@pytest.mark.parametrize(("channels", "depth"), SIZES)
def test_lyndon_words(channels, depth):
    words = sk.words(channels, sum(channels**k for k in range(depth + 1)))[1:]
    assert sk.lyndon_words(channels, depth) == [word for word in words if is_lyndon(word)]


def test_the_number_of_lyndon_words_is_witts():
    levels = [len(list(group)) for _, group in itertools.groupby(sk.lyndon_words(2, 12), key=len)]
    assert levels == [2, 1, 2, 3, 6, 9, 18, 30, 56, 99, 186, 335]  # OEIS A001037


# The basis of brackets.


def bracket(word: tuple[int, ...], channels: int) -> np.ndarray:
    """The bracket of a Lyndon word as a tensor of shape (D,) * letters: [u] and [v] for the longest suffix v."""
    if len(word) == 1:
        return np.eye(channels)[word[0]]
    cut = next(cut for cut in range(1, len(word)) if is_lyndon(word[cut:]))
    u, v = bracket(word[:cut], channels), bracket(word[cut:], channels)
    return np.multiply.outer(u, v) - np.multiply.outer(v, u)


@pytest.mark.parametrize(("channels", "depth"), [(1, 3), (2, 7), (3, 4), (5, 3)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_brackets_add_up_to_the_logarithm(channels, depth, dtype, tolerance):
    """The oracle's logarithm at all words is the sum of the coefficients times the brackets, written out."""
    X = random_paths(2, 9, channels).astype(dtype)
    words = sk.lyndon_words(channels, depth)
    coefficients = sk.log_signature(X, depth, basis="lyndon_brackets")
    assert coefficients.dtype == dtype
    assert coefficients.shape == (2, len(words))
    for path, row in zip(X.astype(float), coefficients.numpy(), strict=True):
        log = oracles.tensor_logarithm(oracles.signatures_of_prefixes(path, depth)[-1])
        for level in range(1, depth + 1):
            terms = [c * bracket(word, channels) for c, word in zip(row, words, strict=True) if len(word) == level]
            close(sum(terms, np.zeros((channels,) * level)), log[level], tolerance)


def test_brackets_of_two_segments_are_baker_campbell_hausdorffs():
    """In the basis a, b, [a,b], [a,[a,b]], [[a,b],b], ... of a path along a and then b."""
    X = np.array([[0.0, 0], [1, 0], [1, 1]])
    expected = [1, 1, 1 / 2, 1 / 12, 1 / 12, 0, 1 / 24, 0]
    close(sk.log_signature(X, 4, basis="lyndon_brackets"), expected, 1e-15)


@pytest.mark.parametrize(("points", "depth", "peers"), [
    ([[-2, 0], [-1, -2], [3, -3], [-3, -2], [3, 1], [3, -2]], 5, [
        1.25, -0.5, -0.375, -0.08854166666666669, 0.0, -0.008463541666666652, 0.04296874999999999, -0.005859375,
        0.0033311631944444404, 0.004090711805555562, 0.004513888888888892, -0.0007541232638888862,
        -0.012782118055555559, 0.0,
    ]),
    ([[2, -1, 0], [-3, 1, 2], [1, -2, 0], [-2, 3, 3], [-2, 0, 3], [2, 1, 1]], 3, [
        0.0, 0.5, 0.25, 0.09375, -0.15625, 0.09375, -0.171875, 0.049479166666666685, -0.02604166666666667,
        -0.19401041666666669, -0.05598958333333335, 0.03515625000000001, 0.03645833333333334, -0.06380208333333334,
    ]),
])  # fmt: skip
def test_brackets_are_those_of_iisignature(points, depth, peers):
    """What logsig(X, prepare(D, depth)) of iisignature 0.24 gave."""
    close(sk.log_signature(np.array(points) / 4, depth, basis="lyndon_brackets"), peers, 1e-14)


# Chen's product.


@pytest.mark.parametrize(("channels", "num_words"), [
    (1, 1), (1, 6), (1, 40), (2, 1), (2, 2), (2, 31), (2, 23), (3, 40), (3, 17), (5, 100), (29, 871), (29, 700),
])  # fmt: skip
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_combine_is_the_product_in_the_tensor_algebra(channels, num_words, dtype, tolerance):
    """The arguments are any numbers, not only signatures."""
    a, b = np.random.default_rng(3).normal(size=(2, 3, num_words))
    words = sk.words(channels, num_words)
    place = {word: n for n, word in enumerate(words)}
    cuts = [[(place[word[:k]], place[word[k:]]) for k in range(len(word) + 1)] for word in words]
    expected = np.array([[sum(x[u] * y[v] for u, v in cut) for cut in cuts] for x, y in zip(a, b, strict=True)])
    value = sk.signature_combine(a.astype(dtype), b.astype(dtype), channels)
    assert value.dtype == dtype
    close(value, expected, tolerance)


@pytest.mark.parametrize(("channels", "num_words"), [(1, 7), (2, 23), (3, 121)])
@pytest.mark.parametrize("cut", [1, 2, 17, 33])
def test_signatures_of_consecutive_intervals(channels, num_words, cut):
    X = random_paths(3, 33, channels)
    parts = [sk.signature(part, num_words=num_words) for part in (X[:, :cut], X[:, cut - 1 :])]
    close(sk.signature_combine(*parts, channels), sk.signature(X, num_words=num_words), 1e-13)


def test_combine_takes_any_leading_axes():
    a, b = np.random.default_rng(4).normal(size=(2, 4, 5, 13))
    expected = sk.signature_combine(a.reshape(20, 13), b.reshape(20, 13), 3).numpy().reshape(4, 5, 13)
    np.testing.assert_array_equal(sk.signature_combine(a, b, 3), expected)
    np.testing.assert_array_equal(sk.signature_combine(a[0, 0], b[0, 0], 3), expected[0, 0])
    assert sk.signature_combine(a[:0], b[:0], 3).shape == (0, 5, 13)


# Gradients.


@pairwise({
    "channels,depth": [(1, 3), (2, 4), (3, 3)], "length": [1, 2, 6], "basis": ["words", "lyndon_brackets", "expanded"],
    "stream": [False, True],
})  # fmt: skip
def test_gradient_of_the_log_signature(channels, depth, basis, stream, length):
    X = random_paths(1, length, channels)
    weights = np.random.default_rng(5).normal(size=sk.log_signature(X, depth, basis=basis, stream=stream).shape)

    def loss(x: object) -> tf.Tensor:
        return tf.reduce_sum(weights * sk.log_signature(x, depth, basis=basis, stream=stream))

    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    close(tape.gradient(value, x), oracles.central_differences(loss, X), 1e-8)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-4)])
@pytest.mark.parametrize("length", [33, 1025])
def test_gradient_along_long_paths(length, dtype, tolerance):
    """The area has a closed form: log S at (0, 1) is half the sum of x dy - y dx, seen from the first point."""
    X = random_paths(9, length, 2).astype(dtype)
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        area = sk.log_signature(x, 3)[:, 2]
    from_start = X - X[:, :1]
    dx, dy = np.diff(from_start[..., 0]), np.diff(from_start[..., 1])
    close(area, ((from_start[:, :-1, 0] * dy) - (from_start[:, :-1, 1] * dx)).sum(axis=1) / 2, tolerance)
    closed = np.concatenate([X, X[:, :1]], axis=1)  # the area of the loop that returns to the start
    turn = np.roll(closed[:, :-1], -1, axis=1) - np.roll(closed[:, :-1], 1, axis=1)
    expected = np.stack([turn[..., 1], -turn[..., 0]], axis=-1) / 2
    close(tape.gradient(area, x), expected, tolerance)


@pytest.mark.parametrize(("channels", "num_words"), [(1, 5), (2, 11), (3, 13)])
def test_gradient_of_combine(channels, num_words):
    pair = np.random.default_rng(6).normal(size=(2, 2, num_words))
    weights = np.random.default_rng(7).normal(size=(2, num_words))

    def loss(both: object) -> tf.Tensor:
        return tf.reduce_sum(weights * sk.signature_combine(both[0], both[1], channels))

    both = tf.constant(pair)
    with tf.GradientTape() as outer:
        outer.watch(both)
        with tf.GradientTape() as tape:
            tape.watch(both)
            value = loss(both)
        gradient = tape.gradient(value, both)
        contracted = tf.reduce_sum(gradient[0] * weights)
    close(gradient, oracles.central_differences(loss, pair), 1e-8)

    def slope(
        second: object,
    ) -> tf.Tensor:  # the gradient by the first is linear in the second
        return loss(tf.stack([tf.constant(weights), second]))

    expected = oracles.central_differences(lambda second: slope(tf.constant(second)), pair[1])
    close(outer.gradient(contracted, both)[1], expected, 1e-8)


# Functions, shapes, dtypes.


@pytest.mark.parametrize("stream", [False, True])
def test_in_a_function_of_unknown_shapes(stream):
    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.float64)])
    def log(X):
        with tf.GradientTape() as tape:
            tape.watch(X)
            value = sk.log_signature(X, 3, stream=stream)
        assert value.shape[-1] == 14
        return value, tape.gradient(value, X)

    for length in (1, 2, 9):
        X = random_paths(4, length, 3)
        value, gradient = log(X)
        close(value, sk.log_signature(X, 3, stream=stream), 1e-14)
        assert gradient.shape == X.shape


def test_combine_compiles_under_xla_and_takes_unknown_shapes():
    a, b = np.random.default_rng(8).normal(size=(2, 3, 10))
    expected = sk.signature_combine(a, b, 3)
    compiled = tf.function(lambda x, y: sk.signature_combine(x, y, 3), jit_compile=True)
    close(compiled(tf.constant(a), tf.constant(b)), expected, 1e-14)
    unknown = tf.function(
        lambda x, y: sk.signature_combine(x, tf.ensure_shape(y, [None, 10]), 3),
        input_signature=[tf.TensorSpec(None, tf.float64)] * 2,
    )
    close(unknown(a, b), expected, 1e-14)
    with pytest.raises(tf.errors.InvalidArgumentError, match="first and second must have the same shape"):
        unknown(a[:1], b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 2])
def test_no_paths(channels, dtype):
    X = np.zeros((0, 5, channels), dtype)
    columns = len(sk.lyndon_words(channels, 3))
    assert sk.log_signature(X, 3).shape == (0, columns)
    assert sk.log_signature(X, 3, stream=True).shape == (0, 5, columns)


# Bad input.


@pytest.mark.parametrize(("X", "options", "error", "message"), [
    (np.zeros((1, 3, 2)), {"depth": 0}, ValueError, "depth must be at least 1, got 0"),
    (np.zeros((1, 3, 2)), {"depth": 2.0}, TypeError, "depth must be an int, got 2.0"),
    (np.zeros((1, 3, 2)), {"depth": 2, "basis": "brackets"}, ValueError, "basis must be .*\"words\".*got 'brackets'"),
    (np.zeros((1, 3, 2)), {"depth": 40}, ValueError, r"depth=40 with 2 channels makes 2.1990e\+12 words, 1.7592e\+13"),
    (np.zeros(3), {"depth": 2}, ValueError, r"X must have rank 2 or more.*X\[:, None\]"),
    (np.zeros((1, 0, 2)), {"depth": 2}, ValueError, "at least one time step"),
    (np.zeros((1, 3, 2), int), {"depth": 2}, TypeError, "X must be float32 or float64, got int64"),
    (np.full((1, 3, 2), np.nan), {"depth": 2}, tf.errors.InvalidArgumentError, "path 0 has nan at time step 0"),
])  # fmt: skip
def test_bad_log_signatures(X, options, error, message):
    with pytest.raises(error, match=message):
        sk.log_signature(X, **options)


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((0, 3), ValueError, "num_channels must be at least 1, got 0"),
    ((2, 0), ValueError, "depth must be at least 1, got 0"),
    ((2.0, 3), TypeError, "num_channels must be an int"),
    ((2, True), TypeError, "depth must be an int"),
    ((2, 60), ValueError, "depth=60 with 2 channels makes .* words"),
])  # fmt: skip
def test_bad_lyndon_words(arguments, error, message):
    with pytest.raises(error, match=message):
        sk.lyndon_words(*arguments)


@pytest.mark.parametrize(("first", "second", "channels", "error", "message"), [
    (np.zeros((2, 7)), np.zeros((2, 7), np.float32), 2, TypeError, "one dtype, got float64 and float32"),
    (np.zeros((2, 7), int), np.zeros((2, 7), int), 2, TypeError, "first must be float32 or float64, got int64"),
    (np.zeros((2, 7)), np.zeros((2, 6)), 2, ValueError, r"same shape, .* got \(2, 7\) and \(2, 6\)"),
    (np.zeros((1, 7)), np.zeros((2, 7)), 2, ValueError, "nothing is broadcast"),
    (np.zeros((2, 7)), np.zeros(7), 2, ValueError, "nothing is broadcast"),
    (np.zeros((2, 0)), np.zeros((2, 0)), 2, ValueError, "first must have a last axis with at least one word"),
    (np.zeros(()), np.zeros(()), 2, ValueError, "first must have a last axis with at least one word"),
    (np.zeros((2, 7)), np.zeros((2, 7)), 0, ValueError, "num_channels must be at least 1, got 0"),
    (np.zeros((2, 7)), np.zeros((2, 7)), 2.0, TypeError, "num_channels must be an int"),
])  # fmt: skip
def test_bad_combinations(first, second, channels, error, message):
    with pytest.raises(error, match=message):
        sk.signature_combine(first, second, channels)


def test_combine_needs_a_known_number_of_words():
    function = tf.function(
        lambda x: sk.signature_combine(x, x, 2), input_signature=[tf.TensorSpec([None, None], tf.float64)]
    )
    with pytest.raises(ValueError, match=r"number of words known .*tf.ensure_shape"):
        function(np.zeros((1, 3)))


def test_exact_oracle_of_the_logarithm():
    """log exp(x) = x for one step, in exact fractions."""
    depth, step = 3, [Fraction(1, 2), Fraction(-3)]
    words = sk.words(2, 15)
    log = oracles.exact_logarithm(dict(zip(words, oracles.exact_signature([[0, 0], step], depth), strict=True)), depth)
    assert [log[word] for word in words] == [0, *step] + [0] * 12


@pytest.mark.parametrize("basis", ["words", "lyndon_brackets", "expanded"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("spec", [(0, 5, 2), (None, 5, 2), (None, None, 2)])
def test_gradient_of_no_paths_in_a_function(spec, stream, basis):
    @tf.function
    def gradient(X):
        with tf.GradientTape() as tape:
            tape.watch(X)
            value = sk.log_signature(X, 3, basis=basis, stream=stream)
        return value, tape.gradient(value, X)

    value, slope = gradient.get_concrete_function(tf.TensorSpec(spec, tf.float64))(tf.zeros((0, 5, 2), tf.float64))
    columns = 14 if basis == "expanded" else len(sk.lyndon_words(2, 3))
    assert value.shape == ((0, 5, columns) if stream else (0, columns))
    assert slope.shape == (0, 5, 2)


def test_many_sizes_give_no_warning_of_tracing():
    """Each size has a graph of its own, which is no mistake of the user's."""
    X, warnings = random_paths(2, 4, 3), []
    handler, logger = logging.Handler(), logging.getLogger("tensorflow")
    handler.emit = lambda record: warnings.append(record.getMessage())
    logger.addHandler(handler)
    try:
        for depth in (2, 3, 4):
            for basis in ("words", "expanded"):
                for channels in (2, 3):
                    for dtype in (np.float32, np.float64):
                        sk.log_signature(X[..., :channels].astype(dtype), depth, basis=basis)
    finally:
        logger.removeHandler(handler)
    assert warnings == []


def test_words_of_one_channel_are_as_long_as_there_are_words():
    """So a list of many is refused at once, and counting them takes no loop over all pairs of levels."""
    assert sk.words(1, 4) == [(), (0,), (0, 0), (0, 0, 0)]
    assert [len(word) for word in sk.words(1, 1000)] == list(range(1000))
    with pytest.raises(ValueError, match=r"num_words must be at most 16384 with one channel, got 30000.*\(0,\) \* k"):
        sk.words(1, 30000)
    assert sk.LogSignatureLayer(10**6).compute_output_shape((None, 5, 1)) == (None, 1)
