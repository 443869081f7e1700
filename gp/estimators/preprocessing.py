"""What is done to series before a signature kernel sees them."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sigkernel_tf import paths

from .panels import Series, pad

_SCALINGS = ("set", "series", "none")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """
    How series become paths, in this order: scaling, cumulative sum, thinning, base point, lead-lag, time.

    :raises ValueError: and
    :raises TypeError: for a value outside its range, naming it.
    """

    scaling: str = "set"
    """"set": each channel less its mean, over its deviation, of all steps of the training set; "series": of each series
    by itself, which forgets where it lies and how far it reaches; "none"."""
    cumulative_sum: bool = False
    """Whether a path is the running sum of its series, from zero: its increments are the values themselves."""
    base_point: bool = True
    """Whether a path starts at zero, so that the kernel sees where a series starts; a running sum does anyway."""
    lead_lag: bool = False
    """Whether each channel stands beside itself one step later, so that the kernel sees its quadratic variation."""
    time: bool = True
    """Whether time, from 0 to 1 over each series, is a channel, the first; without it speed does not matter."""

    def __post_init__(self) -> None:
        if self.scaling not in _SCALINGS:
            raise ValueError(f"scaling must be one of {_SCALINGS}, got {self.scaling!r}.")
        for name in ("cumulative_sum", "base_point", "lead_lag", "time"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}.")

    def __str__(self) -> str:
        steps = [name for name in ("cumulative_sum", "base_point", "lead_lag", "time") if getattr(self, name)]
        return " + ".join([f"scaling by {self.scaling}", *(step.replace("_", " ") for step in steps)])

    def num_channels(self, num_channels: int) -> int:
        """D of the paths for D of the series."""
        return num_channels * (1 + self.lead_lag) + self.time

    def channel_groups(self, num_channels: int) -> np.ndarray:
        """For each channel of the paths the lengthscale it has: a lead and its lag share one."""
        of_series = np.tile(np.arange(num_channels), 1 + self.lead_lag)
        return np.concatenate([[0], of_series + 1]) if self.time else of_series

    def to_dict(self) -> dict[str, Any]:
        """The fields, as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Preprocessor:
    """A preprocessing with the training set's numbers in it."""

    preprocessing: Preprocessing
    mean: np.ndarray
    """Of the training set's channels, [D]."""
    deviation: np.ndarray
    """Likewise; 0 for a constant channel."""
    max_length: int
    """A longer series is thinned to so many steps."""

    @classmethod
    def fitted(cls, preprocessing: Preprocessing, series: Series, max_length: int) -> "Preprocessor":
        """With the moments of a training set."""
        points = np.concatenate(series)
        origin = points[0]  # taken off first, so that a constant channel has a deviation of 0 and not of rounding
        mean = (points - origin).mean(axis=0) + origin
        return cls(preprocessing, mean, (points - origin).std(axis=0), max_length)

    def paths(self, series: Series) -> np.ndarray:
        """[N, L, D], each path padded with its last value."""
        how = self.preprocessing
        X = pad(series)
        if how.scaling == "set":
            X = paths.standardize(X, mean=self.mean, deviation=self.deviation)
        elif how.scaling == "series":
            X = paths.standardize(X)
        if how.cumulative_sum:
            X = np.cumsum(X, axis=1)
        X = thinned(X, self.max_length)
        if how.base_point or how.cumulative_sum:
            X = paths.add_basepoint(X)
        if how.lead_lag:
            X = paths.lead_lag(X)
        if how.time:
            X = paths.add_time(X)
        return paths.pad_ragged(X)


def thinned(X: np.ndarray, max_length: int) -> np.ndarray:
    """[N, L, D] with at most ``max_length`` steps: longer series by linear interpolation at equal distances."""
    if X.shape[1] <= max_length:
        return X
    lengths = (~np.isnan(X[..., 0])).sum(axis=1)
    out = np.full((X.shape[0], max_length, X.shape[2]), np.nan)
    for row, one, length in zip(out, X, lengths, strict=True):
        if length <= max_length:
            row[:length] = one[:length]
            continue
        at = np.linspace(0, length - 1, max_length)
        left = np.minimum(at.astype(int), length - 2)
        right_share = (at - left)[:, None]
        row[:] = (1 - right_share) * one[left] + right_share * one[left + 1]
    return out


def candidates(num_channels: int, max_channels: int) -> list[Preprocessing]:
    """
    The preprocessings among which the training set chooses.

    Not those under which a path of one channel is known by its two ends, nor lead-lag where it makes more than
    ``max_channels`` channels.
    """
    found = []
    for scaling in ("set", "series"):
        for cumulative_sum, base_point in ((False, True), (False, False), (True, False)):
            for lead_lag, time in ((False, True), (False, False), (True, True), (True, False)):
                how = Preprocessing(
                    scaling=scaling, cumulative_sum=cumulative_sum, base_point=base_point, lead_lag=lead_lag, time=time
                )
                channels = how.num_channels(num_channels)
                if channels > 1 and (channels <= max_channels or not lead_lag):
                    found.append(how)
    return found
