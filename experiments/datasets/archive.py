"""
Data sets of the UEA and UCR archive (timeseriesclassification.com), read from a folder or downloaded.

A data set NAME is looked for in the folder that the environment variable SIGKERNEL_TF_DATA names, and in its subfolder
NAME: as NAME_TRAIN.ts and NAME_TEST.ts, as the same two files in .arff or .tsv, or as NAME.npz (X_train [N, L, D],
y_train [N], X_test, y_test). If it is not there, `pooch` downloads the archive's NAME.zip once into the user's cache,
$XDG_CACHE_HOME/sigkernel_tf (on Linux ~/.cache/sigkernel_tf), and unpacks it there. The archive publishes no checksums,
so the SHA-256 of the first download is recorded beside the file, and every later use is checked against it.
"""

import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pooch

from .dataset import Dataset, Description, Series
from .delimited import read_rows
from .folder import VARIABLE, data_folders, not_found

URL = "https://timeseriesclassification.com/aeon-toolkit/{name}.zip"


@dataclass(frozen=True)
class Split:
    """The training or the test series as the archive has them."""

    X: Sequence[np.ndarray]
    """Series [L_i, D]."""
    labels: np.ndarray
    """[N], text or numbers."""
    file: Path
    """The file that the series were read from."""
    lines: Sequence[int] | None
    """The line of each series, counted from 1; None for a file that has no lines."""

    def where(self, number: int) -> str:
        """The file and the line of a series, for messages."""
        return f"{self.file}, " + (f"series {number}" if self.lines is None else f"line {self.lines[number]}")


@dataclass(frozen=True)
class RawData:
    """Both splits of a data set, not yet preprocessed."""

    train: Split
    test: Split
    source: str
    """Where they were read from, for the results' file."""


def load(name: str) -> RawData:
    """
    Read a data set of the archive from the data folder, or download it.

    :param name: the archive's name for it, such as "PenDigits".
    :raises DataNotFoundError: if it is not in the folder and cannot be downloaded.
    :raises ValueError: if a file is damaged, or if the archive's file is not the one that was downloaded before.
    """
    for place in data_folders(name):
        found = _read_folder(place, name)
        if found is not None:
            return found
    return _download(name)


def read_file(file: Path) -> Split:
    """
    Read one file of the archive, of the training or of the test series.

    :param file: .ts, .arff or .tsv.
    :raises ValueError: for another kind of file, and for a damaged one, naming its first line at fault.
    """
    if file.suffix not in _READERS:
        raise ValueError(f"{file} must be one of {', '.join(_READERS)}, got {file.suffix!r}.")
    return _READERS[file.suffix](file)


def load_prepared(
    description: Description,
    name: str,
    prepare: Callable[[str, Split, Any], tuple[Series, np.ndarray]],
    sizes_train: Any,
    sizes_test: Any,
) -> Dataset:
    """
    Read a data set of the archive as by :func:`load`, then check and preprocess both splits.

    :param prepare: gives the preprocessed series and their labels from what messages call the split, the split, and
        its sizes.
    :param sizes_train: what ``prepare`` needs to know of the published size of the training set.
    :param sizes_test: the same of the test set.
    """
    raw = load(name)
    X_train, y_train = prepare(f"{name}, training", raw.train, sizes_train)
    X_test, y_test = prepare(f"{name}, testing", raw.test, sizes_test)
    return Dataset(description, X_train, y_train, X_test, y_test, source=raw.source)


def nested_to_series(X: Any) -> list[np.ndarray]:
    """Series [L_i, D] from sktime's nested data frame, which has a column for each channel and series as its cells."""
    return [np.stack([cell.to_numpy(np.float64) for cell in row], axis=1) for row in X.itertuples(index=False)]


def _read_folder(folder: Path, name: str, source: str | None = None) -> RawData | None:
    """The data set, or None if the folder does not have it."""
    for suffix, read in _READERS.items():
        files = [folder / f"{name}_{split}{suffix}" for split in ("TRAIN", "TEST")]
        if all(file.is_file() for file in files):
            train, test = map(read, files)
            return RawData(train, test, source or f"{files[0]}, {files[1].name}")
    file = folder / f"{name}.npz"
    if file.is_file():
        train, test = _read_npz(file)
        return RawData(train, test, source or str(file))
    return None


def _read_npz(file: Path) -> tuple[Split, Split]:
    from sigkernel_tf.gp.data.checked_files import read_arrays  # imported here because TensorFlow is slow to import

    arrays, splits = read_arrays(file), []
    for split in ("train", "test"):
        X, y = (arrays.get(f"{name}_{split}", np.empty(())) for name in "Xy")
        if X.ndim != 3 or y.shape != X.shape[:1] or X.dtype.kind not in "iuf" or y.dtype.kind not in "iufUS":
            raise ValueError(
                f"{file}: expected numbers X_{split} [N, L, D] and labels y_{split} [N], got {X.dtype} {X.shape} and "
                f"{y.dtype} {y.shape}."
            )
        splits.append(Split(list(X.astype(np.float64)), y, file, None))
    return splits[0], splits[1]


def _read_ts(file: Path) -> Split:
    from sktime.datasets import load_from_tsfile  # imported here because it is slow, and --help should not be

    return _read_by_sktime(file, "#", lambda path: load_from_tsfile(path, return_data_type="nested_univ"))


