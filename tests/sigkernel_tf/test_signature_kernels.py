"""The signature kernel of paths: pairs, Gram matrices and diagonals, values and gradients."""

from fractions import Fraction

import hypothesis
import numpy as np
import oracles
import pytest
import tensorflow as tf
from hypothesis import strategies
from pairwise import pairwise
from quadruple import MULTIPLE, Oracle
from random_walks import walks

import sigkernel_tf as sk

SOLVERS = [sk.PowerSeries(), sk.FiniteDifference(1), sk.FiniteDifference(1, gradient="theorem_4_1")]
LENGTHS = [1, 2, 33]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("channels", [2, 3, 5])  # test_one_channel.py has 1
def test_random_paths_match_quadruple_precision(
    dtype: type, channels: int, quadruple: Oracle, rng: np.random.Generator
) -> None:
    for _ in range(2):
        X, Y = rng.normal(size=(7, channels)).cumsum(0), rng.normal(size=(6, channels)).cumsum(0)
        largest_increment = np.abs(oracles.increment_products(X, Y)).max()
        X, Y = (path * np.sqrt(5 / largest_increment) for path in (X, Y))  # rough enough to be hard
        X, Y = X.astype(dtype), Y.astype(dtype)
        k, largest = quadruple.one(oracles.increment_products(X.astype(np.float64), Y.astype(np.float64)))
        error = abs(sk.signature_kernel(X[None], Y[None]).numpy()[0] - k)
        assert error <= MULTIPLE * np.finfo(dtype).eps * largest


def test_small_paths_match_exact_signatures() -> None:
    """The inner product of exact signatures: depth 11 leaves less than 1e-12 for these paths."""
    X = [[0, 0], [0.5, 0.25], [0.25, 0.5], [0.75, 0.5]]
    Y = [[0, 0], [-0.25, 0.5], [0.5, 0.5]]
    depth = 11
    S, T = (oracles.exact_signature([[Fraction(v) for v in point] for point in path], depth) for path in (X, Y))
    expected = float(sum(a * b for a, b in zip(S, T, strict=True)))
    k = sk.signature_kernel(np.array([X]), np.array([Y])).numpy()[0]
    assert abs(k - expected) < 1e-12


@pytest.mark.parametrize("solver", SOLVERS[:2], ids=repr)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("length", [*LENGTHS, 1025])
def test_pairs_gram_and_diagonal_agree(solver: sk.Solver, dtype: type, length: int, rng: np.random.Generator) -> None:
    X = walks(rng, 3, length, 2).astype(dtype)
    Y = walks(rng, 4, 9, 2).astype(dtype)
    gram = sk.signature_kernel_gram(X, Y, solver=solver).numpy()
    assert gram.shape == (3, 4)
    assert gram.dtype == dtype
    rtol = 1e-12 if dtype == np.float64 else 1e-4
    for i in range(3):
        pairs = sk.signature_kernel(np.repeat(X[i : i + 1], 4, 0), Y, solver=solver)
        np.testing.assert_allclose(gram[i], pairs, rtol=rtol)
    symmetric = sk.signature_kernel_gram(X, solver=solver).numpy()
    np.testing.assert_array_equal(symmetric, symmetric.T)
    np.testing.assert_allclose(symmetric, sk.signature_kernel_gram(X, X, solver=solver), rtol=rtol)
    np.testing.assert_allclose(np.diag(symmetric), sk.signature_kernel_diag(X, solver=solver), rtol=rtol)
    np.testing.assert_allclose(sk.signature_kernel(X, X, solver=solver), np.diag(symmetric), rtol=rtol)


def test_a_gram_matrix_of_random_paths_is_positive_semi_definite(rng: np.random.Generator) -> None:
    gram = sk.signature_kernel_gram(walks(rng, 100, 12, 3, scale=2)).numpy()
    np.testing.assert_array_equal(gram, gram.T)
    assert np.linalg.eigvalsh(gram)[0] > -1e-9 * np.trace(gram)


def test_the_kernel_is_at_least_the_square_of_any_truncated_signature(rng: np.random.Generator) -> None:
    X = np.concatenate([walks(rng, 20, 8, 3, scale=3), rng.normal(size=(20, 8, 3))])  # the second are far rougher
    k = sk.signature_kernel_diag(X).numpy()
    for num_words in (1, 2, 4, 13, 40, 121, 300, 1093):
        S = sk.signature(X, num_words=num_words).numpy()
        assert np.all(k >= (1 - 1e-12) * np.sum(S**2, axis=1)), num_words


def loss(K: tf.Tensor) -> tf.Tensor:
    """Weights every entry differently, so that no gradient can be right by symmetry."""
    flat = tf.reshape(K, [-1])
    return tf.reduce_sum(flat * tf.linspace(tf.constant(0.5, K.dtype), 1.5, tf.size(flat)))


