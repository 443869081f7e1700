"""Text files that have on each line a label and a series: the UCR archive's .tsv and the satellite series' .csv."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_ROWS = 20_000


@dataclass(frozen=True)
class LabelledRows:
    """Some of a file's series."""

    labels: np.ndarray
    """[n], numbers."""
    values: np.ndarray
    """[n, L]."""
    lines: Sequence[int]
    """The line of each series, counted from 1."""


def read_rows(file: Path, delimiter: str, *, length: int | None = None, rows: int = _ROWS) -> Iterator[LabelledRows]:
    """
    Read a file's series in pieces, so that memory holds no more than ``rows`` of them at a time.

    Blank lines are skipped. NaN counts as a number.

    :param delimiter: what stands between the label and the values, such as "," or a tab.
    :param length: how many values a line must have; None for as many as the first line has.
    :param rows: the number of series in a piece.
    :raises ValueError: for a line with another number of values, or with something that is not a number, naming the
        file and the line.
    """
    with file.open(encoding="utf-8", errors="replace") as text:  # what is no text is then no number either
        lines = ((number, line) for number, line in enumerate(text, start=1) if line.strip())
        while piece := list(itertools.islice(lines, rows)):
            if length is None:
                length = piece[0][1].count(delimiter)
            yield _parse(file, piece, delimiter, length)


def _parse(file: Path, piece: list[tuple[int, str]], delimiter: str, length: int) -> LabelledRows:
    try:
        table = np.loadtxt([line for _, line in piece], delimiter=delimiter, comments=None, ndmin=2)
    except ValueError:
        table = None
    if table is None or table.shape[1] != length + 1:
        for number, line in piece:
            _check_line(f"{file}, line {number}", line, delimiter, length)
        raise ValueError(f"{file}, lines {piece[0][0]} to {piece[-1][0]}: these are no rows of numbers.")
    return LabelledRows(table[:, 0], table[:, 1:], [number for number, _ in piece])


def _check_line(place: str, line: str, delimiter: str, length: int) -> None:
    fields = line.rstrip("\r\n").split(delimiter)
    if len(fields) != length + 1:
        raise ValueError(
            f"{place}: expected a label and {length} values, got {len(fields)} fields: the file is another, or was cut "
            "short; fetch it again."
        )
    for field in fields:
        try:
            float(field)
        except ValueError:
            raise ValueError(f"{place}: expected numbers, got {field!r}.") from None
