"""JapaneseVowels, which ships with sktime: tell nine speakers by twelve LPC cepstrum coefficients of a vowel."""

import numpy as np

import sigkernel_tf as sk

from .archive import nested_to_series
from .dataset import Dataset, Defaults, Description, Series, check_split, labels_from
from .preprocessing import prepare_by_training

DESCRIPTION = Description(
    name="japanese_vowels",
    summary="9 speakers by 12 coefficients of a vowel, 270 + 370 series of length 7 to 29 (ships with sktime)",
    preprocessing=(
        "time channel from 0 to 1 over each series; every channel standardised by the training set's mean and "
        "deviation; a base point at the origin"
    ),
    defaults=Defaults(num_inducing=183, iterations=500, batch_size=50, lengthscale=10.0),
)
_CLASSES = [str(speaker) for speaker in range(1, 10)]
_TEST_COUNTS = (31, 35, 88, 44, 29, 24, 40, 50, 29)


def load() -> Dataset:
    """
    JapaneseVowels (Kudo, Toyama & Shimbo 1999; UCI, UEA archive), 270 training and 370 test series, 9 speakers.

    The series have twelve channels, and lengths of 7 to 26 in training and 7 to 29 in testing. A time channel is added,
    which goes from 0 to 1 over each series' own length. All 13 channels are then standardised by the training set's
    mean and standard deviation over all time steps of all series. Last, each series is given a base point at the
    origin: where a series starts tells the speaker, but signatures see only increments. Standardising each series by
    itself would lose this level.

    :raises ValueError: if sktime's copy is not the published one.
    """
    X_train, y_train = _read("train")
    X_test, y_test = _read("test")
    check_split("JapaneseVowels, training", X_train, y_train, channels=12, lengths=(7, 26), class_counts=9 * (30,))
    check_split("JapaneseVowels, testing", X_test, y_test, channels=12, lengths=(7, 29), class_counts=_TEST_COUNTS)
    X_train, X_test = (sk.paths.add_basepoint(X) for X in prepare_by_training(X_train, X_test))
    return Dataset(DESCRIPTION, X_train, y_train, X_test, y_test, source="sktime.datasets.load_japanese_vowels")


def _read(split: str) -> tuple[Series, np.ndarray]:
    from sktime.datasets import load_japanese_vowels  # imported here because it is slow, and --help should not be

    X, y = load_japanese_vowels(split=split, return_type="nested_univ")
    return nested_to_series(X), labels_from(y, _CLASSES)
