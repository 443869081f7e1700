"""Weather: the institute's files, windows and labels against a plain loop, the split by time, faults, and real data."""

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from experiments.datasets import DataNotFoundError, jena, load, weather

START = datetime(2020, 1, 1, 0, 10, tzinfo=timezone.utc)
ROOF = [
    "Date Time", "p (mbar)", "T (degC)", "Tpot (K)", "rh (%)", "rho (g/m**3)", "wv (m/s)", "max. wv (m/s)", "wd (deg)",
    "rain (mm)", "raining (s)", "SWDR (W/m²)", "CO2 (ppm)",
]  # fmt: skip
SAALE = ["Date Time", "p (mbar)", "T (degC)", "rh (%)", "rho (g/m**3)", "wv (m/s)", "rain (mm)", "SWDR (W/m**2)"]
IDLE = {"Tpot (K)": 280.0, "max. wv (m/s)": 3.0, "wd (deg)": 180.0, "raining (s)": 0.0, "CO2 (ppm)": -9999.0}


def measured(rng: np.random.Generator, number: int) -> dict[str, np.ndarray]:
    """Plausible values of the seven columns; rain in tenths of a millimetre, in showers."""
    showers = np.repeat(rng.random(number // 6 + 1) < 0.3, 6)[:number]
    return {
        "p": rng.normal(990, 8, number).round(2),
        "T": rng.normal(10, 8, number).round(2),
        "rh": rng.uniform(30, 100, number).round(1),
        "rho": rng.normal(1210, 30, number).round(2),
        "wv": rng.uniform(0, 8, number).round(2),
        "SWDR": rng.uniform(0, 800, number).round(2),
        "rain": showers * rng.integers(0, 6, number) / 10,
    }


def minutes_from(start: datetime, number: int) -> np.ndarray:
    return int(start.timestamp()) // 60 + 10 * np.arange(number)


def write_csv(file: Path, names: list[str], minutes: np.ndarray, values: dict[str, np.ndarray]) -> None:
    lines = [",".join(f'"{name}"' for name in names)]
    for row, minute in enumerate(minutes):
        time = datetime(1970, 1, 1) + timedelta(minutes=int(minute))
        keys = [name.partition(" (")[0] for name in names[1:]]
        numbers = [values[key][row] if key in values else IDLE[name] for key, name in zip(keys, names[1:], strict=True)]
        lines.append(",".join([time.strftime("%d.%m.%Y %H:%M:%S"), *(f"{number:g}" for number in numbers)]))
    file.write_bytes(("\n".join(lines) + "\n").encode("latin-1"))


def columns(values: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack([values[name] for name in ("p", "T", "rh", "rho", "wv", "SWDR", "rain")], axis=1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGKERNEL_TF_DATA", str(tmp_path))
    return tmp_path


def loop(minutes: np.ndarray, values: np.ndarray) -> list[tuple[int, np.ndarray, float]]:
    """All windows of 36 rows with the hour after them, by looking up every time."""
    rows = {int(minute): row for minute, row in zip(minutes, values, strict=True)}
    found = []
    for start in sorted(rows):
        wanted = [start + 10 * step for step in range(42)]
        if all(minute in rows for minute in wanted):
            before, after = [rows[m] for m in wanted[:36]], [rows[m][6] for m in wanted[36:]]
            if not np.isnan(before).any() and not np.isnan(after).any():
                found.append((start, np.array(before), sum(round(10 * rain) for rain in after) / 10))
    return found


def test_csv_of_both_stations(folder: Path, rng: np.random.Generator) -> None:
    minutes = minutes_from(START, 50)
    roof, saale = measured(rng, 50), measured(rng, 50)
    write_csv(folder / "mpi_roof_2020a.csv", ROOF, minutes[:30], {name: column[:30] for name, column in roof.items()})
    # The second half repeats the last row of the first, with other values.
    later = {name: np.concatenate([column[28:29], column[30:]]) for name, column in roof.items()}
    write_csv(folder / "mpi_roof_2020b.csv", ROOF, minutes[29:], later)
    write_csv(folder / "mpi_saale_2020a.csv", SAALE, minutes, saale)
    (folder / "mpi_roof_notes.csv").write_text("not a half-year")
    (first, second), source = jena.read_stations(folder)
    np.testing.assert_array_equal(first.minutes, minutes)
    np.testing.assert_allclose(first.values, columns(roof), rtol=1e-5)
    np.testing.assert_array_equal(second.minutes, minutes)
    np.testing.assert_allclose(second.values, columns(saale), rtol=1e-5)
    assert "mpi_roof_*.csv (2 files)" in source
    assert "mpi_saale_*.csv (1 files)" in source


def test_missing_values_and_outliers(folder: Path, rng: np.random.Generator) -> None:
    values = measured(rng, 8)
    for row, (name, wrong) in enumerate(
        [("p", -9999.0), ("T", 60.0), ("rh", -3.0), ("rho", 0.0), ("wv", -9999.0), ("SWDR", 3000.0), ("rain", 99.0)]
    ):
        values[name][row] = wrong
    write_csv(folder / "mpi_saale_2020a.csv", SAALE, minutes_from(START, 8), values)
    ((station,), _) = jena.read_stations(folder)
    assert np.argwhere(np.isnan(station.values)).tolist() == [[i, i] for i in range(7)]


def test_windows_by_a_loop(rng: np.random.Generator) -> None:
    minutes, values = minutes_from(START, 400), columns(measured(rng, 400))
    kept = np.ones(400, bool)
    kept[[90, 91, 200]] = False  # gaps
    minutes[300:] += 3  # off the beat: a gap, too
    values[150, 2] = values[250, 6] = np.nan
    values[[350, 351, 352], :3] = np.nan
    station = jena.Station(minutes[kept], values[kept])
    found = weather.windows_of(station)
    expected = loop(station.minutes, station.values)
    assert len(expected) > 20
    assert found.starts.tolist() == [start for start, _, _ in expected]
    np.testing.assert_array_equal(found.values(), [window for _, window, _ in expected])
    np.testing.assert_allclose(found.rain_after, [rain for _, _, rain in expected], atol=1e-9)
    np.testing.assert_array_equal(found.labels, [rain > 1.0 for _, _, rain in expected])


@pytest.mark.parametrize("number", [0, 1, 41])
def test_too_few_rows_for_a_window(number: int, rng: np.random.Generator) -> None:
    station = jena.Station(minutes_from(START, number), columns(measured(rng, number)))
    assert len(weather.windows_of(station).first) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("tenths", "label"), [((2, 2, 2, 2, 2, 0), 0), ((1, 3, 3, 3, 0, 0), 0), ((2, 2, 2, 2, 2, 1), 1)]
)
def test_one_millimetre_is_not_more_than_one(dtype: type, tenths: tuple[int, ...], label: int) -> None:
    values = np.ones((42, 7))
    values[36:, 6] = (np.array(tenths) / 10).astype(dtype)
    found = weather.windows_of(jena.Station(minutes_from(START, 42), values))
    assert found.labels.tolist() == [label]


def write_npz(folder: Path, minutes: np.ndarray, values: np.ndarray) -> None:
    names = ["wd (deg)", "p (mbar)", "T (degC)", "rh (%)", "rho (g/m**3)", "wv (m/s)", "SWDR (W/m2)", "rain (mm)"]
    series = np.column_stack([np.zeros(len(values)), values]).astype(np.float32)
    np.savez(folder / "jena_roof_series.npz", columns=names, time_2020=minutes, series_2020=series)


def test_the_data_set(folder: Path, rng: np.random.Generator) -> None:
    """Split by time for both stations at once, 3 to 1, standardised by the training set."""
    number = 1200
    minutes = minutes_from(START, number)
    stations = [measured(rng, number), measured(rng, number)]
    write_csv(folder / "mpi_roof_2020a.csv", ROOF, minutes, stations[0])
    write_csv(folder / "mpi_saale_2020a.csv", SAALE, minutes, stations[1])
    dataset = load("weather")
    # Of 1200 moments the last quarter is for testing, of those before a fifth for validation.
    cut, cut_before = minutes[900], minutes[720]
    windows = [window for values in stations for window in loop(minutes, columns(values))]
    fit = [one for one in windows if one[0] + 410 < cut_before]
    validation = [one for one in windows if one[0] >= cut_before and one[0] + 410 < cut]
    test = [one for one in windows if one[0] >= cut]
    y_fit, y_validation = np.delete(dataset.y_train, dataset.validation), dataset.y_train[dataset.validation]
    for y, all_windows in ((y_fit, fit), (y_validation, validation), (dataset.y_test, test)):
        positives = sum(rain > 1.0 for _, _, rain in all_windows)
        assert np.bincount(y).tolist() == [min(3 * positives, len(all_windows) - positives), positives]
    np.testing.assert_array_equal(dataset.y_test, dataset.amounts_test > 1.0)

    X_train, X_test = np.asarray(dataset.X_train), np.asarray(dataset.X_test)
    assert X_train.shape[1:] == X_test.shape[1:] == (36, 8)
    np.testing.assert_allclose(X_train.mean(axis=(0, 1)), 0.0, atol=1e-9)
    np.testing.assert_allclose(X_train.std(axis=(0, 1)), 1.0, rtol=1e-9)
    # Undone, each series is one of the windows of its own split.
    time = np.linspace(0.0, 1.0, 36)
    assert np.ptp((X_train - X_train[:1])[..., 0]) < 1e-12
    np.testing.assert_allclose(X_train[0, :, 0], (time - time.mean()) / time.std(), atol=1e-9)
    held_out = X_train[dataset.validation]
    for X, all_windows in ((np.delete(X_train, dataset.validation, 0), fit), (held_out, validation), (X_test, test)):
        # The scale is unknown here: compare the order of the temperatures, which scaling keeps.
        orders = {tuple(np.argsort(window[:, 1], kind="stable")) for _, window, _ in all_windows}
        assert all(tuple(np.argsort(series[:, 2].round(9), kind="stable")) in orders for series in X)
    assert dataset.description.channels[0] == "time"
    assert len(dataset.description.channels) == dataset.num_channels == 8
    np.testing.assert_array_equal(load("weather").X_train, dataset.X_train)  # the same draw


def test_npz_and_csv_are_one_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    values, minutes = measured(rng, 900), minutes_from(START, 900)
    datasets = []
    for form in ("npz", "csv"):
        place = tmp_path / form / ("weather" if form == "csv" else "")
        place.mkdir(parents=True)
        if form == "npz":
            write_npz(place, minutes, columns(values))
        else:
            write_csv(place / "mpi_roof_2020.csv", ROOF, minutes, values)
        monkeypatch.setenv("SIGKERNEL_TF_DATA", str(tmp_path / form))
        datasets.append(load("weather"))
    np.testing.assert_allclose(datasets[0].X_train, datasets[1].X_train, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(datasets[0].y_train, datasets[1].y_train)
    np.testing.assert_array_equal(datasets[0].y_test, datasets[1].y_test)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line.replace("01.01.2020 00:40:00", "2020-01-01 00:40:00"), "line 5: expected a time like"),
        (lambda line: line.replace("01.01.2020 00:40:00", "32.01.2020 00:40:00"), "line 5: expected a time like"),
        (
            lambda line: line[: line.rindex(",")],
            "line 5: expected a number .* in column SWDR, got nothing: .* cut short",
        ),
        (
            lambda line: line[: line.rindex(",") + 1] + "bright",
            "line 5: expected a number .* in column SWDR, got 'bright'",
        ),
        (lambda line: line + ",1", "Expected 8 fields in line 5, saw 9"),
        (lambda line: line[:12], "line 5: expected a time like .* got '01.01.2020 0'"),
    ],
)
def test_faults_have_a_line(folder: Path, rng: np.random.Generator, change, message: str) -> None:
    file = folder / "mpi_saale_2004b.csv"
    write_csv(file, SAALE, minutes_from(START, 50), measured(rng, 50))
    lines = file.read_bytes().decode("latin-1").splitlines()
    lines[4] = change(lines[4])
    file.write_bytes("\n".join(lines).encode("latin-1"))
    with pytest.raises(ValueError, match=rf"mpi_saale_2004b.csv.*{message}"):
        load("weather")


def test_blank_lines_do_not_move_the_line_numbers(folder: Path, rng: np.random.Generator) -> None:
    file = folder / "mpi_saale_2004b.csv"
    write_csv(file, SAALE, minutes_from(START, 50), measured(rng, 50))
    lines = file.read_text(encoding="latin-1").splitlines()
    file.write_text("\n".join([*lines[:3], "", *lines[3:9], "x" + lines[9]]), encoding="latin-1")
    with pytest.raises(ValueError, match="line 11: expected a time like"):
        load("weather")


def test_files_without_what_is_needed(folder: Path, rng: np.random.Generator) -> None:
    names = [name for name in SAALE if not name.startswith("rho")]
    write_csv(folder / "mpi_saale_2004b.csv", names, minutes_from(START, 50), measured(rng, 50))
    with pytest.raises(ValueError, match="mpi_saale_2004b.csv, line 1: expected a column rho"):
        load("weather")
    (folder / "mpi_saale_2004b.csv").write_text("")
    with pytest.raises(ValueError, match="mpi_saale_2004b.csv"):
        load("weather")
    (folder / "mpi_saale_2004b.csv").unlink()
    with pytest.raises(DataNotFoundError, match=f"SIGKERNEL_TF_DATA={folder} has no mpi_roof_2020a.csv"):
        load("weather")
    np.savez(folder / "jena_roof_series.npz", columns=["p (mbar)"], time_2020=[0], series_2020=[[1.0]])
    with pytest.raises(ValueError, match="jena_roof_series.npz: expected columns p, T"):
        load("weather")


def test_a_drought_is_an_error(folder: Path, rng: np.random.Generator) -> None:
    write_npz(folder, minutes_from(START, 500), columns(measured(rng, 500) | {"rain": np.zeros(500)}))
    with pytest.raises(ValueError, match="weather, training: expected complete windows with and without"):
        load("weather")


@pytest.mark.skipif(
    not (Path(os.environ.get("SIGKERNEL_TF_DATA", "nowhere")) / "jena_roof_series.npz").exists(),
    reason="jena_roof_series.npz is not in the folder of SIGKERNEL_TF_DATA",
)
def test_real_weather() -> None:
    dataset = load("weather")
    assert np.asarray(dataset.X_train).shape[1:] == (36, 8)
    for y in (dataset.y_train, dataset.y_test):
        assert np.bincount(y)[0] == 3 * np.bincount(y)[1]
    ((station,), _) = jena.read_stations(Path(os.environ["SIGKERNEL_TF_DATA"]))
    in_2020 = station.minutes < minutes_from(datetime(2021, 1, 1, tzinfo=timezone.utc), 1)[0]
    assert np.nansum(station.values[in_2020, 6]) == pytest.approx(620, abs=1)
