"""SignatureKernel: values, gradients, shapes, and what it refuses."""

from collections.abc import Callable

import gpflow
import numpy as np
import oracles
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from gpflow.utilities import positive
from scipy import special

import sigkernel_tf as sk
from sigkernel_tf.gp import SignatureKernel, TruncatedSignatureKernel, flatten_paths

DEPTH = 9  # beyond it the walks' signatures are below 1e-9


@pytest.mark.parametrize("lengthscales", [1.5, [0.8, 2.0]])
@pytest.mark.parametrize("normalize", [False, True])
def test_matches_inner_products_of_signatures(
    lengthscales: float | list[float], normalize: bool, walks: Callable, numpy_signature: Callable
) -> None:
    X, Y = walks(4, 6, 2), walks(3, 5, 2)
    kernel = SignatureKernel(2, lengthscales=lengthscales, variance=1.7, normalize=normalize)
    S, T = (numpy_signature(paths / np.asarray(lengthscales), DEPTH) for paths in (X, Y))
    if normalize:
        S, T = (features / np.linalg.norm(features, axis=1, keepdims=True) for features in (S, T))
    x, y = flatten_paths(X), flatten_paths(Y)
    np.testing.assert_allclose(kernel(x, y), 1.7 * S @ T.T, rtol=1e-7)
    np.testing.assert_allclose(kernel(x), 1.7 * S @ S.T, rtol=1e-7)
    np.testing.assert_allclose(kernel(x, full_cov=False), 1.7 * np.sum(S**2, axis=1), rtol=1e-7)


