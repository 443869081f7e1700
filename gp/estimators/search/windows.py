"""Candidates with the signature kernel of windows that are not differenced: for shapes that recur anywhere."""

from dataclasses import replace

from ..lifted import LiftedKernel
from .candidate import Bench, LiftedCandidate
from .lifted import with_lengthscale

_WINDOWS = (5, 9)
_DILATIONS = (1, 2, 4, 8, 16)
_LENGTHSCALES = (0.15, 0.3)  # in medians of the distances between windows
_VARIANCES = (4.0, 32.0)
_FIRST = 0.2, 12.0  # the lengthscale and the variance by which shapes of windows are compared


def candidates(bench: Bench) -> list[LiftedCandidate]:
    """All lengths and dilations of windows, as they are, centred, or scaled by themselves."""
    found = []
    for preprocessor in bench.preprocessors(bench.length):
        scaling = preprocessor.preprocessing.scaling
        for centre, scale in ((False, False), (True, False), (True, True)):
            if scale and scaling == "series":
                continue  # scaled windows do not depend on it
            for window in _WINDOWS:
                for dilation in _DILATIONS:
                    kernel = LiftedKernel(
                        kind="windows",
                        difference=False,
                        window=window,
                        dilation=dilation,
                        centre=centre,
                        scale=scale,
                        variance=_FIRST[1],
                    )
                    if kernel.span < bench.length / 2 or (window, dilation) == (_WINDOWS[0], 1):
                        kernel = replace(kernel, stride=-(-kernel.num_points(bench.length) // bench.max_points))
                        found.append(of_median(bench, LiftedCandidate(preprocessor, kernel), _FIRST[0]))
    return found


def of_median(bench: Bench, candidate: LiftedCandidate, factor: float) -> LiftedCandidate:
    """The candidate with a lengthscale of so many medians."""
    plain = replace(candidate.kernel, lengthscales=(1.0,))
    median = bench.median_distance(candidate.preprocessor, plain)
    return replace(candidate, kernel=with_lengthscale(plain, factor * median))


def variations(bench: Bench, candidate: LiftedCandidate) -> list[LiftedCandidate]:
    """The same windows with other lengthscales and variances."""
    return [
        of_median(bench, replace(candidate, kernel=replace(candidate.kernel, variance=variance)), factor)
        for factor in _LENGTHSCALES
        for variance in _VARIANCES
    ]
