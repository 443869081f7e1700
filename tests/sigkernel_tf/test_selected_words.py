"""Selected words, where words stand, and words by the weight of their letters."""

import itertools

import numpy as np
import oracles
import pytest
import tensorflow as tf
from comparisons import close
from random_walks import random_paths

import sigkernel_tf as sk
from sigkernel_tf import _selected_words

WORDS = [(2, 0, 2), (), (0,), (1, 1, 0, 2), (2, 0, 2), (1,), (2,), (0, 1)]


def at_words(path: np.ndarray, words: list[tuple[int, ...]]) -> list[np.ndarray]:
    """The signature of each prefix of a path at words, by Chen's identity in NumPy: [L, W]."""
    prefixes = oracles.signatures_of_prefixes(path.astype(float), max(map(len, words)))
    return [np.array([levels[len(word)][word] for word in words]) for levels in prefixes]


@pytest.fixture(params=["compiled", "prefixes only"])
def way(request, monkeypatch):
    """Both ways to compute the same."""
    monkeypatch.setattr(_selected_words, "_SLOWER", 1e9 if request.param == "compiled" else 0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("length", [1, 2, 33])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 3e-6)])
def test_values(length, dtype, tolerance):
    X = random_paths(2, length, 3).astype(dtype)
    stream = sk.signature(X, words=WORDS, stream=True)
    assert stream.dtype == dtype
    close(stream, [at_words(path, WORDS) for path in X], tolerance)
    close(sk.signature(X, words=WORDS), stream[:, -1], tolerance)


@pytest.mark.usefixtures("way")
def test_inverse_is_that_of_the_reversed_path():
    X = random_paths(2, 9, 3)
    inverse = sk.signature(X, words=WORDS, stream=True, inverse=True)
    for end in range(1, 10):
        close(inverse[:, end - 1], [at_words(path[:end][::-1], WORDS)[-1] for path in X], 1e-13)
    close(sk.signature(X, words=WORDS, inverse=True), inverse[:, -1], 1e-13)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("stream", [False, True])
def test_gradient_and_leading_axes(stream):
    X = random_paths(2, 6, 3).reshape(2, 1, 6, 3)
    weights = np.random.default_rng(1).normal(size=(2, 1, 6, len(WORDS)) if stream else (2, 1, len(WORDS)))

    def loss(X: object) -> tf.Tensor:
        return tf.reduce_sum(weights * sk.signature(X, words=WORDS, stream=stream))

    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    oracles.check_gradient(loss, X, tape.gradient(value, x).numpy())


@pytest.mark.usefixtures("way")
def test_unknown_shapes_and_no_paths():
    function = tf.function(
        lambda X: sk.signature(X, words=WORDS), input_signature=[tf.TensorSpec([None, None, 3], tf.float32)]
    )
    X = random_paths(3, 7, 3).astype(np.float32)
    close(function(X), sk.signature(X, words=WORDS), 1e-6)
    assert function(X[:0]).shape == (0, len(WORDS))


def test_words_that_would_never_fit_all():
    """The 10^40 words before this one are not computed, and channels without a letter are not read."""
    X = random_paths(2, 5, 100)
    X[..., 50] = np.nan
    word = tuple(range(20))
    small = [at_words(path[:, :3], [(2, 0), (0, 1, 2)])[-1] for path in X]
    values = sk.signature(X, words=[(2, 0), (0, 1, 2), word])
    close(values[:, :2], small, 1e-13)
    assert values.shape == (2, 3)
    # One step along a line: the word's number is the product of its letters' displacements, over 20!.
    line = np.stack([np.zeros(100), np.arange(1.0, 101.0)])
    np.testing.assert_allclose(sk.signature(line, words=[word]), [1.0], rtol=1e-14)


def test_numbers_of_numpy_are_words_too():
    X = random_paths(1, 5, 3)
    close(sk.signature(X, words=np.array([[0, 1], [2, 2]])), sk.signature(X, words=[(0, 1), (2, 2)]), 0)


