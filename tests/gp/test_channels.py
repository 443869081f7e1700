"""Kernels of chosen channels and of paths that stand beside other covariates in one row."""

from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from gpflow.kernels import RBF

import sigkernel_tf as sk
from sigkernel_tf.gp import OrthogonalSignatureFeatures, SigGPDE, SignatureKernel, flatten_paths


@pytest.mark.parametrize("channels", [[0], [2, 0], (1, 2), np.array([0, 1, 2])])
@pytest.mark.parametrize("options", [{}, {"normalize": True, "level_variances": [0.7, 2.0, 0.4]}])
def test_the_kernel_sees_the_chosen_channels_in_their_order(channels: list, options: dict, walks: Callable) -> None:
    X, Y = walks(4, 6, 3), walks(3, 5, 3)
    options = {"lengthscales": np.linspace(0.8, 1.7, len(channels)), "variance": 1.4, **options}
    kernel = SignatureKernel(3, channels=channels, **options)
    plain = SignatureKernel(len(channels), **options)
    assert kernel.num_channels_seen == len(channels)
    x, y = flatten_paths(X), flatten_paths(Y)
    chosen, chosen_y = (flatten_paths(paths[..., list(channels)]) for paths in (X, Y))
    np.testing.assert_array_equal(kernel(x, y), plain(chosen, chosen_y))
    np.testing.assert_array_equal(kernel(x), plain(chosen))
    np.testing.assert_array_equal(kernel(x, full_cov=False), plain(chosen, full_cov=False))
    np.testing.assert_array_equal(kernel.features(x, 9), plain.features(chosen, 9))


def test_words_are_over_the_chosen_channels(walks: Callable) -> None:
    X = walks(4, 6, 3)
    model = SigGPDE(3, 7, likelihood=gpflow.likelihoods.Gaussian(), channels=[2, 1])
    S = gpflow.covariances.Kuf(model.inducing_variable, model.kernel, flatten_paths(X))
    assert sk.words(model.kernel.num_channels_seen, 7)[2] == (1,)
    np.testing.assert_allclose(S[2], X[:, -1, 1] - X[:, 0, 1], rtol=1e-12)


def test_sums_and_products_over_channels(walks: Callable) -> None:
    """Each part sees its own channels; with one channel a kernel depends only on the end points."""
    X = walks(5, 6, 3)
    x = flatten_paths(X)
    first, second = SignatureKernel(3, channels=[0]), SignatureKernel(3, channels=[1, 2], lengthscales=[0.7, 1.2])
    alone = (
        SignatureKernel(1)(flatten_paths(X[..., :1])),
        SignatureKernel(2, lengthscales=[0.7, 1.2])(flatten_paths(X[..., 1:])),
    )
    np.testing.assert_allclose((first + second)(x), alone[0] + alone[1], rtol=1e-14)
    np.testing.assert_allclose((first * second)(x), alone[0] * alone[1], rtol=1e-14)
    diagonal = np.diag(alone[0]) * np.diag(alone[1])
    np.testing.assert_allclose((first * second)(x, full_cov=False), diagonal, rtol=1e-12)


@pytest.mark.parametrize("active_dims", [slice(1, None), list(range(1, 13)), np.arange(1, 13)], ids=["slice", "l", "a"])
def test_a_path_beside_a_covariate(active_dims: slice | list, walks: Callable, rng: np.random.Generator) -> None:
    X, covariate = walks(5, 6, 2), rng.normal(size=(5, 1))
    rows = np.concatenate([covariate, flatten_paths(X)], axis=1)
    path_kernel = SignatureKernel(2, active_dims=active_dims, lengthscales=[0.8, 1.5])
    alone = SignatureKernel(2, lengthscales=[0.8, 1.5])(flatten_paths(X))
    np.testing.assert_array_equal(path_kernel(rows), alone)
    np.testing.assert_array_equal(
        path_kernel(rows, rows[:2]), SignatureKernel(2, lengthscales=[0.8, 1.5])(flatten_paths(X), flatten_paths(X[:2]))
    )
    product, total = RBF(active_dims=[0]) * path_kernel, RBF(active_dims=[0]) + path_kernel
    np.testing.assert_allclose(product(rows), RBF()(covariate) * alone, rtol=1e-14)
    np.testing.assert_allclose(total(rows, full_cov=False), 1.0 + np.diag(alone), rtol=1e-12)
    model = gpflow.models.GPR((rows, rng.normal(size=(5, 1))), product)
    loss = model.training_loss()
    gpflow.optimizers.Scipy().minimize(model.training_loss, model.trainable_variables, options={"maxiter": 3})
    assert model.training_loss() < loss


