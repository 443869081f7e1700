"""The estimators of this library, as :mod:`.fitting` calls them: with their defaults, but for the given options."""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from sigkernel_tf.gp import SignatureGPClassifier, SignatureGPRegressor

from .exchange import Order, Series


class Classifier:
    """``SignatureGPClassifier``."""

    estimator_class: Any = SignatureGPClassifier

    def __init__(self, order: Order, num_channels: int, **options: Any) -> None:
        self.estimator = self.estimator_class(random_state=order.seed, **options)
        self.num_classes = order.num_classes

    def fit(self, X: Series, y: np.ndarray) -> None:
        self.estimator.fit(X, y)

    def predict(self, X: Series) -> dict[str, np.ndarray]:
        given = self.estimator.predict_proba(X)
        probabilities = np.zeros((len(X), self.num_classes))
        probabilities[:, self.estimator.classes_] = given
        return {"labels": self.estimator.classes_[np.argmax(given, axis=1)], "probabilities": probabilities}

    def describe(self, folder: Path) -> dict[str, Any]:
        """The size of the saved estimator, and what it chose."""
        file = folder / "estimator.npz"
        self.estimator.save(file)
        chosen = ("kernel_kind_", "preprocessing_", "num_inducing_")
        return {
            "file_mb": file.stat().st_size / 1e6,
            "chosen": {name: str(getattr(self.estimator, name)) for name in chosen},
        }


class Regressor(Classifier):
    """``SignatureGPRegressor``."""

    estimator_class = SignatureGPRegressor

    def predict(self, X: Series) -> dict[str, np.ndarray]:
        mean, deviation = self.estimator.predict(X, return_std=True)
        return {"mean": mean, "deviation": deviation}
