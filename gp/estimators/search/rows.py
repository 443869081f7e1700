"""Which series of a training set serve to compare candidates, in which folds, and what was found for each."""

from dataclasses import dataclass

import numpy as np

FOLDS = 5


@dataclass(frozen=True)
class LeftOut:
    """How well series were predicted from which they were left out."""

    rows: np.ndarray
    """The numbers of the series, [n]."""
    nlpps: np.ndarray
    """−log p(y | x) of each, [n]."""

    def is_surely_better(self, other: "LeftOut") -> bool:
        """Whether the mean is lower by more than one standard error of the difference, over the series of both."""
        common, mine, its = np.intersect1d(self.rows, other.rows, return_indices=True)
        if len(common) < 2:
            return bool(self.nlpps.mean() < other.nlpps.mean())
        return is_sure(other.nlpps[its] - self.nlpps[mine])


def is_sure(gains: np.ndarray, weights: np.ndarray | None = None) -> bool:
    """Whether the mean of what each series gains is larger than one standard error."""
    return bool(np.average(gains, weights=weights) > np.std(gains) / len(gains) ** 0.5)


def subset(groups: np.ndarray | None, num_series: int, size: int, random: np.random.Generator) -> np.ndarray:
    """The numbers of ``size`` series drawn at random, each group in its proportion; all, where there are no more."""
    order = random.permutation(num_series)
    if size >= num_series:
        return np.arange(num_series)
    if groups is None:
        return np.sort(order[:size])
    share = np.empty(num_series)
    for group in np.unique(groups):
        members = order[groups[order] == group]
        share[members] = (np.arange(len(members)) + 0.5) / len(members)
        share[members[0]] = 0.0  # one of each group is always drawn
    return np.sort(np.argsort(share, kind="stable")[:size])


def folds(strata: np.ndarray | None, num_series: int) -> np.ndarray:
    """The fold of each series, [N]; the series of each stratum are spread evenly over the folds."""
    order = np.arange(num_series) if strata is None else np.argsort(strata, kind="stable")
    fold = np.empty(num_series, int)
    fold[order] = np.arange(num_series) % min(FOLDS, num_series)
    return fold
