"""PenDigits: handwritten digits as eight points of a pen's way; from the UEA archive."""

from collections.abc import Sequence

import numpy as np

from . import archive
from .dataset import Dataset, Defaults, Description, PaperScore, Where, check_split, labels_from
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

    Channels are x and y, 0 to 100, at 8 points. Preprocessing, as in the paper's appendix B.1: a time channel from
    0 to 1 is put in front; then every series is standardised channel by channel by its own mean and deviation, which
    is what tslearn's ``TimeSeriesScalerMeanVariance`` does.

    Read from the folder in the environment variable SIGKERNEL_TF_DATA, else downloaded: see :mod:`.archive`.

    :raises DataNotFoundError: where neither is possible.
    :raises ValueError: where the files are not the published ones.
    """
    raw = archive.load("PenDigits")
    X_train, y_train = _prepared("PenDigits, training", raw.X_train, raw.y_train, _TRAIN_COUNTS, raw.where_train)
    X_test, y_test = _prepared("PenDigits, testing", raw.X_test, raw.y_test, _TEST_COUNTS, raw.where_test)
    return Dataset(DESCRIPTION, X_train, y_train, X_test, y_test, source=raw.source)


def _prepared(
    split: str, X: Sequence[np.ndarray], labels: np.ndarray, counts: tuple[int, ...], where: Where
) -> tuple[list[np.ndarray], np.ndarray]:
    y = labels_from(labels, _CLASSES, where)
    check_split(split, X, y, channels=2, lengths=(8, 8), class_counts=counts, where=where)
    return list(prepare_each(np.stack(X))), y
