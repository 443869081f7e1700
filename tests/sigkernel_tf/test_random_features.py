"""Random Fourier signature features against the truncated signature kernel, tuple by tuple."""

import itertools
import math

import numpy as np
import oracles
import pytest
import tensorflow as tf
from comparisons import close
from random_walks import walks

import sigkernel_tf as sk
from sigkernel_tf import random_features

LENGTHSCALE, VARIANCE = np.array([0.8, 1.3]), 1.5


def tuples(length: int, level: int, order: int) -> list[tuple[tuple[int, ...], int]]:
    """Non-decreasing tuples of time steps, none more than ``order`` times, and the product of the factorials."""
    found = []
    for steps in itertools.combinations_with_replacement(range(length), level):
        repeats = [len(list(group)) for _, group in itertools.groupby(steps)]
        if max(repeats) <= order:
            found.append((steps, math.prod(map(math.factorial, repeats))))
    return found


def truncated_kernel(x: np.ndarray, y: np.ndarray, depth: int, order: int, half_life: float = np.inf) -> float:
    """The kernel of GPSig under an RBF kernel, by its definition."""
    squares = np.square((x[:, None] - y[None]) / LENGTHSCALE).sum(axis=-1)
    p = np.diff(np.diff(VARIANCE * np.exp(-squares / 2), axis=0), axis=1)
    weights = [0.5 ** (np.arange(n)[::-1] / half_life) for n in p.shape]
    p = p * np.outer(*weights)
    total = 1.0
    for level in range(1, depth + 1):
        for (i, a), (j, b) in itertools.product(*(tuples(n, level, order) for n in p.shape)):
            total += np.prod(p[list(i), list(j)]) / (a * b)
    return total


@pytest.fixture(name="paths", scope="module")
def fixture_paths() -> np.ndarray:
    return walks(np.random.default_rng(4), 3, 5, 2, scale=2.0)


def grams(paths: np.ndarray, seeds: range, **options) -> np.ndarray:
    """The Gram matrices of draws, [seeds, N, N]."""
    found = []
    for seed in seeds:
        draw = sk.RandomSignatureFeatures(2, depth=3, lengthscale=LENGTHSCALE, variance=VARIANCE, seed=seed, **options)
        phi = draw(paths).numpy()
        assert phi.shape == (len(paths), draw.num_features)
        found.append(phi @ phi.T)
    return np.array(found)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("projection", ["diagonal", "tensor"])
def test_the_mean_over_draws_is_the_truncated_kernel(projection: str, order: int, paths: np.ndarray) -> None:
    found = grams(paths, range(30), num_components=200, projection=projection, discretization_order=order)
    expected = np.array([[truncated_kernel(x, y, 3, order) for y in paths] for x in paths])
    standard_error = found.std(axis=0) / math.sqrt(len(found))
    assert (standard_error < 0.05 * expected.max()).all()
    assert (np.abs(found.mean(axis=0) - expected) < 4.5 * standard_error + 1e-12).all()


def test_the_lifted_past_fades(paths: np.ndarray) -> None:
    """Padding does not age a path."""
    padded = np.concatenate([paths, np.repeat(paths[:, -1:], 2, axis=1)], axis=1)
    found = grams(padded, range(30), num_components=100, half_life=2.0)
    expected = np.array([[truncated_kernel(x, y, 3, 1, 2.0) for y in paths] for x in paths])
    standard_error = found.std(axis=0) / math.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - expected) < 4.5 * standard_error + 1e-12).all()
    assert np.abs(expected - [[truncated_kernel(x, y, 3, 1) for y in paths] for x in paths]).max() > 0.3


