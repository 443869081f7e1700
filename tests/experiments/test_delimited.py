"""Text files with a series a line: what is read, in pieces, and what is refused, with its line."""

from pathlib import Path

import numpy as np
import pytest

from experiments.datasets.delimited import read_rows


def write(folder: Path, text: str) -> Path:
    file = folder / "series.csv"
    file.write_text(text)
    return file


def test_rows_labels_and_lines(tmp_path: Path) -> None:
    (rows,) = read_rows(write(tmp_path, "3,0.5,-1e-3\n\n 1, 2,nan\n"), ",", length=2)
    assert rows.labels.tolist() == [3, 1]
    np.testing.assert_array_equal(rows.values, [[0.5, -1e-3], [2, np.nan]])
    assert list(rows.lines) == [1, 3]


@pytest.mark.parametrize("rows", [1, 2, 3, 33])
def test_pieces_are_the_whole(tmp_path: Path, rows: int, rng: np.random.Generator) -> None:
    table = rng.normal(size=(33, 4))
    file = write(tmp_path, "".join("\t".join(map(repr, row)) + "\n" for row in table.tolist()))
    pieces = list(read_rows(file, "\t", rows=rows))
    assert all(len(piece.values) <= rows for piece in pieces)
    np.testing.assert_array_equal(np.concatenate([piece.values for piece in pieces]), table[:, 1:])
    np.testing.assert_array_equal(np.concatenate([piece.labels for piece in pieces]), table[:, 0])
    assert [line for piece in pieces for line in piece.lines] == list(range(1, 34))


@pytest.mark.parametrize("rows", [1, 100])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n1,2\n", "line 2: expected a label and 2 values, got 2 fields"),
        ("1,2,3\n\n1,2,3,4\n", "line 3: expected a label and 2 values, got 4 fields"),
        ("1,2,3\n1,two,3\n", "line 2: expected numbers, got 'two'"),
        ("1,2,3\n1,,3\n", "line 2: expected numbers, got ''"),
        ("1,2\n1,2\n", "line 1: expected a label and 2 values, got 2 fields"),
        ("1\t2\t3\n", "line 1: expected a label and 2 values, got 1 fields"),
        ("1,2,3\n1,2,3\n1,2", "line 3: expected a label and 2 values, got 2 fields: .* cut short"),
    ],
)
def test_faults_have_a_line(tmp_path: Path, text: str, message: str, rows: int) -> None:
    with pytest.raises(ValueError, match=rf"series.csv, {message}"):
        list(read_rows(write(tmp_path, text), ",", length=2, rows=rows))


def test_the_first_line_sets_the_length(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 2: expected a label and 1 values, got 3 fields"):
        list(read_rows(write(tmp_path, "1,2\n1,2,3\n"), ","))


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    assert list(read_rows(write(tmp_path, "\n"), ",")) == []
