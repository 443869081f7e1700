"""Predictions are traced once for each model; whatever changes in the model is seen, and no model is kept alive."""

import gc
import resource
import weakref
from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow.python.framework import ops as tf_ops
from training_toys import classifier, three_clouds, toy_options

from sigkernel_tf.gp import (
    OrthogonalSignatureFeatures,
    SigGPDE,
    SignatureKernel,
    evaluate,
    predict_in_batches,
    predict_probabilities,
    predict_quantiles,
    train,
)
from sigkernel_tf.gp.prediction import traces


@pytest.fixture
def model(rng: np.random.Generator) -> gpflow.models.SVGP:
    """With probabilities, means and a likelihood that GPflow completes when it is first used."""
    model = gpflow.models.SVGP(gpflow.kernels.RBF(), gpflow.likelihoods.Bernoulli(), rng.normal(size=(4, 2)))
    model.q_mu.assign(rng.normal(size=(4, 1)))
    return model


@pytest.fixture
def points(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(7, 2))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by one entry whenever a function of a model is traced."""
    traced: list[int] = []
    parts_of = traces._parts_of

    def counted(model: gpflow.models.GPModel) -> list:
        if not tf.executing_eagerly():
            traced.append(1)
        return parts_of(model)

    monkeypatch.setattr(traces, "_parts_of", counted)
    return traced


def test_one_trace_serves_all_calls(model: gpflow.models.SVGP, points: np.ndarray, seen: list[int]) -> None:
    Y = np.zeros((7, 1))
    for call in range(2):
        for rows in (slice(0, 1), slice(0, 7)):
            mean, variance = predict_in_batches(model, points[rows])
            np.testing.assert_allclose(mean, model.predict_y(points[rows])[0], rtol=1e-12)
            np.testing.assert_allclose(variance, model.predict_y(points[rows])[1], rtol=1e-12)
            np.testing.assert_allclose(predict_probabilities(model, points[rows])[:, 1:], mean, rtol=1e-12)
            evaluate(model, (points[rows], Y[rows]), batch_size=call + 1)
    assert len(seen) == 3  # one for each function


def test_every_kind_of_model_is_traced_once(points: np.ndarray, walks: Callable, seen: list[int]) -> None:
    """Whatever GPflow wraps the parts of a model in, the same parts are found again."""
    paths = walks(4, 4, 2).reshape(4, -1)
    kernel = gpflow.kernels.RBF() + gpflow.kernels.Linear()
    models = [
        (gpflow.models.GPR((points, points[:, :1]), kernel), points),
        (SigGPDE(2, 3, likelihood=gpflow.likelihoods.StudentT(), num_latent_gps=2), paths),
        (gpflow.models.GPMC((points, points[:, :1]), kernel, gpflow.likelihoods.Gaussian()), points),
    ]
    for count, (model, X) in enumerate(models, 1):
        first = predict_quantiles(model, X, [0.3])
        np.testing.assert_array_equal(predict_quantiles(model, X, [0.3]), first)
        np.testing.assert_allclose(predict_quantiles(model, X[2:3], [0.3]), first[:, 2:3], rtol=1e-9)
        assert len(seen) == count


CHANGES: dict[str, Callable[[gpflow.models.SVGP, np.random.Generator], None]] = {
    "a value": lambda model, rng: model.q_mu.assign(rng.normal(size=(4, 1))),
    "a kernel's value": lambda model, rng: model.kernel.lengthscales.assign(0.3),
    "a parameter": lambda model, rng: setattr(model, "q_mu", gpflow.Parameter(rng.normal(size=(4, 1)))),
    "a kernel's parameter": lambda model, rng: setattr(model.kernel, "variance", gpflow.Parameter(3.0)),
    "a kernel": lambda model, rng: setattr(model, "kernel", gpflow.kernels.Matern12()),
    "a likelihood": lambda model, rng: setattr(model, "likelihood", gpflow.likelihoods.Bernoulli(tf.sigmoid)),
    "inducing variables": lambda model, rng: setattr(
        model, "inducing_variable", gpflow.inducing_variables.InducingPoints(rng.normal(size=(4, 2)))
    ),
    "inducing points": lambda model, rng: setattr(
        model.inducing_variable, "Z", gpflow.Parameter(rng.normal(size=(4, 2)))
    ),
    "a mean function": lambda model, rng: setattr(model, "mean_function", gpflow.functions.Constant([1.0])),
    "a setting": lambda model, rng: setattr(model, "whiten", False),
}


def test_changes_are_seen(model: gpflow.models.SVGP, points: np.ndarray, rng: np.random.Generator) -> None:
    before = predict_in_batches(model, points)[0]
    for change, apply in CHANGES.items():
        apply(model, rng)
        after = predict_in_batches(model, points)[0]
        assert np.abs(after - before).max() > 1e-3, change
        np.testing.assert_allclose(after, model.predict_y(points)[0], rtol=1e-9, err_msg=change)
        before = after


def test_changes_of_a_part_of_a_part_are_seen(walks: Callable) -> None:
    X = walks(5, 4, 2).reshape(5, -1)
    kernel = SignatureKernel(2) * gpflow.kernels.RBF(active_dims=[0])
    model = gpflow.models.GPR((X, X[:, :1]), kernel, noise_variance=0.1)
    first = predict_in_batches(model, X)[0]
    kernel.kernels[0].normalize = True
    second = predict_in_batches(model, X)[0]
    model.data = (tf.constant(X), tf.constant(-X[:, :1]))
    third = predict_in_batches(model, X)[0]
    np.testing.assert_allclose(third, -second, rtol=1e-9)
    assert np.abs(second - first).max() > 1e-3
    np.testing.assert_allclose(third, model.predict_y(X)[0], rtol=1e-9)


def test_an_evaluator_sees_replaced_parts(model: gpflow.models.SVGP, points: np.ndarray) -> None:
    from sigkernel_tf.gp.prediction import Evaluator

    score = Evaluator(model, (points, np.ones((7, 1))))
    before = score().nlpp
    model.kernel = gpflow.kernels.Matern12()
    assert score().nlpp != before
    assert score().nlpp == pytest.approx(-np.mean(np.log(model.predict_y(points)[0])), rel=1e-9)


def test_random_likelihoods_follow_the_seed(points: np.ndarray, rng: np.random.Generator) -> None:
    """Softmax draws random numbers: the same seed gives the same draws, whatever was traced before."""
    model = gpflow.models.SVGP(
        gpflow.kernels.RBF(), gpflow.likelihoods.Softmax(3), rng.normal(size=(4, 2)), num_latent_gps=3
    )
    found = []
    for seed in (None, 1, 2, 1):
        if seed is not None:
            tf.random.set_seed(seed)
        found.append(predict_probabilities(model, points))
    np.testing.assert_array_equal(found[1], found[3])
    assert np.abs(found[1] - found[2]).max() > 1e-6


def test_no_model_is_kept_alive(walks: Callable) -> None:
    """Nor is one taken for another that had its place in memory."""
    paths = walks(3, 4, 2).reshape(3, -1)
    for value in (1.0, -1.0):
        model = SigGPDE(2, 3, likelihood=gpflow.likelihoods.Bernoulli())
        model.q_mu.assign(np.full((3, 1), value))
        np.testing.assert_allclose(predict_in_batches(model, paths)[0], model.predict_y(paths)[0], rtol=1e-12)
        evaluate(model, (paths, np.ones((3, 1))))
        dead = weakref.ref(model)
        del model
        gc.collect()
        assert dead() is None


def test_training_again_leaves_no_graphs() -> None:
    """Neither in TensorFlow's registry of gradients nor in TFP's cache of values, which would keep them for ever."""
    model, sizes = classifier(), []
    for _ in range(2):
        train(model, three_clouds(24), toy_options(iterations=1))
        gc.collect()
        gradients, values = tf_ops.gradient_registry._registry, tfp.bijectors.Bijector._cache.storage
        assert len(gradients) > 100  # those of TensorFlow's own operations
        sizes.append((len(gradients), len(values)))
    assert sizes[0] == sizes[1]
    loss = model.training_loss_closure((three_clouds(24)), compile=True)  # the model can still be differentiated
    with tf.GradientTape() as tape:
        value = loss()
    assert all(slope is not None for slope in tape.gradient(value, model.trainable_variables))


@pytest.mark.slow
def test_memory_does_not_grow_with_calls(walks: Callable) -> None:
    kernel, likelihood = SignatureKernel(2), gpflow.likelihoods.Bernoulli()
    model = gpflow.models.SVGP(kernel, likelihood, OrthogonalSignatureFeatures(30))
    X, Y = walks(50, 20, 2).reshape(50, -1), np.ones((50, 1))

    def served(calls: int) -> int:
        for call in range(calls):
            row = slice(call % 50, call % 50 + 1)
            predict_in_batches(model, X[row])
            predict_probabilities(model, X[row])
            evaluate(model, (X[row], Y[row]))
        gc.collect()
        return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

    before = served(200)
    assert served(2000) - before < 10 * 2**20
