"""Data that stay in their files: what is read, in which order, and that it is not read whole."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from damage import damaged, value_or_error

from benchmarks.timing import peak_memory
from sigkernel_tf.gp import (
    TrainingOptions,
    flatten_paths,
    path_dataset,
    predict_in_batches,
    read_tfrecords,
    train,
    write_tfrecords,
)
from sigkernel_tf.gp.data.datasets import spooled


class OnDisk:
    """An array of which only a few rows can be read at a time, in ascending order, as h5py offers it."""

    def __init__(self, array: np.ndarray, most: int) -> None:
        self._array, self._most = array, most
        self.shape, self.dtype, self.read = array.shape, array.dtype, 0

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        if not isinstance(rows, slice):
            assert (np.diff(rows) > 0).all()
        part = self._array[rows]
        assert len(part) <= self._most
        self.read += len(part)
        return part

    def __array__(self, *_: object) -> np.ndarray:
        raise AssertionError("the whole array was asked for")


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.uniform(size=(60, 1))
    return X, np.sin(6 * X) + 0.05 * rng.normal(size=(60, 1))


OPTIONS = TrainingOptions(iterations=4, batch_size=8, learning_rate=0.05, monitor_every=4, progress=False)


def trained(data: object, options: TrainingOptions = OPTIONS) -> np.ndarray:
    Z = np.linspace(0.0, 1.0, 5)[:, None]
    model = gpflow.models.SVGP(gpflow.kernels.RBF(), gpflow.likelihoods.Gaussian(), Z)
    train(model, data, options)  # type: ignore[arg-type]
    return np.concatenate([model.q_mu.numpy(), model.q_sqrt.numpy()[0]], axis=1)


def test_training_is_the_same_from_every_kind_of_file(data: tuple, tmp_path: Path) -> None:
    """A dataset's rows are trained on from memory-mapped files."""
    expected = trained(data)
    write_tfrecords(tmp_path / "records", data)
    for kind in (read_tfrecords(tmp_path / "records"), tf.data.Dataset.from_tensor_slices(data)):
        np.testing.assert_array_equal(trained(kind), expected)