@pairwise({
    "operation": ["pairs", "gram", "symmetric_gram", "diagonal"], "length": [1, 2, 7],
    "solver": [sk.PowerSeries(), sk.FiniteDifference(), sk.FiniteDifference(1)],
})  # fmt: skip
def test_adjoint_matches_central_differences(
    operation: str, length: int, solver: sk.Solver, rng: np.random.Generator
) -> None:
    X, Y = walks(rng, 3, length, 2, scale=1.5), walks(rng, 3, 5, 2, scale=1.5)
    functions = {
        "pairs": lambda X, Y: sk.signature_kernel(X, Y, solver=solver),
        "gram": lambda X, Y: sk.signature_kernel_gram(X, Y, solver=solver),
        "symmetric_gram": lambda X, _: sk.signature_kernel_gram(X, solver=solver),
        "diagonal": lambda X, _: sk.signature_kernel_diag(X, solver=solver),
    }
    function = functions[operation]
    with tf.GradientTape() as tape:
        x, y = tf.constant(X), tf.constant(Y)
        tape.watch([x, y])
        value = loss(function(x, y))
    dX, dY = tape.gradient(value, [x, y])
    expected = oracles.central_differences(lambda x: loss(function(x, Y)), X, step=1e-3)
    assert np.max(np.abs(dX - expected)) <= 1e-7 * max(1, np.max(np.abs(expected)))
    if operation in ("symmetric_gram", "diagonal"):
        assert dY is None
        return
    expected = oracles.central_differences(lambda y: loss(function(X, y)), Y, step=1e-3)
    assert np.max(np.abs(dY - expected)) <= 1e-7 * max(1, np.max(np.abs(expected)))


def gradient_of(function, X: np.ndarray) -> np.ndarray:
    with tf.GradientTape() as tape:
        x = tf.constant(X)
        tape.watch(x)
        value = loss(function(x))
    return tape.gradient(value, x).numpy()


@pytest.mark.parametrize("operation", [sk.signature_kernel_gram, sk.signature_kernel_diag])
def test_theorem_4_1_converges_to_the_adjoint_at_second_order(operation, rng: np.random.Generator) -> None:
    X = walks(rng, 3, 6, 2)
    exact = gradient_of(operation, X)
    errors = []
    for order in range(2, 6):
        solver = sk.FiniteDifference(order, gradient="theorem_4_1")
        errors.append(np.max(np.abs(gradient_of(lambda x, s=solver: operation(x, solver=s), X) - exact)))
    rates = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(np.abs(rates - 2) < 0.3), rates


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_the_diagonals_gradient_is_that_of_a_pair_by_both_arguments(
    solver: sk.Solver, rng: np.random.Generator
) -> None:
    X = walks(rng, 4, 33, 3)
    with tf.GradientTape() as tape:
        x, y = tf.constant(X), tf.constant(X)
        tape.watch([x, y])
        value = loss(sk.signature_kernel(x, y, solver=solver))
    dX, dY = tape.gradient(value, [x, y])
    diagonal = gradient_of(lambda x: sk.signature_kernel_diag(x, solver=solver), X)
    np.testing.assert_allclose(diagonal, dX + dY, rtol=0, atol=1e-11 * np.max(np.abs(dX)))


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_float32_gradient_follows_float64s(solver: sk.Solver, rng: np.random.Generator) -> None:
    X = walks(rng, 4, 33, 3)
    exact = gradient_of(lambda x: sk.signature_kernel_gram(x, solver=solver), X)
    single = gradient_of(lambda x: sk.signature_kernel_gram(x, solver=solver), X.astype(np.float32))
    assert single.dtype == np.float32
    assert np.max(np.abs(single - exact)) < 1e-4 * max(1, np.max(np.abs(exact)))


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_long_paths_gradient_in_a_direction(solver: sk.Solver, rng: np.random.Generator) -> None:
    """L = 1025: many strips of the backward sweep, against a difference along a random direction."""
    X, V = walks(rng, 1, 1025, 2), walks(rng, 1, 1025, 2)
    slope = np.sum(gradient_of(lambda x: sk.signature_kernel_diag(x, solver=solver), X) * V)
    h = 1e-3
    k = {s: float(loss(sk.signature_kernel_diag(X + s * h * V, solver=solver))) for s in (-2, -1, 1, 2)}
    difference = (8 * (k[1] - k[-1]) - (k[2] - k[-2])) / (12 * h)
    bound = 1e-3 if getattr(solver, "gradient", "") == "theorem_4_1" else 1e-7
    assert abs(slope - difference) < bound * max(1, abs(difference))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_path_of_one_point_has_kernel_one(dtype: type, rng: np.random.Generator) -> None:
    point, X = rng.normal(size=(2, 1, 3)).astype(dtype), walks(rng, 2, 5, 3).astype(dtype)
    for solver in SOLVERS:
        np.testing.assert_array_equal(sk.signature_kernel(point, X, solver=solver), np.ones(2))
        np.testing.assert_array_equal(sk.signature_kernel_gram(point, solver=solver), np.ones((2, 2)))
        np.testing.assert_array_equal(sk.signature_kernel_diag(point, solver=solver), np.ones(2))


