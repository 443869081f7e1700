"""RightWhaleCalls, from the UEA archive: tell whether a whale calls in two seconds of sound; and a stand-in for it."""

import dataclasses

import numpy as np

from . import archive
from .dataset import Dataset, Defaults, Description, PaperScore, Where, check_split, labels_from
from .preprocessing import prepare_each
from .synthetic import CALL_LENGTH, SAMPLE_RATE, up_calls

NUM_TRAIN, NUM_TEST = 10_934, 5_885
# The paper states only the band, the 28 frequencies and the 30 steps. Windows of 224 samples, which are 112 ms, have
# frequencies 8.93 Hz apart, of which 28 lie in the band. With an overlap of 96 samples a window starts every 64 ms, so
# that 30 windows lie in 4000 samples.
WINDOW, OVERLAP = 224, 96
BAND = (50.0, 300.0)  # Hz
NUM_FREQUENCIES, NUM_STEPS = 28, 30

_PREPROCESSING = (
    f"spectrogram (scipy, Hann windows of {WINDOW} samples that overlap by {OVERLAP}, amplitudes), its "
    f"{NUM_FREQUENCIES} frequencies from 50 to 300 Hz as channels of {NUM_STEPS} steps; time channel from 0 to 1; then "
    "each channel of each series standardised by itself, as tslearn does"
)
DESCRIPTION = Description(
    name="right_whale_calls",
    summary="right whale or noise by 2 s of sound, 10934 + 5885 series (from the UEA archive, or SIGKERNEL_TF_DATA)",
    preprocessing=_PREPROCESSING,
    defaults=Defaults(num_inducing=700, iterations=5000, batch_size=50, lengthscale=10.0),
    paper=(  # table 3
        PaperScore("GPSig-IS", accuracy=(0.8697, 0.0011), nlpp=(0.367, 0.005), seconds_per_iteration=0.438),
        PaperScore("GPSig-IT", accuracy=(0.8770, 0.0042), nlpp=(0.357, 0.003), seconds_per_iteration=0.048),
        PaperScore("SigGPDE", accuracy=(0.8676, 0.0036), nlpp=(0.382, 0.002), seconds_per_iteration=0.008),
    ),
)
STAND_IN = dataclasses.replace(
    DESCRIPTION,
    name="right_whale_calls_stand_in",
    summary="STAND-IN for right_whale_calls: 10934 + 5885 synthetic up-calls in noise, of its shape; no download",
    paper=(),
    stands_in_for="right_whale_calls",
)
# Class 1 is a call. The archive's .arff file has names for the classes, its .ts file has numbers.
_CLASSES = (("NoWhale", "RightWhale"), ("0", "1"))
_PIECE = 500  # recordings whose spectrograms are computed at a time


def load() -> Dataset:
    """
    RightWhaleCalls (Marinexplore and Cornell University 2013; UEA archive), 10,934 training and 5,885 test recordings.

    A recording is two seconds of sound at 2 kHz, with or without an up-call of a right whale. It is preprocessed as in
    the paper's appendix B.1: by :func:`spectrogram`, then by :func:`.preprocessing.prepare_each`.

    They are read from the folder in the environment variable SIGKERNEL_TF_DATA, or downloaded: see :mod:`.archive`.

    :raises DataNotFoundError: if they are not in the folder and cannot be downloaded.
    :raises ValueError: if the files are not the published ones; it names the file, and the line if one is at fault.
    """
    return archive.load_prepared(DESCRIPTION, "RightWhaleCalls", _prepared, NUM_TRAIN, NUM_TEST)


def load_stand_in() -> Dataset:
    """
    Generate as many synthetic recordings, preprocessed in the same way, for runs without the archive's files.

    See :func:`.synthetic.up_calls`. Times and memory are those of the real data; scores say nothing about it.
    """
    splits = []
    for seed, number in ((0, NUM_TRAIN), (1, NUM_TEST)):
        rng = np.random.default_rng(seed)
        sizes = [min(_PIECE, number - start) for start in range(0, number, _PIECE)]
        pieces = [(prepare_each(spectrogram(sound)), y) for sound, y in (up_calls(rng, size) for size in sizes)]
        splits.append([np.concatenate(parts) for parts in zip(*pieces, strict=True)])
    (X_train, y_train), (X_test, y_test) = splits
    return Dataset(STAND_IN, X_train, y_train, X_test, y_test, source="stand-in: generated, seeds 0 and 1")


def spectrogram(sounds: np.ndarray) -> np.ndarray:
    """
    The amplitudes of 28 frequencies, from 53.6 to 294.6 Hz, in 30 windows of 112 ms.

    They are computed by ``scipy.signal.spectrogram`` with Hann windows of 224 samples that overlap by 96; the mean of
    each window is subtracted first.

    :param sounds: recordings [N, 4000] at 2 kHz.
    :return: [N, 30, 28], in the recordings' unit.
    """
    from scipy import signal

    frequencies, _, amplitudes = signal.spectrogram(
        sounds, SAMPLE_RATE, window="hann", nperseg=WINDOW, noverlap=OVERLAP, mode="magnitude"
    )  # [N, frequencies, windows]
    chosen = (frequencies >= BAND[0]) & (frequencies <= BAND[1])
    return np.moveaxis(amplitudes[:, chosen], 1, 2)


def _prepared(name: str, split: archive.Split, number: int) -> tuple[np.ndarray, np.ndarray]:
    y, lengths = _labels(split.labels, split.where), (CALL_LENGTH, CALL_LENGTH)
    check_split(name, split.X, y, channels=1, lengths=lengths, num_series=number, where=split.where)
    if len(np.unique(y)) < 2:
        raise ValueError(f"{name}: expected recordings of both classes, got one: fetch the files again.")
    pieces = (np.stack(split.X[start : start + _PIECE])[..., 0] for start in range(0, number, _PIECE))
    return np.concatenate([prepare_each(spectrogram(sounds)) for sounds in pieces]), y


def _labels(values: np.ndarray, where: Where) -> np.ndarray:
    """1 for a whale and 0 for none, from either of the archive's pairs of labels."""
    first = str(values[0]).strip().removesuffix(".0") if len(values) else ""
    return labels_from(values, next((pair for pair in _CLASSES if first in pair), _CLASSES[0]), where)
