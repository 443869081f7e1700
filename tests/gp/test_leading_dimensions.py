"""Leading batch dimensions of kernels, covariances and predictions, against loops over them."""

from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from gpflow.covariances import Kuf
from gpflow.inducing_variables import (
    InducingPoints,
    SeparateIndependentInducingVariables,
    SharedIndependentInducingVariables,
)
from gpflow.kernels import RBF, LinearCoregionalization, Matern32, SeparateIndependent, SharedIndependent
from gpflow.models import GPR, SVGP
from model_comparison import COVARIANCES, randomize

from sigkernel_tf.gp import (
    InducingSequences,
    InducingTensors,
    OrthogonalSignatureFeatures,
    SignatureKernel,
    TruncatedSignatureKernel,
    check_residual,
    flatten_paths,
    predict_in_batches,
    residual_share,
    sample_posterior,
)
from sigkernel_tf.gp.kernels import tiles

LATENT = 3
KERNELS: dict[str, Callable] = {
    "signature": lambda: SignatureKernel(2, lengthscales=[0.8, 1.7], variance=0.6),
    "normalized_levels": lambda: SignatureKernel(2, level_variances=[0.7, 1.3, 0.0, 0.4], normalize=True),
    "tiles": lambda: SignatureKernel(2, static_kernel=Matern32(lengthscales=0.9)),
    "words": lambda: TruncatedSignatureKernel(2, 3, normalize=True),
    "sums": lambda: TruncatedSignatureKernel(2, 3, explicit=False, discretization_order=1),
}
ORTHOGONAL = lambda kernel, X: OrthogonalSignatureFeatures(6)  # noqa: E731
TENSORS = lambda kernel, X: InducingTensors.from_data(X, 4, kernel)  # noqa: E731
SEQUENCES = lambda kernel, X: InducingSequences.from_data(X, 4, kernel)  # noqa: E731
PAIRS = {
    "orthogonal": ("signature", ORTHOGONAL),
    "orthogonal_levels": ("normalized_levels", ORTHOGONAL),
    "tensors": ("words", TENSORS),
    "tensors_by_sums": ("sums", TENSORS),
    "sequences": ("signature", SEQUENCES),
    "sequences_of_tiles": ("tiles", SEQUENCES),
    "points": ("signature", lambda kernel, X: InducingPoints(X[:4])),
}
every_pair = pytest.mark.parametrize("pair", PAIRS)


@pytest.fixture
def batch(walks: Callable) -> np.ndarray:
    """[2, 1, 3, 8]: two sets of three paths of four points, with one more leading dimension."""
    return flatten_paths(walks(6, 4, 2)).reshape(2, 1, 3, 8)


def looped(function: Callable, X: np.ndarray) -> list[np.ndarray]:
    """The results of each set of rows, put together by sets."""
    results = [function(x) for x in X.reshape(-1, *X.shape[-2:])]
    return [np.reshape(part, [*X.shape[:-2], *part[0].shape]) for part in zip(*results, strict=True)]


@every_pair
def test_covariances_with_inducing_variables(pair: str, batch: np.ndarray) -> None:
    name, variables = PAIRS[pair]
    kernel = KERNELS[name]()
    Z = variables(kernel, batch.reshape(-1, 8))
    found = Kuf(Z, kernel, batch)
    assert found.shape == (Z.num_inducing, 2, 1, 3)
    for at in np.ndindex(2, 1):
        np.testing.assert_allclose(found[(slice(None), *at)], Kuf(Z, kernel, batch[at]), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("pair", "options"),
    [
        ("orthogonal", {}),
        ("orthogonal_levels", {"q_diag": True}),
        ("tensors", {}),
        ("sequences", {"q_diag": True}),
        ("sequences", {"whiten": False}),
        ("points", {}),
    ],
    ids=str,
)
def test_predictions(pair: str, options: dict, batch: np.ndarray, rng: np.random.Generator) -> None:
    name, variables = PAIRS[pair]
    kernel = KERNELS[name]()
    Z = variables(kernel, batch.reshape(-1, 8))
    model = randomize(SVGP(kernel, gpflow.likelihoods.Gaussian(), Z, num_latent_gps=LATENT, **options), rng)
    ways = [model.predict_f]
    if pair != "points":  # of these GPflow's own posterior takes leading dimensions only where it is not cached
        ways.append(model.posterior().predict_f)
    for full in COVARIANCES:
        if pair == "points" and full == (True, True):  # nor does it give these covariances then
            continue
        for way in ways:
            expected_parts = looped(lambda x, way=way, full=full: way(x, *full), batch)
            for found, expected in zip(way(batch, *full), expected_parts, strict=True):
                assert found.shape == expected.shape
                np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


