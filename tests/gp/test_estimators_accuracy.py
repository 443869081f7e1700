"""What the estimators' defaults reach on real data, which comes with sktime."""

import gpflow
import numpy as np
import pytest

from benchmarks.accuracy import splits
from benchmarks.accuracy.datasets import SOURCES
from sigkernel_tf.gp import SignatureGPClassifier, SignatureGPRegressor

# The accuracies that the defaults must have on the archive's own test sets.
AIMS = {
    "JapaneseVowels": 0.93,
    "BasicMotions": 0.925,
    "ItalyPowerDemand": 0.91,
    "GunPoint": 0.88,
    "ArrowHead": 0.7,
    "OSULeaf": 0.45,
    "UnitTest": 0.8,
    "ACSF1": 0.5,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.ci] * (name == "UnitTest")) for name in AIMS]
)  # fmt: skip
def test_the_defaults_classify(name: str) -> None:
    split = splits.load(SOURCES[name], 0)
    classifier = SignatureGPClassifier(random_state=0).fit(split.X, split.y)
    assert classifier.score(split.X_test, split.y_test) >= AIMS[name]


@pytest.mark.slow
def test_the_regressor_is_as_good_as_the_dense_process() -> None:
    """R² on Tecator beside that of dense Gaussian process regression with the kernel and noise that were learnt."""
    split = splits.load(SOURCES["Tecator"], 0)
    regressor = SignatureGPRegressor(random_state=0).fit(split.X, split.y)
    scaled = (split.y[:, None] - regressor.y_mean_) / regressor.y_scale_
    noise = regressor.model_.likelihood.variance.numpy()
    dense = gpflow.models.GPR((regressor.flat_paths(split.X), scaled), regressor.kernel_, noise_variance=noise)
    mean = dense.predict_f(regressor.flat_paths(split.X_test))[0].numpy() * regressor.y_scale_ + regressor.y_mean_
    of_dense = 1 - np.sum((split.y_test - mean[:, 0]) ** 2) / np.sum((split.y_test - split.y_test.mean()) ** 2)
    assert abs(regressor.score(split.X_test, split.y_test) - of_dense) < 0.02
