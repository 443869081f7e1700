"""What gp/test_distributed_fits.py runs in connected processes: fits in closed form, and what they must refuse."""

import hashlib
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import gpflow
import numpy as np
import tensorflow as tf
from closed_form_toys import CLASSES, COUNTS, NUMBERS, YES_OR_NO, F, X, Z, model, with_levels
from gpflow.likelihoods import Bernoulli, MultiClass, Poisson, Softmax, StudentT
from loopback import refused, report
from training_toys import parameters

from sigkernel_tf.gp import ClosedFormOptions, ClosedFormResult, SigGPDE, connect_workers, fit_closed_form, read_shards
from sigkernel_tf.gp.training import closed_form_run
from sigkernel_tf.gp.training.natural_passes import Passes
from sigkernel_tf.gp.training.workers import as_workers

IN_ORDER = np.argsort(X[:, 0])


class Walled(gpflow.kernels.RBF):
    """A kernel that overflows, as it were, at rows with x > 1 where its variance is far from 1."""

    def K_diag(self, X: tf.Tensor) -> tf.Tensor:  # noqa: N802  (GPflow's name)
        distance = tf.where(tf.reduce_any(X[:, 0] > 1.0), abs(self.variance - 1.0), 0.0)
        tf.debugging.assert_less(distance, np.float64(0.2), "beyond the wall")
        return super().K_diag(X)


def walled() -> gpflow.models.SVGP:
    return gpflow.models.SVGP(Walled(lengthscales=1.2), StudentT(), Z.copy())


def separate() -> gpflow.models.SVGP:
    """Latent processes with kernels of their own, u not whitened, and a mean function."""
    kernel = gpflow.kernels.SeparateIndependent([gpflow.kernels.RBF(), gpflow.kernels.Matern52(lengthscales=2.0)])
    shared = gpflow.inducing_variables.SharedIndependentInducingVariables(gpflow.inducing_variables.InducingPoints(Z))
    likelihood, mean = StudentT(0.1), gpflow.mean_functions.Constant(np.zeros(2))
    return gpflow.models.SVGP(kernel, likelihood, shared, num_latent_gps=2, whiten=False, mean_function=mean)


def with_levels_alone() -> gpflow.models.SVGP:
    svgp = with_levels()
    gpflow.set_trainable(svgp.likelihood, False)
    return svgp


# By name: a model, X and Y, and options. 40 rows in blocks of 7 end elsewhere in two processes than in one.
CASES: dict = {
    "MultiClass": (lambda: model(MultiClass(3), 3), (X, CLASSES), {"hyperparameter_rows": 25}),
    "shared covariance": (lambda: model(Softmax(3), 3), (X, CLASSES), {"shared_covariance": True}),
    "some rows a step": (lambda: model(Bernoulli()), (X, YES_OR_NO), {"rows_per_step": 15, "max_passes": 6}),
    "variances of levels": (with_levels_alone, (X, F), {}),
    "some inducing points": (lambda: model(Poisson()), (X, COUNTS), {"hyperparameter_inducing": 4}),
    "a wall": (walled, (X[IN_ORDER], NUMBERS[IN_ORDER]), {"hyperparameter_rows": None}),
    "separate": (separate, (X, np.hstack([NUMBERS, F])), {}),
}


SMALL = ("MultiClass", "variances of levels")


def options_of(name: str, **changes: object) -> ClosedFormOptions:
    options = {"hyperparameter_evaluations": 6, "hyperparameter_rounds": 1, "progress": False, "batch_size": 7}
    return ClosedFormOptions(**{**options, **CASES[name][2], **changes})


def report_fit(name: str, svgp: gpflow.models.SVGP, result: ClosedFormResult) -> None:
    bits = hashlib.sha256(b"".join(variable.numpy().tobytes() for variable in svgp.variables)).hexdigest()
    found = {key: value.tolist() for key, value in parameters(svgp).items()}
    passes = [[each.elbo, each.step, each.round] for each in result.passes]
    report(name, {"bits": bits, "parameters": found, "passes": passes, "converged": result.converged})


def count_refused_evaluations() -> list[float]:
    """The bounds that evaluations of the search report, from now on."""
    bounds: list[float] = []
    search = closed_form_run.maximize

    def watched(*arguments: object) -> None:
        *others, reporting = arguments
        search(*others, lambda number, elbo: (bounds.append(elbo), reporting(number, elbo)))

    closed_form_run.maximize = watched
    return bounds


