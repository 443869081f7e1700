"""The parameters of a lifted kernel in a large training set: a search among neighbours, by validation on many series."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..lifted import LiftedKernel
from .candidate import LiftedCandidate

_FACTORS = (2.0, 2.0**0.5)  # by which a parameter is multiplied or divided: first far, then near


def improved(
    best: LiftedCandidate, validated: Callable[[LiftedCandidate], LiftedCandidate], most: int
) -> list[LiftedCandidate]:
    """
    Change one parameter after the other for as long as the validation NLPP falls.

    Gradients do less here. They move all parameters at once, but by a criterion that knows no calibration, and by a few
    hundred series, of which many classes leave too few each.

    :param best: where to start, validated.
    :param validated: validates a candidate.
    :param most: how many candidates are validated at most.
    :return: all that were validated.
    """
    found: list[LiftedCandidate] = []
    for factor in _FACTORS:
        moves = list(_moves(best.kernel, factor))
        failed = 0
        while failed < len(moves):
            move = moves[0]
            while True:
                if len(found) == most:
                    return found
                one = validated(replace(best, kernel=move(best.kernel)))
                found.append(one)
                if one.validation_nlpp >= best.validation_nlpp:
                    break
                best, failed = one, 0
            failed += 1
            moves = [*moves[1:], move]
    return found


def _moves(kernel: LiftedKernel, factor: float) -> Iterator[Callable[[LiftedKernel], LiftedKernel]]:
    """Each parameter times and over the factor; the scale of time beside the lengthscale stays as it is."""
    for by in (factor, 1.0 / factor):
        yield lambda one, by=by: replace(one, variance=one.variance * by)
        if kernel.time_scale is not None:
            yield lambda one, by=by: replace(one, time_scale=one.time_scale * by)
        yield lambda one, by=by: replace(one, lengthscales=tuple(value * by for value in one.lengthscales))
