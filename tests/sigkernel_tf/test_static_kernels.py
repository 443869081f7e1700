"""Static kernels against GPflow's, and the signature kernels on them against differences and invariances."""

import functools
from collections.abc import Callable

import gpflow
import mpmath
import numpy as np
import pytest
import tensorflow as tf
from pairwise import pairwise
from random_walks import walks

import sigkernel_tf as sk
from sigkernel_tf import static_kernels

PEERS = {
    "linear": gpflow.kernels.Linear,
    "rbf": gpflow.kernels.SquaredExponential,
    "matern12": gpflow.kernels.Matern12,
    "matern32": gpflow.kernels.Matern32,
    "matern52": gpflow.kernels.Matern52,
    "rational_quadratic": gpflow.kernels.RationalQuadratic,
}
STATIONARY = [name for name in PEERS if name != "linear"]


def kernel_of(name: str, **parameters: object) -> Callable:
    return functools.partial(getattr(static_kernels, name), **parameters)


@pytest.mark.parametrize("name", PEERS)
def test_values_are_gpflows(name: str, rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))
    parameters = {"variance": 1.7}
    if name != "linear":
        parameters["lengthscale"] = np.array([0.5, 2.0, 1.1])
    if name == "rational_quadratic":
        parameters["alpha"] = 0.6
    peer = PEERS[name](**{key.replace("scale", "scales"): value for key, value in parameters.items()})
    np.testing.assert_allclose(kernel_of(name, **parameters)(X, Y), peer(X, Y), rtol=1e-12, atol=1e-14)


def test_linear_increments_are_the_signature_kernels(rng: np.random.Generator) -> None:
    X, Y = walks(rng, 4, 9, 3), walks(rng, 5, 7, 3)
    p = static_kernels.increments(static_kernels.linear, X[:, None], Y[None])
    assert p.shape == (4, 5, 8, 6)
    np.testing.assert_allclose(sk.solve_goursat(p), sk.signature_kernel_gram(X, Y), rtol=1e-12)


@pytest.mark.parametrize("name", STATIONARY)
def test_invariances_and_positivity(name: str, rng: np.random.Generator) -> None:
    """The matrix is symmetric and positive semi-definite; padding and a common translation change nothing."""
    X = walks(rng, 12, 6, 2)
    kappa = kernel_of(name, lengthscale=0.8)

    def gram(paths: np.ndarray) -> np.ndarray:
        return sk.solve_goursat(static_kernels.increments(kappa, paths[:, None], paths[None])).numpy()

    K = gram(X)
    np.testing.assert_allclose(K, K.T, rtol=1e-12)
    assert np.linalg.eigvalsh(K)[0] > -1e-10 * np.trace(K)
    np.testing.assert_allclose(gram(np.concatenate([X, X[:, -1:]], axis=1)), K, rtol=1e-12)
    np.testing.assert_allclose(gram(X + 3.0), K, rtol=1e-10)


@pytest.mark.parametrize("name", STATIONARY)
def test_gradients_reach_points_and_parameters(name: str, rng: np.random.Generator) -> None:
    X, Y = walks(rng, 3, 5, 2), walks(rng, 3, 6, 2)
    direction = rng.normal(size=X.shape)
    parameters = {"lengthscale": 0.7, "variance": 1.3} | ({"alpha": 0.6} if name == "rational_quadratic" else {})

    def total(x: tf.Tensor, **values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(sk.solve_goursat(static_kernels.increments(kernel_of(name, **values), x, Y)))

    x, variables = tf.constant(X), {key: tf.Variable(value, dtype=tf.float64) for key, value in parameters.items()}
    with tf.GradientTape() as tape:
        tape.watch(x)
        gradient = tape.gradient(total(x, **variables), {"x": x, **variables})
    h = 1e-6
    moved = [float(total(tf.constant(X + sign * h * direction), **parameters)) for sign in (1, -1)]
    assert float(tf.reduce_sum(gradient["x"] * direction)) == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=1e-6)
    for key, value in parameters.items():
        moved = [float(total(x, **{**parameters, key: value + sign * h})) for sign in (1, -1)]
        assert float(gradient[key]) == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", STATIONARY)
def test_gradient_is_finite_where_points_coincide(name: str, rng: np.random.Generator) -> None:
    x = tf.constant(walks(rng, 2, 5, 2))
    with tf.GradientTape() as tape:
        tape.watch(x)
        k = sk.solve_goursat(static_kernels.increments(kernel_of(name), x, x))
    assert np.isfinite(tape.gradient(k, x)).all()


