"""The maximum mean discrepancy, its test by permutations, and scoring rules."""

import functools
import gc
import weakref

import numpy as np
import oracles
import point_kernels
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from comparisons import close
from random_walks import walks

import sigkernel_tf as sk
from sigkernel_tf._gram_blocks import GramBlocks

DTYPES = [np.float32, np.float64]


def linear_gram(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """The Gram matrix of paths so short that the levels beyond 12 vanish, from their signatures."""
    S, T = (np.array([oracles.signature(path, 12) for path in paths.astype(float)]) for paths in (X, Y))
    return S @ T.T


def series_gram(name: str, X: np.ndarray, Y: np.ndarray, *, difference: bool, lengthscale: float) -> np.ndarray:
    def one(x: np.ndarray, y: np.ndarray) -> float:
        p = point_kernels.increments(name, x, y, difference=difference, lengthscale=lengthscale)
        return oracles.goursat(p, degree=12, digits=25)

    return np.array([[one(x, y) for y in Y] for x in X])


def statistics(xx: np.ndarray, yy: np.ndarray, xy: np.ndarray, *, unbiased: bool) -> dict[str, float]:
    """The statistics as their definitions have them, from whole Gram matrices."""
    means = []
    for K in (xx, yy):
        n = len(K)
        means.append(K[~np.eye(n, dtype=bool)].sum() / (n * (n - 1)) if unbiased else K.mean())
    return {"mmd": means[0] + means[1] - 2 * xy.mean(), "score": means[0] - 2 * xy.mean()}


def normalized(xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, ...]:
    x, y = np.sqrt(np.diag(xx)), np.sqrt(np.diag(yy))
    return xx / np.outer(x, x), yy / np.outer(y, y), xy / np.outer(x, y)


@pytest.fixture(name="sets")
def fixture_sets() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return walks(rng, 7, 5, 2, scale=0.3), walks(rng, 6, 4, 2, scale=0.45)


@pytest.mark.parametrize("block_size", [None, 1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_statistics_against_whole_matrices(dtype: type, block_size: int | None, sets: tuple) -> None:
    X, Y = (paths.astype(dtype) for paths in sets)
    grams = [linear_gram(*pair) for pair in ((X, X), (Y, Y), (X, Y))]
    tolerance = 2e-6 if dtype == np.float32 else 1e-12
    for unbiased in (True, False):
        found = sk.mmd(X, Y, unbiased=unbiased, block_size=block_size)
        close(found, statistics(*grams, unbiased=unbiased)["mmd"], tolerance)
        assert found.dtype == dtype
    expected = statistics(*grams, unbiased=True)["score"]
    close(sk.expected_scoring_rule(X, Y, block_size=block_size), expected, tolerance)
    each = [sk.scoring_rule(X, y, block_size=block_size) for y in Y]
    close(np.mean(each), expected, tolerance)
    expected = statistics(*normalized(*grams), unbiased=True)["mmd"]
    close(sk.mmd(X, Y, normalize=True, block_size=block_size), expected, tolerance)


@pytest.mark.parametrize(("name", "difference"), [("rbf", True), ("matern32", False), ("rational_quadratic", True)])
def test_static_kernels(name: str, difference: bool, sets: tuple) -> None:
    X, Y = sets[0][:4], sets[1][:3]
    kappa = functools.partial(getattr(sk.static_kernels, name), lengthscale=0.7)
    grams = [series_gram(name, *pair, difference=difference, lengthscale=0.7) for pair in ((X, X), (Y, Y), (X, Y))]
    options = {"static_kernel": kappa, "difference": difference, "block_size": 2}
    close(sk.mmd(X, Y, **options), statistics(*grams, unbiased=True)["mmd"], 1e-11)
    expected = statistics(*normalized(*grams), unbiased=False)["mmd"]
    close(sk.mmd(X, Y, unbiased=False, normalize=True, **options), expected, 1e-11)


def test_padding_changes_nothing(sets: tuple) -> None:
    X, Y = sets
    padded = np.concatenate([X, np.repeat(X[:, -1:], 3, axis=1)], axis=1)
    for difference in (True, False):
        options = {"static_kernel": sk.static_kernels.rbf, "difference": difference}
        close(sk.mmd(padded, Y, **options), sk.mmd(X, Y, **options), 1e-14)


@pytest.mark.parametrize("normalize", [False, True])
def test_leading_axes_are_sets_of_their_own(normalize: bool, rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(2, 3, 5, 4, 2)) / 2, rng.normal(size=(2, 3, 4, 3, 2)) / 2
    found = sk.mmd(X, Y, normalize=normalize, block_size=2)
    close(found, np.array([[sk.mmd(X[i, j], Y[i, j], normalize=normalize) for j in range(3)] for i in range(2)]), 1e-13)
    scores = sk.scoring_rule(X, Y[..., 0, :, :], normalize=normalize, block_size=2)
    one_by_one = [[sk.scoring_rule(X[i, j], Y[i, j, 0], normalize=normalize) for j in range(3)] for i in range(2)]
    close(scores, np.array(one_by_one), 1e-13)


@pytest.mark.parametrize("block_size", [None, 2])
@pytest.mark.parametrize("name", ["rbf", "rational_quadratic"])
def test_gradients_against_differences(name: str, block_size: int | None, sets: tuple) -> None:
    X, Y = sets[0][:4, :3], sets[1][:3, :3]

    def value(x, y, lengthscale) -> tf.Tensor:
        kappa = functools.partial(getattr(sk.static_kernels, name), lengthscale=lengthscale)
        return sk.mmd(x, y, static_kernel=kappa, normalize=name == "rbf", block_size=block_size)

    inputs = [tf.constant(X), tf.constant(Y), tf.constant(0.8, tf.float64)]

    shapes = [[None, None, 2], [None, None, 2], []]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float64) for shape in shapes], autograph=False)
    def traced(*arguments: tf.Tensor) -> list[tf.Tensor]:
        return tf.gradients(value(*arguments), arguments)

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        result = value(*inputs)
    numbers, rng = [each.numpy() for each in inputs], np.random.default_rng(2)
    for n, (eager, in_graph) in enumerate(zip(tape.gradient(result, inputs), traced(*inputs), strict=True)):
        direction = np.asarray(rng.normal(size=numbers[n].shape))

        def moved(array: np.ndarray, n: int = n) -> float:
            return float(value(*numbers[:n], array, *numbers[n + 1 :]))

        expected = oracles.slope(moved, numbers[n], direction, step=1e-3)
        close(np.sum(eager * direction), expected, 1e-9)
        close(np.sum(in_graph * direction), expected, 1e-9)


