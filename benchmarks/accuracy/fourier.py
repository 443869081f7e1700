"""Random Fourier signature features with least squares, as :mod:`.fitting` calls them: the method "RFSF"."""

from typing import Any

import numpy as np

import sigkernel_tf as sk
from sigkernel_tf.gp import LeastSquaresFit, fit_least_squares

from .exchange import CLASSIFICATION, Order, Series

_LENGTHSCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # in units of the root of the number of channels


class RandomFeatures:
    """
    :class:`sigkernel_tf.RandomSignatureFeatures` of the series and their time, standardised by the training set.

    The lengthscale is that of the largest leave-one-out density of the training set, and so is the ridge.
    """

    def __init__(self, order: Order, num_channels: int, **options: Any) -> None:
        self.order = order
        self.options = {"num_components": 50, "normalize": True, "seed": order.seed, **options}
        self.num_channels = num_channels + 1

    def fit(self, X: Series, y: np.ndarray) -> None:
        self.moments = sk.paths.mean_and_deviation(X)
        rows = self._rows(X)
        fits = {}
        for factor in _LENGTHSCALES:
            lengthscale = factor * np.sqrt(self.num_channels)
            features = sk.RandomSignatureFeatures(self.num_channels, lengthscale=lengthscale, **self.options)
            fits[factor] = fit_least_squares(features, rows, y, task=self.order.task)
        self.factor = max(fits, key=lambda factor: fits[factor].loo_log_density)
        self.fitted: LeastSquaresFit = fits[self.factor]

    def predict(self, X: Series) -> dict[str, np.ndarray]:
        rows = self._rows(X)
        if self.order.task != CLASSIFICATION:
            mean, variance = self.fitted.predict_y(rows)
            return {"mean": mean[:, 0], "deviation": np.sqrt(variance[:, 0])}
        classes = self.fitted.classes
        probabilities = np.zeros((len(X), self.order.num_classes))
        probabilities[:, classes] = self.fitted.predict_proba(rows)
        return {"labels": np.argmax(probabilities, axis=1), "probabilities": probabilities}

    def describe(self, _: Any) -> dict[str, Any]:
        """What was chosen."""
        return {"chosen": {"lengthscale": str(self.factor), "ridge": str(self.fitted.ridge)}}

    def _rows(self, X: Series) -> np.ndarray:
        mean, deviation = self.moments
        return sk.paths.pad_ragged(sk.paths.add_time(sk.paths.standardize(X, mean=mean, deviation=deviation)))
