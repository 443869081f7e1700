"""Panels as estimators take them, and what is done to them."""

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sigkernel_tf import paths
from sigkernel_tf.gp import Preprocessing
from sigkernel_tf.gp.estimators.channels import check_number, column_names
from sigkernel_tf.gp.estimators.panels import as_series, pad, warn_if_transposed
from sigkernel_tf.gp.estimators.preprocessing import Preprocessor, candidates, thinned, windowed
from sigkernel_tf.signatures import signature


@pytest.fixture
def unequal(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(size=(length, 2)) for length in (4, 1, 6)]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float64
        np.testing.assert_array_equal(one, other)


def test_lists_and_padded_arrays(unequal: list[np.ndarray]) -> None:
    assert_same(as_series(unequal), unequal)
    assert_same(as_series(tuple(unequal)), unequal)
    objects = np.empty(3, dtype=object)
    objects[:] = unequal
    assert_same(as_series(objects), unequal)
    padded = np.full((3, 6, 2), np.nan)
    for row, one in zip(padded, unequal, strict=True):
        row[: len(one)] = one
    assert_same(as_series(padded), unequal)
    assert_same(as_series([one[:, 0] for one in unequal]), [one[:, :1] for one in unequal])
    assert_same(as_series([one[:, 0].tolist() for one in unequal]), [one[:, :1] for one in unequal])
    assert_same(as_series([one.tolist() for one in unequal]), unequal)
    assert_same(as_series(tf.RaggedTensor.from_row_lengths(np.concatenate(unequal), [4, 1, 6])), unequal)


def test_arrays(rng: np.random.Generator) -> None:
    X = rng.normal(size=(3, 5, 2))
    assert_same(as_series(X), list(X))
    assert_same(as_series(tf.constant(X)), list(X))
    assert_same(as_series(X[..., 0]), list(X[..., :1]))
    assert_same(as_series(X[..., 0].tolist()), list(X[..., :1]))
    assert_same(as_series(np.arange(6).reshape(2, 3)), [np.arange(3.0)[:, None], np.arange(3.0, 6.0)[:, None]])


def test_tslearn(unequal: list[np.ndarray]) -> None:
    tslearn_utils = pytest.importorskip("tslearn.utils")
    assert_same(as_series(tslearn_utils.to_time_series_dataset(unequal)), unequal)


def test_sktime(unequal: list[np.ndarray]) -> None:
    pytest.importorskip("sktime")
    from sktime.datatypes import convert_to

    frames: Any = [__import__("pandas").DataFrame(one, columns=["a", "b"]) for one in unequal]
    assert_same(as_series(frames), unequal)  # "df-list"
    assert_same(as_series(convert_to(frames, "nested_univ")), unequal)
    assert_same(as_series(convert_to(frames, "pd-multiindex")), unequal)


def test_data_frame_of_numbers(rng: np.random.Generator) -> None:
    pandas = pytest.importorskip("pandas")
    X = rng.normal(size=(4, 7))
    assert_same(as_series(pandas.DataFrame(X)), list(X[..., None]))
    with pytest.raises(TypeError, match="X must be a DataFrame"):
        as_series(pandas.Series([1.0, 2.0]))


def test_names_of_columns(unequal: list[np.ndarray]) -> None:
    pandas = pytest.importorskip("pandas")
    frames = [pandas.DataFrame(one, columns=["a", "b"]) for one in unequal]
    objects = np.empty(3, dtype=object)
    objects[:] = frames
    assert column_names(frames) == column_names(frames[0]) == column_names(objects) == ["a", "b"]
    assert column_names(pandas.concat(frames, keys=range(3))) == ["a", "b"]
    for none in (unequal, np.zeros((2, 3)), [], pandas.DataFrame(np.zeros((2, 2))), tf.zeros((2, 3, 4))):
        assert column_names(none) is None
    frames[2] = frames[2][["b", "a"]]
    with pytest.raises(ValueError, match=r"got \['b', 'a'\] in series 2 after \['a', 'b'\]: give \[frame"):
        as_series(frames)


def indexed(index: list[tuple], unit: str = "") -> Any:
    """A multi-indexed frame whose one channel counts its rows; times of a unit are dates."""
    pandas = pytest.importorskip("pandas")
    keys, times = zip(*index, strict=True)
    of_time = {
        "D": lambda: pandas.to_datetime(times, unit="D"),
        "M": lambda: pandas.PeriodIndex.from_ordinals(times, freq="M"),
    }
    levels = [keys, of_time[unit]() if unit else times]
    return pandas.DataFrame({"a": np.arange(float(len(index)))}, index=pandas.MultiIndex.from_arrays(levels))


