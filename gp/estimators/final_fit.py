"""The fit of a lifted kernel to the whole training set, by least squares with inducing series."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from .._chunks import row_slices
from ..training.logistic import LogisticRegression
from .calibration import fit_calibration
from .least_squares import LeastSquares, fit_features
from .lifted import LiftedKernel
from .model import in_precision
from .options import Options
from .process import LeastSquaresProcess, whitened_root
from .search.candidate import LiftedCandidate
from .search.rows import subset
from .tasks import Task

_EXACT = 2000  # series, up to which all are inducing
_WORK = 6e10  # cells of the kernel's matrix, at effort 1
_ALGEBRA = 1.5e11  # multiply-adds of the decompositions, at effort 1
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

    process: LeastSquaresProcess
    calibration: LogisticRegression | None
    """From the process to probabilities. None: a regression."""


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

    :param flat: the paths of the whole training set, [N, L * D].
    """
    num_series, length = len(flat), flat.shape[1] // num_channels
    M = num_inducing(candidate, num_series, length, num_channels, options)
    cells = num_series * M * candidate.kernel.work(length, num_channels)
    dtype = "float64" if cells <= _DOUBLE * max(options.effort, 1.0) else "float32"
    rows = subset(task.strata, num_series, M, random)
    report(f"fit with {M} of {num_series} series as inducing series, in {dtype}")
    Z = flat[rows].astype(dtype)
    K = kernel_matrix(candidate.kernel, num_channels, Z, None, dtype).astype(float)
    eigenvalues, vectors = np.linalg.eigh(K)
    kept = eigenvalues > _CUT_OFFS[dtype] * max(eigenvalues[-1], 1e-300)
    W = vectors[:, kept] / np.sqrt(eigenvalues[kept])
    if num_series == M:
        phi = vectors[:, kept] * np.sqrt(eigenvalues[kept])
    else:
        parts = [
            kernel_matrix(candidate.kernel, num_channels, flat[part].astype(dtype), Z, dtype) @ W
            for part in row_slices(num_series, _BATCH)
        ]
        phi = np.concatenate(parts)
    found = fit_features(phi, task.columns, task.series_weights, smallest_ridge=_SMALLEST_RIDGE)
    process = _process(candidate.kernel, num_channels, Z, W, found, dtype, tolerance=_TOLERANCES[dtype], N=num_series)
    return FinalFit(process, _calibration(found, task))


def kernel_matrix(
    kernel: LiftedKernel, num_channels: int, X: np.ndarray, Z: np.ndarray | None, dtype: str
) -> np.ndarray:
    """The kernel of flattened paths, in this precision."""
    with in_precision(dtype):
        k = kernel.kernel(num_channels, tolerance=_TOLERANCES[dtype])
        return k(tf.constant(X), None if Z is None else tf.constant(Z)).numpy()


def _process(
    kernel: LiftedKernel,
    num_channels: int,
    Z: np.ndarray,
    W: np.ndarray,
    found: LeastSquares,
    dtype: str,
    *,
    tolerance: float,
    N: int,
) -> LeastSquaresProcess:
    decomposition = found.decomposition
    explained = decomposition.eigenvalues / (decomposition.eigenvalues + found.ridge)
    process = LeastSquaresProcess(
        kernel=kernel,
        num_channels=num_channels,
        tolerance=tolerance,
        num_series=N,
        inducing=Z,
        alpha=W @ found.weights,
        offset=found.offset,
        variance=found.scale,
        noise=found.scale * found.ridge,
        root=None,
    )
    if process.is_model_affordable:
        process.root = whitened_root(process.kuu_factor(), W @ (decomposition.vectors * np.sqrt(explained)))
    return process


def _calibration(found: LeastSquares, task: Task) -> LogisticRegression | None:
    if task.strata is None:
        return None
    of_scores = fit_calibration(found.scores, task.strata, task.series_weights)
    # The process has the classes' frequencies in its mean, the scores have not.
    intercepts = of_scores.intercepts - found.offset @ of_scores.coefficients
    return LogisticRegression(of_scores.coefficients, intercepts)
