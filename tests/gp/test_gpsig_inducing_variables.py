"""GPSig's inducing tensors and sequences: covariances, initial values, models, and the kernels they refuse."""

import copy
from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from gpflow.covariances import Kuf, Kuu
from gpflow.inducing_variables import InducingVariables, SharedIndependentInducingVariables
from gpflow.kullback_leiblers import prior_kl
from gpflow.posteriors import get_posterior_class
from oracles import discretized_levels, inner_product, rank_one, slope

from sigkernel_tf.gp import (
    InducingSequences,
    InducingTensors,
    OrthogonalSignatureFeatures,
    SignatureKernel,
    TruncatedSignatureKernel,
    flatten_paths,
)
from sigkernel_tf.gp.kernels import truncated

ORDERS = [(1, 1), (2, 1), (2, 2), (3, 2), (4, 1), (4, 3), (4, 4)]
LENGTHSCALES = np.array([0.8, 1.7])
BOTH = pytest.mark.parametrize("family", [InducingTensors, InducingSequences])


def levels_of_tensors(z: np.ndarray, depth: int) -> list[np.ndarray]:
    """1, z_11, z_21 ⊗ z_22, ... of one element's vectors [depth (depth + 1) / 2, D]."""
    starts = [k * (k - 1) // 2 for k in range(depth + 1)]
    return [rank_one(list(z[start : start + k])) for k, start in enumerate(starts)]


@pytest.mark.parametrize(("depth", "order"), ORDERS)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("explicit", [False, True])
def test_against_tensor_algebra(
    depth: int, order: int, normalize: bool, explicit: bool, walks: Callable, rng: np.random.Generator
) -> None:
    X, weights, w0 = walks(4, 5, 2), rng.uniform(0.3, 2.0, depth + 1), 1.3
    kernel = TruncatedSignatureKernel(
        2, depth, discretization_order=order, lengthscales=LENGTHSCALES, variance=w0, level_variances=weights,
        normalize=normalize, explicit=explicit,
    )  # fmt: skip
    tensors = InducingTensors(rng.normal(size=(6, depth * (depth + 1) // 2, 2)))
    sequences = InducingSequences(walks(6, 3, 2))
    x, s = ([discretized_levels(path / LENGTHSCALES, depth, order) for path in paths] for paths in (X, sequences.Z))
    z = [levels_of_tensors(element / LENGTHSCALES, depth) for element in tensors.Z.numpy()]

    def gram(a: list, b: list) -> np.ndarray:
        return w0 * np.array([[inner_product(p, q, weights) for q in b] for p in a])

    def norms(a: list) -> np.ndarray:
        return np.sqrt(np.diag(gram(a, a)) / w0) if normalize else np.ones(len(a))

    flat = flatten_paths(X)
    np.testing.assert_allclose(Kuu(tensors, kernel), gram(z, z), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(Kuf(tensors, kernel, flat), gram(z, x) / norms(x), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(Kuu(sequences, kernel), gram(s, s) / np.outer(norms(s), norms(s)), rtol=1e-10)
    np.testing.assert_allclose(Kuf(sequences, kernel, flat), gram(s, x) / np.outer(norms(s), norms(x)), rtol=1e-10)


@BOTH
def test_kuu_adds_jitter(family: type, walks: Callable) -> None:
    kernel = TruncatedSignatureKernel(2, 3)
    Z = family.from_data(flatten_paths(walks(5, 6, 2)), 4, kernel)
    np.testing.assert_allclose(Kuu(Z, kernel, jitter=0.5) - Kuu(Z, kernel), 0.5 * np.eye(4), atol=1e-12)


def test_many_words_and_long_products(walks: Callable, rng: np.random.Generator) -> None:
    """Six channels have more words than products of inner products cost: the other way to the same Kuu."""
    kernel = TruncatedSignatureKernel(6, 3)
    Z = InducingTensors(rng.normal(size=(5, 6, 6)))
    z = [levels_of_tensors(element, 3) for element in Z.Z.numpy()]
    expected = [[inner_product(a, b, np.ones(4)) for b in z] for a in z]
    assert kernel.num_words > 6 * (6 + truncated._PASS_IN_MULTIPLY_ADDS)
    np.testing.assert_allclose(Kuu(Z, kernel), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("length", [1, 2, 33, 1025])
@BOTH
def test_lengths(family: type, length: int, walks: Callable) -> None:
    X = flatten_paths(walks(3, length, 2))
    exact, sums = (TruncatedSignatureKernel(2, 3, explicit=explicit) for explicit in (True, False))
    Z = family.from_data(flatten_paths(walks(4, 6, 2)), 4, exact)
    np.testing.assert_allclose(Kuf(Z, sums, X), Kuf(Z, exact, X), rtol=1e-8, atol=1e-10)
    if length == 1:
        np.testing.assert_allclose(Kuf(Z, sums, X), np.ones((4, 3)), rtol=1e-14)


@pytest.mark.parametrize("order", [1, 3])
@BOTH
def test_padding_changes_nothing(family: type, order: int, walks: Callable) -> None:
    X = walks(4, 6, 2)
    padded = np.concatenate([X, np.repeat(X[:, -1:], 5, axis=1)], axis=1)
    kernel = TruncatedSignatureKernel(2, 3, discretization_order=order)
    Z, Z_padded = (family.from_data(flatten_paths(paths), 5, kernel, seed=3) for paths in (X, padded))
    np.testing.assert_array_equal(Z.Z, Z_padded.Z)
    np.testing.assert_allclose(
        Kuf(Z, kernel, flatten_paths(padded)), Kuf(Z, kernel, flatten_paths(X)), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize(
    ("depth", "order", "explicit"), [(3, 1, False), (3, 1, True), (3, 2, None), (3, 3, False), (3, 3, True)]
)
@pytest.mark.parametrize("normalize", [False, True])
@BOTH
def test_gradients(
    family: type, depth: int, order: int, explicit: bool | None, normalize: bool, walks: Callable,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    X = flatten_paths(walks(3, 5, 2))
    kernel = TruncatedSignatureKernel(
        2, depth, discretization_order=order, lengthscales=LENGTHSCALES, normalize=normalize, explicit=explicit
    )
    Z = family.from_data(X, 4, kernel)
    A, B = rng.normal(size=(4, 4)), rng.normal(size=(4, 3))

    def value() -> tf.Tensor:
        return tf.reduce_sum(A * Kuu(Z, kernel)) + tf.reduce_sum(B * Kuf(Z, kernel, X))

    variables = [*Z.trainable_variables, *kernel.trainable_variables]
    with tf.GradientTape() as tape:
        total = value()
    for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
        start, direction = np.array(variable), rng.normal(size=variable.shape)

        def at(array: np.ndarray, variable: tf.Variable = variable) -> float:
            variable.assign(array)
            return float(value())

        expected = slope(at, start, direction)
        np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-6)
        variable.assign(start)


@BOTH
def test_chunks_change_nothing(family: type, walks: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    X = flatten_paths(walks(3, 6, 2))
    kernel = TruncatedSignatureKernel(2, 3, discretization_order=2)
    Z = family.from_data(X, 4, kernel)
    variables = [*Z.trainable_variables, *kernel.trainable_variables]

    def everything(x: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            K = Kuf(Z, kernel, x)
            total = tf.reduce_sum(tf.sin(K))
        return [K, *tape.gradient(total, [x, *variables], unconnected_gradients=tf.UnconnectedGradients.ZERO)]

    expected = everything(tf.constant(X))
    spec = tf.TensorSpec([None, None], tf.float64)
    traced = tf.function(everything, input_signature=[spec], autograph=False)
    for numbers, run in ((1, everything), (40, traced)):
        monkeypatch.setattr(truncated, "_NUMBERS_AT_ONCE", numbers)
        for found, result in zip(run(tf.constant(X)), expected, strict=True):
            np.testing.assert_allclose(found, result, rtol=1e-10, atol=1e-12)


@BOTH
def test_float32(family: type, walks: Callable) -> None:
    X = walks(5, 6, 2)
    for order in (1, 3):
        kernel = TruncatedSignatureKernel(2, 3, discretization_order=order)
        Z = family.from_data(X, 4, kernel)
        with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
            single = TruncatedSignatureKernel(2, 3, discretization_order=order)
            Z_single = family.from_data(X, 4, single)
            K, flat = Kuf(Z_single, single, flatten_paths(X)), flatten_paths(X)
            assert K.dtype == Kuu(Z_single, single, jitter=1e-6).dtype == tf.float32
        np.testing.assert_allclose(K, Kuf(Z, kernel, flat.astype(float)), rtol=1e-3, atol=1e-4)


def test_tensors_are_ordered_increments_of_one_path(walks: Callable) -> None:
    X = walks(3, 7, 2)
    kernel = TruncatedSignatureKernel(2, 4)
    Z = InducingTensors.from_data(X, 8, kernel, seed=1)
    np.testing.assert_array_equal(Z.Z, InducingTensors.from_data(flatten_paths(X), 8, kernel, seed=1).Z)
    assert np.any(Z.Z != InducingTensors.from_data(X, 8, kernel, seed=2).Z)
    assert (Z.num_inducing, Z.depth, Z.shape, Z.Z.shape) == (8, 4, (8, None, 1), (8, 10, 2))
    directions = np.diff(X, axis=1) / np.linalg.norm(np.diff(X, axis=1), axis=-1, keepdims=True)
    seen = []
    for element in Z.Z.numpy():
        found = []  # (path, index) of each vector
        for level in range(1, 5):
            for vector in element[level * (level - 1) // 2 :][:level]:
                distance = np.abs(directions - vector / np.linalg.norm(vector)).max(axis=-1)
                assert distance.min() < 1e-12
                found.append(np.unravel_index(distance.argmin(), distance.shape))
        paths = {path for path, _ in found}
        assert len(paths) == 1
        seen += paths
        for level in range(1, 5):
            steps = [step for _, step in found[level * (level - 1) // 2 :][:level]]
            assert steps == sorted(steps)
    assert set(seen[:3]) == set(seen[3:6]) == {0, 1, 2}  # each path once, before any twice


@pytest.mark.parametrize("explicit", [True, False])
def test_tensors_have_the_norms_of_the_paths_levels(explicit: bool, walks: Callable, numpy_signature: Callable) -> None:
    X = walks(5, 4, 3)
    X[:, 2] = X[:, 1]  # a step in which nothing moves is no direction to take
    kernel = TruncatedSignatureKernel(3, 3, channels=[2, 0], lengthscales=[0.7, 1.3], explicit=explicit)
    z = InducingTensors.from_data(X, 40, kernel).Z.numpy() / [0.7, 1.3]
    levels = [
        z[:, 0],
        np.einsum("mi,mj->mij", z[:, 1], z[:, 2]),
        np.einsum("mi,mj,mk->mijk", *z[:, 3:6].swapaxes(0, 1)),
    ]
    S = np.split(numpy_signature(X[:, :, [2, 0]] / [0.7, 1.3], 3), [1, 3, 7], axis=1)
    np.testing.assert_allclose(
        kernel.level_norms(flatten_paths(X)), np.stack([np.linalg.norm(s, axis=1) for s in S], 1)
    )
    for level, of_paths in zip(levels, S[1:], strict=True):
        norms = np.linalg.norm(level.reshape(len(level), -1), axis=1)
        np.testing.assert_allclose(norms, np.sqrt(np.mean(np.sum(of_paths**2, axis=1))), rtol=1e-10)


@pytest.mark.parametrize("length", [2, 3, 300])
def test_many_tensors_of_paths_of_any_length_have_a_factor(length: int, walks: Callable) -> None:
    """Far more of them than words, with GPflow's own jitter."""
    X = walks(50, length, 2, scale=np.sqrt(length))
    kernel = TruncatedSignatureKernel(2, 4, discretization_order=1, lengthscales=2.0)
    Z = InducingTensors.from_data(X, 300, kernel)
    factor = tf.linalg.cholesky(Kuu(Z, kernel, jitter=gpflow.config.default_jitter()))
    assert np.isfinite(factor).all()


def test_sequences_are_stretches_of_paths(walks: Callable) -> None:
    X = [walks(1, length, 2)[0] for length in (9, 3, 12)]
    kernel = TruncatedSignatureKernel(2)
    Z = InducingSequences.from_data(X, 30, kernel)
    assert (Z.num_inducing, Z.shape, Z.Z.shape) == (30, (30, None, 1), (30, 5, 2))
    padded = [np.concatenate([x, np.repeat(x[-1:], max(5 - len(x), 0), axis=0)]) for x in X]
    stretches = [x[i : i + 5] for x in padded for i in range(len(x) - 4)]
    for z in Z.Z.numpy():
        assert min(np.abs(z - stretch).max() for stretch in stretches) == 0.0


@BOTH
def test_constant_paths_are_passed_over(family: type, walks: Callable) -> None:
    X = np.concatenate([np.full((5, 6, 2), 3.0), walks(1, 6, 2)])
    Z = family.from_data(X, 4, TruncatedSignatureKernel(2, 2)).Z.numpy()
    assert np.all(np.abs(Z).max(axis=(1, 2)) > 0)
    assert not np.any(Z == 3.0)
    with pytest.raises(ValueError, match="at least one path that moves, got 5 paths, constant"):
        family.from_data(X[:5], 4, TruncatedSignatureKernel(2, 2))


@pytest.mark.parametrize("family", [InducingTensors, InducingSequences, OrthogonalSignatureFeatures])
@pytest.mark.parametrize("whiten", [False, True])
def test_enough_inducing_variables_are_the_dense_process(family: type, whiten: bool, walks: Callable) -> None:
    """At the best q(u) a bound with as many inducing variables as features is the log marginal likelihood."""
    X, depth, words, w = flatten_paths(walks(12, 6, 2)), 3, 15, [0.5, 1.0, 2.0, 0.7]
    Y = np.sin(3 * X[:, -1:]) + X[:, -2:-1]
    kernel = TruncatedSignatureKernel(2, depth, level_variances=w)
    dense = gpflow.models.GPR((X, Y), kernel, noise_variance=0.1)
    if family is OrthogonalSignatureFeatures:
        kernel, Z, tolerance = SignatureKernel(2, level_variances=[*w, 0.0]), OrthogonalSignatureFeatures(words), 1e-8
    else:  # Kuu has GPflow's jitter, here less than otherwise
        Z, tolerance = family.from_data(walks(words, 6, 2, 2.0), words, kernel), 1e-4
    model = gpflow.models.SVGP(kernel, gpflow.likelihoods.Gaussian(0.1), Z, num_data=12, whiten=whiten)
    new = flatten_paths(walks(4, 7, 2))
    with gpflow.config.as_context(gpflow.config.Config(jitter=1e-10)):
        natural = gpflow.optimizers.NaturalGradient(gamma=1.0)  # one full step is the best q(u) of this likelihood
        natural.minimize(model.training_loss_closure((X, Y)), [(model.q_mu, model.q_sqrt)])
        np.testing.assert_allclose(model.elbo((X, Y)), dense.log_marginal_likelihood(), rtol=tolerance)
        for found, expected in zip(model.predict_f(new), dense.predict_f(new), strict=True):
            np.testing.assert_allclose(found, expected, rtol=5 * tolerance, atol=tolerance)


@BOTH
def test_sgpr_with_enough_inducing_variables_is_gpr(family: type, walks: Callable) -> None:
    X = flatten_paths(walks(15, 6, 2))
    Y = np.sin(3 * X[:, -1:])
    for order in (1, 2):
        kernel = TruncatedSignatureKernel(2, 2, discretization_order=order, level_variances=[0.5, 1.0, 2.0])
        Z = family.from_data(X, 14, kernel)
        sparse = gpflow.models.SGPR((X, Y), kernel, Z, noise_variance=0.1)
        dense = gpflow.models.GPR((X, Y), kernel, noise_variance=0.1)
        np.testing.assert_allclose(sparse.elbo(), dense.log_marginal_likelihood(), rtol=1e-3)
        assert sparse.elbo() <= dense.log_marginal_likelihood() + 1e-9


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("q_diag", [False, True])
@BOTH
def test_svgp_trains_and_copies(family: type, whiten: bool, q_diag: bool, walks: Callable) -> None:
    X, y = flatten_paths(walks(12, 5, 2)), np.arange(12)[:, None] % 3
    kernel = TruncatedSignatureKernel(2, 3, lengthscales=[1.0, 1.0])
    Z = family.from_data(X, 4, kernel)
    model = gpflow.models.SVGP(
        kernel, gpflow.likelihoods.MultiClass(3), Z, num_latent_gps=3, whiten=whiten, q_diag=q_diag, num_data=12
    )
    loss = tf.function(model.training_loss_closure((X, y), compile=False), autograph=False)
    before, start = float(loss()), copy.deepcopy(model)
    optimizer = tf.keras.optimizers.Adam(0.01)
    optimizer.build(list(model.trainable_variables))
    for _ in range(5):
        with tf.GradientTape() as tape:
            value = loss()
        gradients = tape.gradient(value, model.trainable_variables)
        assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    assert float(loss()) < before
    assert np.any(model.inducing_variable.Z != start.inducing_variable.Z)
    np.testing.assert_allclose(start.training_loss((X, y)), before, rtol=1e-9)
    cached = model.posterior().predict_f(X)
    for found, expected in zip(cached, model.predict_f(X), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@BOTH
def test_several_outputs(family: type, walks: Callable) -> None:
    """Shared by the outputs, and for each its own kernel: as GPflow has them for inducing points."""
    X = flatten_paths(walks(8, 6, 2))
    kernel = TruncatedSignatureKernel(2, 3)
    Z = family.from_data(X, 5, kernel)
    shared = gpflow.models.SVGP(
        gpflow.kernels.SharedIndependent(kernel, 2), gpflow.likelihoods.Gaussian(),
        SharedIndependentInducingVariables(Z), num_latent_gps=2,
    )  # fmt: skip
    plain = gpflow.models.SVGP(kernel, gpflow.likelihoods.Gaussian(), Z, num_latent_gps=2)
    separate = gpflow.models.SVGP(
        gpflow.kernels.SeparateIndependent([kernel, kernel]), gpflow.likelihoods.Gaussian(),
        gpflow.inducing_variables.SeparateIndependentInducingVariables([Z, Z]), num_latent_gps=2,
    )  # fmt: skip
    mixed = gpflow.models.SVGP(
        gpflow.kernels.LinearCoregionalization([kernel, kernel], W=np.eye(2)), gpflow.likelihoods.Gaussian(),
        SharedIndependentInducingVariables(Z), num_latent_gps=2,
    )  # fmt: skip
    q_mu = np.random.default_rng(0).normal(size=(5, 2))
    for model in (shared, plain, separate, mixed):
        model.q_mu.assign(q_mu)
    expected = plain.predict_f(X)
    for model in (shared, separate, mixed):
        for found, value in zip(model.predict_f(X), expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-6, atol=1e-8)


def test_sequences_serve_the_untruncated_kernel(walks: Callable) -> None:
    X, kernel = flatten_paths(walks(5, 6, 2)), SignatureKernel(2, lengthscales=0.9)
    Z = InducingSequences.from_data(X, 3, kernel)
    flat = Z.Z.numpy().reshape(3, 10)
    np.testing.assert_allclose(Kuu(Z, kernel), kernel(flat), rtol=1e-12)
    np.testing.assert_allclose(Kuf(Z, kernel, X), kernel(flat, X), rtol=1e-12)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 3), r"shape \[M, depth \* \(depth \+ 1\) / 2, D\].*got \(5, 3\)"),
        ((0, 3, 2), "sizes that are positive"),
        ((5, 4, 2), r"1, 3, 6, 10, \.\.\., got 4"),
        ((5, 0, 2), "got 0"),
    ],
)
def test_tensors_refuse_shapes(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InducingTensors(np.zeros(shape))


@pytest.mark.parametrize("shape", [(5, 3), (0, 5, 2), (5, 0, 2)])
def test_sequences_refuse_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Z must have shape \[M, length, D\]"):
        InducingSequences(np.zeros(shape))


def test_shapes_that_do_not_fit_the_kernel(walks: Callable) -> None:
    X = flatten_paths(walks(3, 4, 6))
    kernel = TruncatedSignatureKernel(2, 3)
    for Z in (InducingTensors(np.ones((4, 6, 3))), InducingTensors(np.ones((4, 3, 2)))):
        with pytest.raises(ValueError, match=r"kernel's depth and number of channels, \(3, 2\), got"):
            Kuu(Z, kernel)
        with pytest.raises(ValueError, match=r"InducingTensors.from_data\(X, M, kernel\)"):
            Kuf(Z, kernel, X)
    for call in (lambda Z: Kuu(Z, kernel), lambda Z: Kuf(Z, kernel, X)):
        with pytest.raises(ValueError, match=r"kernel's num_channels, 2, got 3 \(Z of shape \(4, 5, 3\)\)"):
            call(InducingSequences(np.ones((4, 5, 3))))


UNSUITABLE = [
    gpflow.kernels.RBF(),
    TruncatedSignatureKernel(2, 2) + gpflow.kernels.RBF(),
    gpflow.kernels.SharedIndependent(TruncatedSignatureKernel(2, 2), 2),
]


@pytest.mark.parametrize("kernel", [*UNSUITABLE, SignatureKernel(2)])
def test_kernels_that_tensors_refuse(kernel: gpflow.kernels.Kernel) -> None:
    refuses(
        InducingTensors(np.ones((3, 3, 2))),
        kernel,
        "only for TruncatedSignatureKernel with a linear static kernel, got the kernel",
    )
    with pytest.raises(TypeError, match=f"got the kernel {type(kernel).__name__}.*OrthogonalSignatureFeatures"):
        InducingTensors.from_data(np.ones((3, 4)), 2, kernel)


def test_static_kernels_that_tensors_refuse() -> None:
    kernel = TruncatedSignatureKernel(2, 2, static_kernel=gpflow.kernels.RBF())
    message = "got the kernel TruncatedSignatureKernel with static_kernel=SquaredExponential.*take InducingSequences"
    refuses(InducingTensors(np.ones((3, 3, 2))), kernel, message)
    with pytest.raises(TypeError, match=message):
        InducingTensors.from_data(np.ones((3, 4)), 2, kernel)


@BOTH
def test_chosen_channels_and_columns(family: type, walks: Callable, rng: np.random.Generator) -> None:
    """As if the data held nothing but what the kernel sees."""
    X = walks(6, 5, 3)
    rows = np.concatenate([rng.normal(size=(6, 1)), flatten_paths(X)], axis=1)
    for order in (1, 3):
        kernel = TruncatedSignatureKernel(
            3, 3, discretization_order=order, channels=[2, 0], active_dims=slice(1, None), lengthscales=LENGTHSCALES
        )
        plain = TruncatedSignatureKernel(2, 3, discretization_order=order, lengthscales=LENGTHSCALES)
        Z, alone = family.from_data(rows, 4, kernel), family.from_data(X[..., [2, 0]], 4, plain)
        np.testing.assert_allclose(Kuu(Z, kernel), Kuu(alone, plain), rtol=1e-12)
        np.testing.assert_allclose(Kuf(Z, kernel, rows), Kuf(alone, plain, flatten_paths(X[..., [2, 0]])), rtol=1e-12)


def test_sequences_with_a_static_kernel(walks: Callable) -> None:
    X, kernel = walks(4, 6, 2), TruncatedSignatureKernel(2, 3, static_kernel=gpflow.kernels.Matern52())
    Z = InducingSequences.from_data(X, 3, kernel)
    flat = flatten_paths(Z.Z.numpy())
    np.testing.assert_allclose(Kuu(Z, kernel), kernel(flat), rtol=1e-12)
    np.testing.assert_allclose(Kuf(Z, kernel, flatten_paths(X)), kernel(flat, flatten_paths(X)), rtol=1e-12)


@pytest.mark.parametrize("kernel", UNSUITABLE)
def test_kernels_that_sequences_refuse(kernel: gpflow.kernels.Kernel) -> None:
    refuses(InducingSequences(np.ones((3, 5, 2))), kernel, "kernels of paths, .* got the kernel")
    with pytest.raises(TypeError, match=f"got the kernel {type(kernel).__name__}.*InducingPoints"):
        InducingSequences.from_data(np.ones((3, 4)), 2, kernel)


@pytest.mark.parametrize("Z", [InducingTensors(np.ones((3, 3, 2))), InducingSequences(np.ones((3, 5, 2)))])
@pytest.mark.parametrize("kernel", UNSUITABLE)
def test_unsuitable_kernels_have_neither_a_posterior_nor_a_divergence(
    Z: InducingVariables, kernel: gpflow.kernels.Kernel
) -> None:
    message = f"got the kernel {type(kernel).__name__}"
    with pytest.raises(TypeError, match=message):
        get_posterior_class(kernel, Z)
    for whiten in (True, False):
        with pytest.raises(TypeError, match=message):
            prior_kl(Z, kernel, np.zeros((3, 1)), np.eye(3)[None], whiten=whiten)


def refuses(Z: InducingVariables, kernel: gpflow.kernels.Kernel, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Kuu(Z, kernel)
    with pytest.raises(TypeError, match=message):
        Kuf(Z, kernel, np.ones((3, 8)))


@BOTH
def test_data_that_do_not_fit(family: type, walks: Callable) -> None:
    kernel = TruncatedSignatureKernel(2, 2)
    with pytest.raises(ValueError, match=r"width of X.*num_channels=2.*got shape \(3, 7\)"):
        family.from_data(np.ones((3, 7)), 2, kernel)
    with pytest.raises(ValueError, match="X must be finite"):
        family.from_data(np.full((3, 8), np.nan), 2, kernel)
    with pytest.raises(ValueError, match="num_inducing must be at least 1, got 0"):
        family.from_data(walks(3, 4, 2), 0, kernel)
    with pytest.raises(ValueError, match="length must be at least 2, got 1"):
        InducingSequences.from_data(walks(3, 4, 2), 2, kernel, length=1)
