"""Trainings that are stopped in some way and go on; and checkpoints that belong to another training."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import gpflow
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from training_toys import Spy, assert_same_training, parameters, toy_data, toy_model, toy_options

from sigkernel_tf import FiniteDifference
from sigkernel_tf.gp import SigGPDE, SignatureKernel, TruncatedSignatureKernel
from sigkernel_tf.gp.data import minibatches
from sigkernel_tf.gp.training import run, train
from sigkernel_tf.gp.training.fingerprint import settings, values_digest
from sigkernel_tf.static_kernels import rbf

ROOT = Path(__file__).resolve().parents[2]


def test_seeds_make_runs_repeatable(uninterrupted: tuple) -> None:
    again, other = toy_model(), toy_model()
    assert_same_training(uninterrupted, (again, train(again, toy_data(), toy_options())))
    train(other, toy_data(), toy_options(seed=1))
    assert not np.array_equal(other.q_mu.numpy(), again.q_mu.numpy())


def test_minibatches_pass_over_the_data_and_depend_only_on_the_iteration() -> None:
    together = minibatches(10, 4, 3, 0, 10)
    apart = np.concatenate([minibatches(10, 4, 3, first, 1) for first in range(10)])
    np.testing.assert_array_equal(together, apart)
    for number in range(4):  # 40 indices: four passes
        np.testing.assert_array_equal(np.sort(together.ravel()[10 * number : 10 * number + 10]), np.arange(10))
    assert not np.array_equal(together, minibatches(10, 4, 4, 0, 10))


def test_interrupted_at_evaluations_and_resumed(tmp_path: Path, uninterrupted: tuple) -> None:
    """In new models: midway in phase 1, at the ends of phases 1 and 2, and midway in phase 3, one after the other."""
    options = toy_options(checkpoint_dir=tmp_path)
    done = 1
    for point in (1, 2, 4, 5):
        interrupted = toy_model()  # it repeats the evaluation in which the last one was interrupted
        with pytest.raises(KeyboardInterrupt, match="go on by training again"):
            train(interrupted, toy_data(), options, record=Spy(interrupted, raise_at=point - done + 1))
        done = point
    resumed = toy_model()
    assert_same_training(uninterrupted, (resumed, train(resumed, toy_data(), options)))


def test_an_error_in_record_loses_nothing(tmp_path: Path, uninterrupted: tuple) -> None:
    """The same model, or one built as it was, goes on at the evaluation that failed."""
    options, model = toy_options(checkpoint_dir=tmp_path), toy_model()

    def fails_at(point: int) -> Callable[[], dict]:
        looks = iter(range(1, 10))
        return lambda: {} if next(looks) != point else {}["missing"]

    for again in (model, model, toy_model()):
        with pytest.raises(KeyError, match="missing"):
            train(again, toy_data(), options, record=fails_at(2))
    assert_same_training(uninterrupted, (model := toy_model(), train(model, toy_data(), options)))


def test_interrupted_between_steps_and_resumed(
    tmp_path: Path, uninterrupted: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    After a step has run and before Python has heard of it, which is where Ctrl-C strikes.

    In new models, one after the other: after the first step of each phase, before an evaluation, and at phases' ends.
    """
    options = toy_options(checkpoint_dir=tmp_path)
    for iteration in (1, 4, 6, 7, 12, 13, 16):

        def interrupt(self: run._Run, bound: float, iteration: int = iteration) -> None:
            if self.steps.iteration >= iteration:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(run._Run, "_check_finite", interrupt)
            with pytest.raises(KeyboardInterrupt, match=f"after {iteration} of 18 iterations, saved in"):
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


OTHER_PROCESS = f"""
    import json, signal, sys, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may have it ignored
    sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}, {str(Path(__file__).parent)!r}]
    from sigkernel_tf.gp.training import train
    from test_training_resumed import what_tells_apart
    from training_toys import toy_data, toy_model, toy_options

    print(what_tells_apart(), flush=True)
    for folder in sys.argv[1:]:
        looks = iter(range(1, 10))
        def record():
            if next(looks) == 4:
                print("now", flush=True)
                time.sleep(60)
            return {{}}
        try:
            train(toy_model(), toy_data(), toy_options(checkpoint_dir=folder), record=record)
        except KeyboardInterrupt as stopped:
            print(stopped, flush=True)
"""