def check_refusals(rank: int, folder: Path) -> None:
    def fit(*changed: object, **changes: object) -> None:
        data = changed or (X, YES_OR_NO)
        options = {"hyperparameter_rounds": 0, "progress": False, "checkpoint_dir": folder, **changes}
        fit_closed_form(model(Bernoulli()), data, ClosedFormOptions(**options), strategy=strategy)

    damaged = X.copy()
    damaged[30] = np.nan
    np.save(folder.parent / f"damaged-{rank}.npy", damaged)
    refused("rows", lambda: fit(X, np.roll(YES_OR_NO, rank)))
    refused("options", lambda: fit(max_passes=20 + rank))
    refused("one fails", lambda: fit(X[rank:], YES_OR_NO))
    refused("few rows", lambda: fit(hyperparameter_rows=1))
    refused("no strategy", lambda: fit_closed_form(model(Bernoulli()), (X, YES_OR_NO)))
    other = tf.distribute.OneDeviceStrategy("CPU:0")
    refused("kind", lambda: fit_closed_form(model(Bernoulli()), (X, YES_OR_NO), strategy=other))
    report("written", sorted(file.name for file in folder.iterdir() if file.name != ".lock"))
    mapped = np.load(folder.parent / f"damaged-{rank}.npy", mmap_mode="r")
    refused("a NaN", lambda: fit(mapped, YES_OR_NO))


def paths() -> tuple[np.ndarray, np.ndarray, int]:
    """PenDigits with its channels and number of classes; walks where it is not there."""
    if "SIGKERNEL_TF_DATA" in os.environ:
        from experiments.datasets import pendigits

        dataset = pendigits.load()
        walks, labels = np.asarray(dataset.X_train), dataset.y_train
    else:
        walks = np.random.default_rng(0).normal(size=(3000, 8, 3)).cumsum(axis=1) / 3.0
        labels = (np.argmax(walks[:, -1], axis=1) * 3 + np.argmax(walks[:, 4], axis=1)).astype(int)
    return walks.reshape(len(walks), -1), labels[:, None], walks.shape[2]


def digits(channels: int, classes: int) -> gpflow.models.SVGP:
    return SigGPDE(
        channels,
        100,
        likelihood=MultiClass(classes),
        num_latent_gps=classes,
        lengthscales=np.full(channels, 1.5),
    )


DIGITS = ClosedFormOptions(hyperparameter_rounds=1, hyperparameter_evaluations=4, max_passes=8, progress=False)


def fit_digits(folder: Path, what: str, rank: int) -> None:
    """Fit PenDigits' shards; kill or terminate this process in a pass, where it is to be."""
    rows, labels = read_shards(folder / "shards")
    channels = int((folder / "channels").read_text())
    svgp = digits(channels, int(labels.max()) + 1)
    options = replace(DIGITS, checkpoint_dir=folder / "run")
    if what.endswith(str(rank)):
        call, count = Passes.__call__, [0]

        def struck(self: Passes, *arguments: object, **settings: object) -> object:
            count[0] += 1
            if count[0] == 6:
                os.kill(os.getpid(), signal.SIGKILL if "kill" in what else signal.SIGTERM)
            return call(self, *arguments, **settings)

        Passes.__call__ = struck
    try:
        result = fit_closed_form(svgp, (rows, labels), options, strategy=strategy)
    except (KeyboardInterrupt, RuntimeError) as error:
        report("stopped", f"{type(error).__name__}: {error}")
        return
    report("opened", sorted(rows._opened))
    report_fit("digits", svgp, result)


if __name__ == "__main__":
    strategy = connect_workers(300)
    task, where = sys.argv[1], Path(sys.argv[2])
    number = strategy.cluster_resolver.task_id
    if task in ("small", "rest"):
        bounds = count_refused_evaluations()
        for name in SMALL if task == "small" else [each for each in CASES if each not in SMALL]:
            make, data, _ = CASES[name]
            svgp = make()
            if number == 1:  # values that only the chief has been given, and that the others take from it
                for parameter in svgp.likelihood.parameters:
                    parameter.assign(parameter * 0.9)
            bounds.clear()
            result = fit_closed_form(svgp, data, options_of(name), strategy=strategy)
            report_fit(name, svgp, result)
            report(f"{name} evaluations", [len(bounds), int(np.sum(np.isnan(bounds)))])
        if task == "small":
            report("no numbers", as_workers(strategy).total(np.zeros((0, 2))).shape)
            check_refusals(number, where)
    else:
        fit_digits(where, task, number)
