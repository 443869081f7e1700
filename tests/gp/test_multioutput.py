"""Orthogonal features in GPflow's models of several outputs: its results, without a factorisation."""

import warnings
from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from gpflow.covariances import Kuf, Kuu
from gpflow.inducing_variables import (
    InducingPoints,
    SeparateIndependentInducingVariables,
    SharedIndependentInducingVariables,
)
from gpflow.kernels import RBF, LinearCoregionalization, SeparateIndependent, SharedIndependent
from gpflow.models import SVGP
from model_comparison import COVARIANCES, check_same_model, randomize, value_and_gradients

from sigkernel_tf.gp import (
    OrthogonalSignatureFeatures,
    SignatureKernel,
    TrainingOptions,
    check_residual,
    flatten_paths,
    residual_share,
    train,
)

M = 6  # cuts the second level of two channels
FIRST, SECOND = {"lengthscales": [0.8, 1.9], "variance": 1.4}, {"level_variances": [0.7, 2.0, 0.0, 0.4]}


def kernels() -> list[SignatureKernel]:
    """One of them twice: its features are computed once."""
    first = SignatureKernel(2, **FIRST)
    return [first, SignatureKernel(2, **SECOND, normalize=True), first]


KERNELS = {
    "shared": lambda: SharedIndependent(SignatureKernel(2, **FIRST), 3),
    "separate": lambda: SeparateIndependent(kernels()),
    "coregionalized": lambda: LinearCoregionalization(kernels(), np.array([[0.3, -1.2, 0.7], [1.1, 0.4, -0.2]])),
    "coregionalized_alike": lambda: LinearCoregionalization([SignatureKernel(2)] * 3, np.arange(6.0).reshape(2, 3)),
}
VARIABLES = {
    "shared": lambda: SharedIndependentInducingVariables(OrthogonalSignatureFeatures(M)),
    "separate": lambda: SeparateIndependentInducingVariables([OrthogonalSignatureFeatures(M) for _ in range(3)]),
}
every_kernel = pytest.mark.parametrize("kernel", KERNELS)
every_variables = pytest.mark.parametrize("variables", VARIABLES)
# Each kernel with each inducing variables; each of both with both ways to keep q(u).
every_model = pytest.mark.parametrize(
    ("kernel", "variables", "options"),
    [
        (kernel, variables, {"whiten": (i + j) % 2 == 0, "q_diag": (i + j) % 2 == 0})
        for i, kernel in enumerate(KERNELS)
        for j, variables in enumerate(VARIABLES)
    ],
    ids=str,
)


@pytest.fixture
def make_model(rng: np.random.Generator) -> Callable[..., SVGP]:
    def make(kernel: str, variables: str, **options: object) -> SVGP:
        model = SVGP(
            KERNELS[kernel](), gpflow.likelihoods.Gaussian(0.3), VARIABLES[variables](), num_latent_gps=3, **options
        )
        return randomize(model, rng)

    return make


