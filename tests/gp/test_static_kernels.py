"""SignatureKernel with static kernels: values, gradients, the memory they take, and what they refuse."""

import functools
import re
from collections.abc import Callable

import gpflow
import numpy as np
import oracles
import pytest
import tensorflow as tf
from gpflow.covariances import Kuf, Kuu
from gpflow.inducing_variables import SeparateIndependentInducingVariables, SharedIndependentInducingVariables
from gpflow.kernels import RBF, Linear, Matern12, Matern32, Matern52, Polynomial, RationalQuadratic

import sigkernel_tf as sk
from sigkernel_tf import _library, static_kernels
from sigkernel_tf.gp import OrthogonalSignatureFeatures, SignatureKernel, TruncatedSignatureKernel, flatten_paths
from sigkernel_tf.gp.kernels import tiles


def distance(X: np.ndarray, Y: np.ndarray, lengthscale: float | np.ndarray = 1.0) -> np.ndarray:
    return np.linalg.norm((X[:, None] - Y[None]) / lengthscale, axis=-1)


# GPflow's kernel, and the same in NumPy of points [L1, 2] and [L2, 2].
STATIC: dict[str, tuple[Callable, Callable]] = {
    "rbf": (lambda: RBF(1.3, 0.7), lambda X, Y: 1.3 * np.exp(-(distance(X, Y, 0.7) ** 2) / 2)),
    "ard": (
        lambda: RBF(lengthscales=[0.7, 1.9]),
        lambda X, Y: np.exp(-(distance(X, Y, np.array([0.7, 1.9])) ** 2) / 2),
    ),
    "linear": (lambda: Linear(0.6), lambda X, Y: 0.6 * X @ Y.T),
    "linear_ard": (lambda: Linear([0.6, 1.4]), lambda X, Y: (X * [0.6, 1.4]) @ Y.T),
    "one_channel": (lambda: Linear(active_dims=[1]), lambda X, Y: X[:, 1:] @ Y[:, 1:].T),
    "matern12": (lambda: Matern12(0.8, 1.2), lambda X, Y: 0.8 * np.exp(-distance(X, Y, 1.2))),
    "matern32": (
        lambda: Matern32(active_dims=[0]),
        lambda X, Y: (
            (1 + np.sqrt(3) * distance(X[:, :1], Y[:, :1])) * np.exp(-np.sqrt(3) * distance(X[:, :1], Y[:, :1]))
        ),
    ),
    "rational": (lambda: RationalQuadratic(alpha=0.8), lambda X, Y: (1 + distance(X, Y) ** 2 / 1.6) ** -0.8),
    "polynomial": (lambda: Polynomial(2, 0.3, offset=0.5), lambda X, Y: (0.3 * X @ Y.T + 0.5) ** 2),
    "combined": (
        lambda: RBF() * Polynomial(2, 0.3, offset=0.5) + Linear(0.2),
        lambda X, Y: np.exp(-(distance(X, Y) ** 2) / 2) * (0.3 * X @ Y.T + 0.5) ** 2 + 0.2 * X @ Y.T,
    ),
    "function": (
        lambda: functools.partial(sk.static_kernels.matern12, lengthscale=0.9),
        lambda X, Y: np.exp(-distance(X, Y, 0.9)),
    ),
    "function of tiles": (
        lambda: functools.partial(sk.static_kernels.rational_quadratic, lengthscale=0.9),
        lambda X, Y: 1 / (1 + distance(X, Y, 0.9) ** 2 / 2),
    ),
}
FUSED = {"rbf", "ard", "linear", "linear_ard", "matern12", "function"}


def expected_kernel(kappa: Callable, x: np.ndarray, y: np.ndarray) -> float:
    K = kappa(x, y)
    return oracles.goursat(np.diff(np.diff(K, axis=0), axis=1), degree=25)


