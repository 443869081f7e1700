"""Trainings that two processes on this machine share."""

import json
from pathlib import Path

import loopback
import numpy as np
import pytest
from training_toys import parameters, toy_data, toy_model, toy_options
from training_worker import ACROSS, CASES, FITTED, on_paths, options_of, paths

from sigkernel_tf.gp import fit_least_squares, train

SCRIPT = "training_worker.py"


@pytest.mark.slow
@pytest.mark.ci
def test_two_workers_train_as_one_process_and_refuse_what_does_not_fit(tmp_path: Path) -> None:
    found, codes = loopback.finish(loopback.start(SCRIPT, ["train", tmp_path / "empty"], _with(tmp_path, "empty")))
    assert codes == [0, 0], (tmp_path / "errors-1.txt").read_text()
    for name, (make, data, _, within) in CASES.items():
        one, other = (reported[name] for reported in found)
        assert one == other  # to the last bit
        model = make()
        result = train(model, data(), options_of(name))
        for key, value in parameters(model).items():
            np.testing.assert_allclose(one["parameters"][key], value, rtol=within, atol=within, err_msg=f"{name} {key}")
        assert one["best"] == result.best_iteration
        for there, here in zip(one["history"], result.history, strict=True):
            assert (there["iteration"], there["phase"]) == (here.iteration, here.phase)
            np.testing.assert_allclose(there["elbo"], here.elbo, rtol=within)
            np.testing.assert_allclose(there["validation_nlpp"] or 0.0, here.validation_nlpp or 0.0, rtol=within)
    first, second = found
    assert first["fit"] == second["fit"]
    (X, Y), model = paths(), on_paths()
    fit = fit_least_squares(model, X, Y[:, 0])
    for name in FITTED:
        np.testing.assert_allclose(first["fit"][name], getattr(fit, name), rtol=1e-10, atol=1e-12, err_msg=name)
    assert "differs from worker 0 in ridges (worker 0 [1.0], here [2.0])" in second["fit refused"]
    assert "ValueError: batch_size must be at least 2" in first["batch"] == second["batch"]
    assert "RuntimeError: worker 1 has failed" in first["rows"]
    assert "ValueError: all workers must have the same model" in second["rows"]
    assert "differs from worker 0 in data (worker 0 " in second["rows"]
    assert "differs from worker 0 in seed (worker 0 0, here 1)" in second["options"]
    assert "worker 1 has failed" in first["one fails"]
    assert "must have the same number of rows" in second["one fails"]
    assert "strategy must be given where TF_CONFIG names 2 workers" in first["no strategy"] == second["no strategy"]
    assert first["written"] == second["written"] == []


@pytest.mark.slow
def test_workers_that_are_killed_or_terminated_are_resumed(tmp_path: Path) -> None:
    whole, ends = toy_model(), []
    train(whole, toy_data(), toy_options())
    for how in ("kill0", "kill1", "term0", "term1"):
        folder = tmp_path / how
        found, codes = loopback.finish(loopback.start(SCRIPT, [how, folder], _with(folder)))
        rank, other = int(how[-1]), 1 - int(how[-1])
        if "kill" in how:
            assert codes[rank] == -9
            assert codes[other] != 0 or "worker" in found[other]["stopped"]
        else:
            assert codes == [0, 0]
            assert all("KeyboardInterrupt: training stopped after " in one["stopped"] for one in found)
            assert "saved in" in found[0]["stopped"]
        found, codes = loopback.finish(loopback.start(SCRIPT, ["resume", folder], folder))
        assert codes == [0, 0]
        assert found[0] == found[1]
        for key, value in parameters(whole).items():
            np.testing.assert_allclose(found[0]["parameters"][key], value, rtol=1e-9, atol=1e-9, err_msg=key)
        ends.append(found[0])
    assert all(end == ends[0] for end in ends)  # to the last bit, wherever it was stopped


@pytest.mark.slow
def test_a_run_by_rows_goes_on_by_latent_processes_and_the_other_way_round(tmp_path: Path) -> None:
    make, data, _, within = ACROSS
    whole = make()
    train(whole, data(), toy_options())
    for first, then in (("rows", "latents"), ("latents", "rows")):
        folder = tmp_path / first
        _, codes = loopback.finish(loopback.start(SCRIPT, ["kill1", folder, first], _with(folder)))
        assert codes[1] == -9
        assert json.loads((folder / "state.json").read_text())["state"]["history"]  # where it goes on
        found, codes = loopback.finish(loopback.start(SCRIPT, ["resume", folder, then], folder))
        assert codes == [0, 0], (folder / "errors-1.txt").read_text()
        assert found[0] == found[1]
        for key, value in parameters(whole).items():
            np.testing.assert_allclose(found[0]["parameters"][key], value, rtol=within, atol=within, err_msg=key)


@pytest.mark.slow
def test_an_overflow_in_one_worker_stops_all(tmp_path: Path) -> None:
    found, _ = loopback.finish(loopback.start(SCRIPT, ["overflow", tmp_path], tmp_path))
    stopped = [one["stopped"] for one in found]
    assert any("FloatingPointError: the training has diverged after " in message for message in stopped)
    for message in stopped:
        assert "diverged" in message or "another worker has failed" in message


@pytest.mark.slow
def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    started = loopback.start("../examples/train_on_workers.py", [], tmp_path)
    printed = [process.communicate(timeout=1200)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert printed[0] == printed[1]
    assert float(printed[0].removeprefix("accuracy ")) > 0.8
    assert (tmp_path / "run" / "state.json").is_file()


def _with(folder: Path, name: str = "") -> Path:
    """The folder, once that and one of this name in it are there."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    return folder
