"""The training procedure, on small models of GPflow's own: what it trains and keeps, and that it can be stopped."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import gpflow
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from sigkernel_tf import FiniteDifference
from sigkernel_tf.gp import SigGPDE, SignatureKernel, TruncatedSignatureKernel
from sigkernel_tf.gp.evaluation import Evaluation
from sigkernel_tf.gp.training import TrainingOptions, TrainingResult, minibatches, run, train
from sigkernel_tf.static_kernels import rbf

ROOT = Path(__file__).resolve().parents[2]
HYPERPARAMETERS = (".kernel.lengthscales", ".kernel.variance", ".likelihood.variance")
VARIATIONAL = (".q_mu", ".q_sqrt", ".inducing_variable.Z")


def toy_data(num_data: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """A wave with some noise."""
    rng = np.random.default_rng(7)
    X = rng.uniform(0.0, 1.0, (num_data, 1))
    return X, np.sin(6.0 * X) + 0.05 * rng.normal(size=(num_data, 1))


def toy_model(lengthscale: float = 1.0) -> gpflow.models.SVGP:
    Z = np.linspace(0.0, 1.0, 5)[:, None]
    return gpflow.models.SVGP(
        gpflow.kernels.RBF(lengthscales=lengthscale),
        gpflow.likelihoods.Gaussian(),
        gpflow.inducing_variables.InducingPoints(Z),
    )


def three_clouds(num_data: int) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds of points, by class."""
    rng = np.random.default_rng(9)
    labels = np.arange(num_data) % 3
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    return centres[labels] + 0.7 * rng.normal(size=(num_data, 2)), labels[:, None]


def classifier() -> gpflow.models.SVGP:
    X, _ = three_clouds(6)
    return gpflow.models.SVGP(gpflow.kernels.RBF(), gpflow.likelihoods.MultiClass(3), X, num_latent_gps=3)


def toy_options(**changes: object) -> TrainingOptions:
    """Six steps a phase, looked at every four."""
    small: dict = {"iterations": 6, "batch_size": 8, "learning_rate": 0.05, "monitor_every": 4}
    return TrainingOptions(**{**small, "validation_fraction": 0.25, "progress": False, **changes})


def parameters(model: gpflow.models.SVGP) -> dict[str, np.ndarray]:
    return {name: parameter.numpy() for name, parameter in gpflow.utilities.parameter_dict(model).items()}


def assert_same_training(first: tuple, second: tuple) -> None:
    """Of (model, result) pairs: parameters and history agree to the last bit."""
    for name, value in parameters(first[0]).items():
        np.testing.assert_array_equal(value, parameters(second[0])[name], err_msg=name)
    assert first[1].history == second[1].history
    assert first[1].best_iteration == second[1].best_iteration


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[gpflow.models.SVGP, TrainingResult]:
    model = toy_model()
    return model, train(model, toy_data(), toy_options())


class Spy:
    """A ``record`` that keeps the parameters of every monitored point, and can raise at one."""

    def __init__(self, model: gpflow.models.SVGP, raise_at: int | None = None) -> None:
        self.model, self.raise_at, self.seen = model, raise_at, []

    def __call__(self) -> dict[str, float]:
        self.seen.append(parameters(self.model))
        if len(self.seen) == self.raise_at:
            raise KeyboardInterrupt
        return {}


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
    train(model, toy_data(), toy_options(iterations=150, monitor_every=1, learning_rate=rate), record=spy)
    unconstrained = gpflow.utilities.positive().inverse
    before, after = (unconstrained(spy.seen[i][".kernel.lengthscales"]).numpy() for i in (149, 150))
    assert 0.5 * rate < abs(after - before) < 2.0 * rate


def test_only_phase_three_trains_on_the_validation_split() -> None:
    X, Y = toy_data()
    held_out = np.random.default_rng([0, 0]).permutation(60)[:15]
    changed = Y.copy()
    changed[held_out] += 1.0
    spies = [Spy(toy_model()), Spy(toy_model())]
    for spy, targets in zip(spies, (Y, changed), strict=True):
        train(spy.model, (X, targets), toy_options(), record=spy)
        assert spy.model.num_data == 60
    for seen, seen_changed in zip(spies[0].seen[:4], spies[1].seen[:4], strict=True):
        np.testing.assert_array_equal(seen[".q_mu"], seen_changed[".q_mu"])
    assert not np.array_equal(spies[0].seen[-1][".q_mu"], spies[1].seen[-1][".q_mu"])