@pytest.mark.parametrize("unit", ["", "D", "M"])
def test_rows_in_the_order_of_time(unit: str) -> None:
    ordered = [("q", 3), ("q", 10), ("p", 0), ("p", 1), ("p", 7)]  # series in any order, times at any distance
    assert_same(as_series(indexed(ordered, unit)), [np.arange(2.0)[:, None], np.arange(2.0, 5.0)[:, None]])
    scattered = [("q", 3), ("p", 0), ("q", 10), ("p", 1)]
    with pytest.raises(ValueError, match=r"not beside each other: give X.sort_index\(\)"):
        as_series(indexed(scattered, unit))
    for backwards in ([("q", 3), ("q", 4), ("p", 1), ("p", 0)], [("p", 1), ("p", 1)]):
        with pytest.raises(ValueError, match=r"after .* in series 'p': give X.sort_index\(\)"):
            as_series(indexed(backwards, unit))
    assert len(as_series(indexed(scattered, unit).sort_index())) == 2


def test_times_that_are_text_have_no_order() -> None:
    assert len(as_series(indexed([("p", "step 9"), ("p", "step 10")]))) == 1


@pytest.mark.parametrize(
    "shape", [(4, 1, 2), (4, 1, 300), (40, 6, 100), (4, 2, 20), (4, 12, 29), (4, 144, 963), (4, 9, 10)]
)
def test_arrays_that_look_transposed(shape: tuple[int, ...]) -> None:
    for X in (np.zeros(shape), tf.zeros(shape)):
        with pytest.warns(UserWarning, match=r"give X.transpose\(0, 2, 1\); if not, list\(X\)"):
            warn_if_transposed(X)


