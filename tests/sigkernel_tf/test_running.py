"""Running signatures, against those of the same points by Chen's identity in NumPy, however the points arrive."""

import numpy as np
import oracles
import pytest
import tensorflow as tf
from comparisons import close
from random_walks import random_paths

import sigkernel_tf as sk


def expected(X: np.ndarray, depth: int, half_life: float | np.ndarray | None) -> np.ndarray:
    """Of one path, whose increments are weighted one by one."""
    if half_life is not None:
        ages = np.arange(len(X) - 1)[::-1, None]
        X = np.concatenate([X[:1] * 0, np.cumsum(np.diff(X, axis=0) * 0.5 ** (ages / half_life), axis=0)])
    return oracles.signature(X, depth)


@pytest.mark.parametrize("half_life", [None, 3.0, np.array([1.0, 7.0])], ids=["whole", "fading", "by channel"])
@pytest.mark.parametrize("window", [None, 2, 5])
def test_points_that_arrive(window, half_life):
    """In any portions: one point, several, more than the window."""
    X = random_paths(2, 40, 2)
    running, known = sk.RunningSignature(3, window=window, half_life=half_life), 0
    for more in (1, 1, 2, 1, 3, 1, 1, 1, 7, 4, 1, 11, 1, 1, 1):
        S = running.update(X[:, known : known + more])
        known += more
        first = 0 if window is None else max(0, known - window)
        assert running.num_points == known - first
        for row, path in zip(S.numpy(), X, strict=True):
            close(row, expected(path[first:known], 3, half_life), 1e-13)
        np.testing.assert_array_equal(running.signature, S)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 3e-6)])
def test_a_long_stream_costs_no_digits(dtype, tolerance):
    """Nothing of what has left the window stays in it, far from where the stream began."""
    X = 100.0 + np.random.default_rng(0).normal(size=(2000, 2)).cumsum(axis=0)
    X = X.astype(dtype)
    running = sk.RunningSignature(4, window=10)
    for point in X:
        S = running.update(point[None])
    assert S.dtype == dtype
    exact = oracles.signature(X[-10:].astype(float), 4)
    for columns in (slice(1, 3), slice(3, 7), slice(7, 15), slice(15, 31)):
        assert np.abs(S.numpy()[columns] - exact[columns]).max() <= tolerance * np.abs(exact[columns]).max()


def test_gradients_reach_the_points():
    X = tf.Variable(random_paths(1, 6, 2)[0])
    with tf.GradientTape(persistent=True) as tape:
        running = sk.RunningSignature(2, window=4, half_life=2.0)
        for point in tf.unstack(X, axis=0):
            S = running.update(point[None])
        of_window = sk.signature(sk.paths.fade(X[None, 2:], 2.0), 2)[0]
    close(tape.gradient(S, X), tape.gradient(of_window, X), 1e-13)


def test_errors():
    with pytest.raises(ValueError, match="window must be at least 2, got 1"):
        sk.RunningSignature(2, window=1)
    with pytest.raises(TypeError, match="depth must be an int"):
        sk.RunningSignature(2.5)
    running = sk.RunningSignature(2)
    with pytest.raises(ValueError, match="call update first"):
        running.signature  # noqa: B018
    with pytest.raises(ValueError, match="half_life must be positive"):
        sk.RunningSignature(2, half_life=[1.0, -1.0]).update(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="half_life must be one number"):
        sk.RunningSignature(2, half_life=[1.0, 1.0]).update(np.zeros((1, 3)))
    running.update(np.zeros((3, 1, 2)))
    with pytest.raises(ValueError, match="a single point takes points"):
        running.update(np.zeros((3, 2)))
    with pytest.raises(TypeError, match="one dtype, got float64 and float32"):
        running.update(np.zeros((3, 1, 2), np.float32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="finite"):
        running.update(np.full((3, 1, 2), np.nan))
    with pytest.raises(ValueError, match="called eagerly"):
        tf.function(running.update)(tf.zeros([3, 1, 2], tf.float64))
    np.testing.assert_array_equal(running.update(np.zeros((3, 1, 2)))[:, 1:], 0.0)
