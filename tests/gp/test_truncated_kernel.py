"""GPSig's kernel: sums over index tuples, explicit signatures, and what choosing between them must not change."""

import itertools
import math
from collections.abc import Callable, Sequence

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from oracles import discretized_levels, inner_product, slope

from sigkernel_tf.gp import SignatureKernel, TruncatedSignatureKernel, flatten_paths
from sigkernel_tf.gp.kernels import truncated

ORDERS = [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3), (4, 1), (4, 2), (4, 3), (4, 4), (5, 2), (5, 5)]
LENGTHSCALES = np.array([0.8, 1.7])


WAYS = (False, True)  # by explicit signatures or not


def check_gradients(value: Callable, X: np.ndarray, variables: Sequence[tf.Variable], rng: np.random.Generator) -> None:
    """The gradient of ``value(X)`` in X and in variables, along a random direction, against differences."""
    x, starts = tf.constant(X), [np.array(variable) for variable in variables]
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = value(x)
    gradients = tape.gradient(total, [x, *variables])
    for index, (gradient, start) in enumerate(zip(gradients, [X, *starts], strict=True)):
        direction = rng.normal(size=start.shape)

        def at(array: np.ndarray, index: int = index) -> float:
            if index == 0:
                return float(value(tf.constant(array)))
            variables[index - 1].assign(array)
            return float(value(x))

        expected = slope(at, start, direction)
        np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-6, atol=1e-8)
        if index > 0:
            variables[index - 1].assign(start)


def brute_force(X: np.ndarray, Y: np.ndarray, depth: int, order: int, weights: np.ndarray) -> np.ndarray:
    X_levels, Y_levels = ([discretized_levels(path, depth, order) for path in paths] for paths in (X, Y))
    return np.array([[inner_product(x, y, weights) for y in Y_levels] for x in X_levels])


@pytest.mark.parametrize(("depth", "order"), ORDERS)
def test_against_sums_over_index_tuples(depth: int, order: int, walks: Callable, rng: np.random.Generator) -> None:
    X, Y, weights = walks(4, 6, 2, 1.5), walks(3, 4, 2, 1.5), rng.uniform(0.3, 2.0, depth + 1)
    cross, gram = (brute_force(X / LENGTHSCALES, Z / LENGTHSCALES, depth, order, weights) for Z in (Y, X))
    for explicit in WAYS:
        kernel = TruncatedSignatureKernel(
            2, depth, discretization_order=order, lengthscales=LENGTHSCALES, variance=1.3, level_variances=weights,
            explicit=explicit,
        )  # fmt: skip
        K = kernel(flatten_paths(X)).numpy()
        np.testing.assert_allclose(kernel(flatten_paths(X), flatten_paths(Y)), 1.3 * cross, rtol=1e-11)
        np.testing.assert_allclose(K, 1.3 * gram, rtol=1e-11)
        np.testing.assert_array_equal(K, K.T)
        np.testing.assert_allclose(kernel(flatten_paths(X), full_cov=False), 1.3 * np.diag(gram), rtol=1e-11)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("normalize", [False, True])
def test_both_arguments_decide_and_normalizing_divides(order: int, normalize: bool, walks: Callable) -> None:
    X, Y = walks(4, 5, 2), walks(3, 7, 2)
    kernel = TruncatedSignatureKernel(2, 3, discretization_order=order, variance=2.0, normalize=normalize)
    cross, (x, y) = brute_force(X, Y, 3, order, np.ones(4)), (
        np.diag(brute_force(Z, Z, 3, order, np.ones(4))) for Z in (X, Y)
    )  # fmt: skip
    expected = 2.0 * (cross / np.sqrt(np.outer(x, y)) if normalize else cross)
    np.testing.assert_allclose(kernel(flatten_paths(X), flatten_paths(Y)), expected, rtol=1e-11)
    np.testing.assert_allclose(kernel.K_diag(flatten_paths(X)), 2.0 * (np.ones(4) if normalize else x), rtol=1e-11)


