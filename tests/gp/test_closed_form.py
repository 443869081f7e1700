"""Fits in closed form: against GPR, SGPR, GPflow's natural gradients, and bounds maximised numerically."""

import gpflow
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from closed_form_toys import (
    CLASSES,
    COUNTS,
    EXACTLY,
    NEW,
    NUMBERS,
    QUICKLY,
    F,
    X,
    Z,
    assert_predicts_alike,
    kernel,
    model,
)
from gpflow.likelihoods import (
    Bernoulli,
    Exponential,
    Gaussian,
    Likelihood,
    MultiClass,
    Ordinal,
    Poisson,
    Softmax,
    StudentT,
)

from sigkernel_tf.gp import (
    ClosedFormOptions,
    InducingSequences,
    InducingTensors,
    SigGPDE,
    SignatureKernel,
    TruncatedSignatureKernel,
    fit_closed_form,
    flatten_paths,
)
from sigkernel_tf.gp.training.expectations import expectations
from sigkernel_tf.gp.training.held_sites import HeldSites, bound
from sigkernel_tf.gp.training.latents import latents_of
from sigkernel_tf.gp.training.parameter_sets import parameter_sets


class TestGaussian:
    @pytest.mark.parametrize("whiten", [True, False])
    def test_it_is_sgpr(self, whiten: bool) -> None:
        mean = gpflow.mean_functions.Constant(0.7)
        svgp = model(Gaussian(0.05), whiten=whiten, mean_function=mean)
        result = fit_closed_form(svgp, (X, NUMBERS), EXACTLY)
        sgpr = gpflow.models.SGPR((X, NUMBERS), kernel(), Z.copy(), noise_variance=0.05, mean_function=mean)
        assert result.converged
        np.testing.assert_allclose(result.elbo, sgpr.elbo(), rtol=1e-10)
        np.testing.assert_allclose(svgp.elbo((X, NUMBERS)), result.elbo, rtol=1e-10)
        assert_predicts_alike(svgp, sgpr, 1e-8)

    def test_it_is_gpr_where_all_rows_are_inducing_points(self) -> None:
        svgp = gpflow.models.SVGP(kernel(), Gaussian(0.05), X.copy())
        jitter = gpflow.config.default_jitter()
        gpflow.config.set_default_jitter(1e-12)
        try:
            fit_closed_form(svgp, (X, NUMBERS), EXACTLY)
            gpr = gpflow.models.GPR((X, NUMBERS), kernel(), noise_variance=0.05)
            assert_predicts_alike(svgp, gpr, 1e-8)
        finally:
            gpflow.config.set_default_jitter(jitter)

    def test_a_prior_counts_where_a_move_is_judged(self) -> None:
        svgp = model(Gaussian(0.1))
        for part in (svgp.inducing_variable, svgp.likelihood, svgp.kernel.variance):
            gpflow.set_trainable(part, False)
        options = ClosedFormOptions(hyperparameter_rounds=3, progress=False)
        fit_closed_form(svgp, (X, NUMBERS), options)
        without = float(svgp.kernel.lengthscales.numpy())
        one = np.float64(1.0)
        svgp.kernel.lengthscales.prior = tfp.distributions.LogNormal(np.log(3.0 * without) * one, 0.02 * one)
        fit_closed_form(svgp, (X, NUMBERS), options)
        assert float(svgp.kernel.lengthscales.numpy()) > 2.0 * without

    def test_hyperparameters_are_those_of_sgpr(self) -> None:
        svgp = model(Gaussian(1.0))
        gpflow.set_trainable(svgp.inducing_variable, False)
        options = ClosedFormOptions(hyperparameter_rounds=3, hyperparameter_evaluations=40, progress=False)
        result = fit_closed_form(svgp, (X, NUMBERS), options)
        sgpr = gpflow.models.SGPR((X, NUMBERS), kernel(), Z.copy(), noise_variance=1.0)
        gpflow.set_trainable(sgpr.inducing_variable, False)
        gpflow.optimizers.Scipy().minimize(sgpr.training_loss, sgpr.trainable_variables)
        np.testing.assert_allclose(result.elbo, sgpr.elbo(), atol=0.01)
        np.testing.assert_allclose(svgp.kernel.lengthscales, sgpr.kernel.lengthscales, rtol=0.05)
        assert [each.round for each in result.passes][-1] == 3


