"""Least squares on features: against explicit refits, GPflow's own regressions and scikit-learn's calibration."""

from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import scipy.stats
import sklearn.linear_model
from gpflow.inducing_variables import InducingPoints
from gpflow.models import GPR, SGPR, SVGP
from model_comparison import NO_JITTER

from sigkernel_tf.gp import (
    InducingSequences,
    InducingTensors,
    SigGPDE,
    SignatureKernel,
    TruncatedSignatureKernel,
    fit_least_squares,
    flatten_paths,
)

NUM_ROWS = 30
RIDGES = [1e-3, 0.03, 1.0]
Walks = Callable[..., np.ndarray]


def kernel_of_paths(**options: object) -> SignatureKernel:
    return SignatureKernel(2, lengthscales=[0.8, 1.3], variance=1.7, normalize=True, **options)


def svgp(kernel: gpflow.kernels.Kernel, inducing_variable: object) -> SVGP:
    return SVGP(kernel, gpflow.likelihoods.Gaussian(), inducing_variable)


def exact(X: np.ndarray) -> SVGP:
    """A model whose features explain all of the prior at the rows of X."""
    return svgp(kernel_of_paths(), InducingPoints(X))


@pytest.fixture
def rows(walks: Walks) -> np.ndarray:
    return flatten_paths(walks(NUM_ROWS, 5, 2))


@pytest.fixture
def new_rows(walks: Walks) -> np.ndarray:
    walks(NUM_ROWS, 5, 2)
    return flatten_paths(walks(8, 5, 2))


