"""Quadratic forms of packed triangular factors, against NumPy on full matrices."""

import numpy as np
import pytest
import tensorflow as tf
from pairwise import pairwise
from tensorflow_probability import bijectors

from sigkernel_tf.quadratic_forms import quadratic_forms

SIZES = [(1, 1, 1), (2, 3, 2), (3, 1, 33), (1, 12, 33), (4, 50, 65), (2, 0, 5), (0, 4, 3), (1, 7, 130)]  # C, N, M


def problem(sizes: tuple[int, int, int], dtype: type, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Factors, vectors, and a derivative of some result by the forms."""
    C, N, M = sizes
    factors = np.tril(rng.normal(size=(C, M, M))).astype(dtype)
    return factors, rng.normal(size=(M, N)).astype(dtype), rng.normal(size=(C, N)).astype(dtype)


def packed(factors: np.ndarray) -> tf.Tensor:
    return bijectors.FillTriangular().inverse(tf.constant(factors))


def forms_and_gradients(factors: np.ndarray, vectors: np.ndarray, upstream: np.ndarray) -> list[np.ndarray]:
    inputs = [packed(factors), tf.constant(vectors)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        forms = quadratic_forms(*inputs)
    d_factors, d_vectors = tape.gradient(forms, inputs, output_gradients=tf.constant(upstream))
    return [forms.numpy(), bijectors.FillTriangular().forward(d_factors).numpy(), d_vectors.numpy()]


@pairwise({
    "sizes": SIZES, "instructions": ["avx512", "avx2", "baseline"], "dtype": [np.float64, np.float32],
})  # fmt: skip
def test_values_and_gradients(
    sizes: tuple, dtype: type, instructions: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGKERNEL_TF_SIMD", instructions)
    factors, vectors, upstream = problem(sizes, dtype, rng)
    products = np.einsum("cij,in->cjn", factors.astype(float), vectors.astype(float))
    bars = 2 * products * upstream[:, None, :]
    expected = [
        np.sum(products**2, axis=1),
        np.tril(np.einsum("in,cjn->cij", vectors, bars)),
        np.einsum("cij,cjn->in", factors, bars),
    ]
    for got, value in zip(forms_and_gradients(factors, vectors, upstream), expected, strict=True):
        assert got.shape == value.shape
        assert got.dtype == dtype
        tolerance = (1e-13 if dtype == np.float64 else 1e-5) * max(1.0, np.abs(value).max(initial=0.0))
        np.testing.assert_allclose(got, value, rtol=0, atol=tolerance)


def test_second_derivative_is_refused(rng: np.random.Generator) -> None:
    factors, vectors, _ = problem((1, 2, 3), np.float64, rng)
    x = packed(factors)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            forms = quadratic_forms(x, tf.constant(vectors))
        gradient = tape.gradient(forms, x)
    with pytest.raises(LookupError, match="differentiable once"):
        outer.gradient(gradient, x)


@pytest.mark.parametrize(("factors", "vectors"), [((2, 5), (3, 4)), ((2, 0), (0, 4))])
def test_shapes_that_do_not_fit(factors: tuple, vectors: tuple) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="factors must be"):
        quadratic_forms(tf.zeros(factors), tf.zeros(vectors))
