"""What is learned from labels: classes or numbers, as the search and the fit need them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..data.classes import logistic_or_softmax_probabilities
from ..training.closed_form import SiteLikelihood
from ..training.sites import GaussianSites, LogisticSites, SoftmaxSites

_SMALLEST_PROBABILITY = 1e-12


class Task(Protocol):
    """Labels of a training set, and the likelihood that goes with them."""

    @property
    def num_latents(self) -> int:
        """C, the number of latent processes."""
        ...

    @property
    def targets(self) -> np.ndarray:
        """What the evidence regresses on, [N, C]."""
        ...

    @property
    def strata(self) -> np.ndarray | None:
        """Classes, of which every subset and fold holds its part; None: there are none."""
        ...

    def sites(self, rows: np.ndarray) -> SiteLikelihood:
        """The likelihood of these series' labels."""
        ...

    def nlpp(self, mean: np.ndarray, variance: np.ndarray, rows: np.ndarray, fitted: SiteLikelihood) -> np.ndarray:
        """−log p(y | x) of these series from marginals of f [n, C], [n]."""
        ...


@dataclass(frozen=True)
class Classification:
    """Labels 0 to C - 1."""

    y: np.ndarray
    num_classes: int

    @property
    def num_latents(self) -> int:
        """One process for two classes, one for each of more."""
        return 1 if self.num_classes == 2 else self.num_classes

    @property
    def targets(self) -> np.ndarray:
        """±1 for being in a class or not, centred."""
        one_hot = np.eye(self.num_classes)[self.y][:, -self.num_latents :]
        return 2 * (one_hot - one_hot.mean(axis=0))

    @property
    def strata(self) -> np.ndarray:
        """The classes."""
        return self.y

    def sites(self, rows: np.ndarray) -> SiteLikelihood:
        """Logistic or softmax."""
        y = self.y[rows]
        return LogisticSites(y) if self.num_classes == 2 else SoftmaxSites(y, self.num_classes)

    def nlpp(self, mean: np.ndarray, variance: np.ndarray, rows: np.ndarray, fitted: SiteLikelihood) -> np.ndarray:
        """−log of the true class's probability."""
        p = logistic_or_softmax_probabilities(mean, variance)[np.arange(len(mean)), self.y[rows]]
        return -np.log(np.maximum(p, _SMALLEST_PROBABILITY))


@dataclass(frozen=True)
class Regression:
    """Numbers [N, P], each column of mean 0 and deviation 1."""

    Y: np.ndarray

    @property
    def num_latents(self) -> int:
        """One process for each column."""
        return self.Y.shape[1]

    @property
    def targets(self) -> np.ndarray:
        """The numbers."""
        return self.Y

    @property
    def strata(self) -> None:
        """None."""
        return None

    def sites(self, rows: np.ndarray) -> SiteLikelihood:
        """Gaussian, the noise a tenth of the variance to begin with."""
        return GaussianSites(self.Y[rows], 0.1)

    def nlpp(self, mean: np.ndarray, variance: np.ndarray, rows: np.ndarray, fitted: SiteLikelihood) -> np.ndarray:
        """Of all columns together."""
        assert isinstance(fitted, GaussianSites)
        total = variance + fitted.noise
        return 0.5 * np.sum(np.log(2 * np.pi * total) + (self.Y[rows] - mean) ** 2 / total, axis=1)
