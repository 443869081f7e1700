"""The ways of fitting a model, each of which ends in predictions, and in what is written down of the fit."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gpflow
import numpy as np
import tensorflow as tf
from gpflow.models import SVGP

from sigkernel_tf.gp import (
    ClosedFormOptions,
    fit_closed_form,
    fit_least_squares,
    leave_one_out_log_density,
    train,
)
from sigkernel_tf.gp.training.parameter_sets import parameter_sets

if TYPE_CHECKING:
    from .protocol import Protocol

Rows = tuple[np.ndarray, np.ndarray]
Record = Callable[[], dict[str, float]]
_ROUNDS = 3  # of hyperparameters in the fit by sites
_SEARCHED_ROWS, _SEARCH_STEPS = 1000, 20  # by which least squares finds its hyperparameters
_FARTHEST_BELOW = 6.0  # where they start, as unconstrained numbers: a lengthscale of 2 to 0.02


@dataclass(frozen=True)
class Fitted:
    """What a fit ends in, beside the model's parameters."""

    history: list[dict[str, Any]]
    """What it went through, as JSON values, each with an ``elbo``."""
    seconds_per_iteration: float | None
    best_iteration: int | None = None
    probabilities: Callable[[np.ndarray], np.ndarray] | None = None
    """Classes' probabilities at rows, [n, C]. None: the model predicts them."""


def fit(
    model: SVGP,
    data: Rows,
    protocol: "Protocol",
    *,
    seed: int,
    folder: Path,
    validation: Any,
    record: Record,
    progress: bool,
) -> Fitted:
    """
    Fit a model to data as ``protocol.fit`` says.

    :param folder: for checkpoints.
    :param validation: the rows to validate on, where the data set chooses them; for the fits by minibatch steps.
    :param record: returns scores by name that are written down during a fit by minibatch steps.
    """
    if protocol.fit == "sites":
        return _by_sites(model, data, seed, folder, progress)
    if protocol.fit == "least-squares":
        return _by_least_squares(model, data, seed)
    options = protocol.training_options(seed, folder, progress)
    result = train(model, data, options, validation=validation, record=record)
    seconds = None if math.isnan(result.seconds_per_iteration) else result.seconds_per_iteration
    return Fitted([asdict(point) for point in result.history], seconds, result.best_iteration)


def _by_sites(model: SVGP, data: Rows, seed: int, folder: Path, progress: bool) -> Fitted:
    options = ClosedFormOptions(
        hyperparameter_rounds=_ROUNDS, tolerance=1e-4, seed=seed, checkpoint_dir=folder, progress=progress
    )
    result = fit_closed_form(model, data, options)
    return Fitted([asdict(each) for each in result.passes], None)


def _by_least_squares(model: SVGP, data: Rows, seed: int) -> Fitted:
    """The hyperparameters are those of the largest leave-one-out log density on some of the rows."""
    start = time.perf_counter()
    X: np.ndarray = data[0].astype(gpflow.default_float(), copy=False)
    y = data[1][:, 0].astype(np.int64)
    rows = np.sort(np.random.default_rng(seed).permutation(len(X))[:_SEARCHED_ROWS])
    first = fit_least_squares(model, X, y, calibrate=False)
    ridge = gpflow.Parameter(first.ridge, transform=gpflow.utilities.positive(lower=1e-9))
    gpflow.set_trainable(model.kernel.variance, False)  # which has no effect beside the ridge
    variables = [*parameter_sets(model)[1], ridge.unconstrained_variable]

    def loss() -> tf.Tensor:
        return -leave_one_out_log_density(model, X[rows], y[rows], ridge) / len(rows)

    # A lengthscale that L-BFGS tries far below where it starts would let the signatures overflow.
    starts = np.concatenate([variable.numpy().ravel() for variable in variables])
    bounds = [(start - _FARTHEST_BELOW, None) for start in starts]
    gpflow.optimizers.Scipy().minimize(loss, variables, bounds=bounds, options={"maxiter": _SEARCH_STEPS})
    found = fit_least_squares(model, X, y)
    seconds = time.perf_counter() - start
    point = {"elbo": found.loo_log_density, "seconds": seconds, "what": "leave-one-out log density"}
    return Fitted([point], None, probabilities=found.predict_proba)