# The linear, the RBF and the Matérn static kernels are evaluated inside the sweep. They are compared with the same
# functions in disguise, for which the increments are formed first.
FUSED = {
    "linear": (static_kernels.linear, {}),
    "linear with a variance": (static_kernels.linear, {"variance": 1.3}),
    "rbf": (static_kernels.rbf, {}),
    "rbf with parameters": (static_kernels.rbf, {"lengthscale": [0.5, 0.9, 1.4], "variance": 1.3}),
    "matern12": (static_kernels.matern12, {"lengthscale": [0.5, 0.9, 1.4], "variance": 1.3}),
    "matern32": (static_kernels.matern32, {"lengthscale": 1.2}),
    "matern52": (static_kernels.matern52, {"variance": 0.7}),
}
PAIRINGS = {
    "pairs": lambda x, y, kappa, solver: sk.signature_kernel(x, y, static_kernel=kappa, solver=solver),
    "gram": lambda x, y, kappa, solver: sk.signature_kernel_gram(x, y, static_kernel=kappa, solver=solver),
    "symmetric": lambda x, y, kappa, solver: sk.signature_kernel_gram(x, static_kernel=kappa, solver=solver),
    "diagonal": lambda x, y, kappa, solver: sk.signature_kernel_diag(x, static_kernel=kappa, solver=solver),
}


