"""The posterior of orthogonal features: GPflow's results without a factorisation."""

import warnings
from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from gpflow.inducing_variables import SharedIndependentInducingVariables
from gpflow.kernels import SharedIndependent
from gpflow.models import SVGP
from gpflow.posteriors import PrecomputeCacheType
from model_comparison import COVARIANCES, check_same_model, randomize, value_and_gradients

import sigkernel_tf as sk
from sigkernel_tf.gp import OrthogonalSignatureFeatures, SignatureKernel, check_residual, flatten_paths
from sigkernel_tf.gp.posteriors import packed
from sigkernel_tf.gp.posteriors.packed import as_packed_factor, is_on_gpu


@pytest.fixture
def make_model(rng: np.random.Generator) -> Callable[..., SVGP]:
    def make(num_latent_gps: int, shared_independent: bool = False, **options: object) -> SVGP:
        kernel, Z = SignatureKernel(2, lengthscales=[0.8, 1.9], variance=1.4), OrthogonalSignatureFeatures(9)
        if shared_independent:
            kernel, Z = SharedIndependent(kernel, num_latent_gps), SharedIndependentInducingVariables(Z)
        likelihood = gpflow.likelihoods.MultiClass(num_latent_gps)
        if num_latent_gps == 1:
            likelihood = gpflow.likelihoods.Gaussian(0.3)
        mean_function = gpflow.mean_functions.Constant(0.2)
        options = {"num_data": 30, "mean_function": mean_function, **options}
        return randomize(SVGP(kernel, likelihood, Z, num_latent_gps=num_latent_gps, **options), rng)

    return make


@pytest.fixture
def data(walks: Callable, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return flatten_paths(walks(6, 5, 2)), rng.integers(0, 3, size=(6, 1)).astype(np.float64)


@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize("q_diag", [True, False])
@pytest.mark.parametrize("num_latent_gps", [1, 3])
def test_same_as_gpflows_default_path(
    whiten: bool, q_diag: bool, num_latent_gps: int, make_model: Callable, default_path_model: Callable, data: tuple
) -> None:
    model = make_model(num_latent_gps, whiten=whiten, q_diag=q_diag)
    twin = default_path_model(model)
    check_same_model(model, twin, data)


@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize("q_diag", [True, False])
def test_shared_independent_is_the_same_model(whiten: bool, q_diag: bool, make_model: Callable, data: tuple) -> None:
    model = make_model(3, whiten=whiten, q_diag=q_diag)
    shared = make_model(3, shared_independent=True, whiten=whiten, q_diag=q_diag)
    shared.q_mu, shared.q_sqrt, shared.kernel.kernel = model.q_mu, model.q_sqrt, model.kernel
    shared.likelihood, shared.mean_function = model.likelihood, model.mean_function
    elbo, gradients = value_and_gradients(shared, model.trainable_variables, data)
    expected_elbo, expected_gradients = value_and_gradients(model, model.trainable_variables, data)
    np.testing.assert_allclose(elbo, expected_elbo, rtol=1e-13)
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-11)
    for full in COVARIANCES:
        for result, expected in zip(shared.predict_f(data[0], *full), model.predict_f(data[0], *full), strict=True):
            assert result.shape == expected.shape
            np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-13)


def test_equation_29(walks: Callable, numpy_signature: Callable, rng: np.random.Generator) -> None:
    X = walks(5, 6, 2)
    model = randomize(SVGP(SignatureKernel(2), gpflow.likelihoods.Gaussian(), OrthogonalSignatureFeatures(7)), rng)
    S = numpy_signature(X, 10)
    first, L = S[:, :7], model.q_sqrt.numpy()[0]
    expected = S @ S.T - first @ (np.eye(7) - L @ L.T) @ first.T
    mean, cov = model.predict_f(flatten_paths(X), full_cov=True)
    np.testing.assert_allclose(mean, first @ model.q_mu.numpy(), rtol=1e-12)
    np.testing.assert_allclose(cov[0], expected, atol=1e-7)


