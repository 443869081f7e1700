"""The fit of a lifted kernel to the whole training set: by least squares, or by another fit that predicts better."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from .._chunks import row_slices
from ..training.logistic import LogisticRegression
from ..training.ridge import whitened_root
from .calibration import fit_calibration
from .fits import FITS, LEAST_SQUARES, LinkedFit, chosen, compared, has_enough, identity_calibration, num_compared
from .least_squares import LeastSquares, fit_features
from .lifted import LiftedKernel
from .model import in_precision
from .options import Options
from .process import LiftedProcess
from .search.candidate import LiftedCandidate
from .search.rows import subset
from .tasks import Task

_EXACT = 2000  # series, up to which all are inducing
_WORK = 6e10  # cells of the kernel's matrix, at effort 1
_ALGEBRA = 3e11  # multiply-adds of the decompositions, at effort 1
_FIRST_SHARE = 4  # a sparse fit starts with this part of the inducing series that it can afford
_GAIN = 0.02, 0.002  # of the NLPP, relative and in nats, for which the inducing series are doubled
_COMPARED = 2000  # series by which this gain is measured
_DOUBLE = 2e9  # cells, up to which they are computed in double precision
_FEATURES = 1.2e8  # numbers: 1 GB
_TOLERANCES = {"float32": 1e-5, "float64": 1e-9}  # of the solver
_CUT_OFFS = {"float32": 1e-6, "float64": 1e-11}
"""Directions of the inducing series' kernel with an eigenvalue below this part of the largest are left out."""
_SMALLEST_RIDGE = 1e-6  # GPflow adds as much to the inducing series' kernel
_BATCH = 512


@dataclass(frozen=True)
class FinalFit:
    """A process, and what it makes of its training set."""

    process: LiftedProcess
    calibration: LogisticRegression | None
    """From the process to probabilities. None: a regression, and sites, which average over f."""
    method: str
    """A key of ``nlpps``, or least squares where nothing was compared."""
    nlpps: dict[str, float]
    """Of fits to other folds, for each method that was compared."""


def num_inducing(candidate: LiftedCandidate, num_series: int, length: int, num_channels: int, options: Options) -> int:
    """How many inducing series a fit can afford; all, where there are some two thousand."""
    if options.num_inducing is not None:
        return min(options.num_inducing, num_series)
    of_pair = candidate.kernel.work(length, num_channels)
    by_work = _WORK * options.effort / (num_series * of_pair)
    # N M² for the products of features, and some 8 M³ for two decompositions
    by_algebra = (_ALGEBRA * options.effort / (num_series + 8 * min(num_series, 3000))) ** 0.5
    by_memory = _FEATURES / num_series
    most = min(by_work, by_algebra, by_memory)
    if num_series <= _EXACT and most >= num_series / 2:
        return num_series
    return max(min(int(most), num_series), min(num_series, 20))


