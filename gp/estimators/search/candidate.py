"""Candidates with a lifted kernel: how they are screened, and validated on left-out series."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import tensorflow as tf

from ..least_squares import fit_gram
from ..lifted import LiftedKernel
from ..model import in_precision
from ..options import Options
from ..panels import Series
from ..preprocessing import Preprocessing, Preprocessor
from ..tasks import Task
from .rows import LeftOut, subset

TOLERANCE = 1e-4  # of the solver, in the search
POINTS = 110  # of a long series, at effort 1
_LITTLE_EFFORT = 0.1
_SMALLEST_RIDGE = 1e-5  # kernels are no more accurate
_ALGEBRA = 0.25  # cells that take as long as the algebra of a candidate, over the cube of the number of series
_MEDIAN_SERIES = 100
_MEDIAN_POINTS = 600


@dataclass(frozen=True)
class LiftedCandidate:
    """A lifted kernel with the scaling of series before it, and what has been found out about the two."""

    preprocessor: Preprocessor
    kernel: LiftedKernel
    screening_nlpp: float = np.inf
    """A quick NLPP of series that were left out, with one factor as the calibration; of numbers, −log evidence."""
    validation_nlpp: float = np.inf
    """The mean of −log p(y | x) over series that were left out, in nats."""
    left_out: LeftOut | None = field(default=None, compare=False, repr=False)
    """The parts of this mean."""
    ridge: float = 0.03
    """Of the least squares by which it was validated."""
    stage: str = "screened"

    def row(self) -> dict:
        """A row of the table of candidates."""
        return {
            "stage": self.stage,
            **self.kernel.to_dict(),
            "scaling": self.preprocessor.preprocessing.scaling,
            "screening_nlpp": float(self.screening_nlpp) if np.isfinite(self.screening_nlpp) else None,
            "validation_nlpp": float(self.validation_nlpp) if np.isfinite(self.validation_nlpp) else None,
        }

    def __str__(self) -> str:
        return f"scaling by {self.preprocessor.preprocessing.scaling}, {self.kernel}"


@dataclass
class Bench:
    """A training set on which lifted candidates are compared, and the table of all that were tried."""

    series: Series
    task: Task
    options: Options
    random: np.random.Generator
    report: Callable[[str], None]
    table: list[LiftedCandidate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.length = max(len(one) for one in self.series)
        self.num_channels = self.series[0].shape[1]
        self.max_points = int(min(self.options.max_length, max(POINTS * self.options.effort**0.5, 10)))

    def preprocessors(self, max_length: int) -> list[Preprocessor]:
        """Both scalings of the series; one, where the series have been scaled one by one."""
        found = [self._preprocessor(scaling, max_length) for scaling in ("set", "series")]
        deviations = np.stack([one.std(axis=0) for one in self.series])
        means = np.stack([one.mean(axis=0) for one in self.series])
        of_set = np.where(found[0].deviation > 0, found[0].deviation, 1.0)
        is_scaled = (
            np.max(np.abs(means - found[0].mean) / of_set) < 1e-2
            and np.max(np.abs(deviations - found[0].deviation) / of_set) < 1e-2
        )
        return found[:1] if is_scaled else found

    def _preprocessor(self, scaling: str, max_length: int) -> Preprocessor:
        how = Preprocessing(scaling=scaling, base_point=False, time=False)
        return Preprocessor.fitted(how, self.series, max_length)

    def num_series(self, work: float, kernels: Sequence[LiftedKernel], *, most: int = 300) -> int:
        """
        How many series these kernels can be compared on for so much work, from 40 up to ``most``.

        :param work: cells, of all kernels together at effort 1. The algebra of N series counts as N³ / 4 cells.
        """
        work *= self.options.effort
        of_pair = sum(kernel.work(self.length, self.num_channels) for kernel in kernels) / 2
        by_algebra = (work / (_ALGEBRA * len(kernels))) ** (1 / 3)
        return int(np.clip(min((work / of_pair) ** 0.5, by_algebra), 40, most))

    def work_of(self, candidate: LiftedCandidate, size: int) -> float:
        """The cells, with those that stand for the algebra, of a candidate on so many series."""
        return candidate.kernel.work(self.length, self.num_channels) * size**2 / 2 + _ALGEBRA * size**3

    @property
    def is_hasty(self) -> bool:
        """Whether little effort is asked for."""
        return self.options.effort < _LITTLE_EFFORT

    def affordable(self, candidates: Sequence[LiftedCandidate]) -> list[LiftedCandidate]:
        """All of the candidates, or every fifth where little effort is asked for."""
        return list(candidates)[:: 5 if self.is_hasty else 1]

    def rows(self, size: int) -> np.ndarray:
        """
        The numbers of so many series, drawn at random and in a random order.

        The solver treats neighbours alike, so that its errors are alike for them. Were they of the same class, as in
        training sets that are sorted by class, these errors would tell the class.
        """
        return self.random.permutation(subset(self.task.strata, len(self.series), size, self.random))

    def median_distance(self, preprocessor: Preprocessor, kernel: LiftedKernel) -> float:
        """The median distance between points that the RBF kernel sees, in its lengthscales; 1 where it is 0."""
        random = np.random.default_rng(0)
        rows = random.permutation(len(self.series))[:_MEDIAN_SERIES]
        points = kernel.points(preprocessor.paths([self.series[row] for row in rows]))
        points = points[random.permutation(len(points))[:_MEDIAN_POINTS]]
        squares = np.sum(np.square(points[:, None] - points[None]), axis=2)
        median = float(np.sqrt(np.median(squares[np.triu_indices(len(points), 1)]))) if len(points) > 1 else 0.0
        return median if median > 0 else float(np.sqrt(squares.max())) or 1.0

    def screened(self, candidates: Sequence[LiftedCandidate], rows: np.ndarray) -> list[LiftedCandidate]:
        """The candidates with their screening NLPP on these series, best first."""
        found = []
        for candidate in candidates:
            gram = self._gram(candidate, rows)
            nlpp = np.inf if gram is None else self.task.screening_nlpp(gram, rows)
            found.append(replace(candidate, screening_nlpp=nlpp))
            self.report(f"screening NLPP {nlpp:.4f}: {candidate}")
        return sorted(found, key=lambda candidate: candidate.screening_nlpp)

    def validated(self, candidate: LiftedCandidate, rows: np.ndarray, stage: str) -> LiftedCandidate:
        """The candidate with its NLPP on these series, each left out in turn."""
        weights = self.task.series_weights[rows]
        gram, left_out, nlpp, ridge = self._gram(candidate, rows), None, np.inf, candidate.ridge
        if gram is not None:
            fit = fit_gram(gram, self.task.columns[rows], weights, smallest_ridge=_SMALLEST_RIDGE)
            left_out, ridge = LeftOut(rows, self.task.left_out_nlpp(fit, rows)), fit.ridge
            nlpp = float(np.average(left_out.nlpps, weights=weights))
        found = replace(candidate, validation_nlpp=nlpp, left_out=left_out, ridge=ridge, stage=stage)
        self.report(f"validation NLPP {nlpp:.4f}, {stage}: {candidate}")
        return found

    def _gram(self, candidate: LiftedCandidate, rows: np.ndarray) -> np.ndarray | None:
        """The Gram matrix of these series; None where the kernel of one of them is too large for float32."""
        paths = candidate.preprocessor.paths([self.series[row] for row in rows])
        with in_precision("float32"):
            kernel = candidate.kernel.kernel(paths.shape[2], tolerance=TOLERANCE)
            try:
                gram = kernel(tf.constant(paths.reshape(len(paths), -1), tf.float32)).numpy().astype(float)
            except tf.errors.InvalidArgumentError:
                return None
        return gram if np.isfinite(gram).all() else None
