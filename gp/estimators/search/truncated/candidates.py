"""Candidates: preprocessings, ranked by their evidence, before and after their lengthscales are optimised."""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from ...panels import Series
from ...preprocessing import Preprocessing, Preprocessor
from ..rows import subset
from .evidence import Optimum, grams_of, level_grams, maximise

MAX_DEPTH = 8
_SCREENED_SERIES = 200  # each candidate takes some 50 Cholesky factors of matrices of this size: about a second
_REFINED_SERIES = 300
_REFINE_STEPS = 40
_MAX_NUMBERS = 4_000_000  # time steps times words of all series, in an optimisation of lengthscales


@dataclass(frozen=True)
class Candidate:
    """A preprocessing, with its depth, its lengthscales and its evidence on the training set."""

    preprocessor: Preprocessor
    depth: int
    base_lengthscales: np.ndarray
    """The lengthscales to start from: the deviation of each channel of the training set's paths, [D]."""
    groups: np.ndarray
    """The number of the lengthscale of each channel, [D]."""
    optimum: Optimum

    @property
    def preprocessing(self) -> Preprocessing:
        """How series become paths."""
        return self.preprocessor.preprocessing

    @property
    def lengthscales(self) -> np.ndarray:
        """The lengthscale of each channel, in the paths' units, [D]."""
        logs = self.optimum.log_lengthscales
        return self.base_lengthscales * (np.exp(logs[self.groups]) if len(logs) else 1.0)


def depth_of(num_channels: int, max_words: int) -> int:
    """The greatest depth with at most ``max_words`` words, and at least 1."""
    depth, words = 1, 1 + num_channels
    while depth < MAX_DEPTH and words + num_channels ** (depth + 1) <= max_words:
        depth += 1
        words += num_channels**depth
    return depth


@dataclass(frozen=True)
class Search:
    """A training set, and what is common to all candidates."""

    series: Series
    Y: np.ndarray
    """The targets of the regression, [N, C]."""
    labels: np.ndarray | None
    """The classes, in whose proportions subsets are drawn, [N]. None: regression."""
    max_words: int
    max_length: int
    random: np.random.Generator
    report: Callable[[str], None]

    def screen(
        self,
        preprocessings: Sequence[Preprocessing],
        lengthscales: np.ndarray | None = None,
        *,
        num_series: int = _SCREENED_SERIES,
    ) -> list[Candidate]:
        """The candidates, best first. Where no lengthscales are given, the channels' deviations serve."""
        rows = subset(self.labels, len(self.series), num_series, self.random)
        found = []
        for i, preprocessing in enumerate(preprocessings):
            start = time.perf_counter()
            candidate, X = self._candidate(preprocessing, rows, lengthscales)
            try:
                grams = level_grams(X / candidate.base_lengthscales, candidate.depth)
            except tf.errors.InvalidArgumentError as error:
                raise ValueError(too_short(candidate)) from error
            optimum = maximise(functools.partial(_constant, grams), self.Y[rows], candidate.depth + 1, 0)
            found.append(replace(candidate, optimum=optimum))
            self.report(
                f"candidate {i + 1}/{len(preprocessings)}: {preprocessing}; evidence {optimum.evidence:.3f} "
                f"({time.perf_counter() - start:.1f} s)"
            )
        return sorted(found, key=lambda candidate: -candidate.optimum.evidence)

    def refine(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The same candidates, with an optimised lengthscale for each channel, best first."""
        found = []
        for i, candidate in enumerate(candidates):
            start = time.perf_counter()
            rows = subset(self.labels, len(self.series), self._refined_series(candidate), self.random)
            X = candidate.preprocessor.paths([self.series[row] for row in rows])
            grams = grams_of(X / candidate.base_lengthscales, candidate.depth, candidate.groups)
            num_lengthscales = int(candidate.groups.max()) + 1
            begin = np.r_[candidate.optimum.start, np.zeros(num_lengthscales)]
            optimum = maximise(
                grams, self.Y[rows], candidate.depth + 1, num_lengthscales, start=begin, steps=_REFINE_STEPS
            )
            found.append(replace(candidate, optimum=optimum))
            self.report(
                f"lengthscales {i + 1}/{len(candidates)}: {candidate.preprocessing}; evidence {optimum.evidence:.3f} "
                f"({time.perf_counter() - start:.1f} s)"
            )
        return sorted(found, key=lambda candidate: -candidate.optimum.evidence)

    def _candidate(
        self, preprocessing: Preprocessing, rows: np.ndarray, lengthscales: np.ndarray | None
    ) -> tuple[Candidate, np.ndarray]:
        preprocessor = Preprocessor.fitted(preprocessing, self.series, self.max_length)
        X = preprocessor.paths([self.series[row] for row in rows])
        groups = preprocessing.channel_groups(self.series[0].shape[1])
        if lengthscales is None:
            deviation = X.reshape(-1, X.shape[2]).std(axis=0)
            base = np.where(deviation > 1e-12 * (1 + np.abs(X).max(axis=(0, 1))), deviation, 1.0)
            base = _within_groups(base, groups)
        else:
            base = _for_channels(lengthscales, X.shape[2], preprocessing)
        none = Optimum(-np.inf, np.ones(0), 1.0, np.zeros(0))
        return Candidate(preprocessor, depth_of(X.shape[2], self.max_words), base, groups, none), X

    def _refined_series(self, candidate: Candidate) -> int:
        words = len(candidate.groups) ** candidate.depth * 2
        steps = max(min(len(one), self.max_length) for one in self.series) * (1 + candidate.preprocessing.lead_lag)
        return int(np.clip(_MAX_NUMBERS * 10 // (words * steps), 100, _REFINED_SERIES))


def too_short(candidate: Candidate) -> str:
    """The message of an error where the signature or its kernel overflows at a candidate's lengthscales."""
    return (
        "lengthscales must be long enough for the signature kernel of the series to stay finite, got "
        f"{candidate.lengthscales.tolist()} for the channels of the paths ({candidate.preprocessing}): give longer "
        "ones, None to have them chosen, or level_variances=True."
    )


def _within_groups(base: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """For each channel, the mean over its group."""
    return np.array([base[groups == group].mean() for group in groups])


def _for_channels(lengthscales: np.ndarray, num_channels: int, preprocessing: Preprocessing) -> np.ndarray:
    if lengthscales.shape not in ((), (num_channels,)):
        raise ValueError(
            f"lengthscales must be one number or one for each of the {num_channels} channels of the paths "
            f"({preprocessing}), got shape {lengthscales.shape}: fix preprocessing along with them."
        )
    return np.broadcast_to(lengthscales, (num_channels,)).astype(float)


def _constant(grams: tf.Tensor, lengthscales: tf.Tensor) -> tf.Tensor:
    """Gram matrices whose lengthscales are fixed."""
    return grams