@pytest.fixture(scope="module")
def other_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """
    What a new process finds to tell a model apart, and two trainings there, one interrupted and one killed.

    One process for all of these, for it takes seconds to start: the folders of the trainings, and what it says.
    """
    folders = {how: str(tmp_path_factory.mktemp(how)) for how in ("interrupted", "killed")}
    command = [sys.executable, "-c", textwrap.dedent(OTHER_PROCESS), *folders.values()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        tells_apart = process.stdout.readline()
        assert process.stdout.readline() == "now\n", process.communicate()
        process.send_signal(signal.SIGINT)
        message = process.stdout.readline()
        assert process.stdout.readline() == "now\n", process.communicate()
        process.kill()
    assert process.returncode == -signal.SIGKILL
    return {**folders, "tells apart": tells_apart, "message": message}


@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_training_stopped_in_another_process_is_resumed(
    how: str, other_process: dict[str, str], uninterrupted: tuple
) -> None:
    resumed, options = toy_model(), toy_options(checkpoint_dir=other_process[how])
    assert (Path(other_process[how]) / "state.json").exists()
    assert_same_training(uninterrupted, (resumed, train(resumed, toy_data(), options)))


def test_an_interrupted_process_says_how_to_go_on(other_process: dict[str, str]) -> None:
    assert "go on by training again" in other_process["message"]


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


def test_what_tells_models_apart_is_the_same_in_every_process(other_process: dict[str, str]) -> None:
    here = what_tells_apart()
    assert here + "\n" == other_process["tells apart"]
    found = json.loads(here)[0]
    assert found["model.kernel.kernels[0].active_dims"] == "slice(0, 4, None)"
    assert found["model.kernel.kernels[0].static_kernel"] == "rbf"
    assert found["model.kernel.kernels[0].static_kernel.lengthscale"] == 0.5
    assert found["model.kernel.kernels[1].depth"] == 3
    assert found["model.kernel.kernels[1].variance.prior"] == "Gamma"
    assert found["model.kernel.kernels[1].variance.prior.rate"] == 2.0
    assert found["model.inducing_variable"] == "InducingPoints"
    assert "0x" not in here


def what_tells_apart() -> str:
    """The settings and the digest of a model of many parts, as one line of JSON."""
    model = many_sided_model()
    return json.dumps([settings(model), values_digest(model)])


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


@pytest.mark.parametrize(
    ("seconds", "most"), [(0.0, 25), (1e-4, 25), (0.019, 25), (0.021, 23), (0.1, 5), (0.3, 1), (0.9, 1), (30.0, 1)]
)
def test_calls_are_short_enough_to_be_interrupted(seconds: float, most: int) -> None:
    """Python sees an interrupt between two calls of the graph: slow steps get calls of their own."""
    assert run._steps_at_once(seconds) == most


def test_steps_that_become_slow_get_short_calls(uninterrupted: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of pretended times. The result does not depend on which steps share a call."""
    pretended = iter([1.0, 0.2, 0.9, 0.001, 0.02, *[0.1] * 100])  # seconds of a step in each call
    counts: list[int] = []
    call = run._Run._call

    def timed(self: run._Run, steps: Callable, X: np.ndarray, Y: np.ndarray) -> float:
        counts.append(len(X))
        call(self, steps, X, Y)
        return next(pretended) * len(X)

    monkeypatch.setattr(run._Run, "_call", timed)
    model = toy_model()
    assert_same_training(uninterrupted, (model, train(model, toy_data(), toy_options())))
    assert counts[:4] == [1, 1, 2, 1]  # until the evaluation after four steps
    assert sum(counts) == 18


def test_the_evaluation_takes_batches_of_a_steps_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt is answered between two of them."""
    sizes = []

    def evaluator(*_: object, batch_size: int) -> Callable:
        sizes.append(batch_size)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "Evaluator", evaluator)
    for batch_size in (1, 50, 120, 700):
        with pytest.raises(KeyboardInterrupt):
            train(toy_model(), toy_data(1000), toy_options(batch_size=batch_size))
    assert sizes == [50, 50, 120, 500]
