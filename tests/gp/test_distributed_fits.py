"""Fits in closed form whose rows two processes on this machine share."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import closed_form_worker
import loopback
import numpy as np
import pytest
from closed_form_worker import CASES, DIGITS, SMALL, digits, options_of
from training_toys import parameters

from sigkernel_tf.gp import ClosedFormResult, fit_closed_form, write_shards

SCRIPT = "closed_form_worker.py"
WALL = "a wall"


def assert_same(reported: dict, svgp: object, result: ClosedFormResult, name: str) -> None:
    for key, value in parameters(svgp).items():
        np.testing.assert_allclose(reported["parameters"][key], value, rtol=1e-10, atol=1e-10, err_msg=f"{name} {key}")
    passes = [[each.elbo, each.step, each.round] for each in result.passes]
    np.testing.assert_allclose(reported["passes"], passes, rtol=1e-10, err_msg=name)
    assert reported["converged"] == result.converged


def check_cases(names: Iterable[str], task: str, folder: Path, where: Path) -> list[dict]:
    """Fit these in two workers and in one process, and return what the workers reported."""
    found, codes = loopback.finish(loopback.start(SCRIPT, [task, folder], where))
    assert codes == [0, 0], errors(where)
    for name in names:
        assert found[0][name] == found[1][name]  # to the last bit
        make, data, _ = CASES[name]
        if name != WALL:
            svgp = make()
            assert_same(found[0][name], svgp, fit_closed_form(svgp, data, options_of(name)), name)
    return found


def errors(folder: Path) -> str:
    return "".join((folder / f"errors-{rank}.txt").read_text() for rank in range(2))


@pytest.mark.slow
@pytest.mark.ci
def test_two_workers_fit_as_one_process_and_refuse_what_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    first, second = check_cases(SMALL, "small", tmp_path / "empty", tmp_path)
    assert first["no numbers"] == second["no numbers"] == [0, 2]
    assert "RuntimeError: worker 1 has failed" in first["rows"]
    assert "differs from worker 0 in data (worker 0 " in second["rows"]
    assert "differs from worker 0 in max_passes (worker 0 20, here 21)" in second["options"]
    assert "worker 1 has failed" in first["one fails"]
    assert "must have the same number of rows" in second["one fails"]
    assert "at least a row for each of the 2 workers, got 40 rows and hyperparameter_rows=1" in first["few rows"]
    assert "strategy must be given where TF_CONFIG names 2 workers" in first["no strategy"] == second["no strategy"]
    assert "TypeError: strategy must be a tf.distribute.MultiWorkerMirroredStrategy" in first["kind"]
    assert first["written"] == second["written"] == []
    assert "RuntimeError: worker 1 has failed" in first["a NaN"]
    assert "ValueError: X must be finite, got nan in row 30" in second["a NaN"]


@pytest.mark.slow
def test_two_workers_fit_every_kind_of_model_as_one_process(tmp_path: Path) -> None:
    names = CASES.keys() - SMALL
    first, _ = check_cases(names, "rest", tmp_path, tmp_path)
    refused_evaluations = {name: first[f"{name} evaluations"][1] for name in names}
    assert refused_evaluations.pop(WALL) > 0  # at which only the second worker's rows are
    assert not any(refused_evaluations.values())
    # From there L-BFGS takes a step that rounding decides, so that it is not compared with one process.
    assert 0.0 < abs(first[WALL]["parameters"][".kernel.variance"] - 1.0) < 0.2


@pytest.mark.slow
def test_pendigits_killed_terminated_and_resumed(tmp_path: Path) -> None:
    """Each worker opens the shards of its own rows; wherever the fit is stopped, it comes to the same end."""
    X, Y, channels = closed_form_worker.paths()
    write_shards(tmp_path / "shards", (X, Y), rows_per_shard=-(-len(Y) // 6))
    (tmp_path / "channels").write_text(str(channels))
    whole = digits(channels, int(Y.max()) + 1)
    result = fit_closed_form(whole, (X, Y), DIGITS)
    ends = []
    for how in ("undisturbed", "kill1", "term0"):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        found, codes = loopback.finish(loopback.start(SCRIPT, [how, tmp_path], tmp_path))
        if how != "undisturbed":
            rank = int(how[-1])
            if "kill" in how:
                assert codes[rank] == -9
                assert codes[1 - rank] != 0 or "worker" in found[1 - rank]["stopped"]
            else:
                assert codes == [0, 0]
                assert all("KeyboardInterrupt: the fit stopped after " in one["stopped"] for one in found)
                assert "saved in" in found[0]["stopped"]
            found, codes = loopback.finish(loopback.start(SCRIPT, ["resume", tmp_path], tmp_path))
        assert codes == [0, 0], errors(tmp_path)
        assert found[0]["digits"] == found[1]["digits"]
        ends.append(found[0]["digits"])
        if how == "undisturbed":
            first, second = (set(one["opened"]) for one in found)
            assert first | second == set(range(6))
            assert len(first & second) <= 2
    assert_same(ends[0], whole, result, "digits")
    assert all(end == ends[0] for end in ends)
