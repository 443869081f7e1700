"""Weather: foretell rain in the next hour from six hours of a weather station's measurements in Jena."""

import itertools
from dataclasses import dataclass

import numpy as np

from . import jena
from .dataset import Dataset, Defaults, Description
from .folder import VARIABLE, data_folders, not_found
from .preprocessing import prepare_by_training

DESCRIPTION = Description(
    name="weather",
    summary="rain in the next hour by 6 hours of weather in Jena, 7 channels of 36 steps (from SIGKERNEL_TF_DATA)",
    preprocessing=(
        "windows of 36 rows of 10 minutes without gap or missing value, outliers counted as missing; class 1 where "
        "more than 1 mm of rain falls in the hour after; 3 negatives for each positive, drawn at random; the last "
        "quarter of the time for testing, and a fifth of the time before it for validation; time channel from 0 to 1; "
        "every channel standardised by the training set's mean and deviation"
    ),
    defaults=Defaults(num_inducing=585, iterations=1500, batch_size=50, lengthscale=2.0),
    channels=("time", *(name for name, _, _ in jena.COLUMNS.values())),
)
STEPS, STEPS_AHEAD = 36, 6  # rows of ten minutes: six hours to learn from, and one to foretell
THRESHOLD = 1.0  # mm
NEGATIVES = 3  # for each positive, in what is kept
TEST_FRACTION = 0.25  # the last part of the time
_SEED = 0


def load() -> Dataset:
    """
    Rain in Jena, from the stations Beutenberg ("roof") and Saaleaue ("saale") of the Max Planck Institute.

    A series is a window of six hours of pressure, temperature, humidity, air density, wind speed, radiation and rain.
    Its class is 1 if more than 1 mm of rain falls in the hour after, otherwise 0. A window begins at every row, but is
    left out if there is a gap in time, a missing value or an outlier (:data:`.jena.COLUMNS`) in it or in the rain
    after it. The data are split by time into what is trained on, validated on and tested on, at the same moments for
    all stations, so that no window shares a row or an hour of rain with a window of another part. Each part keeps all
    its positives, and three times as many negatives, which are drawn at random with a fixed seed.

    The files, described in :mod:`.jena`, are looked for in the folder that SIGKERNEL_TF_DATA names, and in its
    subfolder weather. The institute publishes them at https://www.bgc-jena.mpg.de/wetter/.

    :raises DataNotFoundError: if there are no files.
    :raises ValueError: for a damaged file, naming the file and the line, and if there is too little rain to learn from.
    """
    stations, source = _stations()
    windows, rng = [windows_of(station) for station in stations], np.random.default_rng(_SEED)
    before_test = 1.0 - TEST_FRACTION
    to_fit = (1.0 - DESCRIPTION.defaults.validation_fraction) * before_test
    cuts = [moment(stations, share) for share in (to_fit, before_test)]
    bounds = [-np.inf, *cuts, np.inf]
    fit, validation, test = (
        [_balanced(one.among((one.starts >= start) & (one.ends < end)), rng) for one in windows]
        for start, end in itertools.pairwise(bounds)
    )
    y_train, y_test = _labels([*fit, *validation], "training"), _labels(test, "testing")
    X_train, X_test = prepare_by_training(
        *(np.concatenate([one.values() for one in part]) for part in ([*fit, *validation], test))
    )
    return Dataset(
        DESCRIPTION,
        X_train,
        y_train,
        X_test,
        y_test,
        source=source,
        amounts_test=np.concatenate([one.rain_after for one in test]),
        validation=np.arange(sum(len(one.first) for one in fit), len(y_train)),
    )


@dataclass(frozen=True)
class Windows:
    """
    Pieces of a station's measurements, with the hour after each.

    Windows overlap, so only their first rows are held; their values are copied on request.
    """

    station: jena.Station
    first: np.ndarray
    """[n], the row that each window begins with."""

    @property
    def starts(self) -> np.ndarray:
        """[n], when the first row was measured, in minutes since 1970."""
        return self.station.minutes[self.first]

    @property
    def ends(self) -> np.ndarray:
        """[n], when the last row of the hour after was measured, in minutes since 1970."""
        return self.starts + (STEPS + STEPS_AHEAD - 1) * jena.INTERVAL

    @property
    def rain_after(self) -> np.ndarray:
        """[n], rain in the hour after, in mm."""
        rows = self.first[:, None] + np.arange(STEPS, STEPS + STEPS_AHEAD)
        # Rain is measured in tenths of a millimetre: without rounding, ten of them could add up to more than 1 mm.
        return np.round(self.station.values[rows, jena.RAIN].sum(axis=1), 3)

    @property
    def labels(self) -> np.ndarray:
        """[n], 1 for more than 1 mm of rain in the hour after."""
        return (self.rain_after > THRESHOLD).astype(np.int64)

    def values(self) -> np.ndarray:
        """[n, 36, 7], what was measured."""
        return self.station.values[self.first[:, None] + np.arange(STEPS)]

    def among(self, chosen: np.ndarray) -> "Windows":
        """Some of the windows, chosen by a mask or by their numbers."""
        return Windows(self.station, self.first[chosen])


def moment(stations: list[jena.Station], share: float) -> int:
    """The moment, in minutes since 1970, before which the given share of all rows lies."""
    minutes = np.sort(np.concatenate([station.minutes for station in stations]))
    return int(minutes[min(round(share * len(minutes)), len(minutes) - 1)]) if len(minutes) else 0


def windows_of(station: jena.Station) -> Windows:
    """All windows of a station without a gap or a missing value, in them and in the rain of the hour after."""
    length = STEPS + STEPS_AHEAD
    if len(station.minutes) < length:
        return Windows(station, np.empty(0, np.int64))
    known = np.isfinite(station.values)
    whole = _all_of(np.diff(station.minutes) == jena.INTERVAL, length - 1)
    whole &= _all_of(known.all(axis=1), STEPS)[: len(whole)] & _all_of(known[STEPS:, jena.RAIN], STEPS_AHEAD)
    return Windows(station, np.flatnonzero(whole))


def _all_of(mask: np.ndarray, length: int) -> np.ndarray:
    """For each place that ``length`` values follow, whether all of these are true."""
    return np.lib.stride_tricks.sliding_window_view(mask, length).all(axis=1)


def _balanced(windows: Windows, rng: np.random.Generator) -> Windows:
    """All positives, and three times as many negatives or all if there are fewer, in their order."""
    positive, negative = np.flatnonzero(windows.labels == 1), np.flatnonzero(windows.labels == 0)
    kept = rng.choice(negative, min(NEGATIVES * len(positive), len(negative)), replace=False)
    return windows.among(np.sort(np.concatenate([positive, kept])))


def _labels(parts: list[Windows], split: str) -> np.ndarray:
    labels = np.concatenate([part.labels for part in parts])
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"weather, {split}: expected complete windows with and without more than {THRESHOLD:g} mm of rain in the "
            "hour after, got none of one kind: read more half-years."
        )
    return labels


def _stations() -> tuple[list[jena.Station], str]:
    for place in data_folders("weather"):
        found = jena.read_stations(place)
        if found is not None:
            return found
    raise not_found(
        "weather",
        f"mpi_roof_2020a.csv or other half-years of the stations roof and saale, nor {jena.NPZ}",
        ". Download them from https://www.bgc-jena.mpg.de/wetter/weather_data.html, unpack them into one folder, and "
        f"set {VARIABLE} to it.",
    )
