"""
What a fit in closed form costs: moves of the hyperparameters, passes, and a million series.

``python -m benchmarks.closed_form hyperparameters`` counts the CPU seconds of 30 evaluations of the bound, with their
gradients, on Crop (7,200 series, 24 classes): for SigGPDE and for a lifted kernel, with 700 inducing variables each.

``python -m benchmarks.closed_form pass`` does so for a pass over Crop's series with their features in memory, beside
the matrix products and factors that it cannot do without.

``python -m benchmarks.closed_form million`` fits a million synthetic series, read from a file, by steps on some of them
and by full passes. It prints the NLPP of held-out series and the bound against CPU seconds, and how memory grew.

CPU seconds are those of all threads; on two idle cores a fit takes about half as many. Crop is looked for in the folder
that SIGKERNEL_TF_DATA names.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gpflow
import numpy as np
import scipy.linalg
from tqdm.auto import tqdm

from experiments.datasets import crop
from experiments.datasets.preprocessing import prepare_each
from experiments.datasets.synthetic import vegetation_indices
from experiments.protocol import lifted_kernel
from sigkernel_tf.gp import ClosedFormOptions, InducingSequences, SigGPDE, evaluate, flatten_paths
from sigkernel_tf.gp.data import as_rows
from sigkernel_tf.gp.training.closed_form_run import Run
from sigkernel_tf.gp.training.latents import latents_of
from sigkernel_tf.gp.training.natural_state import NaturalState, inverse_factor, moved

CLASSES, CHANNELS, LENGTHSCALE = 24, 2, 2.0
_HELD_OUT, _PIECE = 10_000, 20_000

Data = tuple[np.ndarray, np.ndarray]


def siggpde(num_inducing: int) -> gpflow.models.SVGP:
    """SigGPDE for Crop."""
    likelihood, lengthscales = gpflow.likelihoods.Softmax(CLASSES), np.full(CHANNELS, LENGTHSCALE)
    return SigGPDE(CHANNELS, num_inducing, likelihood=likelihood, num_latent_gps=CLASSES, lengthscales=lengthscales)


def lifted(num_inducing: int) -> gpflow.models.SVGP:
    """The signature kernel over an RBF kernel, with whole series of Crop as inducing variables."""
    data = crop.load()
    kernel = lifted_kernel(data)
    Z = InducingSequences.from_data(flatten_paths(data.X_train), num_inducing, kernel, length=None, seed=0)
    gpflow.set_trainable(Z, False)
    return gpflow.models.SVGP(kernel, gpflow.likelihoods.Softmax(CLASSES), Z, num_latent_gps=CLASSES)


MODELS: dict[str, Callable[[int], gpflow.models.SVGP]] = {"siggpde": siggpde, "lifted": lifted}


class Watched(Run):
    """A fit that notes CPU seconds."""

    def __init__(self, model: gpflow.models.SVGP, data: Data, options: ClosedFormOptions) -> None:
        super().__init__(model, latents_of(model), as_rows(data, model.likelihood), options)
        self.began, self.moving, self.evaluations = time.process_time(), 0.0, 0
        self.seen: list[tuple[float, float, NaturalState]] = []
        """CPU seconds, the bound and the state of each pass."""
        self.begin()

    def _record(self, elbo: float, step: float) -> None:
        super()._record(elbo, step)
        self.seen.append((time.process_time() - self.began, elbo, self.state))

    def _move_hyperparameters(self) -> None:
        start = time.process_time()
        super()._move_hyperparameters()
        self.moving += time.process_time() - start

    def _describe(self, what: str) -> None:
        super()._describe(what)
        self.evaluations += "evaluation" in what


def crop_rows() -> Data:
    """Crop's training set."""
    data = crop.load()
    return flatten_paths(data.X_train), data.y_train[:, None]


def hyperparameters(options: argparse.Namespace) -> None:
    """Prints what a round of L-BFGS costs, from the sites of the prior."""
    for name in options.models:
        fit = ClosedFormOptions(
            hyperparameter_evaluations=options.evaluations, hyperparameter_inducing=options.inducing, progress=False
        )
        run = Watched(MODELS[name](options.features), crop_rows(), fit)
        run.bar = tqdm(disable=True)
        run._read_model()
        run._move_hyperparameters()
        print(
            f"{name}: {run.evaluations} evaluations and what they need, {run.moving:.1f} CPU s, "
            f"{run.moving / run.evaluations:.2f} each",
            flush=True,
        )