class TestOtherLikelihoods:
    @pytest.mark.parametrize(
        ("likelihood", "Y"),
        [(Bernoulli(), (F > 0.6).astype(float)), (Poisson(), COUNTS), (StudentT(0.2), NUMBERS)],
        ids=["Bernoulli", "Poisson", "StudentT"],
    )
    def test_it_is_where_natural_gradients_lead(self, likelihood: Likelihood, Y: np.ndarray) -> None:
        fitted, stepped = model(likelihood), model(likelihood)
        result = fit_closed_form(fitted, (X, Y), EXACTLY)
        steps = gpflow.optimizers.NaturalGradient(gamma=0.3)
        loss = tf.function(stepped.training_loss_closure((X, Y), compile=False))
        for _ in range(100):
            steps.minimize(loss, [(stepped.q_mu, stepped.q_sqrt)])
        np.testing.assert_allclose(result.elbo, stepped.elbo((X, Y)), rtol=1e-8)
        assert_predicts_alike(fitted, stepped, 1e-4)

    def test_ordinal_is_at_the_maximum_of_a_bound_of_our_own(self) -> None:
        edges, num_features = np.array([0.3, 1.0]), len(Z)
        svgp = model(Ordinal(edges))
        result = fit_closed_form(svgp, (X, CLASSES.astype(float)), EXACTLY)
        K = kernel()(Z).numpy() + gpflow.config.default_jitter() * np.eye(num_features)
        phi = np.linalg.solve(np.linalg.cholesky(K), kernel()(Z, X).numpy())
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        sides = np.concatenate([[-np.inf], edges, [np.inf]])
        lower, upper = (side[CLASSES] for side in (sides[:-1], sides[1:]))

        def negative_bound(q: np.ndarray) -> float:
            L = np.zeros((num_features, num_features))
            L[np.tril_indices(num_features)] = q[num_features:]
            mean = phi.T @ q[:num_features]
            variance = 1.0 - np.sum(phi**2, axis=0) + np.sum((L.T @ phi) ** 2, axis=0)
            f = mean[:, None] + np.sqrt(variance)[:, None] * nodes
            p = scipy.special.ndtr(upper - f) - scipy.special.ndtr(lower - f)
            log_density = np.log(p * (1.0 - 2e-3) + 1e-6)
            divergence = 0.5 * (
                np.sum(L**2) - num_features - np.sum(np.log(np.diag(L) ** 2)) + np.sum(q[:num_features] ** 2)
            )
            return divergence - float(np.sum(log_density @ weights) / weights.sum())

        start = np.concatenate([np.zeros(num_features), np.eye(num_features)[np.tril_indices(num_features)]])
        found = scipy.optimize.minimize(negative_bound, start, method="BFGS")
        np.testing.assert_allclose(result.elbo, -found.fun, rtol=2e-3)
        np.testing.assert_allclose(svgp.q_mu.numpy()[:, 0], found.x[:num_features], atol=0.02)

    def test_robust_max_goes_where_natural_gradients_do_not_get(self) -> None:
        """Their steps must be short: with long ones q(u) has no covariance."""
        fitted, stepped = model(MultiClass(3), 3), model(MultiClass(3), 3)
        result = fit_closed_form(
            fitted, (X, CLASSES), ClosedFormOptions(max_passes=200, hyperparameter_rounds=0, progress=False)
        )
        assert result.converged
        np.testing.assert_allclose(fitted.elbo((X, CLASSES)), result.elbo, rtol=1e-9)
        steps = gpflow.optimizers.NaturalGradient(gamma=0.1)
        loss = tf.function(stepped.training_loss_closure((X, CLASSES), compile=False))
        for _ in range(60):
            steps.minimize(loss, [(stepped.q_mu, stepped.q_sqrt)])
        assert result.elbo > stepped.elbo((X, CLASSES))

    def test_softmax_is_where_its_gradient_vanishes(self) -> None:
        """The mean is the sum of E[grad log p] phi, here by a million draws."""
        svgp = model(Softmax(3), 3)
        fit_closed_form(svgp, (X, CLASSES), EXACTLY)
        mean, variance = (part.numpy() for part in svgp.predict_f(X))
        draws = np.random.default_rng(1).normal(size=(20_000, 1, 3))
        p = scipy.special.softmax(mean + np.sqrt(variance) * draws, axis=2).mean(axis=0)
        K = kernel()(Z).numpy() + gpflow.config.default_jitter() * np.eye(len(Z))
        phi = np.linalg.solve(np.linalg.cholesky(K), kernel()(Z, X).numpy())
        np.testing.assert_allclose(svgp.q_mu.numpy(), phi @ (np.eye(3)[CLASSES[:, 0]] - p), atol=0.05)

    @pytest.mark.parametrize(
        ("likelihood", "y", "log_density"),
        [
            (Bernoulli(), 1.0, lambda f: np.log(scipy.stats.norm.cdf(f) * (1 - 2e-3) + 1e-3)),
            (Poisson(), 3.0, lambda f: 3.0 * f - np.exp(f) - np.log(6.0)),
            (StudentT(2.0), 0.3, lambda f: scipy.stats.t.logpdf((0.3 - f) / 2.0, 3.0) - np.log(2.0)),
            (Exponential(), 0.7, lambda f: -f - 0.7 * np.exp(-f)),
            (Gaussian(0.3), 0.7, lambda f: scipy.stats.norm.logpdf(0.7, f, np.sqrt(0.3))),
            (Ordinal(np.array([-1.0, 0.5])), 0, lambda f: np.log(scipy.stats.norm.cdf(-1.0 - f) * (1 - 2e-3) + 1e-6)),
            (Ordinal(np.array([-1.0, 0.5])), 2, lambda f: np.log(scipy.stats.norm.sf(0.5 - f) * (1 - 2e-3) + 1e-6)),
        ],
        ids=["Bernoulli", "Poisson", "StudentT", "Exponential", "Gaussian", "Ordinal, first", "Ordinal, last"],
    )
    def test_expectations(self, likelihood: Likelihood, y: float, log_density: object) -> None:
        """By adaptive integration; the derivatives of the density by parts."""
        mean, variance = 0.3, 0.09
        found = expectations(
            likelihood,
            np.zeros((1, 1)),
            *(tf.constant([[part]], tf.float64) for part in (mean, variance)),
            tf.constant([[float(y)]], tf.float64),
        )
        f = np.linspace(mean - 12 * 0.3, mean + 12 * 0.3, 40_001)
        density = scipy.stats.norm.pdf(f, mean, 0.3) * (f[1] - f[0])
        values, z = log_density(f), (f - mean) / 0.3
        expected = [
            np.sum(values * density),
            np.sum(values * z * density) / 0.3,
            -np.sum(values * (z**2 - 1.0) * density) / 0.09,
        ]
        np.testing.assert_allclose([float(np.squeeze(part)) for part in found], expected, rtol=1e-4, atol=1e-6)

    def test_a_likelihood_of_ones_own_by_quadrature(self) -> None:
        """Counts with a rate of log(1 + exp(f)), at the maximum that SciPy finds for GPflow's bound."""

        class SoftplusCounts(gpflow.likelihoods.ScalarLikelihood):
            def _scalar_log_prob(self, X: tf.Tensor, F: tf.Tensor, Y: tf.Tensor) -> tf.Tensor:
                rate = tf.nn.softplus(F)
                return Y * tf.math.log(rate) - rate - tf.math.lgamma(Y + 1.0)

        fitted, searched = model(SoftplusCounts()), model(SoftplusCounts())
        result = fit_closed_form(fitted, (X, COUNTS), EXACTLY)
        for part in (searched.kernel, searched.inducing_variable):
            gpflow.set_trainable(part, False)
        gpflow.optimizers.Scipy().minimize(
            searched.training_loss_closure((X, COUNTS)), searched.trainable_variables, options={"ftol": 1e-12}
        )
        assert result.converged
        np.testing.assert_allclose(result.elbo, searched.elbo((X, COUNTS)), rtol=1e-6)
        assert_predicts_alike(fitted, searched, 5e-3)


