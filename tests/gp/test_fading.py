"""Paths whose past fades, and the kernels of such paths."""

import gpflow
import numpy as np
import oracles
import pytest
import tensorflow as tf
from comparisons import close
from random_walks import walks

import sigkernel_tf as sk
from sigkernel_tf.gp import OrthogonalSignatureFeatures, SignatureKernel, flatten_paths


def weights(length: int, half_life: float | np.ndarray) -> np.ndarray:
    """Of the increments of a path, one by one."""
    ages = np.arange(length - 1)[::-1, None]
    return 0.5 ** (ages / np.broadcast_to(half_life, [2]))


HALF_LIFE = np.array([2.0, 5.0])


@pytest.mark.parametrize("half_life", [3.0, HALF_LIFE])
def test_increments_fade_by_their_age(half_life: float | np.ndarray, rng: np.random.Generator) -> None:
    paths = [rng.normal(size=(length, 2)) for length in (1, 2, 7, 5)]
    found = sk.paths.fade(paths, half_life)
    for path, faded in zip(paths, found, strict=True):
        close(np.diff(faded, axis=0), np.diff(path, axis=0) * weights(len(path), half_life), 1e-15)
        close(faded[-1], path[-1], 0.0)
    padded = np.full((4, 7, 2), np.nan)
    for row, path in zip(padded, paths, strict=True):
        row[: len(path)] = path
    for row, faded in zip(sk.paths.fade(padded, half_life), found, strict=True):
        close(row[: len(faded)], faded, 1e-15)
        assert np.isnan(row[len(faded) :]).all()


def test_one_step_more_halves_each_factor(rng: np.random.Generator) -> None:
    x = rng.normal(size=(1, 5, 2))
    later = np.concatenate([x, x[:, -1:], x[:, -1:]], axis=1)
    S, T = (sk.signature(sk.paths.fade(each, 4.0), depth=3).numpy()[0] for each in (x, later))
    levels = np.array([len(word) for word in sk.words(2, 15)])
    close(T, S * 0.5 ** (levels * 2 / 4), 1e-14)


@pytest.mark.parametrize("half_life", [3.0, HALF_LIFE])
def test_the_kernel_against_the_series(half_life: float | np.ndarray) -> None:
    X = walks(np.random.default_rng(1), 3, 6, 2)
    X[1, 4:] = X[1, 3]  # a constant tail is padding
    kernel = SignatureKernel(2, half_life=half_life, lengthscales=0.7, variance=1.3)

    def steps(path: np.ndarray, length: int) -> np.ndarray:
        return np.diff(path[:length], axis=0) * weights(length, half_life) / 0.7

    lengths = [6, 4, 6]
    increments = [steps(*pair) for pair in zip(X, lengths, strict=True)]
    expected = [[1.3 * oracles.goursat(a @ b.T, degree=14, digits=25) for b in increments] for a in increments]
    rows = flatten_paths(X)
    close(kernel(rows), np.array(expected), 1e-13)
    close(kernel(rows, rows[:2]), np.array(expected)[:, :2], 1e-13)
    close(kernel(rows, full_cov=False), np.diag(expected), 1e-13)
    phi = kernel.features(rows, 2**11 - 1).numpy()
    close(phi @ phi.T, np.array(expected), 1e-9)
    Kuf = gpflow.covariances.Kuf(OrthogonalSignatureFeatures(7), kernel, tf.constant(rows))
    close(Kuf, phi[:, :7].T, 1e-14)


def test_the_half_life_is_trained() -> None:
    rows = flatten_paths(walks(np.random.default_rng(2), 4, 5, 2))
    kernel = SignatureKernel(2, half_life=HALF_LIFE)
    variable = kernel.half_life.unconstrained_variable
    assert any(each is variable for each in kernel.trainable_variables)
    upstream = np.random.default_rng(3).normal(size=(4, 4))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(kernel(rows) * upstream)
    found = tape.gradient(value, variable)

    def moved(numbers: np.ndarray) -> float:
        variable.assign(numbers)
        return float(tf.reduce_sum(kernel(rows) * upstream))

    close(found, oracles.central_differences(moved, variable.numpy().copy(), step=1e-3), 1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SignatureKernel(2, half_life=0.0), "half_life must be positive and finite"),
        (lambda: SignatureKernel(2, half_life=[1.0, 2.0, 3.0]), r"half_life must be a scalar or have shape \[2\]"),
        (lambda: SignatureKernel(2, half_life=2.0, window=3), "half_life must be None where window is not"),
        (lambda: SignatureKernel(2, half_life=2.0, static_kernel=gpflow.kernels.RBF()), "where static_kernel is not"),
        (lambda: sk.paths.fade(np.ones((1, 3, 2)), -1.0), "half_life must be positive"),
        (lambda: sk.paths.fade(np.ones((1, 3, 2)), [1.0] * 3), r"half_life must be one number, or have shape \[2\]"),
    ],
)
def test_wrong_half_lives_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