@pytest.mark.parametrize("column", [True, False])
@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("batch_size", [None, 1, 4, 60])
@pytest.mark.parametrize("shapes_known", [True, False])
def test_elements_of_a_dataset(
    column: bool, flat: bool, batch_size: int | None, shapes_known: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Rows and batches, paths flattened or not, outputs in a column or not."""
    X, Y = rng.normal(size=(9, 4, 3)), rng.integers(0, 3, (9, 1))
    source = (X.reshape(9, 12) if flat else X), (Y if column else Y[:, 0])
    dataset = tf.data.Dataset.from_tensor_slices(source)
    if batch_size is not None:
        dataset = dataset.batch(batch_size)
    if not shapes_known:
        parts = list(dataset.as_numpy_iterator())
        dataset = tf.data.Dataset.from_generator(lambda: iter(parts), output_types=(tf.float64, tf.int64))
    X_found, Y_found = spooled(dataset, tmp_path)
    np.testing.assert_array_equal(X_found, X.reshape(9, 12))
    np.testing.assert_array_equal(Y_found, Y)


def test_training_reads_only_minibatches(data: tuple) -> None:
    """Of a long array, training reads what the steps of one call need, and the validation split in batches."""
    X, Y = (np.tile(array, (100, 1)) for array in data)
    options = TrainingOptions(
        iterations=3, batch_size=8, validation_fraction=0.01, monitor_every=3, progress=False, patience=5
    )
    lazy = OnDisk(X, 500)
    trained((lazy, Y), options)
    assert lazy.read < 500


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Inputs of 32 MB come by batches, and predictions go into files."""
    setup = f"""
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, gpflow
from sigkernel_tf.gp import predict_in_batches
X = np.lib.format.open_memmap({str(tmp_path / "X.npy")!r}, "w+", float, (100_000, 40))
del X
model = gpflow.models.SVGP(gpflow.kernels.RBF(), gpflow.likelihoods.Gaussian(), np.zeros((2, 40)))
predict_in_batches(model, np.zeros((4000, 40)), batch_size=2000)
X = np.load({str(tmp_path / "X.npy")!r}, mmap_mode="r")
out = [np.lib.format.open_memmap({str(tmp_path / "out")!r} + str(i), "w+", float, (len(X), 1)) for i in range(2)]
def batches():
    for start in range(0, len(X), 2000):
        yield np.array(X[start:start + 2000])
"""
    # The mapped file's own 32 MB count as resident while there is room; a copy of them is what must not be made.
    assert peak_memory(setup, "predict_in_batches(model, batches(), out=out)") < 32 + 24


A_MILLION_PATHS = """
import json, os, sys, threading
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import gpflow
import numpy as np
from sigkernel_tf.gp import SigGPDE, predict_in_batches

def resident(*names):  # in megabytes
    lines = open("/proc/self/status").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(names)) / 1024

def own():  # what is no file's
    return resident("RssAnon", "RssShmem")

def watch():
    while not done.wait(0.01):
        seen.append(own())

folder = sys.argv[1]
X = np.load(folder + "/X.npy", mmap_mode="r")
model = SigGPDE(3, 13, likelihood=gpflow.likelihoods.Gaussian(0.1), num_latent_gps=2)
model.q_mu.assign(np.random.default_rng(1).normal(size=(13, 2)))
out = [np.lib.format.open_memmap(f"{folder}/{i}.npy", "w+", float, (len(X), 2)) for i in range(2)]
predict_in_batches(model, X[:5000], batch_size=1000)  # what the first calls need, graphs and threads' memory
done, seen = threading.Event(), []
open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew; getrusage's is the parent's, if that was higher
before, whole = own(), resident("VmRSS")
watcher = threading.Thread(target=watch)
watcher.start()
predict_in_batches(model, X, batch_size=1000, out=out)
done.set()
watcher.join()
grown = {"own": max(seen) - before, "whole": resident("VmHWM") - whole}
rows = np.linspace(0, len(X) - 1, 50).astype(int)
error = max(np.abs(part[rows] - expected).max() for part, expected in zip(out, model.predict_y(X[rows])))
print(json.dumps({**grown, "error": float(error), "smallest variance": float(out[1].min())}))
"""


@pytest.mark.slow
def test_a_million_paths_are_predicted_with_flat_memory(tmp_path: Path) -> None:
    """
    From a memory-mapped file of 240 MB, into two of 16 MB.

    Pages of mapped files count as resident until the system wants the room for something else; the process' own memory
    must not grow with the data at all, and the whole by no more than the files.
    """
    N, width, step = 1_000_000, 10 * 3, 100_000
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", float, (N, width))
    rng = np.random.default_rng(0)
    for start in range(0, N, step):
        X[start : start + step] = rng.normal(size=(step, 10, 3)).cumsum(axis=1).reshape(step, width) / 4
    megabytes = (X.nbytes + 2 * N * 2 * 8) / 2**20
    del X
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", A_MILLION_PATHS, str(tmp_path)], check=True, cwd=root, capture_output=True, text=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["own"] < 24, found
    assert found["whole"] < megabytes + 24, found
    assert found["error"] < 1e-12, found
    assert found["smallest variance"] > 0.1, found  # every row was written


def test_tfrecords_hold_what_was_written(tmp_path: Path, walks: Callable, rng: np.random.Generator) -> None:
    X, Y = flatten_paths(walks(11, 5, 2)), rng.integers(0, 3, (11, 1))
    path = tmp_path / "records"
    assert write_tfrecords(path, (part for part in [(X[:4], Y[:4]), (X[4:], Y[4:])])) == 11
    x, y = read_tfrecords(path)
    for column, array in ((x, X), (y, Y)):
        assert column.shape == array.shape
        assert column.dtype == array.dtype
        np.testing.assert_array_equal(column[2:9], array[2:9])
        np.testing.assert_array_equal(column[np.array([3, 10])], array[[3, 10]])
        np.testing.assert_array_equal(column[7], array[7])
        assert column[5:5].shape == (0, *array.shape[1:])
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in "xy"}
    by_tensorflow = tf.data.TFRecordDataset(str(path)).map(
        lambda record: tf.io.parse_tensor(tf.io.parse_single_example(record, features)["x"], tf.float64)
    )
    np.testing.assert_array_equal(list(by_tensorflow.as_numpy_iterator()), X)


def test_bad_records(tmp_path: Path, data: tuple) -> None:
    X, Y = data
    path = tmp_path / "records"
    with pytest.raises(ValueError, match="rows of one width and dtype"):
        write_tfrecords(path, iter([(X, Y), (np.zeros((2, 3)), Y[:2])]))
    with pytest.raises(ValueError, match="at least one row"):
        write_tfrecords(path, iter([]))
    write_tfrecords(path, data)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=f"record 59, .* breaks off at byte {len(content) - 1}"):
        read_tfrecords(path)
    with pytest.raises(IsADirectoryError):
        read_tfrecords(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        write_tfrecords(tmp_path / "no such folder" / "records", data)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"something else")
    with pytest.raises(ValueError, match="no file of write_tfrecords"):
        read_tfrecords(path)


