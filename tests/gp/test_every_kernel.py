"""
What every kernel of paths must do, in every configuration that is listed here.

A public kernel without a configuration fails; a new one adds its own to ``CONFIGURATIONS`` and inherits all tests.
"""

import copy
import os
import signal
from collections.abc import Callable
from pathlib import Path

import gpflow
import keras
import numpy as np
import oracles
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from gpflow.inducing_variables import InducingPoints
from gpflow.models import GPR, SGPR, SVGP, VGP

import sigkernel_tf.gp
from sigkernel_tf.gp import (
    DeepSignatureKernel,
    InducingSequences,
    InducingTensors,
    OrthogonalSignatureFeatures,
    SignatureKernel,
    TruncatedSignatureKernel,
    flatten_paths,
)
from sigkernel_tf.gp.kernels import PathKernel


def network() -> keras.Model:
    """A small recurrent network, the same each time."""
    inputs, layer = keras.Input([None, 2], dtype="float64"), keras.layers.GRU(2, return_sequences=True, dtype="float64")
    made = keras.Sequential([inputs, layer])
    made.set_weights([np.random.default_rng(0).normal(size=part.shape) for part in made.get_weights()])
    return made


# For each public kernel: a name and how to make it, for paths of two channels.
CONFIGURATIONS: dict[str, dict[str, Callable[[], PathKernel]]] = {
    "SignatureKernel": {
        "plain": lambda: SignatureKernel(2),
        "normalized": lambda: SignatureKernel(2, lengthscales=[0.8, 1.7], variance=0.6, normalize=True),
        "levels": lambda: SignatureKernel(2, channels=[1], level_variances=[0.7, 0.0, 2.0, 0.4]),
        "rbf": lambda: SignatureKernel(2, static_kernel=gpflow.kernels.RBF(lengthscales=0.9)),
        "matern": lambda: SignatureKernel(2, static_kernel=gpflow.kernels.Matern52() + gpflow.kernels.Linear()),
    },
    "DeepSignatureKernel": {"plain": lambda: DeepSignatureKernel(network())},
    "TruncatedSignatureKernel": {
        "plain": lambda: TruncatedSignatureKernel(2),
        "normalized": lambda: TruncatedSignatureKernel(2, 3, lengthscales=[0.8, 1.7], variance=0.6, normalize=True),
        "levels": lambda: TruncatedSignatureKernel(2, 3, channels=[1], level_variances=[0.7, 0.0, 2.0, 0.4]),
        "sums": lambda: TruncatedSignatureKernel(2, 3, explicit=False),
        "order": lambda: TruncatedSignatureKernel(2, 3, discretization_order=1, normalize=True),
        "matern": lambda: TruncatedSignatureKernel(2, 2, static_kernel=gpflow.kernels.Matern52()),
    },
}
EVERY = [
    pytest.param(make, id=f"{kernel}-{name}")
    for kernel, configurations in CONFIGURATIONS.items()
    for name, make in configurations.items()
]
Make = Callable[[], PathKernel]

every_kernel = pytest.mark.parametrize("make", EVERY)


