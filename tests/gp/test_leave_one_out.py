"""The leave-one-out log density as a function of hyperparameters: its value, its gradient, and what it refuses."""

from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from gpflow.inducing_variables import InducingPoints
from gpflow.models import SVGP

from sigkernel_tf.gp import (
    InducingSequences,
    SigGPDE,
    SignatureKernel,
    fit_least_squares,
    flatten_paths,
    leave_one_out_log_density,
)

NUM_ROWS = 14


def lifted() -> SignatureKernel:
    kernel = SignatureKernel(2, static_kernel=gpflow.kernels.RBF(lengthscales=0.9), normalize=True)
    gpflow.set_trainable(kernel.lengthscales, False)
    return kernel


def svgp(kernel: gpflow.kernels.Kernel, inducing_variable: object) -> SVGP:
    return SVGP(kernel, gpflow.likelihoods.Gaussian(), inducing_variable)


MODELS = {
    "orthogonal": lambda X: SigGPDE(2, 7, likelihood=gpflow.likelihoods.Gaussian(), lengthscales=[0.9, 1.4]),
    "sequences": lambda X: svgp(lifted(), InducingSequences.from_data(X, 5, lifted())),
    "exact": lambda X: lifted(),
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


@pytest.fixture
def rows(walks: Callable) -> np.ndarray:
    return flatten_paths(walks(NUM_ROWS, 4, 2))


TARGETS = {
    "labels": lambda X: np.where(X[:, -1] > 0, "up", np.where(X[:, -2] > 0, "right", "down")),
    "numbers": lambda X: np.stack([np.sin(X[:, -1]), 30.0 * X[:, -2] ** 2, np.full(len(X), 0.1)], axis=1),
}
every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@every_model
@every_target
def test_it_is_the_log_density_of_the_fit(make: Callable, target: Callable, rows: np.ndarray) -> None:
    model, y = make(rows), target(rows)
    of_all = svgp(model, InducingPoints(rows)) if isinstance(model, SignatureKernel) else model
    fit = fit_least_squares(of_all, rows, y, ridges=[0.003, 0.1])
    for ridge, expected in zip(fit.ridges, fit.loo_log_densities, strict=True):
        found = leave_one_out_log_density(model, rows, y, ridge)
        assert found.dtype == tf.float64
        np.testing.assert_allclose(found, expected, rtol=1e-7)


@every_model
@every_target
def test_gradients_match_differences(make: Callable, target: Callable, rows: np.ndarray) -> None:
    model, y = make(rows), target(rows)
    ridge = gpflow.Parameter(0.05, transform=gpflow.utilities.positive())
    kernel = model.kernel if isinstance(model, SVGP) else model
    variables = [*kernel.trainable_variables, ridge.unconstrained_variable]
    assert len(variables) >= 3
    with tf.GradientTape() as tape:
        value = leave_one_out_log_density(model, rows, y, ridge)
    for variable, gradient in zip(variables, tape.gradient(value, variables), strict=True):
        start = variable.numpy()
        for place in np.ndindex(start.shape):
            step = np.zeros_like(start)
            step[place] = 1e-5
            values = []
            for sign in (1.0, -1.0):
                variable.assign(start + sign * step)
                values.append(float(leave_one_out_log_density(model, rows, y, ridge)))
            variable.assign(start)
            np.testing.assert_allclose(gradient.numpy()[place], (values[0] - values[1]) / 2e-5, rtol=1e-5, atol=1e-5)


def test_an_optimizer_of_gpflow_raises_it(rows: np.ndarray) -> None:
    model, y = MODELS["sequences"](rows), TARGETS["numbers"](rows)[:, 0]
    ridge = gpflow.Parameter(0.05, transform=gpflow.utilities.positive())
    before = leave_one_out_log_density(model, rows, y, ridge)
    found = gpflow.optimizers.Scipy().minimize(
        lambda: -leave_one_out_log_density(model, rows, y, ridge),
        [*model.kernel.trainable_variables, ridge.unconstrained_variable],
        compile=False,
        options={"maxiter": 4},
    )
    assert -found.fun > before + 1.0
    fit = fit_least_squares(model, rows, y, ridges=[ridge.numpy()])
    np.testing.assert_allclose(fit.loo_log_density, -found.fun, rtol=1e-6)


def test_inducing_variables_may_come_twice(rows: np.ndarray) -> None:
    y, Z = TARGETS["labels"](rows), InducingSequences.from_data(rows, 5, lifted()).Z.numpy()
    once, twice = (svgp(lifted(), InducingSequences(each)) for each in (Z, np.concatenate([Z, Z])))
    with tf.GradientTape() as tape:
        found = leave_one_out_log_density(twice, rows, y, 0.1)
    np.testing.assert_allclose(found, leave_one_out_log_density(once, rows, y, 0.1), rtol=1e-7)
    assert all(np.isfinite(each).all() for each in tape.gradient(found, twice.kernel.trainable_variables))


def test_single_precision(rows: np.ndarray) -> None:
    y = TARGETS["labels"](rows)
    expected = leave_one_out_log_density(MODELS["sequences"](rows), rows, y, 0.1)
    with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
        X = rows.astype(np.float32)
        found = leave_one_out_log_density(MODELS["sequences"](X), X, y, 0.1)
    assert found.dtype == tf.float64
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_bad_arguments(rows: np.ndarray) -> None:
    y = TARGETS["labels"](rows)
    with pytest.raises(TypeError, match="a gpflow.models.SVGP or a kernel with one output, got <func"):
        leave_one_out_log_density(lambda X: X, rows, y, 0.1)
    with pytest.raises(TypeError, match="got SharedIndependent"):
        leave_one_out_log_density(gpflow.kernels.SharedIndependent(lifted(), 2), rows, y, 0.1)
    with pytest.raises(ValueError, match="X must have rank 2"):
        leave_one_out_log_density(lifted(), rows.reshape(NUM_ROWS, 4, 2), y, 0.1)
    with pytest.raises(ValueError, match="same number of rows"):
        leave_one_out_log_density(lifted(), rows, y[1:], 0.1)
