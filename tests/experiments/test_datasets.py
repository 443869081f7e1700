"""The data sets: what was published, and preprocessed as their loaders say."""

import os
from pathlib import Path

import numpy as np
import pytest
from sktime.datasets import load_japanese_vowels
from tslearn.preprocessing import TimeSeriesScalerMeanVariance

from experiments.datasets import DESCRIPTIONS, load
from experiments.datasets.dataset import check_split, labels_from


def with_time(series: np.ndarray) -> np.ndarray:
    return np.column_stack([np.linspace(0.0, 1.0, len(series)), series])


def test_japanese_vowels_as_published_and_prepared() -> None:
    dataset = load("japanese_vowels")
    raw = {split: load_japanese_vowels(split=split, return_type="df-list") for split in ("train", "test")}
    everything = np.concatenate([with_time(series.to_numpy()) for series in raw["train"][0]])
    mean, deviation = everything.mean(axis=0), everything.std(axis=0)
    for split, X, y in (("train", dataset.X_train, dataset.y_train), ("test", dataset.X_test, dataset.y_test)):
        np.testing.assert_array_equal(y + 1, raw[split][1].astype(int))
        for prepared, series in zip(X, raw[split][0], strict=True):
            np.testing.assert_array_equal(prepared[0], np.zeros(13))
            expected = (with_time(series.to_numpy()) - mean) / deviation
            np.testing.assert_allclose(prepared[1:], expected, rtol=1e-10, atol=1e-12)
    assert (len(dataset.X_train), len(dataset.X_test)) == (270, 370)
    assert (dataset.num_classes, dataset.num_channels) == (9, 13)
    assert {len(series) for series in dataset.X_test} >= {8, 30}  # 7 to 29, and the base point


def test_pendigits_is_standardised_as_tslearn_does(pendigits_stand_in: dict[str, np.ndarray]) -> None:
    dataset = load("pendigits")
    for split, X, y in (("train", dataset.X_train, dataset.y_train), ("test", dataset.X_test, dataset.y_test)):
        np.testing.assert_array_equal(y, pendigits_stand_in[f"y_{split}"])
        timed = np.stack([with_time(series) for series in pendigits_stand_in[f"X_{split}"].astype(float)])
        expected = TimeSeriesScalerMeanVariance().fit_transform(timed)
        np.testing.assert_allclose(np.stack(X), expected, rtol=1e-10, atol=1e-12)
    assert (dataset.num_classes, dataset.num_channels) == (10, 3)


@pytest.mark.skipif(
    not list(Path(os.environ.get("SIGKERNEL_TF_DATA", "nowhere")).glob("**/PenDigits*")),
    reason="PenDigits is not in the folder of SIGKERNEL_TF_DATA",
)
def test_real_pendigits_loads() -> None:
    dataset = load("pendigits")
    assert (len(dataset.X_train), len(dataset.X_test)) == (7494, 3498)
    assert dataset.y_train[:3].tolist() == [8, 2, 1]  # the rows of UCI's pendigits.tra


def test_a_part_of_pendigits_is_refused(tmp_path: Path, pendigits_stand_in: dict[str, np.ndarray]) -> None:
    cut = pendigits_stand_in | {key: pendigits_stand_in[key][:-1] for key in ("X_test", "y_test")}
    np.savez(tmp_path / "data" / "PenDigits.npz", **cut)
    with pytest.raises(ValueError, match=r"PenDigits, testing: expected series 3498, got 3497: .* fetch them again"):
        load("pendigits")


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match="one of japanese_vowels, pendigits, .* got 'nothing'"):
        load("nothing")


@pytest.mark.parametrize("name", list(DESCRIPTIONS))
def test_descriptions_carry_their_own_names(name: str) -> None:
    assert DESCRIPTIONS[name].name == name


def test_labels() -> None:
    assert labels_from(["3", " 1", "2.0"], ["1", "2", "3"]).tolist() == [2, 0, 1]
    with pytest.raises(ValueError, match="labels must be among 1, 2, got 3, x"):
        labels_from(["1", "x", "3"], ["1", "2"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 3}, r"expected channels \[3\], got \[2\]"),
        ({"lengths": (4, 5)}, r"expected lengths \(4, 5\), got \(4, 4\)"),
        ({"class_counts": [2, 1]}, r"expected series of each class \[2, 1\], got \[1, 2\]"),
        ({"class_counts": [1, 2, 1]}, "expected series 4, got 3"),
    ],
)
def test_splits_that_are_not_as_published(change: dict, message: str) -> None:
    expected = {"channels": 2, "lengths": (4, 4), "class_counts": [1, 2]}
    X, y = [np.zeros((4, 2))] * 3, np.array([0, 1, 1])
    check_split("Toy", X, y, **expected)
    with pytest.raises(ValueError, match=message):
        check_split("Toy", X, y, **{**expected, **change})


def test_splits_with_missing_values() -> None:
    X = [np.array([[1.0], [np.nan]])]
    with pytest.raises(ValueError, match="expected finite values True, got False"):
        check_split("Toy", X, np.array([0]), channels=1, lengths=(2, 2), class_counts=[1])