def test_damaged_records(tmp_path: Path, data: tuple) -> None:
    """Every flipped bit is seen, in lengths, in checksums and in the data; the message has the file and the record."""
    path = tmp_path / "records"
    write_tfrecords(path, data)
    whole = path.read_bytes()
    length = len(whole) // 60
    for how, content in damaged(whole, flips=300, cuts=30):
        path.write_bytes(content)
        place = len(content) if how.startswith("cut") else int(how.rpartition(" ")[2])
        if content:
            _, error = value_or_error(lambda: read_tfrecords(path))
            expected = f"{path} must be a whole TFRecord file, not compressed, but record {place // length}, which"
            assert error is not None, how
            assert error.startswith(expected), how
    path.write_bytes(whole)
    np.testing.assert_array_equal(read_tfrecords(path)[0][:], data[0])


def test_records_are_replaced_in_one_step(tmp_path: Path, data: tuple) -> None:
    """What cannot be written leaves the old file; a file can be written from its own rows."""
    path = tmp_path / "records"
    write_tfrecords(path, data)
    whole = path.read_bytes()
    with pytest.raises(ValueError, match="rows of one width"):
        write_tfrecords(path, iter([data, (np.zeros((2, 3)), data[1][:2])]))
    write_tfrecords(path, read_tfrecords(path))
    assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == ["records"]


def test_path_dataset_reads_files(data: tuple, tmp_path: Path) -> None:
    """Memory-mapped arrays and TFRecord files give the batches of the arrays."""
    for name, array in zip("XY", data, strict=True):
        np.save(tmp_path / name, array)
    mapped = tuple(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "XY")
    write_tfrecords(tmp_path / "records", data)
    expected = list(path_dataset(*data, batch_size=16, seed=3).as_numpy_iterator())
    for kind in (mapped, read_tfrecords(tmp_path / "records")):
        found = list(path_dataset(*kind, batch_size=16, seed=3).as_numpy_iterator())
        for batch, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(batch[0], other[0])
            np.testing.assert_array_equal(batch[1], other[1])


@pytest.mark.parametrize("seed", [None, 3])
def test_path_dataset_passes_over_the_rows(seed: int | None, data: tuple) -> None:
    batches = list(path_dataset(*data, batch_size=16, seed=seed).as_numpy_iterator())
    assert [len(x) for x, _ in batches] == [16, 16, 16, 12]
    X = np.concatenate([x for x, _ in batches])
    np.testing.assert_array_equal(np.sort(X, axis=0), np.sort(data[0], axis=0))
    assert np.array_equal(X, data[0]) == (seed is None)
    endless = path_dataset(*data, batch_size=16, seed=seed, repeat=True).take(6).as_numpy_iterator()
    later = path_dataset(*data, batch_size=16, seed=seed, repeat=True, first=4).take(2).as_numpy_iterator()
    for (x, y), (x_later, y_later) in zip(list(endless)[4:], later, strict=True):
        assert len(x) == 16
        np.testing.assert_array_equal(x, x_later)
        np.testing.assert_array_equal(y, y_later)


def test_datasets_that_cannot_be_trained_on(data: tuple) -> None:
    dataset = tf.data.Dataset.from_tensor_slices(data)
    with pytest.raises(ValueError, match=r"leave out repeat\(\)"):
        trained(dataset.repeat())
    with pytest.raises(TypeError, match="pairs"):
        trained(tf.data.Dataset.from_tensor_slices(data[0]))
    with pytest.raises(ValueError, match="empty"):
        trained(dataset.take(0))
    of_two_widths = tf.data.Dataset.from_generator(
        lambda: ((np.zeros(8 if i > 5 else 6), np.zeros(1)) for i in range(9)), output_types=(tf.float64, tf.float64)
    )
    with pytest.raises(ValueError, match=r"rows of one width, 6 and 1 as the first, got \[8, 1\] after 6 rows"):
        trained(of_two_widths)
    unequal = tf.data.Dataset.from_tensors((data[0], data[1][:-1]))
    with pytest.raises(ValueError, match="batches of as many rows in X as in Y, got shapes"):
        trained(unequal)


def test_predictions_go_into_files(tmp_path: Path, data: tuple) -> None:
    model = gpflow.models.SVGP(gpflow.kernels.RBF(), gpflow.likelihoods.Gaussian(), data[0][:4])
    out = tuple(np.lib.format.open_memmap(tmp_path / f"{i}.npy", "w+", float, (60, 1)) for i in range(2))
    predict_in_batches(model, OnDisk(data[0], 16), batch_size=16, out=out)
    for i, expected in enumerate(model.predict_y(data[0])):
        np.testing.assert_allclose(np.load(tmp_path / f"{i}.npy"), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="out must have at least 16 rows"):
        predict_in_batches(model, data[0], batch_size=16, out=(np.zeros((9, 1)), np.zeros((9, 1))))
