"""Signatures over intervals of a path, against Chen's identity in NumPy, wherever the interval begins and ends."""

import numpy as np
import oracles
import pytest
import tensorflow as tf
from comparisons import close
from random_walks import random_paths

import sigkernel_tf as sk
from sigkernel_tf import intervals


@pytest.fixture
def short_blocks(monkeypatch):
    """Short blocks, so that short paths have deep trees."""
    monkeypatch.setattr(intervals, "_BLOCK", 2)


@pytest.mark.usefixtures("short_blocks")
@pytest.mark.parametrize("length", [1, 2, 12])
def test_every_interval(length):
    X = random_paths(1, length, 2)[0]
    path = sk.Path(X)
    for start in range(length):
        expected = oracles.signatures_of_prefixes(X[start:], 3)
        for end in range(start + 1, length + 1):
            levels = np.concatenate([level.ravel() for level in expected[end - start - 1]])
            close(path.signature(3, start=start, end=end), levels, 1e-13)
    close(path.signature(3), oracles.signature(X, 3), 1e-13)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-14), (np.float32, 4e-6)])
@pytest.mark.parametrize("width", [10, 2000])
def test_a_long_path_costs_no_digits(width, dtype, tolerance):
    """Each level's error is measured by that level of the interval, not by that of the whole path."""
    X = np.random.default_rng(1).normal(size=(20_000, 2)).cumsum(axis=0).astype(dtype)
    path = sk.Path(X)
    for start in (3, 7777, 20_000 - width):
        S = path.signature(4, start=start, end=start + width).numpy()
        expected = oracles.signature(X[start : start + width].astype(float), 4)
        for columns in (slice(1, 3), slice(3, 7), slice(7, 15), slice(15, 31)):
            error = np.abs(S[columns] - expected[columns]).max()
            assert error <= tolerance * np.abs(expected[columns]).max()


@pytest.mark.usefixtures("short_blocks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_points_that_arrive(dtype):
    """After each update every depth that was asked for before knows the new points."""
    X = random_paths(3, 19, 2).astype(dtype)
    path = sk.Path(X[:, :1])
    known = 1
    for more in (1, 2, 1, 5, 9):
        path.update(X[:, known : known + more])
        known += more
        for depth in (2, 3):
            close(path.signature(depth), sk.signature(X[:, :known], depth), 2e-6)
            assert path.signature(depth).dtype == dtype
        close(path.signature(3, start=known // 2), sk.signature(X[:, known // 2 : known], 3), 2e-6)
    np.testing.assert_array_equal(path.points, X)


@pytest.mark.usefixtures("short_blocks")
@pytest.mark.parametrize("basis", ["words", "lyndon_brackets", "expanded"])
@pytest.mark.parametrize("channels", [1, 3])
def test_log_signatures(basis, channels):
    X = random_paths(6, 30, channels).reshape(2, 3, 30, channels)
    log = sk.Path(X).log_signature(3, start=2, end=25, basis=basis)
    close(log, sk.log_signature(X[..., 2:25, :], 3, basis=basis), 1e-13)


@pytest.mark.usefixtures("short_blocks")
def test_gradient_in_all_points():
    X = random_paths(2, 21, 2)
    weights = np.random.default_rng(2).normal(size=(2, 15))

    def loss(X: object) -> tf.Tensor:
        path = sk.Path(X[:, :8])
        path.signature(3)  # the tree is made before the update
        path.update(X[:, 8:])
        return tf.reduce_sum(weights * (path.signature(3, start=2, end=20) + path.signature(3)))

    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    oracles.check_gradient(lambda X: loss(tf.constant(X)), X, tape.gradient(value, x).numpy())


@pytest.mark.usefixtures("short_blocks")
def test_a_tape_that_watches_too_late_sees_nothing():
    """Part of a gradient, that of what is not yet kept, would be a wrong one."""
    x = tf.constant(random_paths(1, 21, 2))
    path = sk.Path(x)
    path.signature(2)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = path.signature(2, start=1)
    assert tape.gradient(value, x) is None


@pytest.mark.usefixtures("short_blocks")
def test_in_functions():
    X = random_paths(2, 30, 2)
    expected = sk.signature(X[:, 3:29], 3)
    made_inside = tf.function(lambda X: sk.Path(X).signature(3, start=3, end=29))
    close(made_inside(tf.constant(X)), expected, 1e-13)
    unknown_rows = made_inside.get_concrete_function(tf.TensorSpec([None, 30, 2], tf.float64))
    close(unknown_rows(tf.constant(X)), expected, 1e-13)
    path = sk.Path(X)
    asked_inside = tf.function(lambda: path.signature(3, start=3, end=29))
    close(asked_inside(), expected, 1e-13)
    close(path.signature(3, start=3, end=29), expected, 1e-13)  # nothing of the function's graph was kept
    with pytest.raises(ValueError, match="update must be called where the path was made"):
        tf.function(lambda: path.update(X))()


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"depth": 2, "start": 5}, ValueError, "start < end <= 5, its number of points, got start=5 and end=5"),
    ({"depth": 2, "end": 6}, ValueError, "got start=0 and end=6"),
    ({"depth": 2, "start": 3, "end": 3}, ValueError, "the points start to end - 1"),
    ({"depth": 2, "start": -1}, ValueError, "start must be at least 0, got -1"),
    ({"depth": 2, "end": 2.0}, TypeError, "end must be an int"),
    ({"depth": -1}, ValueError, "depth must be at least 0"),
    ({"depth": 60}, ValueError, "depth=60 with 2 channels makes"),
])  # fmt: skip
def test_bad_queries(arguments, error, message):
    with pytest.raises(error, match=message):
        sk.Path(np.zeros((5, 2))).signature(**arguments)


@pytest.mark.parametrize(("points", "error", "message"), [
    (np.zeros((2, 1, 3)), ValueError, r"leading axes and channels, .* got shape \(2, 1, 3\) for an X of shape"),
    (np.zeros((1, 2)), ValueError, "leading axes and channels"),
    (np.zeros((2, 1, 2), np.float32), TypeError, "X and points must have one dtype"),
    (np.full((2, 1, 2), np.inf), tf.errors.InvalidArgumentError, "points must hold finite numbers"),
])  # fmt: skip
def test_bad_updates(points, error, message):
    path = sk.Path(np.zeros((2, 5, 2)))
    with pytest.raises(error, match=message):
        path.update(points)
    assert path.points.shape == (2, 5, 2)


def test_bad_paths():
    with pytest.raises(tf.errors.InvalidArgumentError, match="X must hold finite numbers"):
        sk.Path(np.full((5, 2), np.nan))
    with pytest.raises(ValueError, match="basis must be"):
        sk.Path(np.zeros((5, 2))).log_signature(2, basis="brackets")
    function = tf.function(lambda X: sk.Path(X).signature(2), input_signature=[tf.TensorSpec([None, 2], tf.float64)])
    with pytest.raises(ValueError, match="numbers of time steps and channels known .* tf.ensure_shape"):
        function(np.zeros((5, 2)))
