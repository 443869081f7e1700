"""
Data sets of the UEA and UCR archive (timeseriesclassification.com), from a folder or by download.

A data set NAME is looked for in the folder that the environment variable SIGKERNEL_TF_DATA names, and in its subfolder
NAME, as NAME_TRAIN.ts and NAME_TEST.ts, as the same in .arff or .tsv, or as NAME.npz (X_train [N, L, D], y_train [N],
X_test, y_test). Where it is not there, the archive's NAME.zip is downloaded once into the user's cache,
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import Where, nowhere
from .delimited import read_rows

VARIABLE = "SIGKERNEL_TF_DATA"
URL = "https://timeseriesclassification.com/aeon-toolkit/{name}.zip"
_TIMEOUT = 60  # seconds without an answer


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
            f"{name} was not found: {looked} {name}_TRAIN.ts and {name}_TEST.ts (or .arff, .tsv, or {name}.npz), and "
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
    wanted = {f"{name}_{split}{suffix}" for split in ("TRAIN", "TEST") for suffix in _READERS}
    with zipfile.ZipFile(archive) as content:
        for member in content.namelist():
            if Path(member).name in wanted:
                with content.open(member) as source, open(folder / Path(member).name, "wb") as target:
                    shutil.copyfileobj(source, target)