def data_for(model: SVGP, walks: Callable, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    outputs = 2 if isinstance(model.kernel, LinearCoregionalization) else 3
    return flatten_paths(walks(5, 5, 2)), rng.normal(size=(5, outputs))


@every_model
def test_same_as_gpflows_default_path(
    kernel: str,
    variables: str,
    options: dict[str, bool],
    make_model: Callable,
    default_path_model: Callable,
    walks: Callable,
    rng: np.random.Generator,
) -> None:
    model = make_model(kernel, variables, **options)
    twin, data = default_path_model(model), data_for(model, walks, rng)
    check_same_model(model, twin, data)


@every_model
def test_nothing_is_factorised(
    kernel: str, variables: str, options: dict[str, bool], make_model: Callable, factorisations: Callable
) -> None:
    model = make_model(kernel, variables, **options)
    specs = [tf.TensorSpec([None, width], tf.float64) for width in (10, None)]

    def step(X: tf.Tensor, Y: tf.Tensor) -> tuple[tf.Tensor, list]:
        return value_and_gradients(model, model.trainable_variables, (X, Y))

    def predict(X: tf.Tensor) -> list:
        return [model.predict_f(X, *full) for full in COVARIANCES] + [model.posterior().predict_f(X)]

    assert factorisations(step, *specs) == []
    assert factorisations(predict, specs[0]) == []


def conditional_of(model: SVGP, **options: object) -> Callable:
    return lambda X: gpflow.conditionals.conditional(X, model.inducing_variable, model.kernel, model.q_mu, **options)


@pytest.mark.parametrize(
    ("kernel", "variables", "full"),  # each kernel with every kind of covariance, in turn with either variables
    [
        (kernel, variables, full)
        for i, kernel in enumerate(KERNELS)
        for j, full in enumerate(COVARIANCES)
        for variables in [list(VARIABLES)[(i + j) % 2]]
    ],
)
def test_conditionals(
    kernel: str,
    variables: str,
    full: tuple[bool, bool],
    make_model: Callable,
    walks: Callable,
    factorisations: Callable,
) -> None:
    """GPflow's function, called without a model: the model's predictions, and nothing is factorised."""
    model, X = make_model(kernel, variables), flatten_paths(walks(5, 5, 2))
    options = {"full_cov": full[0], "full_output_cov": full[1]}
    expected = model.predict_f(X, *full)
    for white in (True, False):
        conditional = conditional_of(model, q_sqrt=model.q_sqrt, white=white, **options)
        assert factorisations(conditional, tf.TensorSpec([None, 10], tf.float64)) == []
        for found, other in zip(conditional(X), expected, strict=True):
            assert found.shape == other.shape
            np.testing.assert_allclose(found, other, rtol=1e-12, atol=1e-13)
    point = conditional_of(model, q_sqrt=None, **options)(X)
    for found, other in zip(point, conditional_of(model, q_sqrt=np.zeros((M, 3)), **options)(X), strict=True):
        np.testing.assert_allclose(found, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("kernel", "variables"), [("separate", "shared"), ("separate", "separate"), ("coregionalized", "shared")]
)
def test_draws_from_conditionals(kernel: str, variables: str, make_model: Callable, walks: Callable) -> None:
    """GPflow draws latent processes, and mixes them afterwards: the moments are those of the outputs."""
    model, X = make_model(kernel, variables), flatten_paths(walks(5, 5, 2))
    draws, *moments = gpflow.conditionals.sample_conditional(
        X, model.inducing_variable, model.kernel, model.q_mu, q_sqrt=model.q_sqrt, white=True, num_samples=4000
    )
    for found, expected in zip(moments, model.predict_f(X), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    error = np.sqrt(moments[1] / 4000)
    assert (np.abs(draws.numpy().mean(axis=0) - moments[0]) < 5 * error).all()


@every_variables
def test_linear_mixing_of_latent_processes(
    variables: str, make_model: Callable, walks: Callable, rng: np.random.Generator
) -> None:
    """The outputs follow from independent processes with the same q(u), by hand."""
    mixed = make_model("coregionalized", variables)
    latent = SVGP(
        SeparateIndependent(list(mixed.kernel.kernels)),
        gpflow.likelihoods.Gaussian(),
        VARIABLES["shared"](),
        num_latent_gps=3,
    )
    latent.q_mu, latent.q_sqrt = mixed.q_mu, mixed.q_sqrt
    X, W = flatten_paths(walks(4, 5, 2)), mixed.kernel.W.numpy()
    latent_mean, latent_cov = latent.predict_f(X, full_cov=True)
    everything = np.einsum("pl,lnm,ql->npmq", W, latent_cov, W)
    expected = {
        (True, True): everything,
        (True, False): np.einsum("npmp->pnm", everything),
        (False, True): np.einsum("npnq->npq", everything),
        (False, False): np.einsum("npnp->np", everything),
    }
    for full in COVARIANCES:
        mean, cov = mixed.predict_f(X, *full)
        np.testing.assert_allclose(mean, latent_mean @ W.T, atol=1e-12)
        np.testing.assert_allclose(cov, expected[full], atol=1e-12)


def test_one_kernel_several_times_is_computed_once(make_model: Callable) -> None:
    spec = tf.TensorSpec([None, 10], tf.float64)
    for kernel, count in (("separate", 2), ("coregionalized", 2), ("coregionalized_alike", 1), ("shared", 1)):
        model = make_model(kernel, "separate")
        graph = (
            tf.function(lambda X, model=model: model.predict_f(X), autograph=False).get_concrete_function(spec).graph
        )
        types = [operation.type for operation in graph.get_operations()]
        assert types.count("SigkernelTfSignature") == types.count("SigkernelTfSignatureKernel") == count


@every_kernel
@every_variables
def test_kuu_is_the_identity_whatever_the_jitter(kernel: str, variables: str) -> None:
    result = Kuu(VARIABLES[variables](), KERNELS[kernel](), jitter=1.0)
    expected = np.eye(M) if (kernel, variables) == ("shared", "shared") else np.stack([np.eye(M)] * 3)
    np.testing.assert_array_equal(result, expected)


@every_variables
def test_kuf_stacks_the_features(variables: str, walks: Callable) -> None:
    X, kernel = flatten_paths(walks(4, 5, 2)), KERNELS["separate"]()
    expected = np.stack([tf.transpose(each.features(X, M)) for each in kernel.kernels])
    np.testing.assert_array_equal(Kuf(VARIABLES[variables](), kernel, X), expected)


def test_cached_posterior(make_model: Callable, walks: Callable) -> None:
    X = flatten_paths(walks(4, 5, 2))
    for kernel in KERNELS:
        model = make_model(kernel, "shared")
        posterior = model.posterior(gpflow.posteriors.PrecomputeCacheType.VARIABLE)
        spec = tf.TensorSpec([None, None], tf.float64)
        predict = tf.function(posterior.predict_f, input_signature=[spec], autograph=False)
        predict(X)
        model.q_mu.assign(2.0 * model.q_mu.numpy())
        posterior.update_cache()
        for result, expected in zip(predict(X), model.predict_f(X), strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_without_a_covariance(walks: Callable, rng: np.random.Generator) -> None:
    X, q_mu = flatten_paths(walks(4, 5, 2)), rng.normal(size=(M, 3))
    for kernel in (KERNELS["separate"](), KERNELS["coregionalized"]()):
        point, spread = (
            gpflow.posteriors.create_posterior(kernel, VARIABLES["shared"](), q_mu, q_sqrt, whiten=True)
            for q_sqrt in (None, np.zeros((M, 3)))
        )
        for full in COVARIANCES:
            for found, other in zip(point.predict_f(X, *full), spread.predict_f(X, *full), strict=True):
                assert found.shape == other.shape
                np.testing.assert_allclose(found, other, rtol=1e-13)


def test_float32(walks: Callable) -> None:
    X = walks(4, 5, 2)
    with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
        model = SVGP(
            KERNELS["coregionalized"](), gpflow.likelihoods.Gaussian(), VARIABLES["separate"](), num_latent_gps=3
        )
        mean, cov = model.predict_f(flatten_paths(X))
        assert mean.dtype == cov.dtype == tf.float32
        assert model.elbo((flatten_paths(X), np.ones((4, 2), np.float32))).dtype == tf.float32


def test_residuals_of_each_process(walks: Callable) -> None:
    X, Z = flatten_paths(walks(4, 5, 2)), VARIABLES["shared"]()
    kernel = KERNELS["separate"]()
    expected = [residual_share(each, OrthogonalSignatureFeatures(M), X) for each in kernel.kernels]
    np.testing.assert_allclose(residual_share(kernel, Z, X), np.transpose(expected), rtol=1e-13)
    assert residual_share(KERNELS["shared"](), Z, X).shape == (4,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        largest = max(check_residual(each, OrthogonalSignatureFeatures(M), X) for each in kernel.kernels)
        assert check_residual(kernel, VARIABLES["separate"](), X) == largest


def test_training(walks: Callable, rng: np.random.Generator) -> None:
    """Its check of the residual sees each latent process, too."""
    X, Y = flatten_paths(walks(20, 5, 2)), rng.normal(size=(20, 2))
    model = SVGP(KERNELS["coregionalized"](), gpflow.likelihoods.Gaussian(), VARIABLES["shared"](), num_latent_gps=3)
    before = model.elbo((X, Y))
    options = TrainingOptions(iterations=5, batch_size=8, learning_rate=0.02, progress=False)
    assert len(train(model, (X, Y), options).history) == 3
    assert model.elbo((X, Y)) > before


UNSUITABLE = [
    (SeparateIndependent([SignatureKernel(2), RBF()]), VARIABLES["shared"], "the kernel SquaredExponential"),
    (
        LinearCoregionalization([SignatureKernel(2), SignatureKernel(2) + RBF()], np.ones((2, 2))),
        VARIABLES["shared"],
        "the kernel Sum of SignatureKernel, SquaredExponential",
    ),
    (
        SeparateIndependent(kernels()),
        lambda: OrthogonalSignatureFeatures(M),
        "the kernel SeparateIndependent of.*Shared",
    ),
    (
        SharedIndependent(SignatureKernel(2), 2),
        lambda: SeparateIndependentInducingVariables(
            [OrthogonalSignatureFeatures(M), InducingPoints(np.zeros((M, 10)))]
        ),
        "all inducing variables .* got OrthogonalSignatureFeatures, InducingPoints",
    ),
]


@pytest.mark.parametrize(("kernel", "variables", "message"), UNSUITABLE)
def test_refuses(kernel: gpflow.kernels.Kernel, variables: Callable, message: str, walks: Callable) -> None:
    X, Z = flatten_paths(walks(3, 5, 2)), variables()
    calls = (
        lambda: gpflow.posteriors.get_posterior_class(kernel, Z),
        lambda: gpflow.kullback_leiblers.prior_kl(Z, kernel, np.ones((M, 2)), np.ones((M, 2))),
        lambda: Kuu(Z, kernel),
        lambda: residual_share(kernel, Z, X),
    )
    for call in calls:
        with pytest.raises(TypeError, match=message):
            call()


def test_refuses_numbers_that_do_not_fit(walks: Callable) -> None:
    X, kernel = flatten_paths(walks(3, 5, 2)), SeparateIndependent(kernels())
    two = SeparateIndependentInducingVariables([OrthogonalSignatureFeatures(M)] * 2)
    with pytest.raises(ValueError, match="as many inducing variables as kernels, or one for all, got 2 and 3"):
        residual_share(kernel, two, X)
    uneven = SeparateIndependentInducingVariables([OrthogonalSignatureFeatures(number) for number in (4, 5, 5)])
    with pytest.raises(ValueError, match=r"the same number of features, got \[4, 5\]"):
        residual_share(kernel, uneven, X)


@every_variables
def test_other_inducing_variables_are_gpflows(variables: str) -> None:
    """Our registrations serve every inducing variable in the wrappers: others must see GPflow's."""
    points = [InducingPoints(np.linspace(0, 1, 4)[:, None]) for _ in range(2)]
    Z = (
        SharedIndependentInducingVariables(points[0])
        if variables == "shared"
        else SeparateIndependentInducingVariables(points)
    )
    separate = SeparateIndependent([RBF(), RBF(lengthscales=0.5)])
    mixed = LinearCoregionalization([RBF(), RBF(lengthscales=0.5)], np.eye(2))
    for kernel, expected_class in (
        (separate, gpflow.posteriors.IndependentPosteriorMultiOutput),
        (mixed, gpflow.posteriors.LinearCoregionalizationPosterior),
    ):
        K = np.stack([each(points[0].Z) + 0.1 * np.eye(4) for each in kernel.kernels])
        np.testing.assert_allclose(Kuu(Z, kernel, jitter=0.1), K, rtol=1e-14)
        assert gpflow.posteriors.get_posterior_class(kernel, Z) is expected_class
        q_mu, q_sqrt = np.ones((4, 2)), np.stack([np.eye(4)] * 2)
        kl = gpflow.kullback_leiblers.prior_kl(Z, kernel, q_mu, q_sqrt, whiten=False)
        covariance = K + (gpflow.config.default_jitter() - 0.1) * np.eye(4)
        np.testing.assert_allclose(kl, gpflow.kullback_leiblers.gauss_kl(q_mu, q_sqrt, covariance), rtol=1e-12)
        model = SVGP(kernel, gpflow.likelihoods.Gaussian(), Z, num_latent_gps=2, q_mu=q_mu, q_sqrt=q_sqrt)
        X = np.linspace(0, 1, 3)[:, None]
        for found, expected in zip(
            conditional_of(model, q_sqrt=model.q_sqrt, white=True)(X), model.predict_f(X), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-12)
