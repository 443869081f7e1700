"""Kernels in float32 keep the digits of paths far from zero, whatever their lengthscales."""

import functools
from collections.abc import Callable, Iterator

import gpflow
import numpy as np
import pytest
from comparisons import close

from sigkernel_tf import static_kernels
from sigkernel_tf.gp import InducingSequences, InducingTensors, SignatureKernel, TruncatedSignatureKernel

OFFSET = 2.0**20  # float32 numbers there are multiples of 1/8
LENGTHSCALES = np.array([3.0, 7.0])
KERNELS: dict[str, Callable[[], gpflow.kernels.Kernel]] = {
    "signature": lambda: SignatureKernel(2, lengthscales=LENGTHSCALES),
    "levels": lambda: SignatureKernel(2, lengthscales=LENGTHSCALES, level_variances=2, normalize=True),
    "linear": lambda: SignatureKernel(2, lengthscales=3.0, static_kernel=gpflow.kernels.Linear(0.3)),
    "rbf": lambda: SignatureKernel(2, lengthscales=3.0, static_kernel=gpflow.kernels.RBF(lengthscales=0.7)),
    "sum": lambda: SignatureKernel(
        2, lengthscales=3.0, static_kernel=gpflow.kernels.Matern52(active_dims=[1]) + gpflow.kernels.Exponential()
    ),
    "function": lambda: SignatureKernel(
        2, lengthscales=3.0, static_kernel=functools.partial(static_kernels.matern32, lengthscale=0.7)
    ),
    "truncated": lambda: TruncatedSignatureKernel(2, 3, lengthscales=LENGTHSCALES, normalize=True),
    "tuples": lambda: TruncatedSignatureKernel(2, 3, lengthscales=LENGTHSCALES, explicit=False),
}


@pytest.fixture
def single() -> Iterator[None]:
    with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
        yield


def eighths(rng: np.random.Generator, num_paths: int, length: int) -> np.ndarray:
    """Flattened walks of two channels whose points are multiples of 1/8, and stay so beside an offset."""
    return rng.integers(-8, 9, size=(num_paths, length, 2)).cumsum(axis=1).reshape(num_paths, -1) / 8


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_do_not_see_an_offset(name: str, rng: np.random.Generator) -> None:
    kernel = KERNELS[name]()
    X, X2 = eighths(rng, 3, 6).astype(np.float32), eighths(rng, 4, 5).astype(np.float32)
    far, far2 = X + np.float32(OFFSET), X2 + np.float32(OFFSET)
    # Exponential is GPflow's own: it expands squares, which costs some digits also without an offset.
    tolerance = 1e-3 if name == "sum" else 3e-5
    for found, expected in ((kernel(far), kernel(X)), (kernel(far, far2), kernel(X, X2))):
        close(found, expected, tolerance)
    close(kernel(far, full_cov=False), kernel(X, full_cov=False), tolerance)
    close(kernel(np.stack([far, far]))[1], kernel(X), tolerance)  # also in sets along leading dimensions
    close(kernel(far[None, None], far2)[0, 0], kernel(X, X2), tolerance)
    if name in ("signature", "levels"):
        close(kernel.features(far, 15), kernel.features(X, 15), tolerance)


@pytest.mark.usefixtures("single")
def test_inducing_variables_do_not_see_an_offset(rng: np.random.Generator) -> None:
    """Tensors are vectors and not points: they stay where they are."""
    kernel = KERNELS["truncated"]()
    X = eighths(rng, 3, 6).astype(np.float32)
    for kind in (InducingTensors, InducingSequences):
        Z = kind.from_data(X, 4, kernel)
        close(gpflow.covariances.Kuf(Z, kernel, X + np.float32(OFFSET)), gpflow.covariances.Kuf(Z, kernel, X), 3e-5)


def test_kernels_that_see_where_a_path_is_still_do(rng: np.random.Generator) -> None:
    kernel = SignatureKernel(2, lengthscales=3.0, static_kernel=gpflow.kernels.Polynomial(degree=2))
    X = eighths(rng, 3, 6)
    assert np.abs(kernel(X + 4.0) - kernel(X)).max() > 0.1
