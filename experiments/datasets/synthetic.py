"""Synthetic series that stand in for data not on this machine. They have its shapes, but not its difficulty."""

import numpy as np

SAMPLE_RATE, CALL_LENGTH = 2000.0, 4000  # right whale calls: Hz, samples
_NUM_LAND_CLASSES, _NUM_IMAGES = 24, 46


def vegetation_indices(rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
    """
    Generate curves like those of Crop: a vegetation index over a year, with growth, a plateau and decay, and noise.

    A class has a level in winter, an amplitude, a time of growth and a time of decay. A series shifts and scales the
    curve of its class at random.

    :param number: how many series to generate.
    :return: series [number, 46] and their classes [number], 0 to 23.
    """
    classes = np.random.default_rng(24)  # the classes are the same for every generator
    winter = classes.uniform(0.0, 0.4, _NUM_LAND_CLASSES)
    amplitude = classes.uniform(0.1, 0.6, _NUM_LAND_CLASSES)
    growth = classes.uniform(0.1, 0.5, _NUM_LAND_CLASSES)
    decay = growth + classes.uniform(0.15, 0.4, _NUM_LAND_CLASSES)
    y = rng.integers(_NUM_LAND_CLASSES, size=number)
    time = np.linspace(0.0, 1.0, _NUM_IMAGES) + rng.normal(0.0, 0.02, (number, 1))
    season = _rise(time - growth[y][:, None]) * _rise(decay[y][:, None] - time)
    height = amplitude[y][:, None] * rng.uniform(0.8, 1.2, (number, 1))
    return winter[y][:, None] + height * season + rng.normal(0.0, 0.04, (number, _NUM_IMAGES)), y


def _rise(time: np.ndarray) -> np.ndarray:
    """A logistic step from 0 to 1 at time 0, which takes about a tenth of a year."""
    return 1.0 / (1.0 + np.exp(-40.0 * time))


def up_calls(rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
    """
    Generate recordings like those of an underwater microphone, two seconds at 2 kHz, with an up-call in half of them.

    All have noise that falls with frequency. An up-call is a tone that rises from 50-80 Hz to 150-210 Hz in 0.7 to 1.2
    seconds, fading in and out. Half of the recordings without a call have a tone of constant pitch instead, like that
    of a ship, so that loudness is not enough to tell them apart.

    :param number: how many recordings to generate.
    :return: recordings [number, 4000] and their classes [number]: 1 for an up-call.
    """
    y = rng.integers(2, size=number)
    white = rng.standard_normal((number, CALL_LENGTH))
    spectrum = np.fft.rfft(white) / np.sqrt(1.0 + np.fft.rfftfreq(CALL_LENGTH, 1.0 / SAMPLE_RATE) / 20.0)
    noise = np.fft.irfft(spectrum, CALL_LENGTH)
    noise /= noise.std(axis=1, keepdims=True)

    low, high = rng.uniform(50.0, 80.0, (number, 1)), rng.uniform(150.0, 210.0, (number, 1))
    constant = rng.uniform(60.0, 200.0, (number, 1))
    duration = rng.uniform(0.7, 1.2, (number, 1))
    start = rng.uniform(0.0, 2.0 - duration)
    progress = (np.arange(CALL_LENGTH) / SAMPLE_RATE - start) / duration  # from 0 to 1 in the call
    envelope = np.where((progress > 0.0) & (progress < 1.0), np.sin(np.pi * np.clip(progress, 0.0, 1.0)), 0.0)
    rising = low * progress + 0.5 * (high - low) * progress**2  # the phase, whose derivative is the frequency
    cycles = duration * np.where(y[:, None] == 1, rising, constant * progress)
    loudness = np.exp(rng.uniform(np.log(0.5), np.log(4.0), (number, 1)))
    present = (y[:, None] == 1) | (rng.random((number, 1)) < 0.5)
    phase = rng.uniform(0.0, 1.0, (number, 1))
    return noise + np.where(present, loudness, 0.0) * envelope * np.sin(2 * np.pi * (cycles + phase)), y
