"""Crop and the million satellite series: the archive's and the authors' files, faults, and the stand-in."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tslearn.preprocessing import TimeSeriesScalerMeanVariance

from experiments.datasets import DESCRIPTIONS, DataNotFoundError, crop, load, satellite
from experiments.datasets.synthetic import vegetation_indices

CLASSES, LENGTH = 24, 46


def prepared(values: np.ndarray) -> np.ndarray:
    """What the paper does (tslearn), of series [N, 46]."""
    time = np.broadcast_to(np.linspace(0.0, 1.0, LENGTH), values.shape)
    return TimeSeriesScalerMeanVariance().fit_transform(np.stack([time, values], axis=-1))


def series(rng: np.random.Generator, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Values rounded as in the files, and labels 1 to 24."""
    y = rng.permutation(np.repeat(np.arange(1, CLASSES + 1), each))
    return rng.normal(size=(len(y), LENGTH)).round(3), y


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rng: np.random.Generator) -> dict[str, tuple]:
    """A Crop with 2 and 3 series of each class, a fold of as many, and their folder."""
    monkeypatch.setattr(crop, "_TRAIN", 2)
    monkeypatch.setattr(crop, "_TEST", 3)
    monkeypatch.setattr(satellite, "NUM_TRAIN", 2 * CLASSES)
    monkeypatch.setattr(satellite, "NUM_TEST", 3 * CLASSES)
    monkeypatch.setenv("SIGKERNEL_TF_DATA", str(tmp_path))
    return {"TRAIN": series(rng, 2), "TEST": series(rng, 3)}


def lines_of(X: np.ndarray, y: np.ndarray, form: str) -> list[str]:
    rows = [[repr(value) for value in row] for row in X.tolist()]
    if form == ".ts":
        return [f"{','.join(row)}:{label}" for row, label in zip(rows, y, strict=True)]
    if form == ".arff":
        return [",".join([*row, str(label)]) for row, label in zip(rows, y, strict=True)]
    return [("," if form == ".csv" else "\t").join([str(label), *row]) for row, label in zip(rows, y, strict=True)]


HEADERS = {
    ".ts": [
        "# Petitjean's", "@problemName Crop", "@timeStamps false", "@missing false", "@univariate true",
        "@equalLength true", "@seriesLength 46", f"@classLabel true {' '.join(map(str, range(1, 25)))}", "@data",
    ],
    ".arff": [
        "% Petitjean's", "@relation Crop", *(f"@attribute att{i} numeric" for i in range(LENGTH)),
        f"@attribute target {{{','.join(map(str, range(1, 25)))}}}", "", "@data",
    ],
    ".tsv": [],
    ".csv": [],
}  # fmt: skip


def write(folder: Path, name: str, form: str, splits: dict[str, tuple]) -> dict[str, Path]:
    files = {}
    for split, (X, y) in splits.items():
        files[split] = folder / f"{name}_{split}{form}"
        files[split].write_text("\n".join([*HEADERS[form], *lines_of(X, y, form)]) + "\n")
    return files


