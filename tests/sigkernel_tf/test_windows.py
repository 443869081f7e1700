"""Signatures over windows against those of each window in NumPy."""

import numpy as np
import oracles
import pytest
import tensorflow as tf
from comparisons import close
from random_walks import random_paths

import sigkernel_tf as sk
from sigkernel_tf import windows


def bounds(kind: str, num_points: int, **options: int) -> list[tuple[int, int]]:
    """First and last point of each window, as the documentation has them."""
    if kind == "dyadic":
        parts = [(i, 2**j) for j in range(options["levels"] + 1) for i in range(2**j)]
        return [(i * (num_points - 1) // n, (i + 1) * (num_points - 1) // n) for i, n in parts]
    length, step = options.get("length", 1), options.get("step", 1)
    count = (num_points - length) // step + 1
    if kind == "sliding":
        return [(i * step, i * step + length - 1) for i in range(count)]
    return [(0, length + i * step - 1) for i in range(count)]


CASES = [
    ("sliding", {"length": 1}), ("sliding", {"length": 4, "step": 3}), ("sliding", {"length": 9}),
    ("sliding", {"length": 10, "step": 2}), ("sliding", {"length": 27}), ("sliding", {"length": 2, "step": 50}),
    ("expanding", {}), ("expanding", {"length": 5, "step": 4}), ("expanding", {"length": 27}),
    ("dyadic", {"levels": 0}), ("dyadic", {"levels": 3}), ("dyadic", {"levels": 5}),
]  # fmt: skip


@pytest.fixture
def cut_into_stretches(monkeypatch):
    """Sliding windows as those that are too long to be walked along one by one."""
    monkeypatch.setattr(windows, "_MOST_INCREMENTS", 0)


def check(kind: str, options: dict[str, int], dtype: type, tolerance: float) -> None:
    X = random_paths(2, 27, 2).astype(dtype)
    S = sk.signature_windows(X, 3, kind, **options)
    assert S.dtype == dtype
    expected = [
        [oracles.signature(path[a : b + 1].astype(float), 3) for a, b in bounds(kind, 27, **options)] for path in X
    ]
    close(S, expected, tolerance)


@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 3e-6)])
def test_each_window(kind, options, dtype, tolerance):
    check(kind, options, dtype, tolerance)


@pytest.mark.usefixtures("cut_into_stretches")
@pytest.mark.parametrize("options", [options for kind, options in CASES if kind == "sliding" and options["length"] > 1])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 3e-6)])
def test_each_sliding_window_cut_into_stretches(options, dtype, tolerance):
    check("sliding", options, dtype, tolerance)


@pytest.mark.usefixtures("cut_into_stretches")
def test_far_from_the_start_no_digits_are_lost():
    X = np.random.default_rng(3).normal(size=(6000, 2)).cumsum(axis=0).astype(np.float32)
    S = sk.signature_windows(X, 4, "sliding", length=11, step=997).numpy()
    for row, start in zip(S, range(0, 5990, 997), strict=True):
        expected = oracles.signature(X[start : start + 11].astype(float), 4)
        for columns in (slice(1, 3), slice(3, 7), slice(7, 15), slice(15, 31)):
            assert np.abs(row[columns] - expected[columns]).max() <= 4e-6 * np.abs(expected[columns]).max()


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(("kind", "options"), [CASES[3], CASES[7], CASES[10]])
def test_gradient_and_leading_axes(kind, options, cut, monkeypatch):
    if cut:
        monkeypatch.setattr(windows, "_MOST_INCREMENTS", 0)
    X = random_paths(2, 13, 2).reshape(1, 2, 13, 2)
    weights = np.random.default_rng(4).normal(size=sk.signature_windows(X, 3, kind, **options).shape)
    assert weights.shape == (1, 2, len(bounds(kind, 13, **options)), 15)

    def loss(X: object) -> tf.Tensor:
        return tf.reduce_sum(weights * sk.signature_windows(X, 3, kind, **options))

    def slope(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x)
        return tape.gradient(value, x)

    expected = slope(tf.constant(X))
    oracles.check_gradient(loss, X, expected.numpy())
    unknown_rows = tf.function(slope, input_signature=[tf.TensorSpec([1, None, 13, 2], tf.float64)])
    close(unknown_rows(X), expected, 1e-13)
    no_paths = tf.zeros((1, 0, 13, 2), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(no_paths)
        value = sk.signature_windows(no_paths, 3, kind, **options)
    assert value.shape == (1, 0, *weights.shape[2:])
    assert tape.gradient(value, no_paths).shape == no_paths.shape


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"kind": "hopping"}, ValueError, "kind must be .* got 'hopping'"),
    ({"kind": "sliding"}, ValueError, 'kind="sliding" takes length and step'),
    ({"kind": "sliding", "length": 6}, ValueError, "length must be at most the number of points, 5, got 6"),
    ({"kind": "sliding", "length": 2, "step": 0}, ValueError, "step must be at least 1"),
    ({"kind": "sliding", "length": 2.0}, TypeError, "length must be an int"),
    ({"kind": "expanding", "levels": 2}, ValueError, "and no levels, got length=None, levels=2"),
    ({"kind": "dyadic"}, ValueError, 'kind="dyadic" takes levels only, got levels=None'),
    ({"kind": "dyadic", "levels": 2, "step": 3}, ValueError, "takes levels only"),
    ({"kind": "dyadic", "levels": -1}, ValueError, "levels must be at least 0"),
    ({"kind": "dyadic", "levels": 40}, ValueError, "for all 2199023255551 signatures"),
    ({"kind": "dyadic", "levels": 1, "depth": 60}, ValueError, "depth=60 with 2 channels"),
])  # fmt: skip
def test_bad_windows(arguments, error, message):
    with pytest.raises(error, match=message):
        sk.signature_windows(np.zeros((1, 5, 2)), **{"depth": 2, **arguments})


def test_the_number_of_points_must_be_known():
    function = tf.function(
        lambda X: sk.signature_windows(X, 2, "sliding", length=2),
        input_signature=[tf.TensorSpec([None, None, 2], tf.float64)],
    )
    with pytest.raises(ValueError, match="numbers of time steps and channels known .* tf.ensure_shape"):
        function(np.zeros((1, 5, 2)))
