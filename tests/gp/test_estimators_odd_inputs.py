"""What a user may give the estimators by mistake: each error names the argument, what came, and the cure."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sigkernel_tf.gp import SignatureGPClassifier, SignatureGPRegressor
from sigkernel_tf.gp.estimators.weights import checked_weights

X = np.random.default_rng(0).normal(size=(6, 4, 2))
Y = np.array([0, 1, 0, 1, 0, 1])


def test_a_constant_y_is_refused_with_the_users_own_number() -> None:
    with pytest.raises(ValueError, match=r"y must vary, got 3.5 for all of 6 series: there is nothing to predict"):
        SignatureGPRegressor().fit(X, np.full(6, 3.5))
    with pytest.raises(ValueError, match=r"y must vary, got \[1. 2.\] for all of 5 series"):
        SignatureGPRegressor().fit(X, [[5.0, 2.0]] + 5 * [[1.0, 2.0]], sample_weight=[0, 1, 1, 1, 1, 1])


@pytest.mark.parametrize(
    ("panel", "error", "message"),
    [
        (None, TypeError, r"X must be \[N, L, D\].*got a NoneType\."),
        (3.0, TypeError, r"X must be \[N, L, D\].*got a float\."),
        ("path.ts", TypeError, r"X must be \[N, L, D\].*got a str\."),
        ({"a": X}, TypeError, r"X must be \[N, L, D\].*got a dict\."),
        (iter(X), TypeError, r"got a .*iterator: give list\(X\)"),
        (
            [X[0], None, X[2]],
            ValueError,
            r"a series \[L_i, D\] or \[L_i\] in each place, got None in place 1",
        ),
        (["abc", X[0]], ValueError, r"in each place, got 'abc' in place 0: drop it"),
        (X.astype(str), ValueError, r"got dtype <U32: encode .*, or give X.astype\(float\) where the text is numbers"),
    ],
)
def test_what_is_no_panel(panel: Any, error: type[Exception], message: str) -> None:
    for estimator in (SignatureGPClassifier(), SignatureGPRegressor()):
        with pytest.raises(error, match=message):
            estimator.fit(panel, Y)


def test_what_is_no_label() -> None:
    with pytest.raises(ValueError, match=r"y must hold one label .*\(6, 2\).*take np.argmax\(y, axis=1\)"):
        SignatureGPClassifier().fit(X, np.eye(2)[Y])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.0, 1.0, 2.0, np.nan, 1.0, 0.0], "y must be finite, got nan for series 3"),
        ([0.0, 1.0, None, 3.0, 1.0, 0.0], "y must be finite, got None for series 2"),
        (["low", "high"] * 3, "y must hold numbers: .*'low'.* For labels take SignatureGPClassifier"),
    ],
)
def test_what_is_no_number(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SignatureGPRegressor().fit(X, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weight": {0: "much"}}, "class_weight must hold positive numbers, got {0: 'much'}"),
        ({"preprocessing": {"scalin": "set"}}, "preprocessing must have fields among scaling, .*, got 'scalin'"),
    ],
)
def test_options_of_another_type(options: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        SignatureGPClassifier(**options).fit(X, Y)


def test_weights_near_the_largest_number() -> None:
    expected = checked_weights([0.0, 1.0, 2.0, 3.0], 4)
    np.testing.assert_allclose(expected, [0.0, 0.5, 1.0, 1.5], rtol=1e-15)
    np.testing.assert_allclose(checked_weights([0.0, 5e307, 1e308, 1.5e308], 4), expected, rtol=1e-15)
    with pytest.raises(ValueError, match="got -1.0 for series 1: set those to leave out to 0"):
        checked_weights([1.0, -1.0], 2)


@pytest.mark.parametrize("size", [1e307, 1e-300])
def test_numbers_whose_squares_overflow_or_vanish(size: float) -> None:
    """They are fitted as those of a usual size are."""
    y = X[:, -1, 0]
    usual, odd = (SignatureGPRegressor(kernel="lifted", effort=0.01).fit(X, values) for values in (y, y * size))
    np.testing.assert_allclose(odd.predict(X) / size, usual.predict(X), rtol=1e-6)
    np.testing.assert_allclose(odd.y_scale_ / size, y.std(), rtol=1e-12)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    regressor = SignatureGPRegressor(kernel="lifted", effort=0.01).fit(X, X[:, -1, 0])
    with pytest.raises(FileNotFoundError, match="path must lie in a folder that exists, got .*saved.npz'"):
        regressor.save(tmp_path / "none" / "saved.npz")
