"""The parameters of a lifted kernel in a large training set: a search among neighbours, validated on many series."""

from collections.abc import Callable
from dataclasses import replace

from ..lifted import LiftedKernel
from .candidate import LiftedCandidate

_STEPS = (2, 1)  # in factors of √2: first far, then near


def neighbours(
    start: LiftedCandidate, validated: Callable[[LiftedCandidate], LiftedCandidate], most: int
) -> list[LiftedCandidate]:
    """
    Multiply and divide one parameter after the other for as long as the validation NLPP falls.

    In a large training set this goes further than the gradient, which sees a few hundred series, too few of each of
    many classes, and knows no calibration.

    :param start: a validated candidate.
    :param validated: validates a candidate.
    :param most: the largest number of candidates that are validated.
    :return: all that were validated.
    """
    num_parameters = 2 if start.kernel.time_scale is None else 3
    best, at = start, (0,) * num_parameters
    seen, found = {at}, list[LiftedCandidate]()
    for step in _STEPS:
        moves = [(i, sign * step) for sign in (1, -1) for i in range(num_parameters)]
        failed = 0
        while failed < len(moves):
            i, by = moves[failed]
            to = (*at[:i], at[i] + by, *at[i + 1 :])
            if to in seen:
                failed += 1
                continue
            if len(found) == most:
                return found
            seen.add(to)
            found.append(validated(replace(start, kernel=_moved(start.kernel, to))))
            if found[-1].validation_nlpp < best.validation_nlpp:
                best, at = found[-1], to
                moves = [moves[failed], *moves[:failed], *moves[failed + 1 :]]  # on in this direction
                failed = 0
            else:
                failed += 1
    return found


def _moved(kernel: LiftedKernel, steps: tuple[int, ...]) -> LiftedKernel:
    """The kernel with so many factors of √2 in the variance, in the lengthscales and in the scale of time."""
    of_variance, of_lengthscales, *of_time = (2.0 ** (number / 2) for number in steps)
    moved = replace(
        kernel,
        variance=kernel.variance * of_variance,
        lengthscales=tuple(value * of_lengthscales for value in kernel.lengthscales),
    )
    return replace(moved, time_scale=moved.time_scale * of_time[0]) if moved.time_scale is not None else moved