class TestModels:
    def test_several_outputs_are_fits_of_their_own(self) -> None:
        Y = np.concatenate([NUMBERS, 2.0 * X[:, :1]], axis=1)
        kernels = [kernel(), gpflow.kernels.Matern32(lengthscales=2.0)]
        constants = np.array([0.4, -1.0])
        points = gpflow.inducing_variables.InducingPoints(Z.copy())
        several = gpflow.models.SVGP(
            gpflow.kernels.SeparateIndependent(kernels),
            Gaussian(0.05),
            gpflow.inducing_variables.SharedIndependentInducingVariables(points),
            num_latent_gps=2,
            whiten=False,
            mean_function=gpflow.mean_functions.Constant(constants),
        )
        fit_closed_form(several, (X, Y), EXACTLY)
        for c, each in enumerate(kernels):
            constant = gpflow.mean_functions.Constant(constants[c : c + 1])
            alone = gpflow.models.SVGP(each, Gaussian(0.05), Z.copy(), mean_function=constant)
            fit_closed_form(alone, (X, Y[:, c : c + 1]), EXACTLY)
            for found, expected in zip(several.predict_f(NEW), alone.predict_f(NEW), strict=True):
                np.testing.assert_allclose(found[:, c : c + 1], expected, atol=1e-8)

    def test_shared_independent_is_the_plain_kernel(self) -> None:
        points = gpflow.inducing_variables.InducingPoints(Z.copy())
        shared = gpflow.models.SVGP(
            gpflow.kernels.SharedIndependent(kernel(), output_dim=3),
            Softmax(3),
            gpflow.inducing_variables.SharedIndependentInducingVariables(points),
            num_latent_gps=3,
        )
        plain = model(Softmax(3), 3)
        assert fit_closed_form(shared, (X, CLASSES), QUICKLY).elbo == fit_closed_form(plain, (X, CLASSES), QUICKLY).elbo
        np.testing.assert_array_equal(shared.q_sqrt, plain.q_sqrt)

    def test_paths(self, walks: object) -> None:
        """Orthogonal features, whose Kuu is the identity, sequences and tensors."""
        paths = walks(30, 6, 2)
        truncated = TruncatedSignatureKernel(2, 3)
        rows, y = flatten_paths(paths), (paths[:, -1, :1] > 0).astype(float)
        for svgp in (
            SigGPDE(2, 15, likelihood=Bernoulli(), lengthscales=1.5),
            SigGPDE(2, 15, likelihood=Bernoulli(), lengthscales=1.5, whiten=False),
            gpflow.models.SVGP(
                SignatureKernel(2, static_kernel=gpflow.kernels.RBF(2.0)),
                Bernoulli(),
                InducingSequences(paths[:8]),
                whiten=False,
            ),
            gpflow.models.SVGP(truncated, Bernoulli(), InducingTensors.from_data(rows, 8, truncated)),
        ):
            result = fit_closed_form(svgp, (rows, y), QUICKLY)
            np.testing.assert_allclose(svgp.elbo((rows, y)), result.elbo, rtol=1e-8)
            assert result.converged

    def test_inducing_points_that_come_twice(self) -> None:
        twice = gpflow.models.SVGP(kernel(), Gaussian(0.05), np.concatenate([Z, Z]))
        once = model(Gaussian(0.05))
        for svgp in (twice, once):
            fit_closed_form(svgp, (X, NUMBERS), EXACTLY)
        assert_predicts_alike(twice, once, 1e-4)  # which the jitter of 1e-6 moves

    def test_float32(self) -> None:
        expected = model(Bernoulli())
        Y = (F > 0.6).astype(float)
        fit_closed_form(expected, (X, Y), QUICKLY)
        gpflow.config.set_default_float(np.float32)
        gpflow.config.set_default_jitter(1e-5)
        try:
            single = model(Bernoulli())
            fit_closed_form(single, (X, Y), QUICKLY)
            assert single.q_mu.dtype == tf.float32
            mean = single.predict_f(NEW.astype(np.float32))[0]
        finally:
            gpflow.config.set_default_float(np.float64)
            gpflow.config.set_default_jitter(1e-6)
        np.testing.assert_allclose(mean, expected.predict_f(NEW)[0], atol=2e-3)


