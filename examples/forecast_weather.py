"""
Forecasts of the temperature in Jena, by a signature kernel that forgets, beside persistence and a linear model.

The input is what the weather station on the roof of the Max Planck Institute for Biogeochemistry measured in the last
48 hours; the target is how far the temperature will have changed six hours later. Each model is fitted to windows of
2020 and scored on windows of 2024 by proper scores: the NLPP, and the CRPS in degrees. The rate at which the kernel
forgets each channel is trained together with the lengthscales, by the leave-one-out density of 2020.

Then the kernel that forgets forecasts at every hour of the test months from a running signature, which each hour's
measurement brings up to date: the model sees nothing of the series but these 156 numbers.

Run it with ``SIGKERNEL_TF_DATA=folder python examples/forecast_weather.py``, where the folder holds
jena_roof_series.npz: `columns`, and for each year `time` (minutes since 1970) and `series`, a row for ten minutes.
It takes less than two minutes.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gpflow
import keras
import numpy as np
import tensorflow as tf
from scipy import stats

import sigkernel_tf as sk
from sigkernel_tf.gp import (
    OrthogonalSignatureFeatures,
    SignatureKernel,
    fit_least_squares,
    flatten_paths,
    leave_one_out_log_density,
)

HOURS, AHEAD, EVERY, DEPTH = 48, 6, 6, 3
CHANNELS = ("T (degC)", "p (mbar)", "rh (%)")
NUM_WORDS = 156  # all words of five channels with at most three letters


def hourly(file: Path, year: int) -> np.ndarray:
    """What was measured each hour and the hour on its circle, [hours, 5]; gaps are interpolated."""
    with np.load(file, allow_pickle=False) as data:
        names = list(data["columns"])
        series = data[f"series_{year}"][:, [names.index(name) for name in CHANNELS]].astype(float)
        minutes = data[f"time_{year}"]
    hours = np.arange(-(-minutes[0] // 60), minutes[-1] // 60 + 1)
    values = []
    for channel in series.T:
        known = np.isfinite(channel)
        values.append(np.interp(60 * hours, minutes[known], channel[known]))
    angle = 2 * np.pi * (hours % 24) / 24
    return np.column_stack([*values, np.cos(angle), np.sin(angle)])


def windows(values: np.ndarray, every: int = EVERY) -> tuple[np.ndarray, np.ndarray]:
    """Paths [N, 48, 5] and the changes of temperature that follow, [N, 1]."""
    ends = np.arange(HOURS, len(values) - AHEAD, every)
    X = np.stack([values[end - HOURS : end] for end in ends])
    return X, values[ends - 1 + AHEAD, :1] - values[ends - 1, :1]


def scores(y: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> dict[str, float]:
    """Of Gaussian forecasts, in the mean over all: NLPP, CRPS (Gneiting & Raftery 2007, eq. 21) and RMSE."""
    deviation = np.sqrt(variance)
    z = (y - mean) / deviation
    crps = deviation * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    return {
        "NLPP": -float(np.mean(stats.norm.logpdf(y, mean, deviation))),
        "CRPS": float(np.mean(crps)),
        "RMSE": float(np.sqrt(np.mean((y - mean) ** 2))),
    }


def signature_model(X: np.ndarray, y: np.ndarray, iterations: int, *, forgets: bool) -> gpflow.models.SVGP:
    """A model whose lengthscales, and half-lives if it forgets, have the largest leave-one-out density."""
    D = X.shape[2]
    kernel = SignatureKernel(
        D,
        lengthscales=np.full(D, 3.0),
        level_variances=[1.0, 1.0, 1.0, 1.0, 0.0],  # nothing beyond the words that are features
        half_life=np.full(D, 12.0) if forgets else None,
    )
    model = gpflow.models.SVGP(kernel, gpflow.likelihoods.Gaussian(), OrthogonalSignatureFeatures(NUM_WORDS))
    gpflow.set_trainable(kernel.variance, False)  # the ridge is in proportion to it
    ridge = gpflow.Parameter(1.0, transform=gpflow.utilities.positive())
    rows, optimizer = flatten_paths(X), keras.optimizers.Adam(0.1)
    variables = [*kernel.trainable_variables, ridge.unconstrained_variable]
    for _ in range(iterations):
        with tf.GradientTape() as tape:
            loss = -leave_one_out_log_density(model, rows, y, ridge)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    return model


def features(kernel: SignatureKernel, S: np.ndarray) -> np.ndarray:
    """What the kernel is the inner product of, from signatures S [..., 156] of its scaled and faded paths."""
    levels = [len(word) for word in sk.words(kernel.num_channels, NUM_WORDS)]
    return S * np.sqrt(kernel.level_variances.numpy()[levels])


def of_windows(kernel: SignatureKernel, X: np.ndarray) -> np.ndarray:
    """The features of whole windows, [N, 156]."""
    faded = sk.paths.fade(X / kernel.lengthscales.numpy(), kernel.half_life.numpy())
    return features(kernel, sk.signature(faded, DEPTH).numpy())


def hour_by_hour(kernel: SignatureKernel, values: np.ndarray) -> np.ndarray:
    """The features of the 48 hours up to each hour, from a running signature, [hours - 47, 156]."""
    running = sk.RunningSignature(DEPTH, window=HOURS, half_life=kernel.half_life.numpy())
    signatures = [running.update(point[None]).numpy() for point in values / kernel.lengthscales.numpy()]
    return features(kernel, np.stack(signatures[HOURS - 1 :]))


def main(file: Path, iterations: int) -> dict[str, dict[str, float]]:
    """The scores of all models on 2024."""
    train, test = hourly(file, 2020), hourly(file, 2024)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    (X, y), (X_test, y_test) = windows(train), windows(test)
    X, X_test = (X - mean) / deviation, (X_test - mean) / deviation
    found = {"persistence": scores(y_test, np.zeros_like(y_test), np.full_like(y_test, np.mean(y**2)))}

    linear = fit_least_squares(lambda rows: rows.reshape(len(rows), -1), X, y)
    found["linear model"] = scores(y_test, *linear.predict_y(X_test))

    for name, forgets in (("signature kernel", False), ("signature kernel that forgets", True)):
        model = signature_model(X, y, iterations, forgets=forgets)
        fit = fit_least_squares(model, flatten_paths(X), y)
        found[name] = scores(y_test, *fit.predict_y(flatten_paths(X_test)))
    running = fit_least_squares(lambda rows: rows, of_windows(model.kernel, X), y)
    seen = (test[: -AHEAD - 1] - mean) / deviation
    y_hourly = windows(test, every=1)[1]
    found["the same, at every hour"] = scores(y_hourly, *running.predict_y(hour_by_hour(model.kernel, seen)))
    names = ("temperature", "pressure", "humidity", "cosine of the hour", "sine of the hour")
    half_lives = zip(names, model.kernel.half_life.numpy(), strict=True)
    print("half-lives in hours: " + ", ".join(f"{name} {hours:.1f}" for name, hours in half_lives))
    for name, of_model in found.items():
        print(f"{name:>30}: " + ", ".join(f"{score} {value:.3f}" for score, value in of_model.items()))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--iterations", type=int, default=100, help="of the optimizer of the hyperparameters")
    options = parser.parse_args()
    main(Path(os.environ["SIGKERNEL_TF_DATA"]) / "jena_roof_series.npz", options.iterations)
