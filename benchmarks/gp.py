"""
SigGPDE against GPSig-IT and GPSig-IS, whose covariances and training steps are our own.

``python -m benchmarks.gp step`` times a training step in PenDigits' settings. ``python -m benchmarks.gp growth`` fits
how the time of each covariance grows with the sizes, beside the paper's table 1. Both print tables for the
documentation. Times do not depend on the data, which are random walks.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gpflow
import numpy as np
import tensorflow as tf
from gpflow.covariances import Kuf, Kuu

from sigkernel_tf.gp import (
    InducingSequences,
    InducingTensors,
    SigGPDE,
    TruncatedSignatureKernel,
    flatten_paths,
)

from .step import whole_step
from .timing import alternately

Call = Callable[[], object]
MODELS = ("SigGPDE", "GPSig-IT", "GPSig-IS")
THREADS = 2


@dataclass(frozen=True)
class Sizes:
    """The sizes that a model's cost depends on; the defaults are PenDigits' settings."""

    M: int = 500
    N: int = 50
    L: int = 8
    D: int = 3
    depth: int = 4
    classes: int = 10

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        X = rng.normal(size=(self.N, self.L, self.D)).cumsum(axis=1) / np.sqrt(self.L)
        return flatten_paths(X), rng.integers(0, self.classes, (self.N, 1))


def build(name: str, sizes: Sizes, *, explicit: bool | None = None) -> gpflow.models.SVGP:
    """A model whose only hyperparameters are lengthscales, as in the paper; GPSig's have discretization order 1."""
    lengthscales, likelihood = np.ones(sizes.D), gpflow.likelihoods.MultiClass(sizes.classes)
    options = {"num_latent_gps": sizes.classes, "num_data": 100 * sizes.N}
    if name == "SigGPDE":
        model = SigGPDE(sizes.D, sizes.M, likelihood=likelihood, lengthscales=lengthscales, **options)
    else:
        kernel = TruncatedSignatureKernel(
            sizes.D, sizes.depth, lengthscales=lengthscales, explicit=explicit, discretization_order=1
        )
        gpflow.set_trainable(kernel.level_variances, False)
        family = {"GPSig-IT": InducingTensors, "GPSig-IS": InducingSequences}[name]
        Z = family.from_data(sizes.batch()[0], sizes.M, kernel)
        model = gpflow.models.SVGP(kernel, likelihood, Z, **options)
    gpflow.set_trainable(model.kernel.variance, False)
    return model


