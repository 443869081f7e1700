"""What fits take y for: labels or numbers."""

import warnings
from typing import Any

import gpflow
import numpy as np
import pytest

from sigkernel_tf.gp import LeastSquaresFit, fit_least_squares, fit_softmax_mode, leave_one_out_log_density

N = 30
CLASSES = np.arange(N) * 7 % 3


@pytest.fixture(name="X")
def features(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, 2)) + CLASSES[:, None]


def fit(X: np.ndarray, y: Any, **options: Any) -> LeastSquaresFit:
    return fit_least_squares(lambda rows: rows, X, y, **options)


def test_whole_floats_are_labels_where_asked_for(X: np.ndarray) -> None:
    expected = fit(X, CLASSES).predict_proba(X)  # of integers
    found = fit(X, CLASSES.astype(float), task="classification")
    assert found.classes is not None
    assert found.classes.tolist() == [0.0, 1.0, 2.0]
    np.testing.assert_array_equal(found.predict_proba(X), expected)
    mode = fit_softmax_mode(lambda rows: rows, X, CLASSES.astype(np.float32), variances=[1.0])
    assert mode.classes.tolist() == [0.0, 1.0, 2.0]


def test_integers_are_numbers_where_asked_for(X: np.ndarray) -> None:
    found = fit(X, CLASSES, task="regression", ridges=[0.5])
    assert found.classes is None
    centred = CLASSES - CLASSES.mean()
    weights = np.linalg.solve(X.T @ X + 0.5 * np.eye(2), X.T @ centred)  # ridge regression
    np.testing.assert_allclose(found.predict(X)[:, 0], X @ weights + CLASSES.mean(), rtol=1e-9)


def test_floats_that_look_like_labels_are_warned_of(X: np.ndarray) -> None:
    with pytest.warns(UserWarning, match=r'y holds floats.*only 3 different ones, all whole.*task="classification"'):
        found = fit(X, CLASSES.astype(float))
    assert found.classes is None


@pytest.mark.parametrize(
    ("y", "options"),
    [
        (CLASSES.astype(float), {"task": "regression"}),
        (CLASSES.astype(float), {"task": "classification"}),
        (CLASSES + 0.5, {}),
        (np.arange(N, dtype=float), {}),  # whole, but each of them once
        (np.eye(3)[CLASSES], {}),
        (CLASSES, {}),
    ],
)
def test_nothing_else_is_warned_of(y: np.ndarray, options: dict, X: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(X, y, **options)


def test_the_leave_one_out_density_takes_the_same_task(X: np.ndarray) -> None:
    kernel = gpflow.kernels.Linear()
    of_labels = leave_one_out_log_density(kernel, X, CLASSES, 0.5)
    of_floats = leave_one_out_log_density(kernel, X, CLASSES.astype(float), 0.5, task="classification")
    assert of_floats.numpy() == of_labels.numpy()


@pytest.mark.parametrize(
    ("y", "task", "error", "message"),
    [
        (np.arange(N) / 2, "classification", ValueError, "whole floats.*got 0.5 in row 1"),
        (np.full(N, np.nan), "classification", ValueError, "whole floats.*got nan in row 0"),
        (CLASSES.astype(str), "regression", TypeError, "y must hold numbers for a regression, got text"),
        (CLASSES, "classes", ValueError, "task must be one of .*got 'classes'"),
    ],
)
def test_a_y_that_is_not_what_was_asked_for(
    y: np.ndarray, task: Any, error: type[Exception], message: str, X: np.ndarray
) -> None:
    with pytest.raises(error, match=message):
        fit(X, y, task=task)
