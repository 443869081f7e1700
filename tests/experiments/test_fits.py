"""The fits in closed form: what they may change, and how far."""

from pathlib import Path

import numpy as np
import pytest
from gpflow.utilities import parameter_dict

from experiments.datasets import Dataset, crop
from experiments.datasets.dataset import Description
from experiments.fits import fit
from experiments.models import LIFTED
from experiments.protocol import Protocol, as_inputs, build_model


def protocol(model: str, fit: str, num_inducing: int) -> Protocol:
    return Protocol(model=model, fit=fit, num_inducing=num_inducing, iterations=1, batch_size=2, lengthscale=2.0)


@pytest.fixture
def dataset(rng: np.random.Generator) -> Dataset:
    """Two classes, told apart by the area that a path of tiny steps encloses."""
    angles = np.linspace(0.0, 6.0, 6) * np.array([1.0, -1.0])[np.arange(40) % 2, None] + rng.normal(size=(40, 1))
    X = 1e-4 * (np.stack([np.cos(angles), np.sin(angles)], axis=-1) + 0.1 * rng.normal(size=(40, 6, 2)))
    description: Description = crop.DESCRIPTION
    return Dataset(description, X, np.arange(40) % 2, X[:2], np.arange(2), source="here")


def test_variances_are_trained_by_sites_alone(dataset: Dataset) -> None:
    """Of two channels there are 1 + 2 + 4 = 7 words up to level 2: the eighth is of level 3, and so is the variance."""

    def trained(model: str, how: str, num_inducing: int = 8) -> dict[str, list[int]]:
        built = build_model(dataset, protocol(model, how, num_inducing))
        kernel = parameter_dict(built.kernel)
        return {name: list(one.shape) for name, one in kernel.items() if one.trainable}

    assert trained("siggpde", "nadam") == {".lengthscales": [2]}
    assert trained("siggpde", "least-squares") == {".lengthscales": [2]}
    assert trained("siggpde", "sites") == {".lengthscales": [2], ".level_variances": [5]}
    assert trained("siggpde", "sites", 7) == {".lengthscales": [2], ".level_variances": [4]}
    assert trained(LIFTED, "sites") == {".lengthscales": [2], ".variance": []}
    assert protocol("siggpde", "sites", 8).as_json(dataset)["variances"] == "trained"
    assert "variances" not in protocol("siggpde", "nadam", 8).as_json(dataset)


def test_least_squares_does_not_shrink_lengthscales_without_limit(dataset: Dataset, tmp_path: Path) -> None:
    """
    Steps of 1e-4 ask for a lengthscale of about 1e-4; without a limit the search came to 0.0116, and is not at its end.

    The search starts at log(exp(2) - 1) = 1.854 and may go down by 6: to log(1 + exp(-4.146)) = 0.0157.
    """
    chosen = protocol("siggpde", "least-squares", 7)
    model = build_model(dataset, chosen)
    data = as_inputs(dataset.X_train), dataset.y_train[:, None]
    fit(model, data, chosen, seed=0, folder=tmp_path, validation=None, record=dict, progress=False)
    assert 0.0156 < np.min(model.kernel.lengthscales) < 0.1
