"""SignatureKernel with windows, with time and without differencing, against points that NumPy forms one by one."""

from typing import Any

import gpflow
import numpy as np
import oracles
import point_kernels
import pytest
import tensorflow as tf
from comparisons import close
from random_walks import walks

import sigkernel_tf as sk
from sigkernel_tf.gp import (
    InducingSequences,
    OrthogonalSignatureFeatures,
    SigGPDE,
    SignatureKernel,
    flatten_paths,
)

LENGTHSCALES = np.array([0.6, 1.4])
OPTIONS: dict[str, dict[str, Any]] = {
    "points": {"difference": False},
    "windows": {"window": 3, "dilation": 2},
    "strided": {"window": 2, "stride": 3, "difference": False},
    "stride alone": {"stride": 2},
    "centred": {"window": 4, "centre": True, "difference": False},
    "scaled": {"window": 3, "scale": True, "difference": False},
    "centred and scaled": {"window": 3, "dilation": 2, "stride": 2, "centre": True, "scale": True, "difference": False},
    "longer than some": {"window": 5, "dilation": 2, "centre": True},
    "time": {"time_scale": 0.7},
    "time of windows": {"window": 2, "stride": 2, "time_scale": 1.3, "difference": False},
    "absolute time": {"window": 3, "stride": 2, "time_scale": 0.2, "time": "absolute", "difference": False},
    "all": {"window": 2, "dilation": 2, "centre": True, "scale": True, "time_scale": 0.4, "time": "absolute"},
}
STATIC: dict[str, tuple[Any, str, dict[str, float]]] = {
    "linear": (lambda: None, "linear", {}),
    "linear with a variance": (lambda: gpflow.kernels.Linear(variance=1.7), "linear", {"variance": 1.7}),
    "rbf": (
        lambda: gpflow.kernels.RBF(variance=4.0, lengthscales=0.9),
        "rbf",
        {"variance": 4.0, "lengthscale": 0.9},
    ),
    "matern32": (lambda: gpflow.kernels.Matern32(variance=3.0), "matern32", {"variance": 3.0}),
    "rational_quadratic": (lambda: gpflow.kernels.RationalQuadratic(), "rational_quadratic", {}),
}


# Each option with two static kernels, and each of these with five options or so.
CASES = [(name, list(STATIC)[(n + m) % len(STATIC)]) for n, name in enumerate(OPTIONS) for m in (0, 2)]


def ragged(rng: np.random.Generator, lengths: list[int]) -> list[np.ndarray]:
    return [walks(rng, 1, length, 2)[0] for length in lengths]


def expected(options: dict[str, Any], static: str, x: np.ndarray, y: np.ndarray) -> float:
    """The plain kernel of two paths in mpmath."""
    options = dict(options)
    difference = options.pop("difference", True)
    points = [point_kernels.lifted(path, lengthscales=LENGTHSCALES, **options) for path in (x, y)]
    _, name, parameters = STATIC[static]
    p = point_kernels.increments(name, *points, difference=difference, **parameters)
    return oracles.goursat(p, degree=24 if name == "linear" else 14)


@pytest.mark.parametrize(("name", "static"), CASES)
def test_kernel_of_explicit_points(name: str, static: str, rng: np.random.Generator) -> None:
    """Rows of unequal lengths; one path stands still, one is shorter than a window, and one channel may stand still."""
    x, y = ragged(rng, [9, 1, 4]), ragged(rng, [6, 5])
    y[1][:, 1] = 0.3
    kernel = SignatureKernel(
        2, lengthscales=LENGTHSCALES, variance=1.3, static_kernel=STATIC[static][0](), **OPTIONS[name]
    )
    K = 1.3 * np.array([[expected(OPTIONS[name], static, a, b) for b in y] for a in x])
    upper = 1.3 * np.array(
        [[expected(OPTIONS[name], static, a, b) if i <= j else 0.0 for j, b in enumerate(x)] for i, a in enumerate(x)]
    )
    of_x = upper + np.triu(upper, 1).T
    X, Y = flatten_paths(x), flatten_paths(y)
    close(kernel(X, Y), K, 1e-12)
    close(kernel(Y, X), K.T, 1e-12)
    close(kernel(X), of_x, 1e-12)
    close(kernel(X, full_cov=False), np.diag(of_x), 1e-12)
    wider = np.concatenate([X, np.tile(X[:, -2:], 7)], axis=1)  # padding
    close(kernel(wider, Y), kernel(X, Y), 1e-14)
    close(kernel(wider, full_cov=False), kernel(X, full_cov=False), 1e-14)
    norms = np.sqrt(np.outer(np.diag(of_x), [expected(OPTIONS[name], static, b, b) for b in y]) / 1.3)
    normalized = SignatureKernel(
        2, lengthscales=LENGTHSCALES, static_kernel=STATIC[static][0](), normalize=True, **OPTIONS[name]
    )
    close(normalized(X, Y), K / 1.3 / norms, 1e-12)