@pytest.mark.parametrize("normalize", [False, True])
def test_one_channel_depends_on_the_end_points_alone(normalize: bool, walks: Callable) -> None:
    """In one dimension k(x, y) = I0(2 sqrt(Δx Δy)), J0 for a negative product."""
    X, Y = walks(4, 6, 1, scale=2.0), walks(3, 5, 1, scale=2.0)

    def closed_form(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        p = np.outer(a, b)
        root = 2 * np.sqrt(np.abs(p))
        return np.where(p > 0, special.i0(root), special.j0(root))

    dx, dy = ((paths[:, -1, 0] - paths[:, 0, 0]) / 0.5 for paths in (X, Y))
    expected = closed_form(dx, dy)
    if normalize:
        norms = [np.sqrt(np.diag(closed_form(d, d))) for d in (dx, dy)]
        expected = expected / np.outer(*norms)
    kernel = SignatureKernel(1, lengthscales=0.5, normalize=normalize)
    np.testing.assert_allclose(kernel(flatten_paths(X), flatten_paths(Y)), expected, rtol=1e-10)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_symmetric_positive_and_consistent_with_its_diagonal(
    normalize: bool, num_channels: int, walks: Callable
) -> None:
    kernel = SignatureKernel(num_channels, variance=0.6, normalize=normalize)
    X, Y = flatten_paths(walks(40, 8, num_channels)), flatten_paths(walks(5, 3, num_channels))
    K = kernel(X).numpy()
    np.testing.assert_array_equal(K, K.T)
    assert np.linalg.eigvalsh(K).min() > -1e-9 * np.trace(K)
    np.testing.assert_allclose(np.diag(K), kernel(X, full_cov=False), rtol=1e-12)
    np.testing.assert_allclose(K, kernel(X, X), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(kernel(X, Y), tf.transpose(kernel(Y, X)), rtol=1e-12, atol=1e-14)
    if normalize:
        np.testing.assert_allclose(np.diag(K), 0.6, rtol=1e-14)


@pytest.mark.parametrize("solver", [sk.PowerSeries(), sk.FiniteDifference(1)], ids=repr)
@pytest.mark.parametrize("normalize", [False, True])
def test_gradients_match_central_differences(
    solver: sk.Solver, normalize: bool, walks: Callable, rng: np.random.Generator
) -> None:
    X, Y = flatten_paths(walks(3, 5, 2)), flatten_paths(walks(4, 3, 2))
    kernel = SignatureKernel(2, lengthscales=[0.9, 1.6], variance=1.3, normalize=normalize, solver=solver)

    def total() -> tf.Tensor:
        gram = tf.reduce_sum(tf.sin(kernel(X))) + tf.reduce_sum(tf.sin(kernel(X, Y)))
        return gram + tf.reduce_sum(tf.sin(kernel(X, full_cov=False))) + tf.reduce_sum(tf.sin(kernel.features(X, 5)))

    for parameter in (kernel.lengthscales, kernel.variance):
        value, direction = np.array(parameter), rng.normal(size=parameter.shape)
        with tf.GradientTape() as tape:
            result = total()
        # d/d parameter, from the gradient of the unconstrained variable: both through one softplus
        unconstrained = tape.gradient(result, parameter.unconstrained_variable)
        gradient = unconstrained / special.expit(parameter.unconstrained_variable.numpy())

        def at(array: np.ndarray, parameter: gpflow.Parameter = parameter) -> float:
            parameter.assign(array)
            return float(total())

        expected = oracles.slope(at, value, direction)
        parameter.assign(value)
        np.testing.assert_allclose(np.sum(gradient * direction), expected, atol=1e-7 * max(1, abs(expected)))


def test_shared_lengthscale_is_one_parameter(walks: Callable) -> None:
    X = flatten_paths(walks(4, 5, 3))
    shared = SignatureKernel(3, lengthscales=0.8)
    assert shared.lengthscales.shape == ()
    np.testing.assert_allclose(shared(X), SignatureKernel(3, lengthscales=[0.8] * 3)(X), rtol=1e-14)
    assert [p.shape.as_list() for p in shared.trainable_parameters] == [[], []]


def test_padding_changes_nothing(walks: Callable) -> None:
    X = [walks(1, length, 2)[0] for length in (7, 3, 1)]
    kernel = SignatureKernel(2)
    together = flatten_paths(X)
    assert together.shape == (3, 14)
    K = kernel(together).numpy()
    for i, first in enumerate(X):
        for j, second in enumerate(X):
            alone = kernel(flatten_paths(first[None]), flatten_paths(second[None]))
            np.testing.assert_allclose(K[i, j], alone[0, 0], rtol=1e-13)


def test_a_single_point_has_kernel_one(walks: Callable) -> None:
    kernel = SignatureKernel(2, variance=3.0)
    point, paths = flatten_paths(walks(2, 1, 2)), flatten_paths(walks(3, 4, 2))
    np.testing.assert_allclose(kernel(point), np.full((2, 2), 3.0), rtol=1e-15)
    np.testing.assert_allclose(kernel(point, paths), np.full((2, 3), 3.0), rtol=1e-15)


def test_sums_and_products_of_kernels(walks: Callable) -> None:
    X, Y = flatten_paths(walks(4, 5, 2)), flatten_paths(walks(3, 4, 2))
    first, second = SignatureKernel(2, lengthscales=0.7), SignatureKernel(2, lengthscales=1.9)
    np.testing.assert_allclose((first + second)(X, Y), first(X, Y) + second(X, Y), rtol=1e-14)
    np.testing.assert_allclose((first * second)(X, full_cov=False), first.K_diag(X) * second.K_diag(X), rtol=1e-14)


@pytest.mark.parametrize("normalize", [False, True])
def test_empty_batches(normalize: bool, walks: Callable) -> None:
    kernel = SignatureKernel(2, normalize=normalize)
    X, nothing = flatten_paths(walks(3, 4, 2)), np.zeros((0, 6))
    assert kernel(nothing).shape == (0, 0)
    assert kernel(X, nothing).shape == (3, 0)
    assert kernel(nothing, full_cov=False).shape == (0,)
    assert kernel.features(nothing, 4).shape == (0, 4)


@pytest.mark.parametrize("shape", [[None, None], [3, None], [None, 8], None])
def test_shapes_unknown_while_tracing(shape: list[int | None] | None, walks: Callable) -> None:
    kernel = SignatureKernel(2)
    X = flatten_paths(walks(3, 4, 2))

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float64)])
    def traced(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return kernel(x), kernel(x, full_cov=False), kernel.features(x, 5)

    for result, expected in zip(traced(X), (kernel(X), kernel.K_diag(X), kernel.features(X, 5)), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-14)


def test_float32(walks: Callable) -> None:
    X = walks(5, 6, 2)
    expected = SignatureKernel(2, lengthscales=0.9)(flatten_paths(X))
    with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
        kernel = SignatureKernel(2, lengthscales=0.9)
        flat = flatten_paths(X)
        assert flat.dtype == np.float32
        K = kernel(flat)
    assert K.dtype == tf.float32
    np.testing.assert_allclose(K, expected, rtol=1e-5)


def test_coarse_solver_is_used(walks: Callable) -> None:
    X = flatten_paths(walks(3, 6, 2, scale=2.0))
    exact, coarse = SignatureKernel(2)(X), SignatureKernel(2, solver=sk.FiniteDifference(0))(X)
    fine = SignatureKernel(2, solver=sk.FiniteDifference(6))(X)
    assert np.abs(coarse - exact).max() > 100 * np.abs(fine - exact).max() > 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_channels": 0}, ValueError, "num_channels must be at least 1, got 0"),
        ({"num_channels": 2.0}, TypeError, r"num_channels must be an int, got 2\.0"),
        ({"num_channels": True}, TypeError, "num_channels must be an int, got True"),
        (
            {"num_channels": 3, "lengthscales": [1.0, 1.0]},
            ValueError,
            r"a scalar.*or have shape \[3\].*got shape \(2,\)",
        ),
        ({"num_channels": 2, "lengthscales": [[1.0, 1.0]]}, ValueError, r"got shape \(1, 2\)"),
        ({"num_channels": 2, "solver": "power_series"}, TypeError, "solver must be a PowerSeries.*got 'power_series'"),
        ({"num_channels": 2, "active_dims": [0, 1, 2]}, ValueError, "a multiple of num_channels=2 of them, got 3.*cha"),
        ({"num_channels": 3, "channels": []}, ValueError, r"one or more different channels from 0 to 2.*got \(\)"),
        ({"num_channels": 3, "channels": [0, 0]}, ValueError, r"different channels.*got \(0, 0\)"),
        ({"num_channels": 3, "channels": [3]}, ValueError, r"from 0 to 2 \(num_channels=3\), got \(3,\)"),
        ({"num_channels": 3, "channels": [-1]}, ValueError, r"got \(-1,\)"),
        ({"num_channels": 3, "channels": 1}, TypeError, r"sequence of integers, got 1: for instance channels=\[0, 2\]"),
        ({"num_channels": 3, "channels": "01"}, TypeError, "sequence of integers, got '01'"),
        ({"num_channels": 3, "channels": [0.0]}, TypeError, r"channels must be integers, got 0\.0"),
        (
            {"num_channels": 3, "channels": [0, 2], "lengthscales": [1.0, 1.0, 1.0]},
            ValueError,
            r"have shape \[2\].*\(channels=\(0, 2\)\), got shape \(3,\)",
        ),
    ],
)
def test_constructor_refuses(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SignatureKernel(**arguments)


@pytest.mark.parametrize("kernel", [SignatureKernel, TruncatedSignatureKernel])
@pytest.mark.parametrize("name", ["lengthscales", "variance"])
@pytest.mark.parametrize("value", [-1.0, 0.0, np.nan, np.inf, np.float32(-2.0)])
def test_parameters_must_be_positive(kernel: type, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be positive and finite, got {value}: for instance {name}=1.0"):
        kernel(2, **{name: value})


@pytest.mark.parametrize("name", ["lengthscales", "variance"])
def test_parameters_must_be_numbers(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} must be a number or an array of numbers, got 'a'"):
        SignatureKernel(2, **{name: "a"})


def test_parameters_with_priors_are_taken_as_they_are() -> None:
    prior = tfp.distributions.LogNormal(np.float64(0.0), np.float64(1.0))
    kernel = SignatureKernel(2, lengthscales=gpflow.Parameter([1.0, 2.0], prior=prior, transform=positive()))
    assert kernel.lengthscales.prior is prior
    np.testing.assert_allclose(kernel.lengthscales, [1.0, 2.0])


def test_lists_of_numbers_are_taken(walks: Callable) -> None:
    X = flatten_paths(walks(3, 4, 2))
    kernel = SignatureKernel(2)
    np.testing.assert_array_equal(kernel(X.tolist()), kernel(X))
    np.testing.assert_array_equal(kernel(X.tolist(), X[:2].tolist()), kernel(X, X[:2]))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros((4, 7)), ValueError, r"width of X must be a positive multiple of num_channels=2.*got shape \(4, 7\)"),
        (np.zeros((4, 0)), ValueError, r"width of X must be a positive multiple.*got shape \(4, 0\)"),
        (np.zeros((4, 3, 7)), ValueError, r"width of X must be a positive multiple.*got shape \(4, 3, 7\)"),
        (np.zeros(4), ValueError, r"must be flattened paths of rank 2 or more, .*got shape \(4,\): .*flatten_paths"),
        (np.zeros((4, 6), np.float32), TypeError, "dtype, float64, got float32: flatten_paths"),
        (np.zeros((4, 6), np.int64), TypeError, "dtype, float64, got int64"),
    ],
)
def test_refuses_inputs(X: np.ndarray, error: type[Exception], message: str) -> None:
    kernel = SignatureKernel(2)
    with pytest.raises(error, match=message):
        kernel(X)
    with pytest.raises(error, match=message):
        kernel(X, full_cov=False)
    with pytest.raises(error, match=message):
        kernel.features(X, 3)
    with pytest.raises(error, match=message.replace("of X", "of X2")):
        kernel(np.zeros((4, 6)), X)