@pytest.mark.parametrize("form", [".ts", ".arff", ".tsv", ".npz"])
def test_crop_from_the_archives_formats(tmp_path: Path, small: dict[str, tuple], form: str) -> None:
    if form == ".npz":
        arrays = {f"X_{split.lower()}": X[..., None] for split, (X, _) in small.items()}
        np.savez(tmp_path / "Crop.npz", **arrays, **{f"y_{split.lower()}": y for split, (_, y) in small.items()})
    else:
        write(tmp_path, "Crop", form, small)
    dataset = load("crop")
    for split, X, y in (("TRAIN", dataset.X_train, dataset.y_train), ("TEST", dataset.X_test, dataset.y_test)):
        np.testing.assert_allclose(np.stack(X), prepared(small[split][0]), rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(y + 1, small[split][1])
    assert (dataset.num_classes, dataset.num_channels) == (24, 2)
    assert f"Crop_TRAIN{form}" in dataset.source or "Crop.npz" in dataset.source


def spoil(file: Path, number: int, change: str) -> int:
    """Changes a series' line in a file, and returns the line's number."""
    lines = file.read_text().splitlines()
    start = next((i + 1 for i, line in enumerate(lines) if line == "@data"), 0)
    line, at = lines[start + number], start + number
    separator = "\t" if file.suffix == ".tsv" else ","
    first = line.split(separator)[1]
    if change == "missing":
        line = line.replace(f"{separator}{first}{separator}", f"{separator}-9999{separator}", 1)
    elif change == "text":
        line = line.replace(f"{separator}{first}{separator}", f"{separator}oops{separator}", 1)
    elif change == "short":
        line = line.replace(f"{separator}{first}{separator}", separator, 1)
    elif change == "label" and file.suffix in (".tsv", ".csv"):
        line = "25" + line[line.index(separator) :]
    elif change == "label":
        line = line[: line.rindex(":" if file.suffix == ".ts" else ",") + 1] + "25"
    elif change == "cut":
        lines, line = lines[: at + 1], line[: len(line) // 2]
    lines[at] = line
    file.write_text("\n".join(lines) + ("" if change == "cut" else "\n"))
    return at + 1


@pytest.mark.parametrize("change", ["missing", "text", "short", "label", "cut"])
@pytest.mark.parametrize("form", [".ts", ".arff", ".tsv"])
def test_faults_of_crop_have_a_line(tmp_path: Path, small: dict[str, tuple], form: str, change: str) -> None:
    files = write(tmp_path, "Crop", form, small)
    line = spoil(files["TEST"], 17, change)
    with pytest.raises(ValueError, match=rf"Crop_TEST{form}, line {line}\b"):
        load("crop")


def test_a_part_of_crop_is_refused(tmp_path: Path, small: dict[str, tuple]) -> None:
    files = write(tmp_path, "Crop", ".tsv", small)
    files["TRAIN"].write_text("".join(files["TRAIN"].read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match="Crop, training: expected series 48, got 47"):
        load("crop")


@pytest.mark.parametrize("folder", ["", "SITS1M_fold1", "SITS_2006_NDVI_C/SITS1M_fold1"])
@pytest.mark.parametrize("piece", [7, 20_000])
def test_satellite_from_the_fold(
    tmp_path: Path, small: dict[str, tuple], monkeypatch: pytest.MonkeyPatch, folder: str, piece: int
) -> None:
    monkeypatch.setattr(satellite, "_PIECE", piece)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    write(tmp_path / folder, "SITS1M_fold1", ".csv", small)
    dataset = load("satellite")
    for split, X, y in (("TRAIN", dataset.X_train, dataset.y_train), ("TEST", dataset.X_test, dataset.y_test)):
        assert isinstance(X, np.ndarray)
        assert X.dtype == np.float32
        np.testing.assert_allclose(X, prepared(small[split][0]), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(y + 1, small[split][1])
    assert (dataset.num_classes, dataset.num_channels) == (24, 2)
    assert dataset.description.defaults.validation_fraction == 0.02
    assert dataset.description.defaults.batch_size == 200


@pytest.mark.parametrize("change", ["missing", "text", "short", "label", "cut"])
def test_faults_of_the_fold_have_a_line(
    tmp_path: Path, small: dict[str, tuple], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(satellite, "_PIECE", 10)
    files = write(tmp_path, "SITS1M_fold1", ".csv", small)
    line = spoil(files["TRAIN"], 33, change)
    with pytest.raises(ValueError, match=rf"SITS1M_fold1_TRAIN.csv, line {line}\b"):
        load("satellite")


@pytest.mark.parametrize(
    ("copies", "message"), [(0, "48 series, got 47: the file was cut short"), (2, "48 .* got more")]
)
def test_another_number_of_series_is_refused(
    tmp_path: Path, small: dict[str, tuple], copies: int, message: str
) -> None:
    file = write(tmp_path, "SITS1M_fold1", ".csv", small)["TRAIN"]
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-1] + copies * lines[-1:]))
    with pytest.raises(ValueError, match=rf"SITS1M_fold1_TRAIN.csv: expected {message}"):
        load("satellite")


def test_a_fold_without_a_class_is_refused(tmp_path: Path, small: dict[str, tuple]) -> None:
    X, y = small["TRAIN"]
    write(tmp_path, "SITS1M_fold1", ".csv", {**small, "TRAIN": (X, np.where(y == 24, 23, y))})
    with pytest.raises(ValueError, match="none of class 24"):
        load("satellite")


def test_satellite_that_is_not_there(small: dict[str, tuple], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=f"SIGKERNEL_TF_DATA={tmp_path} has no SITS1M_fold1_TRAIN.csv"):
        load("satellite")
    monkeypatch.delenv("SIGKERNEL_TF_DATA")
    with pytest.raises(DataNotFoundError, match="SIGKERNEL_TF_DATA is not set .* crop .* satellite_stand_in"):
        load("satellite")


def test_stand_in_says_so_and_has_the_shape(small: dict[str, tuple], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(satellite, "NUM_TRAIN", 500)
    monkeypatch.setattr(satellite, "NUM_TEST", 400)
    first = load("satellite_stand_in")
    assert first.X_train.shape == (500, 46, 2)
    assert first.X_test.shape == (400, 46, 2)
    assert first.X_train.dtype == np.float32
    assert first.num_classes == 24
    assert "stand-in" in first.source
    assert "STAND-IN" in first.description.summary
    assert first.description.stands_in_for == "satellite"
    np.testing.assert_array_equal(first.X_train, load("satellite_stand_in").X_train)
    assert DESCRIPTIONS["satellite"].stands_in_for is None


def test_generated_classes_can_be_told_apart(rng: np.random.Generator) -> None:
    (X, y), (X_new, y_new) = (vegetation_indices(rng, number) for number in (2000, 500))
    means = np.stack([X[y == label].mean(axis=0) for label in range(24)])
    nearest = np.argmin(((X_new[:, None] - means) ** 2).sum(axis=-1), axis=1)
    assert 0.5 < np.mean(nearest == y_new) < 1.0


@pytest.mark.skipif(
    not (Path(os.environ.get("SIGKERNEL_TF_DATA", "nowhere")) / "Crop.npz").exists(),
    reason="Crop.npz is not in the folder of SIGKERNEL_TF_DATA",
)
def test_real_crop_has_the_published_error_of_its_nearest_neighbours() -> None:
    """The UCR archive's summary: 0.2883 with the Euclidean distance of z-normalised series."""
    dataset = load("crop")
    X_train, X_test = (np.stack(X)[..., 1].astype(np.float32) for X in (dataset.X_train, dataset.X_test))
    assert (X_train.shape, X_test.shape) == ((7200, 46), (16800, 46))
    # All have the same norm, so the nearest has the largest inner product.
    nearest = np.concatenate([np.argmax(X @ X_train.T, axis=1) for X in np.array_split(X_test, 10)])
    assert np.mean(dataset.y_train[nearest] != dataset.y_test) == pytest.approx(0.288, abs=1e-3)


@pytest.mark.slow
def test_a_million_series_hold_their_memory(tmp_path: Path) -> None:
    """A run at full size, in a process of its own: its peak resident memory is under 4 GB."""
    root = Path(__file__).resolve().parents[2]
    command = ["run", "satellite_stand_in", "--iterations", "2", "--num-inducing", "5", "--seeds", "1"]
    script = (
        "import resource, sys; from experiments.__main__ import main; "
        f"status = main({[*command, '--out', str(tmp_path)]!r}); "
        "print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "STAND-IN for satellite" in done.stdout
    assert "900000 training and 100000 test series" in done.stdout
    kilobytes = int(done.stdout.rsplit("PEAK ", 1)[1])
    assert kilobytes * 1024 < 4e9
