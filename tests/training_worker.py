"""What gp/test_distributed.py runs in connected processes: trainings, and what they must refuse."""

import hashlib
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import gpflow
import numpy as np
import tensorflow_probability as tfp
from loopback import refused, report
from training_toys import classifier, parameters, three_clouds, toy_data, toy_model, toy_options

from sigkernel_tf.gp import SigGPDE, TrainingOptions, connect_workers, fit_least_squares, train


def paths() -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(60, 16)).cumsum(axis=1) / 4
    return X, (X[:, -1:] > 0).astype(int)


def fixed_variance(model: gpflow.models.SVGP) -> gpflow.models.SVGP:
    """``MultiClass`` does not see the scale of f: the gradient by the variance is rounding, which Nadam enlarges."""
    gpflow.set_trainable(model.kernel.variance, False)
    return model


def on_paths() -> gpflow.models.SVGP:
    likelihood = gpflow.likelihoods.MultiClass(2)
    return fixed_variance(SigGPDE(2, 7, likelihood=likelihood, num_latent_gps=2, lengthscales=np.full(2, 2.0)))


def two_outputs() -> gpflow.models.SVGP:
    """A likelihood with a parameter, and a prior."""
    X, _ = toy_data()
    model = gpflow.models.SVGP(gpflow.kernels.RBF(), gpflow.likelihoods.Gaussian(), X[:5], num_latent_gps=2)
    model.kernel.variance.prior = tfp.distributions.Gamma(np.float64(2.0), np.float64(1.0))
    return model


def with_squares() -> tuple[np.ndarray, np.ndarray]:
    X, Y = toy_data()
    return X, np.hstack([Y, Y**2])


# By name: a model, data, options, and how close to one process all must come. Where Kuu is nearly singular, or Nadam
# divides by gradients that nearly vanish, rounding is enlarged. Batches of 9 rows: one worker has 4 of them, one has 5.
CASES: dict = {
    "paths": (on_paths, paths, {"batch_size": 9}, 1e-12),
    "paths by latents": (on_paths, paths, {"share": "latents"}, 1e-12),
    "classes": (lambda: fixed_variance(classifier()), lambda: three_clouds(60), {"seed": 3}, 1e-12),
    "classes by latents": (lambda: fixed_variance(classifier()), lambda: three_clouds(60), {"share": "latents"}, 1e-7),
    "outputs by latents": (two_outputs, with_squares, {"share": "latents"}, 1e-7),
    "natural": (toy_model, toy_data, {"natural_gradient": 0.2, "optimizer": "adam", "patience": 1}, 1e-8),
    "natural by latents": (two_outputs, with_squares, {"natural_gradient": 0.2, "share": "latents"}, 1e-7),
}
ACROSS = CASES["classes by latents"]  # what is begun in one way of sharing and goes on in the other
FITTED = ("ridge", "loo_scores", "loo_log_density", "loo_log_densities", "scale", "leverages", "weights")


def options_of(name: str) -> TrainingOptions:
    return toy_options(**{key: value for key, value in CASES[name][2].items() if key != "share"})


def train_case(name: str) -> None:
    make, data, changes, _ = CASES[name]
    share = changes.get("share", "rows")
    model = make()
    # Values that only the chief has been given, and that the others take from it.
    if strategy.cluster_resolver.task_id == 1:
        model.kernel.variance.assign(3.0)
    result = train(model, data(), options_of(name), strategy=strategy, share=share)
    found = {key: value.tolist() for key, value in parameters(model).items()}
    bits = hashlib.sha256(b"".join(variable.numpy().tobytes() for variable in model.variables)).hexdigest()
    history = [asdict(point) for point in result.history]
    report(name, {"bits": bits, "parameters": found, "history": history, "best": result.best_iteration})


def fit_case() -> None:
    """Least squares on labels, whose blocks of 7 rows end elsewhere than in a single process."""
    X, Y = paths()
    fit = fit_least_squares(on_paths(), X, Y[:, 0], batch_size=7, strategy=strategy)
    report("fit", {name: np.asarray(getattr(fit, name)).tolist() for name in FITTED})


def check_refusals(rank: int, folder: Path) -> None:
    X, Y = toy_data()
    here, seeded = toy_options(checkpoint_dir=folder), toy_options(seed=rank, checkpoint_dir=folder)
    refused("batch", lambda: train(toy_model(), (X, Y), toy_options(batch_size=1), strategy=strategy))
    refused("rows", lambda: train(toy_model(), (X, Y + rank), here, strategy=strategy))
    refused("options", lambda: train(toy_model(), (X, Y), seeded, strategy=strategy))
    refused("one fails", lambda: train(toy_model(), (X[rank:], Y), here, strategy=strategy))
    refused("fit refused", lambda: fit_least_squares(on_paths(), *paths(), ridges=[1.0 + rank], strategy=strategy))
    refused("no strategy", lambda: train(toy_model(), (X, Y), here))
    report("written", [file.name for file in folder.iterdir()])


def train_to_overflow() -> None:
    """A kernel that overflows at rows beyond the 1,000 that are looked at before the first step."""
    X, Y = (np.tile(part, (25, 1)) for part in paths())
    X[1000:] *= 1e200
    model = SigGPDE(2, 7, likelihood=gpflow.likelihoods.Gaussian(), lengthscales=np.full(2, 2.0))
    try:
        train(model, (X, Y), toy_options(batch_size=2), validation=np.arange(0, 60), strategy=strategy)
    except (FloatingPointError, RuntimeError) as error:
        report("stopped", f"{type(error).__name__}: {error}")
        time.sleep(5.0)  # a script that goes on for a while must not keep the others waiting


def train_until(what: str, rank: int, folder: Path, share: str) -> None:
    """Train, and at the second evaluation kill or terminate this process; then nothing of the kind."""
    make, data, *_ = ACROSS if share else (toy_model, toy_data)
    model, calls = make(), iter(range(1, 100))

    def strike() -> None:
        while not (folder / "now").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL if "kill" in what else signal.SIGTERM)

    def record() -> dict[str, float]:
        if next(calls) == 2 and what != "resume":
            (folder / "now").touch()
            time.sleep(1.0)
        return {}

    if what.endswith(str(rank)):
        threading.Thread(target=strike, daemon=True).start()
    try:
        options = toy_options(checkpoint_dir=folder)
        train(model, data(), options, strategy=strategy, share=share or None, record=record)
    except (KeyboardInterrupt, RuntimeError) as error:
        report("stopped", f"{type(error).__name__}: {error}")
        return
    report("parameters", {key: value.tolist() for key, value in parameters(model).items()})


if __name__ == "__main__":
    strategy = connect_workers(300)
    task, where = sys.argv[1], Path(sys.argv[2])
    number = strategy.cluster_resolver.task_id
    if task == "train":
        for case in CASES:
            train_case(case)
        fit_case()
        check_refusals(number, where)
    elif task == "overflow":
        train_to_overflow()
    else:
        train_until(task, number, where, sys.argv[3] if len(sys.argv) > 3 else "")
