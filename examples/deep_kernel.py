"""
A deep kernel: a recurrent network before the signature kernel, trained together with it.

The series are two noisy channels. The classes differ in whether a burst of the first channel comes before one of the
second or after it; the drift of the channels tells nothing, but dominates their signatures. A small GRU before the
signature kernel can learn to remove it.

Run it with ``python examples/deep_kernel.py``; it takes about a minute.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gpflow
import keras
import numpy as np

from sigkernel_tf.gp import (
    DeepSignatureKernel,
    OrthogonalSignatureFeatures,
    SignatureKernel,
    TrainingOptions,
    evaluate,
    flatten_paths,
    train,
)

NUM_WORDS = 40


def series(count: int, seed: int, length: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Paths [N, L, 2] and labels [N, 1]: whether the burst of channel 0 comes first."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, size=count)
    start = rng.integers(3, length - 12, size=count)
    time = np.arange(length)
    first, second = (np.exp(-0.5 * ((time - start[:, None] - delay) / 1.5) ** 2) for delay in (0, 6))
    bursts = np.where(y[:, None, None] == 1, np.stack([first, second], -1), np.stack([second, first], -1))
    drift = rng.normal(size=(count, length, 2)).cumsum(axis=1) * 0.3
    return bursts * 1.5 + drift, y[:, None]


def fitted(kernel: SignatureKernel, data: tuple[np.ndarray, np.ndarray], iterations: int) -> gpflow.models.SVGP:
    model = gpflow.models.SVGP(
        kernel, gpflow.likelihoods.Bernoulli(), OrthogonalSignatureFeatures(NUM_WORDS), num_data=len(data[0])
    )
    train(model, data, TrainingOptions(iterations=iterations, learning_rate=1e-2, progress=False))
    return model


def main(num_series: int, iterations: int) -> dict[str, float]:
    """The NLPP of both kernels on series that no kernel was trained on."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input([None, 2], dtype="float64"),
            keras.layers.GRU(6, return_sequences=True, dtype="float64"),
            keras.layers.Dense(3, dtype="float64"),
        ]
    )
    kernels = {
        "signature kernel": SignatureKernel(2, normalize=True),
        "signature kernel of a GRU": DeepSignatureKernel(network, normalize=True),
    }
    X, y = series(num_series, 0)
    X_test, y_test = series(num_series, 1)
    scores = {}
    for name, kernel in kernels.items():
        model = fitted(kernel, (flatten_paths(X), y.astype(float)), iterations)
        found = evaluate(model, (flatten_paths(X_test), y_test.astype(float)))
        scores[name] = found.nlpp
        print(f"{name}: accuracy {found.accuracy:.3f}, NLPP {found.nlpp:.3f}")
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--series", type=int, default=400)
    parser.add_argument("--iterations", type=int, default=400, help="in each phase of the training")
    options = parser.parse_args()
    main(options.series, options.iterations)
