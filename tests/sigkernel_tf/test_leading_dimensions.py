"""Leading axes of the operations against loops over them: values, gradients, both dtypes, sizes unknown at first."""

import functools
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from random_walks import walks

import sigkernel_tf as sk
from sigkernel_tf import static_kernels

RBF = functools.partial(static_kernels.rbf, lengthscale=0.7)
MATERN = functools.partial(static_kernels.matern32, lengthscale=[0.9, 1.4])  # its increments are formed before
KERNELS = {"linear": None, "rbf": RBF, "matern": MATERN}


def along_squares(X: tf.Tensor, Y: tf.Tensor, kappa: Callable | None = None) -> tf.Tensor:
    return tf.stack(sk.directional_derivative(X, Y, X * X, static_kernel=kappa), axis=-1)


# Each takes X [..., (N,) L, D] and Y alike. The number says how many axes the arguments have where nothing leads.
OF_PATHS: dict[str, Callable] = {
    "signature": lambda X, Y: sk.signature(X, 3),
    "stream": lambda X, Y: sk.signature(X, num_words=6, stream=True),
    "log_signature": lambda X, Y: sk.log_signature(X, 3),
    "log_stream": lambda X, Y: sk.log_signature(X, 2, basis="expanded", stream=True),
    "derivative": along_squares,
    "derivative_rbf": lambda X, Y: along_squares(X, Y, RBF),
} | {
    f"pairs_{name}": lambda X, Y, kappa=kappa: sk.signature_kernel(X, Y, static_kernel=kappa)
    for name, kappa in KERNELS.items()
}
OF_SETS: dict[str, Callable] = {}
for _name, _kappa in KERNELS.items():
    OF_SETS |= {
        f"gram_{_name}": lambda X, Y, kappa=_kappa: sk.signature_kernel_gram(X, Y, static_kernel=kappa),
        f"symmetric_{_name}": lambda X, Y, kappa=_kappa: sk.signature_kernel_gram(X, static_kernel=kappa),
        f"diagonal_{_name}": lambda X, Y, kappa=_kappa: sk.signature_kernel_diag(X, static_kernel=kappa),
    }
OPERATIONS = {name: (function, 2) for name, function in OF_PATHS.items()}
OPERATIONS |= {name: (function, 3) for name, function in OF_SETS.items()}
every_operation = pytest.mark.parametrize("operation", OPERATIONS)


def arrays(rng: np.random.Generator, leading: tuple[int, ...], axes: int) -> tuple[np.ndarray, np.ndarray]:
    """X and Y with these leading axes, and for sets of paths 4 and 3 paths in each."""
    count = int(np.prod(leading))
    one, other = ((4, 5, 2), (3, 6, 2)) if axes == 3 else ((5, 2), (6, 2))
    X, Y = (walks(rng, count * int(np.prod(shape[:-2])), *shape[-2:]) for shape in (one, other))
    return X.reshape(*leading, *one), Y.reshape(*leading, *other)


def looped(function: Callable, X: np.ndarray, Y: np.ndarray, axes: int) -> np.ndarray:
    """By calls of rank 3 only, one for each place in the leading axes."""
    leading = X.shape[:-axes]
    single = function if axes == 3 else lambda x, y: function(x[None], y[None])[0]
    found = [single(X[place], Y[place]).numpy() for place in np.ndindex(*leading)]
    return np.reshape(found, [*leading, *found[0].shape])


@every_operation
@pytest.mark.parametrize("leading", [(), (2, 1, 2)])
def test_values_are_those_of_a_loop(operation: str, leading: tuple[int, ...], rng: np.random.Generator) -> None:
    function, axes = OPERATIONS[operation]
    X, Y = arrays(rng, leading, axes)
    expected = looped(function, X, Y, axes)
    found = function(X, Y)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    in_float32 = function(X.astype(np.float32), Y.astype(np.float32))
    assert in_float32.dtype == tf.float32
    np.testing.assert_allclose(in_float32, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if "derivative" not in name])
