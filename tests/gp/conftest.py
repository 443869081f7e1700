"""Paths, an independent signature, and GPflow's own way through the same covariances."""

from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from training_toys import toy_data, toy_model, toy_options

from sigkernel_tf.gp import OrthogonalSignatureFeatures, SignatureKernel, TrainingResult, train

Walks = Callable[..., np.ndarray]


@pytest.fixture
def walks(rng: np.random.Generator) -> Walks:
    """Random walks [N, L, D] that reach about as far whatever their length."""

    def make(num_paths: int, length: int, num_channels: int, scale: float = 0.7) -> np.ndarray:
        return rng.normal(size=(num_paths, length, num_channels)).cumsum(axis=1) * scale / np.sqrt(length)

    return make


@pytest.fixture
def numpy_signature() -> Callable[[np.ndarray, int], np.ndarray]:
    """(paths [N, L, D], depth) -> signatures [N, 1 + D + ... + D^depth], by Chen's identity and outer products."""

    def signature(path: np.ndarray, depth: int) -> np.ndarray:
        levels = [np.ones(1)] + [np.zeros(path.shape[1] ** k) for k in range(1, depth + 1)]
        for dx in np.diff(path, axis=0):
            exponential = [np.ones(1)]
            for k in range(1, depth + 1):
                exponential.append(np.kron(exponential[-1], dx) / k)
            levels = [sum(np.kron(levels[j], exponential[k - j]) for j in range(k + 1)) for k in range(depth + 1)]
        return np.concatenate(levels)

    return lambda paths, depth: np.stack([signature(path, depth) for path in paths])


class DefaultPathKernel(gpflow.kernels.Kernel):
    """A signature kernel that GPflow does not recognise as one."""

    def __init__(self, kernel: SignatureKernel) -> None:
        super().__init__()
        self.kernel = kernel

    def K(self, X: tf.Tensor, X2: tf.Tensor | None = None) -> tf.Tensor:  # noqa: N802  (GPflow's name)
        return self.kernel.K(X, X2)

    def K_diag(self, X: tf.Tensor) -> tf.Tensor:  # noqa: N802  (GPflow's name)
        return self.kernel.K_diag(X)


class DefaultPathFeatures(gpflow.inducing_variables.InducingVariables):
    """Signature features for which nothing but Kuu and Kuf is registered: GPflow factorises and solves."""

    def __init__(self, num_inducing: int) -> None:
        super().__init__()
        self.features = OrthogonalSignatureFeatures(num_inducing)

    @property
    def num_inducing(self) -> int:
        return self.features.num_inducing

    @property
    def shape(self) -> tuple[int | None, ...]:
        return self.features.shape


@gpflow.covariances.Kuu.register(DefaultPathFeatures, DefaultPathKernel)
def _kuu_default_path(features: DefaultPathFeatures, kernel: DefaultPathKernel, *, jitter: float = 0.0) -> tf.Tensor:
    return (1.0 + jitter) * gpflow.covariances.Kuu(features.features, kernel.kernel)


@gpflow.covariances.Kuf.register(DefaultPathFeatures, DefaultPathKernel, object)
def _kuf_default_path(features: DefaultPathFeatures, kernel: DefaultPathKernel, Xnew: tf.Tensor) -> tf.Tensor:
    return gpflow.covariances.Kuf(features.features, kernel.kernel, Xnew)


def by_default_path(part: gpflow.base.Module) -> gpflow.base.Module:
    """Kernels or inducing variables of ours, wrapped for several outputs or not, as GPflow's default path has them."""
    if isinstance(part, gpflow.kernels.SharedIndependent):
        return gpflow.kernels.SharedIndependent(by_default_path(part.kernel), part.output_dim)
    if isinstance(part, gpflow.kernels.SeparateIndependent):
        return gpflow.kernels.SeparateIndependent([by_default_path(each) for each in part.kernels])
    if isinstance(part, gpflow.kernels.LinearCoregionalization):
        twin = gpflow.kernels.LinearCoregionalization([by_default_path(each) for each in part.kernels], part.W)
        twin.W = part.W
        return twin
    if isinstance(part, gpflow.inducing_variables.FallbackSharedIndependentInducingVariables):
        return type(part)(by_default_path(part.inducing_variable))
    if isinstance(part, gpflow.inducing_variables.FallbackSeparateIndependentInducingVariables):
        return type(part)([by_default_path(each) for each in part.inducing_variable_list])
    if isinstance(part, SignatureKernel):
        return DefaultPathKernel(part)
    return DefaultPathFeatures(part.num_inducing)


@pytest.fixture
def default_path_model() -> Callable[[gpflow.models.SVGP], gpflow.models.SVGP]:
    """An SVGP of ours -> the same model by GPflow's default path, sharing its parameters."""

    def make(model: gpflow.models.SVGP) -> gpflow.models.SVGP:
        twin = gpflow.models.SVGP(
            by_default_path(model.kernel),
            model.likelihood,
            by_default_path(model.inducing_variable),
            num_latent_gps=model.num_latent_gps,
            q_diag=len(model.q_sqrt.shape) == 2,
            whiten=model.whiten,
            num_data=model.num_data,
            mean_function=model.mean_function,
        )
        twin.q_mu, twin.q_sqrt = model.q_mu, model.q_sqrt
        return twin

    return make


def operations(function: Callable, *arguments: object) -> set[str]:
    """The types of all operations in a traced function, those of nested functions and control flow included."""
    graph = tf.function(function, autograph=False).get_concrete_function(*arguments).graph.as_graph_def()
    nested = [node for function in graph.library.function for node in function.node_def]
    return {node.op for node in [*graph.node, *nested]}


FACTORISATIONS = ("Cholesky", "Triangular", "MatrixSolve", "MatrixInverse", "SelfAdjointEig", "Svd", "Qr", "Lu")


@pytest.fixture
def factorisations() -> Callable[..., list[str]]:
    """(function, arguments) -> the operations that factorise or solve in the function, which must multiply matrices."""

    def find(function: Callable, *arguments: object) -> list[str]:
        found = operations(function, *arguments)
        assert "MatMul" in found or "BatchMatMulV2" in found
        return [op for op in found if any(name in op for name in FACTORISATIONS)]

    return find


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[gpflow.models.SVGP, TrainingResult]:
    """The small model, trained from beginning to end."""
    model = toy_model()
    return model, train(model, toy_data(), toy_options())
