"""Files of data and results that were damaged: errors name the file, and what has checksums is right or refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from arff_files import TEST_ARFF, TRAIN_ARFF
from damage import damaged, value_or_error

from experiments.datasets import Dataset, Defaults, Description, archive, jena
from experiments.datasets.folder import VARIABLE
from experiments.figures import draw_all
from experiments.results import Results, read_result, read_results, read_timings, write_timing
from experiments.tables import tables

HEADER = """#A comment on the data
@problemName Toy
@timeStamps false
@missing false
@univariate false
@dimensions 2
@equalLength false
@classLabel true a b
@data
"""
TRAIN_TS = HEADER + "1.0,2.0,3.0:4.0,5.0,6.0:a\n7.0,8.0:9.0,-1.5:b\n"
TEST_TS = HEADER + "0.5,1e-3:2,3:b\n"
FILES = {
    "ts": (TRAIN_TS.encode(), TEST_TS.encode()),
    "arff": (TRAIN_ARFF.encode(), TEST_ARFF.encode()),
    "tsv": (b"1\t0.5\t-1e-3\t2\n2\t3\t4\tNaN\n", b"1\t1\t2\t3\n"),
}

CSV = ["Date Time", "p (mbar)", "T (degC)", "rh (%)", "rho (g/m**3)", "wv (m/s)", "rain (mm)", "SWDR (W/m**2)"]
NUMBERS = ("990.5", "10.25", "55.5", "1210", "3.5", "0.2", "150.5")  # of one row, plausible and unequal
OPTIONS = {"model": "SigGPDE", "num_inducing": 3, "iterations": 4}
SCORES = {"seed": 0, "accuracy": 0.9, "nlpp": 0.1, "seconds_per_iteration": 0.02, "history": [{"elbo": -1.0}]}


def csv(names: list[str], rows: int, more: tuple[str, ...] = ()) -> str:
    """A half-year of the weather: one row every ten minutes, in which only the pressure changes."""
    lines = [",".join(f'"{name}"' for name in names)]
    for row in range(rows):
        time = f"01.01.2020 {row // 6:02d}:{row % 6}0:00"
        lines.append(",".join([time, *more, f"{990 + row}.5", *NUMBERS[1:], *more[:1]]))
    return "\n".join(lines) + "\n"


def toy_dataset() -> Dataset:
    description = Description("toy", "a toy", "none", Defaults(3, 4, 5, 1.0))
    X = [np.zeros((2, 1)), np.ones((3, 1))]
    return Dataset(description, X, np.array([0, 1]), X, np.array([1, 0]), source="nowhere")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("form", FILES)
def test_text_of_series(form: str, folder: Path) -> None:
    """Text has no checksums, so that another number may be read. All else is refused, and the file is named."""
    train, test = (folder / f"Toy_{split}.{form}" for split in ("TRAIN", "TEST"))
    whole, other = FILES[form]
    test.write_bytes(other)
    for how, content in damaged(whole, flips=100, cuts=20):
        train.write_bytes(content)
        raw, error = value_or_error(lambda: archive.load("Toy"))
        if error is not None:
            assert str(train) in error, how
        else:
            assert len(raw.train.X) == len(raw.train.labels) == len(raw.train.lines), how
            assert all(series.ndim == 2 and series.dtype == np.float64 for series in raw.train.X), how


@pytest.mark.parametrize("text", ["@classLabel false", "@timeStamps true", "@dimensions 3"])
def test_a_header_that_does_not_fit_the_series(text: str, folder: Path) -> None:
    lines = [text if line.startswith(text.partition(" ")[0]) else line for line in TRAIN_TS.splitlines()]
    (folder / "Toy_TRAIN.ts").write_text("\n".join(lines) + "\n")
    (folder / "Toy_TEST.ts").write_text(TEST_TS)
    raw, error = value_or_error(lambda: archive.load("Toy"))
    if text == "@dimensions 3":  # sktime counts them itself
        assert error is None
        assert [series.shape for series in raw.train.X] == [(3, 2), (2, 2)]
    else:
        assert error is not None
        assert str(folder / "Toy_TRAIN.ts") in error


def test_channels_of_unequal_length_have_a_line(folder: Path) -> None:
    (folder / "Toy_TRAIN.ts").write_text(TRAIN_TS.replace("9.0,-1.5", "9.0"))
    (folder / "Toy_TEST.ts").write_text(TEST_TS)
    with pytest.raises(ValueError, match="Toy_TRAIN.ts, line 11: it could not be read"):
        archive.load("Toy")


def test_arrays_of_series(folder: Path, rng: np.random.Generator) -> None:
    file, arrays = folder / "Toy.npz", {"X_train": rng.normal(size=(2, 3, 2)), "y_train": np.array(["a", "b"])}
    arrays |= {"X_test": arrays["X_train"][:1], "y_test": arrays["y_train"][:1]}
    np.savez(file, **arrays)
    for how, content in damaged(file.read_bytes(), flips=200, cuts=20):
        file.write_bytes(content)
        raw, error = value_or_error(lambda: archive.load("Toy"))
        if error is not None:
            assert str(file) in error, how
        else:
            np.testing.assert_array_equal(np.stack(raw.train.X), arrays["X_train"], err_msg=how)
            assert list(raw.test.labels) == ["a"], how
    for wrong in ({"X_train": arrays["X_train"][:, 0]}, {"y_test": np.arange(3)}, {"X_test": np.array([[["a"]]])}):
        np.savez(file, **{**arrays, **wrong})
        with pytest.raises(ValueError, match=r"Toy.npz: expected numbers X_\w+ \[N, L, D\] and labels y_\w+ \[N\]"):
            archive.load("Toy")
    for lost in arrays:
        np.savez(file, **{name: array for name, array in arrays.items() if name != lost})
        with pytest.raises(ValueError, match="Toy.npz: expected numbers"):
            archive.load("Toy")


def test_measurements_of_the_weather(folder: Path) -> None:
    """Beside a digit in its place, which no one can know of, nothing is read that was not there."""
    file = folder / "mpi_saale_2004b.csv"
    file.write_text(csv(CSV, 12))
    (whole,), _ = jena.read_stations(folder)
    expected = dict(zip(whole.minutes.tolist(), whole.values, strict=True))
    assert len(expected) == 12
    for how, content in damaged(file.read_bytes(), flips=200, cuts=20):
        file.write_bytes(content)
        found, error = value_or_error(lambda: jena.read_stations(folder))
        if error is not None:
            assert str(file) in error, how
        else:
            (station,), _ = found
            rows = [(expected.get(minute), row) for minute, row in zip(station.minutes, station.values, strict=True)]
            assert len([row for one, row in rows if one is None or not np.array_equal(one, row)]) <= 1, how


def test_a_lost_comma_is_seen(folder: Path) -> None:
    """Even where only columns that nobody needs are joined: all values after them are one column to the left."""
    file, names = folder / "mpi_saale_2004b.csv", ["Date Time", "one (1)", "two (1)", *CSV[1:], "last (1)"]
    text = csv(names, 50, more=("1", "2"))
    file.write_text(text)
    jena.read_stations(folder)
    file.write_text(text.replace(",1,2,992.5,", ",1;2,992.5,"))
    with pytest.raises(ValueError, match=r"mpi_saale_2004b.csv, line 4: expected 11 fields, got fewer"):
        jena.read_stations(folder)
    file.write_text(text.replace("one (1)", "p (hPa)"))
    with pytest.raises(ValueError, match="mpi_saale_2004b.csv, line 1: expected one column p, got"):
        jena.read_stations(folder)


def test_arrays_of_the_weather(folder: Path, rng: np.random.Generator) -> None:
    file, minutes, values = folder / jena.NPZ, 10 * np.arange(5), rng.uniform(0.0, 40.0, (5, 7))
    np.savez(file, columns=CSV[1:], time_2020=minutes, series_2020=values)
    (expected,), _ = jena.read_stations(folder)
    whole = file.read_bytes()
    for how, content in damaged(whole, flips=200, cuts=20):
        file.write_bytes(content)
        found, error = value_or_error(lambda: jena.read_stations(folder))
        if error is not None:
            assert str(file) in error, how
        else:
            np.testing.assert_array_equal(found[0][0].values, expected.values, err_msg=how)
    file.write_bytes(whole)
    arrays = dict(np.load(file))
    wrong = [{"time_2020": minutes[:-1]}, {"series_2020": values[:, :2]}, {"series_2020": values[0]}]
    wrong += [
        {"time_2020": np.full(5, np.nan)},
        {"time_2020": np.array(list("abcde"))},
        {"columns": [1, 2]},
    ]
    for other in wrong:
        np.savez(file, **{**arrays, **other})
        with pytest.raises(ValueError, match=f"{jena.NPZ}: expected "):
            jena.read_stations(folder)
    np.savez(file, **{name: array for name, array in arrays.items() if name != "series_2020"})
    with pytest.raises(ValueError, match=f"{jena.NPZ}: expected "):
        jena.read_stations(folder)


def test_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.results.environment", lambda: {"machine": {"cores": 2}, "command": "python"})
    results = Results(tmp_path, toy_dataset(), OPTIONS)
    results.add(SCORES)
    file = results.file
    expected, whole = read_result(file), file.read_bytes()
    for how, content in damaged(whole, flips=200, cuts=30):
        file.write_bytes(content)
        found, error = value_or_error(lambda: read_result(file))
        if error is not None:
            assert f"{file} must be a result of" in error, how
        else:
            assert {name: found[name] for name in expected} == expected, how
        again, error = value_or_error(lambda: Results(tmp_path, toy_dataset(), OPTIONS))
        if error is not None:
            assert f"{file} is damaged" in error, how
        else:
            assert again.seeds == results.seeds, how


def test_results_of_another_shape(tmp_path: Path) -> None:
    results = Results(tmp_path, toy_dataset(), OPTIONS)
    results.add(SCORES)
    saved = json.loads(results.file.read_text())
    del saved["sha256"]
    shapes = [{**saved, "seeds": seeds} for seeds in ([], {}, [3], "text", [{}], [{"seed": "x"}], [{"seed": 1}])]
    shapes += [
        {**saved, "options": {**OPTIONS, "num_inducing": "3"}},
        {**saved, "options": []},
        {**saved, "dataset": 1},
    ]
    shapes += [{**saved, "seeds": [{"seed": 0, "history": [3]}]}]
    for shape in shapes:
        results.file.write_text(json.dumps(shape))
        for read in (read_result, lambda file: read_results(file.parent), lambda file: tables(file.parent)):
            with pytest.raises(ValueError, match="result.json must be a result of"):
                read(results.file)


def test_timings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.results.environment", lambda: {"machine": {"cores": 2}, "command": "python"})
    timing = {"dataset": "toy", "num_inducing": 3, "batch_size": 5, "rounds": 2, "seconds_per_iteration": {"a": 0.5}}
    file = write_timing(tmp_path, timing)
    expected = read_timings(tmp_path, "toy")
    for how, content in damaged(file.read_bytes(), flips=100, cuts=20):
        file.write_bytes(content)
        found, error = value_or_error(lambda: read_timings(tmp_path, "toy"))
        if error is not None:
            assert f"{file} must be a result of `python -m experiments time`" in error, how
        else:
            assert {name: found[0][name] for name in expected[0]} == expected[0], how


def test_predictions(tmp_path: Path) -> None:
    """The file from which figures are drawn."""
    results = Results(tmp_path / "toy", toy_dataset(), OPTIONS)
    results.add(SCORES)
    file = results.folder / "seed-0" / "test.npz"
    file.parent.mkdir()
    whole = {"y": np.arange(2), "posterior_mean": np.zeros(2), "example": np.zeros((3, 2))}
    np.savez(file, **whole)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match="test.npz is no .npz file of arrays, or is damaged"):
        draw_all(tmp_path, tmp_path)
    for wrong in ({"y": np.arange(3)}, {"example": np.zeros(3)}, {"amount": np.zeros(1)}):
        np.savez(file, **{**whole, **wrong})
        with pytest.raises(ValueError, match=r"test.npz must hold y \[N\], posterior_mean \[N\] and an example"):
            draw_all(tmp_path, tmp_path)