# Where words stand.


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_word_index_is_where_words_lists_it(channels):
    words = sk.words(channels, 60)
    assert [sk.word_index(word, channels) for word in words] == list(range(60))


def test_word_index_of_a_long_word():
    """Counted as a number whose digits are 1 to D: 3 is the largest digit over three channels."""
    assert sk.word_index((2,) * 40, 3) == (3**41 - 1) // 2 - 1
    assert sk.word_index([np.int64(1), 0], 2) == 5


# Weighted words.


@pytest.mark.parametrize(
    ("weights", "most"), [([1, 2], 3), ([0.1, 0.2, 0.3], 0.6), ([2.5], 9), ([3, 4], 2), ([1, 1], 3)]
)
def test_weighted_words_are_those_that_are_light_enough(weights, most):
    longest = int(most / min(weights) + 1e-9)
    channels = range(len(weights))
    words = itertools.chain.from_iterable(itertools.product(channels, repeat=k) for k in range(longest + 1))
    expected = [word for word in words if sum(weights[letter] for letter in word) <= most + 1e-9]
    assert sk.weighted_words(weights, most) == expected


def test_a_light_channel_goes_deeper():
    X = random_paths(2, 9, 2)
    words = sk.weighted_words([1, 2], 4)
    close(sk.signature(X, words=words), [at_words(path, words)[-1] for path in X], 1e-13)


# Bad input.


@pytest.mark.parametrize(("words", "error", "message"), [
    ([], ValueError, "words must have at least one word, got none"),
    ("01", TypeError, "words must be a list of words, .* got '01'"),
    (3, TypeError, "words must be a list of words"),
    ([0, 1], TypeError, r"words\[0\] must be a tuple of channels, got 0"),
    ([(0,), (0.5,)], TypeError, r"words\[1\] must be a tuple of channels, got \(0.5,\)"),
    (["ab"], TypeError, r"words\[0\] must be a tuple of channels, got 'ab'"),
    ([(0, 3)], ValueError, r"words\[0\] must have letters from 0 to 2, one for each channel, got \(0, 3\)"),
    ([(-1,)], ValueError, "letters from 0 to 2"),
])  # fmt: skip
def test_bad_words(words, error, message):
    with pytest.raises(error, match=message):
        sk.signature(np.zeros((1, 3, 3)), words=words)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("X", "message"), [
    (np.full((1, 3, 2), np.nan), "X"), (np.array([[[0.0, 0], [1e200, 1]]]), "signature of X.* overflows"),
])  # fmt: skip
def test_values_that_are_not_finite(X, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        sk.signature(X, words=[(0, 0, 1)])


def test_words_need_a_known_number_of_channels():
    function = tf.function(
        lambda X: sk.signature(X, words=[(0,)]), input_signature=[tf.TensorSpec([None, None, None], tf.float64)]
    )
    with pytest.raises(ValueError, match="words needs a number of channels known"):
        function(np.zeros((1, 3, 2)))


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: sk.word_index((0, 2), 2), ValueError, "word must have letters from 0 to 1"),
    (lambda: sk.word_index(0, 2), TypeError, "word must be a tuple of channels, got 0"),
    (lambda: sk.word_index((0,), 0), ValueError, "num_channels must be at least 1"),
    (lambda: sk.weighted_words([], 2), ValueError, "weights must have a positive number for each channel"),
    (lambda: sk.weighted_words([1, 0], 2), ValueError, r"positive number for each channel, got \[1.0, 0.0\]"),
    (lambda: sk.weighted_words(3, 2), TypeError, "weights and max_weight must be a list of numbers and a number"),
    (lambda: sk.weighted_words([1], -1), ValueError, "max_weight must be a finite number >= 0, got -1"),
    (lambda: sk.weighted_words([1, 1e-3], 10), ValueError, "max_weight=10 with the weights .* makes"),
])  # fmt: skip
def test_bad_word_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
