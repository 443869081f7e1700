"""Paths far from zero keep the digits of their increments, whatever scales them: they are exact in float32."""

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from comparisons import close

import sigkernel_tf as sk

OFFSET = 2.0**20  # float32 numbers there are multiples of 1/8
KERNELS = {
    "linear": functools.partial(sk.static_kernels.linear, variance=0.3),
    "rbf": functools.partial(sk.static_kernels.rbf, lengthscale=np.array([3.0, 7.0])),
    "matern32": functools.partial(sk.static_kernels.matern32, lengthscale=3.0),
    "rational_quadratic": functools.partial(sk.static_kernels.rational_quadratic, lengthscale=7.0),
}


def eighths(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Walks whose points are multiples of 1/8, and stay so beside an offset."""
    return rng.integers(-8, 9, size=shape).cumsum(axis=1) / 8


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_do_not_see_an_offset(name: str, sign: float, rng: np.random.Generator) -> None:
    X, Y = eighths(rng, 3, 6, 2), eighths(rng, 4, 5, 2)
    offset = sign * OFFSET * np.array([1.0, 0.5])
    expected = sk.signature_kernel_gram(X, Y, static_kernel=KERNELS[name])
    x, y = (tf.constant((paths + offset).astype(np.float32)) for paths in (X, Y))
    close(sk.signature_kernel_gram(x, y, static_kernel=KERNELS[name]), expected, 2e-5)
    close(sk.signature_kernel_diag(x, static_kernel=KERNELS[name]),
          sk.signature_kernel_diag(X, static_kernel=KERNELS[name]), 2e-5)  # fmt: skip


def test_each_path_may_have_an_offset_of_its_own(rng: np.random.Generator) -> None:
    """The linear kernel sees increments only, of one path at a time."""
    X = eighths(rng, 3, 6, 2)
    x = (X + OFFSET * np.array([0.0, 1.0, -0.5])[:, None, None]).astype(np.float32)
    expected = sk.signature_kernel_gram(X, static_kernel=KERNELS["linear"])
    close(sk.signature_kernel_gram(x, static_kernel=KERNELS["linear"]), expected, 2e-5)


def test_derivatives_do_not_see_an_offset(rng: np.random.Generator) -> None:
    X, Y, direction = eighths(rng, 3, 6, 2), eighths(rng, 3, 5, 2), rng.normal(size=(3, 6, 2))
    for name in ("linear", "rbf"):
        results = []
        for offset, dtype in ((0.0, np.float64), (OFFSET, np.float32)):
            x, y = (tf.constant((paths + offset).astype(dtype)) for paths in (X, Y))
            k, slope = sk.directional_derivative(x, y, direction.astype(dtype), static_kernel=KERNELS[name])
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = sk.signature_kernel(x, y, static_kernel=KERNELS[name])
            results.append((k, slope, tape.gradient(value, x)))
        for exact, found in zip(*results, strict=True):
            close(found, exact, 1e-4)


def test_the_gradient_reaches_a_lengthscale_at_an_offset(rng: np.random.Generator) -> None:
    X = eighths(rng, 3, 6, 2)
    slopes = []
    for offset, dtype in ((0.0, tf.float64), (OFFSET, tf.float32)):
        lengthscale = tf.Variable(3.0, dtype=dtype)
        with tf.GradientTape() as tape:
            kappa = functools.partial(sk.static_kernels.rbf, lengthscale=lengthscale)
            value = tf.reduce_sum(sk.signature_kernel_gram(tf.cast(X + offset, dtype), static_kernel=kappa))
        slopes.append(tape.gradient(value, lengthscale).numpy())
    assert slopes[1] == pytest.approx(slopes[0], rel=1e-4)


def test_mixed_sizes_lose_nothing_to_an_offset(rng: np.random.Generator) -> None:
    """Paths near zero beside others far from it are scaled as they are: no offset serves both."""
    near = rng.normal(size=(1, 5, 1)) / 1000
    x = np.concatenate([near, OFFSET + eighths(rng, 1, 5, 1)]).astype(np.float32)
    kappa = functools.partial(sk.static_kernels.rbf, lengthscale=0.003)
    expected = sk.signature_kernel_diag(x[:1].astype(np.float64), static_kernel=kappa)
    close(sk.signature_kernel_diag(x, static_kernel=kappa)[:1], expected, 1e-5)


def far_apart(rng: np.random.Generator) -> np.ndarray:
    """Paths near zero beside others far from it, in float32."""
    x = rng.normal(size=(6, 8, 2)).cumsum(axis=1) / 3
    return (x + np.array([0.0, 1000.0])[np.arange(6) % 2][:, None, None]).astype(np.float32)


def test_differences_are_taken_before_they_are_scaled(rng: np.random.Generator) -> None:
    """Where the static kernel is not compiled, no digit is lost."""
    kappa = functools.partial(sk.static_kernels.rational_quadratic, lengthscale=np.array([0.7, 0.3]))
    x = far_apart(rng)
    close(sk.signature_kernel_gram(x, static_kernel=kappa), kernel_in_float64(x, kappa), 1e-5)


@pytest.mark.parametrize("name", ["rbf", "matern12", "matern32", "matern52", "rational_quadratic"])
def test_the_estimate_covers_what_scaling_loses(name: str, rng: np.random.Generator) -> None:
    kappa = functools.partial(getattr(sk.static_kernels, name), lengthscale=np.array([0.7, 0.3]))
    x = far_apart(rng)
    found, error = sk.signature_kernel_gram(x, static_kernel=kappa, return_error=True)
    assert np.all(error >= np.abs(found.numpy() - kernel_in_float64(x, kappa)))


def kernel_in_float64(x: np.ndarray, kappa: Any) -> np.ndarray:
    return sk.signature_kernel_gram(x.astype(np.float64), static_kernel=kappa).numpy()


def test_no_paths_have_no_offset() -> None:
    for name, kappa in KERNELS.items():
        for X, Y in (((0, 4, 2), (3, 5, 2)), ((3, 4, 2), (0, 5, 2)), ((0, 4, 2), (0, 5, 2))):
            found = sk.signature_kernel_gram(np.ones(X), np.ones(Y), static_kernel=kappa)
            assert found.shape == (X[0], Y[0]), name


def test_a_scaled_layer_does_not_see_an_offset(rng: np.random.Generator) -> None:
    X = eighths(rng, 3, 6, 2)
    layer = sk.SignatureLayer(3, trainable_scaling=True)
    layer.build((None, 6, 2))
    layer.scaling.assign([0.3, 0.7])
    exact = sk.signature(X * np.array(layer.scaling, np.float64), 3)[:, 1:]
    close(layer((X + OFFSET).astype(np.float32)), exact, 2e-5)
