"""The data sets, by name."""

from collections.abc import Callable

from . import crop, japanese_vowels, pendigits, right_whale_calls, satellite, weather
from .dataset import Dataset, Defaults, Description, PaperScore, Series
from .folder import DataNotFoundError

_ALL: list[tuple[Description, Callable[[], Dataset]]] = [
    (japanese_vowels.DESCRIPTION, japanese_vowels.load),
    (pendigits.DESCRIPTION, pendigits.load),
    (right_whale_calls.DESCRIPTION, right_whale_calls.load),
    (right_whale_calls.STAND_IN, right_whale_calls.load_stand_in),
    (satellite.DESCRIPTION, satellite.load),
    (satellite.STAND_IN, satellite.load_stand_in),
    (crop.DESCRIPTION, crop.load),
    (weather.DESCRIPTION, weather.load),
]
DESCRIPTIONS: dict[str, Description] = {description.name: description for description, _ in _ALL}
_LOADERS: dict[str, Callable[[], Dataset]] = {description.name: loader for description, loader in _ALL}

__all__ = ["DESCRIPTIONS", "DataNotFoundError", "Dataset", "Defaults", "Description", "PaperScore", "Series", "load"]


def load(name: str) -> Dataset:
    """
    Read a data set, check that it is the published one, and preprocess it.

    :param name: one of ``DESCRIPTIONS``.
    :raises ValueError: for another name, and for files that do not hold the published data.
    :raises DataNotFoundError: if its files are not on this machine and cannot be downloaded.
    """
    if name not in _LOADERS:
        raise ValueError(f"dataset must be one of {', '.join(_LOADERS)}, got {name!r}.")
    return _LOADERS[name]()