@pairwise({
    "name": list(FUSED), "pairing": list(PAIRINGS), "lengths": [(1, 4), (2, 2), (40, 17), (1, 1)],
    "dtype": [np.float64, np.float32], "solver": [sk.PowerSeries(), sk.FiniteDifference(1)],
})  # fmt: skip
def test_fused_kernels_are_those_of_their_increments(
    name: str, pairing: str, lengths: tuple[int, int], dtype: type, solver: sk.Solver, rng: np.random.Generator
) -> None:
    function, values = FUSED[name]
    tensors = [tf.constant(walks(rng, 11, length, 3), dtype) for length in lengths]
    tensors += [tf.constant(value, dtype) for value in values.values()]
    weights = tf.constant(rng.normal(size=121), dtype)
    results = []
    for is_fused in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            kappa = functools.partial(function, **dict(zip(values, tensors[2:], strict=True)))
            disguised = lambda x, y, kappa=kappa: kappa(x, y)  # noqa: E731
            k = tf.reshape(PAIRINGS[pairing](*tensors[:2], kappa if is_fused else disguised, solver), [-1])
            total = tf.reduce_sum(k * weights[: len(k)])
        results.append([k, *tape.gradient(total, tensors, unconnected_gradients="zero")])
    tolerance = 1e-11 if dtype == np.float64 else 1e-3
    for fused, expected in zip(*results, strict=True):
        np.testing.assert_allclose(fused, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fused_rbf_of_single_segments_is_a_bessel_function(dtype: type, rng: np.random.Generator) -> None:
    """There is one cell, and so one double difference of κ: of near points, far ones, and those where κ underflows."""
    X = rng.normal(size=(200, 2, 2)).astype(dtype)
    Y = (X + rng.normal(size=X.shape) * 10.0 ** rng.uniform(-2, 2, size=(200, 1, 1))).astype(dtype)
    got = sk.signature_kernel(X, Y, static_kernel=functools.partial(static_kernels.rbf, variance=2.0)).numpy()
    for x, y, k in zip(X, Y, got, strict=True):
        kappa = [[2 * mpmath.exp(-sum((mpmath.mpf(float(a)) - float(b)) ** 2 for a, b in zip(u, v, strict=True)) / 2)
                  for v in y] for u in x]  # fmt: skip
        p = kappa[1][1] - kappa[1][0] - kappa[0][1] + kappa[0][0]
        expected = mpmath.besseli(0, 2 * mpmath.sqrt(p)) if p >= 0 else mpmath.besselj(0, 2 * mpmath.sqrt(-p))
        assert abs(k - float(expected)) <= (4e-15 if dtype == np.float64 else 3e-6)


@pytest.mark.parametrize("solver", [sk.PowerSeries(), sk.FiniteDifference(1)], ids=repr)
def test_directional_derivative_through_fused_kernels(solver: sk.Solver, rng: np.random.Generator) -> None:
    X, Y, direction = walks(rng, 11, 20, 2), walks(rng, 11, 9, 2), walks(rng, 11, 20, 2)
    for function in (static_kernels.linear, functools.partial(static_kernels.rbf, lengthscale=[0.5, 0.8])):
        kappa = functools.partial(function, variance=1.3)
        x = tf.constant(X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            k = sk.signature_kernel(x, Y, static_kernel=kappa, solver=solver)
        expected = tf.reduce_sum(tape.gradient(k, x) * direction, axis=[1, 2])
        value, derivative = sk.directional_derivative(X, Y, direction, static_kernel=kappa, solver=solver)
        np.testing.assert_allclose(value, k, rtol=1e-12)
        np.testing.assert_allclose(derivative, expected, rtol=1e-10, atol=1e-12)


def test_fused_rbf_invariances(rng: np.random.Generator) -> None:
    """Padding changes nothing but rounding; a symmetric Gram matrix is positive semi-definite to rounding."""
    X = walks(rng, 20, 12, 2)
    K = sk.signature_kernel_gram(X, static_kernel=static_kernels.rbf).numpy()
    padded = np.concatenate([X, np.repeat(X[:, -1:], 3, axis=1)], axis=1)
    np.testing.assert_allclose(sk.signature_kernel_gram(padded, static_kernel=static_kernels.rbf), K, rtol=1e-14)
    np.testing.assert_array_equal(K, K.T)
    assert np.linalg.eigvalsh(K)[0] > -1e-12 * np.trace(K)
    np.testing.assert_allclose(sk.signature_kernel_diag(X, static_kernel=static_kernels.rbf), np.diag(K), rtol=1e-12)


def test_float32_and_unknown_shapes_in_a_function(rng: np.random.Generator) -> None:
    X, Y = walks(rng, 3, 5, 2).astype(np.float32), walks(rng, 3, 6, 2).astype(np.float32)

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32), tf.TensorSpec(None, tf.float32)])
    def kernel(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return sk.solve_goursat(static_kernels.increments(static_kernels.rbf, x, y))

    expected = sk.solve_goursat(static_kernels.increments(static_kernels.rbf, X.astype(float), Y.astype(float)))
    np.testing.assert_allclose(kernel(X, Y), expected, rtol=1e-5)


def test_faults_of_fused_kernels_are_explained(rng: np.random.Generator) -> None:
    X = walks(rng, 3, 5, 2)
    with pytest.raises(ValueError, match="directional_derivative takes the linear static kernel"):
        sk.directional_derivative(X, X, X, static_kernel=static_kernels.rational_quadratic)
    with pytest.raises(tf.errors.InvalidArgumentError, match="variance must be one finite number"):
        sk.signature_kernel(X, X, static_kernel=functools.partial(static_kernels.rbf, variance=np.nan))
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=r"variance|rank 0"):
        sk.signature_kernel(X, X, static_kernel=functools.partial(static_kernels.rbf, variance=[1.0, 2.0]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="under an RBF static kernel of variance 1e"):
        sk.signature_kernel(X, X, static_kernel=functools.partial(static_kernels.rbf, variance=1e7))


def test_faults_are_explained(rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(5, 3)), rng.normal(size=(4, 2))
    with pytest.raises(ValueError, match="same number of channels, got 3 and 2"):
        static_kernels.rbf(X, Y)
    with pytest.raises(ValueError, match="X must have rank 2 or more"):
        static_kernels.increments(static_kernels.rbf, X[0], X)
    with pytest.raises(TypeError, match="X and Y must have one dtype"):
        static_kernels.linear(X, X.astype(np.float32))
    with pytest.raises(TypeError, match="lengthscale must be a number or a tensor of the points' dtype float64"):
        static_kernels.rbf(X, X, lengthscale=tf.constant(1.0, tf.float32))
    with pytest.raises(TypeError, match="variance must be a number or a tensor of the points' dtype float64, got 'a'"):
        static_kernels.rbf(X, X, variance="a")


@pytest.mark.parametrize(("kappa", "error", "message"), [
    (functools.partial(sk.static_kernels.rbf, lengthscale=-1.0), ValueError, "lengthscale must be positive, got -1.0"),
    (functools.partial(sk.static_kernels.matern32, lengthscale=0), ValueError, "lengthscale must be positive, got 0"),
    (functools.partial(sk.static_kernels.rbf, variance=[-1.0]), ValueError, "variance must be positive"),
    (functools.partial(sk.static_kernels.rbf, lengthscale=[1.0] * 3), ValueError, r"shape \[2\].*got shape \(3,\)"),
    ("rbf", TypeError, "static_kernel must be a function of points X and Y, got 'rbf'"),
    (gpflow.kernels.RBF(), TypeError, r"got \(2, 1, 2, 1\).*SignatureKernel\(static_kernel"),
    (lambda X, Y: 3, TypeError, "static_kernel must return a tensor .* got int"),
])  # fmt: skip
def test_bad_static_kernels(kappa, error, message):
    with pytest.raises(error, match=message):
        sk.signature_kernel_gram(np.zeros((2, 4, 2)), static_kernel=kappa)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", STATIONARY)
def test_a_symmetric_gram_matrix_is_so_to_the_last_bit(name: str, dtype: type, rng: np.random.Generator) -> None:
    X, kappa = walks(rng, 13, 9, 2, scale=3).astype(dtype), kernel_of(name, lengthscale=0.6)
    K = sk.signature_kernel_gram(X, static_kernel=kappa).numpy()
    np.testing.assert_array_equal(K, K.T)
    of_pairs = sk.signature_kernel(np.repeat(X, 13, axis=0), np.tile(X, (13, 1, 1)), static_kernel=kappa)
    np.testing.assert_allclose(K.ravel(), of_pairs, rtol=1e-3 if dtype == np.float32 else 1e-10)


def test_a_symmetric_gram_matrix_solves_each_pair_once(rng: np.random.Generator) -> None:
    pairs = []

    def counted(X: tf.Tensor, Y: tf.Tensor) -> tf.Tensor:
        K = static_kernels.matern12(X, Y)
        pairs.append(int(np.prod(K.shape[:-2])))
        return K

    sk.signature_kernel_gram(walks(rng, 7, 4, 2), static_kernel=counted)
    assert pairs == [2, 28]  # first a few points, to see what is returned
