"""PenDigits, from the UEA archive: tell a handwritten digit by eight points of the pen's path."""

import numpy as np

from . import archive
from .dataset import Dataset, Defaults, Description, PaperScore, check_split, labels_from
from .preprocessing import prepare_each

DESCRIPTION = Description(
    name="pendigits",
    summary="10 digits by 8 points of a pen, 7494 + 3498 series (from the UEA archive, or SIGKERNEL_TF_DATA)",
    preprocessing="time channel from 0 to 1; then each channel of each series standardised by itself, as tslearn does",
    defaults=Defaults(num_inducing=500, iterations=5000, batch_size=50, lengthscale=2.0),
    paper=(  # table 2
        PaperScore("GPSig-IS", accuracy=(0.9742, 0.0017), nlpp=(0.096, 0.005), seconds_per_iteration=0.186),
        PaperScore("GPSig-IT", accuracy=(0.9666, 0.0059), nlpp=(0.115, 0.018), seconds_per_iteration=0.036),
        PaperScore("SigGPDE", accuracy=(0.9773, 0.0013), nlpp=(0.085, 0.001), seconds_per_iteration=0.022),
    ),
)
_CLASSES = [str(digit) for digit in range(10)]
_TRAIN_COUNTS = (780, 779, 780, 719, 780, 720, 720, 778, 719, 719)
_TEST_COUNTS = (363, 364, 364, 336, 364, 335, 336, 364, 336, 336)


def load() -> Dataset:
    """
    PenDigits (Alimoglu & Alpaydin 1996; UCI, UEA archive), 7494 training and 3498 test series, 10 digits.

    The channels are x and y, from 0 to 100, at 8 points. They are preprocessed as in the paper's appendix B.1: a time
    channel from 0 to 1 is put in front; then every channel of every series is standardised by its own mean and standard
    deviation, as by tslearn's ``TimeSeriesScalerMeanVariance``.

    They are read from the folder in the environment variable SIGKERNEL_TF_DATA, or downloaded: see :mod:`.archive`.

    :raises DataNotFoundError: if they are not in the folder and cannot be downloaded.
    :raises ValueError: if the files are not the published ones; it names the file, and the line if one is at fault.
    """
    return archive.load_prepared(DESCRIPTION, "PenDigits", _prepared, _TRAIN_COUNTS, _TEST_COUNTS)


def _prepared(name: str, split: archive.Split, counts: tuple[int, ...]) -> tuple[list[np.ndarray], np.ndarray]:
    y = labels_from(split.labels, _CLASSES, split.where)
    check_split(name, split.X, y, channels=2, lengths=(8, 8), class_counts=counts, where=split.where)
    return list(prepare_each(np.stack(split.X))), y
