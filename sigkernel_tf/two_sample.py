"""Do two sets of paths come from one distribution? The maximum mean discrepancy, its test, and scoring rules."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from . import _batches, _checks
from ._arguments import as_bool, as_int
from ._gram_blocks import GramBlocks, Sample, as_paths, pooled
from .goursat import PowerSeries, Solver
from .static_kernels import StaticKernel


@dataclasses.dataclass(frozen=True)
class TwoSampleTest:
    """
    The result of :func:`mmd_test`.

    >>> X = np.random.default_rng(0).normal(size=(20, 10, 2)) / 3
    >>> test = sk.mmd_test(X[:10], X[10:], num_permutations=99, seed=0)
    >>> test.p_value == (1 + np.sum(test.permuted >= test.statistic)) / 100
    True
    """

    statistic: float
    """The squared MMD of the two sets, as :func:`mmd` returns it."""
    p_value: float
    """The share of all permutations, the given order counted among them, whose statistic is at least as large."""
    permuted: np.ndarray
    """The statistic of each permutation, [num_permutations]."""


def mmd(
    X: Any,
    Y: Any,
    *,
    unbiased: bool = True,
    static_kernel: StaticKernel | None = None,
    difference: bool = True,
    normalize: bool = False,
    solver: Solver = PowerSeries(),
    block_size: int | None = None,
) -> tf.Tensor:
    r"""
    The squared maximum mean discrepancy of two sets of paths under the signature kernel (Gretton et al. 2012, eq. 3).

    With x, x' from one distribution and y, y' from another it estimates

    .. math:: MMD² = E\,k(x, x') - 2 E\,k(x, y) + E\,k(y, y'),

    the squared distance of the two mean signatures, which is 0 only where the distributions are the same up to what
    signatures do not see (where a path starts, how fast it runs: put a base point or time beside the paths). The
    unbiased estimate leaves k(x_i, x_i) out and may be negative; the biased one is the squared distance of the means of
    the two sets, and never is.

    The Gram matrices are summed a block at a time and never held as a whole, and the gradient computes each block
    again: the memory does not grow with N M. The result is differentiable once, in X, Y, the variables that the static
    kernel reads, and tensors among the keywords of a ``functools.partial``.

    >>> X, Y = np.random.default_rng(0).normal(size=(2, 30, 10, 2)) / 3
    >>> bool(sk.mmd(X, 2 * Y) > sk.mmd(X, Y))
    True

    :param X: [..., N, L1, D], float32 or float64. As in :func:`signature_kernel_gram`, a path that is padded with its
        last value counts as the path itself.
    :param Y: [..., M, L2, D], of X's dtype and with the same leading axes.
    :param unbiased: whether a path is left out of its own mean.
    :param static_kernel: as in :func:`signature_kernel`; None is the linear one.
    :param difference: as in :func:`signature_kernel`.
    :param normalize: whether k(x, y) is divided by √(k(x, x) k(y, y)). Long paths need it, whose kernels are huge; on
        the CPU these may then exceed the largest number of the dtype under the compiled static kernels.
    :param solver: :class:`PowerSeries` or :class:`FiniteDifference`.
    :param block_size: how many paths of each set make a block. It changes only the memory needed.
    :return: [...].
    :raises ValueError: as :func:`signature_kernel_gram` does, for sets of less than two paths (of none where
        ``unbiased`` is False), and for a ``static_kernel`` that reads a tensor from outside.
    :raises tf.errors.InvalidArgumentError: for NaN or infinite values, and for a kernel that overflows; the message
        counts paths within their block.
    """
    least = 2 if as_bool(unbiased, "unbiased") else 1
    blocks = GramBlocks(static_kernel, difference, normalize, solver, block_size)
    x, y = blocks.samples(*_sets(X, Y, least, least))
    within = _mean_within(blocks, x, unbiased=unbiased) + _mean_within(blocks, y, unbiased=unbiased)
    return within - 2.0 * _mean_between(blocks, x, y)


def mmd_test(
    X: Any,
    Y: Any,
    *,
    num_permutations: int = 999,
    seed: int | None = None,
    unbiased: bool = True,
    static_kernel: StaticKernel | None = None,
    difference: bool = True,
    normalize: bool = False,
    solver: Solver = PowerSeries(),
    block_size: int | None = None,
) -> TwoSampleTest:
    """
    Test whether two sets of paths come from one distribution, by permutations of :func:`mmd`.

    Under this hypothesis all ways to deal the paths out to two sets of these sizes are equally likely, so that the
    p-value is at most α with a probability of at most α, whatever the distribution. Each block of the pooled Gram
    matrix is computed once and serves all permutations; the matrix is never held as a whole, only one byte for each
    path and permutation.

    >>> X, Y = np.random.default_rng(0).normal(size=(2, 30, 10, 2)) / 3
    >>> sk.mmd_test(X, 2 * Y, num_permutations=99, seed=0).p_value <= 0.05
    True

    :param X: [N, L1, D], float32 or float64.
    :param Y: [M, L2, D], of X's dtype. The lengths may differ.
    :param num_permutations: the smallest p-value is 1 / (num_permutations + 1).
    :param seed: of NumPy's generator, which draws the permutations; None draws other ones each time.
    :param unbiased: as in :func:`mmd`, and so are the other options.
    :raises ValueError: as in :func:`mmd`, and for leading axes.
    :raises RuntimeError: inside a ``tf.function``.
    """
    if not tf.executing_eagerly():
        raise RuntimeError("mmd_test needs eager execution, got a call inside a tf.function: call it outside.")
    num_permutations = as_int(num_permutations, "num_permutations", 1)
    least = 2 if as_bool(unbiased, "unbiased") else 1
    blocks = GramBlocks(static_kernel, difference, normalize, solver, block_size)
    X, Y = _sets(X, Y, least, least)
    if X.shape.rank != 3:
        raise ValueError(
            f"X and Y must have rank 3, (paths, time steps, channels), got shape {X.shape}: test one by one."
        )
    (z,) = blocks.samples(pooled(X, Y))
    n, m = int(X.shape[0]), int(Y.shape[0])
    in_x = np.repeat(np.arange(n + m) < n, num_permutations + 1).reshape(n + m, -1)
    in_x[:, 1:] = np.random.default_rng(seed).permuted(in_x[:, 1:], axis=0)
    xx, yy, xy = _sums_of_permutations(blocks, z, in_x, diagonal=not unbiased)
    less = 1 if unbiased else 0
    parts = np.stack([xx / (n * (n - less)), yy / (m * (m - less)), -2.0 * xy / (n * m)])
    statistics = parts.sum(axis=0)
    # Permutations that only exchange equal sets have the same statistic up to rounding.
    rounding = 1e-12 * np.abs(parts).sum(axis=0).max()
    reached = np.sum(statistics >= statistics[0] - rounding)
    return TwoSampleTest(float(statistics[0]), float(reached / (num_permutations + 1)), statistics[1:])


def scoring_rule(
    X: Any,
    y: Any,
    *,
    static_kernel: StaticKernel | None = None,
    difference: bool = True,
    normalize: bool = False,
    solver: Solver = PowerSeries(),
    block_size: int | None = None,
) -> tf.Tensor:
    r"""
    The signature kernel score of a forecast for the path that came, E k(x, x') − 2 E k(x, y) (Issa et al. 2023).

    The forecast is given by paths that were drawn from it. Smaller scores are better, and in the mean over y no
    forecast has a smaller one than the distribution of y itself. Both means are unbiased. Options, units, memory and
    gradients are those of :func:`mmd`.

    >>> rng = np.random.default_rng(0)
    >>> draws, came = rng.normal(size=(8, 50, 10, 2)) / 3, rng.normal(size=(8, 10, 2)) / 3  # eight forecasts
    >>> sk.scoring_rule(draws, came).shape
    TensorShape([8])

    :param X: [..., N, L1, D], float32 or float64, N >= 2: paths drawn from the forecast.
    :param y: [..., L2, D], of X's dtype and with the same leading axes: the path that came.
    :return: [...].
    :raises ValueError: as in :func:`mmd`.
    """
    Y = as_paths(y, "y", sets=False)[..., None, :, :]
    return _score(X, Y, "X and y", GramBlocks(static_kernel, difference, normalize, solver, block_size))


def expected_scoring_rule(
    X: Any,
    Y: Any,
    *,
    static_kernel: StaticKernel | None = None,
    difference: bool = True,
    normalize: bool = False,
    solver: Solver = PowerSeries(),
    block_size: int | None = None,
) -> tf.Tensor:
    """
    The mean of :func:`scoring_rule` of one forecast over several paths that came.

    Beside a term that does not depend on the forecast it is :func:`mmd`, and so a loss to train generators by.

    >>> rng = np.random.default_rng(0)
    >>> draws, came = rng.normal(size=(50, 10, 2)) / 3, rng.normal(size=(20, 10, 2)) / 3
    >>> bool(np.isclose(sk.expected_scoring_rule(draws, came), np.mean([sk.scoring_rule(draws, y) for y in came])))
    True

    :param X: [..., N, L1, D], float32 or float64, N >= 2: paths drawn from the forecast.
    :param Y: [..., M, L2, D], of X's dtype and with the same leading axes: the paths that came.
    :return: [...].
    :raises ValueError: as in :func:`mmd`.
    """
    return _score(X, Y, "X and Y", GramBlocks(static_kernel, difference, normalize, solver, block_size))


def _score(X: Any, Y: Any, names: str, blocks: GramBlocks) -> tf.Tensor:
    x, y = blocks.samples(*_sets(X, Y, 2, 1, names))
    return _mean_within(blocks, x, unbiased=True) - 2.0 * _mean_between(blocks, x, y)


def _sets(X: Any, Y: Any, least_of_x: int, least_of_y: int, names: str = "X and Y") -> tuple[tf.Tensor, tf.Tensor]:
    X, Y = as_paths(X, "X", sets=True), as_paths(Y, "Y", sets=True)
    _checks.check_same_dtype(X, Y, names)
    _checks.check_same_size(X, Y, -1, names, "channels")
    _batches.check_same_leading(X, Y, 3, names)
    return _at_least(X, "X", least_of_x), _at_least(Y, "Y", least_of_y)


def _at_least(paths: tf.Tensor, name: str, least: int) -> tf.Tensor:
    """Paths [..., N, L, D], of which there must be some."""
    advice = "an unbiased mean is over different paths" if least == 2 else "a mean needs one"
    message = f"{name} must hold at least {least} path{'s' * (least > 1)} in each set: {advice}."
    count = paths.shape[-3]
    if count is not None:
        if count < least:
            raise ValueError(f"{message[:-1]}, got shape {paths.shape}.")
        return paths
    with tf.control_dependencies([tf.debugging.Assert(tf.shape(paths)[-3] >= least, [message])]):
        return tf.identity(paths)


def _mean_within(blocks: GramBlocks, x: Sample, *, unbiased: bool) -> tf.Tensor:
    """The mean of k(x, x') over the pairs of a set: [...]."""
    count = tf.cast(x.count, x.points.dtype)
    return blocks.sum_within(x, diagonal=not unbiased) / (count * (count - 1.0 if unbiased else count))


def _mean_between(blocks: GramBlocks, x: Sample, y: Sample) -> tf.Tensor:
    """The mean of k(x, y) over all pairs of two sets: [...]."""
    return blocks.sum_of_pairs(x, y) / (tf.cast(x.count, x.points.dtype) * tf.cast(y.count, x.points.dtype))


def _sums_of_permutations(
    blocks: GramBlocks, z: Sample, in_x: np.ndarray, *, diagonal: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Σ k over the pairs within x, within y and between them, for each way to deal the paths out, in float64.

    :param in_x: whether a path is dealt to x, [n + m, P].
    :return: three sums [P].
    """
    size, count = int(blocks.rows_in_block(z, z)), len(in_x)
    xx, yy, xy = (np.zeros(in_x.shape[1]) for _ in range(3))
    starts = range(0, count, size)
    for i in starts:
        rows = slice(i, i + size)
        of_x, of_y = in_x[rows].astype(float), (~in_x[rows]).astype(float)
        for j in (j for j in starts if j >= i):
            columns = slice(j, j + size)
            K = blocks.of(z.at(i, i + size), None if i == j else z.at(j, j + size)).numpy().astype(float)
            if i == j and not diagonal:
                np.fill_diagonal(K, 0.0)
            with_x = K @ in_x[columns].astype(float)
            with_y = K.sum(axis=1, keepdims=True) - with_x
            between = np.sum(of_x * with_y, axis=0)
            if i != j:
                between += np.sum(of_y * with_x, axis=0)
            xx += (1 if i == j else 2) * np.sum(of_x * with_x, axis=0)
            yy += (1 if i == j else 2) * np.sum(of_y * with_y, axis=0)
            xy += between
    return xx, yy, xy
