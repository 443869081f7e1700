"""The whole search: many candidates are ranked by evidence, the best of them by their validation NLPP."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import tensorflow as tf

from ...least_squares import fit_features
from ...options import Options
from ...panels import Series
from ...tasks import Task
from ...threads import one_thread
from ..rows import subset
from .candidates import Candidate, Search, too_short
from .validation import Choice, features_of, validated

_VALIDATED = 6  # so many candidates, the best by evidence, are validated
_REFINED = 2  # so many of those, the best by validation NLPP, get optimised lengthscales
_VALIDATION_SERIES = 300
_VALIDATION_WORK = 2.4e8  # series cubed, times classes: a tenth of a second for each step
_VARIATIONS = (
    8.0,
    4.0,
    2.0,
    1.0,
)  # lengths of the longest path, in lengthscales, for one variance
_QUICK_SERIES = 80
_QUICK_WORDS = 200
_QUICK = 2
_ALIKE = 1e-6  # evidences closer than this belong to the same paths


def choose_truncated(
    series: Series, task: Task, options: Options, random: np.random.Generator, report: Callable[[str], None]
) -> tuple[Choice, list[dict]]:
    """Search as this package's docstring says.

    :return: the choice with the lowest validation NLPP, and a table of all that was tried, best first.
    """
    search = Search(series, task.targets, task.strata, options.max_words, options.max_length, random, report)
    # Matrices this small gain nothing from threads, which are slow where other programs use the cores.
    with one_thread():
        return _Trial(search, task, options).best()


def quick_nlpp(
    series: Series,
    task: Task,
    options: Options,
    rows: np.ndarray,
    random: np.random.Generator,
    report: Callable[[str], None],
) -> float:
    """
    How well a truncated kernel can do, from the evidence on a few series and least squares with the best two ways.

    :param rows: the series on which these are validated.
    :return: the lower of their validation NLPPs.
    """
    max_words = min(options.max_words, _QUICK_WORDS)
    search = Search(series, task.targets, task.strata, max_words, options.max_length, random, report)
    with one_thread():
        screened = search.screen(options.preprocessings, num_series=_QUICK_SERIES)
        found = [_least_squares_nlpp(Choice(one, True), series, task, rows) for one in _distinct(screened)[:_QUICK]]
    return min(found)


def _least_squares_nlpp(choice: Choice, series: Series, task: Task, rows: np.ndarray) -> float:
    features = features_of(choice, [series[row] for row in rows])
    squares = features.mean_squares()
    variances = choice.candidate.optimum.level_shares / np.where(squares > 0, squares, 1.0)
    found = fit_features(features.scaled(variances), task.columns[rows], task.series_weights[rows])
    return float(np.average(task.left_out_nlpp(found, rows), weights=task.series_weights[rows]))


class _Trial:
    """One search, with the table that it fills."""

    def __init__(self, search: Search, task: Task, options: Options) -> None:
        self.search, self.task, self.options = search, task, options
        size = np.clip((_VALIDATION_WORK / task.num_latents) ** (1 / 3), 120, _VALIDATION_SERIES)
        self.rows = subset(task.strata, len(search.series), int(size), search.random)
        self.table: list[dict] = []

    def best(self) -> tuple[Choice, list[dict]]:
        """The choice with the lowest validation NLPP, and the table, best first."""
        screened = self.search.screen(self.options.preprocessings, self.options.lengthscales)
        distinct = _distinct(screened)
        found = [self._validated(Choice(candidate, True)) for candidate in distinct[:_VALIDATED]]
        validated_here = {id(choice.candidate) for choice in found}
        self.table += [_row(Choice(c, True), "screened") for c in screened if id(c) not in validated_here]
        found.sort(key=lambda choice: choice.validation_nlpp)
        if self.options.level_variances is not False and self.options.lengthscales is None:
            refined = self.search.refine([choice.candidate for choice in found[:_REFINED]])
            found += [self._validated(Choice(candidate, True), "lengthscales refined") for candidate in refined]
        best = min(found, key=lambda choice: choice.validation_nlpp)
        if self.options.level_variances is not True:
            plain = self._plain(best.candidate)
            best = min(plain if self.options.level_variances is False else [best, *plain], key=_nlpp)
        self.table.sort(key=lambda row: (row["validation_nlpp"] is None, row["validation_nlpp"] or 0, -row["evidence"]))
        return best, self.table

    def _plain(self, candidate: Candidate) -> list[Choice]:
        """With one variance for all levels, a common factor of the lengthscales decides how much each level counts."""
        found = []
        for variation in (None,) if self.options.lengthscales is not None else _VARIATIONS:
            scaled = candidate if variation is None else self._scaled(candidate, variation)
            try:
                found.append(self._validated(Choice(scaled, False), "one variance for all levels"))
            except (tf.errors.InvalidArgumentError, np.linalg.LinAlgError) as error:  # the kernel overflows
                if variation is None and self.options.level_variances is False:
                    raise ValueError(too_short(candidate)) from error
        return found

    def _scaled(self, candidate: Candidate, variation: float) -> Candidate:
        X = candidate.preprocessor.paths([self.search.series[row] for row in self.rows]) / candidate.lengthscales
        length = np.max(np.sum(np.linalg.norm(np.diff(X, axis=1), axis=2), axis=1), initial=0.0)
        factor = length / variation if length > 0 else 1.0
        return replace(candidate, base_lengthscales=candidate.base_lengthscales * factor)

    def _validated(self, choice: Choice, stage: str = "validated") -> Choice:
        done = validated(choice, self.search.series, self.task, self.rows)
        self.table.append(_row(done, stage))
        self.search.report(f"validation NLPP {done.validation_nlpp:.4f}, {stage}: {done.candidate.preprocessing}")
        return done


def _distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates without those whose paths are another one's, as where the series were scaled before."""
    kept: list[Candidate] = []
    for candidate in candidates:
        if all(abs(candidate.optimum.evidence - other.optimum.evidence) > _ALIKE for other in kept):
            kept.append(candidate)
    return kept


def _nlpp(choice: Choice) -> float:
    return choice.validation_nlpp


def _row(choice: Choice, stage: str) -> dict:
    candidate = choice.candidate
    return {
        "stage": stage,
        **candidate.preprocessing.to_dict(),
        "depth": candidate.depth,
        "level_variances": choice.learned,
        "lengthscales": [float(value) for value in choice.lengthscales],
        "evidence": float(candidate.optimum.evidence),
        "validation_nlpp": float(choice.validation_nlpp) if np.isfinite(choice.validation_nlpp) else None,
    }
