"""Multioutput kernels and q(u) whose numbers of latent processes differ."""

from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from gpflow.inducing_variables import (
    InducingPoints,
    MultioutputInducingVariables,
    SeparateIndependentInducingVariables,
    SharedIndependentInducingVariables,
)
from gpflow.kernels import LinearCoregionalization, MultioutputKernel, SeparateIndependent, SharedIndependent
from gpflow.models import SVGP

from sigkernel_tf.gp import (
    InducingTensors,
    OrthogonalSignatureFeatures,
    SignatureKernel,
    TrainingOptions,
    TruncatedSignatureKernel,
    evaluate,
    flatten_paths,
    predict_in_batches,
    predict_probabilities,
    sample_posterior,
    train,
    word_relevance,
)

M = 6
OPTIONS = TrainingOptions(iterations=3, batch_size=8, monitor_every=1, progress=False)
Features = Callable[[], MultioutputInducingVariables]


def two() -> list[SignatureKernel]:
    return [SignatureKernel(2, lengthscales=0.8), SignatureKernel(2, lengthscales=1.7, variance=1.4)]


def shared() -> MultioutputInducingVariables:
    return SharedIndependentInducingVariables(OrthogonalSignatureFeatures(M))


def model_of(kernel: MultioutputKernel, num_latents: int, features: Features = shared) -> SVGP:
    return SVGP(kernel, gpflow.likelihoods.Gaussian(0.3), features(), num_latent_gps=num_latents)


@pytest.mark.parametrize(
    ("kernel", "outputs", "expected", "num_latents"),
    [
        (lambda: SeparateIndependent(two()), 2, 2, 1),
        (lambda: SeparateIndependent(two()), 2, 2, 3),
        (lambda: LinearCoregionalization(two(), np.array([[0.3, -1.2], [1.1, 0.4], [0.5, 0.2]])), 3, 2, 1),
        (lambda: SharedIndependent(SignatureKernel(2), 4), 4, 4, 1),
    ],
)
def test_numbers_of_latent_processes_must_agree(
    kernel: Callable, outputs: int, expected: int, num_latents: int, walks: Callable
) -> None:
    """However the model is used; before the first step, and before anything is predicted."""
    X, model = flatten_paths(walks(20, 5, 2)), model_of(kernel(), num_latents)
    data = X, np.zeros((20, outputs))
    message = rf"num_latent_gps must be {expected}, the number of latent processes .* got {num_latents}: build the"
    recorded: list[int] = []
    calls = (
        lambda: train(model, data, OPTIONS, record=lambda: recorded.append(1) or {}),
        lambda: evaluate(model, data),
        lambda: predict_in_batches(model, X),
        lambda: sample_posterior(model, X),
        lambda: word_relevance(model),
        lambda: model.elbo(data),
        lambda: tf.function(model.elbo, autograph=False)(data),
        lambda: model.prior_kl(),
        lambda: model.predict_f(X),
        lambda: model.posterior(),
        lambda: gpflow.conditionals.conditional(X, model.inducing_variable, model.kernel, model.q_mu),
    )
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call()
    assert not recorded


def test_separate_features_too() -> None:
    """GPflow's check of shapes would come first, and name neither number of latent processes."""

    def separate() -> MultioutputInducingVariables:
        return SeparateIndependentInducingVariables([OrthogonalSignatureFeatures(M), OrthogonalSignatureFeatures(M)])

    model = model_of(SeparateIndependent(two()), 1, separate)
    for call in (model.prior_kl, model.posterior):
        with pytest.raises(ValueError, match="num_latent_gps must be 2, .* SeparateIndependent of .* got 1"):
            call()


def test_other_inducing_variables_too(walks: Callable) -> None:
    """Of these GPflow's posterior broadcasts one latent process to both kernels, and cuts outputs off."""
    X = flatten_paths(walks(20, 5, 2))
    kernels = [TruncatedSignatureKernel(2, depth=2), TruncatedSignatureKernel(2, depth=2, variance=2.0)]
    tensors = InducingTensors.from_data(X, 3, kernels[0])
    for kernel, expected in ((SeparateIndependent(kernels), 2), (SharedIndependent(kernels[0], 3), 3)):
        model = model_of(kernel, 1, lambda: SharedIndependentInducingVariables(tensors))
        for call in (
            lambda model=model: train(model, (X, np.zeros((20, 1))), OPTIONS),
            lambda model=model: predict_in_batches(model, X),
            lambda model=model: evaluate(model, (X, np.zeros((20, 1)))),
        ):
            with pytest.raises(ValueError, match=f"num_latent_gps must be {expected}, .* got 1"):
                call()


def test_classes_of_a_multioutput_kernel(walks: Callable) -> None:
    X = flatten_paths(walks(6, 5, 2))
    model = SVGP(SharedIndependent(SignatureKernel(2), 3), gpflow.likelihoods.MultiClass(3), shared(), num_latent_gps=2)
    with pytest.raises(ValueError, match="num_latent_gps must be 3, .* got 2"):
        predict_probabilities(model, X)


def test_mixing_matrices_of_another_number_of_kernels(walks: Callable) -> None:
    model = model_of(LinearCoregionalization(two(), np.ones((4, 3))), 3)
    with pytest.raises(ValueError, match="W of LinearCoregionalization .* for each of its 2 kernels, got 3 columns"):
        model.predict_f(flatten_paths(walks(3, 5, 2)))


def test_fully_correlated_inducing_points_have_one_column() -> None:
    """GPflow keeps all latent processes of inducing points without a wrapper in one: nothing to refuse."""
    X = np.linspace(0.0, 1.0, 5)[:, None]
    kernel = SharedIndependent(gpflow.kernels.RBF(), 2)
    model = SVGP(
        kernel,
        gpflow.likelihoods.Gaussian(),
        InducingPoints(X[:2]),
        q_mu=np.zeros((4, 1)),
        q_sqrt=np.eye(4)[None],
    )
    mean, variance = predict_in_batches(model, X)
    assert mean.shape == variance.shape == (5, 2)