@pytest.mark.parametrize("projection", ["diagonal", "tensor"])
def test_the_deviation_falls_with_the_square_root_of_the_components(projection: str, paths: np.ndarray) -> None:
    expected = np.array([[truncated_kernel(x, y, 3, 1) for y in paths] for x in paths])
    few, many = (
        np.sqrt(np.mean((grams(paths, range(30), num_components=Q, projection=projection) - expected) ** 2))
        for Q in (20, 320)
    )
    assert 2.3 < few / many < 7.0  # 4 in the mean


@pytest.mark.parametrize("projection", ["diagonal", "tensor"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parts_and_padding_change_nothing(
    projection: str, dtype: type, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = walks(rng, 6, 4, 3).astype(dtype)
    features = sk.RandomSignatureFeatures(3, 5, projection=projection, discretization_order=2)
    tolerance = 2e-6 if dtype == np.float32 else 1e-13
    phi = features(X)
    assert phi.dtype == dtype
    close(features(np.concatenate([X, X[:, -1:]], axis=1)), phi, tolerance)
    close(features(X.reshape(2, 3, 4, 3)), np.reshape(phi, (2, 3, -1)), tolerance)
    close(features(X.astype(np.float64)), phi.numpy().astype(float), 2e-6)
    monkeypatch.setattr(random_features, "_NUMBERS_AT_ONCE", 1)
    close(features(X), phi, tolerance)
    traced = tf.function(features, input_signature=[tf.TensorSpec([None, None, 3], dtype)], autograph=False)
    close(traced(X), phi, tolerance)


def test_normalized_features_have_norm_one(paths: np.ndarray) -> None:
    plain, normalized = (sk.RandomSignatureFeatures(2, 7, normalize=normalize)(paths) for normalize in (False, True))
    close(normalized, plain / np.linalg.norm(plain, axis=1, keepdims=True), 1e-14)


@pytest.mark.parametrize("at_once", [1, 2**22])
def test_gradients_against_differences(at_once: int, paths: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_features, "_NUMBERS_AT_ONCE", at_once)
    features = sk.RandomSignatureFeatures(2, 3, 2, projection="tensor", discretization_order=2)
    weights = np.random.default_rng(0).normal(size=(3, features.num_features))

    def value(X, lengthscale, variance) -> tf.Tensor:
        features.lengthscale, features.variance = lengthscale, variance
        return tf.reduce_sum(features(X) * weights)

    inputs = [paths, LENGTHSCALE, np.array(VARIANCE)]
    watched = [tf.Variable(each) for each in inputs]
    with tf.GradientTape() as tape:
        result = value(*watched)
    for n, found in enumerate(tape.gradient(result, watched)):
        direction = np.random.default_rng(n).normal(size=inputs[n].shape)

        def moved(array: np.ndarray, n: int = n) -> float:
            return float(value(*inputs[:n], array, *inputs[n + 1 :]))

        close(np.sum(found * direction), oracles.slope(moved, inputs[n], np.asarray(direction), 1e-3), 1e-9)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_components": 0}, ValueError, "num_components must be at least 1"),
        ({"depth": 2.5}, TypeError, "depth must be an int"),
        ({"depth": 2, "discretization_order": 3}, ValueError, "discretization_order must be at most the depth, 2"),
        ({"projection": "dense"}, ValueError, 'projection must be "diagonal" or "tensor"'),
        ({"num_frequencies": 3}, ValueError, 'num_frequencies must be None with projection="diagonal"'),
        ({"normalize": "no"}, TypeError, "normalize must be True or False"),
    ],
)
def test_wrong_options_are_refused(options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        sk.RandomSignatureFeatures(2, **({"num_components": 3} | options))


def test_wrong_paths_are_refused(paths: np.ndarray) -> None:
    with pytest.raises(ValueError, match="X must have num_channels=3 channels"):
        sk.RandomSignatureFeatures(3, 2)(paths)
    with pytest.raises(ValueError, match=r"lengthscale must be one number, or have shape \[2\]"):
        sk.RandomSignatureFeatures(2, 2, lengthscale=[1.0, 2.0, 3.0])(paths)