@pytest.mark.parametrize("name", STATIC)
@pytest.mark.parametrize("numbers_at_once", [None, 1])
def test_matches_the_goursat_problem_of_its_increments(
    name: str, numbers_at_once: int | None, walks: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one tile, and in tiles of a pair each."""
    if numbers_at_once is not None:
        monkeypatch.setattr(tiles, "NUMBERS_AT_ONCE", numbers_at_once)
    make, kappa = STATIC[name]
    X, Y = walks(3, 4, 2, scale=1.5), walks(2, 3, 2, scale=1.5)
    kernel = SignatureKernel(2, lengthscales=[0.9, 1.1], variance=1.4, static_kernel=make())
    scaled_X, scaled_Y = X / [0.9, 1.1], Y / [0.9, 1.1]
    expected = 1.4 * np.array([[expected_kernel(kappa, x, y) for y in scaled_Y] for x in scaled_X])
    np.testing.assert_allclose(kernel(flatten_paths(X), flatten_paths(Y)), expected, rtol=1e-10)
    expected = 1.4 * np.array([[expected_kernel(kappa, x, y) for y in scaled_X] for x in scaled_X])
    K = kernel(flatten_paths(X)).numpy()
    np.testing.assert_allclose(K, expected, rtol=1e-10)
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_allclose(kernel(flatten_paths(X), full_cov=False), np.diag(expected), rtol=1e-10)


@pytest.mark.parametrize("name", STATIC)
def test_which_kernels_enter_the_compiled_sweep(name: str) -> None:
    kernel = SignatureKernel(2, static_kernel=STATIC[name][0]())
    spec = tf.TensorSpec([5, 8], tf.float64)
    graph = tf.function(lambda X: kernel(X), autograph=False).get_concrete_function(spec).graph.as_graph_def()
    operations = {node.op for node in graph.node}
    assert ("SigkernelTfSignatureKernel" in operations) == (name in FUSED)


def test_matern_kernels_are_formed_in_tiles_where_there_is_a_gpu(
    walks: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU's solver does not know them; what is not differenced it refuses in any case."""
    X, kernel = flatten_paths(walks(3, 5, 2)), SignatureKernel(2, static_kernel=Matern12())
    K = kernel(X)
    monkeypatch.setattr(_library, "sees_gpu", lambda: True)
    assert static_kernels.fused_form(sk.static_kernels.matern12, K) is None
    assert static_kernels.fused_form(sk.static_kernels.matern12, K, difference=False) is not None
    np.testing.assert_allclose(kernel(X), K, rtol=1e-12)


@pytest.mark.parametrize(("name", "numbers_at_once"), [("combined", 400), ("rational", 1)])
def test_tiles_change_nothing(
    name: str, numbers_at_once: int, walks: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values and gradients, of paths and parameters, traced with unknown shapes and not."""
    X, Y = (tf.constant(flatten_paths(walks(number, length, 2))) for number, length in ((5, 4), (3, 3)))
    kernel = SignatureKernel(2, static_kernel=STATIC[name][0]())

    def results(X: tf.Tensor, Y: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch((X, Y))
            values = [kernel(X, Y), kernel(X), kernel(X, full_cov=False)]
            total = tf.add_n([tf.reduce_sum(tf.sin(value)) for value in values])
        return values + tape.gradient(total, [X, Y, *kernel.trainable_variables])

    expected = results(X, Y)
    monkeypatch.setattr(tiles, "NUMBERS_AT_ONCE", numbers_at_once)
    traced = tf.function(results, input_signature=[tf.TensorSpec([None, None], tf.float64)] * 2, autograph=False)
    for found in (results(X, Y), traced(X, Y)):
        for result, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(result, other, rtol=1e-11, atol=1e-12)
    nothing = traced(X[:0], Y)
    assert nothing[0].shape == (0, 3)
    assert nothing[1].shape == (0, 0)
    assert nothing[2].shape == (0,)


def test_no_more_than_a_tile_is_held(walks: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for the gradient: the sizes of all arrays of increments that are ever formed."""
    sizes, solve = [], tiles.solve_goursat

    def spy(increments: tf.Tensor, **options: object) -> tf.Tensor:
        sizes.append(int(tf.size(increments)))
        return solve(increments, **options)

    monkeypatch.setattr(tiles, "solve_goursat", spy)
    monkeypatch.setattr(tiles, "NUMBERS_AT_ONCE", 2000)
    X, kernel = flatten_paths(walks(12, 5, 2)), SignatureKernel(2, static_kernel=RationalQuadratic())
    with tf.GradientTape() as tape:
        K, diagonal = kernel(X, X[:9]), kernel(X, full_cov=False)
        total = tf.reduce_sum(K) + tf.reduce_sum(kernel(X)) + tf.reduce_sum(diagonal)
    tape.gradient(total, kernel.trainable_variables)
    all_pairs = (12 * 9 + 12 * 12 + 12) * 16
    assert max(sizes) <= 2000
    assert max(sizes) >= 2000 / 25  # a tile is not needlessly small
    assert len(sizes) > 20
    assert 0.5 * all_pairs <= sum(sizes) / 2 <= 1.5 * all_pairs  # forward and backward, nothing more


@pytest.mark.parametrize("lengths", [(1, 2), (2, 33), (1025, 1), (1025, 33)], ids=str)
def test_lengths(lengths: tuple[int, int], walks: Callable) -> None:
    """Increments formed in TensorFlow, in tiles, against those of the compiled sweep."""
    X, Y = (flatten_paths(walks(2, length, 2)) for length in lengths)
    fused = SignatureKernel(2, static_kernel=functools.partial(sk.static_kernels.rbf, lengthscale=0.8))
    formed = SignatureKernel(2, static_kernel=lambda X, Y: sk.static_kernels.rbf(X, Y, lengthscale=0.8))
    np.testing.assert_allclose(formed(X, Y), fused(X, Y), rtol=1e-10)
    np.testing.assert_allclose(formed(Y), fused(Y), rtol=1e-10)
    np.testing.assert_allclose(formed(Y, full_cov=False), fused(Y, full_cov=False), rtol=1e-10)


@pytest.mark.parametrize("make", [lambda: Linear(0.6), lambda: Linear([0.6, 1.4])])
def test_linear_static_kernel_keeps_the_orthogonal_features(
    make: Callable, walks: Callable, numpy_signature: Callable
) -> None:
    X = walks(4, 5, 2)
    kernel = SignatureKernel(2, static_kernel=make(), level_variances=[1.0, 0.5, 2.0])
    S = numpy_signature(X * np.sqrt(kernel.static_kernel.variance.numpy()), 1) * np.sqrt([1.0, 0.5, 0.5])
    np.testing.assert_allclose(Kuf(OrthogonalSignatureFeatures(3), kernel, flatten_paths(X)), S.T, rtol=1e-12)
    np.testing.assert_array_equal(Kuu(OrthogonalSignatureFeatures(3), kernel), np.eye(3))
    assert len(kernel.trainable_parameters) == 4


@pytest.mark.parametrize("whiten", [True, False])
def test_orthogonal_features_refuse_other_static_kernels(whiten: bool, walks: Callable) -> None:
    X, Z = flatten_paths(walks(3, 4, 2)), OrthogonalSignatureFeatures(3)
    kernel = SignatureKernel(2, static_kernel=RBF())
    shared = gpflow.kernels.SharedIndependent(kernel, 2), SharedIndependentInducingVariables(Z)
    separate = (
        gpflow.kernels.SeparateIndependent([SignatureKernel(2), kernel]),
        SeparateIndependentInducingVariables([Z] * 2),
    )
    message = "got the kernel SignatureKernel with static_kernel=SquaredExponential: leave static_kernel out.*InducingP"
    for number, (each, variables) in enumerate([(kernel, Z), shared, separate]):
        outputs = 2 if number else 1
        model = gpflow.models.SVGP(
            each, gpflow.likelihoods.Gaussian(), variables, num_latent_gps=outputs, whiten=whiten
        )
        calls = [lambda: model.predict_f(X), lambda: model.prior_kl(), lambda: model.posterior()]  # noqa: B023
        calls += [lambda: Kuu(variables, each), lambda: Kuf(variables, each, X)]  # noqa: B023
        for call in calls:
            with pytest.raises(TypeError, match=message):
                call()
    with pytest.raises(TypeError, match="only for the linear static kernel, got static_kernel=SquaredExponential"):
        kernel.features(X, 3)


def test_static_kernels_see_more_than_increments(walks: Callable) -> None:
    """Paths that start elsewhere are alike for the linear kernel, and not for a polynomial one."""
    X = walks(3, 5, 2)
    x, moved = flatten_paths(X), flatten_paths(X + 1.0)
    np.testing.assert_allclose(SignatureKernel(2)(moved), SignatureKernel(2)(x), rtol=1e-12)
    lifted = SignatureKernel(2, static_kernel=Polynomial(2, 0.3))
    assert np.abs(lifted(moved) / lifted(x) - 1).max() > 0.1


@pytest.mark.parametrize(
    "static_kernel",
    ["rbf", 1.0, RBF, gpflow.kernels.SharedIndependent(RBF(), 2)],
)
def test_refuses_what_is_no_kernel_of_points(static_kernel: object) -> None:
    with pytest.raises(
        TypeError, match=r"static_kernel must be None \(linear\).*for instance gpflow\.kernels\.RBF\(\)"
    ):
        SignatureKernel(2, static_kernel=static_kernel)


@pytest.mark.parametrize(
    "static_kernel",
    [
        gpflow.kernels.White(),
        RBF() + gpflow.kernels.White(),
        gpflow.kernels.Coregion(2, 1),
        RBF() * (RBF() + gpflow.kernels.ChangePoints([RBF(), RBF()], [0.5])),
    ],
)
@pytest.mark.parametrize("kernel", [SignatureKernel, TruncatedSignatureKernel])
def test_refuses_kernels_that_are_not_of_two_points(kernel: type, static_kernel: gpflow.kernels.Kernel) -> None:
    with pytest.raises(TypeError, match="a kernel of points of 2 channels, got (White|Coregion|ChangePoints)"):
        kernel(2, static_kernel=static_kernel)


def test_refuses_channels_that_the_points_have_not() -> None:
    SignatureKernel(3, channels=[0, 2], static_kernel=RBF(active_dims=[1]) + RBF(active_dims=[0]))
    with pytest.raises(ValueError, match=r"active_dims from 0 to 1, the channels of the paths, got \[0, 2\] in"):
        SignatureKernel(3, channels=[0, 2], static_kernel=RBF() * RBF(active_dims=[0, 2]))


def test_level_variances_need_the_linear_kernel() -> None:
    message = re.escape("level_variances must be None with static_kernel=Matern52, got 2")
    with pytest.raises(ValueError, match=message):
        SignatureKernel(2, static_kernel=Matern52(), level_variances=2)
