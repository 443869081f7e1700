"""What the estimators' defaults reach on real data."""

import pytest

from benchmarks import estimators


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.ci] * (name == "UnitTest")) for name in estimators.CLASSIFICATION],
)
def test_the_defaults_classify(name: str) -> None:
    _, _, aim = estimators.CLASSIFICATION[name]
    assert estimators.classify(name)[1] >= aim


@pytest.mark.slow
def test_the_regressor_is_as_good_as_the_dense_process() -> None:
    _, r2, of_dense, _ = estimators.regress()
    assert abs(r2 - of_dense) < 0.02