@pytest.mark.parametrize("static", STATIC)
@pytest.mark.parametrize("name", ["centred and scaled", "all", "time of windows"])
def test_gradients_against_differences(name: str, static: str, rng: np.random.Generator) -> None:
    kernel = SignatureKernel(2, lengthscales=LENGTHSCALES, static_kernel=STATIC[static][0](), **OPTIONS[name])
    X, Y = flatten_paths(ragged(rng, [7, 7])), flatten_paths(ragged(rng, [5, 5, 5]))
    weights = rng.normal(size=(2, 3))

    @tf.function(autograph=False)
    def loss(X: Any, Y: Any) -> tf.Tensor:
        return tf.reduce_sum(weights * kernel(X, Y)) + tf.reduce_sum(kernel(X, full_cov=False))

    inputs, variables = [tf.constant(X), tf.constant(Y)], kernel.trainable_variables
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = loss(*inputs)
    (dX, dY), of_variables = tape.gradient(value, (inputs, variables), unconnected_gradients="zero")
    for gradient, place, array in ((dX, 0, X), (dY, 1, Y)):
        direction = rng.normal(size=array.shape)

        def moved(changed: np.ndarray, place: int = place) -> tf.Tensor:
            return loss(*[tf.constant(changed) if n == place else each for n, each in enumerate(inputs)])

        close(np.sum(gradient * direction), oracles.slope(moved, array, direction), 1e-7)
    for variable, gradient in zip(variables, of_variables, strict=True):

        def changed(value: np.ndarray, variable: tf.Variable = variable) -> tf.Tensor:
            variable.assign(value)
            return loss(*inputs)

        kept = variable.numpy()
        close(gradient, oracles.central_differences(changed, np.array(kept)), 1e-7)
        variable.assign(kept)


@pytest.mark.parametrize("static", ["linear", "matern32"])
def test_constant_windows_have_finite_gradients(static: str, rng: np.random.Generator) -> None:
    """Of a constant window and of a constant channel the deviation is 0, where the square root has no derivative."""
    path = walks(rng, 1, 8, 2)[0]
    path[2:5] = path[2]
    path[:, 1] = 0.1
    kernel = SignatureKernel(2, static_kernel=STATIC[static][0](), **OPTIONS["centred and scaled"])
    X = tf.constant(flatten_paths([path, np.full([8, 2], 0.1)]))
    with tf.GradientTape() as tape:
        tape.watch(X)
        k = kernel(X)
    assert np.isfinite(tape.gradient(k, X)).all()
    assert k.numpy()[1, 1] == pytest.approx(1.0 if static == "linear" else float(oracles.goursat(np.array([[3.0]]))))


def test_single_precision(rng: np.random.Generator) -> None:
    paths = ragged(rng, [9, 3, 20])
    options = OPTIONS["centred and scaled"] | {"time_scale": 0.5}
    expected = SignatureKernel(2, static_kernel=gpflow.kernels.RBF(), **options)(flatten_paths(paths))
    with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
        kernel = SignatureKernel(2, static_kernel=gpflow.kernels.RBF(), **options)
        close(kernel(flatten_paths(paths)), expected, 1e-5)


def test_leading_dimensions_and_unknown_widths(rng: np.random.Generator) -> None:
    kernel = SignatureKernel(2, static_kernel=gpflow.kernels.Matern12(), **OPTIONS["absolute time"])
    X, Y = rng.normal(size=(2, 3, 14)), rng.normal(size=(4, 10))
    K = kernel(X, Y)
    for n in range(2):
        close(K[n], kernel(X[n], Y), 1e-14)
        close(kernel(X)[n], kernel(X[n]), 1e-14)
    traced = tf.function(lambda X, Y: kernel(X, Y), input_signature=[tf.TensorSpec([None, None], tf.float64)] * 2)
    close(traced(X[0], Y), K[0], 1e-14)


