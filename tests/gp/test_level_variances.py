"""SignatureKernel with variances of levels, and the share of the variance that lies beyond the features."""

from collections.abc import Callable

import gpflow
import numpy as np
import oracles
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from gpflow.models import GPR, SVGP
from scipy import special

from sigkernel_tf.gp import (
    OrthogonalSignatureFeatures,
    SigGPDE,
    SignatureKernel,
    check_residual,
    flatten_paths,
    residual_share,
)

DEPTH = 9  # beyond it the walks' signatures are below 1e-9
LEVEL_VARIANCES = [[0.7, 2.5], [0.3, 1.9, 0.4], [1.0, 0.0, 2.0, 0.6], [0.8, 0.0, 1.5, 0.0], [0.5, 3.0, 0.2, 7.0, 0.1]]


def of_words(level_variances: list[float], num_channels: int, depth: int) -> np.ndarray:
    """The variance of each word up to ``depth``."""
    per_level = [level_variances[min(level, len(level_variances) - 1)] for level in range(depth + 1)]
    return np.concatenate([np.full(num_channels**level, w) for level, w in enumerate(per_level)])


@pytest.mark.parametrize("level_variances", LEVEL_VARIANCES, ids=str)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("num_words", [1, 2, 5, 20])
def test_matches_inner_products_of_weighed_signatures(
    level_variances: list[float], normalize: bool, num_words: int, walks: Callable, numpy_signature: Callable
) -> None:
    X, Y = walks(4, 6, 2), walks(3, 5, 2)
    options = {"lengthscales": [0.8, 2.0], "variance": 1.7, "normalize": normalize}
    kernel = SignatureKernel(2, level_variances=level_variances, **options)
    weights = np.sqrt(1.7 * of_words(level_variances, 2, DEPTH))
    S, T = (weights * numpy_signature(paths / [0.8, 2.0], DEPTH) for paths in (X, Y))
    if normalize:
        S, T = (np.sqrt(1.7) * features / np.linalg.norm(features, axis=1, keepdims=True) for features in (S, T))
    x, y = flatten_paths(X), flatten_paths(Y)
    np.testing.assert_allclose(kernel(x, y), S @ T.T, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(kernel(x), S @ S.T, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(kernel(x, full_cov=False), np.sum(S**2, axis=1), rtol=1e-7)
    np.testing.assert_allclose(kernel.features(x, num_words), S[:, :num_words], rtol=1e-7, atol=1e-12)
    for full_cov in (False, True):
        features, covariance = kernel.features_and_covariance(x, num_words, full_cov=full_cov)
        np.testing.assert_allclose(features, kernel.features(x, num_words), rtol=1e-13)
        np.testing.assert_allclose(covariance, kernel(x, full_cov=full_cov), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("level_variances", [0, 3, np.int64(1), np.ones(4), tf.ones([2], tf.float64)])
def test_ones_change_nothing(level_variances: object, walks: Callable) -> None:
    X, Y = flatten_paths(walks(4, 6, 2)), flatten_paths(walks(3, 5, 2))
    kernel, plain = SignatureKernel(2, level_variances=level_variances), SignatureKernel(2)
    assert kernel.level_variances is not None
    assert plain.level_variances is None
    np.testing.assert_allclose(kernel(X, Y), plain(X, Y), rtol=1e-12)
    np.testing.assert_allclose(kernel(X, full_cov=False), plain(X, full_cov=False), rtol=1e-12)
    np.testing.assert_allclose(kernel.features(X, 9), plain.features(X, 9), rtol=1e-15)


@pytest.mark.parametrize("length", [1, 2, 33, 1025])
def test_lengths(length: int, walks: Callable, numpy_signature: Callable) -> None:
    X, Y = walks(2, length, 2, scale=0.5), walks(2, 33, 2, scale=0.5)
    kernel = SignatureKernel(2, level_variances=[0.5, 3.0, 0.2])
    S, T = (np.sqrt(of_words([0.5, 3.0, 0.2], 2, 7)) * numpy_signature(paths, 7) for paths in (X, Y))
    np.testing.assert_allclose(kernel(flatten_paths(X), flatten_paths(Y)), S @ T.T, rtol=1e-7)
    np.testing.assert_allclose(kernel(flatten_paths(X), full_cov=False), np.sum(S**2, axis=1), rtol=1e-7)


@pytest.mark.parametrize("level_variances", LEVEL_VARIANCES, ids=str)
@pytest.mark.parametrize("normalize", [False, True])
def test_symmetric_and_positive(level_variances: list[float], normalize: bool, walks: Callable) -> None:
    kernel = SignatureKernel(2, level_variances=level_variances, normalize=normalize)
    X = flatten_paths(walks(30, 8, 2))
    K = kernel(X).numpy()
    np.testing.assert_array_equal(K, K.T)
    assert np.linalg.eigvalsh(K).min() > -1e-12 * np.trace(K)
    Z = OrthogonalSignatureFeatures(5)
    np.testing.assert_array_equal(gpflow.covariances.Kuu(Z, kernel, jitter=1.0), np.eye(5))
    S = gpflow.covariances.Kuf(Z, kernel, X).numpy()
    assert np.linalg.eigvalsh(K - S.T @ S).min() > -1e-12 * np.trace(K)


@pytest.mark.parametrize("level_variances", [[0.7, 2.5, 0.4], [1.0, 0.0, 0.6], [0.8, 1.5, 0.0]], ids=str)
@pytest.mark.parametrize("normalize", [False, True])
def test_gradients_match_central_differences(
    level_variances: list[float], normalize: bool, walks: Callable, rng: np.random.Generator
) -> None:
    X, Y = flatten_paths(walks(3, 5, 2)), flatten_paths(walks(4, 3, 2))
    kernel = SignatureKernel(2, lengthscales=[0.9, 1.6], level_variances=level_variances, normalize=normalize)

    def total() -> tf.Tensor:
        gram = tf.reduce_sum(tf.sin(kernel(X))) + tf.reduce_sum(tf.sin(kernel(X, Y)))
        diagonal = tf.reduce_sum(tf.sin(kernel(X, full_cov=False)))
        return gram + diagonal + tf.reduce_sum(tf.sin(kernel.features(X, 5)))

    for parameter in (kernel.lengthscales, kernel.level_variances):
        value = parameter.numpy()
        with tf.GradientTape() as tape:
            result = total()
        gradient = tape.gradient(result, parameter.unconstrained_variable).numpy()
        moves = value > 0
        np.testing.assert_array_equal(gradient[~moves], 0.0)
        gradient = gradient[moves] / special.expit(parameter.unconstrained_variable.numpy()[moves])

        def at(array: np.ndarray, parameter=parameter, value=value, moves=moves) -> float:
            changed = value.copy()
            changed[moves] = array
            parameter.assign(changed)
            return float(total())

        direction = rng.normal(size=gradient.shape)
        expected = oracles.slope(at, value[moves], direction)
        parameter.assign(value)
        np.testing.assert_allclose(np.sum(gradient * direction), expected, atol=1e-7 * max(1, abs(expected)))


def test_zeros_stay_zeros_in_training_and_the_others_move(walks: Callable, rng: np.random.Generator) -> None:
    data = flatten_paths(walks(8, 5, 2)), rng.normal(size=(8, 1))
    kernel = SignatureKernel(2, level_variances=[1.0, 0.0, 0.5, 1.0, 0.0])
    model = SVGP(kernel, gpflow.likelihoods.Gaussian(0.3), OrthogonalSignatureFeatures(9))
    optimizer = tf.keras.optimizers.Adam(0.05)
    for _ in range(5):
        with tf.GradientTape() as tape:
            loss = model.training_loss(data)
        gradients = tape.gradient(loss, model.trainable_variables)
        assert all(np.isfinite(gradient).all() for gradient in gradients)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    values = kernel.level_variances.numpy()
    np.testing.assert_array_equal(values == 0, [False, True, False, False, True])
    assert (np.abs(values - [1.0, 0.0, 0.5, 1.0, 0.0])[[0, 2, 3]] > 1e-3).all()
    kernel.level_variances.assign([2.0, 0.0, 1.0, 3.0, 0.0])
    np.testing.assert_allclose(kernel.level_variances, [2.0, 0.0, 1.0, 3.0, 0.0], rtol=1e-14)
    for wrong in ([2.0, 0.1, 1.0, 3.0, 0.0], [2.0, 0.0, 0.0, 3.0, 0.0], [2.0, 0.0, -1.0, 3.0, 0.0]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="incompatible with this parameter's transform"):
            kernel.level_variances.assign(wrong)


def test_prior_of_level_variances_enters_the_loss(walks: Callable, rng: np.random.Generator) -> None:
    data = flatten_paths(walks(6, 5, 2)), rng.normal(size=(6, 1))
    values = np.array([1.3, 0.0, 0.5])
    model = GPR(data, SignatureKernel(2, level_variances=values))
    without = float(model.training_loss())
    model.kernel.level_variances.prior = tfp.distributions.HalfNormal(gpflow.utilities.to_default_float(2.0))
    log_density = np.sum(scipy.stats.halfnorm(scale=2.0).logpdf(values))
    np.testing.assert_allclose(float(model.training_loss()) - without, -log_density, rtol=1e-10)
    # a sampler, which moves the unconstrained values, adds log |d value / d unconstrained|; a zero does not move
    parameter = model.kernel.level_variances
    slopes = special.expit(parameter.unconstrained_variable.numpy()[values > 0])
    log_jacobian = parameter.transform.forward_log_det_jacobian(parameter.unconstrained_variable, event_ndims=1)
    np.testing.assert_allclose(log_jacobian, np.sum(np.log(slopes)), rtol=1e-12)


@pytest.mark.parametrize("whiten", [True, False])
def test_without_the_rest_siggpde_is_the_dense_gp_of_the_truncated_kernel(
    whiten: bool, walks: Callable, rng: np.random.Generator
) -> None:
    """All words up to depth 3: one natural step reaches exact regression with the kernel of signatures of depth 3."""
    X, Y, Xnew = flatten_paths(walks(12, 6, 2)), rng.normal(size=(12, 1)), flatten_paths(walks(4, 7, 2))
    kernel = SignatureKernel(2, level_variances=[0.8, 0.5, 2.0, 1.3, 0.0])
    dense = GPR((X, Y), kernel, noise_variance=0.3)
    sparse = SVGP(kernel, gpflow.likelihoods.Gaussian(0.3), OrthogonalSignatureFeatures(15), whiten=whiten)
    step = gpflow.optimizers.NaturalGradient(gamma=1.0)
    step.minimize(sparse.training_loss_closure((X, Y)), [(sparse.q_mu, sparse.q_sqrt)])
    np.testing.assert_allclose(sparse.elbo((X, Y)), dense.log_marginal_likelihood(), rtol=1e-9)
    for result, expected in zip(sparse.predict_f(Xnew, True), dense.predict_f(Xnew, True), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("normalize", [False, True])
def test_rounding_beyond_the_first_levels_is_clamped(normalize: bool, walks: Callable) -> None:
    """Nothing but rounding lies beyond level 8 here: a huge w_rest must not make k(x, x) negative or non-finite."""
    X = flatten_paths(walks(40, 6, 2, scale=0.05))
    kernel = SignatureKernel(2, level_variances=[1e-3] * 9 + [1e15], normalize=normalize)
    with tf.GradientTape() as tape:
        diagonal = kernel(X, full_cov=False)
        features, covariance = kernel.features_and_covariance(X, 12)
        total = tf.reduce_sum(diagonal) + tf.reduce_sum(covariance) + tf.reduce_sum(features)
    assert (diagonal.numpy() >= 1e-3 * (1 - 1e-12)).all()
    np.testing.assert_allclose(np.diag(kernel(X)) >= 1e-3 * (1 - 1e-12), True)
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(total, kernel.trainable_variables))


def test_float32(walks: Callable) -> None:
    X = walks(5, 6, 2)
    options = {"lengthscales": 0.9, "level_variances": [1.0, 0.0, 2.0, 0.5]}
    expected = SignatureKernel(2, **options)
    K, features = expected(flatten_paths(X)), expected.features(flatten_paths(X), 9)
    with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
        kernel = SignatureKernel(2, **options)
        for result, exact in ((kernel(flatten_paths(X)), K), (kernel.features(flatten_paths(X), 9), features)):
            assert result.dtype == tf.float32
            np.testing.assert_allclose(result, exact, rtol=1e-5, atol=1e-6)


def count_operations(function: Callable, width: int) -> dict[str, int]:
    graph = tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec([None, width], tf.float64)).graph
    names = [operation.type for operation in graph.get_operations()]
    return {name: names.count(name) for name in ("SigkernelTfSignature", "SigkernelTfSignatureKernel")}


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("full_cov", [False, True])
def test_the_posterior_computes_nothing_twice(normalize: bool, full_cov: bool) -> None:
    model = SigGPDE(2, 9, likelihood=gpflow.likelihoods.Gaussian(), level_variances=2, normalize=normalize)
    counts = count_operations(lambda X: model.predict_f(X, full_cov), 12)
    assert counts == {"SigkernelTfSignature": 1, "SigkernelTfSignatureKernel": 1}


def test_without_the_rest_no_goursat_problem_is_solved() -> None:
    kernel = SignatureKernel(2, level_variances=[1.0, 1.0, 0.0])
    assert count_operations(lambda X: kernel(X), 12) == {"SigkernelTfSignature": 1, "SigkernelTfSignatureKernel": 0}


@pytest.mark.parametrize(
    ("level_variances", "message"),
    [
        ([1.0], r"vector of two numbers or more.*got \[1\.0\]: for instance"),
        ([1.0, -0.5, 1.0], r"not negative.*got \[1\.0, -0\.5, 1\.0\]"),
        ([1.0, np.nan], "finite"),
        ([0.0, 0.0], "at least one above 0"),
        ([[1.0, 1.0]], "must be a vector"),
        (-1, "at least 0, got -1"),
        (2.5, r"must be a vector.*got 2\.5"),
        (60, "depth=60 with 3 channels makes .* words"),
    ],
)
def test_refuses(level_variances: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SignatureKernel(3, level_variances=level_variances)


def test_normalizing_needs_the_constant() -> None:
    with pytest.raises(ValueError, match=r"normalize=True needs level_variances\[0\] > 0"):
        SignatureKernel(3, level_variances=[0.0, 1.0, 1.0], normalize=True)


@pytest.mark.parametrize("options", [{}, {"normalize": True}, {"level_variances": [0.5, 2.0, 0.3], "variance": 3.0}])
def test_residual_share(options: dict, walks: Callable, numpy_signature: Callable) -> None:
    X = walks(5, 6, 2, scale=1.5)
    squares = numpy_signature(X, 14) ** 2 * of_words(options.get("level_variances", [1.0, 1.0]), 2, 14)
    expected = squares[:, 5:].sum(axis=1) / squares.sum(axis=1)
    result = residual_share(SignatureKernel(2, **options), OrthogonalSignatureFeatures(5), flatten_paths(X))
    assert isinstance(result, np.ndarray)
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_residual_share_is_zero_where_the_features_are_all_and_needs_values(walks: Callable) -> None:
    X = flatten_paths(walks(5, 6, 2))
    kernel, Z = SignatureKernel(2, level_variances=[1.0, 1.0, 0.0]), OrthogonalSignatureFeatures(3)
    np.testing.assert_allclose(residual_share(kernel, Z, X), 0.0, atol=1e-15)
    with pytest.raises(RuntimeError, match=r"residual_share.*call it outside tf\.function"):
        tf.function(lambda X: residual_share(kernel, Z, X))(X)
    with pytest.raises(TypeError, match="the kernel SquaredExponential"):
        residual_share(gpflow.kernels.RBF(), Z, X)


def test_check_residual_does_not_see_level_variances(walks: Callable) -> None:
    X, Z = flatten_paths(walks(20, 8, 3, scale=1.0)), OrthogonalSignatureFeatures(364)
    weighed = SignatureKernel(3, level_variances=[1.0, 1e-4, 1e4, 1.0], variance=2.0, normalize=True)
    assert check_residual(weighed, Z, X) == check_residual(SignatureKernel(3), Z, X)
