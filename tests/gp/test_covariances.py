"""Kuu and Kuf of orthogonal signature features, and the kernels they refuse."""

import math
from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from gpflow.covariances import Kuf, Kuu
from gpflow.inducing_variables import SharedIndependentInducingVariables
from gpflow.kernels import RBF, SharedIndependent

import sigkernel_tf as sk
from sigkernel_tf.gp import InducingSequences, OrthogonalSignatureFeatures, SignatureKernel, flatten_paths


def test_kuu_is_the_identity_whatever_the_jitter() -> None:
    Z, kernel = OrthogonalSignatureFeatures(5), SignatureKernel(2, variance=3.0)
    np.testing.assert_array_equal(Kuu(Z, kernel), np.eye(5))
    np.testing.assert_array_equal(Kuu(Z, kernel, jitter=1.0), np.eye(5))
    shared = Kuu(SharedIndependentInducingVariables(Z), SharedIndependent(kernel, 2), jitter=1.0)
    np.testing.assert_array_equal(shared, np.eye(5))


@pytest.mark.parametrize("num_inducing", [1, 2, 3, 4, 7, 11, 15])
@pytest.mark.parametrize("normalize", [False, True])
def test_kuf_holds_the_first_words(
    num_inducing: int, normalize: bool, walks: Callable, numpy_signature: Callable
) -> None:
    """Two channels have 1, 2, 4, 8 words a level: some of these cut a level."""
    X = walks(4, 6, 2)
    kernel = SignatureKernel(2, lengthscales=[0.8, 2.0], variance=1.7, normalize=normalize)
    S = numpy_signature(X / [0.8, 2.0], 9)
    expected = np.sqrt(1.7) * (S / np.linalg.norm(S, axis=1, keepdims=True) if normalize else S)
    result = Kuf(OrthogonalSignatureFeatures(num_inducing), kernel, flatten_paths(X))
    assert result.shape == (num_inducing, 4)
    np.testing.assert_allclose(result, expected[:, :num_inducing].T, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("normalize", [False, True])
def test_features_explain_no_more_than_the_kernel(normalize: bool, walks: Callable) -> None:
    X = flatten_paths(walks(20, 6, 2))
    kernel = SignatureKernel(2, normalize=normalize)
    S = Kuf(OrthogonalSignatureFeatures(40), kernel, X)
    residual = kernel(X) - tf.matmul(S, S, transpose_a=True)
    assert np.linalg.eigvalsh(residual).min() > -1e-12 * np.trace(kernel(X))


def test_features_have_no_parameters() -> None:
    Z = OrthogonalSignatureFeatures(5)
    assert Z.parameters == ()
    assert Z.num_inducing == 5
    assert Z.shape == (5, None, 1)


@pytest.mark.parametrize(
    ("num_inducing", "error", "message"),
    [
        (0, ValueError, "num_inducing must be at least 1, got 0"),
        (3.0, TypeError, r"num_inducing must be an int, got 3\.0"),
        (np.ones((4, 2)), TypeError, "num_inducing must be an int"),
    ],
)
def test_number_of_features_is_checked(num_inducing: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        OrthogonalSignatureFeatures(num_inducing)


UNSUITABLE = [
    (RBF(), "the kernel SquaredExponential"),
    (SignatureKernel(2) + SignatureKernel(2), "the kernel Sum of SignatureKernel, SignatureKernel.*InducingPoints"),
    (SignatureKernel(2) * RBF(), "the kernel Product of SignatureKernel, SquaredExponential.*InducingPoints"),
    (SharedIndependent(SignatureKernel(2), 2), "the kernel SharedIndependent.*SharedIndependentInducingVariables"),
]


@pytest.mark.parametrize(("kernel", "message"), UNSUITABLE)
@pytest.mark.parametrize("whiten", [True, False])
def test_other_kernels_are_refused(kernel: gpflow.kernels.Kernel, message: str, whiten: bool, walks: Callable) -> None:
    X, Z = flatten_paths(walks(3, 4, 2)), OrthogonalSignatureFeatures(3)
    model = gpflow.models.SVGP(kernel, gpflow.likelihoods.Gaussian(), Z, whiten=whiten)
    calls = (
        lambda: Kuu(Z, kernel),
        lambda: Kuu(Z, kernel, jitter=1e-6),
        lambda: Kuf(Z, kernel, X),
        lambda: model.predict_f(X),
        lambda: model.prior_kl(),
        lambda: model.posterior(),
    )
    for call in calls:
        with pytest.raises(TypeError, match=f"basis only for SignatureKernel, got {message}"):
            call()


def test_other_kernels_are_refused_inside_shared_independent(walks: Callable) -> None:
    X = flatten_paths(walks(3, 4, 2))
    kernel = SharedIndependent(SignatureKernel(2) + RBF(), 2)
    Z = SharedIndependentInducingVariables(OrthogonalSignatureFeatures(3))
    model = gpflow.models.SVGP(kernel, gpflow.likelihoods.Gaussian(), Z, num_latent_gps=2)
    with pytest.raises(TypeError, match="got the kernel Sum of SignatureKernel, SquaredExponential"):
        model.predict_f(X)
    with pytest.raises(TypeError, match="got the kernel Sum"):
        model.prior_kl()


def test_gpflows_own_shared_inducing_points_are_left_alone() -> None:
    """Our registrations for SharedIndependent serve every inducing variable in it: others must see GPflow's."""
    points = gpflow.inducing_variables.InducingPoints(np.linspace(0, 1, 4)[:, None])
    kernel, Z = SharedIndependent(RBF(), 2), SharedIndependentInducingVariables(points)
    expected = RBF()(points.Z) + 0.1 * np.eye(4)
    np.testing.assert_allclose(Kuu(Z, kernel, jitter=0.1), expected, rtol=1e-14)
    posterior = gpflow.posteriors.get_posterior_class(kernel, Z)
    assert posterior is gpflow.posteriors.IndependentPosteriorMultiOutput
    q_mu, q_sqrt = np.ones((4, 2)), np.stack([np.eye(4)] * 2)
    kl = gpflow.kullback_leiblers.prior_kl(Z, kernel, q_mu, q_sqrt, whiten=False)
    covariance = RBF()(points.Z) + gpflow.config.default_jitter() * np.eye(4)
    np.testing.assert_allclose(kl, gpflow.kullback_leiblers.gauss_kl(q_mu, q_sqrt, covariance), rtol=1e-12)


def test_words_of_the_features_are_those_of_words(walks: Callable) -> None:
    """Feature m of a straight line is the product of its word's increments over the factorial of its length."""
    line = np.array([[[0.0, 0.0, 0.0], [0.3, -0.7, 1.1]]])
    words = sk.words(3, 20)
    expected = [np.prod([line[0, 1, a] for a in word]) / math.factorial(len(word)) for word in words]
    features = Kuf(OrthogonalSignatureFeatures(20), SignatureKernel(3), flatten_paths(line))
    np.testing.assert_allclose(features[:, 0], expected, rtol=1e-13)


@pytest.mark.parametrize("compile", [False, True])
def test_inducing_points_serve_paths_of_other_lengths(compile: bool, walks: Callable) -> None:
    """The kernel of two paths needs no equal lengths, and padding changes nothing."""
    X, short = flatten_paths(walks(5, 6, 2)), walks(3, 4, 2)
    model = gpflow.models.SVGP(SignatureKernel(2), gpflow.likelihoods.Gaussian(), X)
    model.q_mu.assign(np.arange(5.0)[:, None])
    predict = tf.function(model.predict_f) if compile else model.predict_f
    padded = np.concatenate([short, np.repeat(short[:, -1:], 2, axis=1)], axis=1)
    for one, other in zip(predict(flatten_paths(short)), predict(flatten_paths(padded)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


@pytest.mark.parametrize("features", ["points", "orthogonal", "sequences", "dense"])
def test_rows_of_a_width_that_fits_no_path(features: str, walks: Callable) -> None:
    paths = walks(5, 6, 2)
    X, kernel, likelihood = flatten_paths(paths), SignatureKernel(2), gpflow.likelihoods.Gaussian()
    models = {
        "points": lambda: gpflow.models.SVGP(kernel, likelihood, X),
        "orthogonal": lambda: gpflow.models.SVGP(kernel, likelihood, OrthogonalSignatureFeatures(5)),
        "sequences": lambda: gpflow.models.SVGP(kernel, likelihood, InducingSequences(paths)),
        "dense": lambda: gpflow.models.GPR((X, np.ones((5, 1))), kernel),
    }
    with pytest.raises(ValueError, match=r"must be a positive multiple of num_channels=2 .* got shape \(3, 7\)"):
        models[features]().predict_f(np.ones((3, 7)))
