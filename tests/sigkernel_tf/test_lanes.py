"""The results do not depend on how problems are dealt to SIMD lanes and to blocks."""

import functools

import numpy as np
import oracles
import pytest
import tensorflow as tf
from pairwise import pairwise
from quadruple import Oracle
from random_walks import walks

import sigkernel_tf as sk

# Where the machine lacks a set, a smaller one is taken, and a set is compared with itself.
SETS = ["avx512", "avx2", "baseline"]
RBF = functools.partial(sk.static_kernels.rbf, lengthscale=0.6, variance=1.5)
SOLVERS = [
    sk.PowerSeries(),
    sk.PowerSeries(1e-6),
    sk.FiniteDifference(),
    sk.FiniteDifference(2),
    sk.FiniteDifference(1, gradient="theorem_4_1"),
]


def value_and_gradients(function, *paths: np.ndarray) -> list[np.ndarray]:
    tensors = [tf.constant(x) for x in paths]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        k = function(*tensors)
        weighted = tf.reduce_sum(k * tf.cast(tf.reshape(tf.range(1, tf.size(k) + 1), tf.shape(k)), k.dtype))
    return [k.numpy(), *(g.numpy() for g in tape.gradient(weighted, tensors))]


@pairwise({"solver": SOLVERS, "dtype": [np.float64, np.float32], "lengths": [(1, 4), (2, 2), (33, 18), (70, 40)]})
def test_every_instruction_set_gives_the_same(
    solver: sk.Solver, dtype: type, lengths: tuple[int, int], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks are full and short, Gram matrices wide, tall and symmetric, and some grids are halved by symmetry."""
    X, Y = walks(rng, 19, lengths[0], 3).astype(dtype), walks(rng, 19, lengths[1], 3).astype(dtype)
    increments = np.diff(X, axis=1), np.diff(Y, axis=1)
    cases = [
        (lambda x, y: sk.signature_kernel(x, y, solver=solver), (X, Y)),
        (lambda x, y: sk.signature_kernel(x, y, solver=solver), (X[:1], Y[:1])),
        (lambda x, y: sk.signature_kernel_gram(x, y, solver=solver), (X[:5], Y)),
        (lambda x, y: sk.signature_kernel_gram(x, y, solver=solver), (X, Y[:2])),
        (lambda x: sk.signature_kernel_gram(x, solver=solver), (X,)),
        (lambda x: sk.signature_kernel_diag(x, solver=solver), (X,)),
        (lambda p: sk.solve_goursat(p, solver=solver), (np.einsum("aid,ajd->aij", *increments),)),
        (lambda x, y: sk.signature_kernel(x, y, static_kernel=RBF, solver=solver), (X, Y)),
        (lambda x: sk.signature_kernel_gram(x, static_kernel=RBF, solver=solver), (X,)),
        (lambda x, y: sk.directional_derivative(x, y, x * x, solver=solver)[1], (X, Y)),
        (lambda x, y: sk.directional_derivative(x, y, x * x, static_kernel=RBF, solver=solver)[1], (X, Y)),
    ]  # fmt: skip
    tolerance = max(getattr(solver, "tolerance", None) or 0, 1e-11 if dtype == np.float64 else 3e-4)
    for number, (function, paths) in enumerate(cases):
        results = {}
        for name in SETS:
            monkeypatch.setenv("SIGKERNEL_TF_SIMD", name)
            has_gradient = number < len(cases) - 2
            results[name] = value_and_gradients(function, *paths) if has_gradient else [function(*paths).numpy()]
        for name in SETS[:-1]:
            for got, expected in zip(results[name], results["baseline"], strict=True):
                scale = max(1.0, np.abs(expected).max(initial=0))
                np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale, err_msg=f"case {number}")


@pairwise({"solver": SOLVERS[:3], "dtype": [np.float64, np.float32], "lengths": [(65, 65), (100, 73), (73, 300)]})
def test_a_pair_alone_is_that_pair_among_others(
    solver: sk.Solver, dtype: type, lengths: tuple[int, int], rng: np.random.Generator
) -> None:
    """A single long pair takes all lanes, along antidiagonals."""
    X, Y = (walks(rng, 20, length, 2).astype(dtype) for length in lengths)
    tolerance = max(getattr(solver, "tolerance", None) or 0, 1e-13 if dtype == np.float64 else 1e-5)
    many = sk.signature_kernel(X, Y, solver=solver).numpy()
    for i in range(3):
        alone = sk.signature_kernel(X[i : i + 1], Y[i : i + 1], solver=solver).numpy()[0]
        assert abs(alone - many[i]) <= tolerance * max(1, abs(many[i]))


def test_a_pair_alone_that_needs_a_refinement() -> None:
    """The lines go in opposite directions, so that the terms are far larger than their sum."""
    X = np.pad(np.linspace(0, 60, 65)[None, :, None], ((0, 0), (0, 0), (0, 1)))  # two channels: the grid is swept
    among_others = sk.signature_kernel(np.repeat(X, 20, 0), -np.repeat(X, 20, 0)).numpy()
    alone = sk.signature_kernel(X, -X).numpy()
    np.testing.assert_allclose(alone, among_others[:1], atol=1e-10)


def jump(rng: np.random.Generator, length: int) -> np.ndarray:
    return (np.arange(length)[:, None] >= rng.integers(1, length)) * rng.normal(size=2) * 2


def spike(rng: np.random.Generator, length: int) -> np.ndarray:
    return walks(rng, 1, length, 2)[0] * 0.1 + (np.arange(length)[:, None] == rng.integers(1, length - 1)) * 1.5


def walk(rng: np.random.Generator, length: int) -> np.ndarray:
    return walks(rng, 1, length, 2)[0] * 2


@pytest.mark.parametrize("first", [jump, spike, walk])
@pytest.mark.parametrize("second", [jump, spike, walk])
def test_tolerance_holds_where_signs_alternate(first, second, quadruple: Oracle, rng: np.random.Generator) -> None:
    """The degree is chosen from partial sums of the increments, and checked on the sweep's own coefficients."""
    for _ in range(2):
        X, Y = first(rng, 8), second(rng, 7)
        k, largest = quadruple.one(oracles.increment_products(X, Y))
        for tolerance in (1e-3, 1e-5, 1e-7, 1e-9, 1e-11):
            error = abs(sk.signature_kernel(X[None], Y[None], solver=sk.PowerSeries(tolerance)).numpy()[0] - k)
            assert error <= tolerance * largest


@pytest.mark.slow
@pytest.mark.ci
def test_gradient_of_paths_of_ten_thousand_steps(rng: np.random.Generator) -> None:
    """There are more edges than are kept at once, so that strips of tiles are swept again."""
    # The second channel stands still, so that only end points matter and yet the grid is swept.
    X, Y, direction = (tf.pad(walks(rng, 1, 10_001, 1), [[0, 0], [0, 0], [0, 1]]) for _ in range(3))
    solver = sk.PowerSeries(1e-8)
    with tf.GradientTape() as tape:
        tape.watch(X)
        k = sk.signature_kernel(X, Y, solver=solver)
    expected = sk.signature_kernel(X[:, ::10_000], Y[:, ::10_000])
    assert abs(float(k[0]) - float(expected[0])) < 1e-6 * float(abs(expected[0]) + 1)
    _, derivative = sk.directional_derivative(X[:, ::100], Y[:, ::100], direction[:, ::100], solver=solver)
    contracted = float(tf.reduce_sum(tape.gradient(k, X) * direction))
    assert contracted == pytest.approx(float(derivative[0]), rel=1e-5, abs=1e-6)
