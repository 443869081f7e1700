"""The search of the estimators for a lifted kernel: what ranks the candidates, and on which series."""

from dataclasses import replace

import numpy as np
import scipy.optimize
import scipy.special

from sigkernel_tf.gp import SignatureGPClassifier
from sigkernel_tf.gp.estimators.least_squares import fit_features, fit_gram
from sigkernel_tf.gp.estimators.lifted import LiftedKernel
from sigkernel_tf.gp.estimators.options import checked_options
from sigkernel_tf.gp.estimators.search.candidate import Bench, LiftedCandidate
from sigkernel_tf.gp.estimators.search.neighbours import neighbours
from sigkernel_tf.gp.estimators.search.refinement import refined
from sigkernel_tf.gp.estimators.search.rows import LeftOut
from sigkernel_tf.gp.estimators.tasks import Classification


def bench_of(X: np.ndarray, y: np.ndarray) -> Bench:
    task = Classification(y, y.max() + 1, np.ones(len(y)))
    options = checked_options(SignatureGPClassifier().get_params(deep=False), len(y), 1, task.num_latents)
    return Bench(list(X), task, options, np.random.default_rng(0), lambda _: None)


def test_neighbours_are_not_of_the_same_class(rng: np.random.Generator) -> None:
    """
    The solver's errors are alike for neighbours: in the order of the classes, they once told the class.

    Neighbours of 20 classes in a random order are of the same class in one case of twenty.
    """
    y = np.repeat(np.arange(20), 5)
    X = y[:, None] + rng.normal(size=(100, 6))
    bench = bench_of(X[..., None], y)
    for size in (80, 100):
        assert np.mean(np.diff(y[bench.rows(size)]) == 0) < 0.15
    fitted = SignatureGPClassifier(kernel="lifted", effort=0.002, num_inducing=100, random_state=0).fit(X, y)
    inducing = np.round(fitted._process.inducing, 4)[:, None]
    order = np.argmin(np.abs(inducing - fitted.flat_paths(X)[None]).sum(axis=2), axis=1)
    assert len(set(order)) == 100
    assert np.mean(np.diff(y[order]) == 0) < 0.15


def test_the_screening_is_by_left_out_series(rng: np.random.Generator) -> None:
    """Each series left out of a dense regression, for every ridge, and the factor of the scores by brute force."""
    y = np.arange(18) % 3
    X = np.eye(3)[y] + rng.normal(size=(18, 3))
    weights = rng.uniform(0.5, 1.5, size=18)
    weights /= weights.mean()
    K = np.exp(-0.5 * np.sum((X[:, None] - X) ** 2, axis=2))
    task = Classification(y, 3, weights)
    Y = np.eye(3)[y] - np.average(np.eye(3)[y], axis=0, weights=weights)
    best = np.inf
    for ridge in np.logspace(-5, 1.5, 14) * np.mean(np.diag(K) * weights):
        scores = np.empty((18, 3))
        for i in range(18):
            others = np.arange(18) != i
            noise = np.diag(ridge / weights[others])
            scores[i] = K[i, others] @ np.linalg.solve(K[np.ix_(others, others)] + noise, Y[others])

        def loss(log_factor: float, scores: np.ndarray = scores) -> float:
            log_p = scipy.special.log_softmax(np.exp(log_factor) * scores, axis=1)[np.arange(18), y]
            return -np.sum(weights * log_p) + 0.5 * (log_factor - np.log(5)) ** 2 / 0.25

        factor = scipy.optimize.minimize_scalar(loss, bounds=(-3, 6), method="bounded", options={"xatol": 1e-6}).x
        log_p = scipy.special.log_softmax(np.exp(factor) * scores, axis=1)[np.arange(18), y]
        best = min(best, -np.average(log_p, weights=weights))
    np.testing.assert_allclose(task.screening_nlpp(K, np.arange(18)), best, rtol=1e-4)


def test_a_matrix_is_as_good_as_its_features(rng: np.random.Generator) -> None:
    phi, Y, weights = rng.normal(size=(15, 9)), rng.normal(size=(15, 2)), np.array([0.5, 1.0, 1.5] * 5)
    of_gram, of_features = fit_gram(phi @ phi.T, Y, weights), fit_features(phi, Y, weights)
    np.testing.assert_allclose(of_gram.ridge, of_features.ridge, rtol=1e-6)
    np.testing.assert_allclose(of_gram.scores, of_features.scores, atol=1e-6)
    np.testing.assert_allclose(of_gram.variances, of_features.variances, rtol=1e-6)


def test_refined_parameters_predict_better(rng: np.random.Generator) -> None:
    """From a lengthscale and a scale of time that are far off."""
    y = np.arange(60) % 3
    t = np.linspace(0, 1, 12)
    X = np.exp(-(((t - 0.25 * (1 + y[:, None])) / 0.1) ** 2)) + 0.3 * rng.normal(size=(60, 12))
    bench = bench_of(X[..., None], y)
    start = LiftedCandidate(
        bench.preprocessors(110)[0], LiftedKernel(kind="lifted", lengthscales=(8.0,), time_scale=1.0)
    )
    rows = bench.rows(60)
    before, after = (bench.validated(one, rows, "") for one in (start, refined(bench, start)))
    assert after.validation_nlpp < before.validation_nlpp - 0.05


def test_neighbours_lead_to_the_minimum() -> None:
    """Of a bowl whose lowest point lies on the grid of steps, by validation alone; and never more than asked for."""
    start = LiftedCandidate(None, LiftedKernel(kind="lifted", lengthscales=(1.0, 3.0), time_scale=2.0))

    def validated(candidate: LiftedCandidate) -> LiftedCandidate:
        kernel = candidate.kernel
        values = np.log2([kernel.variance, kernel.lengthscales[0], kernel.time_scale])
        return replace(candidate, validation_nlpp=float(np.sum((values - [2.0, -1.5, 1.0]) ** 2)))

    found = neighbours(validated(start), validated, 100)
    best = min(found, key=lambda one: one.validation_nlpp)
    np.testing.assert_allclose(best.validation_nlpp, 0.0, atol=1e-20)
    np.testing.assert_allclose(best.kernel.lengthscales, 2.0**-1.5 * np.array([1.0, 3.0]))
    assert len({one.kernel for one in found}) == len(found) < 40
    assert len(neighbours(validated(start), validated, 4)) == 4


def test_better_by_more_than_chance() -> None:
    """By hand: differences 1, 1, 1, -1 of four common series have the mean 0.5 and the standard error √3 / 4."""
    few = LeftOut(np.array([3, 1, 0, 2]), np.array([2.0, 0.0, 0.0, 0.0]))
    more = LeftOut(np.arange(6), np.array([1.0, 1.0, 1.0, 1.0, 9.0, 9.0]))
    assert few.is_surely_better(more)
    assert not more.is_surely_better(few)
    assert not LeftOut(few.rows, few.nlpps + 0.1).is_surely_better(more)
    assert LeftOut(np.array([7]), np.array([0.5])).is_surely_better(more)