@pytest.fixture
def labels() -> np.ndarray:
    return np.array(["c", "a", "b", "a", "b", "b"] * (NUM_ROWS // 6))


@pytest.fixture
def outputs(rng: np.random.Generator) -> np.ndarray:
    """Two numbers of different sizes for each row."""
    return rng.normal(size=(NUM_ROWS, 2)) * [1.0, 50.0] + [3.0, -20.0]


def one_hot(labels: np.ndarray) -> np.ndarray:
    return (labels[:, None] == np.unique(labels)).astype(float)


MODELS = {
    "orthogonal": lambda X: SigGPDE(2, 15, likelihood=gpflow.likelihoods.Gaussian(), lengthscales=0.9),
    "sequences": lambda X: svgp(kernel_of_paths(), InducingSequences.from_data(X, 12, kernel_of_paths())),
    "tensors": lambda X: svgp(
        TruncatedSignatureKernel(2, 3), InducingTensors.from_data(X, 12, TruncatedSignatureKernel(2, 3))
    ),
    "points": lambda X: svgp(kernel_of_paths(static_kernel=gpflow.kernels.RBF()), InducingPoints(X[::3])),
    "exact": exact,
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def posterior_by_refit(
    features: Callable, X: np.ndarray, y: np.ndarray, X_new: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of f at new rows by Gram matrices, for a prior that the features explain."""
    A, B = features(X), features(X_new)
    inverse = np.linalg.inv(A @ A.T + ridge * np.eye(len(A)))
    return B @ A.T @ inverse @ y, np.sum(B**2, axis=1) - np.sum((B @ A.T @ inverse) * (B @ A.T), axis=1)


def by_inverse(model: SVGP) -> Callable[[np.ndarray], np.ndarray]:
    """Features by the symmetric square root of Kuu's inverse."""

    def features(X: np.ndarray) -> np.ndarray:
        Kuu = gpflow.covariances.Kuu(model.inducing_variable, model.kernel).numpy()
        U, w, _ = np.linalg.svd(Kuu)
        return gpflow.covariances.Kuf(model.inducing_variable, model.kernel, X).numpy().T @ (U / np.sqrt(w)) @ U.T

    return features


@every_model
def test_leave_one_out_is_that_of_refits(make: Callable, rows: np.ndarray, outputs: np.ndarray) -> None:
    model = make(rows)
    fit, features = fit_least_squares(model, rows, outputs, ridges=RIDGES), by_inverse(model)
    centred = outputs - outputs.mean(axis=0)
    expected_density = []
    for ridge in RIDGES:
        means, variances = np.empty_like(outputs), np.empty(NUM_ROWS)
        for i in range(NUM_ROWS):
            others = np.delete(np.arange(NUM_ROWS), i)
            mean, variance = posterior_by_refit(features, rows[others], centred[others], rows[i : i + 1], ridge)
            means[i], variances[i] = mean[0], variance[0] + ridge
        if ridge == fit.ridge:
            np.testing.assert_allclose(fit.loo_scores, means + outputs.mean(axis=0), rtol=1e-7, atol=1e-7)
            np.testing.assert_allclose(fit.ridge / (1 - fit.leverages), variances, rtol=1e-7)

        def at(scale: float, c: int, means: np.ndarray = means, variances: np.ndarray = variances) -> float:
            return scipy.stats.norm.logpdf(centred[:, c], means[:, c], np.sqrt(scale * variances)).sum()

        scales = np.mean((centred - means) ** 2 / variances[:, None], axis=0)
        assert all(at(scales[c], c) > max(at(0.99 * scales[c], c), at(1.01 * scales[c], c)) for c in range(2))
        expected_density.append(at(scales[0], 0) + at(scales[1], 1))
        if ridge == fit.ridge:
            np.testing.assert_allclose(fit.scale, scales, rtol=1e-7)
    np.testing.assert_allclose(fit.loo_log_densities, expected_density, rtol=1e-8)
    assert fit.loo_log_density == max(fit.loo_log_densities)
    assert fit.ridge == RIDGES[int(np.argmax(expected_density))]


@pytest.mark.parametrize("ridge", [1e-4, 0.1])
def test_with_all_rows_as_inducing_points_it_is_gpflows_gpr(
    ridge: float, rows: np.ndarray, new_rows: np.ndarray, outputs: np.ndarray
) -> None:
    fit = fit_least_squares(exact(rows), rows, outputs, ridges=[ridge])
    mean_function = gpflow.mean_functions.Constant(outputs.mean(axis=0))
    gpr = GPR((rows, outputs), kernel_of_paths(), mean_function=mean_function, noise_variance=ridge)
    for at in (rows, new_rows):
        expected_mean, expected_variance = gpr.predict_f(at)
        mean, variance = fit.predict_f(at)
        np.testing.assert_allclose(mean, expected_mean, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(np.tile(variance, 2), expected_variance, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(fit.predict_mean(at), expected_mean, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(fit.predict(at), expected_mean, rtol=1e-8, atol=1e-8)


@every_model
def test_it_is_gpflows_sgpr(make: Callable, rows: np.ndarray, new_rows: np.ndarray, outputs: np.ndarray) -> None:
    model = make(rows)
    fit = fit_least_squares(model, rows, outputs, ridges=[0.02])
    mean_function = gpflow.mean_functions.Constant(outputs.mean(axis=0))
    with gpflow.config.as_context(gpflow.config.Config(jitter=1e-12)):
        sgpr = SGPR(
            (rows, outputs), model.kernel, model.inducing_variable, mean_function=mean_function, noise_variance=0.02
        )
        expected_mean, expected_variance = sgpr.predict_f(new_rows)
    mean, variance = fit.predict_f(new_rows)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(np.tile(variance, 2), expected_variance, rtol=1e-8, atol=1e-8)


@every_model
@pytest.mark.parametrize("scaled", [False, True])
def test_the_svgp_of_a_fit_predicts_the_same(
    make: Callable, scaled: bool, rows: np.ndarray, new_rows: np.ndarray, labels: np.ndarray
) -> None:
    fit = fit_least_squares(make(rows), rows, labels)
    model = fit.as_svgp(scaled=scaled)
    assert isinstance(model, SVGP)
    mean, variance = model.predict_f(new_rows)
    expected_mean, expected_variance = fit.predict_f(new_rows)
    factor = fit.scale[0] if scaled else 1.0
    size = factor * expected_variance.max()
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(variance, np.tile(factor * expected_variance, 3), atol=1e-4 * size)
    if scaled:
        for found, expected in zip(model.predict_y(new_rows), fit.predict_y(new_rows), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * size)
    if make is not exact:
        with gpflow.config.as_context(NO_JITTER):
            mean, variance = fit.as_svgp(scaled=scaled).predict_f(new_rows)
        np.testing.assert_allclose(mean, expected_mean, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(variance, np.tile(factor * expected_variance, 3), atol=1e-8 * size)


def test_the_svgp_has_the_targets_of_the_fit(rows: np.ndarray, labels: np.ndarray) -> None:
    """q(u) is where the bound for columns of ones and zeros is largest: no natural gradient moves it."""
    fit = fit_least_squares(MODELS["orthogonal"](rows), rows, labels)
    model = fit.as_svgp()
    gpflow.utilities.set_trainable(model.q_mu, False)
    gpflow.utilities.set_trainable(model.q_sqrt, False)
    before = model.q_mu.numpy(), model.q_sqrt.numpy()
    step = gpflow.optimizers.NaturalGradient(gamma=1.0)
    step.minimize(model.training_loss_closure((rows, one_hot(labels)), compile=False), [(model.q_mu, model.q_sqrt)])
    np.testing.assert_allclose(model.q_mu, before[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(model.q_sqrt, before[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_calibration_is_scikit_learns(
    num_classes: int, rows: np.ndarray, new_rows: np.ndarray, labels: np.ndarray
) -> None:
    labels = np.where(labels == "c", "a", labels) if num_classes == 2 else labels
    fit = fit_least_squares(MODELS["orthogonal"](rows), rows, labels)
    logistic = sklearn.linear_model.LogisticRegression(C=30, max_iter=5000, tol=1e-10).fit(fit.loo_scores, labels)
    scores = fit.predict_mean(new_rows)
    np.testing.assert_allclose(fit.predict_proba(new_rows), logistic.predict_proba(scores), atol=1e-5)
    np.testing.assert_allclose(fit.predict_log_proba(new_rows), np.log(fit.predict_proba(new_rows)), rtol=1e-9)
    np.testing.assert_array_equal(fit.predict(new_rows), logistic.predict(scores))
    np.testing.assert_allclose(fit.predict_proba(new_rows).sum(axis=1), 1.0, rtol=1e-12)