def test_variables_of_the_static_kernel_are_reached(sets: tuple) -> None:
    X, Y = sets
    lengthscale = tf.Variable(0.8, dtype=tf.float64)

    def value(length: float | tf.Variable) -> tf.Tensor:
        return sk.mmd(X, Y, static_kernel=functools.partial(sk.static_kernels.rbf, lengthscale=length), block_size=3)

    with tf.GradientTape() as tape:
        result = value(lengthscale)
    expected = oracles.slope(lambda x: float(value(float(x))), np.array(0.8), np.array(1.0), step=1e-3)
    close(tape.gradient(result, lengthscale), expected, 1e-8)


@pytest.mark.parametrize(("block_size", "kept"), [(2, False), (7, True)])
def test_no_block_outlives_its_sum(block_size: int, kept: bool, sets: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """So memory does not grow with N M. A gradient keeps the blocks only where each matrix is a single one."""
    blocks: list[weakref.ref] = []
    compute = GramBlocks.of

    def recorded(self: GramBlocks, *samples) -> tf.Tensor:
        block = compute(self, *samples)
        assert max(block.shape) <= block_size
        blocks.append(weakref.ref(block))
        return block

    monkeypatch.setattr(GramBlocks, "of", recorded)
    X = tf.Variable(sets[0])
    with tf.GradientTape() as tape:
        result = sk.mmd(X, sets[1], unbiased=False, block_size=block_size)
    gc.collect()
    assert any(block() is not None for block in blocks) == kept
    count = len(blocks)
    assert np.isfinite(tape.gradient(result, X)).all()
    assert len(blocks) == (count if kept else 2 * count - 6)  # Y's own blocks are not asked for again


def test_normalized_kernels_may_be_beyond_the_largest_number() -> None:
    """A straight line's kernel with another along it is I0(2 sqrt(|x| |y|)), here about e^800."""
    lengths = np.array([400.0, 450.0])
    lines = lengths[:, None, None] * np.linspace(0.0, 1.0, 5)[None, :, None]  # of one channel, so that none is swept

    def log_kernel(a: float, b: float) -> float:
        return np.log(scipy.special.i0e(2 * np.sqrt(a * b))) + 2 * np.sqrt(a * b)

    between = np.exp(log_kernel(*lengths) - (log_kernel(*lengths[[0, 0]]) + log_kernel(*lengths[[1, 1]])) / 2)
    found = sk.mmd(lines[:1], lines[1:], normalize=True, unbiased=False, block_size=1)
    close(found, 2.0 - 2.0 * between, 1e-10)
    close(sk.scoring_rule(lines[[0, 0]], lines[1], normalize=True), 1.0 - 2.0 * between, 1e-10)


def test_the_permutation_test_has_its_size() -> None:
    """Of 400 tests of equal distributions at 5%, a number within the binomial's central 99.9% rejects."""
    rng = np.random.default_rng(11)
    rejected = 0
    for _ in range(400):
        Z = walks(rng, 20, 4, 2)
        test = sk.mmd_test(Z[:9], Z[9:], num_permutations=59, seed=int(rng.integers(2**31)))
        rejected += test.p_value <= 0.05
    low, high = scipy.stats.binom.interval(0.999, 400, 0.05)
    assert low <= rejected <= high


def test_different_distributions_are_told_apart() -> None:
    """Walks of the same mean and other volatility: what a comparison of end points' means would not see."""
    rng = np.random.default_rng(5)
    X, Y = walks(rng, 40, 6, 2), walks(rng, 30, 8, 2, scale=2.5)
    test = sk.mmd_test(X, Y, num_permutations=199, seed=0)
    assert test.p_value == 1 / 200
    assert len(test.permuted) == 199
    assert test.statistic > test.permuted.max()


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_permuted_statistics_are_those_of_permuted_sets(unbiased: bool, sets: tuple) -> None:
    X, Y = sets
    options = {"static_kernel": sk.static_kernels.rbf, "difference": False, "normalize": True, "unbiased": unbiased}
    test = sk.mmd_test(X, Y, num_permutations=20, seed=7, block_size=4, **options)
    close(test.statistic, sk.mmd(X, Y, **options), 1e-13)
    other = sk.mmd_test(X, Y, num_permutations=20, seed=7, **options)
    close(test.permuted, other.permuted, 1e-13)
    # By another way: each dealing out by itself, of the same generator.
    padded = np.concatenate([Y, np.repeat(Y[:, -1:], 1, axis=1)], axis=1)
    Z = np.concatenate([X, padded])
    in_x = np.repeat(np.arange(13) < 7, 20).reshape(13, 20)
    in_x = np.random.default_rng(7).permuted(in_x, axis=0)
    expected = [float(sk.mmd(Z[chosen], Z[~chosen], **options)) for chosen in in_x.T]
    close(test.permuted, expected, 1e-13)


def test_every_deal_of_equal_sets_is_as_extreme() -> None:
    """Two identical paths in each set: every permutation ties, and ties count."""
    X = np.repeat(np.random.default_rng(0).normal(size=(1, 4, 2)), 2, axis=0)
    assert sk.mmd_test(X, X, num_permutations=19, seed=0).p_value == 1.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda X, Y: sk.mmd(X[:1], Y), ValueError, "X must hold at least 2 paths in each set"),
        (lambda X, Y: sk.mmd(X, Y[:0], unbiased=False), ValueError, "Y must hold at least 1 path in each set"),
        (lambda X, Y: sk.mmd(X, Y[..., :1]), ValueError, "X and Y must have the same number of channels"),
        (lambda X, Y: sk.mmd(X, Y.astype(np.float32)), TypeError, "X and Y must have one dtype"),
        (lambda X, Y: sk.mmd(X[0], Y), ValueError, "X must have rank 3 or more"),
        (lambda X, Y: sk.mmd(X, Y, unbiased="no"), TypeError, "unbiased must be True or False"),
        (lambda X, Y: sk.mmd(X, Y, block_size=0), ValueError, "block_size must be at least 1"),
        (lambda X, Y: sk.mmd(X, Y, solver="fast"), TypeError, "solver"),
        (lambda X, Y: sk.mmd_test(X, Y, num_permutations=0), ValueError, "num_permutations must be at least 1"),
        (lambda X, Y: sk.mmd_test(X[None], Y[None]), ValueError, "X and Y must have rank 3"),
        (lambda X, Y: tf.function(sk.mmd_test, autograph=False)(X, Y), RuntimeError, "mmd_test needs eager execution"),
        (lambda X, Y: sk.scoring_rule(X, Y), ValueError, "X and y must have the same leading axes"),
        (lambda X, Y: sk.scoring_rule(X, np.full_like(Y[0], np.nan)), tf.errors.InvalidArgumentError, "y must be fin"),
        (
            lambda X, Y: sk.mmd(np.where(np.arange(2) == 1, np.inf, X), Y),
            tf.errors.InvalidArgumentError,
            "X must be fin",
        ),
    ],
)
def test_what_is_wrong_is_named(call, error: type, message: str, sets: tuple) -> None:
    with pytest.raises(error, match=message):
        call(*sets)


def test_too_few_paths_are_refused_at_run_time(sets: tuple) -> None:
    signature = [tf.TensorSpec([None, None, 2], tf.float64)] * 2
    traced = tf.function(sk.mmd, input_signature=signature, autograph=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="X must hold at least 2 paths"):
        traced(sets[0][:1], sets[1])


def test_a_static_kernel_that_hides_a_tensor_is_refused(sets: tuple) -> None:
    lengthscale = tf.constant(0.5, tf.float64)
    with pytest.raises(ValueError, match="static_kernel must be given its tensors by functools.partial"):
        sk.mmd(*sets, static_kernel=lambda X, Y: sk.static_kernels.rbf(X, Y, lengthscale=lengthscale))


def test_a_kernel_that_a_coarse_solver_makes_negative_is_refused() -> None:
    """Along a straight line, back, and on to its start: k(x, x) = 1, and -4.16 by the coarse scheme."""
    X = np.array([[[-1.0, -1.0], [1.0, -1.0], [0.0, -1.0], [-1.0, -1.0]]]).repeat(2, axis=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"normalize=True needs k\(x, x\) > 0(.|\n)*-4\.15"):
        sk.mmd(X, X, normalize=True, solver=sk.FiniteDifference())