def test_empty_batches(rng: np.random.Generator) -> None:
    none, X = np.zeros((0, 5, 2)), walks(rng, 3, 4, 2)
    assert sk.signature_kernel(none, none).shape == (0,)
    assert sk.signature_kernel_gram(none, X).shape == (0, 3)
    assert sk.signature_kernel_gram(X, none).shape == (3, 0)
    assert sk.signature_kernel_gram(none).shape == (0, 0)
    assert sk.signature_kernel_diag(none).shape == (0,)
    with tf.GradientTape() as tape:
        x, y = tf.constant(X), tf.constant(none)
        tape.watch([x, y])
        K = sk.signature_kernel_gram(x, y)
    dX, dY = tape.gradient(K, [x, y])
    np.testing.assert_array_equal(dX, np.zeros_like(X))
    assert dY.shape == none.shape


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("spec", [tf.TensorSpec(None, tf.float64), tf.TensorSpec([None, None, 2], tf.float64)], ids=str)
def test_unknown_shapes_in_a_function(solver: sk.Solver, spec: tf.TensorSpec, rng: np.random.Generator) -> None:
    @tf.function(input_signature=[spec, spec])
    def gradients(X: tf.Tensor, Y: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch([X, Y])
            value = loss(sk.signature_kernel_gram(X, Y, solver=solver)) + loss(
                sk.signature_kernel_diag(X, solver=solver)
            )
        return value, tape.gradient(value, [X, Y])

    for lengths in ((4, 6), (1, 3)):
        X, Y = walks(rng, 3, lengths[0], 2), walks(rng, 2, lengths[1], 2)
        value, (dX, dY) = gradients(X, Y)
        eager = loss(sk.signature_kernel_gram(X, Y, solver=solver)) + loss(sk.signature_kernel_diag(X, solver=solver))
        np.testing.assert_allclose(value, eager, rtol=1e-14)
        assert (dX.shape, dY.shape) == (X.shape, Y.shape)


def test_static_shapes_are_inferred() -> None:
    @tf.function(input_signature=[tf.TensorSpec([5, None, 2], tf.float32), tf.TensorSpec([None, 7, 2], tf.float32)])
    def gram(X: tf.Tensor, Y: tf.Tensor) -> tf.Tensor:
        return sk.signature_kernel_gram(X, Y)

    assert gram.get_concrete_function().output_shapes == tf.TensorShape([5, None])


def test_results_depend_on_the_batch_by_less_than_the_tolerance(rng: np.random.Generator) -> None:
    """Neighbours are solved at one degree, the largest that one of them needs."""
    X, Y = walks(rng, 40, 9, 3), walks(rng, 40, 9, 3)
    X[7] *= 6
    for solver, tolerance in ((sk.PowerSeries(), 1e-14), (sk.PowerSeries(1e-6), 1e-6), (sk.FiniteDifference(), 0)):
        together = sk.signature_kernel(X, Y, solver=solver).numpy()
        apart = [sk.signature_kernel(X[i : i + 1], Y[i : i + 1], solver=solver).numpy()[0] for i in range(40)]
        np.testing.assert_allclose(together, apart, rtol=tolerance, atol=tolerance)


def test_gram_gradients_are_repeatable(rng: np.random.Generator) -> None:
    X = walks(rng, 50, 9, 3)
    first = gradient_of(sk.signature_kernel_gram, X)
    for _ in range(5):
        np.testing.assert_array_equal(gradient_of(sk.signature_kernel_gram, X), first)


paths = strategies.integers(0, 2**32 - 1).map(lambda seed: walks(np.random.default_rng(seed), 2, 6, 2, scale=2))


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(X=paths, at=strategies.integers(0, 4), where=strategies.floats(0, 1))
def test_invariances(X: np.ndarray, at: int, where: float) -> None:
    """k is symmetric; a point on a segment, padding, a translation and a way out and back change nothing."""
    x, y = X[:1], X[1:]
    k = sk.signature_kernel(x, y).numpy()

    def unchanged(x: np.ndarray, y: np.ndarray) -> None:
        np.testing.assert_allclose(sk.signature_kernel(x, y), k, rtol=1e-12, atol=1e-12)

    unchanged(y, x)
    between = (1 - where) * x[:, at] + where * x[:, at + 1]
    unchanged(np.insert(x, at + 1, between, axis=1), y)
    unchanged(np.concatenate([x, x[:, -1:], x[:, -1:]], axis=1), y)
    unchanged(x + 3.0, y - 2.0)
    unchanged(np.insert(x, [at + 1, at + 1], np.stack([x[:, at] + 0.7, x[:, at]], axis=1), axis=1), y)


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(X=paths, factor=strategies.floats(0.1, 2))
def test_scaling_moves_between_the_arguments(X: np.ndarray, factor: float) -> None:
    x, y = X[:1], X[1:]
    np.testing.assert_allclose(
        sk.signature_kernel(x * factor, y), sk.signature_kernel(x, y * factor), rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(bad: float, rng: np.random.Generator) -> None:
    X, broken = walks(rng, 3, 5, 2), walks(rng, 3, 5, 2)
    broken[2, 3, 1] = bad
    where = "path 2 has .* at time step 3, channel 1"
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"Y must hold finite numbers; {where}"):
        sk.signature_kernel(X, broken)
    for call in (sk.signature_kernel_gram, sk.signature_kernel_diag):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"X must hold finite numbers; {where}"):
            call(broken)