def test_deep_enough_it_is_the_signature_kernel(walks: Callable) -> None:
    X, Y = flatten_paths(walks(5, 9, 2)), flatten_paths(walks(4, 6, 2))
    exact, deep = SignatureKernel(2, lengthscales=1.4), TruncatedSignatureKernel(2, 9, lengthscales=1.4)
    np.testing.assert_allclose(deep(X, Y), exact(X, Y), rtol=1e-8)
    np.testing.assert_allclose(deep.K_diag(X), exact.K_diag(X), rtol=1e-8)


@pytest.mark.parametrize("length", [1, 2, 33, 1025])
def test_lengths(length: int, walks: Callable, numpy_signature: Callable) -> None:
    X, Y = walks(2, length, 2), walks(1, 5, 2)
    expected = numpy_signature(X, 3) @ numpy_signature(Y, 3).T
    for explicit in (False, True):
        kernel = TruncatedSignatureKernel(2, 3, explicit=explicit)
        np.testing.assert_allclose(kernel(flatten_paths(X), flatten_paths(Y)), expected, rtol=1e-9)


def test_long_paths_with_themselves(walks: Callable, numpy_signature: Callable) -> None:
    X = walks(1, 1025, 2)
    kernel = TruncatedSignatureKernel(2, 2, explicit=False)
    np.testing.assert_allclose(kernel.K_diag(flatten_paths(X))[0], np.sum(numpy_signature(X, 2) ** 2), rtol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_padding_changes_nothing(order: int, walks: Callable) -> None:
    X = walks(4, 6, 2)
    padded = np.concatenate([X, np.repeat(X[:, -1:], 5, axis=1)], axis=1)
    kernel = TruncatedSignatureKernel(2, 4, discretization_order=order)
    np.testing.assert_allclose(kernel(flatten_paths(padded)), kernel(flatten_paths(X)), rtol=1e-12)


def test_a_point_on_a_segment_changes_lower_orders_alone(walks: Callable) -> None:
    X = walks(3, 4, 2)
    finer = np.stack([np.insert(x, 2, 0.3 * x[1] + 0.7 * x[2], axis=0) for x in X])
    exact, strict = (TruncatedSignatureKernel(2, 3, discretization_order=order) for order in (3, 1))
    np.testing.assert_allclose(exact(flatten_paths(finer)), exact(flatten_paths(X)), rtol=1e-12)
    assert np.abs(strict(flatten_paths(finer)) - strict(flatten_paths(X))).max() > 1e-3


@pytest.mark.parametrize(("depth", "order"), [(1, 1), (3, 1), (3, 2), (3, 3), (4, 4)])
@pytest.mark.parametrize("normalize", [False, True])
def test_gradients(depth: int, order: int, normalize: bool, walks: Callable, rng: np.random.Generator) -> None:
    X, Y = flatten_paths(walks(3, 4, 2)), flatten_paths(walks(2, 5, 2))
    C, d, S = rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=(3, 3))
    for explicit in WAYS:
        kernel = TruncatedSignatureKernel(
            2, depth, discretization_order=order, lengthscales=LENGTHSCALES,
            level_variances=np.linspace(0.5, 2, depth + 1), normalize=normalize, explicit=explicit,
        )  # fmt: skip

        def value(x: tf.Tensor, kernel: TruncatedSignatureKernel = kernel) -> tf.Tensor:
            return tf.reduce_sum(C * kernel(x, Y)) + tf.reduce_sum(d * kernel.K_diag(x)) + tf.reduce_sum(S * kernel(x))

        check_gradients(value, X, kernel.trainable_variables, rng)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("shape", [[None, None], [3, 12]])
