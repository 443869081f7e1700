"""What a user may give the estimators by mistake: each error names the argument, what came, and the cure."""

from typing import Any

import numpy as np
import pytest

from sigkernel_tf.gp import SignatureGPClassifier, SignatureGPRegressor

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
