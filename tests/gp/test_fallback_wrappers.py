"""Orthogonal features in GPflow's Fallback wrappers, which are served like the plain ones that inherit from them."""

from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from gpflow.covariances import Kuu
from gpflow.inducing_variables import (
    FallbackSeparateIndependentInducingVariables,
    FallbackSharedIndependentInducingVariables,
    InducingPoints,
    MultioutputInducingVariables,
    SeparateIndependentInducingVariables,
    SharedIndependentInducingVariables,
)
from gpflow.kernels import LinearCoregionalization, MultioutputKernel, SeparateIndependent, SharedIndependent
from gpflow.models import SVGP
from gpflow.posteriors import FallbackIndependentLatentPosterior
from model_comparison import NO_JITTER, check_same_model, randomize

from sigkernel_tf.gp import (
    OrthogonalSignatureFeatures,
    SignatureKernel,
    flatten_paths,
)

M = 6


def two() -> list[SignatureKernel]:
    return [SignatureKernel(2, lengthscales=0.8), SignatureKernel(2, lengthscales=1.7, variance=1.4)]


def model_of(kernel: MultioutputKernel, features: MultioutputInducingVariables) -> SVGP:
    return SVGP(kernel, gpflow.likelihoods.Gaussian(0.3), features, num_latent_gps=2)


KERNELS = {
    "shared": lambda: SharedIndependent(two()[1], 2),
    "separate": lambda: SeparateIndependent(two()),
    "coregionalized": lambda: LinearCoregionalization(two(), np.array([[0.3, -1.2], [1.1, 0.4], [0.5, 0.2]])),
}
FALLBACKS = {
    "shared": (
        lambda: FallbackSharedIndependentInducingVariables(OrthogonalSignatureFeatures(M)),
        lambda: SharedIndependentInducingVariables(OrthogonalSignatureFeatures(M)),
    ),
    "separate": (
        lambda: FallbackSeparateIndependentInducingVariables([OrthogonalSignatureFeatures(M) for _ in range(2)]),
        lambda: SeparateIndependentInducingVariables([OrthogonalSignatureFeatures(M) for _ in range(2)]),
    ),
}


def fallback_and_plain(kernel: str, variables: str, rng: np.random.Generator) -> tuple[SVGP, SVGP]:
    """Two models that share their parameters and differ in the wrapper of the inducing variables."""
    fallback, plain = (randomize(model_of(KERNELS[kernel](), make()), rng) for make in FALLBACKS[variables])
    plain.kernel, plain.likelihood = fallback.kernel, fallback.likelihood
    plain.q_mu, plain.q_sqrt = fallback.q_mu, fallback.q_sqrt
    return fallback, plain


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("variables", FALLBACKS)
def test_fallback_wrappers_are_served_like_the_plain_ones(
    kernel: str, variables: str, walks: Callable, rng: np.random.Generator
) -> None:
    fallback, plain = fallback_and_plain(kernel, variables, rng)
    X, with_q_sqrt = flatten_paths(walks(5, 5, 2)), {"q_sqrt": fallback.q_sqrt, "white": True}
    classes = [type(model.posterior()) for model in (fallback, plain)]
    assert classes[0] is classes[1]
    for found in (
        fallback.predict_f(X),
        fallback.posterior().predict_f(X),
        gpflow.conditionals.conditional(X, fallback.inducing_variable, fallback.kernel, fallback.q_mu, **with_q_sqrt),
    ):
        for one, expected in zip(found, plain.predict_f(X), strict=True):
            np.testing.assert_allclose(one, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(fallback.prior_kl(), plain.prior_kl())
    K = Kuu(fallback.inducing_variable, fallback.kernel, jitter=1.0)
    np.testing.assert_array_equal(K, np.broadcast_to(np.eye(M), K.shape))


def test_models_with_fallback_wrappers(walks: Callable, rng: np.random.Generator, factorisations: Callable) -> None:
    """The same bound, gradients and predictions of every kind, and nothing is factorised."""
    fallback, plain = fallback_and_plain("coregionalized", "shared", rng)
    check_same_model(fallback, plain, (flatten_paths(walks(5, 5, 2)), rng.normal(size=(5, 3))))
    spec = tf.TensorSpec([None, 10], tf.float64)
    assert factorisations(lambda X: fallback.predict_f(X) + fallback.posterior().predict_f(X), spec) == []


@pytest.mark.parametrize("variables", FALLBACKS)
def test_fallback_wrappers_against_gpflows_default_path(
    variables: str, walks: Callable, rng: np.random.Generator, default_path_model: Callable
) -> None:
    """GPflow has Kuf of these wrappers only for LinearCoregionalization."""
    model = randomize(model_of(KERNELS["coregionalized"](), FALLBACKS[variables][0]()), rng)
    X = flatten_paths(walks(5, 5, 2))
    twin = default_path_model(model)
    assert (
        gpflow.posteriors.get_posterior_class(twin.kernel, twin.inducing_variable) is FallbackIndependentLatentPosterior
    )
    with gpflow.config.as_context(NO_JITTER):
        for found, expected in zip(model.predict_f(X), twin.predict_f(X), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(model.prior_kl(), twin.prior_kl(), rtol=1e-12)


@pytest.mark.parametrize("variables", FALLBACKS)
def test_fallback_wrappers_of_other_inducing_variables_are_gpflows(variables: str) -> None:
    points = [InducingPoints(np.linspace(0, 1, 4)[:, None]) for _ in range(2)]
    Z = (
        FallbackSharedIndependentInducingVariables(points[0])
        if variables == "shared"
        else FallbackSeparateIndependentInducingVariables(points)
    )
    kernel = LinearCoregionalization([gpflow.kernels.RBF(), gpflow.kernels.RBF(lengthscales=0.5)], np.eye(2))
    assert gpflow.posteriors.get_posterior_class(kernel, Z) is FallbackIndependentLatentPosterior
    K = np.stack([each(points[0].Z) + 0.1 * np.eye(4) for each in kernel.kernels])
    np.testing.assert_allclose(Kuu(Z, kernel, jitter=0.1), K, rtol=1e-14)
