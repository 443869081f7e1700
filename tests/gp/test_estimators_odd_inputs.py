"""What a user may give the estimators by mistake: each error names the argument, what came, and the cure."""

import numpy as np
import pytest

from sigkernel_tf.gp import SignatureGPRegressor


def test_a_constant_y_is_refused_with_the_users_own_number() -> None:
    X = np.random.default_rng(0).normal(size=(6, 4, 2))
    with pytest.raises(ValueError, match=r"y must vary, got 3.5 for all of 6 series: there is nothing to predict"):
        SignatureGPRegressor().fit(X, np.full(6, 3.5))
    with pytest.raises(ValueError, match=r"y must vary, got \[1. 2.\] for all of 5 series"):
        SignatureGPRegressor().fit(X, [[5.0, 2.0]] + 5 * [[1.0, 2.0]], sample_weight=[0, 1, 1, 1, 1, 1])
