"""Reading the archive's file formats, from a folder and by download from a server on this machine."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from arff_files import TEST_ARFF, TRAIN_ARFF

from experiments.datasets import DataNotFoundError, archive
from experiments.datasets.folder import VARIABLE

HEADER = """#A comment on the data
@problemName Toy
@timeStamps false
@missing false
@univariate false
@dimensions 2
@equalLength {equal}
@classLabel true a b
@data
"""
TRAIN_TS = HEADER.format(equal="false") + "1.0,2.0,3.0:4.0,5.0,6.0:a\n7.0,8.0:9.0,-1.5:b\n"
TEST_TS = HEADER.format(equal="true") + "0.5,1e-3:2,3:b\n"


@pytest.fixture
def zipped(server: Path) -> Path:
    """Toy.zip as the archive has it, with more in it than is wanted."""
    file = server / "Toy.zip"
    with zipfile.ZipFile(file, "w") as content:
        content.writestr("Toy.txt", "About it.")
        content.writestr("__MACOSX/._Toy_TRAIN.ts", "rubbish")
        content.writestr("Toy/Toy_TRAIN.ts", TRAIN_TS)
        content.writestr("Toy/Toy_TEST.ts", TEST_TS)
        content.writestr("../Toy_EVIL.ts", "rubbish")
    return file


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "sigkernel_tf"


def write(folder: Path, **contents: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (folder / name.replace("__", ".")).write_text(text)


def assert_toy_ts(raw: archive.RawData) -> None:
    np.testing.assert_array_equal(raw.train.X[0], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(raw.train.X[1], [[7, 9], [8, -1.5]])
    np.testing.assert_array_equal(raw.test.X[0], [[0.5, 2], [1e-3, 3]])
    assert list(raw.train.labels) == ["a", "b"]
    assert list(raw.test.labels) == ["b"]


@pytest.mark.parametrize("subfolder", ["", "Toy"])
def test_ts_of_any_length_from_the_folder(tmp_path: Path, subfolder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data" / subfolder, Toy_TRAIN__ts=TRAIN_TS, Toy_TEST__ts=TEST_TS)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "data"))
    raw = archive.load("Toy")
    assert_toy_ts(raw)
    assert raw.source.startswith(str(tmp_path / "data" / subfolder / "Toy_TRAIN.ts"))


def test_one_file_is_read_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "Toy_TEST.ts"
    file.write_text(TEST_TS)
    split = archive.read_file(file)
    np.testing.assert_array_equal(split.X, [[[0.5, 2.0], [1e-3, 3.0]]])
    assert list(split.labels) == ["b"]
    with pytest.raises(ValueError, match=r"Toy_TEST.csv must be one of .ts, .arff, .tsv, got '.csv'"):
        archive.read_file(tmp_path / "Toy_TEST.csv")


def test_arff_from_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, Toy_TRAIN__arff=TRAIN_ARFF, Toy_TEST__arff=TEST_ARFF)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    raw = archive.load("Toy")
    np.testing.assert_array_equal(raw.train.X[0], [[1, 4], [2, 5]])
    np.testing.assert_array_equal(raw.train.X[1], [[7, 9], [8, -1.5]])
    np.testing.assert_array_equal(raw.test.X[0], [[0.5, 2], [1e-3, 3]])
    assert list(raw.train.labels) == ["a", "b"]


def test_npz_from_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    np.savez(tmp_path / "Toy.npz", X_train=X, y_train=[1, 0], X_test=X[:1], y_test=[1])
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    raw = archive.load("Toy")
    np.testing.assert_array_equal(np.stack(raw.train.X), X)
    assert raw.train.X[0].dtype == np.float64
    assert list(raw.train.labels) == [1, 0]


def test_download_is_kept_and_used_again(zipped: Path, cache: Path, capsys: pytest.CaptureFixture) -> None:
    raw = archive.load("Toy")
    assert_toy_ts(raw)
    assert archive.URL.format(name="Toy") in raw.source
    assert capsys.readouterr().err == f"downloading {archive.URL.format(name='Toy')}\n"
    zipped.unlink()
    assert_toy_ts(archive.load("Toy"))
    assert capsys.readouterr().err == ""
    assert sorted(file.name for file in cache.iterdir()) == ["Toy.zip", "Toy.zip.sha256", "Toy.zip.unzip"]
    assert not list(cache.parent.glob("*EVIL*"))  # nothing is written outside the cache
    assert (cache / "Toy.zip.sha256").read_text().strip() == hashlib.sha256(
        (cache / "Toy.zip").read_bytes()
    ).hexdigest()


def test_folder_goes_before_the_download(tmp_path: Path, zipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data", Toy_TRAIN__ts=TRAIN_TS.replace("7.0", "70.0"), Toy_TEST__ts=TEST_TS)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "data"))
    assert archive.load("Toy").train.X[1][0, 0] == 70.0
    monkeypatch.setenv(VARIABLE, str(tmp_path / "elsewhere"))
    assert archive.load("Toy").train.X[1][0, 0] == 7.0


def test_a_damaged_download_is_fetched_again(zipped: Path, cache: Path) -> None:
    archive.load("Toy")
    whole = (cache / "Toy.zip").read_bytes()
    (cache / "Toy.zip").write_bytes(whole[:-1])
    assert_toy_ts(archive.load("Toy"))
    assert (cache / "Toy.zip").read_bytes() == whole


def test_unpacking_that_was_interrupted_is_begun_again(
    zipped: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a text file is text like any other: fewer series would be read without a word."""

    def interrupted(_: zipfile.ZipFile, folder: Path) -> None:
        write(folder / "Toy", Toy_TRAIN__ts=TRAIN_TS.replace("7.0,8.0:9.0,-1.5:b\n", ""), Toy_TEST__ts=TEST_TS)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extractall", interrupted)
        with pytest.raises(KeyboardInterrupt):
            archive.load("Toy")
    assert [file.name for file in cache.iterdir()] == ["Toy.zip"]
    assert_toy_ts(archive.load("Toy"))


