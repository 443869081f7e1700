"""
Data sets of the UEA and UCR archive (timeseriesclassification.com), from a folder or by download.

A data set NAME is looked for in the folder that the environment variable SIGKERNEL_TF_DATA names, and in its subfolder
NAME, as NAME_TRAIN.ts and NAME_TEST.ts, as the same in .arff, or as NAME.npz (X_train [N, L, D], y_train [N], X_test,
y_test). Where it is not there, the archive's NAME.zip is downloaded once into the user's cache,
$XDG_CACHE_HOME/sigkernel_tf (~/.cache/sigkernel_tf), and its SHA-256 recorded beside it; every later use is checked
against that.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import Series

VARIABLE = "SIGKERNEL_TF_DATA"
URL = "https://timeseriesclassification.com/aeon-toolkit/{name}.zip"
_TIMEOUT = 60  # seconds without an answer


class DataNotFoundError(RuntimeError):
    """A data set is neither in the folder nor to be downloaded; the message says what to do."""


@dataclass(frozen=True)
class RawData:
    """Series [L_i, D] as the archive has them, labels as text or numbers."""

    X_train: Series
    y_train: np.ndarray
    X_test: Series
    y_test: np.ndarray
    source: str


def load(name: str) -> RawData:
    """
    A data set of the archive.

    :param name: the archive's, as in "PenDigits".
    :raises DataNotFoundError: where it is not in the folder and cannot be downloaded.
    :raises ValueError: where a downloaded file is damaged.
    """
    folder = os.environ.get(VARIABLE)
    if folder:
        for place in (Path(folder), Path(folder) / name):
            found = _read_folder(place, name)
            if found is not None:
                return found
    archive = _cache() / f"{name}.zip"
    if not archive.exists():
        _download(name, archive, folder)
    _check_sum(archive)
    with tempfile.TemporaryDirectory() as extracted:
        _extract(archive, Path(extracted), name)
        found = _read_folder(Path(extracted), name, source=f"{URL.format(name=name)} (in {archive})")
    if found is None:
        raise ValueError(
            f"{archive} holds no {name}_TRAIN.ts and {name}_TEST.ts: delete it, or set {VARIABLE} to a folder "
            "that has them."
        )
    return found


def nested_to_series(X: Any) -> Series:
    """Series [L_i, D] from sktime's nested data frame, a column a channel and a pandas series a cell."""
    return [np.stack([cell.to_numpy(np.float64) for cell in row], axis=1) for row in X.itertuples(index=False)]


def _read_folder(folder: Path, name: str, source: str | None = None) -> RawData | None:
    """The data set where the folder has it, else None."""
    readers: dict[str, Callable[[Path], tuple[Series, np.ndarray]]] = {".ts": _read_ts, ".arff": _read_arff}
    for suffix, read in readers.items():
        files = [folder / f"{name}_{split}{suffix}" for split in ("TRAIN", "TEST")]
        if all(file.is_file() for file in files):
            (X_train, y_train), (X_test, y_test) = (read(file) for file in files)
            return RawData(X_train, y_train, X_test, y_test, source or f"{files[0]}, {files[1].name}")
    file = folder / f"{name}.npz"
    if file.is_file():
        with np.load(file, allow_pickle=False) as arrays:
            X_train, X_test = (list(arrays[key].astype(np.float64)) for key in ("X_train", "X_test"))
            return RawData(X_train, arrays["y_train"], X_test, arrays["y_test"], source or str(file))
    return None


def _read_ts(file: Path) -> tuple[Series, np.ndarray]:
    from sktime.datasets import load_from_tsfile  # slow to import: here, so that --help is not

    X, y = load_from_tsfile(str(file), return_data_type="nested_univ")
    return nested_to_series(X), y


def _read_arff(file: Path) -> tuple[Series, np.ndarray]:
    from sktime.datasets import load_from_arff_to_dataframe

    X, y = load_from_arff_to_dataframe(str(file))
    return nested_to_series(X), y


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sigkernel_tf"


def _download(name: str, target: Path, folder: str | None) -> None:
    """Fetches the archive's file under a temporary name, records its checksum and gives it its name last."""
    url = URL.format(name=name)
    print(f"downloading {url}", file=sys.stderr)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(url, timeout=_TIMEOUT) as answer,
            tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as part,
        ):
            partial = Path(part.name)
            try:
                shutil.copyfileobj(answer, part)
                part.flush()
                if not zipfile.is_zipfile(partial):
                    raise OSError("the answer is no zip file")
                _sum_file(target).write_text(_sha256(partial) + "\n")
                os.replace(partial, target)
            finally:
                partial.unlink(missing_ok=True)
    except (OSError, urllib.error.URLError) as error:
        looked = f"{VARIABLE}={folder} has no" if folder else f"{VARIABLE} is not set to a folder with"
        raise DataNotFoundError(
            f"{name} was not found: {looked} {name}_TRAIN.ts and {name}_TEST.ts (or .arff, or {name}.npz), and "
            f"{url} could not be downloaded ({error}). Download it elsewhere, unpack it, and set {VARIABLE} to the "
            "folder with the files."
        ) from error


def _check_sum(archive: Path) -> None:
    recorded = _sum_file(archive)
    if not recorded.exists() or recorded.read_text().strip() != _sha256(archive):
        raise ValueError(
            f"{archive} has changed since it was downloaded (its SHA-256 differs): delete it to fetch it again."
        )


def _sum_file(archive: Path) -> Path:
    return archive.with_suffix(".zip.sha256")


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _extract(archive: Path, folder: Path, name: str) -> None:
    """The splits' files, whatever folder of the archive they are in."""
    wanted = {f"{name}_{split}{suffix}" for split in ("TRAIN", "TEST") for suffix in (".ts", ".arff")}
    with zipfile.ZipFile(archive) as content:
        for member in content.namelist():
            if Path(member).name in wanted:
                with content.open(member) as source, open(folder / Path(member).name, "wb") as target:
                    shutil.copyfileobj(source, target)
