"""The kernel of all prefixes, beside the kernel of each prefix by itself and what is known at the edges."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import sigkernel_tf as sk


@pytest.mark.parametrize("static_kernel", [None, functools.partial(sk.static_kernels.rbf, lengthscale=0.7)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_entries_are_the_kernels_of_prefixes(static_kernel, dtype, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(6, 2)).astype(dtype) / 2, rng.normal(size=(4, 2)).astype(dtype) / 2
    U = sk.signature_kernel_surface(x, y, static_kernel=static_kernel)
    assert U.dtype == dtype
    assert U.shape == (6, 4)
    expected = [
        [sk.signature_kernel(x[: i + 1], y[: j + 1], static_kernel=static_kernel).numpy() for j in range(4)]
        for i in range(6)
    ]
    np.testing.assert_allclose(U, expected, rtol=1e-12 if dtype == np.float64 else 1e-5)


def test_the_surface_of_straight_paths_is_a_bessel_function() -> None:
    """U(s, t) = I₀(2 √(s t)) for paths of one channel that rise from 0 to s and to t."""
    x, y = np.arange(5.0)[:, None] / 2, np.arange(4.0)[:, None] / 3
    products = x * y.T
    expected = np.i0(2 * np.sqrt(products))
    np.testing.assert_allclose(sk.signature_kernel_surface(x, y), expected, rtol=1e-7)  # that of np.i0
    np.testing.assert_array_equal(expected[0], 1.0)


def test_chosen_nodes_of_a_batch(rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(2, 3, 9, 2)) / 3, rng.normal(size=(2, 3, 7, 2)) / 3
    every = sk.signature_kernel_surface(X, Y)
    assert every.shape == (2, 3, 9, 7)
    some = sk.signature_kernel_surface(X, Y, rows=[0, 8, 3], columns=[2])
    np.testing.assert_allclose(some, every.numpy()[..., [0, 8, 3], :][..., [2]], rtol=1e-13)


def test_gradients_reach_the_points(rng: np.random.Generator) -> None:
    x, y = (tf.constant(rng.normal(size=(4, 2)) / 2) for _ in range(2))
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(sk.signature_kernel_surface(x, y))
    step = np.zeros((4, 2))
    step[2, 1] = 1e-6
    difference = tf.reduce_sum(sk.signature_kernel_surface(x + step, y) - sk.signature_kernel_surface(x - step, y))
    assert tape.gradient(total, x).numpy()[2, 1] == pytest.approx(difference.numpy() / 2e-6, rel=1e-7)


@pytest.mark.parametrize("rows", [[4], [-1], [], [0.5], [[0]], ["a"]])
def test_points_that_are_not_there_are_refused(rows) -> None:
    with pytest.raises(ValueError, match="rows must be a list of points of X, integers from 0 to 3"):
        sk.signature_kernel_surface(np.zeros((4, 2)), np.zeros((3, 2)), rows=rows)


def test_an_unknown_length_is_refused() -> None:
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float64)])
    def of(x):
        return sk.signature_kernel_surface(x, x)

    with pytest.raises(ValueError, match="X must have a number of time steps that is known"):
        of(np.zeros((3, 2)))
