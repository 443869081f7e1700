"""Natural gradient steps that leave a process without a covariance, as they do where no likelihood is log-concave."""

from collections.abc import Callable

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from gpflow.models import SVGP
from gpflow.optimizers import NaturalGradient

from sigkernel_tf.gp import OrthogonalSignatureFeatures, SignatureKernel, TrainingOptions, flatten_paths, train
from sigkernel_tf.gp.training import steps
from sigkernel_tf.gp.training.natural_gradients import natural_gradient

Data = tuple[np.ndarray, np.ndarray]
LIKELIHOODS = {  # and what makes their data from 0, 1, 2, the class of a path
    "MultiClass": (lambda: gpflow.likelihoods.MultiClass(3), lambda y: y),
    "Softmax": (lambda: gpflow.likelihoods.Softmax(3), lambda y: y.astype(int)),
    "StudentT": (lambda: gpflow.likelihoods.StudentT(scale=0.1), lambda y: y - 1.0),
    "Poisson": (gpflow.likelihoods.Poisson, lambda y: y),
    "Gaussian": (gpflow.likelihoods.Gaussian, lambda y: y - 1.0),
}
NOT_LOG_CONCAVE = ("MultiClass", "StudentT")


@pytest.fixture
def paths(walks: Callable) -> Data:
    """Walks of two channels, and which third of their signed areas each has, one in ten of them wrongly."""
    rng = np.random.default_rng(4)
    X = walks(120, 6, 2)
    area = np.sum(X[:, :-1, 0] * X[:, 1:, 1] - X[:, :-1, 1] * X[:, 1:, 0], axis=1)
    y = np.searchsorted(np.quantile(area, [1 / 3, 2 / 3]), area)
    wrong = rng.random(120) < 0.1
    y[wrong] = rng.integers(0, 3, wrong.sum())
    return flatten_paths(X), y[:, None].astype(float)


def make_model(name: str = "MultiClass") -> SVGP:
    likelihood = LIKELIHOODS[name][0]()
    return SVGP(
        SignatureKernel(2),
        likelihood,
        OrthogonalSignatureFeatures(7),
        num_latent_gps=likelihood.num_classes if name in ("MultiClass", "Softmax") else 1,
        num_data=120,
    )


def step(model: SVGP, data: Data, optimizer: NaturalGradient) -> None:
    optimizer.minimize(model.training_loss_closure(data), [(model.q_mu, model.q_sqrt)])


def naturals(model: SVGP) -> tuple[np.ndarray, np.ndarray]:
    """Σ⁻¹ [L, M, M] and Σ⁻¹ m [L, M]."""
    L = model.q_sqrt.numpy()
    precision = np.linalg.inv(L @ L.swapaxes(1, 2))
    return precision, np.einsum("lij,jl->li", precision, model.q_mu.numpy())


def shortened_by_hand(model: SVGP, data: Data, gamma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, covariances and numbers of halvings, along the direction that a tiny step of GPflow's shows."""
    before, tiny = naturals(model), gpflow.utilities.deepcopy(model)
    step(tiny, data, NaturalGradient(1e-4))
    directions = [(after - start) / 1e-4 for start, after in zip(before, naturals(tiny), strict=True)]
    means, covariances, halvings = [], [], []
    for P, h, dP, dh in zip(*before, *directions, strict=True):
        length, count = gamma, 0
        while np.linalg.eigvalsh(P + length * dP - 0.5 * (1 - gamma) * P).min() <= 0:
            length, count = length / 2, count + 1
        covariances.append(np.linalg.inv(P + length * dP))
        means.append(covariances[-1] @ (h + length * dh))
        halvings.append(count)
    return np.stack(means, axis=1), np.stack(covariances), np.array(halvings)


def spoiled(model: SVGP) -> SVGP:
    """With a q(u) that is sure of itself and wrong in one class."""
    rng = np.random.default_rng(2)
    model.q_mu.assign(rng.normal(size=model.q_mu.shape) * np.array([3.0, 0.1, 0.1]))
    model.q_sqrt.assign(0.2 * model.q_sqrt.numpy())
    return model


@pytest.mark.parametrize("gamma", [1.0, 0.3])
def test_a_step_is_halved_until_enough_of_the_precision_stays(gamma: float, paths: Data) -> None:
    batch = paths[0][:10], paths[1][:10]
    model = spoiled(make_model())
    means, covariances, halvings = shortened_by_hand(model, batch, gamma)
    assert halvings.max() > 1
    step(model, batch, natural_gradient(gamma))
    L = model.q_sqrt.numpy()
    np.testing.assert_allclose(L @ L.swapaxes(1, 2), covariances, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(model.q_mu, means, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_steps_that_do_not_fail_are_gpflows(name: str, paths: Data) -> None:
    data = paths[0], LIKELIHOODS[name][1](paths[1])
    gamma = 1e-3 if name in (*NOT_LOG_CONCAVE, "Softmax") else 0.5  # Softmax's bound is from draws
    ours, gpflows = make_model(name), make_model(name)
    for _ in range(3):
        for model, make in ((ours, natural_gradient), (gpflows, NaturalGradient)):
            tf.random.set_seed(0)
            step(model, data, make(gamma))
        np.testing.assert_array_equal(ours.q_mu, gpflows.q_mu)
        np.testing.assert_array_equal(ours.q_sqrt, gpflows.q_sqrt)


def options(name: str) -> TrainingOptions:
    """Minibatches for which steps of 0.1 are long."""
    return TrainingOptions(
        iterations=60, batch_size=30 if name == "MultiClass" else 10, natural_gradient=0.1, learning_rate=0.01,
        monitor_every=30, progress=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_every_likelihood_trains(name: str, paths: Data) -> None:
    data, model = (paths[0], LIKELIHOODS[name][1](paths[1])), make_model(name)
    before = model.elbo(data).numpy()
    result = train(model, data, options(name))
    assert len(result.history) == 6
    assert model.elbo(data).numpy() > before
    if name == "MultiClass":
        assert np.mean(np.argmax(model.predict_y(data[0])[0], axis=1) == paths[1][:, 0]) > 0.6


@pytest.mark.parametrize("name", NOT_LOG_CONCAVE)
def test_gpflows_whole_steps_do_fail(name: str, paths: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training above meets what it is meant to; and what is left of failures is an error that says so."""
    monkeypatch.setattr(steps, "natural_gradient", NaturalGradient)
    data = paths[0], LIKELIHOODS[name][1](paths[1])
    with pytest.raises(FloatingPointError, match=r"the natural gradient after \d+ steps is not finite: take"):
        train(make_model(name), data, options(name))


def test_a_gradient_that_is_no_number(paths: Data) -> None:
    """Of outputs that are finite, but whose squares overflow."""
    with pytest.raises(FloatingPointError, match=r"take a smaller (natural_gradient than 0.1|learning_rate)"):
        train(make_model("Gaussian"), (paths[0], 1e200 * paths[1]), options("Gaussian"))
