"""GPSig's inducing variables with q(u)'s factor taken packed: GPflow's numbers, by GPflow's own classes."""

from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from gpflow.inducing_variables import InducingVariables
from gpflow.kullback_leiblers import gauss_kl
from gpflow.posteriors import IndependentPosteriorSingleOutput, PrecomputeCacheType

from sigkernel_tf.gp import InducingSequences, InducingTensors, SignatureKernel, TruncatedSignatureKernel, flatten_paths
from sigkernel_tf.gp.posteriors.whitened import WhitenedPosterior

NUM_INDUCING, LATENT = 5, 3


def model_of(family: type[InducingVariables], kernel: gpflow.kernels.Kernel, X: np.ndarray, **options: object):
    """With a q(u) that is not the prior."""
    rng = np.random.default_rng(3)
    model = gpflow.models.SVGP(
        kernel, gpflow.likelihoods.MultiClass(LATENT), family.from_data(X, NUM_INDUCING, kernel, seed=0),
        num_latent_gps=LATENT, num_data=20, **options,
    )  # fmt: skip
    model.q_mu.assign(rng.normal(size=(NUM_INDUCING, LATENT)))
    if len(model.q_sqrt.shape) == 3:
        model.q_sqrt.assign(np.tril(rng.normal(size=(LATENT, NUM_INDUCING, NUM_INDUCING))))
    return model


CASES = {
    "tensors": lambda X, **options: model_of(InducingTensors, TruncatedSignatureKernel(2, 3), X, **options),
    "sequences": lambda X, **options: model_of(InducingSequences, TruncatedSignatureKernel(2, 3), X, **options),
    "sequences of another kernel": lambda X, **options: model_of(InducingSequences, SignatureKernel(2), X, **options),
}


def gpflows(model: gpflow.models.SVGP) -> IndependentPosteriorSingleOutput:
    return IndependentPosteriorSingleOutput(
        model.kernel, model.inducing_variable, model.q_mu, model.q_sqrt, whiten=model.whiten,
        mean_function=model.mean_function, precompute_cache=None,
    )  # fmt: skip


def gpflows_elbo(model: gpflow.models.SVGP, X: np.ndarray, Y: np.ndarray) -> tf.Tensor:
    mean, variance = gpflows(model).fused_predict_f(X)
    K = None
    if not model.whiten:
        K = gpflow.covariances.Kuu(model.inducing_variable, model.kernel, jitter=gpflow.default_jitter())
    fit = tf.reduce_sum(model.likelihood.variational_expectations(tf.constant(X), mean, variance, tf.constant(Y)))
    return fit * model.num_data / len(X) - gauss_kl(model.q_mu, model.q_sqrt, K)


@pytest.mark.parametrize("options", [{}, {"whiten": False}, {"q_diag": True}], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_bound_gradients_and_predictions_are_gpflows(case: str, options: dict, walks: Callable) -> None:
    X, Y = flatten_paths(walks(8, 5, 2)), np.arange(8)[:, None] % LATENT
    model = CASES[case](X, **options)
    assert isinstance(model.posterior(PrecomputeCacheType.NOCACHE), WhitenedPosterior)
    results = []
    for bound in (lambda: model.elbo((X, Y)), lambda: gpflows_elbo(model, X, Y)):
        with tf.GradientTape() as tape:
            value = bound()
        results.append([value, *tape.gradient(value, model.trainable_variables)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)
    for full_cov in (False, True):
        for way in (model.predict_f, model.posterior().predict_f):
            for ours, theirs in zip(
                way(X, full_cov=full_cov), gpflows(model).fused_predict_f(X, full_cov=full_cov), strict=True
            ):
                np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def test_a_mean_function_is_added(walks: Callable) -> None:
    X = flatten_paths(walks(4, 5, 2))
    model = CASES["tensors"](X)
    shifted = CASES["tensors"](X, mean_function=gpflow.functions.Constant(2.5 * np.ones(LATENT)))
    np.testing.assert_allclose(shifted.predict_f(X)[0], model.predict_f(X)[0] + 2.5, rtol=1e-12)
