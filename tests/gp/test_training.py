"""The training procedure, on small models of GPflow's own: what it trains, keeps, shows and refuses."""

from copy import deepcopy
from pathlib import Path

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from gpflow.likelihoods import Bernoulli, Likelihood, MultiClass, Ordinal, Softmax
from training_toys import Spy, classifier, parameters, three_clouds, toy_data, toy_model, toy_options

from sigkernel_tf.gp import SigGPDE, SignatureKernel, evaluate, predict_in_batches
from sigkernel_tf.gp.data import as_rows
from sigkernel_tf.gp.prediction.evaluation import Evaluation
from sigkernel_tf.gp.training import run, train

HYPERPARAMETERS = (".kernel.lengthscales", ".kernel.variance", ".likelihood.variance")
VARIATIONAL = (".q_mu", ".q_sqrt", ".inducing_variable.Z")


# What is trained


def test_history_has_every_monitored_point_and_each_phases_end(uninterrupted: tuple) -> None:
    _, result = uninterrupted
    assert [(p.iteration, p.phase) for p in result.history] == [(4, 1), (6, 1), (8, 2), (12, 2), (16, 3), (18, 3)]
    assert all(np.isfinite(point.elbo) for point in result.history)
    assert [point.validation_nlpp is None for point in result.history] == [False] * 4 + [True] * 2


def test_phases_train_only_what_they_should() -> None:
    model = toy_model()
    spy, before = Spy(model), parameters(model)
    result = train(model, toy_data(), toy_options(monitor_every=6), record=spy)
    first, second, third = spy.seen
    assert result.best_iteration == 12  # the NLPP falls: the last hyperparameters are the best
    for name in HYPERPARAMETERS:
        np.testing.assert_array_equal(first[name], before[name])
        assert not np.array_equal(second[name], first[name])
        np.testing.assert_array_equal(third[name], second[name])
    for name in VARIATIONAL:
        for earlier, later in ((before, first), (first, second), (second, third)):
            assert not np.array_equal(earlier[name], later[name])


def test_hyperparameters_start_with_steps_of_the_learning_rate() -> None:
    """Phase 1's steps do not count for them: Nadam's first step is close to the learning rate, for any gradient."""
    model, rate = toy_model(), 1e-4
    spy = Spy(model)
    result = train(model, toy_data(), toy_options(iterations=150, monitor_every=151, learning_rate=rate), record=spy)
    assert [point.iteration for point in result.history[:2]] == [
        150,
        151,
    ]  # phase 1 ends; one step of phase 2
    unconstrained = gpflow.utilities.positive().inverse
    before, after = (unconstrained(seen[".kernel.lengthscales"]).numpy() for seen in spy.seen[:2])
    assert 0.5 * rate < abs(after - before) < 2.0 * rate


def test_only_phase_three_trains_on_the_validation_split() -> None:
    X, Y = toy_data()
    held_out = np.arange(60)[::4]
    changed = Y.copy()
    changed[held_out] += 1.0
    spies = [Spy(toy_model()), Spy(toy_model())]
    for spy, targets in zip(spies, (Y, changed), strict=True):
        train(spy.model, (X, targets), toy_options(), validation=held_out, record=spy)
        assert spy.model.num_data == 60
    for seen, seen_changed in zip(spies[0].seen[:4], spies[1].seen[:4], strict=True):
        np.testing.assert_array_equal(seen[".q_mu"], seen_changed[".q_mu"])
    assert not np.array_equal(spies[0].seen[-1][".q_mu"], spies[1].seen[-1][".q_mu"])


