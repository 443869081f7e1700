"""
Data sets of the UEA and UCR archive (timeseriesclassification.com), read from a folder or downloaded.

A data set NAME is looked for in the folder that the environment variable SIGKERNEL_TF_DATA names, and in its subfolder
NAME: as NAME_TRAIN.ts and NAME_TEST.ts, as the same two files in .arff or .tsv, or as NAME.npz (X_train [N, L, D],
y_train [N], X_test, y_test). If it is not there, `pooch` downloads the archive's NAME.zip once into the user's cache,
$XDG_CACHE_HOME/sigkernel_tf (on Linux ~/.cache/sigkernel_tf), and unpacks it there. The archive publishes no checksums,
so the SHA-256 of the first download is recorded beside the file, and every later use is checked against it.
"""

import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pooch

from .dataset import Where, nowhere
from .delimited import read_rows

VARIABLE = "SIGKERNEL_TF_DATA"
URL = "https://timeseriesclassification.com/aeon-toolkit/{name}.zip"


class DataNotFoundError(RuntimeError):
    """A data set is neither in the folder nor to be downloaded; the message says what to do."""


@dataclass(frozen=True)
class RawData:
    """Series [L_i, D] as the archive has them, labels as text or numbers, and where each series was read."""

    X_train: Sequence[np.ndarray]
    y_train: np.ndarray
    X_test: Sequence[np.ndarray]
    y_test: np.ndarray
    source: str
    where_train: Where = nowhere
    where_test: Where = nowhere


@dataclass(frozen=True)
class _Split:
    X: Sequence[np.ndarray]
    labels: np.ndarray
    file: Path
    lines: Sequence[int] | None
    """The line of each series, from 1; None where the file has none."""

    def where(self, number: int) -> str:
        return f"{self.file}, " + (f"series {number}" if self.lines is None else f"line {self.lines[number]}")


def load(name: str) -> RawData:
    """
    A data set of the archive.

    :param name: the archive's, as in "PenDigits".
    :raises DataNotFoundError: where it is not in the folder and cannot be downloaded.
    :raises ValueError: where a file is damaged, or the archive's file is not the one that was downloaded before.
    """
    folder = os.environ.get(VARIABLE)
    if folder:
        for place in (Path(folder), Path(folder) / name):
            found = _read_folder(place, name)
            if found is not None:
                return found
    return _download(name, folder)


def nested_to_series(X: Any) -> list[np.ndarray]:
    """Series [L_i, D] from sktime's nested data frame, a column a channel and a pandas series a cell."""
    return [np.stack([cell.to_numpy(np.float64) for cell in row], axis=1) for row in X.itertuples(index=False)]


def _read_folder(folder: Path, name: str, source: str | None = None) -> RawData | None:
    """The data set where the folder has it, else None."""
    for suffix, read in _READERS.items():
        files = [folder / f"{name}_{split}{suffix}" for split in ("TRAIN", "TEST")]
        if all(file.is_file() for file in files):
            train, test = (read(file) for file in files)
            return _raw_data(train, test, source or f"{files[0]}, {files[1].name}")
    file = folder / f"{name}.npz"
    if file.is_file():
        with np.load(file, allow_pickle=False) as arrays:
            train, test = (
                _Split(list(arrays[f"X_{split}"].astype(np.float64)), arrays[f"y_{split}"], file, None)
                for split in ("train", "test")
            )
        return _raw_data(train, test, source or str(file))
    return None


def _raw_data(train: _Split, test: _Split, source: str) -> RawData:
    return RawData(train.X, train.labels, test.X, test.labels, source, train.where, test.where)


def _read_ts(file: Path) -> _Split:
    from sktime.datasets import load_from_tsfile  # slow to import: here, so that --help is not

    return _read_by_sktime(file, "#", lambda path: load_from_tsfile(path, return_data_type="nested_univ"))


def _read_arff(file: Path) -> _Split:
    from sktime.datasets import load_from_arff_to_dataframe

    return _read_by_sktime(file, "%", load_from_arff_to_dataframe)