def test_orthogonal_features_of_a_path_beside_a_covariate(walks: Callable, rng: np.random.Generator) -> None:
    X, rows = walks(5, 6, 2), rng.normal(size=(5, 13))
    rows[:, 1:] = flatten_paths(X)
    models = [
        gpflow.models.SVGP(kernel, gpflow.likelihoods.Gaussian(), OrthogonalSignatureFeatures(7))
        for kernel in (SignatureKernel(2, active_dims=slice(1, None)), SignatureKernel(2))
    ]
    for model in models:
        model.q_mu.assign(np.linspace(-1, 1, 7)[:, None])
    for full_cov in (False, True):
        found = models[0].predict_f(rows, full_cov)
        for result, expected in zip(found, models[1].predict_f(flatten_paths(X), full_cov), strict=True):
            np.testing.assert_array_equal(result, expected)


def test_paths_of_other_lengths_beside_a_covariate(walks: Callable) -> None:
    """X and X2 may differ in width with a slice, as without active_dims."""
    X, Y = walks(3, 6, 2), walks(2, 4, 2)
    x, y = (np.pad(flatten_paths(paths), [(0, 0), (1, 0)]) for paths in (X, Y))
    kernel = SignatureKernel(2, active_dims=slice(1, None))
    np.testing.assert_array_equal(kernel(x, y), SignatureKernel(2)(flatten_paths(X), flatten_paths(Y)))


def test_active_dims_can_be_set_later(walks: Callable) -> None:
    X, kernel = walks(3, 6, 2), SignatureKernel(2)
    kernel.active_dims = slice(0, 6)
    np.testing.assert_array_equal(kernel(flatten_paths(X)), SignatureKernel(2)(flatten_paths(X[:, :3])))


@pytest.mark.parametrize(
    ("active_dims", "message"),
    [
        (
            slice(1, None),
            r"active_dims=slice\(1, None, None\) picks 11 of the 12 columns of X, expected a",
        ),
        (slice(12, None), "picks 0 of the 12 columns"),
        ([10, 11, 12, 13], r"active_dims asks for column 13 of X, got shape \(3, 12\)"),
    ],
)
def test_columns_that_do_not_fit(active_dims: slice | list, message: str, walks: Callable) -> None:
    X, kernel = flatten_paths(walks(3, 6, 2)), SignatureKernel(2, active_dims=active_dims)
    for call in (lambda: kernel(X), lambda: kernel(X, full_cov=False), lambda: kernel.features(X, 3)):
        with pytest.raises(ValueError, match=message):
            call()


def test_columns_that_do_not_fit_and_are_unknown_while_tracing(walks: Callable) -> None:
    kernel = SignatureKernel(2, active_dims=slice(1, None))
    traced = tf.function(lambda X: kernel(X), input_signature=[tf.TensorSpec([None, None], tf.float64)])
    assert traced(np.zeros((3, 13))).shape == (3, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="width of X must be a positive multiple"):
        traced(np.zeros((3, 12)))


def test_a_channel_by_itself_is_exact_on_a_path_that_goes_back() -> None:
    """32 unit steps up and 32 down; a sweep gives -1.2e37."""
    steps = np.concatenate([np.arange(33.0), np.arange(31.0, -1, -1)])
    X = flatten_paths(np.stack([steps, np.zeros_like(steps)], axis=1)[None])
    for normalize in (False, True):
        kernel = SignatureKernel(2, channels=[0], normalize=normalize)
        assert kernel(X)[0, 0] == kernel(X, X)[0, 0] == kernel(X, full_cov=False)[0] == 1
