"""Signatures do not depend on how paths are dealt to lanes, to stretches and to steps at a time."""

import numpy as np
import oracles
import pytest
import tensorflow as tf
from comparisons import close
from pairwise import pairwise
from random_walks import random_paths

import sigkernel_tf as sk

SETS = ["avx512", "avx2", "baseline"]  # where the machine lacks a set, a smaller one is taken
SHAPES = [
    # count, length, channels, num_words
    (1, 2, 2, 7),
    (1, 30, 2, 511),
    (1, 20, 29, 871),  # one path, its last letters in the lanes
    (2, 9, 37, 1000),  # likewise, the last level cut midway
    (3, 10, 18, 343),
    (2, 9, 2, 20000),  # more words than lanes of paths have room for
    (17, 33, 3, 40),
    (19, 8, 5, 100),  # cut midway
    (9, 18, 2, 3),  # one level
    *((17, 19, channels, 1 + channels + channels**2 + channels**3) for channels in range(4, 9)),  # whole levels
    (1, 1025, 3, 40),  # long paths are cut into stretches
    (3, 700, 2, 100),
    (2, 1500, 9, 91),
]


def walks(count: int, length: int, channels: int) -> np.ndarray:
    """Walks whose extent does not grow with the number of channels either."""
    return random_paths(count, length, channels) / np.sqrt(channels)


def value_and_gradient(
    X: np.ndarray, weights: np.ndarray, num_words: int, stream: bool
) -> tuple[np.ndarray, np.ndarray]:
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = sk.signature(x, num_words=num_words, stream=stream)
        loss = tf.reduce_sum(value * weights)
    return value.numpy(), tape.gradient(loss, x).numpy()


@pairwise({
    "shape": SHAPES, "dtype,tolerance": [(np.float64, 1e-12), (np.float32, 1e-4)], "stream": [False, True],
})  # fmt: skip
def test_every_instruction_set_gives_the_same(shape, dtype, tolerance, stream, monkeypatch):
    *path_shape, num_words = shape
    X = walks(*path_shape).astype(dtype)
    weights = np.random.default_rng(1).normal(size=(shape[0], shape[1], num_words)).astype(dtype) / num_words
    results = {}
    for name in SETS:
        monkeypatch.setenv("SIGKERNEL_TF_SIMD", name)
        results[name] = value_and_gradient(X, weights if stream else weights[:, 0], num_words, stream)
    for name in SETS[:-1]:
        for got, expected in zip(results[name], results["baseline"], strict=True):
            close(got, expected, tolerance)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[1] < 40 and shape[3] < 1000], ids=str)
def test_agrees_with_the_oracle(shape):
    count, length, channels, num_words = shape
    X = walks(count, length, channels)
    depth = len(sk.words(channels, num_words)[-1])
    expected = [oracles.signature(path, depth)[:num_words] for path in X[:2]]
    close(sk.signature(X, num_words=num_words).numpy()[:2], np.array(expected), 1e-13)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[1] >= 700], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-3)])
def test_stretches_are_joined_as_the_steps_of_one_walk(shape, dtype, tolerance):
    """With stream=True a path is walked in one go, and nothing is walked back."""
    count, length, channels, num_words = shape
    X = walks(count, length, channels)
    weights = np.zeros((count, length, num_words))
    weights[:, -1] = np.random.default_rng(2).normal(size=(count, num_words))
    stream, expected = value_and_gradient(X, weights, num_words, True)
    value, gradient = value_and_gradient(X.astype(dtype), weights[:, -1].astype(dtype), num_words, False)
    close(value, stream[:, -1], tolerance)
    close(gradient, expected, tolerance)


def test_a_long_path_agrees_with_the_oracle():
    X = walks(1, 1025, 2)
    close(sk.signature(X, 4).numpy()[0], oracles.signature(X[0], 4), 1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "options", [{"depth": 3}, {"num_words": 2}, {"num_words": 1}, {"depth": 2, "stream": True}], ids=str
)
@pytest.mark.parametrize(("channels", "length"), [(1, 9), (3, 9), (3, 1), (2, 1025)])
def test_what_is_not_finite_is_found_wherever_it_is(bad, options, channels, length):
    for step in {0, length // 2, length - 1}:
        X = walks(3, length, channels)
        X[1, step, -1] = bad
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"path 1 has .* at time step {step}, "):
            sk.signature(X, **options)


def test_a_level_cut_after_a_few_of_very_many_words():
    """Two segments, a and b, have a_0 a_j / 2 + a_0 b_j + b_0 b_j / 2 at the word (0, j)."""
    X = walks(2, 3, 20_000)
    a, b = X[:, 1] - X[:, 0], X[:, 2] - X[:, 1]
    cut = np.arange(20_000) < 2  # words (0, 0) and (0, 1)
    second = (a[:, :1] * a / 2 + a[:, :1] * b + b[:, :1] * b / 2)[:, cut]
    by_a = 1 + cut * a[:, :1] / 2
    by_b = 1 + cut * (a[:, :1] + b[:, :1] / 2)
    by_a[:, 0] += (a / 2 + b)[:, cut].sum(axis=1)
    by_b[:, 0] += (b / 2)[:, cut].sum(axis=1)
    value, gradient = value_and_gradient(X, np.ones((2, 20_003)), 20_003, False)
    close(value, np.concatenate([np.ones((2, 1)), a + b, second], axis=1), 1e-14)
    close(gradient, np.stack([-by_a, by_a - by_b, by_b], axis=1), 1e-14)
