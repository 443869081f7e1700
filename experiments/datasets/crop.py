"""Crop, from the UCR archive: tell what grows on a piece of land by its vegetation index over a year."""

import numpy as np

from . import archive
from .dataset import Dataset, Defaults, Description, check_split, labels_from
from .preprocessing import prepare_each

DESCRIPTION = Description(
    name="crop",
    summary="24 kinds of land by 46 satellite images, 7200 + 16800 series (from the UCR archive, or SIGKERNEL_TF_DATA)",
    preprocessing="time channel from 0 to 1; then each channel of each series standardised by itself, as tslearn does",
    # In so few steps, appendix B.2's learning rate of 1e-3 ends at a far lower bound than 1e-2, for both models.
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

    The only channel is a vegetation index of a pixel of 8 m by 8 m in 46 images of the FORMOSAT-2 satellite. The
    series are 24,000 of the million series of :mod:`.satellite`, as many of each class. They are preprocessed as in
    the paper's appendix B.1: see :func:`.preprocessing.prepare_each`.

    They are read from the folder in the environment variable SIGKERNEL_TF_DATA, or downloaded: see :mod:`.archive`.

    :raises DataNotFoundError: if they are not in the folder and cannot be downloaded.
    :raises ValueError: if the files are not the published ones; it names the file, and the line if one is at fault.
    """
    return archive.load_prepared(DESCRIPTION, "Crop", _prepared, _TRAIN, _TEST)


def _prepared(name: str, split: archive.Split, each: int) -> tuple[list[np.ndarray], np.ndarray]:
    y, counts, lengths = labels_from(split.labels, CLASSES, split.where), len(CLASSES) * [each], (LENGTH, LENGTH)
    check_split(name, split.X, y, channels=1, lengths=lengths, class_counts=counts, missing=MISSING, where=split.where)
    return list(prepare_each(np.stack(split.X))), y
