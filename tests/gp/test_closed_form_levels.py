"""Variances of levels in a fit in closed form: against evidence maximised numerically, and GPflow's own gradient."""

from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import tensorflow as tf
from gpflow.likelihoods import Bernoulli, Gaussian, Likelihood
from gpflow.models import SVGP

from sigkernel_tf.gp import (
    ClosedFormOptions,
    OrthogonalSignatureFeatures,
    SignatureKernel,
    fit_closed_form,
    flatten_paths,
)

TO_THE_END = ClosedFormOptions(hyperparameter_rounds=1, max_passes=500, tolerance=1e-9, progress=False)
NOISE = 0.05


def model(
    likelihood: Likelihood, num_inducing: int, level_variances: list[float], num_latent_gps: int = 1, **options: object
) -> SVGP:
    """Of it only the variances of levels are trained."""
    kernel = SignatureKernel(2, level_variances=level_variances, **options)
    for part in (kernel.lengthscales, kernel.variance, likelihood):
        gpflow.set_trainable(part, False)
    return SVGP(kernel, likelihood, OrthogonalSignatureFeatures(num_inducing), num_latent_gps=num_latent_gps)


def numbers(paths: np.ndarray, seed: int = 3) -> np.ndarray:
    """What depends on the paths' levels 1 and 2 in different measure."""
    rng = np.random.default_rng(seed)
    area = np.sum(paths[:, 1:, 0] * np.diff(paths[:, :, 1], axis=1), axis=1)
    return (2.0 * (paths[:, -1, 0] - paths[:, 0, 0]) + 0.5 * area + 0.2 * rng.normal(size=len(paths)))[:, None]


def gradient(svgp: SVGP, data: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """
    By the logarithms of the variances of levels, with q(v) held.

    At the best q(v) it is the derivative of the bound in which q(v) follows.
    """
    variable = svgp.kernel.level_variances.unconstrained_variable
    with tf.GradientTape() as tape:
        elbo = svgp.elbo(data)
    w = svgp.kernel.level_variances.numpy()
    return tape.gradient(elbo, variable).numpy() * w / -np.expm1(-w)  # through GPflow's softplus


class TestFixedPoint:
    @pytest.mark.parametrize(("num_outputs", "shared_covariance"), [(1, False), (2, False), (2, True)])
    def test_a_gaussian_model_has_the_variances_of_the_largest_evidence(
        self, num_outputs: int, shared_covariance: bool, walks: Callable, numpy_signature: Callable
    ) -> None:
        paths = walks(60, 6, 2)
        Y = np.concatenate([numbers(paths, seed) for seed in range(num_outputs)], axis=1)
        svgp = model(Gaussian(NOISE), 7, [1.0, 1.0, 1.0, 0.0], num_outputs)
        options = ClosedFormOptions(
            **{**TO_THE_END.as_fingerprint(), "shared_covariance": shared_covariance, "progress": False}
        )
        result = fit_closed_form(svgp, (flatten_paths(paths), Y), options)
        S = numpy_signature(paths, 2)
        grams = [S[:, part] @ S[:, part].T for part in (slice(0, 1), slice(1, 3), slice(3, 7))]

        def negative_evidence(log_variances: np.ndarray) -> float:
            K = np.tensordot(np.exp(log_variances), grams, 1) + NOISE * np.eye(len(Y))
            return -np.sum(scipy.stats.multivariate_normal.logpdf(Y.T, cov=K))

        found = scipy.optimize.minimize(negative_evidence, np.zeros(3), bounds=[(-40.0, 12.0)] * 3)
        assert result.converged
        np.testing.assert_allclose(result.elbo, -found.fun, atol=1e-3)
        variances = svgp.kernel.level_variances.numpy()
        is_determined = found.x > -10.0
        assert is_determined.sum() >= 2
        np.testing.assert_allclose(variances[:3][is_determined], np.exp(found.x[is_determined]), rtol=0.01)
        assert variances[3] == 0.0

    @pytest.mark.parametrize("whiten", [True, False])
    def test_the_slope_of_the_bound_vanishes(self, whiten: bool, walks: Callable) -> None:
        """Also that of the last variance, to which what the features leave out belongs."""
        paths = walks(80, 6, 2)
        Y = (numbers(paths) > 0).astype(float)
        data = flatten_paths(paths), Y
        svgp = model(Bernoulli(), 10, [1.0, 0.3, 0.2, 1.0], lengthscales=2.0)
        svgp.whiten = whiten
        before = gradient(svgp, data)
        result = fit_closed_form(svgp, data, TO_THE_END)
        assert result.converged
        np.testing.assert_allclose(svgp.elbo(data), result.elbo, rtol=1e-8)
        assert np.abs(before).max() > 1.0
        np.testing.assert_allclose(gradient(svgp, data), 0.0, atol=2e-3)

    def test_kernels_of_their_own_have_variances_of_their_own(self, walks: Callable) -> None:
        paths = walks(40, 6, 2)
        rows, Y = flatten_paths(paths), np.concatenate([numbers(paths), -2.0 * numbers(paths, 5)], axis=1)
        parts = [model(Gaussian(NOISE), 7, [1.0, 1.0, 1.0, 0.5], lengthscales=scale) for scale in (1.5, 3.0)]
        together = SVGP(
            gpflow.kernels.SeparateIndependent([gpflow.utilities.deepcopy(part.kernel) for part in parts]),
            parts[0].likelihood,
            gpflow.inducing_variables.SharedIndependentInducingVariables(OrthogonalSignatureFeatures(7)),
            num_latent_gps=2,
        )
        fit_closed_form(together, (rows, Y), TO_THE_END)
        for c, part in enumerate(parts):
            fit_closed_form(part, (rows, Y[:, c : c + 1]), TO_THE_END)
            np.testing.assert_allclose(
                together.kernel.kernels[c].level_variances, part.kernel.level_variances, rtol=1e-2, atol=1e-4
            )

    @pytest.mark.parametrize(
        ("num_inducing", "options"), [(5, {}), (10, {"normalize": True})], ids=["words cut", "normalized"]
    )
    def test_where_it_does_not_hold_they_move_by_gradient(
        self, num_inducing: int, options: dict, walks: Callable
    ) -> None:
        paths = walks(50, 6, 2)
        data = flatten_paths(paths), numbers(paths)
        svgp = model(Gaussian(NOISE), num_inducing, [1.0, 1.0, 1.0, 1.0], **options)
        at_first = fit_closed_form(svgp, data, ClosedFormOptions(hyperparameter_rounds=0, progress=False)).elbo
        rounds = ClosedFormOptions(hyperparameter_rounds=2, hyperparameter_evaluations=30, progress=False)
        result = fit_closed_form(svgp, data, rounds)
        assert result.elbo > at_first + 1.0
        np.testing.assert_allclose(svgp.elbo(data), result.elbo, rtol=1e-8)

    def test_without_rounds_they_stay(self, walks: Callable) -> None:
        paths = walks(20, 6, 2)
        svgp = model(Gaussian(NOISE), 7, [1.0, 2.0, 3.0])
        options = ClosedFormOptions(hyperparameter_rounds=0, progress=False)
        fit_closed_form(svgp, (flatten_paths(paths), numbers(paths)), options)
        np.testing.assert_allclose(svgp.kernel.level_variances, [1.0, 2.0, 3.0], rtol=1e-12)