def _read_by_sktime(file: Path, comment: str, read: Callable[[str], tuple[Any, np.ndarray]]) -> _Split:
    """A file of sktime's; where it cannot be read, the error says in which line."""
    try:
        X, labels = read(str(file))
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise ValueError(f"{_first_fault(file, comment, read)}: it could not be read ({error}).") from error
    lines = [number for number, _ in _data_lines(file, comment)]
    if len(lines) != len(labels):
        raise ValueError(f"{file}: expected a series in each of {len(lines)} lines, got {len(labels)} series.")
    return _Split(nested_to_series(X), labels, file, lines)


def _data_lines(file: Path, comment: str) -> list[tuple[int, str]]:
    """The lines after "@data", with their numbers, without empty ones and comments."""
    text = file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    start = next((i for i, line in enumerate(text) if line.strip().lower() == "@data"), len(text)) + 1
    numbered = enumerate(text[start:], start=start + 1)
    return [(number, line) for number, line in numbered if line.strip() and not line.lstrip().startswith(comment)]


def _first_fault(file: Path, comment: str, read: Callable[[str], Any]) -> str:
    """File and line of the first series that cannot be read: each is tried beside the first, which sets the form."""
    lines = _data_lines(file, comment)
    text = file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    header = text[: lines[0][0] - 1] if lines else text
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder) / file.name
        for i, (number, line) in enumerate(lines):
            tried.write_text("".join([*header, lines[0][1], line] if i else [*header, line]), encoding="utf-8")
            try:
                read(str(tried))
            except Exception:  # the same fault, whatever sktime makes of it
                return f"{file}, line {number}"
    return str(file)


def _read_tsv(file: Path) -> _Split:
    """The UCR archive's text: a series a line, its label first, shorter series filled up with NaN."""
    X: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    lines: list[int] = []
    for rows in read_rows(file, "\t"):
        for values in rows.values:
            known = np.flatnonzero(~np.isnan(values))
            X.append(values[: known[-1] + 1 if len(known) else 0, None])
        labels.append(rows.labels)
        lines.extend(rows.lines)
    return _Split(X, np.concatenate(labels) if labels else np.empty(0), file, lines)


_READERS: dict[str, Callable[[Path], _Split]] = {".ts": _read_ts, ".arff": _read_arff, ".tsv": _read_tsv}


def _download(name: str, folder: str | None) -> RawData:
    """The data set from the archive's file, which is downloaded only once."""
    url, cache = URL.format(name=name), pooch.os_cache("sigkernel_tf")
    archive, recorded = cache / f"{name}.zip", cache / f"{name}.zip.sha256"
    known_hash = recorded.read_text().strip() if recorded.exists() else None
    pooch.get_logger().setLevel("WARNING")  # else it asks the user to write the hash into the code
    if not archive.exists():
        print(f"downloading {url}", file=sys.stderr)
    try:
        files = pooch.retrieve(url, known_hash, archive.name, cache, processor=pooch.Unzip())
    except ValueError as error:
        raise ValueError(
            f"{url} has changed since it was first downloaded ({error}): delete {recorded} to use the new file."
        ) from error
    except (OSError, zipfile.BadZipFile) as error:
        if isinstance(error, zipfile.BadZipFile):  # the answer was something else, such as a page, and was kept
            archive.unlink()
        looked = f"{VARIABLE}={folder} has no" if folder else f"{VARIABLE} is not set to a folder with"
        raise DataNotFoundError(
            f"{name} was not found: {looked} {name}_TRAIN.ts and {name}_TEST.ts (or .arff, .tsv, or {name}.npz), and "
            f"{url} could not be downloaded ({error}). Download it elsewhere, unpack it, and set {VARIABLE} to the "
            "folder with the files."
        ) from error
    if known_hash is None:
        recorded.write_text(pooch.file_hash(archive) + "\n")
    for place in sorted({Path(file).parent for file in files}):
        found = _read_folder(place, name, source=f"{url} (in {archive})")
        if found is not None:
            return found
    raise ValueError(
        f"{archive} holds no {name}_TRAIN.ts and {name}_TEST.ts: delete it and {recorded.name}, or set {VARIABLE} to a "
        "folder that has them."
    )
