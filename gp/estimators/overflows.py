"""Series whose signature kernel is too large for floating-point numbers: which they are, and what to do about them."""

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

OVERFLOWS = (tf.errors.InvalidArgumentError, OverflowError)
"""What is raised where a signature or its kernel overflows."""


def too_far(compute: Callable[[Any], Any], series: Iterable[Any], *, first: int = 0, level_variances: bool) -> str:
    """
    The message of an error that names the series for which ``compute`` overflows.

    :param compute: takes one of the series.
    :param series: each in the form that ``compute`` takes.
    :param first: the number of the first of them.
    :param level_variances: whether each level of the signature has a variance of its own already, which is one cure.
    """
    far = [number for number, one in enumerate(series, first) if _overflows(compute, one)]
    named = ", ".join(str(number) for number in far[:5]) + (", ..." if len(far) > 5 else "")
    cure = "" if level_variances else "level_variances=True, or with "
    return (
        f"X must hold series that reach no farther than the training set's by orders of magnitude, got series {named}, "
        f"whose signature kernel overflows: drop or rescale these series, or fit with {cure}"
        'preprocessing={"scaling": "series"}, which scales each series by itself.'
    )


def _overflows(compute: Callable[[Any], Any], one: Any) -> bool:
    try:
        compute(one)
    except OVERFLOWS:
        return True
    return False
