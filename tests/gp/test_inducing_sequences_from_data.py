"""Inducing sequences from data: stretches and whole series, at random, by k-means and by conditional variance."""

from collections.abc import Callable

import gpflow
import numpy as np
import pytest

from sigkernel_tf.gp import InducingSequences, SignatureKernel, TruncatedSignatureKernel, flatten_paths

METHODS = ["random", "kmeans", "conditional_variance"]
every_method = pytest.mark.parametrize("method", METHODS)


def kernel() -> SignatureKernel:
    return SignatureKernel(2, lengthscales=[0.8, 1.3])


def drawn(X: object, num_inducing: int, **options: object) -> np.ndarray:
    return InducingSequences.from_data(X, num_inducing, kernel(), **options).Z.numpy()


def are_different(Z: np.ndarray) -> bool:
    return len(np.unique(Z.reshape(len(Z), -1), axis=0)) == len(Z)


@every_method
def test_whole_series(method: str, walks: Callable) -> None:
    X = walks(12, 6, 2)
    Z = drawn(X, 7, method=method, length=None)
    assert Z.shape == (7, 6, 2)
    assert are_different(Z)
    assert all((z == X).all(axis=(1, 2)).any() for z in Z)


@every_method
def test_whole_series_of_several_lengths(method: str, walks: Callable) -> None:
    X = [*walks(4, 3, 2), *walks(4, 7, 2)]
    Z = drawn(X, 8, method=method, length=None)
    np.testing.assert_array_equal(sorted(flatten_paths(Z).tolist()), sorted(flatten_paths(X).tolist()))


@every_method
def test_stretches(method: str, walks: Callable) -> None:
    X = walks(10, 9, 2)
    Z = drawn(X, 10, method=method)
    assert Z.shape == (10, 5, 2)
    assert are_different(Z)
    stretches = np.concatenate([X[:, start : start + 5] for start in range(5)])
    assert all((stretches == z).all(axis=(1, 2)).any() for z in Z)


@every_method
@pytest.mark.parametrize("length", [None, 5])
def test_more_than_there_are(method: str, length: int | None, walks: Callable) -> None:
    """Of 3 different series all are taken, and again in turn."""
    X = walks(3, 5, 2)
    Z = drawn(np.concatenate([X, X, X]), 8, method=method, length=length)
    assert len(Z) == 8
    assert len(np.unique(Z.reshape(8, -1), axis=0)) == 3
    np.testing.assert_array_equal(Z[:5], Z[3:])


@every_method
def test_series_that_come_twice_are_taken_once(method: str, walks: Callable) -> None:
    X = walks(6, 5, 2)
    X = np.concatenate([X, X])
    X[6:][X[6:] == 0] = -0.0
    assert are_different(drawn(X, 6, method=method, length=None))


def test_another_stretch_stands_in_for_one_that_came_twice(walks: Callable) -> None:
    X = np.repeat(walks(1, 40, 2), 10, axis=0)
    assert are_different(drawn(X, 10))


@every_method
def test_seeds(method: str, walks: Callable) -> None:
    X = walks(20, 9, 2)
    first, again, other = (drawn(X, 6, method=method, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_series_that_do_not_move_count_as_series(walks: Callable) -> None:
    X = walks(5, 6, 2)
    X[2] = X[2, :1]
    assert are_different(drawn(X, 5, length=None))


def test_kmeans_takes_one_of_each_cluster(walks: Callable, rng: np.random.Generator) -> None:
    centres = 10 * walks(6, 5, 2)
    X = centres[np.arange(60) % 6] + 0.01 * rng.normal(size=(60, 5, 2))
    Z = drawn(X, 6, method="kmeans", length=None)
    distances = np.abs(Z[:, None] - centres[None]).max(axis=(2, 3))
    np.testing.assert_array_equal(np.sort(np.argmin(distances, axis=1)), np.arange(6))
    assert distances.min(axis=1).max() < 0.05


@pytest.mark.parametrize("static_kernel", [None, gpflow.kernels.RBF()])
def test_conditional_variance_is_largest_at_each_choice(static_kernel: object, walks: Callable) -> None:
    X = walks(15, 6, 2)
    k = SignatureKernel(2, static_kernel=static_kernel, normalize=True)
    Z = flatten_paths(InducingSequences.from_data(X, 8, k, method="conditional_variance", length=None).Z.numpy())
    flat = flatten_paths(X)
    K = k(flat).numpy()
    chosen = [int(np.flatnonzero((flat == z).all(axis=1))[0]) for z in Z]
    for m in range(1, 8):
        A = K[:, chosen[:m]]
        left = np.diag(K) - np.sum(A * np.linalg.solve(K[np.ix_(chosen[:m], chosen[:m])], A.T).T, axis=1)
        np.testing.assert_allclose(left[chosen[m]], left.max(), rtol=1e-9)


def test_conditional_variance_goes_on_where_nothing_is_left(walks: Callable) -> None:
    """The kernel of two words has rank 3: whatever is taken then, nothing is taken twice."""
    k = TruncatedSignatureKernel(2, 1)
    Z = InducingSequences.from_data(walks(9, 6, 2), 9, k, method="conditional_variance", length=None).Z.numpy()
    assert are_different(Z)


def test_active_columns_are_taken(walks: Callable, rng: np.random.Generator) -> None:
    flat = flatten_paths(walks(6, 4, 2))
    k = SignatureKernel(2, active_dims=slice(3, None))
    rows = np.concatenate([rng.normal(size=(6, 3)), flat], axis=1)
    for method in METHODS:
        Z = InducingSequences.from_data(rows, 6, k, method=method, length=None).Z.numpy()
        np.testing.assert_array_equal(sorted(flatten_paths(Z).tolist()), sorted(flat.tolist()))


def test_bad_arguments(walks: Callable) -> None:
    X = walks(4, 5, 2)
    with pytest.raises(ValueError, match="method must be one of 'random', 'kmeans', 'conditional_variance', got 'k-me"):
        drawn(X, 3, method="k-means")
    with pytest.raises(ValueError, match="length must be at least 2, got 1"):
        drawn(X, 3, length=1)
    with pytest.raises(ValueError, match="at least one path that moves"):
        drawn(np.zeros((4, 5, 2)), 3, length=None)
    with pytest.raises(ValueError, match=r"num_channels=2, \[N, L, 2\], .* got 10 channels .* X.reshape"):
        drawn(flatten_paths(X)[None], 3)
    with pytest.raises(ValueError, match="got 3 channels"):
        drawn([np.ones((4, 3)), np.zeros((5, 3))], 3)
    with pytest.raises(ValueError, match="X must be finite"):
        drawn(np.full((4, 10), np.inf), 3, length=None)
