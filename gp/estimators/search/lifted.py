"""Candidates with the signature kernel over an RBF kernel of time and channels."""

from collections.abc import Sequence
from dataclasses import replace

from ..lifted import LiftedKernel
from .candidate import Bench, LiftedCandidate

_TIME_SCALES = (1.0, 4.0, 16.0, 48.0)
_LENGTHSCALES = (0.18, 0.35, 0.6, 1.0)  # in medians of the distances between points
_VARIANCES = (0.25, 4.0)  # beside 1: how much the higher levels of the signature matter


def candidates(bench: Bench) -> list[LiftedCandidate]:
    """
    All scales of time and lengthscales.

    A small scale of time lets a shape count wherever it happens; a large one compares each time step with its like.
    Without time, paths of several channels are compared whatever their speed.
    """
    scales: Sequence[float | None] = _TIME_SCALES if bench.num_channels == 1 else (None, *_TIME_SCALES)
    found = []
    for preprocessor in bench.preprocessors(bench.max_points):
        for scale in scales:
            plain = LiftedKernel(kind="lifted", time_scale=scale)
            median = bench.median_distance(preprocessor, plain)
            for factor in _LENGTHSCALES:
                found.append(LiftedCandidate(preprocessor, with_lengthscale(plain, factor * median)))
    return found


def variations(bench: Bench, candidate: LiftedCandidate) -> list[LiftedCandidate]:
    """The same with other variances."""
    return [replace(candidate, kernel=replace(candidate.kernel, variance=variance)) for variance in _VARIANCES]


def with_lengthscale(kernel: LiftedKernel, lengthscale: float) -> LiftedKernel:
    """The kernel with this lengthscale of time and channels, in place of 1."""
    time_scale = None if kernel.time_scale is None else kernel.time_scale / lengthscale
    return replace(kernel, lengthscales=(lengthscale,), time_scale=time_scale)