@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize(
    ("q_diag", "num_latent_gps", "shared_independent"), [(False, 1, False), (True, 3, False), (False, 3, True)]
)
def test_nothing_is_factorised(
    whiten: bool,
    q_diag: bool,
    num_latent_gps: int,
    shared_independent: bool,
    make_model: Callable,
    data: tuple,
    factorisations: Callable,
) -> None:
    model = make_model(num_latent_gps, shared_independent, whiten=whiten, q_diag=q_diag)
    arguments = tuple(tf.TensorSpec([None, None], tf.float64) for _ in data)

    def step(X: tf.Tensor, Y: tf.Tensor) -> tuple[tf.Tensor, list]:
        return value_and_gradients(model, model.trainable_variables, (X, Y))

    def predict(X: tf.Tensor, Y: tf.Tensor) -> list:
        return [model.predict_f(X, *full) for full in COVARIANCES] + [model.posterior().predict_f(X)]

    for function in (step, predict):
        assert factorisations(function, *arguments) == []


def test_gpflows_default_path_does_factorise(
    make_model: Callable, default_path_model: Callable, data: tuple, factorisations: Callable
) -> None:
    """The search above finds what it looks for."""
    twin = default_path_model(make_model(1))
    found = factorisations(twin.elbo, tuple(tf.constant(array) for array in data))
    assert {"Cholesky", "MatrixTriangularSolve"} <= set(found)


@pytest.mark.parametrize("cache", [PrecomputeCacheType.TENSOR, PrecomputeCacheType.VARIABLE])
@pytest.mark.parametrize("q_diag", [True, False])
@pytest.mark.parametrize("shared_independent", [True, False])
def test_cached_posterior_changes_when_updated(
    cache: PrecomputeCacheType,
    q_diag: bool,
    shared_independent: bool,
    make_model: Callable,
    data: tuple,
    rng: np.random.Generator,
) -> None:
    model, X = make_model(3, shared_independent, q_diag=q_diag), data[0]
    posterior = model.posterior(cache)
    before = model.predict_f(X)
    np.testing.assert_array_equal(posterior.predict_f(X), before)
    randomize(model, rng)
    np.testing.assert_array_equal(posterior.predict_f(X), before)
    posterior.update_cache()
    after = model.predict_f(X)
    assert np.abs(np.subtract(after, before)).max() > 0.1
    np.testing.assert_array_equal(posterior.predict_f(X), after)


def test_variable_cache_is_read_by_a_function_traced_before(
    make_model: Callable, data: tuple, rng: np.random.Generator
) -> None:
    model, X = make_model(2), data[0]
    posterior = model.posterior(PrecomputeCacheType.VARIABLE)
    predict = tf.function(posterior.predict_f, input_signature=[tf.TensorSpec([None, None], tf.float64)])
    predict(X)
    randomize(model, rng)
    posterior.update_cache()
    for result, expected in zip(predict(X), model.predict_f(X), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-13)


def test_no_cache(make_model: Callable, data: tuple) -> None:
    posterior = make_model(2).posterior(PrecomputeCacheType.NOCACHE)
    with pytest.raises(ValueError, match="Cache has not been precomputed"):
        posterior.predict_f(data[0])


@pytest.mark.parametrize("full", COVARIANCES)
def test_without_a_covariance(full: tuple[bool, bool], data: tuple, rng: np.random.Generator) -> None:
    """gpflow.conditionals with q_sqrt=None: q(u) is a point."""
    kernel, Z, X = SignatureKernel(2), OrthogonalSignatureFeatures(5), data[0]
    q_mu = rng.normal(size=(5, 2))
    options = {"full_cov": full[0], "full_output_cov": full[1]}
    mean, cov = gpflow.conditionals.conditional(X, Z, kernel, q_mu, q_sqrt=None, **options)
    expected = gpflow.conditionals.conditional(X, Z, kernel, q_mu, q_sqrt=np.zeros((5, 2)), **options)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-14)
    assert cov.shape == expected[1].shape
    np.testing.assert_allclose(cov, expected[1], rtol=1e-14)


def test_upper_triangle_of_q_sqrt_is_not_read(data: tuple, rng: np.random.Generator) -> None:
    kernel, Z, X = SignatureKernel(2), OrthogonalSignatureFeatures(5), data[0]
    q_mu, full = rng.normal(size=(5, 2)), rng.normal(size=(2, 5, 5))
    results = [
        gpflow.conditionals.conditional(X, Z, kernel, q_mu, q_sqrt=q_sqrt, white=True)
        for q_sqrt in (full, np.tril(full))
    ]
    np.testing.assert_array_equal(*results)


