"""Data in several files, of which each process opens those that it needs."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from training_toys import toy_data, toy_model, toy_options

from sigkernel_tf.gp import fit_least_squares, read_shards, train, write_shards
from sigkernel_tf.gp.data import as_rows, parquet, shards


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(10, 3)), np.arange(10)[:, None]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are opened."""
    names: list[str] = []
    read = shards.read_tfrecords

    def counted(path: Path) -> tuple:
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(shards, "read_tfrecords", counted)
    return names


def batches(data: tuple[np.ndarray, np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches that end elsewhere than the shards."""
    for rows in (slice(0, 1), slice(1, 8), slice(8, 8), slice(8, 10)):
        yield data[0][rows], data[1][rows]


@pytest.fixture(params=["tfrecord", "parquet"])
def kind(request: pytest.FixtureRequest) -> str:
    """The format of the files."""
    if request.param == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    return request.param


@pytest.mark.parametrize("size", [1, 3, 5, 10, 100])
def test_rows_of_shards(data: tuple, tmp_path: Path, size: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_ROWS_IN_GROUP", 2)
    for source in (data, batches(data)):
        assert write_shards(tmp_path, source, rows_per_shard=size, format=kind) == -(-10 // size)
        for column, expected in zip(read_shards(tmp_path), data, strict=True):
            assert (column.shape, column.dtype, len(column)) == (expected.shape, expected.dtype, 10)
            for rows in (slice(2, 9), slice(None, None, 4), np.array([0, 4, 5, 9]), np.array([], int), 7, -1):
                np.testing.assert_array_equal(column[rows], expected[rows])
        with pytest.raises(IndexError, match="from 0 to 9"):
            read_shards(tmp_path)[0][np.array([3, 10])]


def test_a_shard_is_opened_when_it_is_needed(data: tuple, tmp_path: Path, opened: list[str]) -> None:
    write_shards(tmp_path, data, rows_per_shard=2)
    X, Y = read_shards(tmp_path)
    _ = X[4:7], Y[:], X[5], as_rows((X, Y)).digest()
    assert opened == ["shard-00002.tfrecord", "shard-00003.tfrecord"]


def test_training_and_fits_take_shards(tmp_path: Path, kind: str) -> None:
    X, Y = toy_data()
    write_shards(tmp_path, (X, Y), rows_per_shard=7, format=kind)
    here, there = toy_model(), toy_model()
    train(here, (X, Y), toy_options())
    train(there, read_shards(tmp_path), toy_options())
    np.testing.assert_array_equal(here.q_mu, there.q_mu)
    fits = [fit_least_squares(toy_model(), *source).weights for source in ((X, Y), read_shards(tmp_path))]
    np.testing.assert_array_equal(*fits)


def test_shards_that_are_missing_or_damaged_are_named(data: tuple, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no shards.json, which write_shards writes last"):
        read_shards(tmp_path)
    write_shards(tmp_path, data, rows_per_shard=4)
    second = tmp_path / "shard-00001.tfrecord"
    content = second.read_bytes()
    second.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=rf"shard {second} must have {len(content)} bytes, got {len(content) - 1}: it"):
        read_shards(tmp_path)
    second.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    X, _ = read_shards(tmp_path)
    with pytest.raises(ValueError, match=f"{second} must be a whole TFRecord file.* record 3.* damaged"):
        X[7]
    labels = tmp_path / "Y.bin"
    saved = labels.read_bytes()
    labels.write_bytes(bytes([saved[0] ^ 1]) + saved[1:])
    second.write_bytes(content)
    with pytest.raises(ValueError, match=f"{labels} is damaged, for its SHA-256 differs"):
        read_shards(tmp_path)
    second.unlink()
    with pytest.raises(FileNotFoundError, match=f"shard {second} is missing: copy"):
        read_shards(tmp_path)
    (tmp_path / "shards.json").write_text('{"shards": [{}]}')
    with pytest.raises(ValueError, match="shards.json is damaged"):
        read_shards(tmp_path)


def test_rows_of_several_widths_are_refused(data: tuple, tmp_path: Path) -> None:
    X, Y = data
    with pytest.raises(ValueError, match="rows of one width and dtype"):
        write_shards(tmp_path, iter([(X, Y), (X[:, :2], Y)]), rows_per_shard=10)
    with pytest.raises(ValueError, match="at least one row, got none"):
        write_shards(tmp_path, iter([]))
    assert not (tmp_path / "shards.json").exists()


def test_parquet_files_that_are_missing_or_damaged_are_named(data: tuple, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    write_shards(tmp_path, data, rows_per_shard=4, format="parquet")
    second = tmp_path / "shard-00001.parquet"
    content = second.read_bytes()
    second.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=rf"shard {second} must have {len(content)} bytes, got {len(content) - 1}: it"):
        read_shards(tmp_path)
    values = data[0][4:8].tobytes()[8:40]
    at = content.find(values[8:16])
    assert at > 0  # a number, as it is in the file
    for damaged, fault in (
        (content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], "checksum"),
        (bytes(len(content)), "magic bytes"),
    ):
        second.write_bytes(damaged)
        X, _ = read_shards(tmp_path)
        np.testing.assert_array_equal(X[:4], data[0][:4])
        with pytest.raises(ValueError, match=f"{second} must be a whole Parquet file.*{fault}.*: copy it"):
            X[5]
    second.unlink()
    with pytest.raises(FileNotFoundError, match=f"shard {second} is missing: copy"):
        read_shards(tmp_path)


def test_another_format_and_no_pyarrow(data: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="format must be one of tfrecord, parquet, got 'csv'"):
        write_shards(tmp_path, data, format="csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"Parquet files need pyarrow: pip install .sigkernel-tf\[parquet\]"):
        write_shards(tmp_path, data, format="parquet")
    assert not (tmp_path / "shards.json").exists()
