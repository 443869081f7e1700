"""How series become paths for a signature kernel: scaling, running sums, thinning, lead-lag, windows and time."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from sigkernel_tf import _padded_paths
from sigkernel_tf._arguments import as_int
from sigkernel_tf._padded_paths import PaddedPaths

from .panels import Series, pad

_SCALINGS = ("set", "series", "none")
_WINDOWS = (4, 8, 16)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """
    How series become paths, in this order: scaling, cumulative sum, thinning, base point, lead-lag, windows, time.

    >>> Preprocessing(scaling="set", lead_lag=True).lead_lag
    True

    :param scaling: "set": each channel less its mean, over its deviation, both of all steps of the training set;
        "series": both of each series by itself, so that where a series lies and how far it reaches is lost; "none": the
        values as they are.
    :param cumulative_sum: whether a path is the running sum of its series, from zero, so that the path's increments are
        the series' values.
    :param base_point: whether a path starts at zero, so that the kernel depends on where a series starts. The path of a
        running sum always does.
    :param lead_lag: whether each channel has a copy one step later beside it, so that the kernel depends on its
        quadratic variation.
    :param windows: the number W of equal parts into which a path is cut. Each part has channels of its own, which move
        as the path does in that part and stand still before and after. Levels 1 and 2 of the signature then tell where
        along a series something happens. These are the windows of Morrill et al. 2021, "A generalised signature method
        for multivariate time series feature extraction", in one path. 1: the path stays whole.
    :param time: whether time, from 0 to 1 over each series, is the first channel. Without it, the kernel does not
        depend on speed.
    :raises ValueError: for a value outside its range, naming the field.
    :raises TypeError: for a value of another type, naming the field.
    """

    scaling: str = "set"
    cumulative_sum: bool = False
    base_point: bool = True
    lead_lag: bool = False
    windows: int = 1
    time: bool = True

    def __post_init__(self) -> None:
        if self.scaling not in _SCALINGS:
            raise ValueError(f"scaling must be one of {_SCALINGS}, got {self.scaling!r}.")
        for name in ("cumulative_sum", "base_point", "lead_lag", "time"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}.")
        as_int(self.windows, "windows", 1)

    def __str__(self) -> str:
        steps = {"cumulative sum": self.cumulative_sum, "base point": self.base_point, "lead lag": self.lead_lag}
        steps |= {f"{self.windows} windows": self.windows > 1, "time": self.time}
        return " + ".join([f"scaling by {self.scaling}", *(step for step, taken in steps.items() if taken)])

    def num_channels(self, num_channels: int) -> int:
        """The number of channels of the paths of series with ``num_channels`` channels."""
        return num_channels * (1 + self.lead_lag) * self.windows + self.time

    def channel_groups(self, num_channels: int) -> np.ndarray:
        """The number of the lengthscale of each channel of the paths; a lead, its lag and their windows share one."""
        of_series = np.tile(np.arange(num_channels), (1 + self.lead_lag) * self.windows)
        return np.concatenate([[0], of_series + 1]) if self.time else of_series

    def to_dict(self) -> dict[str, Any]:
        """The fields, as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Preprocessor:
    """A preprocessing together with the numbers of the training set that it needs."""

    preprocessing: Preprocessing
    mean: np.ndarray
    """The mean of each channel of the training set, [D]."""
    deviation: np.ndarray
    """The deviation of each channel of the training set, [D]; 0 for a constant channel."""
    max_length: int
    """The largest number of steps; longer series are thinned to it."""

    @classmethod
    def fitted(cls, preprocessing: Preprocessing, series: Series, max_length: int) -> "Preprocessor":
        """
        The preprocessor with the moments of a training set.

        :raises ValueError: for a channel whose range is too large for floating-point numbers.
        """
        points = np.concatenate(series)
        origin = points[0]  # subtracted first, so that rounding does not give a constant channel a deviation
        with np.errstate(over="ignore"):
            moved = points - origin
        if not np.isfinite(moved).all():
            channel = int(np.argmin(np.isfinite(moved).all(axis=0)))
            raise ValueError(
                f"X must hold channels with a finite range, got values from {points[:, channel].min():.3g} to "
                f"{points[:, channel].max():.3g} in channel {channel}: rescale this channel first."
            )
        unit = units_of(moved)
        moved = moved / unit
        return cls(preprocessing, moved.mean(axis=0) * unit + origin, moved.std(axis=0) * unit, max_length)

    def paths(self, series: Series) -> np.ndarray:
        """
        The paths of series, [N, L, D]; each path is padded with its last value.

        :raises ValueError: for series whose paths are too large for floating-point numbers.
        """
        how = self.preprocessing
        X = pad(series)
        if how.scaling == "set":
            X = _padded_paths.standardize(X, self.mean, self.deviation)
        elif how.scaling == "series":
            X = _padded_paths.standardize(X)
        if how.cumulative_sum:
            X = summed(X)
        X = thinned(X, self.max_length)
        if how.base_point or how.cumulative_sum:
            X = _padded_paths.add_basepoint(X)
        if how.lead_lag:
            X = _padded_paths.lead_lag(X)
        if how.windows > 1:
            X = windowed(X, how.windows)
        if how.time:
            X = _padded_paths.add_time(X)
        found = X.values.numpy()
        finite = np.isfinite(found).all(axis=(1, 2))
        if not finite.all():
            raise ValueError(
                f"X must hold numbers that stay finite under the preprocessing ({how}), got series "
                f"{int(np.argmin(finite))} with a path that overflows: rescale the series first."
            )
        return found


