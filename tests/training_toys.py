"""Small data and models of GPflow's own to train on, and a comparison of two trainings."""

import gpflow
import numpy as np

from sigkernel_tf.gp.training import TrainingOptions


def toy_data(num_data: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """About one period of a sine wave, with some noise."""
    rng = np.random.default_rng(7)
    X = rng.uniform(0.0, 1.0, (num_data, 1))
    return X, np.sin(6.0 * X) + 0.05 * rng.normal(size=(num_data, 1))


def toy_model(lengthscale: float = 1.0, **options: object) -> gpflow.models.SVGP:
    Z = np.linspace(0.0, 1.0, 5)[:, None]
    return gpflow.models.SVGP(
        gpflow.kernels.RBF(lengthscales=lengthscale),
        gpflow.likelihoods.Gaussian(),
        gpflow.inducing_variables.InducingPoints(Z),
        **options,
    )


def three_clouds(num_data: int) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds of points, one for each class."""
    rng = np.random.default_rng(9)
    labels = np.arange(num_data) % 3
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    return centres[labels] + 0.7 * rng.normal(size=(num_data, 2)), labels[:, None]


def classifier() -> gpflow.models.SVGP:
    X, _ = three_clouds(6)
    return gpflow.models.SVGP(gpflow.kernels.RBF(), gpflow.likelihoods.MultiClass(3), X, num_latent_gps=3)


def toy_options(**changes: object) -> TrainingOptions:
    """Six steps in each phase, and an evaluation every four steps."""
    small: dict = {"iterations": 6, "batch_size": 8, "learning_rate": 0.05, "monitor_every": 4}
    return TrainingOptions(**{**small, "validation_fraction": 0.25, "progress": False, **changes})


def parameters(model: gpflow.models.SVGP) -> dict[str, np.ndarray]:
    return {name: parameter.numpy() for name, parameter in gpflow.utilities.parameter_dict(model).items()}


def assert_same_training(first: tuple, second: tuple) -> None:
    """Check of two pairs (model, result) that parameters and history agree to the last bit."""
    for name, value in parameters(first[0]).items():
        np.testing.assert_array_equal(value, parameters(second[0])[name], err_msg=name)
    assert first[1].history == second[1].history
    assert first[1].best_iteration == second[1].best_iteration


class Spy:
    """A ``record`` that keeps the parameters at every evaluation, and can raise an interrupt at one of them."""

    def __init__(self, model: gpflow.models.SVGP, raise_at: int | None = None) -> None:
        self.model, self.raise_at, self.seen = model, raise_at, []

    def __call__(self) -> dict[str, float]:
        self.seen.append(parameters(self.model))
        if len(self.seen) == self.raise_at:
            raise KeyboardInterrupt
        return {}