def test_phase_three_has_the_best_hyperparameters(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([3.0, 2.0, 1.0, 1.5])  # at steps 4, 6 (phase 1), 8, 12 (phase 2)
    monkeypatch.setattr(run, "Evaluator", lambda *_: lambda: Evaluation(nlpp=next(scores), accuracy=None))
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
    held_out = np.random.default_rng([0, 0]).permutation(60)[:15]

    def record() -> dict[str, float]:
        expected.append(-np.mean(model.predict_log_density((X[held_out], Y[held_out]))))
        return {}

    result = train(model, (X, Y), toy_options(), record=record)
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


# Repeatable, resumable


def test_seeds_make_runs_repeatable(uninterrupted: tuple) -> None:
    again, other = toy_model(), toy_model()
    assert_same_training(uninterrupted, (again, train(again, toy_data(), toy_options())))
    train(other, toy_data(), toy_options(seed=1))
    assert not np.array_equal(other.q_mu.numpy(), again.q_mu.numpy())


def test_minibatches_pass_over_the_data_and_depend_on_the_iteration_alone() -> None:
    together = minibatches(10, 4, 3, 0, 10)
    apart = np.concatenate([minibatches(10, 4, 3, first, 1) for first in range(10)])
    np.testing.assert_array_equal(together, apart)
    for number in range(4):  # 40 indices: four passes
        np.testing.assert_array_equal(np.sort(together.ravel()[10 * number : 10 * number + 10]), np.arange(10))
    assert not np.array_equal(together, minibatches(10, 4, 4, 0, 10))


@pytest.mark.parametrize("point", [1, 2, 4, 5])  # midway in phase 1, the ends of phases 1 and 2, midway in phase 3
def test_interrupted_at_a_monitored_point_and_resumed(tmp_path: Path, uninterrupted: tuple, point: int) -> None:
    interrupted = toy_model()
    options = toy_options(checkpoint_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt, match="go on by training again"):
        train(interrupted, toy_data(), options, record=Spy(interrupted, raise_at=point))
    resumed = toy_model()
    assert_same_training(uninterrupted, (resumed, train(resumed, toy_data(), options)))


@pytest.mark.parametrize("call", [1, 3, 5, 7, 8])
def test_interrupted_between_steps_and_resumed(
    tmp_path: Path, uninterrupted: tuple, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a step has run and before Python has heard of it, which is where Ctrl-C strikes."""
    calls = 0

    def interrupt(self: object, bound: float) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt

    options = toy_options(checkpoint_dir=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(run._Run, "_check_finite", interrupt)
        with pytest.raises(KeyboardInterrupt, match="of 18 iterations, saved in"):
            train(toy_model(), toy_data(), options)
    resumed = toy_model()
    assert_same_training(uninterrupted, (resumed, train(resumed, toy_data(), options)))


def test_killed_while_saving_leaves_the_old_checkpoint(
    tmp_path: Path, uninterrupted: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = toy_options(checkpoint_dir=tmp_path)
    replaced = os.replace

    def die_the_second_time(source: Path, target: Path) -> None:
        if (tmp_path / "state.json").exists():
            raise OSError("killed")
        replaced(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", die_the_second_time)
        with pytest.raises(OSError, match="killed"):
            train(toy_model(), toy_data(), options)
    assert json.loads((tmp_path / "state.json").read_text())["state"]["history"][-1]["iteration"] == 4
    resumed = toy_model()
    assert_same_training(uninterrupted, (resumed, train(resumed, toy_data(), options)))
    assert len({path.name.split(".")[0] for path in tmp_path.glob("variables-*")}) == 1  # leftovers are gone


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_process_is_resumed(tmp_path: Path, uninterrupted: tuple, how: signal.Signals) -> None:
    script = f"""
        import signal, sys, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may have it ignored
        sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
        from test_training import toy_data, toy_model, toy_options, train
        calls = 0
        def record():
            global calls
            calls += 1
            if calls == 4:
                print("now", flush=True)
                time.sleep(60)
            return {{}}
        train(toy_model(), toy_data(), toy_options(checkpoint_dir={str(tmp_path)!r}), record=record)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    process.send_signal(how)
    _, errors = process.communicate()
    assert process.returncode != 0
    assert ("go on by training again" in errors) == (how is signal.SIGINT)
    resumed = toy_model()
    assert_same_training(uninterrupted, (resumed, train(resumed, toy_data(), toy_options(checkpoint_dir=tmp_path))))


def test_finished_training_is_restored_without_a_step(
    tmp_path: Path, uninterrupted: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = toy_options(checkpoint_dir=tmp_path)
    train(toy_model(), toy_data(), options)
    monkeypatch.delattr(run._Run, "_run_phase")
    restored = toy_model()
    assert_same_training(uninterrupted, (restored, train(restored, toy_data(), options)))
    assert restored.num_data == 60


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    train(toy_model(), toy_data(), toy_options(checkpoint_dir=tmp_path))
    with pytest.raises(ValueError, match=r"differ in batch_size \(there 8, here 9\): take another folder"):
        train(toy_model(), toy_data(), toy_options(checkpoint_dir=tmp_path, batch_size=9))
    with pytest.raises(ValueError, match="differ in data"):
        train(toy_model(), toy_data(63), toy_options(checkpoint_dir=tmp_path))


def test_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    def model(likelihood: object = None, **settings: object) -> SigGPDE:
        return SigGPDE(1, 3, likelihood=likelihood or gpflow.likelihoods.Bernoulli(), **settings)

    X, Y = toy_data()
    data, options = (np.hstack([X, X**2]), (Y > 0) * 1.0), toy_options(iterations=1, checkpoint_dir=tmp_path)
    trained = model()
    train(trained, data, options)
    other = {
        "model.likelihood.invlink": model(gpflow.likelihoods.Bernoulli(tf.sigmoid)),
        "model.likelihood ": model(gpflow.likelihoods.Gaussian()),
        "model.kernel.normalize": model(normalize=True),
        "model.kernel.solver": model(solver=FiniteDifference(1)),
        "model.mean_function ": model(mean_function=gpflow.functions.Constant(0.0)),
        "the values that the model's parameters start from": model(lengthscales=2.0),
    }
    held = model()
    gpflow.set_trainable(held.likelihood, False)
    gpflow.set_trainable(held.kernel.variance, False)
    other["model.kernel.variance.trainable"] = held
    for name, wrong in other.items():
        before = parameters(wrong)
        with pytest.raises(ValueError, match=f"another training.* differ in .*{re.escape(name)}"):
            train(wrong, data, options)
        assert all(np.array_equal(value, before[key]) for key, value in parameters(wrong).items())  # none is restored
    for same in (model(), trained):  # built again, or as training left it
        train(same, data, options)
        np.testing.assert_array_equal(same.q_mu, trained.q_mu)


def test_what_tells_models_apart_is_the_same_in_every_process() -> None:
    script = f"""
        import json, sys
        sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
        from test_training import many_sided_model
        from sigkernel_tf.gp.training.fingerprint import settings, values_digest
        model = many_sided_model()
        print(json.dumps([settings(model), values_digest(model)]))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == second
    found = json.loads(first)[0]
    assert found["model.kernel.kernels[0].active_dims"] == "slice(0, 4, None)"
    assert found["model.kernel.kernels[0].static_kernel"] == "rbf"
    assert found["model.kernel.kernels[0].static_kernel.lengthscale"] == 0.5
    assert found["model.kernel.kernels[1].depth"] == 3
    assert found["model.kernel.kernels[1].variance.prior"] == "Gamma"
    assert found["model.kernel.kernels[1].variance.prior.rate"] == 2.0
    assert found["model.inducing_variable"] == "InducingPoints"
    assert "0x" not in first


def many_sided_model() -> gpflow.models.SVGP:
    """Parts of many kinds, a compiled function among them."""
    lifted = SignatureKernel(2, static_kernel=functools.partial(rbf, lengthscale=0.5), active_dims=slice(0, 4))
    truncated = TruncatedSignatureKernel(2, depth=3)
    truncated.variance.prior = tfp.distributions.Gamma(np.float64(1.0), np.float64(2.0))
    model = gpflow.models.SVGP(
        lifted + truncated, gpflow.likelihoods.MultiClass(3), np.ones((3, 4)), num_latent_gps=3, num_data=10
    )
    model.predict = tf.function(model.predict_f)
    return model


def test_folders_that_hold_no_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match="checkpoint_dir must be a folder, got the file"):
        train(toy_model(), toy_data(), toy_options(checkpoint_dir=file))
    for damaged in ("{", "[]", "{}"):
        (tmp_path / "state.json").write_text(damaged)
        with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))}.* holds a damaged state.json: delete"):
            train(toy_model(), toy_data(), toy_options(checkpoint_dir=tmp_path))


def test_interrupt_without_a_checkpoint_says_so() -> None:
    model = toy_model()
    with pytest.raises(KeyboardInterrupt, match="nothing is saved: give a checkpoint_dir"):
        train(model, toy_data(), toy_options(), record=Spy(model, raise_at=1))


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


def test_labels_that_are_no_classes() -> None:
    X, Y = three_clouds(60)
    with pytest.raises(ValueError, match=r"classes 0 to 2, for the likelihood has 3, got 1, 2, 3: number them"):
        train(classifier(), (X, Y + 1), toy_options())


def test_model_without_variational_parameters_to_train() -> None:
    model = toy_model()
    for part in (model.q_mu, model.q_sqrt, model.inducing_variable):
        gpflow.set_trainable(part, False)
    with pytest.raises(ValueError, match="must have trainable variational parameters"):
        train(model, toy_data(), toy_options())


def test_bound_that_is_no_number() -> None:
    X, Y = toy_data()
    with pytest.raises(FloatingPointError, match=r"the bound is nan after .* take a smaller learning_rate"):
        train(toy_model(), (X, np.where(Y > 0, np.nan, Y)), toy_options())


def test_steps_are_traced_once_for_each_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    model, traces = toy_model(), []
    loss = model.training_loss

    def counted(data: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        traces.append(tf.executing_eagerly())
        return loss(data)

    monkeypatch.setattr(model, "training_loss", counted)
    train(model, toy_data(), toy_options(iterations=60, monitor_every=7))
    assert traces == [False] * 3
