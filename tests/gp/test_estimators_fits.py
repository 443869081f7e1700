"""The fits among which a classifier with a lifted kernel chooses: each against GPflow's bound or scikit-learn."""

from pathlib import Path
from typing import Any

import gpflow
import numpy as np
import pytest
import scipy.special
from sklearn.linear_model import LogisticRegression

from sigkernel_tf.gp import Preprocessing, SignatureGPClassifier
from sigkernel_tf.gp.estimators import base, final_fit
from sigkernel_tf.gp.estimators.fits import chosen, compared, fit_mode, num_compared
from sigkernel_tf.gp.estimators.lifted import LiftedKernel
from sigkernel_tf.gp.estimators.preprocessing import Preprocessor
from sigkernel_tf.gp.estimators.search import Found
from sigkernel_tf.gp.estimators.search.candidate import LiftedCandidate
from sigkernel_tf.gp.estimators.tasks import Classification


@pytest.fixture(scope="module", params=[2, 3])
def panel(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Two or three classes by where a bump is, in noise that hides some: 30 series [12, 1]."""
    rng = np.random.default_rng(0)
    y = np.arange(30) % request.param
    t = np.linspace(0, 1, 12)
    X = np.exp(-(((t - 0.25 * (1 + y[:, None])) / 0.1) ** 2)) + 0.6 * rng.normal(size=(30, 12))
    return X, np.array(["a", "b", "c"])[y]


def fitted(panel: Any, method: str, monkeypatch: pytest.MonkeyPatch) -> SignatureGPClassifier:
    """By this method and a kernel that is not searched for."""

    def found(series: Any, *_: Any) -> tuple[Found, list[dict]]:
        how = Preprocessing(scaling="set", base_point=False, time=False)
        kernel = LiftedKernel(kind="lifted", lengthscales=(1.5,), time_scale=3.0)
        return Found("lifted", LiftedCandidate(Preprocessor.fitted(how, series, 110), kernel)), []

    monkeypatch.setattr(base, "choose", found)
    monkeypatch.setattr(final_fit, "chosen", lambda nlpps, weights: method)
    monkeypatch.setattr(final_fit, "num_compared", lambda task, effort: 30)
    return SignatureGPClassifier(random_state=0).fit(*panel)


@pytest.mark.parametrize("method", ["mode", "sites"])
def test_the_model_is_what_predicts(panel: Any, method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    X, _ = panel
    classifier = fitted(panel, method, monkeypatch)
    assert classifier.fit_method_ == method
    assert set(classifier.fit_nlpps_) == {"least squares", "mode", "sites"}
    mean, variance = (part.numpy() for part in classifier.model_.predict_f(classifier.flat_paths(X)))
    if mean.shape[1] == 1:  # two classes, the first of which has the logit 0
        mean, variance = (np.pad(part, ((0, 0), (1, 0))) for part in (mean, variance))
    draws = (
        mean
        if method == "mode"
        else mean + np.sqrt(variance) * np.random.default_rng(1).normal(size=(20_000, *mean.shape))
    )
    expected = scipy.special.softmax(draws, axis=-1)
    expected = expected if method == "mode" else expected.mean(axis=0)
    np.testing.assert_allclose(classifier.predict_proba(X), expected, atol=1e-4 if method == "mode" else 0.02)
    classifier.save(tmp_path / "classifier.npz")
    loaded = SignatureGPClassifier.load(tmp_path / "classifier.npz")
    assert loaded.fit_method_ == method
    assert loaded.fit_nlpps_ == classifier.fit_nlpps_
    np.testing.assert_allclose(loaded.predict_proba(X), classifier.predict_proba(X), rtol=1e-7)
    np.testing.assert_allclose(
        loaded.model_.predict_f(loaded.flat_paths(X))[1],
        classifier.model_.predict_f(loaded.flat_paths(X))[1],
        rtol=1e-6,
    )


@pytest.mark.parametrize("panel", [2], indirect=True)
def test_sites_are_a_maximum_of_gpflows_bound(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In q(u): GPflow's optimizer finds almost nothing more."""
    X, y = panel
    classifier = fitted(panel, "sites", monkeypatch)
    model = classifier.model_
    data = (classifier.flat_paths(X), (y == "b").astype(float)[:, None])
    bound = model.elbo(data).numpy()
    loss = model.training_loss_closure(data, compile=False)
    variables = [model.q_mu.unconstrained_variable, model.q_sqrt.unconstrained_variable]
    gpflow.optimizers.Scipy().minimize(loss, variables, compile=False, options={"maxiter": 15})
    assert bound < model.elbo(data) < bound + 30 * 5e-3  # the fit stops where a step gains 3e-4 a series


def test_the_mode_is_scikit_learns_logistic_regression(rng: np.random.Generator) -> None:
    phi, y = rng.normal(size=(40, 4)), np.arange(40) % 3
    task = Classification(y, 3, np.ones(40))
    found = fit_mode(phi, task, np.arange(40))
    expected = LogisticRegression(C=found.variance, tol=1e-8, max_iter=1000).fit(phi, y)
    np.testing.assert_allclose(np.exp(found.log_probabilities(phi)), expected.predict_proba(phi), atol=1e-4)


def test_the_choice(rng: np.random.Generator) -> None:
    """Another fit than least squares must be better by more than chance."""
    base, noise, ones = rng.uniform(size=100), rng.normal(size=100), np.ones(100)
    noise -= noise.mean()
    assert chosen({"least squares": base, "mode": base - 0.05 + noise, "sites": base}, ones) == "least squares"
    assert chosen({"least squares": base, "mode": base - 0.15 + noise, "sites": base}, ones) == "mode"
    assert chosen({"least squares": base, "mode": base - 0.15 + noise, "sites": base - 0.2 + noise}, ones) == "sites"


def test_how_many_are_compared() -> None:
    classes = Classification(np.arange(300) % 2, 2, np.ones(300))
    assert num_compared(classes, 1.0) == 300
    assert 0 < num_compared(classes, 0.1) < 300
    assert num_compared(classes, 0.001) == 0
    assert num_compared(Classification(np.array([0] * 20 + [1] * 4), 2, np.ones(24)), 1.0) == 0


def test_weights_leave_out_the_mode(rng: np.random.Generator) -> None:
    y, X = np.arange(20) % 2, rng.normal(size=(20, 3))
    K = np.exp(-0.5 * np.sum((X[:, None] - X) ** 2, axis=2))
    weights = np.repeat([0.5, 1.5], 10)
    assert set(compared(K, Classification(y, 2, weights), np.arange(20))) == {"least squares", "sites"}
    found = compared(K, Classification(y, 2, np.ones(20)), np.arange(20))
    assert set(found) == {"least squares", "mode", "sites"}
    assert all(np.isfinite(nlpp).all() and nlpp.shape == (20,) for nlpp in found.values())