def test_chunks_change_nothing(
    order: int, shape: list[int | None], walks: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether in one piece or a pair at a time, in a graph with known shapes or unknown ones: values and gradients."""
    X, Y = flatten_paths(walks(3, 6, 2)), flatten_paths(walks(2, 4, 2))

    def everything(x: tf.Tensor) -> list[tf.Tensor]:
        variables = kernel.trainable_variables
        with tf.GradientTape() as tape:
            tape.watch(x)
            results = kernel(x, Y), kernel(x), kernel.K_diag(x)
            total = tf.add_n([tf.reduce_sum(tf.sin(result)) for result in results])
        return [*results, *tape.gradient(total, [x, *variables])]

    signature = [tf.TensorSpec(shape, tf.float64)]
    for way in WAYS:
        kernel = TruncatedSignatureKernel(2, 3, discretization_order=order, explicit=way)
        expected = everything(tf.constant(X))
        for numbers, run in (
            (1, everything),
            (40, tf.function(everything, input_signature=signature, autograph=False)),
        ):
            monkeypatch.setattr(truncated, "_NUMBERS_AT_ONCE", numbers)
            monkeypatch.setattr(truncated, "_WORDS_AT_ONCE", numbers)
            for found, result in zip(run(tf.constant(X)), expected, strict=True):
                np.testing.assert_allclose(found, result, rtol=1e-11, atol=1e-13)


def lifted_brute_force(X: np.ndarray, Y: np.ndarray, kappa: Callable, depth: int, order: int) -> np.ndarray:
    """Tuple by tuple in both paths, of products of κ's double differences."""

    def tuples(steps: int, k: int) -> list[tuple[tuple[int, ...], float]]:
        found = []
        for indices in itertools.combinations_with_replacement(range(steps), k):
            repeats = [indices.count(i) for i in set(indices)]
            if max(repeats) <= order:
                found.append((indices, 1.0 / math.prod(map(math.factorial, repeats))))
        return found

    def of_pair(x: np.ndarray, y: np.ndarray) -> float:
        p = np.diff(np.diff(np.array([[kappa(a, b) for b in y] for a in x]), axis=0), axis=1)
        total = 1.0
        for k in range(1, depth + 1):
            for i, a in tuples(len(x) - 1, k):
                total += sum(a * b * np.prod(p[list(i), list(j)]) for j, b in tuples(len(y) - 1, k))
        return total

    return np.array([[of_pair(x, y) for y in Y] for x in X])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_static_kernels(order: int, walks: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    X, Y = walks(3, 4, 2), walks(2, 5, 2)

    def matern(a: np.ndarray, b: np.ndarray) -> float:
        r = np.sqrt(5 * np.sum((a - b) ** 2)) / 0.9
        return 1.3 * (1 + r + r**2 / 3) * np.exp(-r)

    kernel = TruncatedSignatureKernel(
        2, 3, discretization_order=order, static_kernel=gpflow.kernels.Matern52(variance=1.3, lengthscales=0.9)
    )
    assert not kernel.explicit
    x, y = flatten_paths(X), flatten_paths(Y)

    def everything() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            results = kernel(x, y), kernel(x), kernel.K_diag(x)
            total = tf.add_n([tf.reduce_sum(tf.sin(result)) for result in results])
        return [*results, *tape.gradient(total, kernel.trainable_variables)]

    expected = everything()
    np.testing.assert_allclose(expected[0], lifted_brute_force(X, Y, matern, 3, order), rtol=1e-9)
    np.testing.assert_allclose(expected[1], lifted_brute_force(X, X, matern, 3, order), rtol=1e-9)
    np.testing.assert_allclose(expected[2], np.diag(expected[1]), rtol=1e-12)
    monkeypatch.setattr(truncated, "_NUMBERS_AT_ONCE", 40)
    for way in (everything, tf.function(everything, autograph=False)):
        for found, result in zip(way(), expected, strict=True):
            np.testing.assert_allclose(found, result, rtol=1e-8, atol=1e-11)


def test_a_linear_static_kernel_scales_points(walks: Callable) -> None:
    X = flatten_paths(walks(4, 5, 2))
    linear = TruncatedSignatureKernel(2, 3, static_kernel=gpflow.kernels.Linear(variance=[0.5, 2.0]))
    plain = TruncatedSignatureKernel(2, 3, lengthscales=[1 / np.sqrt(0.5), 1 / np.sqrt(2.0)])
    assert linear.explicit
    np.testing.assert_allclose(linear(X), plain(X), rtol=1e-12)
    np.testing.assert_allclose(linear.features(X), plain.features(X), rtol=1e-12)
    Z = np.random.default_rng(0).normal(size=(3, 6, 2))
    np.testing.assert_allclose(linear.K_tensors(Z), plain.K_tensors(Z), rtol=1e-12)
    np.testing.assert_allclose(linear.K_tensors_paths(Z, X), plain.K_tensors_paths(Z, X), rtol=1e-12)
    lifted = TruncatedSignatureKernel(2, 3, static_kernel=gpflow.kernels.RBF())
    for call in (lambda: lifted.features(X), lambda: lifted.K_tensors(Z), lambda: lifted.K_tensors_paths(Z, X)):
        with pytest.raises(TypeError, match="only for the linear static kernel, got static_kernel=SquaredExponential"):
            call()


def test_explicit_is_chosen_by_the_number_of_words() -> None:
    assert TruncatedSignatureKernel(8, 4).explicit  # 4681 words
    assert not TruncatedSignatureKernel(9, 4).explicit  # 7381
    assert TruncatedSignatureKernel(8, 4, discretization_order=3).explicit
    assert TruncatedSignatureKernel(9, 4, explicit=True).explicit


@pytest.mark.parametrize("length", [1, 2, 33, 1025])
@pytest.mark.parametrize("order", [1, 2])
def test_both_ways_agree_at_lower_orders(length: int, order: int, walks: Callable) -> None:
    X, Y = flatten_paths(walks(2, length, 2)), flatten_paths(walks(3, 5, 2))
    by_sums, explicit = (TruncatedSignatureKernel(2, 3, discretization_order=order, explicit=way) for way in WAYS)
    np.testing.assert_allclose(explicit(X, Y), by_sums(X, Y), rtol=1e-9)


def test_features_are_the_kernel(walks: Callable, numpy_signature: Callable) -> None:
    X, weights = walks(4, 5, 2), np.array([0.5, 1.0, 2.0, 0.25])
    words = np.repeat(weights, [1, 2, 4, 8])
    for normalize in (False, True):
        kernel = TruncatedSignatureKernel(2, 3, variance=1.7, level_variances=weights, normalize=normalize)
        F = kernel.features(flatten_paths(X))
        S = numpy_signature(X, 3) * np.sqrt(words)
        expected = np.sqrt(1.7) * (S / np.linalg.norm(S, axis=1, keepdims=True) if normalize else S)
        np.testing.assert_allclose(F, expected, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(tf.matmul(F, F, transpose_b=True), kernel(flatten_paths(X)), rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_features_of_lower_orders(order: int, walks: Callable) -> None:
    X = walks(4, 5, 2)
    levels = [discretized_levels(path, 3, order) for path in X]
    expected = np.stack([np.concatenate([np.ravel(level) for level in of_path]) for of_path in levels])
    for explicit in WAYS:
        kernel = TruncatedSignatureKernel(2, 3, discretization_order=order, explicit=explicit)
        np.testing.assert_allclose(kernel.features(flatten_paths(X)), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("order", [1, 3])
def test_float32(order: int, walks: Callable) -> None:
    X = walks(5, 6, 2)
    for explicit in WAYS:
        expected = TruncatedSignatureKernel(2, 3, discretization_order=order, explicit=explicit)(flatten_paths(X))
        with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
            kernel = TruncatedSignatureKernel(2, 3, discretization_order=order, explicit=explicit)
            K = kernel(flatten_paths(X))
            assert K.dtype == kernel.K_diag(flatten_paths(X)).dtype == tf.float32
        np.testing.assert_allclose(K, expected, rtol=1e-5)


@pytest.mark.parametrize("explicit", [False, True])
def test_no_paths_at_all(explicit: bool) -> None:
    kernel, nothing, X = TruncatedSignatureKernel(2, 3, explicit=explicit), np.zeros((0, 8)), np.zeros((3, 6))
    assert kernel(nothing).shape == (0, 0)
    assert kernel(X, nothing).shape == (3, 0)
    assert kernel(nothing, X).shape == (0, 3)
    assert kernel.K_diag(nothing).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"depth": 0}, ValueError, "depth must be at least 1, got 0"),
        ({"depth": 2.0}, TypeError, r"depth must be an int, got 2\.0"),
        ({"discretization_order": 0}, ValueError, "discretization_order must be at least 1, got 0"),
        ({"discretization_order": 5}, ValueError, "discretization_order must be at most the depth, 4, got 5"),
        ({"discretization_order": True}, TypeError, "discretization_order must be an int, got True"),
        ({"level_variances": [1.0, 1.0]}, ValueError, r"or have shape \[5\].*depth, 4, got shape \(2,\)"),
        ({"level_variances": -1.0}, ValueError, "level_variances must be .* not negative"),
        ({"level_variances": [0.0, 1.0, 1.0, 1.0, 1.0], "normalize": True}, ValueError, r"level_variances\[0\] > 0"),
        ({"explicit": True, "static_kernel": gpflow.kernels.RBF()}, ValueError, "static_kernel=SquaredExponential"),
        ({"static_kernel": 3}, TypeError, "static_kernel must be None"),
        ({"channels": [2]}, ValueError, "channels from 0 to 1"),
        ({"lengthscales": [1.0, 1.0, 1.0]}, ValueError, r"have shape \[2\]"),
    ],
)
def test_constructor_refuses(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TruncatedSignatureKernel(2, **arguments)


def test_level_variances_are_parameters() -> None:
    kernel = TruncatedSignatureKernel(2, 3, level_variances=0.5)
    np.testing.assert_allclose(kernel.level_variances, [0.5] * 4)
    assert any(v is kernel.level_variances.unconstrained_variable for v in kernel.trainable_variables)


@pytest.mark.parametrize("order", [1, 3])
def test_a_level_of_variance_zero_is_left_out(order: int, walks: Callable) -> None:
    X, weights = walks(3, 5, 2), np.array([0.0, 1.5, 0.0, 0.7])
    for explicit in WAYS:
        kernel = TruncatedSignatureKernel(
            2, 3, discretization_order=order, level_variances=weights, explicit=explicit
        )  # fmt: skip
        with tf.GradientTape() as tape:
            K = kernel(flatten_paths(X))
        np.testing.assert_allclose(K, brute_force(X, X, 3, order, weights), rtol=1e-11)
        gradient = tape.gradient(K, kernel.level_variances.unconstrained_variable).numpy()
        assert np.all((gradient != 0) == (weights > 0))


def test_signature_kernel_without_the_rest_is_the_truncated_one(walks: Callable) -> None:
    X, Y, weights = flatten_paths(walks(4, 6, 2)), flatten_paths(walks(3, 4, 2)), [0.5, 1.0, 2.0, 0.25]
    for normalize in (False, True):
        options = {"lengthscales": LENGTHSCALES, "variance": 1.3, "normalize": normalize}
        kernel = TruncatedSignatureKernel(2, 3, level_variances=weights, explicit=False, **options)
        other = SignatureKernel(2, level_variances=[*weights, 0.0], **options)
        np.testing.assert_allclose(kernel(X, Y), other(X, Y), rtol=1e-12)
        np.testing.assert_allclose(kernel(X), other(X), rtol=1e-12)
        np.testing.assert_allclose(kernel.K_diag(X), other.K_diag(X), rtol=1e-12)
