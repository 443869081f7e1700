"""Files that are replaced in one step, and whose damage is seen."""

import json
from pathlib import Path

import numpy as np
import pytest
from damage import damaged, value_or_error

from sigkernel_tf.gp.data.checked_files import read_arrays, read_json, replacing, write_arrays, write_json

CONTENT = {"name": "ä", "values": [1.5, None, float("inf")], "nested": {"text": "a b", "flag": True, "10": 1, "9": 2}}


def test_json_is_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {**CONTENT, "tuple": (1, 2), "numbers": {10: "x", 9: "y"}})
    assert read_json(file) == {**CONTENT, "tuple": [1, 2], "numbers": {"10": "x", "9": "y"}}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_damaged_json(tmp_path: Path) -> None:
    """Every byte of the file: what is read is right, or an error names the file. White space is no damage."""
    file = tmp_path / "a.json"
    write_json(file, CONTENT)
    seen, whole = 0, file.read_bytes()
    for how, content in damaged(whole, flips=len(whole), cuts=50):
        file.write_bytes(content)
        found, error = value_or_error(lambda: read_json(file))
        if error is None:  # the key of the digest is all that may be lost
            assert {name: found.get(name) for name in CONTENT} == CONTENT, how
        else:
            assert "a.json is damaged" in error
            seen += 1
    assert seen > 0.7 * len(whole)


@pytest.mark.parametrize("text", ["[]", "3", '"text"', "null", "[" * 100_000, ""])
def test_json_of_another_shape(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="a.json is damaged"):
        read_json(tmp_path / "a.json")


def test_json_that_a_user_wrote(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(CONTENT))
    assert read_json(tmp_path / "a.json") == CONTENT


@pytest.mark.parametrize("save", [write_arrays, np.savez])
def test_damaged_arrays(tmp_path: Path, save, rng: np.random.Generator) -> None:
    """What is read is right, or an error names the file."""
    file, arrays = tmp_path / "a.npz", {"X": rng.normal(size=(3, 2)), "y": np.array(["a", "b"])}
    save(file, **arrays)
    seen, whole = 0, file.read_bytes()
    for how, content in damaged(whole, flips=400, cuts=50):
        file.write_bytes(content)
        found, error = value_or_error(lambda: read_arrays(file))
        if error is not None:
            assert "a.npz is no .npz file of arrays, or is damaged" in error
            seen += 1
        else:
            assert found.keys() == arrays.keys(), how
            for name, array in arrays.items():
                np.testing.assert_array_equal(found[name], array, err_msg=how)
    assert seen > 200


def test_files_that_are_not_there_are_not_called_damaged(tmp_path: Path) -> None:
    for read in (read_json, read_arrays):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")


def test_a_file_stays_until_it_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("old")

    def write(text: str) -> None:
        with replacing(file) as first, replacing(file) as second:  # as two processes do
            first.write_text("half")
            second.write_text(text)
            assert file.read_text() == "old"
            if text == "bad":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write("bad")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert file.read_text() == "old"
    write("new")
    assert file.read_text() == "half"  # the first block ends last
