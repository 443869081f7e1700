"""
Measurements of the weather stations of the Max Planck Institute for Biogeochemistry in Jena, one row every ten minutes.

The institute's files hold half a year each, such as mpi_roof_2020a.csv (Beutenberg, on the roof) and
mpi_saale_2020a.csv (Saaleaue). They are in Latin-1, with quoted column names ("p (mbar)", "T (degC)", ...), the time
in the column "Date Time" as 31.12.2020 23:50:00, and -9999 for a missing value. A file jena_roof_series.npz is read as
well: it holds `columns`, and for each year `time_2020` (minutes since 1970) and `series_2020` (rows, columns), with NaN
for a missing value.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

INTERVAL = 10  # minutes between rows
MISSING = -9999.0
NPZ = "jena_roof_series.npz"
# For each column what it measures, and the smallest and the largest value that can be true in Jena: Germany's records,
# with something to spare. A value outside these limits counts as missing.
COLUMNS: dict[str, tuple[str, float, float]] = {
    "p": ("pressure", 850.0, 1100.0),  # mbar
    "T": ("temperature", -45.0, 45.0),  # degrees Celsius
    "rh": ("humidity", 0.0, 105.0),  # %
    "rho": ("air density", 1000.0, 1500.0),  # g/m³
    "wv": ("wind speed", 0.0, 60.0),  # m/s
    "SWDR": ("radiation", -20.0, 1500.0),  # W/m²
    "rain": ("rain", 0.0, 60.0),  # mm in ten minutes
}
RAIN = list(COLUMNS).index("rain")
_TIME, _TIME_FORMAT = "Date Time", "%d.%m.%Y %H:%M:%S"
_FILE = re.compile(r"mpi_(roof|saale)_\d{4}[ab]?\.csv", re.IGNORECASE)


@dataclass(frozen=True)
class Station:
    """What one station measured."""

    minutes: np.ndarray
    """[n], since 1970, increasing. A missing row leaves a gap."""
    values: np.ndarray
    """[n, 7], the columns of ``COLUMNS``; NaN for a missing value."""


def read_stations(folder: Path) -> tuple[list[Station], str] | None:
    """
    Read the stations of a folder, and say what files they were read from; None if the folder has no such files.

    Outliers are made missing. Rows are sorted by time. Half-years repeat each other's ends: of several rows of the
    same time only the first is kept.

    :raises ValueError: for a damaged file, naming the file and the line.
    """
    stations: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*.csv")):
        match = _FILE.fullmatch(file.name)
        if match:
            stations.setdefault(match[1].lower(), []).append(file)
    if stations:
        source = "; ".join(f"{folder}/mpi_{name}_*.csv ({len(files)} files)" for name, files in stations.items())
        return [_station([_read_csv(file) for file in files]) for files in stations.values()], source
    file = folder / NPZ
    return ([_station(_read_npz(file))], str(file)) if file.is_file() else None


def _station(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Station:
    minutes, first = np.unique(np.concatenate([minutes for minutes, _ in parts]), return_index=True)
    values = np.concatenate([values for _, values in parts])[first]
    for column, (_, smallest, largest) in enumerate(COLUMNS.values()):
        values[(values[:, column] < smallest) | (values[:, column] > largest), column] = np.nan
    return Station(minutes, values)


def _key(header: str) -> str:
    """The name of a column without its unit, which stations and years write differently: SWDR of "SWDR (W/m²)"."""
    return header.strip().partition(" (")[0]


def _read_csv(file: Path) -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd  # imported here because it is slow, and --help should not be

    # With one text that stands for NaN, which no file has, pandas makes NaN of the fields that a short line lacks.
    as_text = {"encoding": "latin-1", "dtype": str, "keep_default_na": False, "na_values": ["\0"]}
    try:
        table = pd.read_csv(file, skip_blank_lines=False, **as_text)
    except Exception as error:  # pandas raises errors of many kinds for files that are no tables
        raise ValueError(f"{file} could not be read as a table: {error}") from error
    table.columns = [_key(str(name)) for name in table.columns]
    names = list(table.columns)
    wrong = [name for name in (_TIME, *COLUMNS) if names.count(name) != 1]
    if wrong:
        a = "one" if wrong[0] in names else "a"
        raise ValueError(f"{file}, line 1: expected {a} column {wrong[0]}, got {', '.join(names)}.")
    blank = (table.isna() | (table == "")).all(axis=1).to_numpy()
    lines = np.flatnonzero(~blank) + 2  # counted from 1, after the line of names
    table = table[~blank]
    times = pd.to_datetime(table[_TIME].str.strip(), format=_TIME_FORMAT, errors="coerce")
    _check_known(file, lines, _TIME, table[_TIME], times.isna().to_numpy())
    values = np.empty((len(table), len(COLUMNS)))
    for column, name in enumerate(COLUMNS):
        numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
        _check_known(file, lines, name, table[name], ~np.isfinite(numbers))
        values[:, column] = np.where(numbers == MISSING, np.nan, numbers)
    short = table.iloc[:, -1].isna().to_numpy()  # where a comma is lost, all values after it are in wrong columns
    if short.any():
        raise ValueError(
            f"{file}, line {lines[int(np.argmax(short))]}: expected {table.shape[1]} fields, got fewer: the file was "
            "cut short, or is another."
        )
    return times.to_numpy().astype("datetime64[m]").astype(np.int64), values


def _check_known(file: Path, lines: np.ndarray, name: str, texts: Sequence[str], unknown: np.ndarray) -> None:
    if unknown.any():
        row = int(np.argmax(unknown))
        text = list(texts)[row]
        got = repr(text) if isinstance(text, str) and text else "nothing: the file was cut short, or is another"
        expected = "a time like 31.12.2020 23:50:00" if name == _TIME else "a number (-9999 where it is missing)"
        raise ValueError(f"{file}, line {lines[row]}: expected {expected} in column {name}, got {got}.")


def _read_npz(file: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    from sigkernel_tf.gp.data.checked_files import read_arrays  # imported here because TensorFlow is slow to import

    arrays = read_arrays(file)
    names = [_key(str(name)) for name in np.ravel(arrays.get("columns", []))]
    years = sorted(name.removeprefix("time_") for name in arrays if name.startswith("time_"))
    absent = [name for name in COLUMNS if name not in names]
    if absent or not years:
        raise ValueError(f"{file}: expected columns {', '.join(COLUMNS)} and a year, got {names} and {years}.")
    chosen = [names.index(name) for name in COLUMNS]
    parts = []
    for year in years:
        minutes, values = arrays[f"time_{year}"], arrays.get(f"series_{year}", np.empty(()))
        if minutes.ndim != 1 or values.shape != (len(minutes), len(names)):
            raise ValueError(
                f"{file}: expected a time for each row of {year} and {len(names)} columns, got times {minutes.shape} "
                f"and series {values.shape}."
            )
        if minutes.dtype.kind not in "iuf" or values.dtype.kind not in "iuf" or not np.isfinite(minutes).all():
            raise ValueError(
                f"{file}: expected numbers in {year}, got {minutes.dtype} times and {values.dtype} series."
            )
        values = values[:, chosen].astype(np.float64)
        values[values == MISSING] = np.nan
        parts.append((minutes.astype(np.int64), values))
    return parts