def units_of(values: np.ndarray) -> np.ndarray:
    """
    For each column of numbers [N, D] a power of two of about its largest, [D].

    In these units squares neither overflow nor vanish, and no number is rounded.
    """
    return np.ldexp(1.0, np.maximum(np.frexp(np.abs(values).max(axis=0))[1] - 1, -1000))


def summed(X: PaddedPaths) -> PaddedPaths:
    """The running sum of each series."""
    return PaddedPaths(tf.cumsum(tf.where(X.inside(), X.values, 0.0), axis=1), X.lengths)


def thinned(X: PaddedPaths, max_length: int) -> PaddedPaths:
    """Series of at most ``max_length`` steps: longer ones are interpolated linearly at equal distances."""
    if X.values.shape[1] <= max_length:
        return X
    values, lengths = X.values.numpy(), X.lengths.numpy()
    last = lengths[:, None] - 1
    at = np.where(
        lengths[:, None] > max_length,
        np.linspace(0.0, lengths - 1, max_length, axis=1),
        np.minimum(np.arange(max_length), last),
    )  # [N, max_length]
    left = np.minimum(at.astype(int), np.maximum(last - 1, 0))
    right_share = (at - left)[..., None]
    before, after = (np.take_along_axis(values, step[..., None], axis=1) for step in (left, left + 1))
    kept = (1 - right_share) * before + right_share * after
    return PaddedPaths(tf.constant(kept), tf.minimum(X.lengths, max_length))


def windowed(X: PaddedPaths, windows: int) -> PaddedPaths:
    """
    Paths of windows * D channels: channels w D to (w + 1) D move as the path does in its w-th window.

    They start from zero and stand still before and after that window.
    """
    steps = tf.pad(X.values[:, 1:] - X.values[:, :-1], [[0, 0], [1, 0], [0, 0]])  # [N, L, D]
    last = tf.maximum(X.lengths - 1, 1)[:, None]
    window = tf.maximum(X.steps() - 1, 0) * windows // last  # [N, L]
    moves = tf.where(window[..., None, None] == tf.range(windows)[:, None], steps[..., None, :], 0.0)
    return PaddedPaths(tf.reshape(tf.cumsum(moves, axis=1), [*X.values.shape[:2], -1]), X.lengths)


def candidates(num_channels: int, max_channels: int) -> list[Preprocessing]:
    """
    The preprocessings among which the training set chooses.

    They leave out those whose paths have one channel, as a signature then depends only on a path's two ends, and
    lead-lag and windows where these lead to more than ``max_channels`` channels.
    """
    ways: list[dict[str, Any]] = [
        {"lead_lag": lead_lag, "time": time} for lead_lag in (False, True) for time in (True, False)
    ]
    ways += [{"windows": windows, "time": False} for windows in _WINDOWS]
    found = []
    for scaling in ("set", "series"):
        for cumulative_sum, base_point in ((False, True), (False, False), (True, False)):
            for way in ways:
                how = Preprocessing(scaling=scaling, cumulative_sum=cumulative_sum, base_point=base_point, **way)
                channels = how.num_channels(num_channels)
                is_many = how.lead_lag or how.windows > 1
                if channels > 1 and (channels <= max_channels or not is_many):
                    found.append(how)
    return found
