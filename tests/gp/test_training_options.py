"""Options of the training: optimizers, schedules, natural gradients, early stopping, TensorBoard."""

import sys
from pathlib import Path

import gpflow
import keras
import numpy as np
import pytest
import tensorflow as tf
from training_toys import toy_data, toy_model, toy_options

from sigkernel_tf.gp import OrthogonalSignatureFeatures, SignatureKernel, TrainingResult, train
from sigkernel_tf.gp.posteriors.packed import as_packed_factor, packed_kl
from sigkernel_tf.gp.training import optimizers
from sigkernel_tf.gp.training.optimizers import FusedAdam, FusedNadam, is_on_cpu
from sigkernel_tf.gp.training.results import MonitorPoint, is_over, phase_start
from sigkernel_tf.gp.training.steps import Steps


def trained(**changes: object) -> tuple[gpflow.models.SVGP, TrainingResult]:
    model = toy_model()
    return model, train(model, toy_data(), toy_options(**changes))


# The optimizers are Keras'


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("pair", "on_cpu"),
    [
        ((FusedNadam, keras.optimizers.Nadam), True),
        ((FusedNadam, keras.optimizers.Nadam), False),
        ((FusedAdam, keras.optimizers.Adam), True),
    ],
)
def test_fused_optimizers_are_keras(
    pair: tuple, on_cpu: bool, dtype: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables, and the optimizers' own, after steps that follow one another in a graph; with a schedule."""
    monkeypatch.setattr(optimizers, "is_on_cpu", lambda device: on_cpu)
    starts = [rng.normal(size=shape).astype(dtype) for shape in [(7,), (3, 2), ()]]
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-2, 100, 0.9)
    results = []
    for make in pair:
        variables = [tf.Variable(start) for start in starts]
        optimizer = make(schedule)
        optimizer.build(variables)

        @tf.function
        def run(count: tf.Tensor, optimizer: object = optimizer, variables: list = variables) -> None:
            for i in tf.range(count):
                gradients = [tf.sin(3 * x + tf.cast(i, x.dtype)) for x in variables]
                optimizer.apply_gradients(zip(gradients, variables, strict=True))  # type: ignore[attr-defined]

        states = []
        for count in (1, 2, 40, 1200):  # the last: beyond where Nadam's schedule has settled
            run(tf.constant(count))
            states.append([x.numpy() for x in (*variables, *(slot.value for slot in optimizer.variables))])
        results.append(states)
    for ours, theirs in zip(*results, strict=True):
        for x, y in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-11 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize(("device", "expected"), [("", True), ("/device:CPU:0", True), ("/device:GPU:0", False)])
def test_where_an_optimizer_may_look_at_numbers(device: str, expected: bool) -> None:
    assert is_on_cpu(device) is expected
    assert is_on_cpu("/job:localhost/replica:0/task:0" + device) is expected


def test_on_a_gpu_nadam_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step branches on what the device has computed."""
    monkeypatch.setattr(optimizers, "is_on_cpu", lambda device: False)
    variable, nadam = tf.Variable([0.3, -1.0]), FusedNadam(1e-2)
    nadam.build([variable])

    @tf.function
    def step() -> None:
        nadam.apply_gradients([(tf.sin(variable), variable)])

    branches = {"If", "StatelessIf", "Case", "While"}
    assert not branches & {op.type for op in step.get_concrete_function().graph.get_operations()}


def test_optimizer_by_name(uninterrupted: tuple) -> None:
    assert not np.array_equal(trained(optimizer="adam")[0].q_mu, uninterrupted[0].q_mu)  # Nadam, the default
    with pytest.raises(ValueError, match="optimizer must be one of nadam, adam"):
        toy_options(optimizer="sgd")


def test_learning_rate_schedule(tmp_path: Path, uninterrupted: tuple) -> None:
    """A schedule that is constant trains as its number does; another one's checkpoint is refused."""
    schedules = keras.optimizers.schedules
    constant = trained(learning_rate=schedules.ExponentialDecay(0.05, 10, 1.0))[0]
    np.testing.assert_allclose(constant.q_mu, uninterrupted[0].q_mu, rtol=1e-6)
    decaying = {"learning_rate": schedules.ExponentialDecay(0.05, 10, 0.5), "checkpoint_dir": tmp_path}
    model = trained(**decaying)[0]
    assert not np.allclose(model.q_mu, constant.q_mu)
    resumed = trained(**decaying)[0]
    np.testing.assert_array_equal(resumed.q_mu, model.q_mu)
    with pytest.raises(ValueError, match="differ in learning_rate"):
        trained(learning_rate=schedules.ExponentialDecay(0.05, 10, 0.6), checkpoint_dir=tmp_path)