def test_phase_three_has_the_best_hyperparameters(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([3.0, 2.0, 1.0, 1.5])  # at steps 4, 6 (phase 1), 8, 12 (phase 2)
    monkeypatch.setattr(run, "Evaluator", lambda *_, **__: lambda: Evaluation(nlpp=next(scores), accuracy=None))
    model = toy_model()
    spy = Spy(model)
    result = train(model, toy_data(), toy_options(), record=spy)
    assert result.best_iteration == 8
    assert [point.validation_nlpp for point in result.history] == [3.0, 2.0, 1.0, 1.5, None, None]
    _, _, best, last, _, end = spy.seen
    for name in HYPERPARAMETERS:
        assert not np.array_equal(last[name], best[name])
        np.testing.assert_array_equal(end[name], best[name])


def test_what_is_recorded_is_kept_and_decides_nothing(uninterrupted: tuple) -> None:
    model = toy_model()
    result = train(model, toy_data(), toy_options(), record=lambda: {"test accuracy": np.float32(0.5)})
    assert [point.recorded for point in result.history] == [{"test accuracy": 0.5}] * 6
    for name, value in parameters(uninterrupted[0]).items():
        np.testing.assert_array_equal(parameters(model)[name], value)


def test_validation_nlpp_is_of_the_validation_split() -> None:
    X, Y = toy_data()
    model = toy_model()
    expected: list[float] = []
    held_out = np.arange(60)[1::4]

    def record() -> dict[str, float]:
        expected.append(-np.mean(model.predict_log_density((X[held_out], Y[held_out]))))
        return {}

    result = train(model, (X, Y), toy_options(), validation=held_out, record=record)
    assert [point.validation_nlpp for point in result.history[:4]] == pytest.approx(expected[:4], rel=1e-12)


def test_training_a_classifier() -> None:
    model, (X, Y) = classifier(), three_clouds(150)
    result = train(model, (X, Y), toy_options(iterations=100, monitor_every=50, batch_size=30))
    assert result.history[-1].elbo > result.history[0].elbo
    assert result.seconds_per_iteration > 0
    assert np.mean(np.argmax(model.predict_y(X)[0], axis=1) == Y[:, 0]) > 0.85


def test_training_a_regression() -> None:
    model, (X, Y) = toy_model(), toy_data()
    train(model, (X, Y), toy_options(iterations=100, monitor_every=100, learning_rate=0.1))
    assert model.likelihood.variance.numpy() < 0.5  # from 1: it is among the hyperparameters
    assert np.mean((model.predict_f(X)[0] - Y) ** 2) < 0.1


def test_a_model_without_trainable_hyperparameters() -> None:
    model = toy_model()
    gpflow.set_trainable(model.kernel, False)
    gpflow.set_trainable(model.likelihood, False)
    before = parameters(model)
    result = train(model, toy_data(), toy_options())
    assert len(result.history) == 6
    for name in HYPERPARAMETERS:
        np.testing.assert_array_equal(parameters(model)[name], before[name])


def test_signature_features_are_checked_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    monkeypatch.setattr(run, "check_residual", lambda kernel, features, X: checked.append((kernel, features, X)))
    rng = np.random.default_rng(0)
    data = rng.normal(size=(12, 5 * 2)), rng.normal(size=(12, 1))
    options = toy_options(iterations=1, batch_size=4, checkpoint_dir=tmp_path)
    for _ in range(2):  # the second time there is nothing left to train
        model = SigGPDE(2, 7, likelihood=gpflow.likelihoods.Gaussian())
        train(model, data, options)
        assert len(checked) == 1
    assert isinstance(checked[0][0], SignatureKernel)
    assert checked[0][1].num_inducing == 7
    np.testing.assert_array_equal(checked[0][2], data[0])


# What is shown


def test_progress_bar_shows_the_bound_and_the_rate(capsys: pytest.CaptureFixture) -> None:
    train(toy_model(), toy_data(), toy_options(progress=True))
    shown = capsys.readouterr().err
    assert "phase 3/3" in shown
    assert "18/18" in shown
    assert "ELBO=" in shown
    assert "it/s" in shown


# Refused


@pytest.mark.parametrize(
    ("option", "value", "error", "message"),
    [
        ("iterations", 0, ValueError, "iterations must be at least 1"),
        ("iterations", 2.5, TypeError, "iterations must be an int"),
        ("batch_size", -1, ValueError, "batch_size must be at least 1"),
        ("monitor_every", 0, ValueError, "monitor_every must be at least 1"),
        ("seed", -1, ValueError, "seed must be at least 0"),
        ("seed", "a", TypeError, "seed must be an int"),
        ("learning_rate", 0.0, ValueError, "learning_rate must be positive"),
        ("learning_rate", float("nan"), ValueError, "learning_rate must be positive and finite"),
        ("learning_rate", "fast", TypeError, "learning_rate must be a number"),
        ("validation_fraction", 0.0, ValueError, "validation_fraction must lie strictly between 0 and 1"),
        ("validation_fraction", 1.0, ValueError, "validation_fraction must lie strictly between 0 and 1"),
        ("progress", "no", TypeError, "progress must be True or False, got 'no'"),
        ("checkpoint_dir", 3, TypeError, "checkpoint_dir must be a path or None, got 3: for instance checkpoint_dir="),
        ("tensorboard_dir", True, TypeError, "tensorboard_dir must be a path or None, got True"),
    ],
)
def test_bad_options(option: str, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        toy_options(**{option: value})


def test_too_few_data_for_the_options() -> None:
    with pytest.raises(ValueError, match="batch_size must be at most 45"):
        train(toy_model(), toy_data(), toy_options(batch_size=46))
    with pytest.raises(ValueError, match="leaves 0 to validate on and 3 to train on"):
        train(toy_model(), toy_data(3), toy_options(validation_fraction=0.1, batch_size=1))


def test_bad_data() -> None:
    X, Y = toy_data()
    with pytest.raises(ValueError, match=r"labels in a vector take y\[:, None\]"):
        train(toy_model(), (X, Y[:, 0]), toy_options())
    with pytest.raises(ValueError, match="same number of rows"):
        train(toy_model(), (X[:-1], Y), toy_options())
    with pytest.raises(TypeError, match="must be a pair"):
        train(toy_model(), X, toy_options())  # type: ignore[arg-type]


def two_clouds() -> tuple[np.ndarray, np.ndarray]:
    X, Y = three_clouds(60)
    return X, (Y > 0).astype(float)


@pytest.mark.parametrize(
    ("likelihood", "labels", "message"),
    [
        (MultiClass(3), [1, 2, 3], "classes 0 to 2, for the likelihood has 3, got 1, 2, 3: number them"),
        (Softmax(3), [0.0, 1.0, 1.5], r"classes 0 to 2, for the likelihood has 3, got 0\.0, 1\.0, 1\.5: number them"),
        (Bernoulli(), [-1.0, 1.0, 1.0], r"classes 0 to 1, for the likelihood has 2, got -1\.0, 1\.0: number them"),
        (Bernoulli(), [1, 2, 2], "classes 0 to 1, for the likelihood has 2, got 1, 2: number them"),
        (Ordinal(np.array([-1.0, 1.0])), [1, 2, 3], "classes 0 to 2, for the likelihood has 3, got 1, 2, 3"),
    ],
)
@pytest.mark.parametrize("call", ["train", "evaluate"])
def test_labels_that_are_no_classes(call: str, likelihood: Likelihood, labels: list, message: str) -> None:
    X, Y = three_clouds(60)
    model = gpflow.models.SVGP(gpflow.kernels.RBF(), likelihood, X[:6], num_latent_gps=likelihood.latent_dim or 1)
    data = X, np.array(labels)[Y]
    with pytest.raises(ValueError, match=message):
        train(model, data, toy_options()) if call == "train" else evaluate(model, data)


def test_labels_in_several_columns_and_in_words() -> None:
    X, Y = three_clouds(60)
    with pytest.raises(ValueError, match=r"Y must have one column where it holds classes, got shape \(60, 3\)"):
        train(classifier(), (X, np.eye(3)[Y[:, 0]]), toy_options())
    with pytest.raises(TypeError, match=r"Y must hold numbers, got dtype <U1: number classes from 0 with np.unique"):
        train(classifier(), (X, np.array(["a", "b", "c"])[Y]), toy_options())


@pytest.mark.parametrize("likelihood", [Bernoulli(), Softmax(2), MultiClass(2)])
def test_labels_of_any_dtype_train_alike(likelihood: Likelihood) -> None:
    X, Y = two_clouds()
    of_floats = as_rows((X, Y), likelihood).read(slice(None))[1]
    for dtype in (np.int32, np.float32, bool):
        read = as_rows((X, Y.astype(dtype)), likelihood).read(slice(None))[1]
        assert read.dtype == of_floats.dtype
        np.testing.assert_array_equal(read, of_floats)
    trained = []
    for dtype in (np.float64, bool):
        tf.random.set_seed(1)  # Softmax draws
        Z = X[:6].copy()
        num_latent = likelihood.latent_dim or 1
        model = gpflow.models.SVGP(gpflow.kernels.RBF(), deepcopy(likelihood), Z, num_latent_gps=num_latent)
        result = train(model, (X, Y.astype(dtype)), toy_options())
        assert np.isfinite(result.history[0].validation_nlpp)
        trained.append(model.q_mu.numpy())
    assert np.abs(trained[0]).max() > 0
    np.testing.assert_array_equal(trained[1], trained[0])


def test_counts_may_be_arguments() -> None:
    X, Y = toy_data()
    counts = (10 * Y**2).astype(np.int64)
    for likelihood in (gpflow.likelihoods.Poisson(), gpflow.likelihoods.Gaussian()):
        model = gpflow.models.SVGP(gpflow.kernels.RBF(), likelihood, np.linspace(0.0, 1.0, 5)[:, None])
        assert np.isfinite(train(model, (X, counts), toy_options()).history[-1].elbo)


@pytest.mark.parametrize(
    ("likelihood", "value", "message"),
    [
        (gpflow.likelihoods.Poisson(), -1, "Y must be non-negative for Poisson, got .-1.* in row 17: leave such rows"),
        (gpflow.likelihoods.Exponential(), -0.5, "non-negative for Exponential"),
        (gpflow.likelihoods.Gamma(), 0.0, "positive for Gamma"),
        (gpflow.likelihoods.Beta(), 1.0, "strictly between 0 and 1 for Beta"),
    ],
)
def test_outputs_outside_the_support(likelihood: Likelihood, value: float, message: str) -> None:
    X, _ = toy_data()
    Y = np.full((60, 1), 0.5)
    Y[17] = value
    model = gpflow.models.SVGP(gpflow.kernels.RBF(), likelihood, np.linspace(0.0, 1.0, 5)[:, None])
    with pytest.raises(ValueError, match=message):
        train(model, (X, Y), toy_options())


def test_outputs_that_do_not_fit_the_model() -> None:
    X, Y = three_clouds(60)
    model = gpflow.models.SVGP(gpflow.kernels.RBF(), MultiClass(3), X[:6], num_latent_gps=2)
    with pytest.raises(ValueError, match=r"^num_latent_gps must be 3 for MultiClass, got a model of 2: build it with"):
        train(model, (X, Y), toy_options())
    X, Y = toy_data()
    with pytest.raises(
        ValueError, match=r"^Y must have a column for each of the model's 1 outputs \(Gaussian\), got 2"
    ):
        train(toy_model(), (X, np.concatenate([Y, Y], axis=1)), toy_options())


def test_errors_while_tracing_are_those_that_were_raised() -> None:
    """Without AutoGraph's account of all calls in front."""
    model = SigGPDE(2, 7, likelihood=gpflow.likelihoods.Gaussian())
    message = (
        r"^(the width of X must be a positive multiple of num_channels=2|X must have rank 2, .*flatten_paths\(X\))"
    )
    for X in (np.zeros((20, 5)), np.zeros((20, 4, 2))):
        for call in (
            lambda X=X: train(model, (X, np.zeros((20, 1))), toy_options()),
            lambda X=X: evaluate(model, (X, np.zeros((20, 1)))),
            lambda X=X: predict_in_batches(model, X),
        ):
            with pytest.raises(ValueError, match=message):
                call()


def test_other_models_options_and_records() -> None:
    X, Y = toy_data()
    with pytest.raises(TypeError, match=r"model must be a gpflow\.models\.SVGP.*got GPR: train that with"):
        train(gpflow.models.GPR((X, Y), gpflow.kernels.RBF()), (X, Y), toy_options())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"options must be TrainingOptions, got dict: .* data=\(X, Y\)"):
        train(toy_model(), (X, Y), {"iterations": 5})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="record must be a function that returns numbers by name, got {}"):
        train(toy_model(), (X, Y), toy_options(), record={})  # type: ignore[arg-type]
    for record in (lambda: None, lambda: {"name": "text"}, lambda: [0.5]):
        with pytest.raises(TypeError, match="record must return numbers by name, got"):
            train(toy_model(), (X, Y), toy_options(), record=record)  # type: ignore[arg-type, return-value]


def test_model_without_variational_parameters_to_train() -> None:
    model = toy_model()
    for part in (model.q_mu, model.q_sqrt, model.inducing_variable):
        gpflow.set_trainable(part, False)
    with pytest.raises(ValueError, match="must have trainable variational parameters"):
        train(model, toy_data(), toy_options())


def test_bound_that_is_no_number() -> None:
    """All values finite, but their squares overflow."""
    X, Y = toy_data()
    with pytest.raises(FloatingPointError, match=r"the bound is -inf after .* take a smaller learning_rate"):
        train(toy_model(), (X, 1e200 * Y), toy_options())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_no_numbers(value: float) -> None:
    X, Y = toy_data()
    Y[17] = value
    with pytest.raises(
        ValueError, match=rf"Y must be finite for Gaussian, got \[{value}\] in row 17: leave such rows out"
    ):
        train(toy_model(), (X, Y), toy_options())


def test_steps_are_traced_once_for_each_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    model, traces = toy_model(), []
    loss = model.training_loss

    def counted(data: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        traces.append(tf.executing_eagerly())
        return loss(data)

    monkeypatch.setattr(model, "training_loss", counted)
    train(model, toy_data(), toy_options(iterations=60, monitor_every=7))
    assert traces == [False] * 3