@pytest.mark.parametrize("width", [0, 7])
def test_refuses_widths_unknown_while_tracing(width: int) -> None:
    kernel = SignatureKernel(2)
    traced = tf.function(kernel.K_diag, input_signature=[tf.TensorSpec([None, None], tf.float64)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="width of X must be a positive multiple"):
        traced(tf.zeros([4, width], tf.float64))


def test_refuses_a_diagonal_between_two_sets(walks: Callable) -> None:
    X = flatten_paths(walks(3, 4, 2))
    with pytest.raises(ValueError, match="diagonal of K\\(X, X\\), got X2 as well"):
        SignatureKernel(2)(X, X, full_cov=False)


def test_nan_is_refused(walks: Callable) -> None:
    X = flatten_paths(walks(3, 4, 2))
    X[1, 2] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError):
        SignatureKernel(2)(X)


# Along a straight line, back, and on to its start: k(x, x) = 1, and -4.16 by the coarse scheme.
BACK_TO_THE_START = np.array([[-1.0, -1.0], [1.0, -1.0], [0.0, -1.0], [-1.0, -1.0]])


@pytest.mark.parametrize("traced", [False, True])
def test_a_negative_norm_is_an_error_where_normalizing(traced: bool, walks: Callable) -> None:
    X = flatten_paths(np.concatenate([walks(2, 4, 2), BACK_TO_THE_START[None]]))
    coarse = sk.FiniteDifference()
    assert SignatureKernel(2, solver=coarse)(X, full_cov=False)[2] < -4
    kernel = SignatureKernel(2, solver=coarse, normalize=True)
    message = r"normalize=True needs k\(x, x\) > 0.*PowerSeries\(\) or a higher dyadic_order(.|\n)*-4\.15(.|\n)*\b2\b"
    functions = [
        kernel,
        lambda X: kernel(X, X[:1]),
        lambda X: kernel(X[:1], X),
        lambda X: kernel.features(X, 3),
        lambda X: kernel.features_and_covariance(X, 3, full_cov=True),
        lambda X: kernel.features_and_covariance(X, 3),
        lambda X: kernel(X[None]),
        lambda X: kernel(X[:, None], X[:1]),  # paths are counted through the leading dimensions
        lambda X: kernel.features(X[None], 3),
    ]
    for function in functions[:1] if traced else functions:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            (tf.function(function) if traced else function)(X)
    exact = SignatureKernel(2, normalize=True)
    np.testing.assert_allclose(np.diag(exact(X)), 1, rtol=1e-12)
    np.testing.assert_allclose(
        exact(X[2:], X[:2]), 1 / np.sqrt(SignatureKernel(2)(X[:2], full_cov=False))[None], rtol=1e-10
    )
    assert kernel(X[:0]).shape == (0, 0)