def coarse_model(walks: Callable) -> tuple[SVGP, np.ndarray]:
    """A solver too coarse for rough paths: |S_M(x)|² exceeds its k(x, x) on some of them."""
    kernel = SignatureKernel(3, solver=sk.FiniteDifference(0))
    model = SVGP(kernel, gpflow.likelihoods.Gaussian(), OrthogonalSignatureFeatures(364))
    X = flatten_paths(walks(20, 8, 3, scale=2.0))
    return model, X


@pytest.mark.parametrize("full_cov", [True, False])
def test_negative_residuals_are_clamped(full_cov: bool, walks: Callable) -> None:
    model, X = coarse_model(walks)
    model.q_sqrt.assign(1e-8 * np.eye(364)[None])
    S = gpflow.covariances.Kuf(model.inducing_variable, model.kernel, X)
    explained = tf.reduce_sum(S**2, axis=0)
    negative = (explained > model.kernel(X, full_cov=False)).numpy()
    assert negative.any()
    assert not negative.all()
    for _, cov in (model.predict_f(X, full_cov), model.posterior().predict_f(X, full_cov)):
        variance = np.diag(cov[0]) if full_cov else cov[:, 0].numpy()
        np.testing.assert_allclose(variance[negative], 1e-16 * explained[negative], rtol=1e-9)
        assert (variance[~negative] > 0).all()


def test_check_residual_warns_and_names_the_cure(walks: Callable) -> None:
    model, X = coarse_model(walks)
    with pytest.warns(RuntimeWarning, match=r"FiniteDifference\(dyadic_order=0.*Use PowerSeries\(\), or a higher"):
        excess = check_residual(model.kernel, model.inducing_variable, X)
    S = gpflow.covariances.Kuf(model.inducing_variable, model.kernel, X).numpy()
    k = model.kernel(X, full_cov=False).numpy()
    np.testing.assert_allclose(excess, ((S**2).sum(axis=0) / k - 1).max(), rtol=1e-12)


def test_check_residual_is_silent_for_the_power_series(walks: Callable) -> None:
    X = flatten_paths(walks(20, 8, 3, scale=2.0))
    kernel, Z = SignatureKernel(3), OrthogonalSignatureFeatures(364)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_residual(kernel, Z, X) < 1e-12
        assert check_residual(SharedIndependent(kernel, 2), SharedIndependentInducingVariables(Z), X) < 1e-12


@pytest.mark.parametrize(
    ("solver", "cure"),
    [
        (sk.PowerSeries(), "lost digits to cancellation.*longer lengthscales"),
        (sk.PowerSeries(0.1), r"tolerance that is too large.*Use PowerSeries\(\)"),
    ],
    ids=repr,
)
def test_check_residual_does_not_advise_the_solver_that_is_there(
    solver: sk.Solver, cure: str, walks: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = SignatureKernel(2, solver=solver)
    norms = kernel.plain_squared_norms
    monkeypatch.setattr(kernel, "plain_squared_norms", lambda X, M: (norms(X, M)[0] * 2, norms(X, M)[1]))
    with pytest.warns(RuntimeWarning, match=cure):
        check_residual(kernel, OrthogonalSignatureFeatures(40), flatten_paths(walks(3, 6, 2)))


def test_check_residual_needs_values(data: tuple) -> None:
    kernel, Z = SignatureKernel(2), OrthogonalSignatureFeatures(3)
    traced = tf.function(lambda X: check_residual(kernel, Z, X))
    with pytest.raises(RuntimeError, match=r"call it outside tf\.function"):
        traced(data[0])


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("/job:localhost/replica:0/task:0/device:GPU:0", True),
        ("/device:GPU:1", True),
        ("/job:localhost/replica:0/task:0/device:CPU:0", False),
        ("", False),
    ],
)
def test_where_a_variable_lives(device: str, expected: bool) -> None:
    assert is_on_gpu(device) == expected


def test_a_gpu_that_is_not_used_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packed factor is used where the variable lives on the CPU, whatever other devices there are."""
    with tf.device("CPU"):
        model = SVGP(SignatureKernel(2), gpflow.likelihoods.Gaussian(), OrthogonalSignatureFeatures(3))
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: [f"a fake {kind}"])
    assert as_packed_factor(model.q_sqrt) is not None
    monkeypatch.setattr(packed, "is_on_gpu", lambda device: "CPU" in device)  # as if the variable were on a GPU
    assert as_packed_factor(model.q_sqrt) is None