def test_overflow_names_the_pair_and_its_increments() -> None:
    X = np.linspace(0, 1, 20)[None, :, None] * np.array([1.0, 5000.0])[:, None, None]
    X = np.pad(X, ((0, 0), (0, 0), (0, 1)))  # a second channel, so that the grid is swept
    message = r"X\[1\] and X\[1\].*inner products up to {}.*overflows {}. Rescale"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message.format("69252", "float64")):
        sk.signature_kernel_gram(X, solver=sk.FiniteDifference())
    for operation in (sk.signature_kernel_gram, sk.signature_kernel_diag):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message.format("6.9", "float32")):
            operation(np.float32(X / 100))


def test_of_several_pairs_that_overflow_the_first_is_named() -> None:
    """Those behind it are skipped, by every thread."""
    X = np.random.default_rng(0).normal(size=(40, 5, 2)) / 10
    for far in (21, 22, 39):
        X[far, :, 0] = 25 * np.arange(5)
    X = np.float32(X)
    for call in (lambda: sk.signature_kernel(X, X), lambda: sk.signature_kernel_diag(X)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"X\[21\] and [XY]\[21\]"):
            call()
    for call in (lambda: sk.signature_kernel_gram(X), lambda: sk.signature_kernel_gram(X, X[::-1])):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"X\[21\] and (X\[21|Y\[0)\]"):
            call()


def test_faults_of_shape_and_dtype_are_explained() -> None:
    X = np.zeros((2, 5, 3))
    for call in (sk.signature_kernel_diag, sk.signature_kernel_gram):
        with pytest.raises(ValueError, match=r"X must have rank 3 or more, .*got shape \(2, 5\): .*X\[\.\.\., None\]"):
            call(X[..., 0])
    with pytest.raises(ValueError, match=r"Y must have rank 2 or more, .*got shape \(5,\): .*Y\[:, None\]"):
        sk.signature_kernel(X[0], X[0, :, 0])
    with pytest.raises(ValueError, match="Y must have at least one time step"):
        sk.signature_kernel(X, X[:, :0])
    with pytest.raises(ValueError, match="same number of paths, got 2 and 1"):
        sk.signature_kernel(X, X[:1])
    with pytest.raises(ValueError, match="same number of channels, got 3 and 2"):
        sk.signature_kernel_gram(X, X[..., :2])
    with pytest.raises(ValueError, match="at least one channel"):
        sk.signature_kernel_gram(X[..., :0])
    with pytest.raises(TypeError, match="X must be float32 or float64, got int64"):
        sk.signature_kernel_gram(X.astype(np.int64))
    with pytest.raises(TypeError, match="one dtype, got float64 and float32"):
        sk.signature_kernel(X, X.astype(np.float32))


def test_faults_of_shape_at_run_time_are_explained() -> None:
    anything = tf.TensorSpec(None, tf.float64)
    pairs = tf.function(sk.signature_kernel, input_signature=[anything, anything])
    gram = tf.function(sk.signature_kernel_gram, input_signature=[anything, anything])
    X = np.zeros((2, 5, 3))
    with pytest.raises(tf.errors.InvalidArgumentError, match="X must have rank 3"):
        gram(X[0], X)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Y must have at least one time step"):
        gram(X, X[:, :0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="same number of channels, got 3 and 2"):
        gram(X, X[..., :2])
    with pytest.raises(tf.errors.InvalidArgumentError, match="same number of paths, got 2 and 1"):
        pairs(X, X[:1])


def test_a_function_for_xla_is_refused_clearly() -> None:
    @tf.function(jit_compile=True)
    def diagonal(X: tf.Tensor) -> tf.Tensor:
        return sk.signature_kernel_diag(X)

    with pytest.raises(NotImplementedError, match="leave out jit_compile"):
        diagonal(tf.zeros([1, 3, 2]))
