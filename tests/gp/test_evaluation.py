"""Scores and predictions in batches, against the same in one piece."""

import gpflow
import numpy as np
import pytest

from sigkernel_tf.gp.prediction import Evaluator, evaluate, predict_in_batches


def model_and_data(likelihood: gpflow.likelihoods.Likelihood, num_latent: int, rng: np.random.Generator) -> tuple:
    X = rng.normal(size=(23, 2))
    model = gpflow.models.SVGP(gpflow.kernels.RBF(), likelihood, X[:4], num_latent_gps=num_latent)
    model.q_mu.assign(rng.normal(size=(4, num_latent)))
    return model, X


@pytest.mark.parametrize("batch_size", [5, 100])
def test_classes(rng: np.random.Generator, batch_size: int) -> None:
    model, X = model_and_data(gpflow.likelihoods.MultiClass(3), 3, rng)
    Y = rng.integers(0, 3, (23, 1))
    scores = evaluate(model, (X, Y), batch_size=batch_size)
    probabilities = model.predict_y(X)[0].numpy()
    true = probabilities[np.arange(23), Y[:, 0]]
    assert scores.nlpp == pytest.approx(-np.mean(np.log(true)), rel=1e-12)
    assert scores.accuracy == np.mean(np.argmax(probabilities, axis=1) == Y[:, 0])
    mean, variance = predict_in_batches(model, X, batch_size=batch_size)
    np.testing.assert_allclose(mean, probabilities, rtol=1e-12)
    np.testing.assert_allclose(variance, model.predict_y(X)[1], rtol=1e-12)


def test_two_classes_of_one_process(rng: np.random.Generator) -> None:
    model, X = model_and_data(gpflow.likelihoods.Bernoulli(), 1, rng)
    Y = rng.integers(0, 2, (23, 1)).astype(float)
    scores = evaluate(model, (X, Y), batch_size=10)
    p = model.predict_y(X)[0].numpy()
    assert scores.accuracy == np.mean((p > 0.5) == (Y == 1))
    assert scores.nlpp == pytest.approx(-np.mean(np.log(np.where(Y == 1, p, 1 - p))), rel=1e-9)


def test_regression_has_no_accuracy(rng: np.random.Generator) -> None:
    model, X = model_and_data(gpflow.likelihoods.Gaussian(), 1, rng)
    Y = rng.normal(size=(23, 1))
    scores = evaluate(model, (X, Y), batch_size=10)
    mean, variance = (part.numpy() for part in model.predict_y(X))
    expected = np.mean(0.5 * np.log(2 * np.pi * variance) + 0.5 * (Y - mean) ** 2 / variance)
    assert scores.accuracy is None
    assert scores.nlpp == pytest.approx(expected, rel=1e-12)


def test_evaluator_follows_the_model(rng: np.random.Generator) -> None:
    model, X = model_and_data(gpflow.likelihoods.MultiClass(3), 3, rng)
    on_data = Evaluator(model, (X, rng.integers(0, 3, (23, 1))))
    before = on_data().nlpp
    model.q_mu.assign(-model.q_mu)
    assert on_data().nlpp != before


def test_bad_input(rng: np.random.Generator) -> None:
    model, X = model_and_data(gpflow.likelihoods.MultiClass(3), 3, rng)
    with pytest.raises(ValueError, match="X must have at least one row"):
        predict_in_batches(model, X[:0])
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        evaluate(model, (X, np.zeros((23, 1), int)), batch_size=0)
    with pytest.raises(ValueError, match="same number of rows in X and Y, at least one"):
        evaluate(model, (X[:0], np.zeros((0, 1), int)))