@pytest.mark.parametrize("shape", [(4, 1, 1), (4, 29, 12), (4, 10, 9), (4, 10, 10), (0, 3, 9), (1, 300), (300,)])
def test_arrays_that_do_not_look_transposed(shape: tuple[int, ...]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_transposed(np.zeros(shape))
        warn_if_transposed(list(np.zeros((4, 1, 300))))
        warn_if_transposed(tf.ragged.constant([[[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]]]))


def test_lists_in_the_order_of_aeons() -> None:
    """Series of 3 channels and unequal lengths, channels first."""
    aeons = [np.zeros((3, length)) for length in (7, 9)]
    objects = np.empty(2, dtype=object)
    objects[:] = aeons
    cure = r"list must have shape \(time steps, channels\); where it is \(channels, time steps\), .* \[x.T for x in X\]"
    for X in (aeons, tuple(aeons), objects):
        with pytest.raises(ValueError, match=f"got 7 in series 0 and 9 in series 1: .*{cure}"):
            as_series(X)
        with pytest.raises(ValueError, match=f"must have the 3 channels that it was fitted on, got 7: .*{cure}"):
            check_number(as_series(X[:1]), 3, X[:1], "it")
    assert_same(as_series([one.T for one in aeons]), [one.T for one in aeons])
    with pytest.raises(ValueError, match=r"or a list with one array \(time steps, channels\) for each series"):
        as_series([[[1.0, 2.0], [3.0]]])


@pytest.mark.parametrize(
    ("X", "error", "match"),
    [
        ([], ValueError, "at least one series"),
        (np.zeros((0, 3, 2)), ValueError, "at least one series"),
        (np.zeros(5), ValueError, r"Reshape your data"),
        (np.zeros((2, 3, 4, 5)), ValueError, r"got an array of shape \(2, 3, 4, 5\)"),
        (np.zeros((2, 3, 0)), ValueError, "at least one channel"),
        (np.zeros((2, 0)), ValueError, "at least one time step"),
        (np.full((2, 3, 1), np.nan), ValueError, r"none \(or only NaN\) in series 0"),
        ([np.zeros((3, 2)), np.zeros((3, 1))], ValueError, "got 2 in series 0 and 1 in series 1"),
        ([np.zeros((3, 2)), np.zeros((3, 1, 1))], ValueError, r"X\[1\] must have shape"),
        ([[1.0, np.inf, 2.0]], ValueError, r"got inf \(infinity\) in series 0, time step 1, channel 0"),
        ([[np.nan, 1.0]], ValueError, "got NaN in series 0, time step 0"),
        (np.array([["a", "b"]]), ValueError, "must hold numbers"),
        (np.ones((2, 3), complex), ValueError, "must hold real numbers"),
        ([[1.0, 2.0], 3.0], ValueError, "in each place, got 3.0 in place 1"),
    ],
)
def test_no_panels(X: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        as_series(X)


def windows_by_hand(x: np.ndarray, windows: int) -> np.ndarray:
    """Step i of n lies in window floor(i W / n)."""
    path = np.zeros((len(x), windows, x.shape[1]))
    for i in range(len(x) - 1):
        path[i + 1] = path[i]
        path[i + 1, i * windows // (len(x) - 1)] += x[i + 1] - x[i]
    return path.reshape(len(x), -1)


def by_hand(x: np.ndarray, how: Preprocessing, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    if how.scaling == "series":
        mean, deviation = x.mean(axis=0), x.std(axis=0)
    if how.scaling != "none":
        x = (x - mean) / np.where(deviation > 0, deviation, 1)
    if how.cumulative_sum:
        x = np.cumsum(x, axis=0)
    if how.base_point or how.cumulative_sum:
        x = np.concatenate([np.zeros((1, x.shape[1])), x])
    if how.lead_lag:
        pairs = [(x[0], x[0])]
        for before, after in itertools.pairwise(x):
            pairs += [(after, before), (after, after)]
        x = np.array([np.concatenate(pair) for pair in pairs])
    if how.windows > 1:
        x = windows_by_hand(x, how.windows)
    if how.time:
        x = np.column_stack([np.linspace(0, 1, len(x)) if len(x) > 1 else [0.0], x])
    return x


@pytest.mark.parametrize(
    "how", [*candidates(2, 20), Preprocessing(scaling="none"), Preprocessing(lead_lag=True, windows=3)], ids=str
)
def test_paths(unequal: list[np.ndarray], how: Preprocessing) -> None:
    preprocessor = Preprocessor.fitted(how, unequal, 100)
    points = np.concatenate(unequal)
    for path, one in zip(preprocessor.paths(unequal), unequal, strict=True):
        expected = by_hand(one, how, points.mean(axis=0), points.std(axis=0))
        np.testing.assert_allclose(path[: len(expected)], expected, atol=1e-12)
        np.testing.assert_array_equal(path[len(expected) :], np.broadcast_to(path[-1], path[len(expected) :].shape))
        assert path.shape[1] == how.num_channels(2) == len(how.channel_groups(2))


@pytest.mark.parametrize("scaling", ["set", "series", "none"])
def test_paths_are_those_of_the_public_functions(unequal: list[np.ndarray], scaling: str) -> None:
    """Where nothing but the functions of ``sigkernel_tf.paths`` is asked for, which convert lists in every step."""
    how = Preprocessing(scaling=scaling, base_point=True, lead_lag=True, time=True)
    expected: Any = unequal
    if scaling != "none":
        mean, deviation = paths.mean_and_deviation(unequal) if scaling == "set" else (None, None)
        expected = paths.standardize(unequal, mean=mean, deviation=deviation)
    expected = paths.pad_ragged(paths.add_time(paths.lead_lag(paths.add_basepoint(expected))))
    found = Preprocessor.fitted(how, unequal, 100).paths(unequal)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


def test_paths_that_overflow() -> None:
    series = [np.ones((3, 1)), np.full((3, 1), 1e308)]
    how = Preprocessing(scaling="none", cumulative_sum=True)
    with pytest.raises(ValueError, match=r"stay finite .*cumulative sum.* got series 1 .* rescale the series first"):
        Preprocessor(how, np.zeros(1), np.ones(1), 100).paths(series)


def test_a_lead_and_its_lag_share_a_lengthscale() -> None:
    assert Preprocessing(lead_lag=True, time=True).channel_groups(2).tolist() == [0, 1, 2, 1, 2]
    assert Preprocessing(lead_lag=True, time=False).channel_groups(2).tolist() == [0, 1, 0, 1]
    assert Preprocessing(windows=3).channel_groups(2).tolist() == [0, 1, 2, 1, 2, 1, 2]


def test_windows_hold_the_whole_path(rng: np.random.Generator) -> None:
    """Their sum is the path; each window's own signature is that of the part of the path in it."""
    x = rng.normal(size=(9, 2))
    parts = windowed(pad([x]), 4).values.numpy().reshape(9, 4, 2)
    np.testing.assert_allclose(parts.sum(axis=1), x - x[0], atol=1e-14)
    for w in range(4):
        np.testing.assert_allclose(
            signature(parts[None, :, w], depth=3), signature(x[None, 2 * w : 2 * w + 3], depth=3), atol=1e-14
        )


def test_candidates() -> None:
    one = candidates(1, 24)
    assert len(set(one)) == len(one) == 18 + 3 * 6
    assert all(how.time or how.lead_lag or how.windows > 1 for how in one)
    assert len(candidates(3, 24)) == 24 + 2 * 6
    assert not any(how.lead_lag or how.windows > 1 for how in candidates(30, 24))


def test_thinning_keeps_straight_lines_and_short_series() -> None:
    line = 3.0 * np.arange(1000.0)[:, None] - 2
    short = np.random.default_rng(0).normal(size=(50, 1))
    thin = thinned(pad([line, short]), 101)
    values = thin.values.numpy()
    np.testing.assert_allclose(values[0, :, 0], np.linspace(-2, line[-1, 0], 101), rtol=1e-12)
    np.testing.assert_array_equal(values[1, :50], short)
    np.testing.assert_array_equal(values[1, 50:], np.broadcast_to(short[-1], (51, 1)))
    assert thin.lengths.numpy().tolist() == [101, 50]
