"""The search and the fit of the estimators, against GPflow's bound, brute force and differences."""

import gpflow
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from sigkernel_tf.gp import Preprocessing, SignatureGPClassifier, SignatureGPRegressor
from sigkernel_tf.gp.data.classes import logistic_or_softmax_probabilities
from sigkernel_tf.gp.estimators.search.rows import folds, subset
from sigkernel_tf.gp.estimators.search.truncated.candidates import depth_of
from sigkernel_tf.gp.estimators.search.truncated.evidence import grams_of, log_evidence, maximise
from sigkernel_tf.gp.training.grouped_features import Features, fit
from sigkernel_tf.gp.training.grouped_sites import GaussianSites, LogisticSites, SoftmaxSites


def test_evidence(rng: np.random.Generator) -> None:
    A, Y = rng.normal(size=(7, 9)), rng.normal(size=(7, 3))
    K = A @ A.T + np.eye(7)
    value, gradient = log_evidence(K, Y)
    expected = sum(scipy.stats.multivariate_normal(cov=K).logpdf(y) for y in Y.T) + 10.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    step = rng.normal(size=(7, 7))
    step += step.T
    difference = (log_evidence(K + 1e-6 * step, Y)[0] - log_evidence(K - 1e-6 * step, Y)[0]) / 2e-6
    np.testing.assert_allclose(np.sum(gradient * step), difference, rtol=1e-6)


def test_the_evidence_finds_the_channel_that_matters(rng: np.random.Generator) -> None:
    X = rng.normal(size=(60, 6, 2)).cumsum(axis=1)
    Y = X[:, -1:, 1] - X[:, 0, 1:]
    Y = (Y - Y.mean()) / Y.std()
    before = maximise(grams_of(X, 2, np.arange(2)), Y, 3, 2, steps=1)
    after = maximise(grams_of(X, 2, np.arange(2)), Y, 3, 2)
    assert after.evidence > before.evidence
    assert after.log_lengthscales[0] > after.log_lengthscales[1] + 0.5
    assert np.argmax(after.level_shares) == 1


def test_gradient_of_the_grams(rng: np.random.Generator) -> None:
    grams = grams_of(rng.normal(size=(4, 5, 3)), 3, np.array([0, 1, 1]))
    at, weights = tf.constant(rng.normal(size=2)), rng.normal(size=(4, 4, 4))
    theoretical, numerical = tf.test.compute_gradient(lambda x: tf.reduce_sum(weights * grams(x)), [at])
    np.testing.assert_allclose(theoretical, numerical, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.trace(grams(at), axis1=1, axis2=2), 4.0)


@pytest.mark.parametrize("num_series", [8, 40])  # fewer series than features, and more
def test_gaussian_fit_is_exact(rng: np.random.Generator, num_series: int) -> None:
    S, Y = rng.normal(size=(num_series, 20)), rng.normal(size=(num_series, 2))
    groups, variances = np.repeat([0, 1], [5, 15]), np.array([0.3, 0.05])
    likelihood = GaussianSites(Y, 0.4)
    found = fit(Features(S, groups), variances, likelihood, 2, max_iterations=1)
    K = (S * variances[groups]) @ S.T + 0.4 * np.eye(num_series)
    evidence = sum(scipy.stats.multivariate_normal(cov=K).logpdf(y) for y in Y.T)
    np.testing.assert_allclose(found.elbo, evidence, rtol=1e-10)
    q_mu, q_sqrt = found.posterior(Features(S, groups))
    phi = S * np.sqrt(variances)[groups]
    covariance = np.linalg.inv(np.eye(20) + phi.T @ phi / 0.4)
    np.testing.assert_allclose(q_mu, covariance @ phi.T @ Y / 0.4, rtol=1e-9)
    np.testing.assert_allclose(q_sqrt[1] @ q_sqrt[1].T, covariance, atol=1e-12)


