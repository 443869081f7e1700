"""The examples of kernels run, on few series or for few steps."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sigkernel_tf.gp import SignatureKernel, flatten_paths

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SIGKERNEL_TF_DATA", "nowhere")) / "jena_roof_series.npz"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.ci
def test_the_deep_kernel_is_trained() -> None:
    assert np.isfinite(list(example("deep_kernel").main(80, 2).values())).all()


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.skipif(not DATA.is_file(), reason="needs jena_roof_series.npz in SIGKERNEL_TF_DATA")
def test_the_weather_is_forecast_better_than_by_persistence() -> None:
    found = example("forecast_weather").main(DATA, 2)
    assert set(found) > {"persistence", "linear model"}
    for scores in found.values():
        assert np.isfinite(list(scores.values())).all()
    for score in ("NLPP", "CRPS"):
        assert found["signature kernel that forgets"][score] < found["persistence"][score]


def test_a_running_signature_gives_the_features_of_the_kernel() -> None:
    weather = example("forecast_weather")
    values = np.random.default_rng(0).normal(size=(60, 5)).cumsum(axis=0) / 5.0
    X = weather.windows(values, every=1)[0]
    half_life, variances = [3.0, 40.0, 12.0, 12.0, 12.0], [1.0, 0.5, 2.0, 0.3, 0.0]
    kernel = SignatureKernel(5, lengthscales=[1, 2, 3, 4, 5], level_variances=variances, half_life=half_life)
    phi = weather.hour_by_hour(kernel, values[: -weather.AHEAD - 1])
    np.testing.assert_allclose(phi, weather.of_windows(kernel, X), rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(phi @ phi.T, kernel.K(flatten_paths(X)), rtol=1e-10)


def test_the_crps_is_that_of_its_definition() -> None:
    """E |x - y| - E |x - x'| / 2, by draws."""
    x, other = np.random.default_rng(0).normal(1.0, 2.0, size=(2, 400000))
    expected = np.mean(np.abs(x - 2.5)) - np.mean(np.abs(x - other)) / 2
    found = example("forecast_weather").scores(np.array([2.5]), np.array([1.0]), np.array([4.0]))
    np.testing.assert_allclose(found["CRPS"], expected, atol=0.01)