def test_gradients_are_those_of_differences(operation: str, rng: np.random.Generator) -> None:
    function, axes = OPERATIONS[operation]
    paths = arrays(rng, (2, 2), axes)
    directions = [rng.normal(size=array.shape) for array in paths]
    weights = rng.normal(size=function(*paths).shape)

    def moved(by: float) -> float:
        k = function(*(array + by * direction for array, direction in zip(paths, directions, strict=True)))
        return float(np.sum(k * weights))

    h = 1e-3
    difference = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h)

    def along(dtype: type) -> float:
        X, Y = (tf.constant(array, dtype) for array in paths)
        with tf.GradientTape() as tape:
            tape.watch((X, Y))
            total = tf.reduce_sum(function(X, Y) * weights.astype(dtype))
        slopes = tape.gradient(total, (X, Y), unconnected_gradients="zero")
        assert all(isinstance(slope, tf.Tensor) for slope in slopes)  # and no IndexedSlices
        return sum(float(tf.reduce_sum(slope * by)) for slope, by in zip(slopes, directions, strict=True))

    np.testing.assert_allclose(along(np.float64), difference, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(along(np.float32), difference, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("operation", ["stream", "pairs_rbf", "symmetric_matern"])
def test_sizes_unknown_while_traced(operation: str, rng: np.random.Generator) -> None:
    function, axes = OPERATIONS[operation]
    spec = tf.TensorSpec([None] * (axes + 2), tf.float64)

    @tf.function(input_signature=[spec, spec])
    def value_and_gradient(X: tf.Tensor, Y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(X)
            value = function(X, Y)
        assert value.shape.rank == function(*arrays(rng, (1, 1), axes)).shape.rank
        return value, tape.gradient(value, X)

    for leading in ((2, 3), (2, 0)):
        X, Y = arrays(rng, leading, axes)
        x = tf.constant(X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            expected = function(x, Y)
        value, slope = value_and_gradient(X, Y)
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(slope, tape.gradient(expected, x), rtol=1e-12, atol=1e-12)


@every_operation
@pytest.mark.parametrize("leading", [(0,), (2, 0)])
def test_nothing_in_the_leading_axes(operation: str, leading: tuple[int, ...], rng: np.random.Generator) -> None:
    function, axes = OPERATIONS[operation]
    X, Y = arrays(rng, leading, axes)
    own = function(*arrays(rng, (1,), axes)).shape[1:]
    assert function(X, Y).shape == (*leading, *own)


def test_known_sizes_stay_known_while_traced() -> None:
    X, Y = tf.TensorSpec([2, 3, 4, 5, 2], tf.float64), tf.TensorSpec([2, 3, 6, 7, 2], tf.float64)
    for function, shape in (
        (sk.signature_kernel_gram, [2, 3, 4, 6]),
        (lambda X, Y: sk.signature_kernel_gram(X, static_kernel=MATERN), [2, 3, 4, 4]),
        (lambda X, Y: sk.signature_kernel_diag(X), [2, 3, 4]),
        (lambda X, Y: sk.signature(X, 2, stream=True), [2, 3, 4, 5, 7]),
    ):
        assert tf.function(function).get_concrete_function(X, Y).output_shapes == tf.TensorShape(shape)


@pytest.mark.parametrize("name", ["rbf", "matern32"])
def test_gradients_reach_the_static_kernels_parameters(name: str, rng: np.random.Generator) -> None:
    X, _ = arrays(rng, (2, 2), 3)
    lengthscale = tf.Variable(0.8, dtype=tf.float64)

    def gram(X: np.ndarray) -> tf.Tensor:
        kappa = functools.partial(getattr(static_kernels, name), lengthscale=lengthscale)
        return tf.reduce_sum(sk.signature_kernel_gram(X, static_kernel=kappa) ** 2)

    def slope(function: Callable) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = function()
        return tape.gradient(value, lengthscale)

    expected = slope(lambda: tf.add_n([gram(x) for x in X.reshape(4, 4, 5, 2)]))
    np.testing.assert_allclose(slope(lambda: gram(X)), expected, rtol=1e-11)
    np.testing.assert_allclose(slope(lambda: tf.function(gram)(X)), expected, rtol=1e-11)


RETURNING_ERRORS = [name for name in OPERATIONS if name.startswith(("pairs", "gram", "symmetric", "diagonal"))]


def with_error(operation: str) -> tuple[Callable, int]:
    """An operation that returns an estimate of its error, with k and the estimate along a last axis."""
    pairing, name = operation.split("_")
    of_paired = {"pairs": sk.signature_kernel, "gram": sk.signature_kernel_gram}
    of_itself = {"symmetric": sk.signature_kernel_gram, "diagonal": sk.signature_kernel_diag}

    def function(X: tf.Tensor, Y: tf.Tensor) -> tf.Tensor:
        options = {"static_kernel": KERNELS[name], "return_error": True}
        k_and_error = of_paired[pairing](X, Y, **options) if pairing in of_paired else of_itself[pairing](X, **options)
        return tf.stack(k_and_error, axis=-1)

    return function, OPERATIONS[operation][1]


@pytest.mark.parametrize("operation", RETURNING_ERRORS)
def test_estimates_of_the_error(operation: str, rng: np.random.Generator) -> None:
    function, axes = with_error(operation)
    X, Y = arrays(rng, (2, 1, 2), axes)
    expected = looped(function, X, Y, axes)
    for found in (function(X, Y), tf.function(function)(X, Y)):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found[..., 0], expected[..., 0], rtol=1e-12)
        # The estimate for the RBF kernel counts the farthest point of all paths that are solved together, and what the
        # two sweeps differ by is rounding, which depends on the pairs that are solved side by side.
        np.testing.assert_array_less(expected[..., 1] / 3, found[..., 1])
        np.testing.assert_array_less(found[..., 1], expected[..., 1] * 3)
    for leading in ((0,), (2, 0)):
        assert function(*arrays(rng, leading, axes)).shape == (*leading, *expected.shape[3:])


@pytest.mark.parametrize("operation", ["pairs_linear", "pairs_rbf", "symmetric_rbf", "gram_linear"])
def test_leading_axes_far_from_zero(operation: str, rng: np.random.Generator) -> None:
    """In float32, under a lengthscale or a variance: each path is moved towards zero before it is scaled."""
    pairing, name = operation.split("_")
    kappa = {
        "linear": functools.partial(static_kernels.linear, variance=0.3),
        "rbf": functools.partial(static_kernels.rbf, lengthscale=0.7),
    }[name]
    axes = OPERATIONS[operation][1]
    shapes = ((2, 2, 4, 5, 2), (2, 2, 3, 6, 2)) if axes == 3 else ((2, 2, 5, 2), (2, 2, 6, 2))
    # Multiples of 1/8 that stay so beside 2^20 in float32.
    X, Y = (rng.integers(-4, 5, size=shape).cumsum(axis=-2).astype(np.float32) / 8 for shape in shapes)

    def of(X: np.ndarray, Y: np.ndarray) -> tf.Tensor:
        if pairing == "pairs":
            return sk.signature_kernel(X, Y, static_kernel=kappa)
        return sk.signature_kernel_gram(X, None if pairing == "symmetric" else Y, static_kernel=kappa)

    near, far = of(X, Y), of(X + np.float32(2**20), Y + np.float32(2**20))
    np.testing.assert_allclose(far, near, rtol=1e-4, atol=1e-5)


def test_nothing_is_broadcast() -> None:
    X = np.zeros((2, 3, 4, 5, 2))
    with pytest.raises(ValueError, match=r"X and Y must have the same leading axes, got \(2, 3, 4\) and \(1, 3, 4\)"):
        sk.signature_kernel(X, X[:1])
    with pytest.raises(ValueError, match=r"same leading axes, got \(2, 3\) and \(3,\).*nothing is broadcast"):
        sk.signature_kernel_gram(X, X[0])
    with pytest.raises(ValueError, match="direction must have X's shape"):
        sk.directional_derivative(X, X, X[0])


def test_leading_axes_that_differ_at_run_time() -> None:
    """Also where the merged sizes agree: a reshape would pair the wrong paths without a word."""
    spec = tf.TensorSpec([None, None, None, None], tf.float64)
    X, Y = np.zeros((2, 3, 4, 2)), np.zeros((3, 2, 4, 2))
    for function in (sk.signature_kernel, sk.signature_kernel_gram):
        traced = tf.function(function, input_signature=[spec, spec])
        with pytest.raises(tf.errors.InvalidArgumentError, match="same leading axes"):
            traced(X, Y)
    traced = tf.function(lambda X, Y: sk.directional_derivative(X, X, Y), input_signature=[spec, spec])
    with pytest.raises(tf.errors.InvalidArgumentError, match="same leading axes"):
        traced(X, Y)
