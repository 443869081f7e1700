"""Predictions in batches, probabilities, quantiles and samples, against closed forms and GPflow's own."""

import itertools
from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from sigkernel_tf.gp import (
    OrthogonalSignatureFeatures,
    SigGPDE,
    SignatureKernel,
    evaluate,
    flatten_paths,
    predict_in_batches,
    predict_probabilities,
    predict_quantiles,
    predict_rows,
    sample_posterior,
)


def model_with(likelihood: gpflow.likelihoods.Likelihood, num_latent: int, rng: np.random.Generator) -> tuple:
    X = rng.normal(size=(23, 2))
    model = gpflow.models.SVGP(gpflow.kernels.RBF(), likelihood, X[:4], num_latent_gps=num_latent)
    model.q_mu.assign(rng.normal(size=(4, num_latent)))
    return model, X


@pytest.fixture
def paths_model(walks: Callable, rng: np.random.Generator) -> tuple[SigGPDE, np.ndarray]:
    model = SigGPDE(2, 9, likelihood=gpflow.likelihoods.MultiClass(3), num_latent_gps=3)
    model.q_mu.assign(rng.normal(size=(9, 3)))
    model.q_sqrt.assign(np.tril(rng.normal(size=(3, 9, 9))))
    return model, flatten_paths(walks(12, 5, 2))


def test_paths_in_batches_of_any_kind(paths_model: tuple) -> None:
    model, X = paths_model
    expected = model.predict_y(X)
    kinds = [X, tf.constant(X), (X[i : i + 5] for i in range(0, 12, 5)), tf.data.Dataset.from_tensor_slices(X).batch(5)]
    for kind in kinds:
        for got, value in zip(predict_in_batches(model, kind, batch_size=5), expected, strict=True):
            np.testing.assert_allclose(got, value, rtol=1e-12)
    shorter = [X[:4, :6], X[4:]]  # batches of paths of several lengths
    got = predict_in_batches(model, iter(shorter))[0]
    np.testing.assert_allclose(got, np.concatenate([model.predict_y(x)[0] for x in shorter]), rtol=1e-12)


def test_ranges_of_rows_have_the_bits_of_one_prediction(paths_model: tuple) -> None:
    model, X = paths_model
    expected = predict_in_batches(model, X, batch_size=5)
    parts = [predict_rows(model, X, rows, batch_size=5) for rows in (range(0, 5), range(5, 12))]
    out = np.full((12, 3), -1.0), np.full((12, 3), -1.0)
    predict_rows(model, X, range(5, 10), batch_size=5, out=out)
    for whole, together, into in zip(expected, zip(*parts, strict=True), out, strict=True):
        np.testing.assert_array_equal(np.concatenate(together), whole)
        np.testing.assert_array_equal(into[5:10], whole[5:10])
        assert (into[:5] == -1.0).all()
        assert (into[10:] == -1.0).all()


def test_ranges_that_end_within_a_batch_or_beyond_the_rows(paths_model: tuple) -> None:
    model, X = paths_model
    for rows in (range(1, 5), range(0, 7), range(5, 15), range(-5, 5), range(5, 5)):
        with pytest.raises(ValueError, match=r"multiples of batch_size=5, or end with the 12 rows of X, got range\("):
            predict_rows(model, X, rows, batch_size=5)
    for rows in (slice(0, 5), range(0, 10, 5)):
        with pytest.raises(TypeError, match="rows must be a range of step 1"):
            predict_rows(model, X, rows, batch_size=5)
    X[7, 1] = np.nan
    with pytest.raises(ValueError, match="X must be finite, got nan in row 7, column 1"):
        predict_rows(model, X, range(5, 10), batch_size=5)


def test_inputs_of_several_shapes_are_no_array(paths_model: tuple) -> None:
    model, X = paths_model
    with pytest.raises(ValueError, match=r"a list of arrays of several shapes: take iter\(X\) where they are batches"):
        predict_in_batches(model, [X[:3], X[3:5]])
    with pytest.raises(ValueError, match=r"got shape \(10,\): .*a single row takes X\[None\]"):
        predict_in_batches(model, X[0])