def test_another_file_than_the_first_download_is_refused(zipped: Path, cache: Path) -> None:
    archive.load("Toy")
    (cache / "Toy.zip").unlink()
    with zipfile.ZipFile(zipped, "a") as content:
        content.writestr("More.txt", "More.")
    with pytest.raises(ValueError, match=r"Toy.zip has changed since .* delete .*Toy.zip.sha256 to use the new file"):
        archive.load("Toy")
    (cache / "Toy.zip.sha256").unlink()
    assert_toy_ts(archive.load("Toy"))


def test_answer_that_is_no_zip_is_not_kept(zipped: Path, cache: Path) -> None:
    zipped.write_text("<html>Not found</html>")
    with pytest.raises(DataNotFoundError, match=r"could not be downloaded \(File is not a zip file\)"):
        archive.load("Toy")
    assert list(cache.iterdir()) == []


def test_download_without_the_splits(zipped: Path) -> None:
    with zipfile.ZipFile(zipped, "w") as content:
        content.writestr("Toy.txt", "About it.")
    with pytest.raises(ValueError, match="holds no Toy_TRAIN.ts and Toy_TEST.ts: delete it and Toy.zip.sha256"):
        archive.load("Toy")


@pytest.mark.parametrize("folder", [None, "elsewhere"])
def test_not_found_anywhere_names_both_ways(server: Path, folder: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if folder:
        monkeypatch.setenv(VARIABLE, folder)
    with pytest.raises(DataNotFoundError) as error:
        archive.load("Toy")
    message = str(error.value)
    assert ("SIGKERNEL_TF_DATA=elsewhere has no" if folder else "SIGKERNEL_TF_DATA is not set") in message
    assert "/Toy.zip could not be downloaded (404 Client Error" in message
    assert "set SIGKERNEL_TF_DATA to the folder" in message
