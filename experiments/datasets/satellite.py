"""A million satellite image time series, of which Crop is a part, read in pieces; and a stand-in for them."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .crop import CLASSES, LENGTH, MISSING
from .dataset import Dataset, Defaults, Description, labels_from
from .delimited import read_rows
from .folder import data_folders, not_found
from .preprocessing import prepare_each
from .synthetic import vegetation_indices

NUM_TRAIN, NUM_TEST = 900_000, 100_000
FOLD = "SITS1M_fold1"
DESCRIPTION = Description(
    name="satellite",
    summary="24 kinds of land by 46 satellite images, 900000 + 100000 series (Petitjean's, from SIGKERNEL_TF_DATA)",
    preprocessing=(
        "time channel from 0 to 1; then each channel of each series standardised by itself, as tslearn does; float32"
    ),
    # Appendix B.2 has minibatches of 200, and holds out 2% of the training series for validation. The paper's table 3
    # and figure 3 give no numbers for this data set.
    defaults=Defaults(num_inducing=400, iterations=5000, batch_size=200, lengthscale=2.0, validation_fraction=0.02),
    channels=("time", "vegetation index"),
)
STAND_IN = dataclasses.replace(
    DESCRIPTION,
    name="satellite_stand_in",
    summary="STAND-IN for satellite: 900000 + 100000 synthetic curves of 24 kinds, of its shape; no download",
    stands_in_for="satellite",
)
_PIECE = 20_000  # series that are prepared at a time


def load() -> Dataset:
    """
    Petitjean's satellite image time series (SITS_2006_NDVI_C), fold 1: 900,000 for training, 100,000 for testing.

    A vegetation index (NDVI) of pixels of 8 m by 8 m in 46 images of the FORMOSAT-2 satellite in 2006, 24 classes
    (Petitjean, Inglada & Gançarski 2012; Tan, Webb & Petitjean 2017). The files SITS1M_fold1_TRAIN.csv and
    SITS1M_fold1_TEST.csv have no header. A line has the class of a series, from 1 to 24, then its 46 values, with
    commas between them. The files are looked for in the folder that SIGKERNEL_TF_DATA names, and in its subfolders
    SITS1M_fold1 and SITS_2006_NDVI_C/SITS1M_fold1. The server that the paper names is closed, so nothing is downloaded.

    They are read in pieces into one float32 array, 331 MB for training, and preprocessed as in the paper's appendix
    B.1: see :func:`.preprocessing.prepare_each`.

    :raises DataNotFoundError: if the files are not there.
    :raises ValueError: for a line of another form, an unknown class or a missing value, naming the file and the line;
        and if series are missing.
    """
    train, test = _files()
    X_train, y_train = _gather(_read(train), NUM_TRAIN, str(train))
    X_test, y_test = _gather(_read(test), NUM_TEST, str(test))
    return Dataset(DESCRIPTION, X_train, y_train, X_test, y_test, source=f"{train}, {test.name}")


def load_stand_in() -> Dataset:
    """
    Generate as many synthetic series of the same shape, for runs at full size without the data.

    See :func:`.synthetic.vegetation_indices`. Times and memory are those of the real data; scores say nothing about it.
    """
    (X_train, y_train), (X_test, y_test) = (
        _gather(_generated(seed, number), number, "generated series")
        for seed, number in ((0, NUM_TRAIN), (1, NUM_TEST))
    )
    return Dataset(STAND_IN, X_train, y_train, X_test, y_test, source="stand-in: generated, seeds 0 and 1")


def _files() -> tuple[Path, Path]:
    for place in data_folders(FOLD, f"SITS_2006_NDVI_C/{FOLD}"):
        train, test = (place / f"{FOLD}_{split}.csv" for split in ("TRAIN", "TEST"))
        if train.is_file() and test.is_file():
            return train, test
    raise not_found(
        "satellite",
        f"{FOLD}_TRAIN.csv and {FOLD}_TEST.csv",
        ". The server that published them is closed: ask the authors of Tan, Webb & Petitjean (2017) for "
        f"SITS_2006_NDVI_C, or run the data sets crop (a real part of it) and {STAND_IN.name} (synthetic).",
    )


def _read(file: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read series [n, 46] and their classes, numbered from 0, in pieces."""
    for rows in read_rows(file, ",", length=LENGTH, rows=_PIECE):
        places = [f"{file}, line {line}" for line in rows.lines]
        labels = labels_from(rows.labels, CLASSES, places.__getitem__)
        complete = (np.isfinite(rows.values) & (rows.values != MISSING)).all(axis=1)
        if not complete.all():
            place = places[int(np.argmin(complete))]
            raise ValueError(f"{place}: expected {LENGTH} values, got a missing one: fill it, or fetch the file again.")
        yield rows.values, labels


def _generated(seed: int, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    for start in range(0, number, _PIECE):
        yield vegetation_indices(rng, min(_PIECE, number - start))


def _gather(pieces: Iterator[tuple[np.ndarray, np.ndarray]], number: int, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Preprocess series into one float32 array [number, 46, 2]; besides it, memory holds only one piece at a time."""
    X, y, count = np.empty((number, LENGTH, 2), np.float32), np.empty(number, np.int64), 0
    for values, labels in pieces:
        if count + len(values) > number:
            raise ValueError(f"{source}: expected {number} series, got more: this is not the published fold.")
        X[count : count + len(values)] = prepare_each(values[..., None])
        y[count : count + len(values)] = labels
        count += len(values)
    if count < number:
        raise ValueError(f"{source}: expected {number} series, got {count}: the file was cut short; fetch it again.")
    absent = sorted(set(range(len(CLASSES))) - set(np.unique(y).tolist()))
    if absent:
        raise ValueError(f"{source}: expected series of every class, got none of class {CLASSES[absent[0]]}.")
    return X, y