def test_inputs_that_are_not_finite(rng: np.random.Generator) -> None:
    """Rows are counted through all batches; a kernel of GPflow's would return NaN without a word."""
    model, X = model_with(gpflow.likelihoods.Gaussian(), 1, rng)
    X[13, 1] = np.nan
    calls: list[Callable] = [
        lambda: predict_in_batches(model, X, batch_size=5),
        lambda: predict_in_batches(model, (X[i : i + 4] for i in range(0, 23, 4))),
        lambda: predict_quantiles(model, tf.constant(X), [0.5]),
        lambda: sample_posterior(model, X),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="X must be finite, got nan in row 13, column 1: fill it in"):
            call()
    X[13, 1] = np.inf
    with pytest.raises(ValueError, match="X must be finite, got inf in row 1, column 1"):
        predict_in_batches(model, X[12:])


def test_predictions_follow_the_model(paths_model: tuple) -> None:
    """A cache lasts only for one call."""
    model, X = paths_model
    before = predict_in_batches(model, X)[0]
    model.q_mu.assign(-model.q_mu)
    assert np.abs(predict_in_batches(model, X)[0] - before).max() > 0.01


def test_models_without_a_posterior(rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(6, 2)), rng.normal(size=(6, 1))
    model = gpflow.models.GPMC((X, Y), gpflow.kernels.RBF(), gpflow.likelihoods.Gaussian())
    np.testing.assert_allclose(predict_in_batches(model, X)[0], model.predict_y(X)[0], rtol=1e-12)


def test_probabilities(rng: np.random.Generator) -> None:
    model, X = model_with(gpflow.likelihoods.MultiClass(3), 3, rng)
    np.testing.assert_allclose(predict_probabilities(model, X, batch_size=4), model.predict_y(X)[0], rtol=1e-12)
    model, X = model_with(gpflow.likelihoods.Bernoulli(), 1, rng)
    out = np.zeros((23, 2))
    predict_probabilities(model, X, batch_size=4, out=out)
    mean, variance = model.predict_f(X)
    np.testing.assert_allclose(out[:, 1:], scipy.stats.norm.cdf(mean / np.sqrt(1 + variance)), atol=2e-3)
    np.testing.assert_allclose(out.sum(axis=1), 1.0, rtol=1e-12)
    with pytest.raises(TypeError, match="likelihood with classes"):
        predict_probabilities(model_with(gpflow.likelihoods.Gaussian(), 1, rng)[0], X)


def test_probabilities_of_ordered_classes(rng: np.random.Generator) -> None:
    """Against the integral over f of the likelihood's definition, by scipy."""
    edges, sigma = np.array([-0.7, 0.1, 0.9]), 0.4
    likelihood = gpflow.likelihoods.Ordinal(edges)
    likelihood.sigma.assign(sigma)
    model, X = model_with(likelihood, 1, rng)
    got = predict_probabilities(model, X[:3])
    means, variances = (part.numpy()[:, 0] for part in model.predict_f(X[:3]))
    bounds = [-np.inf, *edges, np.inf]
    for row, mean, variance in zip(got, means, variances, strict=True):
        f = scipy.stats.norm(mean, np.sqrt(variance))
        expected = [
            f.expect(lambda z, a=a, b=b: np.subtract(*scipy.stats.norm.cdf([(b - z) / sigma, (a - z) / sigma])))
            for a, b in itertools.pairwise(bounds)
        ]
        np.testing.assert_allclose(row, expected, rtol=1e-6)
    Y = rng.integers(0, 4, (23, 1))
    best = np.argmax(predict_probabilities(model, X), axis=1)
    assert evaluate(model, (X, Y)).accuracy == np.mean(best == Y[:, 0])


def test_quantiles_of_gaussian_noise(rng: np.random.Generator) -> None:
    model, X = model_with(gpflow.likelihoods.Gaussian(0.3), 2, rng)
    levels = [0.025, 0.5, 0.9]
    got = predict_quantiles(model, X, levels, batch_size=7)
    mean, variance = (part.numpy() for part in model.predict_y(X))
    assert got.shape == (3, 23, 2)
    for quantile, level in zip(got, levels, strict=True):
        np.testing.assert_allclose(quantile, scipy.stats.norm.ppf(level, mean, np.sqrt(variance)), rtol=1e-12)


