"""The data sets, by name."""

from collections.abc import Callable

from . import japanese_vowels, pendigits
from .archive import DataNotFoundError
from .dataset import Dataset, Defaults, Description, PaperScore

DESCRIPTIONS: dict[str, Description] = {
    module.DESCRIPTION.name: module.DESCRIPTION for module in (japanese_vowels, pendigits)
}
_LOADERS: dict[str, Callable[[], Dataset]] = {
    japanese_vowels.DESCRIPTION.name: japanese_vowels.load,
    pendigits.DESCRIPTION.name: pendigits.load,
}

__all__ = ["DESCRIPTIONS", "DataNotFoundError", "Dataset", "Defaults", "Description", "PaperScore", "load"]


def load(name: str) -> Dataset:
    """
    A data set, preprocessed and checked.

    :param name: one of ``DESCRIPTIONS``.
    :raises ValueError: for another name, and for files that do not hold what they should.
    :raises DataNotFoundError: where its files are neither here nor to be had.
    """
    if name not in _LOADERS:
        raise ValueError(f"dataset must be one of {', '.join(_LOADERS)}, got {name!r}.")
    return _LOADERS[name]()