def covariance(function: Callable[[], tf.Tensor], model: gpflow.models.SVGP) -> Call:
    """Computes a covariance, and its gradient by the parameters of the kernel and the inducing variables."""
    variables = [*model.kernel.trainable_variables, *model.inducing_variable.trainable_variables]

    @tf.function
    def both() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(function())
        return tape.gradient(total, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    return both


def covariances(model: gpflow.models.SVGP, sizes: Sizes) -> dict[str, Call]:
    X = tf.constant(sizes.batch()[0])
    Z, kernel = model.inducing_variable, model.kernel
    return {
        "Kuu": covariance(lambda: Kuu(Z, kernel, jitter=1e-6), model),
        "Kuf": covariance(lambda: Kuf(Z, kernel, X), model),
        "diag Kff": covariance(lambda: kernel(X, full_cov=False), model),
    }


def step(repeats: int) -> None:
    """Prints a row for each model in PenDigits' settings, and for GPSig's covariances by sums over index tuples."""
    sizes = Sizes()
    rows = {name: build(name, sizes) for name in MODELS}
    rows |= {f"{name}, by sums": build(name, sizes, explicit=False) for name in MODELS[1:]}
    calls = {}
    for name, model in rows.items():
        calls[name, "step"] = whole_step(model, sizes.batch())
        calls |= {(name, part): call for part, call in covariances(model, sizes).items()}
    seconds = dict(zip(calls, alternately(list(calls.values()), repeats), strict=True))
    paper = {"GPSig-IT": 1.6, "GPSig-IS": 8.5}
    print(f"PenDigits' settings: {sizes}, float64, {THREADS} threads; milliseconds\n")
    print("| model | step | Kuu | Kuf | diag Kff | step : SigGPDE's | the paper's |\n|---|---|---|---|---|---|---|")
    for name in rows:
        times = [f"{seconds[name, part] * 1e3:.2f}" for part in ("step", "Kuu", "Kuf", "diag Kff")]
        ratio = seconds[name, "step"] / seconds["SigGPDE", "step"]
        print(f"| {name} | {' | '.join(times)} | {ratio:.2f} | {paper.get(name, '')} |")


# Exponents of M, N, L, D and depth in the paper's table 1; None where it has a sum, n + d, of two that are varied.
TABLE_1 = {
    ("SigGPDE", "Kuf"): (1, 1, 1, 0, 0),
    ("SigGPDE", "diag Kff"): (0, 1, 2, 1, 0),
    ("GPSig-IT", "Kuu"): (2, 0, 0, 1, 2),
    ("GPSig-IT", "Kuf"): (1, 1, 1, 1, 2),
    ("GPSig-IS", "Kuu"): (2, 0, 0, None, None),
    ("GPSig-IS", "Kuf"): (1, 1, 1, None, None),
    ("GPSig-IS", "diag Kff"): (0, 1, 2, None, None),
}
VARIED = ("M", "N", "L", "D", "depth")


def growing(base: Sizes) -> Iterator[tuple[str, list[Sizes]]]:
    """For each size, settings that have once, twice and four times that of ``base``; half, once and twice the depth."""
    for size in VARIED:
        factors = (0.5, 1, 2) if size == "depth" else (1, 2, 4)
        yield size, [replace(base, **{size: round(getattr(base, size) * factor)}) for factor in factors]


def growth(repeats: int, explicit: bool) -> None:
    """Prints a row for each covariance, with the fitted exponents and those of the paper."""
    base = Sizes(M=128, N=128, L=32, D=4, depth=4, classes=2)
    way = "explicit signatures" if explicit else "sums over index tuples"
    print(f"around {base}, float64, {THREADS} threads; GPSig of order 1 by {way}; fitted exponent (table 1)\n")
    print(f"| covariance | {' | '.join(VARIED)} |\n|{'---|' * (1 + len(VARIED))}")
    fitted: dict[tuple[str, str], list[float]] = {key: [] for key in TABLE_1}
    for size, settings in growing(base):
        calls = {}
        for number, sizes in enumerate(settings):
            models = {name: build(name, sizes, explicit=explicit) for name in MODELS}
            parts = {name: covariances(model, sizes) for name, model in models.items()}
            calls |= {(name, part, number): parts[name][part] for name, part in TABLE_1}
        seconds = dict(zip(calls, alternately(list(calls.values()), repeats), strict=True))
        logs = np.log([getattr(sizes, size) for sizes in settings])
        for key in TABLE_1:
            times = np.log([seconds[(*key, number)] for number in range(len(settings))])
            fitted[key].append(float(np.polyfit(logs, times, 1)[0]))
    for (name, part), exponents in TABLE_1.items():
        cells = [
            f"{found:.1f} ({'0 to 1' if paper is None else paper})"
            for found, paper in zip(fitted[name, part], exponents, strict=True)
        ]
        print(f"| {name}, {part} | {' | '.join(cells)} |")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gp", description=__doc__)
    parser.add_argument("what", choices=("step", "growth"))
    parser.add_argument("--repeats", type=int, default=5, help="timings of each, of which the median counts")
    parser.add_argument("--explicit", action="store_true", help="growth of GPSig by explicit signatures")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    if options.what == "step":
        step(options.repeats)
    else:
        growth(options.repeats, options.explicit)


if __name__ == "__main__":
    main()