CONDITIONAL = {  # the distribution function of y given f, by hand
    "StudentT": lambda y, f: scipy.stats.t(df=4.0, loc=f, scale=0.7).cdf(y),
    "Exponential": lambda y, f: scipy.stats.expon(scale=np.exp(f)).cdf(y),
    "Gamma": lambda y, f: scipy.stats.gamma(2.5, scale=np.exp(f)).cdf(y),
    "Beta": lambda y, f: scipy.stats.beta(3 * scipy.stats.norm.cdf(f), 3 * scipy.stats.norm.cdf(-f)).cdf(y),
    "Poisson": lambda y, f: scipy.stats.poisson(np.exp(f)).cdf(y),
}
LIKELIHOODS = {
    "StudentT": lambda: gpflow.likelihoods.StudentT(scale=0.7, df=4.0),
    "Exponential": gpflow.likelihoods.Exponential,
    "Gamma": lambda: gpflow.likelihoods.Gamma(shape=2.5),
    "Beta": lambda: gpflow.likelihoods.Beta(scale=3.0),
    "Poisson": gpflow.likelihoods.Poisson,
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_quantiles_of_other_likelihoods(name: str, rng: np.random.Generator) -> None:
    """The distribution function at them, integrated over f by quadrature, is their level."""
    model, X = model_with(LIKELIHOODS[name](), 1, rng)
    model.q_mu.assign(0.3 * model.q_mu)
    levels = [0.1, 0.5, 0.9]
    got = predict_quantiles(model, X[:3], levels)
    assert np.array_equal(got, predict_quantiles(model, X[:3], levels, batch_size=2))
    mean, variance = (part.numpy() for part in model.predict_f(X[:3]))
    z, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    for n in range(3):
        f = mean[n, 0] + np.sqrt(variance[n, 0]) * z
        for level, y in zip(levels, got[:, n, 0], strict=True):
            if name == "Poisson":  # whole numbers: the first at which the level is reached
                assert weights @ CONDITIONAL[name](y - 1, f) - 0.01 < level < weights @ CONDITIONAL[name](y, f) + 0.01
            else:
                assert weights @ CONDITIONAL[name](y, f) == pytest.approx(level, abs=0.01)


def test_quantiles_that_cannot_be_had(rng: np.random.Generator) -> None:
    model, X = model_with(gpflow.likelihoods.MultiClass(3), 3, rng)
    with pytest.raises(TypeError, match="take predict_probabilities"):
        predict_quantiles(model, X, [0.5])
    model, X = model_with(gpflow.likelihoods.Gaussian(), 1, rng)
    for levels in ([], [0.0], [0.5, 1.5], 0.5):
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            predict_quantiles(model, X, levels)  # type: ignore[arg-type]


def test_quantiles_where_a_scale_depends_on_the_input(rng: np.random.Generator) -> None:
    likelihood = gpflow.likelihoods.StudentT(scale=gpflow.functions.Constant(1.0))
    with pytest.raises(TypeError, match="whose scale is a number, got a function of the inputs: take sample_posterior"):
        predict_quantiles(model_with(likelihood, 1, rng)[0], np.zeros((3, 2)), [0.5])


def test_samples_have_the_posteriors_moments(paths_model: tuple) -> None:
    model, X = paths_model
    mean, covariance = model.predict_f(X, full_cov=True)
    samples = sample_posterior(model, X, 4000, seed=1)
    assert samples.shape == (4000, 12, 3)
    np.testing.assert_array_equal(samples[:2], sample_posterior(model, X, 4000, seed=1)[:2])
    deviations = np.sqrt(np.stack([np.diag(c) for c in covariance.numpy()], axis=1))
    assert (np.abs(samples.mean(axis=0) - mean) < 5 * deviations / np.sqrt(4000)).all()
    for process in range(3):
        scale = np.outer(deviations[:, process], deviations[:, process])
        got = np.cov(samples[:, :, process].T)
        assert (np.abs(got - covariance[process]) < 0.12 * scale).all()


def test_samples_at_coinciding_paths_coincide(walks: Callable, rng: np.random.Generator) -> None:
    """A singular covariance: the same path twice, and more paths than features with an exact kernel."""
    X = flatten_paths(walks(3, 5, 1))
    model = gpflow.models.SVGP(SignatureKernel(1), gpflow.likelihoods.Gaussian(), OrthogonalSignatureFeatures(20))
    samples = sample_posterior(model, np.concatenate([X, X]), 5)
    assert np.isfinite(samples).all()
    np.testing.assert_allclose(samples[:, :3], samples[:, 3:], atol=1e-6)