class TestHeldSites:
    def test_the_gradient_against_differences(self) -> None:
        mean = gpflow.mean_functions.Constant(np.array([0.1, -0.2, 0.3]))
        svgp = model(Softmax(3), 3, mean_function=mean)
        gpflow.set_trainable(svgp.inducing_variable, False)
        latents = latents_of(svgp)
        f = np.random.default_rng(2).normal(size=(40, 3))
        sites = HeldSites.at(svgp, latents, X, CLASSES, f, 0.5 + f**2, 2.0)
        variables = parameter_sets(svgp)[1]
        assert len(variables) == 3  # variance and lengthscale, and the constant
        with tf.GradientTape() as tape:
            value = bound(svgp, latents, sites)
        for variable, gradient in zip(variables, tape.gradient(value, variables), strict=True):
            for place in np.ndindex(*variable.shape):
                at, differences = np.array(variable), []
                for sign in (1, -1):
                    moved = at.copy()
                    moved[place] += sign * 1e-5
                    variable.assign(moved)
                    differences.append(bound(svgp, latents, sites).numpy())
                variable.assign(at)
                np.testing.assert_allclose(gradient.numpy()[place], (differences[0] - differences[1]) / 2e-5, rtol=1e-5)

    def test_of_numbers_a_move_needs_no_further_step(self) -> None:
        """Their sites are the same for all hyperparameters: q(u) is the best at once, though few rows moved them."""
        svgp = model(Gaussian(0.1), mean_function=gpflow.mean_functions.Constant(0.2))
        for fixed in (svgp.inducing_variable, svgp.likelihood):
            gpflow.set_trainable(fixed, False)
        options = ClosedFormOptions(hyperparameter_rounds=1, hyperparameter_rows=10, progress=False)
        result = fit_closed_form(svgp, (X, NUMBERS), options)
        last = result.passes[-1].round
        assert last > 0
        first = next(each for each in result.passes if each.round == last)
        sgpr = gpflow.models.SGPR((X, NUMBERS), svgp.kernel, Z, mean_function=svgp.mean_function, noise_variance=0.1)
        np.testing.assert_allclose(first.elbo, sgpr.elbo(), rtol=1e-9)

    def test_a_fit_that_has_learnt_nothing_says_so(self) -> None:
        """Of labels that do not depend on X, the best variance is none."""
        svgp = model(Bernoulli())
        gpflow.set_trainable(svgp.inducing_variable, False)
        y = np.arange(40)[:, None] % 2.0
        with pytest.warns(UserWarning, match="learnt nothing"):
            fit_closed_form(svgp, (np.zeros((40, 2)), y), QUICKLY)

    def test_at_the_fit_it_is_the_bound(self) -> None:
        svgp = model(Bernoulli())
        Y = (F > 0.6).astype(float)
        result = fit_closed_form(svgp, (X, Y), EXACTLY)
        mean, variance = (part.numpy() for part in svgp.predict_f(X))
        sites = HeldSites.at(svgp, latents_of(svgp), X, Y, mean, variance, 1.0)
        np.testing.assert_allclose(bound(svgp, latents_of(svgp), sites), result.elbo, rtol=1e-8)
