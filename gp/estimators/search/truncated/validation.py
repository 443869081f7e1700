"""The validation NLPP of a candidate, which decides the preprocessing and the kernel of a training set."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from sigkernel_tf.signature_kernels import signature_kernel_diag
from sigkernel_tf.signatures import signature

from ...._chunks import row_slices
from ....kernels.levels import levels_of_words
from ....training.grouped_features import Features, Fit, fit
from ...panels import Series
from ...tasks import Task
from ..rows import LeftOut, folds
from .candidates import Candidate

_BLOCK = 1000  # series whose signatures are computed at a time
_ITERATIONS = 30
_TOLERANCE = 1e-3  # nats for each series
_LABEL_VARIANCE = 4.0  # the variance of log odds to start from, in place of 1 for labels of ±1


@dataclass(frozen=True)
class Choice:
    """A candidate with one of the two kernels: with a variance for each level, or one for all."""

    candidate: Candidate
    learned: bool
    """Whether each level has a variance of its own. Otherwise all have the same, also levels beyond the features."""
    validation_nlpp: float = np.inf
    """The mean of −log p(y | x) over held-out series, in nats."""
    left_out: LeftOut | None = field(default=None, compare=False, repr=False)
    """The parts of this mean."""

    @property
    def lengthscales(self) -> np.ndarray:
        """The lengthscale of each channel, [D]."""
        return self.candidate.lengthscales


def features_of(choice: Choice, series: Series) -> Features:
    """The signature features of series, computed some series at a time."""
    blocks = [_features(choice, series[rows]) for rows in row_slices(len(series), _BLOCK)]
    residuals = [block.residual for block in blocks if block.residual is not None]
    residual = np.concatenate(residuals) if residuals else None
    return Features(np.concatenate([block.S for block in blocks]), blocks[0].groups, residual)


def _features(choice: Choice, series: Series) -> Features:
    paths = choice.candidate.preprocessor.paths(series) / choice.lengthscales
    S = signature(paths, depth=choice.candidate.depth).numpy()
    if choice.learned:
        return Features(S, levels_of_words(paths.shape[2], S.shape[1]))
    residual = np.maximum(signature_kernel_diag(paths).numpy() - np.sum(np.square(S), axis=1), 0.0)
    return Features(S, np.zeros(S.shape[1], int), residual)


def fit_choice(
    choice: Choice,
    features: Features,
    task: Task,
    rows: np.ndarray,
    *,
    max_iterations: int,
    tolerance: float = 3e-4,
    report: Callable[[str], None] = lambda _: None,
) -> Fit:
    """Fit q(u) and the variances to the labels of the series ``rows``, whose features these are."""
    squares = features.mean_squares()
    shares = choice.candidate.optimum.level_shares if choice.learned else np.ones(1)
    scale = _LABEL_VARIANCE if task.strata is not None else 1.0
    variances = np.where(squares > 0, scale * shares / np.where(squares > 0, squares, 1.0), 1.0)
    return fit(
        features,
        variances,
        task.sites(rows),
        task.num_latents,
        max_iterations=max_iterations,
        tolerance=tolerance,
        report=report,
    )


def validated(choice: Choice, series: Series, task: Task, rows: np.ndarray) -> Choice:
    """The choice with its validation NLPP, from a cross-validation over these rows of the training set."""
    features = features_of(choice, [series[row] for row in rows])
    fold = folds(None if task.strata is None else task.strata[rows], len(rows))
    whole = fit_choice(choice, features, task, rows, max_iterations=_ITERATIONS, tolerance=_TOLERANCE)
    scores = np.empty(len(rows))
    for number in range(fold.max() + 1):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        kept = _rows(features, inside)
        # It starts where the fit to all of them ended, and goes on until the held-out series no longer matter.
        found = fit(
            kept,
            whole.variances,
            task.sites(rows[inside]),
            task.num_latents,
            sites=(whole.sites[0][inside], whole.sites[1][inside]),
            max_iterations=_ITERATIONS,
            tolerance=_TOLERANCE,
        )
        mean, variance = _marginals(found, kept, _rows(features, outside))
        scores[outside] = task.nlpp(mean, variance, rows[outside], found.likelihood)
    return replace(choice, validation_nlpp=float(np.mean(scores)), left_out=LeftOut(rows, scores))


def _rows(features: Features, rows: np.ndarray) -> Features:
    residual = None if features.residual is None else features.residual[rows]
    return Features(features.S[rows], features.groups, residual)


def _marginals(found: Fit, inside: Features, outside: Features) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of f at ``outside``, [n, C] each (eq. 29)."""
    q_mu, q_sqrt = found.posterior(inside)
    phi = outside.scaled(found.variances)
    variance = np.stack([np.sum(np.square(phi @ factor), axis=1) for factor in q_sqrt], axis=1)
    if outside.residual is not None:
        variance += (found.variances[0] * outside.residual)[:, None]
    return phi @ q_mu, variance
