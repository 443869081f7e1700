"""Preparing series: values by hand and by tslearn; every kind of series gives the same and comes back itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tslearn.preprocessing import TimeSeriesScalerMeanVariance
from tslearn.utils import to_time_series_dataset

from sigkernel_tf import paths

LENGTHS = (4, 1, 6, 3)
TRANSFORMS: list[Callable[[Any], Any]] = [paths.add_time, paths.add_basepoint, paths.lead_lag, paths.standardize]


def series(channels: int = 2, dtype: type = np.float64) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.normal(size=(length, channels)).astype(dtype) for length in LENGTHS]


def nan_padded(rows: list[np.ndarray]) -> np.ndarray:
    out = np.full((len(rows), max(map(len, rows)), rows[0].shape[1]), np.nan, rows[0].dtype)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def ragged(rows: list[np.ndarray]) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_row_lengths(np.concatenate(rows), [len(row) for row in rows])


KINDS: dict[str, Callable[[list[np.ndarray]], Any]] = {
    "list": list,
    "list of tensors": lambda rows: [tf.constant(row) for row in rows],
    "array": nan_padded,
    "tensor": lambda rows: tf.constant(nan_padded(rows)),
    "ragged": ragged,
}


def rows_of(X: Any) -> list[np.ndarray]:
    """The series of any kind, as a list of arrays."""
    if isinstance(X, tf.RaggedTensor):
        return [row.numpy() for row in X]
    if isinstance(X, list):
        return [np.asarray(row) for row in X]
    return [row[~np.isnan(row).all(axis=1)] for row in np.asarray(X)]


def kind_of(X: Any) -> Any:
    return (list, kind_of(X[0])) if isinstance(X, list) else type(X)


# Values, computed by hand.


def test_add_time():
    X = [np.array([[5.0], [7.0], [6.0]]), np.array([[1.0]]), np.array([[2.0], [3.0]])]
    timed = paths.add_time(X)
    np.testing.assert_array_equal(timed[0], [[0.0, 5.0], [0.5, 7.0], [1.0, 6.0]])
    np.testing.assert_array_equal(timed[1], [[0.0, 1.0]])
    np.testing.assert_array_equal(timed[2], [[0.0, 2.0], [1.0, 3.0]])


def test_add_basepoint():
    np.testing.assert_array_equal(paths.add_basepoint(np.array([[[5.0, 6.0], [7.0, 8.0]]])), [[[0, 0], [5, 6], [7, 8]]])


def test_lead_lag():
    expected = [[1, 10, 1, 10], [2, 20, 1, 10], [2, 20, 2, 20], [4, 40, 2, 20], [4, 40, 4, 40]]
    np.testing.assert_array_equal(paths.lead_lag(np.array([[[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]]])), [expected])
    np.testing.assert_array_equal(paths.lead_lag(np.array([[[3.0]]])), [[[3.0, 3.0]]])


@pytest.mark.parametrize("kind", KINDS)
def test_pad_ragged(kind):
    X = KINDS[kind]([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])])
    padded = paths.pad_ragged(X)
    np.testing.assert_array_equal(padded, [[[1, 2], [1, 2], [1, 2]], [[3, 4], [5, 6], [7, 8]]])
    assert isinstance(padded, np.ndarray) == (kind in ("list", "array"))


def test_time_comes_before_padding():
    timed = paths.pad_ragged(paths.add_time([np.array([[1.0], [2.0]]), np.zeros((3, 1))]))
    np.testing.assert_array_equal(timed[0], [[0.0, 1.0], [1.0, 2.0], [1.0, 2.0]])


def test_standardize_each_series():
    X = np.array([[[1.0, 5.0], [3.0, 5.0]], [[10.0, 0.0], [10.0, 8.0]]])
    np.testing.assert_array_equal(paths.standardize(X), [[[-1, 0], [1, 0]], [[0, -1], [0, 1]]])


def test_constant_channels_become_zero_whatever_their_rounding():
    X = np.full((2, 7, 1), 0.1)
    np.testing.assert_array_equal(paths.standardize(X), np.zeros((2, 7, 1)))
    mean, deviation = paths.mean_and_deviation(X)
    assert (mean, deviation) == (0.1, 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_of_a_training_set(kind):
    rows = series(3)
    mean, deviation = paths.mean_and_deviation(KINDS[kind](rows))
    steps = np.concatenate(rows)
    np.testing.assert_allclose(mean, steps.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(deviation, steps.std(axis=0), rtol=1e-14)
    assert isinstance(mean, np.ndarray) == (kind in ("list", "array"))
    scaled = paths.standardize(KINDS[kind](rows), mean=mean, deviation=deviation)
    for row, expected in zip(rows_of(scaled), rows, strict=True):
        np.testing.assert_allclose(row, (expected - steps.mean(axis=0)) / steps.std(axis=0), rtol=1e-13)


def test_given_statistics():
    X = np.array([[[1.0, 5.0], [3.0, 7.0]]])
    scaled = paths.standardize(X, mean=[1.0, 5.0], deviation=[2.0, 0.0])  # a deviation of 0 counts as 1
    np.testing.assert_array_equal(scaled, [[[0, 0], [1, 2]]])
    np.testing.assert_array_equal(paths.standardize(X, mean=1, deviation=2), (X - 1) / 2)
    single = paths.standardize(X.astype(np.float32), mean=np.array([1.0, 5.0]), deviation=np.array([2.0, 1.0]))
    assert single.dtype == np.float32


def test_standardize_as_tslearn():
    rows = [*series(3), np.ones((5, 3))]
    expected = TimeSeriesScalerMeanVariance().fit_transform(to_time_series_dataset(rows))
    np.testing.assert_allclose(paths.standardize(nan_padded(rows)), expected, rtol=1e-12, atol=1e-14)


# Kinds.


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_kind_comes_back_itself(transform, kind, dtype):
    rows = series(dtype=dtype)
    X = KINDS[kind](rows)
    out = transform(X)
    assert kind_of(out) == kind_of(X)
    for row, one in zip(rows_of(out), rows, strict=True):
        assert row.dtype == dtype
        np.testing.assert_array_equal(row, transform(one[None])[0])  # each series as if it were alone


@pytest.mark.parametrize("transform", [*TRANSFORMS, paths.pad_ragged, paths.mean_and_deviation])
@pytest.mark.parametrize("kind", ["list of tensors", "tensor", "ragged"])
def test_inside_a_function(transform, kind):
    X = KINDS[kind](series())
    expected, traced = transform(X), tf.function(transform)(X)
    assert type(traced) is type(expected)
    tf.nest.map_structure(np.testing.assert_array_equal, *(tf.nest.flatten(x, True) for x in (traced, expected)))


@pytest.mark.parametrize("transform", [*TRANSFORMS, paths.pad_ragged])
@pytest.mark.parametrize("spec", [
    tf.TensorSpec([None, None, None], tf.float64), tf.TensorSpec(None, tf.float64),
    tf.RaggedTensorSpec([None, None, 2], tf.float64, ragged_rank=1),
])  # fmt: skip
def test_unknown_shapes(transform, spec):
    X = ragged(series()) if isinstance(spec, tf.RaggedTensorSpec) else tf.constant(nan_padded(series()))
    traced = tf.function(transform, input_signature=[spec])(X)
    tf.nest.map_structure(np.testing.assert_array_equal, *(tf.nest.flatten(x, True) for x in (traced, transform(X))))


def test_numpy_stays_numpy_while_a_function_is_traced():
    kinds = []

    @tf.function
    def function():
        kinds.append(type(paths.add_time(np.zeros((1, 2, 1)))))
        return tf.constant(0)

    function()
    assert kinds == [np.ndarray]


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_arguments_and_lists_of_numbers_become_float64(transform):
    rows = [[[1, 2], [3, 5]], [[4, 4]]]
    for row, one in zip(transform(rows), rows, strict=True):
        assert row.dtype == np.float64
        np.testing.assert_array_equal(row, transform(np.array([one], float))[0])
    assert transform(np.ones((1, 2, 2), int)).dtype == np.float64


@pytest.mark.parametrize("transform", [*TRANSFORMS, paths.pad_ragged])
def test_series_of_numbers_have_one_channel(transform):
    flat = [np.array([1.0, 4.0, 2.0]), np.array([3.0])]
    expected = rows_of(transform([row[:, None] for row in flat]))
    for X in (flat, tf.RaggedTensor.from_row_lengths(np.concatenate(flat), [3, 1])):
        for row, one in zip(rows_of(transform(X)), expected, strict=True):
            np.testing.assert_array_equal(row, one)


@pytest.mark.parametrize("transform", [*TRANSFORMS, paths.pad_ragged])
def test_input_is_not_changed_and_output_is_the_users_own(transform):
    X = np.random.default_rng(1).normal(size=(2, 3, 2))
    before = X.copy()
    transform(X)[:] = 7.0
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("transform", [*TRANSFORMS, paths.pad_ragged])
def test_no_series(transform):
    assert len(transform(np.zeros((0, 3, 2)))) == 0
    empty = tf.RaggedTensor.from_row_lengths(np.zeros((0, 2)), np.zeros(0, np.int64))
    assert transform(empty).shape[0] == 0


def test_nans_at_the_end_are_padding_in_a_list_too():
    X = [np.array([[1.0], [2.0], [np.nan]]), np.array([[3.0]])]
    np.testing.assert_array_equal(paths.add_basepoint(X)[0], [[0.0], [1.0], [2.0]])
    np.testing.assert_array_equal(paths.pad_ragged(X)[..., 0], [[1.0, 2.0, 2.0], [3.0, 3.0, 3.0]])


def test_ragged_row_splits_keep_their_dtype():
    X = ragged(series()).with_row_splits_dtype(tf.int32)
    assert paths.lead_lag(X).row_splits.dtype == tf.int32


# Gradients.


@pytest.mark.parametrize("transform", [*TRANSFORMS, paths.pad_ragged])
def test_gradients(transform):
    X = tf.constant(series()[0][None])
    X = tf.concat([X, X[:, -1:] * np.nan], axis=1)
    weights = np.random.default_rng(2).normal(size=transform(X).shape)

    def loss(X: tf.Tensor) -> tf.Tensor:
        out = transform(X)
        return tf.reduce_sum(tf.where(tf.math.is_nan(out), tf.zeros_like(out), out) * weights)

    with tf.GradientTape() as tape:
        tape.watch(X)
        value = loss(X)
    gradient = tape.gradient(value, X).numpy()
    for l, d in np.ndindex(4, 2):
        step = np.zeros(X.shape)
        step[0, l, d] = 1e-6
        assert gradient[0, l, d] == pytest.approx(float(loss(X + step) - loss(X - step)) / 2e-6, abs=1e-8)


def test_gradient_of_a_constant_channel_is_finite():
    X = tf.ones((1, 4, 1))
    with tf.GradientTape() as tape:
        tape.watch(X)
        value = tf.reduce_sum(paths.standardize(X) ** 2)
    assert np.isfinite(tape.gradient(value, X)).all()


# Bad input.

FUNCTIONS = [*TRANSFORMS, paths.pad_ragged, paths.mean_and_deviation]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [(1.0, np.nan), (np.nan, np.nan), (np.inf, 0.0)])
def test_missing_values_inside_a_series(function, kind, bad):
    rows = series()
    rows[2][3] = bad
    error = ValueError if kind in ("list", "array") else tf.errors.InvalidArgumentError
    with pytest.raises(error, match=r"finite numbers inside a series.*fill.*\[series, time step\]: \[2, 3\]"):
        function(KINDS[kind](rows))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_missing_values_inside_a_function(function):
    rows = series()
    rows[2][3] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)finite numbers inside a series.*2 3"):
        tf.function(function)(tf.constant(nan_padded(rows)))


def test_a_nan_in_one_channel_of_the_last_step_is_inside():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        paths.pad_ragged([np.array([[1.0, 2.0], [np.nan, 2.0]])])


@pytest.mark.parametrize("X", [
    [np.zeros((2, 1)), np.zeros((0, 1))],
    np.array([[[0.0], [1.0]], [[np.nan], [np.nan]]]),
])  # fmt: skip
def test_empty_series(X):
    with pytest.raises(ValueError, match=r"at least one time step in each series: drop empty.* series \[1\]"):
        paths.add_time(X)


@pytest.mark.parametrize(("X", "error", "message"), [
    (np.zeros((3, 2)), ValueError, r"X must have rank 3.*X\[None\].*X\[..., None\]"),
    (np.zeros((3, 0, 2)), ValueError, "X must have at least one time step"),
    (np.zeros((3, 2, 0)), ValueError, "X must have at least one channel"),
    ([np.zeros((2, 0))], ValueError, "X must have at least one channel"),
    ([], ValueError, "at least one series, got an empty list"),
    ([np.zeros((2, 1)), np.zeros((2, 3))], ValueError, r"X\[0\] and X\[1\] must have the same number of channels"),
    ([np.zeros((2, 1)), np.zeros((1, 2, 1))], ValueError, r"X\[1\] must have shape \(time steps, channels\)"),
    ([np.zeros((2, 1), np.float32), np.zeros((2, 1))], TypeError, r"X\[0\] and X\[1\] must have one dtype"),
    ([[[1.0, 2.0], [3.0]]], ValueError, r"X\[0\] must be a rectangle of numbers"),
    ([["a", "b"]], TypeError, r"X\[0\] must hold numbers"),
    (np.array([np.zeros(2), np.zeros(3)], dtype=object), TypeError, r"must hold numbers, got dtype object.*list\(X\)"),
    (np.zeros((1, 2, 1), np.float16), TypeError, "float32 or float64, got float16"),
    (tf.zeros((1, 2, 1), tf.int32), TypeError, "float32 or float64, got int32: cast it first"),
    (tf.ragged.constant([[[1.0], [2.0]]]), ValueError, r"time steps as its only ragged dimension.*ragged_rank=1"),
])  # fmt: skip
def test_bad_series(X, error, message):
    for function in FUNCTIONS:
        with pytest.raises(error, match=message):
            function(X)


@pytest.mark.parametrize(("options", "message"), [
    ({"mean": 0.0}, "mean and deviation together, or neither"),
    ({"deviation": 1.0}, "mean and deviation together, or neither"),
    ({"mean": np.zeros(3), "deviation": np.ones(2)}, "mean must be one number, or one for each of X's 2 channels"),
    ({"mean": np.zeros(2), "deviation": np.ones((1, 2))}, "deviation must be one number"),
    ({"mean": np.zeros(2), "deviation": np.array([1.0, -1.0])}, "deviation must be finite and not negative"),
    ({"mean": np.array([0.0, np.nan]), "deviation": np.ones(2)}, "mean must be finite"),
])  # fmt: skip
def test_bad_statistics(options, message):
    with pytest.raises(ValueError, match=message):
        paths.standardize(np.zeros((1, 3, 2)), **options)


def test_statistics_need_a_series():
    with pytest.raises(ValueError, match="at least one series"):
        paths.mean_and_deviation(np.zeros((0, 3, 2)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("power", [-1, 1])
def test_numbers_whose_squares_overflow_or_vanish(dtype, power):
    """The deviation of large numbers is finite, and small ones do not count as constant."""
    unit = dtype(2.0 ** (power * (0.7 * np.finfo(dtype).maxexp // 1)))
    X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(dtype)
    for function in (paths.standardize, lambda X: paths.standardize(X, **statistics(X))):
        np.testing.assert_allclose(function(X * unit), function(X), rtol=1e-5)


def statistics(X):
    return dict(zip(("mean", "deviation"), paths.mean_and_deviation(X), strict=True))


def test_statistics_that_are_not_finite_in_the_dtype_of_the_series():
    message = r"deviation must be finite and not negative, in X's dtype float32, got .*1e\+200.*mean_and_deviation"
    with pytest.raises(ValueError, match=message):
        paths.standardize(np.zeros((1, 3, 2), np.float32), mean=0.0, deviation=1e200)


def test_long_double_is_named():
    for function in FUNCTIONS:
        with pytest.raises(TypeError, match=r"X must be float32 or float64, got float128, NumPy's long double"):
            function(np.zeros((1, 2, 1), np.longdouble))