@pytest.fixture
def data(walks: Callable, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return flatten_paths(walks(5, 4, 2)), rng.normal(size=(5, 1))


def test_every_public_kernel_is_here() -> None:
    public = [getattr(sigkernel_tf.gp, name) for name in sigkernel_tf.gp.__all__]
    kernels = {each.__name__ for each in public if isinstance(each, type) and issubclass(each, PathKernel)}
    assert kernels == set(CONFIGURATIONS)


@every_kernel
def test_leading_dimensions_are_those_of_a_loop(make: Make, walks: Callable) -> None:
    """GPflow's contract, which its own test_broadcasting.py checks for its kernels in the same way."""
    X, X2 = flatten_paths(walks(6, 4, 2)).reshape(1, 2, 3, 8), flatten_paths(walks(4, 3, 2)).reshape(2, 2, 6)
    kernel, places = make(), list(np.ndindex(1, 2))

    def close(found: tf.Tensor, expected: list, *shape: int) -> None:
        assert found.shape == shape
        np.testing.assert_allclose(found, np.reshape(expected, shape), rtol=1e-11, atol=1e-12)

    of_pairs = np.stack([[kernel(X[at], x2) for x2 in X2] for at in places]).swapaxes(1, 2)  # [sets, N, sets of X2, N2]
    close(kernel(X), [kernel(X[at]) for at in places], 1, 2, 3, 3)
    close(kernel(X, full_cov=False), [kernel(X[at], full_cov=False) for at in places], 1, 2, 3)
    close(kernel(X, X2), of_pairs, 1, 2, 3, 2, 2)
    close(kernel(X[0, 0], X2), of_pairs[0], 3, 2, 2)
    close(kernel(X, X2[0]), of_pairs[:, :, 0], 1, 2, 3, 2)
    K = kernel(X).numpy()
    np.testing.assert_array_equal(K, K.swapaxes(-1, -2))


@every_kernel
def test_symmetric_positive_and_consistent_with_its_diagonal(make: Make, walks: Callable) -> None:
    X, Y = flatten_paths(walks(12, 5, 2)), flatten_paths(walks(4, 3, 2))
    kernel = make()
    K = kernel(X).numpy()
    np.testing.assert_array_equal(K, K.T)
    assert np.linalg.eigvalsh(K).min() > -1e-10 * np.trace(K)
    np.testing.assert_allclose(kernel(X, full_cov=False), np.diag(K), rtol=1e-11)
    np.testing.assert_allclose(kernel(X, X), K, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(kernel(Y, X), tf.transpose(kernel(X, Y)), rtol=1e-11, atol=1e-13)


@every_kernel
def test_gradients_match_central_differences(make: Make, walks: Callable, rng: np.random.Generator) -> None:
    """Of all parameters and of the paths, along a random direction; inducing points have theirs from the paths."""
    X, Y, kernel = tf.Variable(flatten_paths(walks(2, 4, 2))), flatten_paths(walks(3, 3, 2)), make()

    def total() -> tf.Tensor:
        gram = tf.reduce_sum(tf.sin(kernel(X))) + tf.reduce_sum(tf.sin(kernel(X, Y)))
        return gram + tf.reduce_sum(tf.cos(kernel(X, full_cov=False)))

    variables = [X, *kernel.trainable_variables]
    with tf.GradientTape() as tape:
        result = total()
    gradients = tape.gradient(result, variables, unconnected_gradients="zero")
    for variable, gradient in zip(variables, gradients, strict=True):
        value, direction = np.array(variable), rng.normal(size=variable.shape)

        def at(array: np.ndarray, variable: tf.Variable = variable) -> float:
            variable.assign(array)
            return float(total())

        expected = oracles.slope(at, value, direction, step=1e-3)
        variable.assign(value)
        np.testing.assert_allclose(np.sum(gradient * direction), expected, atol=1e-7 * max(1, abs(expected)))


@every_kernel
def test_float32(make: Make, walks: Callable) -> None:
    paths = walks(5, 6, 2)
    expected = make()(flatten_paths(paths))
    with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
        X, kernel = flatten_paths(paths), make()
        K, diagonal = kernel(X), kernel(X, full_cov=False)
    assert K.dtype == diagonal.dtype == tf.float32
    np.testing.assert_allclose(K, expected, rtol=1e-4)
    np.testing.assert_allclose(diagonal, np.diag(expected), rtol=1e-4)


def svgp(kernel: PathKernel, data: tuple) -> SVGP:
    if isinstance(kernel, TruncatedSignatureKernel):
        features = (InducingTensors if kernel.is_linear else InducingSequences).from_data(data[0], 3, kernel)
    else:
        features = OrthogonalSignatureFeatures(5) if kernel.is_linear else InducingPoints(data[0][:3])
    return SVGP(kernel, gpflow.likelihoods.Gaussian(0.3), features)


MODELS: dict[str, Callable[[PathKernel, tuple], gpflow.models.BayesianModel]] = {
    "GPR": lambda kernel, data: GPR(data, kernel, noise_variance=0.3),
    "SGPR": lambda kernel, data: SGPR(data, kernel, InducingPoints(data[0][:3]), noise_variance=0.3),
    "VGP": lambda kernel, data: VGP(data, kernel, gpflow.likelihoods.Gaussian(0.3)),
    "SVGP": svgp,
}


@every_kernel
@pytest.mark.parametrize("model", MODELS)
def test_models_train(make: Make, model: str, data: tuple) -> None:
    trained = MODELS[model](make(), data)
    loss = (lambda: trained.training_loss(data)) if model == "SVGP" else trained.training_loss
    before = [parameter.numpy() for parameter in trained.kernel.trainable_parameters]
    optimizer = tf.keras.optimizers.Adam(0.03)
    losses = []
    for _ in range(2):
        with tf.GradientTape() as tape:
            value = loss()
        gradients = tape.gradient(value, trained.trainable_variables)
        optimizer.apply_gradients(zip(gradients, trained.trainable_variables, strict=True))
        losses.append(float(value))
    assert losses[-1] < losses[0]
    for parameter, old in zip(trained.kernel.trainable_parameters, before, strict=True):
        assert not np.array_equal(parameter, old), parameter.name


def changed(kernel: PathKernel) -> PathKernel:
    """The kernel with other parameters than it was made with."""
    for parameter in kernel.trainable_parameters:
        parameter.assign(parameter.numpy() * 1.25)
    return kernel


@every_kernel
def test_deepcopy_is_equal_and_independent(make: Make, data: tuple) -> None:
    kernel = changed(make())
    expected = kernel(data[0])
    for deepcopy in (copy.deepcopy, gpflow.utilities.deepcopy):
        twin = deepcopy(kernel)
        np.testing.assert_array_equal(twin(data[0]), expected)
        changed(twin)
        assert np.abs(twin(data[0]) - expected).max() > 1e-3
        np.testing.assert_array_equal(kernel(data[0]), expected)


@every_kernel
def test_checkpoint(make: Make, data: tuple, tmp_path: Path) -> None:
    kernel, restored = changed(make()), make()
    path = tf.train.Checkpoint(kernel=kernel).write(str(tmp_path / "kernel"))
    tf.train.Checkpoint(kernel=restored).read(path).assert_consumed()
    np.testing.assert_array_equal(restored(data[0]), kernel(data[0]))


@every_kernel
def test_summary_lists_every_parameter(make: Make, capsys: pytest.CaptureFixture) -> None:
    kernel = make()
    gpflow.utilities.print_summary(kernel)
    printed = capsys.readouterr().out
    names = gpflow.utilities.parameter_dict(kernel)
    assert {".lengthscales", ".variance"} <= set(names)
    for name in names:
        assert f"{type(kernel).__name__}{name}" in printed


@every_kernel
def test_saved_model_serves_paths_of_any_length(make: Make, data: tuple, walks: Callable, tmp_path: Path) -> None:
    module = tf.Module()
    module.kernel = changed(make())
    spec = tf.TensorSpec([None, None], tf.float64)

    def gram(X: tf.Tensor, Y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return module.kernel(X, Y), module.kernel(X)

    module.gram = tf.function(gram, input_signature=[spec, spec], autograph=False)
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    Y = flatten_paths(walks(3, 9, 2))
    for X in (data[0], data[0][:2, :6], data[0][:0]):
        for result, expected in zip(loaded.gram(X, Y), (module.kernel(X, Y), module.kernel(X)), strict=True):
            assert result.shape == expected.shape
            np.testing.assert_allclose(result, expected, rtol=1e-12)


@every_kernel
def test_priors_of_lengthscales_enter_the_loss(make: Make, data: tuple) -> None:
    model = GPR(data, make())
    without = float(model.training_loss())
    to_float = gpflow.utilities.to_default_float
    model.kernel.lengthscales.prior = tfp.distributions.LogNormal(to_float(0.4), to_float(0.8))
    density = scipy.stats.lognorm(s=0.8, scale=np.exp(0.4)).logpdf(model.kernel.lengthscales.numpy())
    np.testing.assert_allclose(float(model.training_loss()) - without, -np.sum(density), rtol=1e-9)
    gpflow.optimizers.Scipy().minimize(
        model.training_loss, model.kernel.lengthscales.trainable_variables, options={"maxiter": 2}, compile=False
    )
    assert float(model.training_loss()) < without - np.sum(density)


def test_no_kernel_hangs_in_a_forked_process(data: tuple) -> None:
    """TensorFlow's threads are missing there, for its own operations as for the compiled ones."""
    kernels = [each.values[0]() for each in EVERY]
    for kernel in kernels:
        kernel(data[0])
    child = os.fork()
    if child == 0:  # it must never return to pytest
        signal.alarm(30)
        refused = 0
        for kernel in kernels:
            for call in (kernel, kernel.K_diag):
                try:
                    call(data[0])
                except RuntimeError as error:
                    refused += "forked" in str(error)
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2 * len(kernels)