def kernels_apart() -> list[SignatureKernel]:
    return [SignatureKernel(2, lengthscales=scale) for scale in (0.7, 1.0, 1.6)]


MULTIOUTPUT = {
    "shared": lambda: SharedIndependent(SignatureKernel(2), LATENT),
    "separate": lambda: SeparateIndependent(kernels_apart()),
    "mixed": lambda: LinearCoregionalization(kernels_apart(), np.array([[0.3, -1.2, 0.7], [1.1, 0.4, -0.2]])),
}


@pytest.mark.parametrize(
    ("kernel", "separate", "q"),
    [
        ("shared", False, {}),
        ("separate", True, {"q_diag": True}),
        ("separate", False, None),
        ("mixed", False, {}),
        ("mixed", True, None),
    ],
    ids=str,
)
def test_predictions_of_several_outputs(
    kernel: str, separate: bool, q: dict | None, batch: np.ndarray, rng: np.random.Generator
) -> None:
    Z = SharedIndependentInducingVariables(OrthogonalSignatureFeatures(6))
    if separate:
        Z = SeparateIndependentInducingVariables([OrthogonalSignatureFeatures(6) for _ in range(LATENT)])
    model = randomize(
        SVGP(MULTIOUTPUT[kernel](), gpflow.likelihoods.Gaussian(), Z, num_latent_gps=LATENT, **(q or {})), rng
    )
    for full in COVARIANCES:

        def predict(X: np.ndarray, full: tuple[bool, bool] = full) -> tuple[tf.Tensor, tf.Tensor]:
            if q is not None:
                return model.predict_f(X, *full)
            given = dict(zip(("full_cov", "full_output_cov"), full, strict=True))  # u is known: no factor at all
            return gpflow.conditionals.conditional(X, Z, model.kernel, model.q_mu, white=True, **given)

        for found, expected in zip(predict(batch), looped(predict, batch), strict=True):
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_gpflows_posterior_of_several_outputs(batch: np.ndarray, rng: np.random.Generator) -> None:
    kernel = TruncatedSignatureKernel(2, 2)
    Z = SharedIndependentInducingVariables(SEQUENCES(kernel, batch.reshape(-1, 8)))
    kernel = SharedIndependent(kernel, LATENT)
    model = randomize(SVGP(kernel, gpflow.likelihoods.Gaussian(), Z, num_latent_gps=LATENT), rng)
    for found, expected in zip(model.predict_f(batch), looped(model.predict_f, batch), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_a_dense_model_and_a_sum_of_kernels(batch: np.ndarray, rng: np.random.Generator) -> None:
    """With a covariate beside the path, and a static kernel's tiles."""
    rows = np.concatenate([rng.normal(size=(2, 1, 3, 1)), batch], axis=-1)
    static = SignatureKernel(2, static_kernel=Matern32(), active_dims=slice(1, None), normalize=True)
    kernel = RBF(active_dims=[0]) * SignatureKernel(2, active_dims=slice(1, None)) + static
    X = rows.reshape(-1, 9)
    model = GPR((X, rng.normal(size=(len(X), 1))), kernel, noise_variance=0.1)
    for full_cov in (False, True):
        predict = lambda X, full_cov=full_cov: model.predict_f(X, full_cov=full_cov)  # noqa: E731
        for found, expected in zip(predict(rows), looped(predict, rows), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


def test_samples_and_y(batch: np.ndarray, rng: np.random.Generator) -> None:
    Z = OrthogonalSignatureFeatures(6)
    model = randomize(SVGP(SignatureKernel(2), gpflow.likelihoods.Gaussian(), Z, num_latent_gps=LATENT), rng)
    for full_cov in (False, True):
        assert model.predict_f_samples(batch, 5, full_cov=full_cov).shape == (2, 1, 5, 3, LATENT)
    for found, expected in zip(model.predict_y(batch), looped(model.predict_y, batch), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["normalized_levels", "tiles", "sums"])
def test_gradients_are_those_of_differences(
    name: str, batch: np.ndarray, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a function that knows no size, by the paths and the lengthscales."""
    monkeypatch.setattr(tiles, "NUMBERS_AT_ONCE", 400)  # several tiles in each set
    kernel = KERNELS[name]()
    X, by_lengthscale = tf.Variable(batch), kernel.lengthscales.unconstrained_variable

    @tf.function(input_signature=[tf.TensorSpec([None] * 4, tf.float64)], autograph=False)
    def value_and_slopes(X: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(X)
            value = tf.reduce_sum(tf.sin(kernel(X))) + tf.reduce_sum(kernel(X, full_cov=False) ** 2)
        return value, tape.gradient(value, [X, by_lengthscale])

    value, slopes = value_and_slopes(X)
    by_loop = [value_and_slopes(batch[at][None, None]) for at in np.ndindex(2, 1)]
    np.testing.assert_allclose(value, sum(of_set for of_set, _ in by_loop), rtol=1e-12)
    h = 1e-4
    for variable, slope in zip((X, by_lengthscale), slopes, strict=True):
        direction, ends = rng.normal(size=variable.shape), []
        for by in (h, -2 * h):
            variable.assign_add(by * direction)
            ends.append(value_and_slopes(X)[0])
        variable.assign_add(h * direction)
        np.testing.assert_allclose(
            tf.reduce_sum(slope * direction), (ends[0] - ends[1]) / (2 * h), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("name", ["signature", "tiles", "sums"])
def test_nothing_in_the_leading_dimensions_and_in_the_sets(name: str, batch: np.ndarray) -> None:
    kernel = KERNELS[name]()
    of_one = tf.function(kernel.K, input_signature=[tf.TensorSpec([None, None, None], tf.float64)], autograph=False)
    for X in (batch[:0, 0], batch[:, 0, :0]):
        sets, rows, _ = X.shape
        assert kernel(X).shape == of_one(X).shape == (sets, rows, rows)
        assert kernel(X, full_cov=False).shape == (sets, rows)
        assert kernel(X, batch[0]).shape == (sets, rows, 1, 3)


def test_float32(batch: np.ndarray) -> None:
    for name, make in KERNELS.items():
        expected = make()(batch), make()(batch, batch[0])
        with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
            kernel, X = make(), batch.astype(np.float32)
            for found, wanted in zip((kernel(X), kernel(X, X[0])), expected, strict=True):
                assert found.dtype == tf.float32
                np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5, err_msg=name)


def test_features_and_norms(batch: np.ndarray) -> None:
    kernel, truncated = KERNELS["normalized_levels"](), KERNELS["sums"]()
    functions = {
        "features": lambda X: (kernel.features(X, 5),),
        "both": lambda X: kernel.features_and_covariance(X, 5, full_cov=True),
        "plain": lambda X: kernel.plain_squared_norms(X, 5),
        "truncated": lambda X: (truncated.features(X), truncated.level_norms(X)),
    }
    for name, function in functions.items():
        for found, expected in zip(function(batch), looped(function, batch), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12, err_msg=name)


def test_where_leading_dimensions_have_no_meaning(batch: np.ndarray) -> None:
    """There an array of rank 3 is most likely of paths that were not flattened."""
    kernel, Z = SignatureKernel(2), OrthogonalSignatureFeatures(6)
    model = SVGP(kernel, gpflow.likelihoods.Gaussian(), Z)
    for call in (
        lambda X: predict_in_batches(model, X),
        lambda X: predict_in_batches(model, iter([X])),
        lambda X: sample_posterior(model, X),
        lambda X: check_residual(kernel, Z, X),
        lambda X: residual_share(kernel, Z, X),
    ):
        with pytest.raises(ValueError, match=r"X must have rank 2, .*got shape \(1, 3, 8\): .*flatten_paths\(X\)"):
            call(batch[0])