def passes(options: argparse.Namespace) -> None:
    """Prints what a pass costs, and a step from it, beside the matrix products and factors."""
    data = crop_rows()
    for name, changes in (("float64", {}), ("float32", {"single": True}), ("one covariance, float64", {})):
        fit = ClosedFormOptions(shared_covariance="one" in name, progress=False)
        run = Watched(siggpde(options.features), data, fit)
        run._read_model()
        over = run._passes_over(run.data)
        look = over(run.state)  # which computes the features
        state = moved(run.state, look, 1.0)
        _ = state.factors
        phi = np.concatenate([part.phi for parts in over._together() for part in parts]).T
        dtype, count = np.float32 if changes else np.float64, len(state.G)
        start = time.process_time()
        over(state, **changes)
        middle = time.process_time()
        _ = moved(state, look, 0.5).factors
        step = time.process_time() - middle
        took = middle - start + step
        least = _products(np.asfortranarray(phi, dtype), count) + _factors(state.G)
        print(f"{name}: {took:.2f} CPU s, of which the step {step:.2f}; products and factors {least:.2f}", flush=True)


def _products(phi: np.ndarray, count: int) -> float:
    """CPU seconds of the two products of a pass with each of ``count`` covariances, as products of triangles."""
    multiply, square = (
        (scipy.linalg.blas.strmm, scipy.linalg.blas.ssyrk)
        if phi.dtype == np.float32
        else (scipy.linalg.blas.dtrmm, scipy.linalg.blas.dsyrk)
    )
    T = np.asfortranarray(np.tril(np.ones((len(phi), len(phi)), phi.dtype)))
    return _cpu(lambda: [(multiply(1.0, T, phi, lower=1), square(1.0, phi, lower=1)) for _ in range(count)])


def _factors(grams: np.ndarray) -> float:
    return _cpu(lambda: [inverse_factor(G) for G in grams])


def _cpu(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def million(options: argparse.Namespace) -> None:
    """Prints how fast steps on some rows and full passes get to the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "X.npy")
        Y = _write_series(path, options.series)
        X = np.load(path, mmap_mode="r")
        held_out = next(_series(1, _HELD_OUT))
        ways = {
            "steps": ClosedFormOptions(
                hyperparameter_rounds=0, rows_per_step=options.rows, max_passes=options.steps, progress=False
            ),
            "full passes": ClosedFormOptions(hyperparameter_rounds=0, tolerance=1e-6, progress=False),
        }
        for name in options.ways:
            model = SigGPDE(
                CHANNELS,
                options.features,
                likelihood=gpflow.likelihoods.Bernoulli(),
                lengthscales=np.full(CHANNELS, LENGTHSCALE),
            )
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            run = Watched(model, (X, Y), ways[name])
            run.to_the_end()
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            print(f"{name}: {len(run.seen)} passes, {run.seen[-1][0]:.0f} CPU s, memory grew by {grown:.0f} MB")
            for number in sorted({*(2**k for k in range(12) if 2**k < len(run.seen)), len(run.seen)}):
                cpu, elbo, run.state = run.seen[number - 1]
                run._write()
                what = "bound" if name == "full passes" else "its estimate"
                print(
                    f"  {number:5} {cpu:8.1f} CPU s  NLPP {evaluate(model, held_out).nlpp:.5f}  {what} {elbo:.1f}",
                    flush=True,
                )
            if name == "steps":
                print(f"  the bound at the end: {run._passes_over(run.data)(run.state).elbo:.1f}", flush=True)


def _series(seed: int, number: int) -> Iterator[Data]:
    """Synthetic curves of Crop's shape in pieces, of two kinds."""
    rng = np.random.default_rng(seed)
    for start in range(0, number, _PIECE):
        values, y = vegetation_indices(rng, min(_PIECE, number - start))
        yield flatten_paths(prepare_each(values[..., None])), (y[:, None] < CLASSES // 2).astype(float)


def _write_series(path: Path, number: int) -> np.ndarray:
    """Writes X to a file, in float32, and returns Y."""
    Y, X, start = np.empty((number, 1)), None, 0
    for rows, y in _series(0, number):
        if X is None:
            X = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(number, rows.shape[1]))
        X[start : start + len(rows)], Y[start : start + len(rows)] = rows, y
        start += len(rows)
    return Y


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.closed_form", description=__doc__)
    commands = parser.add_subparsers(required=True)
    moves = commands.add_parser("hyperparameters", help="on Crop")
    moves.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    moves.add_argument("--features", type=int, default=700, help="inducing variables")
    moves.add_argument("--evaluations", type=int, default=30)
    moves.add_argument("--inducing", type=int, help="inducing sequences that count; all by default")
    moves.set_defaults(run=hyperparameters)
    one = commands.add_parser("pass", help="over Crop")
    one.add_argument("--features", type=int, default=700)
    one.set_defaults(run=passes)
    many = commands.add_parser("million", help="synthetic series")
    many.add_argument("--series", type=int, default=1_000_000)
    many.add_argument("--features", type=int, default=200)
    many.add_argument("--rows", type=int, default=4096, help="in a step")
    many.add_argument("--steps", type=int, default=200)
    many.add_argument("--ways", nargs="+", choices=("steps", "full passes"), default=["steps", "full passes"])
    many.set_defaults(run=million)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