def test_channels_are_chosen_before_windows(rng: np.random.Generator) -> None:
    X = rng.normal(size=(3, 7, 4))
    kernel = SignatureKernel(4, channels=[3, 1], lengthscales=LENGTHSCALES, **OPTIONS["all"])
    same = SignatureKernel(2, lengthscales=LENGTHSCALES, **OPTIONS["all"])
    close(kernel(flatten_paths(X)), same(flatten_paths(X[..., [3, 1]])), 1e-15)


def test_static_kernels_see_all_channels_of_points(rng: np.random.Generator) -> None:
    options = {"window": 2, "time_scale": 0.5, "difference": False}
    X = flatten_paths(ragged(rng, [6, 6]))
    relevance = np.array([0.5, 1.0, 2.0, 0.7, 1.1])
    kernel = SignatureKernel(2, static_kernel=gpflow.kernels.RBF(lengthscales=relevance), **options)
    points = [point_kernels.lifted(x.reshape(6, 2), window=2, time_scale=0.5) / relevance for x in X]
    close(kernel(X)[0, 1], oracles.goursat(point_kernels.increments("rbf", *points, difference=False)), 1e-12)
    with pytest.raises(ValueError, match="active_dims from 0 to 4, the channels of the paths"):
        SignatureKernel(2, static_kernel=gpflow.kernels.RBF(active_dims=[5]), **options)


def test_inducing_sequences_are_paths_of_raw_points(rng: np.random.Generator) -> None:
    X, Z = flatten_paths(ragged(rng, [9, 8, 9])), rng.normal(size=(4, 5, 2))
    kernel = SignatureKernel(2, static_kernel=gpflow.kernels.RBF(), **OPTIONS["time of windows"])
    sequences = InducingSequences(Z)
    close(gpflow.covariances.Kuf(sequences, kernel, X), kernel(flatten_paths(Z), X), 1e-15)
    close(gpflow.covariances.Kuu(sequences, kernel), kernel(flatten_paths(Z)), 1e-15)
    model = gpflow.models.SVGP(kernel, gpflow.likelihoods.Gaussian(), sequences)
    with tf.GradientTape() as tape:
        loss = -model.elbo((X, rng.normal(size=(3, 1))))
    assert all(np.isfinite(each).all() for each in tape.gradient(loss, model.trainable_variables))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"difference": False}, "difference"),
        ({"window": 2, "centre": True}, "window and centre"),
        ({"stride": 2}, "stride"),
        ({"scale": True}, "scale"),
        ({"time_scale": 1.0}, "time_scale"),
    ],
)
def test_features_are_refused(options: dict[str, Any], named: str, rng: np.random.Generator) -> None:
    kernel, X = SignatureKernel(2, **options), rng.normal(size=(3, 8))
    for call in (kernel.features, kernel.features_and_covariance, kernel.plain_squared_norms):
        with pytest.raises(TypeError, match=f"a SignatureKernel with {named} not at the default"):
            call(X, 4)
    with pytest.raises(TypeError, match=f"leave {named} out, or keep it"):
        gpflow.covariances.Kuf(OrthogonalSignatureFeatures(4), kernel, X)
    with pytest.raises(ValueError, match=f"level_variances must be None where {named} is not at the default"):
        SignatureKernel(2, level_variances=2, **options)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"window": 0}, ValueError, "window must be at least 1"),
        ({"dilation": 1.5}, TypeError, "dilation must be an int"),
        ({"stride": True}, TypeError, "stride must be an int"),
        ({"centre": True}, ValueError, "centre=True needs a window of at least 2"),
        ({"scale": "no"}, TypeError, "scale must be True or False"),
        ({"difference": 0}, TypeError, "difference must be True or False"),
        ({"time": "relative to me", "time_scale": 1.0}, ValueError, 'time must be "relative" or "absolute"'),
        ({"time": "absolute"}, ValueError, 'time="absolute" needs a time_scale'),
        ({"time_scale": -1.0}, ValueError, "time_scale must be positive"),
        ({"time_scale": [1.0, 2.0]}, ValueError, "time_scale must be one number"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        SignatureKernel(2, **options)


def test_the_defaults_change_nothing(rng: np.random.Generator) -> None:
    X = rng.normal(size=(3, 5, 2))
    kernel = SignatureKernel(2, window=1, dilation=3, time_scale=None)
    np.testing.assert_array_equal(kernel(flatten_paths(X)), sk.signature_kernel_gram(X - X[:, :1] * 0))
    assert kernel.features(flatten_paths(X), 3).shape == (3, 3)
    assert isinstance(SigGPDE(2, 4, likelihood=gpflow.likelihoods.Gaussian(), num_data=3).kernel, SignatureKernel)
