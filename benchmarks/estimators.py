"""
The estimators with their defaults on real data: ``python -m benchmarks.estimators``.

It prints the test accuracy beside that of the nearest neighbour, which is published for dynamic time warping and
computed here for the Euclidean distance where all series have one length. For Tecator it prints R² beside that of dense
Gaussian process regression with the kernel and noise that the estimator learnt. All data come with sktime.
"""

import os
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import gpflow
import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sktime import datasets

from sigkernel_tf.gp import SignatureGPClassifier, SignatureGPRegressor
from sigkernel_tf.gp.estimators.panels import as_series

# Published test accuracies of 1-NN DTW (timeseriesclassification.com), and our aims.
CLASSIFICATION = {
    "JapaneseVowels": (datasets.load_japanese_vowels, 0.949, 0.93),
    "BasicMotions": (datasets.load_basic_motions, 0.975, 0.925),
    "ItalyPowerDemand": (datasets.load_italy_power_demand, 0.950, 0.91),
    "GunPoint": (datasets.load_gunpoint, 0.907, 0.88),
    "ArrowHead": (datasets.load_arrow_head, None, 0.7),
    "OSULeaf": (datasets.load_osuleaf, None, 0.45),
    "UnitTest": (datasets.load_unit_test, None, 0.8),
    "ACSF1": (datasets.load_acsf1, None, 0.5),
}


def splits(load: Any) -> tuple[tuple[Any, np.ndarray], tuple[Any, np.ndarray]]:
    """Training and test data as sktime returns them: nested data frames and labels."""
    return load(split="train", return_X_y=True), load(split="test", return_X_y=True)


def classify(name: str) -> tuple[SignatureGPClassifier, float, float]:
    """The classifier fitted with its defaults, its test accuracy, and the seconds that fitting took."""
    (X, y), (X_test, y_test) = splits(CLASSIFICATION[name][0])
    start = time.perf_counter()
    classifier = SignatureGPClassifier(random_state=0).fit(X, y)
    seconds = time.perf_counter() - start
    return classifier, classifier.score(X_test, y_test), seconds


def nearest_neighbour(name: str) -> float | None:
    """Test accuracy of the nearest neighbour by the Euclidean distance; None where series have unequal lengths."""
    (X, y), (X_test, y_test) = splits(CLASSIFICATION[name][0])
    series, test = as_series(X), as_series(X_test)
    if len({len(one) for one in series + test}) > 1:
        return None
    flat, flat_test = (np.stack(panel).reshape(len(panel), -1) for panel in (series, test))
    return KNeighborsClassifier(1).fit(flat, y).score(flat_test, y_test)


def regress() -> tuple[SignatureGPRegressor, float, float, float]:
    """The regressor fitted with its defaults on Tecator, its test R², that of the dense process, and seconds to fit."""
    (X, y), (X_test, y_test) = splits(datasets.load_tecator)
    y, y_test = np.asarray(y, float), np.asarray(y_test, float)
    start = time.perf_counter()
    regressor = SignatureGPRegressor(random_state=0).fit(X, y)
    seconds = time.perf_counter() - start
    scaled = (y[:, None] - regressor.y_mean_) / regressor.y_scale_
    noise = regressor.model_.likelihood.variance.numpy()
    dense = gpflow.models.GPR((regressor.flat_paths(X), scaled), regressor.kernel_, noise_variance=noise)
    mean = dense.predict_f(regressor.flat_paths(X_test))[0].numpy() * regressor.y_scale_ + regressor.y_mean_
    of_dense = 1 - np.sum((y_test - mean[:, 0]) ** 2) / np.sum((y_test - y_test.mean()) ** 2)
    return regressor, regressor.score(X_test, y_test), of_dense, seconds


def main() -> None:
    print("| data set | test accuracy | aim | 1-NN Euclidean | 1-NN DTW | fit, s | chosen |")
    print("|---|---|---|---|---|---|---|")
    for name, (_, published, aim) in CLASSIFICATION.items():
        classifier, accuracy, seconds = classify(name)
        chosen = f"{classifier.preprocessing_}, M = {classifier.num_inducing_}"
        others = ["" if one is None else f"{one:.3f}" for one in (nearest_neighbour(name), published)]
        print(f"| {name} | {accuracy:.3f} | {aim} | {' | '.join(others)} | {seconds:.0f} | {chosen} |", flush=True)
    regressor, r2, of_dense, seconds = regress()
    print(
        f"\nTecator: R² {r2:.4f}, dense process {of_dense:.4f}; {seconds:.0f} s; {regressor.preprocessing_}, "
        f"M = {regressor.num_inducing_}"
    )


if __name__ == "__main__":
    main()
