"""The operations on a GPU against those on the CPU. Skipped where TensorFlow sees no GPU."""

import functools
from collections.abc import Callable
from typing import Any

import gpflow
import numpy as np
import pytest
import tensorflow as tf

import sigkernel_tf as sk
from sigkernel_tf import gp

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not tf.config.list_physical_devices("GPU"), reason="needs a GPU that TensorFlow sees"),
]

SOLVERS = [sk.PowerSeries(), sk.FiniteDifference(1), sk.FiniteDifference(0, "theorem_4_1")]
RBF = functools.partial(sk.static_kernels.rbf, lengthscale=0.8, variance=1.3)


def paths(seed: int, count: int, length: int, channels: int, dtype: str) -> np.ndarray:
    steps = np.random.default_rng(seed).normal(size=(count, length, channels)) / np.sqrt(length * channels)
    return np.cumsum(steps, axis=1).astype(dtype)


def assert_same_on_gpu(function: Callable[..., Any], *inputs: np.ndarray) -> None:
    """Values and gradients by every input, with uneven weights."""
    dtype = inputs[0].dtype
    tolerance = 1e-11 if dtype == np.float64 else 3e-5
    results = []
    for device in ("CPU:0", "GPU:0"):
        with tf.device(device), tf.GradientTape() as tape:
            variables = [tf.constant(x) for x in inputs]
            tape.watch(variables)
            value = function(*variables)
            weights = tf.reshape(
                tf.linspace(tf.constant(0.5, dtype), tf.constant(1.5, dtype), tf.size(value)), tf.shape(value)
            )
            total = tf.reduce_sum(weights * value)
        results.append([value, *[g for g in tape.gradient(total, variables) if g is not None]])
    assert len(results[0]) == len(results[1])
    for on_cpu, on_gpu in zip(*results, strict=True):
        scale = max(1e-3, float(np.max(np.abs(on_cpu), initial=0.0)))
        np.testing.assert_allclose(on_gpu, on_cpu, rtol=0, atol=10 * tolerance * scale)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@pytest.mark.parametrize("static_kernel", [sk.static_kernels.linear, RBF], ids=["linear", "rbf"])
@pytest.mark.parametrize(
    ("length", "other", "channels"), [(1, 3, 2), (8, 8, 3), (46, 30, 2), (300, 40, 5), (46, 30, 1)]
)
def test_signature_kernels(dtype: str, solver: Any, static_kernel: Any, length: int, other: int, channels: int) -> None:
    options = {"solver": solver, "static_kernel": static_kernel}
    X, Y = paths(0, 5, length, channels, dtype), paths(1, 5, other, channels, dtype)
    assert_same_on_gpu(lambda x, y: sk.signature_kernel(x, y, **options), X, Y)
    assert_same_on_gpu(lambda x, y: sk.signature_kernel_gram(x, y, **options), X, Y[:3])
    assert_same_on_gpu(lambda x: sk.signature_kernel_gram(x, **options), X)
    assert_same_on_gpu(lambda x: sk.signature_kernel_diag(x, **options), X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [1200, 5000])
def test_long_paths(dtype: str, length: int) -> None:
    X, Y = paths(0, 1, length, 2, dtype), paths(1, 1, 700, 2, dtype)
    assert_same_on_gpu(lambda x, y: sk.signature_kernel(x, y, solver=sk.FiniteDifference()), X, Y)
    assert_same_on_gpu(sk.signature_kernel, X, Y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_directional_derivative(dtype: str) -> None:
    X, Y, direction = (paths(n, 4, 20, 3, dtype) for n in range(3))
    for on_cpu, on_gpu in zip(*(on(device, X, Y, direction) for device in ("CPU:0", "GPU:0")), strict=True):
        np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-9 if dtype == "float64" else 1e-3)


def on(device: str, *inputs: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.device(device):
        return sk.directional_derivative(*inputs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_solve_goursat(dtype: str, solver: Any) -> None:
    p = 0.1 * np.random.default_rng(0).normal(size=(2, 3, 9, 40)).astype(dtype)
    assert_same_on_gpu(lambda p: sk.solve_goursat(p, solver=solver), p)


def test_an_estimate_of_the_error_is_refused() -> None:
    X = paths(0, 3, 5, 2, "float64")
    for compute in (sk.signature_kernel_gram, sk.signature_kernel_diag, sk.solve_goursat):
        with tf.device("GPU:0"), pytest.raises(tf.errors.UnimplementedError, match="return_error=True .* CPU only"):
            compute(X, return_error=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("channels", "num_words"), [(1, 6), (2, 15), (3, 50), (9, 7000)])
def test_signature(dtype: str, stream: bool, channels: int, num_words: int) -> None:
    assert_same_on_gpu(lambda x: sk.signature(x, num_words=num_words, stream=stream), paths(0, 7, 12, channels, dtype))


def test_faults_in_values_are_named_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    X = paths(0, 3, 5, 2, "float64")
    X[1, 2, 0] = np.nan
    with tf.device("GPU:0"):
        assert np.isnan(sk.signature_kernel(X, X)[1])
        monkeypatch.setenv("SIGKERNEL_TF_CHECK_NUMERICS", "1")
        with pytest.raises(tf.errors.InvalidArgumentError, match="path 1 has nan at time step 2, channel 0"):
            sk.signature_kernel(X, X)


def a_model() -> tuple[gpflow.models.SVGP, tuple[np.ndarray, np.ndarray]]:
    X, labels = gp.flatten_paths(paths(0, 20, 8, 3, "float64")), np.arange(20.0)[:, None] % 2
    model = gpflow.models.SVGP(
        gp.SignatureKernel(3), gpflow.likelihoods.Bernoulli(), gp.OrthogonalSignatureFeatures(20)
    )
    return model, (X, labels)


def test_a_training_step() -> None:
    model, data = a_model()
    optimizer = tf.keras.optimizers.Adam(0.01)
    with tf.device("GPU:0"), tf.GradientTape() as tape:
        loss = model.training_loss(data)
    variables = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    assert model.training_loss(data) < loss


def test_mirrored_strategy() -> None:
    strategy = tf.distribute.MirroredStrategy(["GPU:0"])
    with strategy.scope():
        model, data = a_model()
    losses = strategy.run(lambda: model.training_loss(data))
    np.testing.assert_allclose(losses, model.training_loss(data), rtol=1e-9)
