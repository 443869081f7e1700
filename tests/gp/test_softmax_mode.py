"""The mode of a softmax likelihood: against scikit-learn's logistic regression on the features."""

from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import sklearn.linear_model

from sigkernel_tf.gp import SigGPDE, fit_softmax_mode, flatten_paths

NUM_ROWS = 60


@pytest.fixture
def rows(walks: Callable) -> np.ndarray:
    return flatten_paths(walks(NUM_ROWS, 5, 2))


def labels(rows: np.ndarray, num_classes: int) -> np.ndarray:
    return np.where(rows[:, -1] > 0, "up", np.where((rows[:, -2] > 0) & (num_classes == 3), "right", "down"))


def model() -> SigGPDE:
    return SigGPDE(2, 15, likelihood=gpflow.likelihoods.Gaussian(), lengthscales=0.9)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_it_is_scikit_learns_logistic_regression(num_classes: int, rows: np.ndarray) -> None:
    y = labels(rows, num_classes)
    fit = fit_softmax_mode(model(), rows, y, variances=[3.0])
    features = gpflow.covariances.Kuf(model().inducing_variable, model().kernel, rows).numpy().T
    logistic = sklearn.linear_model.LogisticRegression(C=3.0, max_iter=10000, tol=1e-10).fit(features, y)
    np.testing.assert_allclose(fit.predict_proba(rows), logistic.predict_proba(features), atol=1e-4)
    np.testing.assert_allclose(fit.predict_log_proba(rows), np.log(fit.predict_proba(rows)), rtol=1e-9)
    np.testing.assert_array_equal(fit.predict(rows), logistic.predict(features))
    assert fit.classes.tolist() == logistic.classes_.tolist()
    assert np.isnan(fit.held_out_log_densities).all()


def test_many_coefficients_are_fitted_the_same(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from sigkernel_tf.gp.training import logistic

    y = labels(rows, 3)
    expected = fit_softmax_mode(model(), rows, y, variances=[3.0])
    monkeypatch.setattr(logistic, "_NEWTONS_LARGEST", 0)
    fit = fit_softmax_mode(model(), rows, y, variances=[3.0])
    np.testing.assert_allclose(fit.predict_proba(rows), expected.predict_proba(rows), atol=3e-4)


def test_the_variance_is_chosen_on_held_out_rows(rows: np.ndarray) -> None:
    y = labels(rows, 3)
    fit = fit_softmax_mode(model(), rows, y)
    densities = fit.held_out_log_densities
    assert len(densities) == len(fit.variances) > 1
    assert fit.variance == fit.variances[np.argmax(densities)]
    assert (np.diff(densities[:-1]) > 0).all()  # the search ends where the density falls
    alone = fit_softmax_mode(model(), rows, y, variances=[fit.variance])
    np.testing.assert_allclose(fit.predict_proba(rows), alone.predict_proba(rows), atol=1e-4)
    again = fit_softmax_mode(model(), rows, y)
    np.testing.assert_array_equal(fit.predict_proba(rows), again.predict_proba(rows))
    assert np.mean(fit.predict(rows) == y) > 0.9


def test_bad_arguments(rows: np.ndarray) -> None:
    y = labels(rows, 3)
    with pytest.raises(ValueError, match=r"y must hold labels .*whole floats.*, got .* in row 0"):
        fit_softmax_mode(model(), rows, rows[:, 0])
    with pytest.raises(ValueError, match="variances must be positive and finite"):
        fit_softmax_mode(model(), rows, y, variances=[0.0])
    y[0] = "once"
    with pytest.raises(ValueError, match="two rows of each class"):
        fit_softmax_mode(model(), rows, y)
    assert fit_softmax_mode(model(), rows, y, variances=[1.0]).classes.tolist() == ["down", "once", "right", "up"]