def fit_lifted(
    candidate: LiftedCandidate,
    flat: np.ndarray,
    task: Task,
    options: Options,
    *,
    num_channels: int,
    random: np.random.Generator,
    report: Callable[[str], None],
) -> FinalFit:
    """
    Fit to flattened paths.

    A sparse fit starts with a quarter of the inducing series that it can afford, and doubles them while the NLPP of
    series that were left out falls by 2%.

    :param flat: the paths of the whole training set, [N, L * D].
    """
    num_series, length = len(flat), flat.shape[1] // num_channels
    mixed = random.permutation(num_series)  # for the reason that Bench.rows gives
    flat, task = flat[mixed], task.of(mixed)
    most = num_inducing(candidate, num_series, length, num_channels, options)
    cells = num_series * most * candidate.kernel.work(length, num_channels)
    dtype = "float64" if cells <= _DOUBLE * max(options.effort, 1.0) else "float32"
    features = _Features(candidate.kernel, num_channels, flat.astype(dtype))
    # The series of a smaller number are among those of a larger one.
    order = np.arange(num_series) if most == num_series else _nested(task.strata, num_series, most, random)
    compared = np.sort(random.permutation(num_series)[:_COMPARED])
    M = most if most == num_series or options.num_inducing is not None else -(-most // _FIRST_SHARE)
    best_nlpp = np.inf
    while True:
        phi, W = features.of(order[:M])
        found = fit_features(phi, task.columns, task.series_weights, smallest_ridge=_SMALLEST_RIDGE)
        nlpp = float(np.mean(task.left_out_nlpp(found.of(compared), compared))) if most > M else 0.0
        report(f"fit with {M} of {num_series} series as inducing series, in {dtype}")
        if most == M or best_nlpp - nlpp < _GAIN[0] * abs(nlpp) + _GAIN[1]:
            break
        M, best_nlpp = min(2 * M, most), nlpp
    unfitted = LiftedProcess(
        kernel=candidate.kernel,
        num_channels=num_channels,
        tolerance=_TOLERANCES[dtype],
        num_series=num_series,
        inducing=features.paths[order[:M]],
        alpha=W @ found.weights,
        offset=found.offset,
        variance=found.scale,
        noise=max(found.noise, task.smallest_noise),
        root=None,
    )
    is_small = most == num_series and unfitted.is_model_affordable
    method, nlpps = _method(features.values, task, num_compared(task, options.effort) if is_small else 0, random)
    for name, nlpp in nlpps.items():
        report(f"held-out NLPP {nlpp:.4f} by {name}")
    if method != LEAST_SQUARES:
        linked = FITS[method](phi, task, np.arange(num_series))
        calibration = identity_calibration(linked.weights.shape[1]) if linked.at_mode else None
        return FinalFit(_linked(unfitted, linked, W), calibration, method, nlpps)
    return FinalFit(_of_least_squares(unfitted, found, W), _calibration(found, task), method, nlpps)


class _Features:
    """The features of a training set by inducing series, of which the kernel's values are kept."""

    def __init__(self, kernel: LiftedKernel, num_channels: int, paths: np.ndarray) -> None:
        """:param paths: flattened paths, in the precision in which the kernel is computed."""
        self.kernel, self.num_channels, self.paths = kernel, num_channels, paths
        self._inducing = np.empty(0, int)
        self._K = np.empty((len(paths), 0))

    def of(self, inducing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Features [N, .], and the matrix W [M, .] that makes them of the kernel's values.

        :param inducing: the numbers of the inducing series, those of the last call first.
        """
        self._extend(inducing)
        dtype = self.paths.dtype.name
        eigenvalues, vectors = np.linalg.eigh((self._K[inducing] + self._K[inducing].T) / 2)
        kept = eigenvalues > _CUT_OFFS[dtype] * max(eigenvalues[-1], 1e-300)
        W = vectors[:, kept] / np.sqrt(eigenvalues[kept])
        return self._K @ W, W

    @property
    def values(self) -> np.ndarray:
        """The kernel of all series and the inducing series of the last call, [N, M]."""
        return self._K

    def _extend(self, inducing: np.ndarray) -> None:
        """Compute the columns of the inducing series that are new."""
        new = inducing[len(self._inducing) :]
        dtype, num_series = self.paths.dtype.name, len(self.paths)
        if len(new) == num_series and np.array_equal(new, np.arange(num_series)):
            self._K = kernel_matrix(self.kernel, self.num_channels, self.paths, None, dtype).astype(float)
        else:
            parts = [
                kernel_matrix(self.kernel, self.num_channels, self.paths[rows], self.paths[new], dtype)
                for rows in row_slices(num_series, _BATCH)
            ]
            self._K = np.concatenate([self._K, np.concatenate(parts)], axis=1)
        self._inducing = inducing


def _nested(strata: np.ndarray | None, num_series: int, size: int, random: np.random.Generator) -> np.ndarray:
    """The numbers of ``size`` series in a random order, in which the classes are mixed evenly."""
    return random.permutation(subset(strata, num_series, size, random))


def kernel_matrix(
    kernel: LiftedKernel, num_channels: int, X: np.ndarray, Z: np.ndarray | None, dtype: str
) -> np.ndarray:
    """The kernel of flattened paths, in this precision."""
    with in_precision(dtype):
        k = kernel.kernel(num_channels, tolerance=_TOLERANCES[dtype])
        return k(tf.constant(X), None if Z is None else tf.constant(Z)).numpy()


def _method(gram: np.ndarray, task: Task, num_rows: int, random: np.random.Generator) -> tuple[str, dict[str, float]]:
    """Which fit predicts held-out series best, and the NLPP of each; least squares, where none can be held out."""
    if not num_rows:
        return LEAST_SQUARES, {}
    rows = random.permutation(subset(task.strata, len(gram), num_rows, random))
    if not has_enough(task, rows):
        return LEAST_SQUARES, {}
    nlpps, weights = compared(gram[np.ix_(rows, rows)], task, rows), task.series_weights[rows]
    means = {name: float(np.average(nlpp, weights=weights)) for name, nlpp in nlpps.items()}
    return chosen(nlpps, weights), means


def _of_least_squares(unfitted: LiftedProcess, found: LeastSquares, W: np.ndarray) -> LiftedProcess:
    """The process with the covariance of its features' weights; not, where the model would not fit into memory."""
    decomposition = found.decomposition
    explained = decomposition.eigenvalues / (decomposition.eigenvalues + found.ridge)
    if unfitted.is_model_affordable:
        unfitted.root = whitened_root(_whitened(unfitted, W) @ (decomposition.vectors * np.sqrt(explained)))
    return unfitted


def _linked(unfitted: LiftedProcess, found: LinkedFit, W: np.ndarray) -> LiftedProcess:
    process = replace(
        unfitted, alpha=W @ found.weights, offset=found.offset, variance=found.variance, likelihood="link"
    )
    whitened, roots = _whitened(process, W), []
    for S in found.covariances:
        explained, vectors = np.linalg.eigh(np.eye(len(S)) - S)
        roots.append(whitened_root(whitened @ (vectors * np.sqrt(np.maximum(explained, 0.0)))))
    process.root = np.stack(roots)
    return process


def _whitened(process: LiftedProcess, W: np.ndarray) -> np.ndarray:
    """From features to GPflow's whitened coordinates of the inducing series, [M, .]."""
    unit = process.kuu_factor() / np.sqrt(process.variance)  # that of the kernel whose variance is 1
    return unit.T @ W


def _calibration(found: LeastSquares, task: Task) -> LogisticRegression | None:
    if task.strata is None:
        return None
    of_scores = fit_calibration(found.scores, task.strata, task.series_weights)
    # The process has the classes' frequencies in its mean, the scores have not.
    intercepts = of_scores.intercepts - found.offset @ of_scores.coefficients
    return LogisticRegression(of_scores.coefficients, intercepts)