@pytest.mark.parametrize(("num_classes", "level_variances"), [(2, True), (2, False), (0, True), (0, False)])
def test_the_fit_is_a_maximum_of_gpflows_bound(
    rng: np.random.Generator, num_classes: int, level_variances: bool
) -> None:
    """In q, the noise and the levels' variances, where there are any: GPflow's optimiser finds almost nothing more."""
    X = rng.normal(size=(40, 6, 1)).cumsum(axis=1)
    y = X[:, -1, 0] - X[:, 2, 0] + 0.5 * rng.normal(size=40)
    options = {
        "preprocessing": Preprocessing(scaling="none"),
        "num_inducing": 7,
        "lengthscales": 3.0,
        "level_variances": level_variances,
        "max_iterations": 300,
    }
    estimator = SignatureGPClassifier(**options) if num_classes else SignatureGPRegressor(**options)
    Y = (y > 0).astype(float) if num_classes else y
    estimator.fit(X, Y)
    Y = Y[:, None] if num_classes else (Y[:, None] - estimator.y_mean_) / estimator.y_scale_
    model = estimator.model_
    data = (estimator.flat_paths(X), Y)
    bound = model.elbo(data).numpy()
    np.testing.assert_allclose(bound, estimator.elbo_, rtol=1e-8)
    gpflow.set_trainable(model.kernel.lengthscales, False)
    gpflow.set_trainable(model.kernel.variance, not level_variances)
    loss = model.training_loss_closure(data)
    gpflow.optimizers.Scipy().minimize(loss, model.trainable_variables, options={"maxiter": 300})
    assert model.elbo(data) < bound + 40 * 5e-3  # the fit stops where a step gains 3e-4 a series


def test_logistic_expectations_are_gpflows(rng: np.random.Generator) -> None:
    mean, variance, y = rng.normal(size=(9, 1)), rng.uniform(0.1, 4, size=(9, 1)), np.arange(9) % 2
    found = LogisticSites(y).expectations(mean, variance)
    m, v = tf.constant(mean), tf.constant(variance)
    with tf.GradientTape() as tape:
        tape.watch([m, v])
        expected = tf.reduce_sum(
            gpflow.likelihoods.Bernoulli(invlink=tf.sigmoid).variational_expectations(
                np.zeros((9, 1)), m, v, y[:, None].astype(float)
            )
        )
    d_mean, d_variance = tape.gradient(expected, [m, v])
    np.testing.assert_allclose(found.log_density, expected, rtol=1e-6)
    np.testing.assert_allclose(found.slope, d_mean, atol=1e-5)
    np.testing.assert_allclose(found.curvature, -2 * d_variance, atol=1e-4)


def test_softmax_expectations(rng: np.random.Generator) -> None:
    """Against a million draws."""
    mean, variance = rng.normal(size=(2, 3)), rng.uniform(0.1, 2, size=(2, 3))
    found = SoftmaxSites(np.array([0, 2]), 3).expectations(mean, variance)
    f = mean[:, None] + np.sqrt(variance)[:, None] * rng.normal(size=(2, 1_000_000, 3))
    p = scipy.special.softmax(f, axis=2)
    np.testing.assert_allclose(found.log_density, np.log(p[0, :, 0]).mean() + np.log(p[1, :, 2]).mean(), atol=0.02)
    np.testing.assert_allclose(found.slope, np.eye(3)[[0, 2]] - p.mean(axis=1), atol=0.01)
    np.testing.assert_allclose(found.curvature, (p * (1 - p)).mean(axis=1), atol=0.01)
    np.testing.assert_allclose(logistic_or_softmax_probabilities(mean, variance), p.mean(axis=1), atol=0.003)


def test_more_iterations_never_lose(rng: np.random.Generator) -> None:
    """Where a full natural-gradient step overshoots, too: huge prior variances, few series."""
    features = Features(1e3 * rng.normal(size=(12, 30)), np.repeat([0, 1, 2], 10))
    sites = SoftmaxSites(np.arange(12) % 3, 3)
    bounds = [fit(features, np.ones(3), sites, 3, max_iterations=n, tolerance=0).elbo for n in (1, 3, 10, 40)]
    assert bounds == sorted(bounds)
    assert bounds[-1] > bounds[0] / 2


def test_subsets_and_folds(rng: np.random.Generator) -> None:
    classes = np.repeat([0, 1, 2], [900, 90, 1])
    rows = subset(classes, 991, 110, rng)
    assert len(set(rows)) == 110
    counts = np.bincount(classes[rows])
    assert abs(counts[0] - 100) <= 1
    assert counts[2] == 1
    np.testing.assert_array_equal(subset(None, 5, 10, rng), np.arange(5))
    fold = folds(classes, 991)
    for label in (0, 1):
        sizes = np.bincount(fold[classes == label])
        assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(("channels", "words", "depth"), [(2, 600, 8), (3, 600, 5), (13, 600, 2), (40, 600, 1)])
def test_depth(channels: int, words: int, depth: int) -> None:
    assert depth_of(channels, words) == depth
