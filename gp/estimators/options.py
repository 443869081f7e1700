"""The options of an estimator, checked and completed: what the search may choose, and what the user has fixed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sigkernel_tf._arguments import as_int, check_unmasked

from .preprocessing import Preprocessing, candidates

KERNELS = ("lifted", "windows", "truncated")
"""The kinds of kernels."""
_FIELDS = Preprocessing.__dataclass_fields__
_OF_TRUNCATED = ("preprocessing", "lengthscales", "level_variances")  # options that only the truncated kernel has
_MAX_WORDS = 600
_STEP_BUDGET = 2e10  # multiply-adds of a step of the final fit: about a second
_MAX_COVARIANCE = 2e7  # numbers in q_sqrt: 160 MB


@dataclass(frozen=True)
class Options:
    """What the user leaves to the search, and what not."""

    preprocessings: Sequence[Preprocessing]
    """The search chooses one of these."""
    lengthscales: np.ndarray | None
    """One number or one for each channel of the paths, [D]; None: the search chooses."""
    level_variances: bool | None
    """Whether levels have variances of their own; None: whichever validates better."""
    max_words: int
    """The largest number of signature features."""
    max_length: int
    """The largest number of time steps, or of windows; longer series are thinned to it."""
    kernels: Sequence[str]
    """The kinds of kernels among which the search chooses."""
    num_inducing: int | None
    """The largest number of inducing series of a lifted kernel; None: as many as ``effort`` affords."""
    effort: float
    """A factor on the work that the search and the fit of a lifted kernel may take."""


def checked_options(params: dict[str, Any], num_series: int, num_channels: int, num_latents: int) -> Options:
    """
    What an estimator's parameters, and the size of its training set, say to the search.

    :param params: by name, as ``get_params`` of an estimator returns them.
    :param num_channels: D of the series.
    :param num_latents: the number of latent processes, on which the cost of the final fit depends.
    :raises TypeError: for a parameter of another type, naming it.
    :raises ValueError: for a parameter out of its range, naming it.
    """
    for name in ("max_length", "max_iterations"):
        as_int(params[name], name, 1)
    max_length, num_inducing, level_variances = (
        params[name] for name in ("max_length", "num_inducing", "level_variances")
    )
    if max_length < 2:
        raise ValueError(f"max_length must be at least 2, got {max_length}: for instance 300.")
    if num_inducing is not None:
        as_int(num_inducing, "num_inducing", 1)
    if level_variances not in (None, True, False):
        raise TypeError(f"level_variances must be True, False or None, got {level_variances!r}.")
    kernels = _kernels(params)
    effort = _effort(params["effort"])
    most = num_inducing or _MAX_WORDS
    return Options(
        preprocessings=_preprocessings(params["preprocessing"], num_channels, int(most**0.5)),
        lengthscales=_lengthscales(params["lengthscales"]),
        level_variances=level_variances,
        max_words=num_inducing or _affordable(num_series, num_latents),
        max_length=max_length,
        kernels=kernels,
        num_inducing=num_inducing,
        effort=effort,
    )


def _kernels(params: dict[str, Any]) -> tuple[str, ...]:
    """The kinds of kernels that remain, where options that only the truncated one has are given."""
    kernel = params["kernel"]
    if not isinstance(kernel, str) or kernel not in ("auto", *KERNELS):
        raise ValueError(f'kernel must be "auto" or one of {KERNELS}, got {kernel!r}.')
    given = [name for name in _OF_TRUNCATED if params[name] is not None and not _is_auto(params[name])]
    if kernel == "auto":
        return ("truncated",) if given else KERNELS
    if given and kernel != "truncated":
        raise ValueError(
            f'{given[0]} must be None with kernel="{kernel}", got {params[given[0]]!r}: it belongs to the truncated '
            'kernel; leave it out, or give kernel="truncated".'
        )
    return (kernel,)


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def _effort(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float, np.integer, np.floating)):
        raise TypeError(f"effort must be a positive number, got {given!r}: for instance 1.0.")
    if not (np.isfinite(given) and given > 0):
        raise ValueError(f"effort must be a positive number, got {given!r}: for instance 1.0.")
    return float(given)


def _lengthscales(given: Any) -> np.ndarray | None:
    if given is None:
        return None
    check_unmasked(given, "lengthscales")
    try:
        lengthscales = np.asarray(given, float)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"lengthscales must be None (chosen) or positive numbers, one or [D], got {given!r}."
        ) from error
    if lengthscales.ndim > 1 or not (np.isfinite(lengthscales) & (lengthscales > 0)).all():
        raise ValueError(f"lengthscales must be positive numbers, one or [D], got {given!r}.")
    return lengthscales


def _preprocessings(given: Any, num_channels: int, max_channels: int) -> list[Preprocessing]:
    if given is None:
        given = "auto"
    if isinstance(given, str):
        if given != "auto":
            raise ValueError(f'preprocessing must be "auto", a Preprocessing, a dict or a list, got {given!r}.')
        return candidates(num_channels, max_channels)
    if not isinstance(given, (Preprocessing, dict, Sequence)):
        raise TypeError(f'preprocessing must be "auto", a Preprocessing, a dict or a list of these, got {given!r}.')
    listed = [given] if isinstance(given, (Preprocessing, dict)) else list(given)
    if not listed:
        raise ValueError('preprocessing must name at least one Preprocessing, got an empty list: or give "auto".')
    found = []
    for one in listed:
        if not isinstance(one, (Preprocessing, dict)):
            raise TypeError(f"preprocessing must hold Preprocessing objects or dicts, got {one!r}.")
        if isinstance(one, dict) and not one.keys() <= _FIELDS.keys():
            unknown = ", ".join(repr(name) for name in one.keys() - _FIELDS.keys())
            raise TypeError(f"preprocessing must have fields among {', '.join(_FIELDS)}, got {unknown}.")
        found.append(one if isinstance(one, Preprocessing) else Preprocessing(**one))
    return found


def _affordable(num_series: int, num_latents: int) -> int:
    """How many features the final fit has time and memory for."""
    by_time = (_STEP_BUDGET / (num_series * num_latents)) ** 0.5
    by_memory = (_MAX_COVARIANCE / num_latents) ** 0.5
    return max(int(min(_MAX_WORDS, by_time, by_memory)), 2)
