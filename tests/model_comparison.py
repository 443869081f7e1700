"""Checks that two GPflow models are the same model."""

from collections.abc import Sequence

import gpflow
import numpy as np
import tensorflow as tf
from gpflow.models import SVGP

NO_JITTER = gpflow.config.Config(jitter=0.0)
COVARIANCES = [(False, False), (True, False), (False, True), (True, True)]  # full_cov, full_output_cov


def randomize(model: SVGP, rng: np.random.Generator) -> SVGP:
    """Give the model a q(u) that is neither the prior nor the same for all latent processes."""
    model.q_mu.assign(rng.normal(size=model.q_mu.shape))
    if len(model.q_sqrt.shape) == 2:
        model.q_sqrt.assign(rng.uniform(0.2, 1.5, size=model.q_sqrt.shape))
    else:
        model.q_sqrt.assign(np.tril(rng.normal(size=model.q_sqrt.shape)))
    return model


def value_and_gradients(model: SVGP, variables: Sequence[tf.Variable], data: tuple) -> tuple[tf.Tensor, list]:
    with tf.GradientTape() as tape:
        elbo = model.elbo(data)
    return elbo, tape.gradient(elbo, variables)


def check_same_model(model: SVGP, twin: SVGP, data: tuple) -> None:
    """Compare bounds, gradients and all kinds of predictions, cached or not, of models that share their variables."""
    with gpflow.config.as_context(NO_JITTER):
        elbo, gradients = value_and_gradients(model, model.trainable_variables, data)
        expected_elbo, expected_gradients = value_and_gradients(twin, model.trainable_variables, data)
        np.testing.assert_allclose(elbo, expected_elbo, rtol=1e-9)
        for gradient, expected in zip(gradients, expected_gradients, strict=True):
            np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-9 * max(1, np.abs(expected).max()))
        for full in COVARIANCES:
            expected_mean, expected_cov = twin.predict_f(data[0], *full)
            for mean, cov in (model.predict_f(data[0], *full), model.posterior().predict_f(data[0], *full)):
                np.testing.assert_allclose(mean, expected_mean, atol=1e-9)
                assert cov.shape == expected_cov.shape
                np.testing.assert_allclose(cov, expected_cov, atol=1e-9)
