"""Crop: what grows on a piece of land by its vegetation index over a year; from the UCR archive."""

from collections.abc import Sequence

import numpy as np

from . import archive
from .dataset import Dataset, Defaults, Description, Where, check_split, labels_from
from .preprocessing import prepare_each

DESCRIPTION = Description(
    name="crop",
    summary="24 kinds of land by 46 satellite images, 7200 + 16800 series (from the UCR archive, or SIGKERNEL_TF_DATA)",
    preprocessing="time channel from 0 to 1; then each channel of each series standardised by itself, as tslearn does",
    # So few steps of appendix B.2's 1e-3 leave the bound far below that of 1e-2, for both models.
    defaults=Defaults(num_inducing=400, iterations=1500, batch_size=200, lengthscale=2.0, learning_rate=1e-2),
    channels=("time", "vegetation index"),
)
CLASSES = [str(number) for number in range(1, 25)]
LENGTH = 46
MISSING = -9999.0
_TRAIN, _TEST = 300, 700  # series of each class


def load() -> Dataset:
    """
    Crop (Tan, Webb & Petitjean 2017; UCR archive), 7200 training and 16800 test series of 24 classes.

    One channel, a vegetation index of a pixel of 8 m by 8 m in 46 images of the FORMOSAT-2 satellite: 24,000 of the
    million series of :mod:`.satellite`, as many of each class. Preprocessing as in the paper's appendix B.1: see
    :func:`.preprocessing.prepare_each`.

    Read from the folder in the environment variable SIGKERNEL_TF_DATA, else downloaded: see :mod:`.archive`.

    :raises DataNotFoundError: where neither is possible.
    :raises ValueError: where the files are not the published ones, naming file and line where one line is at fault.
    """
    raw = archive.load("Crop")
    X_train, y_train = _prepared("Crop, training", raw.X_train, raw.y_train, _TRAIN, raw.where_train)
    X_test, y_test = _prepared("Crop, testing", raw.X_test, raw.y_test, _TEST, raw.where_test)
    return Dataset(DESCRIPTION, X_train, y_train, X_test, y_test, source=raw.source)


def _prepared(
    split: str, X: Sequence[np.ndarray], labels: np.ndarray, each: int, where: Where
) -> tuple[list[np.ndarray], np.ndarray]:
    y, counts = labels_from(labels, CLASSES, where), len(CLASSES) * [each]
    lengths = (LENGTH, LENGTH)
    check_split(split, X, y, channels=1, lengths=lengths, class_counts=counts, missing=MISSING, where=where)
    return list(prepare_each(np.stack(X))), y
