"""Fits in closed form where Kuu is singular, or nearly: inducing variables that come twice, in float64 and float32."""

from collections.abc import Callable, Iterator

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from closed_form_toys import NUMBERS, QUICKLY, X, kernel
from gpflow.likelihoods import Gaussian
from gpflow.models import SVGP

from sigkernel_tf.gp import (
    InducingSequences,
    InducingTensors,
    SignatureKernel,
    TruncatedSignatureKernel,
    fit_closed_form,
    flatten_paths,
)
from sigkernel_tf.gp.training.latents import latents_of

TOO_MANY = np.concatenate([X[:30], X[:30], X[:30], X])


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> Iterator[type]:
    """GPflow's default float, with its default jitter."""
    gpflow.config.set_default_float(request.param)
    yield request.param
    gpflow.config.set_default_float(np.float64)
    gpflow.config.set_default_jitter(1e-6)


def sequences(rows: np.ndarray, times: int) -> SVGP:
    Z = np.concatenate([rows[:6].reshape(6, -1, 2)] * times)
    static = gpflow.kernels.RBF(lengthscales=2.0)
    return SVGP(SignatureKernel(2, static_kernel=static), Gaussian(0.1), InducingSequences(Z))


def tensors(rows: np.ndarray, times: int) -> SVGP:
    truncated = TruncatedSignatureKernel(2, 2)
    once = InducingTensors.from_data(rows, 6, truncated)
    found = InducingTensors.from_data(rows, 6 * times, truncated)
    for part, values in zip(found.parameters, once.parameters, strict=True):
        axis = next((i for i in range(values.shape.rank) if part.shape[i] != values.shape[i]), None)
        part.assign(values if axis is None else np.concatenate([values.numpy()] * times, axis=axis))
    return SVGP(truncated, Gaussian(0.1), found)


def points(rows: np.ndarray, times: int) -> SVGP:
    return SVGP(kernel(), Gaussian(0.1), np.concatenate([rows[:6, :2]] * times))


@pytest.mark.parametrize("make", [sequences, tensors, points])
def test_variables_that_come_twice_count_once(make: Callable, dtype: type, walks: Callable) -> None:
    """What a copy adds is no more than the jitter."""
    paths = walks(40, 6, 2)
    rows = flatten_paths(paths).astype(dtype)[:, : 2 if make is points else None]
    Y = (paths[:, -1, :1] - paths[:, 0, :1]).astype(dtype)
    means, elbos = [], []
    for times in (1, 2):
        svgp = make(rows, times)
        gpflow.set_trainable(svgp.inducing_variable, False)
        elbos.append(fit_closed_form(svgp, (rows, Y), QUICKLY).elbo)
        means.append(svgp.predict_f(rows)[0])  # which GPflow computes in the model's dtype
        np.testing.assert_allclose(svgp.elbo((rows, Y)), elbos[-1], rtol=1e-6 if dtype is np.float64 else 1e-3)
    np.testing.assert_allclose(*means, atol=1e-3 if dtype is np.float64 else 2e-2)
    np.testing.assert_allclose(*elbos, atol=1e-2 if dtype is np.float64 else 0.2)


def test_a_kuu_without_a_factor(dtype: type) -> None:
    """In float32 GPflow's default jitter is not enough for so many points that lie close together."""
    many = TOO_MANY.astype(dtype)
    if dtype is np.float64:
        gpflow.config.set_default_jitter(0.0)
    svgp = SVGP(gpflow.kernels.RBF(lengthscales=3.0), Gaussian(), many)
    data = X.astype(dtype), NUMBERS.astype(dtype)
    with pytest.raises(ValueError, match=rf"positive definite in {np.dtype(dtype).name}.*set_default_jitter"):
        fit_closed_form(svgp, data, QUICKLY)
    gpflow.config.set_default_jitter(1e-4)
    fit_closed_form(svgp, data, QUICKLY)
    assert np.isfinite(svgp.predict_f(data[0])[0]).all()


def test_the_search_stays_away_from_a_kuu_without_a_factor() -> None:
    """In float32, where GPflow could not factorise what float64 could: such hyperparameters are refused."""
    gpflow.config.set_default_float(np.float32)
    try:
        svgp = SVGP(gpflow.kernels.RBF(lengthscales=3.0), Gaussian(), TOO_MANY.astype(np.float32))
        (latents,) = latents_of(svgp)
        np.linalg.cholesky(latents.regular_kuu().numpy().astype(float))
        with pytest.raises(tf.errors.InvalidArgumentError, match="Kuu has no factor"):
            latents.prior_factor()
        svgp.kernel.lengthscales.assign(0.1)
        assert latents.prior_factor().dtype == tf.float64
    finally:
        gpflow.config.set_default_float(np.float64)