@pytest.mark.parametrize(
    "schedule",
    [
        keras.optimizers.schedules.CosineDecay(0.05, 12, warmup_target=0.1, warmup_steps=2),
        keras.optimizers.schedules.PiecewiseConstantDecay([3, 9], [0.1, 0.05, 0.01]),
        keras.optimizers.schedules.PolynomialDecay(0.05, 12),
        keras.optimizers.schedules.InverseTimeDecay(0.05, 3, 0.5),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_other_schedules_train_and_resume(
    schedule: keras.optimizers.schedules.LearningRateSchedule, tmp_path: Path, uninterrupted: tuple
) -> None:
    model, result = trained(learning_rate=schedule, checkpoint_dir=tmp_path)
    assert len(result.history) == 6
    assert not np.allclose(model.q_mu, uninterrupted[0].q_mu)
    resumed, again = trained(learning_rate=schedule, checkpoint_dir=tmp_path)
    assert again.history == result.history
    np.testing.assert_array_equal(resumed.q_mu, model.q_mu)


def test_schedules_that_cannot_be_told_apart_train_without_a_checkpoint(tmp_path: Path) -> None:
    class Halved(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: tf.Tensor) -> float:
            return 0.025

    expected, _ = trained(learning_rate=0.025)
    np.testing.assert_allclose(trained(learning_rate=Halved())[0].q_mu, expected.q_mu, rtol=1e-12)
    with pytest.raises(ValueError, match=r"learning_rate, the schedule Halved, must have get_config\(\)"):
        trained(learning_rate=Halved(), checkpoint_dir=tmp_path)


# The step


@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_divergence_of_packed_factors(size: int, rng: np.random.Generator) -> None:
    model = gpflow.models.SVGP(
        SignatureKernel(2), gpflow.likelihoods.Gaussian(), OrthogonalSignatureFeatures(size), num_latent_gps=3
    )
    model.q_mu.assign(rng.normal(size=(size, 3)))
    model.q_sqrt.assign(np.tril(rng.normal(size=(3, size, size))))
    variables = [model.q_mu.unconstrained_variable, model.q_sqrt.unconstrained_variable]
    with tf.GradientTape(persistent=True) as tape:
        ours = packed_kl(tf.convert_to_tensor(model.q_mu), as_packed_factor(model.q_sqrt))
        gpflows = gpflow.kullback_leiblers.gauss_kl(model.q_mu, model.q_sqrt)
    np.testing.assert_allclose(ours, gpflows, rtol=1e-13)
    for got, expected in zip(tape.gradient(ours, variables), tape.gradient(gpflows, variables), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert as_packed_factor(tf.convert_to_tensor(model.q_sqrt)) is None


# Natural gradients


def test_one_natural_step_over_all_data_is_the_optimum() -> None:
    """With Gaussian noise; the next step, being there, changes nothing."""
    X, Y = toy_data()
    model = toy_model(num_data=60)
    gpflow.set_trainable(model.kernel, False)
    gpflow.set_trainable(model.likelihood, False)
    gpflow.set_trainable(model.inducing_variable, False)
    steps = Steps(model, toy_options(natural_gradient=1.0, batch_size=60))
    expected = gpflow.models.SGPR((X, Y), model.kernel, model.inducing_variable, noise_variance=1.0).elbo()
    from sigkernel_tf.gp.data import as_rows

    steps.compile(as_rows((X, Y)), with_hyperparameters=False)(X[None], Y[None])
    assert steps.iteration == 1
    np.testing.assert_allclose(model.elbo((X, Y)), expected, rtol=1e-6)


def test_natural_gradients_need_fewer_steps() -> None:
    natural, nadam = trained(natural_gradient=0.3)[1], trained(learning_rate=0.01)[1]
    assert natural.history[1].elbo > nadam.history[-1].elbo


@pytest.mark.parametrize("optimizer", ["nadam", "adam"])
def test_natural_gradients_leave_the_rest_to_the_optimizer(optimizer: str) -> None:
    """Phase 1 has no hyperparameters: q(u) moves; in phase 2 the first step of these is one of the learning rate."""
    model = toy_model()
    gpflow.set_trainable(model.inducing_variable, False)
    seen = []

    def record() -> dict[str, float]:
        seen.append((model.q_mu.numpy(), float(model.kernel.lengthscales.unconstrained_variable)))
        return {}

    options = toy_options(natural_gradient=0.3, optimizer=optimizer, iterations=1, monitor_every=1)
    train(model, toy_data(), options, record=record)
    assert np.abs(seen[0][0]).max() > 0.1
    assert seen[0][1] == float(toy_model().kernel.lengthscales.unconstrained_variable)
    assert abs(seen[1][1] - seen[0][1]) == pytest.approx(0.05, rel=0.3)


def test_natural_gradients_are_resumed(tmp_path: Path) -> None:
    expected, result = trained(natural_gradient=0.3)
    calls = 0

    def interrupt() -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return {}

    options = toy_options(natural_gradient=0.3, checkpoint_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(toy_model(), toy_data(), options, record=interrupt)
    resumed = toy_model()
    assert train(resumed, toy_data(), options).history == result.history
    np.testing.assert_array_equal(resumed.q_sqrt, expected.q_sqrt)


def test_natural_gradients_of_other_models() -> None:
    with pytest.raises(ValueError, match="needs a full covariance"):
        train(toy_model(q_diag=True), toy_data(), toy_options(natural_gradient=0.1))
    model = toy_model()
    gpflow.set_trainable(model.q_mu, False)
    with pytest.raises(ValueError, match="they are not trainable"):
        train(model, toy_data(), toy_options(natural_gradient=0.1))


# Early stopping


def history(*scores: tuple[int, int, float | None]) -> list[MonitorPoint]:
    return [MonitorPoint(iteration, phase, 0.0, nlpp) for iteration, phase, nlpp in scores]


def test_when_a_phase_is_over() -> None:
    seen = history((10, 1, 3.0), (20, 1, 2.0), (30, 1, 2.5))
    assert not is_over(seen, 1, 100, None)
    assert is_over(seen, 1, 100, 1)
    assert not is_over(seen, 1, 100, 2)
    assert is_over([*seen, *history((40, 1, 2.1))], 1, 100, 2)
    assert is_over(seen, 1, 30, None)
    later = [*seen, *history((40, 2, 9.0), (50, 2, 8.0))]
    assert is_over(later, 1, 100, None)
    assert phase_start(later, 2) == 30
    assert not is_over(later, 2, 100, 1)  # a phase's first look is its own lowest so far
    assert is_over(later, 2, 20, None)
    assert not is_over(history((40, 3, None)), 3, 100, 1)


def test_early_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    from sigkernel_tf.gp.prediction.evaluation import Evaluation
    from sigkernel_tf.gp.training import run

    scores = iter([3.0, 2.0, 2.5, 2.4, 1.0, 1.5, 1.6])
    monkeypatch.setattr(run, "Evaluator", lambda *_, **__: lambda: Evaluation(nlpp=next(scores), accuracy=None))
    result = trained(iterations=40, patience=2)[1]
    ends = {point.phase: point.iteration for point in result.history}
    assert ends == {1: 16, 2: 28, 3: 68}  # two looks after those at 8 and 20; all of phase 3
    assert result.best_iteration == 20


# TensorBoard


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    model = toy_model()
    train(model, toy_data(), toy_options(tensorboard_dir=tmp_path), record=lambda: {"test accuracy": 0.5})
    (file,) = tmp_path.iterdir()
    values: dict[str, list[tuple[int, float]]] = {}
    for event in tf.compat.v1.train.summary_iterator(str(file)):
        for value in event.summary.value:
            values.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    assert [step for step, _ in values["training/elbo"]] == [4, 6, 8, 12, 16, 18]
    assert [step for step, _ in values["training/validation_nlpp"]] == [4, 6, 8, 12]
    assert values["training/test accuracy"][0] == (4, 0.5)
    assert values["kernel.lengthscales"][-1][1] == pytest.approx(float(model.kernel.lengthscales.numpy()), rel=1e-6)


def test_tensorboard_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        trained(tensorboard_dir=tmp_path)


@pytest.mark.parametrize(
    ("option", "value", "error", "message"),
    [
        ("natural_gradient", 0.0, ValueError, r"natural_gradient must lie in \(0, 1\]"),
        ("natural_gradient", "a", TypeError, "natural_gradient must be a number or None"),
        ("patience", 0, ValueError, "patience must be at least 1"),
        ("patience", 1.5, TypeError, "patience must be an int"),
    ],
)
def test_bad_options(option: str, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        toy_options(**{option: value})


# Rows to validate on


def test_chosen_rows_are_validated_on_and_trained_on_last(tmp_path: Path) -> None:
    (X, Y), rows = toy_data(), np.array([3, 59, 0, 17])
    models, expected, results = [toy_model(), toy_model()], [], []
    changed = Y.copy()
    changed[rows] += 1.0
    seen: list[list[np.ndarray]] = [[], []]
    for i, (model, targets) in enumerate(zip(models, (Y, changed), strict=True)):

        def record(i: int = i, model: gpflow.models.SVGP = model, targets: np.ndarray = targets) -> dict[str, float]:
            seen[i].append(model.q_mu.numpy())
            expected.append(-np.mean(model.predict_log_density((X[rows], targets[rows]))))
            return {}

        results.append(train(model, (X, targets), toy_options(), validation=rows, record=record))
    found = [point.validation_nlpp for result in results for point in result.history]
    assert found[:4] + found[6:10] == pytest.approx(expected[:4] + expected[6:10], rel=1e-12)
    for first, second in zip(seen[0][:4], seen[1][:4], strict=True):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(seen[0][-1], seen[1][-1])

    train(toy_model(), (X, Y), toy_options(checkpoint_dir=tmp_path), validation=rows)
    with pytest.raises(ValueError, match=r"another training; they differ in validation"):
        train(toy_model(), (X, Y), toy_options(checkpoint_dir=tmp_path), validation=rows[:3])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([60], "row numbers from 0 to 59, got 60 to 60"),
        ([-1, 3], "row numbers from 0 to 59, got -1 to 3"),
        ([3, 3], "a vector of row numbers, each once"),
        ((np.zeros((4, 2)), np.zeros((4, 1))), "a vector of row numbers, each once, got object"),
        ([[3]], "a vector of row numbers"),
        (np.ones(60, bool), "a vector of row numbers, each once, got bool"),
        (np.arange(60), "validation, 60 rows of 60 series leaves 60 to validate on and 0 to train on"),
        (np.arange(0), "validation, 0 rows of 60 series leaves 0 to validate on"),
    ],
)
def test_rows_that_cannot_be_validated_on(rows: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(toy_model(), toy_data(), toy_options(), validation=rows)