def _read_arff(file: Path) -> Split:
    from sktime.datasets import load_from_arff_to_dataframe

    return _read_by_sktime(file, "%", load_from_arff_to_dataframe)


def _read_by_sktime(file: Path, comment: str, read: Callable[[str], tuple[Any, np.ndarray]]) -> Split:
    """Read a file by a reader of sktime's. If it cannot be read, the error says which line is at fault."""

    def read_series(path: str) -> tuple[list[np.ndarray], np.ndarray]:
        found = read(path)
        if not isinstance(found, tuple):
            raise ValueError("it has no labels")
        return nested_to_series(found[0]), found[1]

    try:
        X, labels = read_series(str(file))
    except Exception as error:  # sktime raises errors of many kinds for one fault
        fault = str(error) or type(error).__name__
        raise ValueError(f"{_first_fault(file, comment, read_series)}: it could not be read ({fault}).") from error
    lines = [number for number, _ in _data_lines(file, comment)]
    if not len(lines) == len(labels) == len(X):
        raise ValueError(f"{file}: expected a series in each of {len(lines)} lines, got {len(labels)} series.")
    return Split(X, labels, file, lines)


def _data_lines(file: Path, comment: str) -> list[tuple[int, str]]:
    """The lines after "@data" with their numbers, except for empty lines and comments."""
    text = file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    start = next((i for i, line in enumerate(text) if line.strip().lower() == "@data"), len(text)) + 1
    numbered = enumerate(text[start:], start=start + 1)
    return [(number, line) for number, line in numbered if line.strip() and not line.lstrip().startswith(comment)]


def _first_fault(file: Path, comment: str, read: Callable[[str], Any]) -> str:
    """
    The file and the line of the first series that cannot be read.

    Each line is tried in a file of its own, after the header and the first line, which sets the number of channels.
    """
    lines = _data_lines(file, comment)
    text = file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    header = text[: lines[0][0] - 1] if lines else text
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder) / file.name
        for i, (number, line) in enumerate(lines):
            tried.write_text("".join([*header, lines[0][1], line] if i else [*header, line]), encoding="utf-8")
            try:
                read(str(tried))
            except Exception:
                return f"{file}, line {number}"
    return str(file)


def _read_tsv(file: Path) -> Split:
    """Read the UCR archive's text: a line has a label, then a series; shorter series are filled up with NaN."""
    X: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    lines: list[int] = []
    for rows in read_rows(file, "\t"):
        for values in rows.values:
            known = np.flatnonzero(~np.isnan(values))
            X.append(values[: known[-1] + 1 if len(known) else 0, None])
        labels.append(rows.labels)
        lines.extend(rows.lines)
    return Split(X, np.concatenate(labels) if labels else np.empty(0), file, lines)


_READERS: dict[str, Callable[[Path], Split]] = {".ts": _read_ts, ".arff": _read_arff, ".tsv": _read_tsv}


def _unpacked(file: str, action: str, _: Any) -> list[str]:
    """
    The files of a zip file, unpacked beside it; a step of pooch's.

    The folder takes its name once it is whole, so that one from which a process was torn is not taken for the data.

    :param action: "fetch" where the zip file had been downloaded before.
    """
    folder = Path(f"{file}.unzip")
    if action != "fetch" or not folder.is_dir():
        with tempfile.TemporaryDirectory(prefix=folder.name, dir=folder.parent) as temporary:
            whole = Path(temporary) / folder.name
            with zipfile.ZipFile(file) as content:
                content.extractall(whole)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(whole, folder)
    return [str(path) for path in sorted(folder.rglob("*")) if path.is_file()]


def _download(name: str) -> RawData:
    """Read the data set from the archive's file, which is downloaded only once."""
    url, cache = URL.format(name=name), pooch.os_cache("sigkernel_tf")
    archive, recorded = cache / f"{name}.zip", cache / f"{name}.zip.sha256"
    known_hash = recorded.read_text().strip() if recorded.exists() else None
    pooch.get_logger().setLevel("WARNING")  # else it asks the user to write the hash into the code
    if not archive.exists():
        print(f"downloading {url}", file=sys.stderr)
    try:
        files = pooch.retrieve(url, known_hash, archive.name, cache, processor=_unpacked)
    except Exception as error:  # of damaged files, zipfile and zlib raise errors of many kinds
        if isinstance(error, ValueError) and known_hash is not None:
            raise ValueError(
                f"{url} has changed since it was first downloaded ({error}): delete {recorded} to use the new file."
            ) from error
        if not isinstance(error, OSError):  # the answer was something else, such as a page, and was kept
            archive.unlink(missing_ok=True)
        raise not_found(
            name,
            f"{name}_TRAIN.ts and {name}_TEST.ts (or .arff, .tsv, or {name}.npz)",
            f", and {url} could not be downloaded ({error}). Download it elsewhere, unpack it, and set {VARIABLE} to "
            "the folder with the files.",
        ) from error
    if known_hash is None:
        from sigkernel_tf.gp.data.checked_files import replacing  # imported here because TensorFlow is slow to import

        with replacing(recorded) as temporary:
            temporary.write_text(pooch.file_hash(archive) + "\n")
    for place in sorted({Path(file).parent for file in files}):
        found = _read_folder(place, name, source=f"{url} (in {archive})")
        if found is not None:
            return found
    raise ValueError(
        f"{archive} holds no {name}_TRAIN.ts and {name}_TEST.ts: delete it and {recorded.name}, or set {VARIABLE} to a "
        "folder that has them."
    )
