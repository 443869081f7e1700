"""Checkpoints that are damaged, and folders that two trainings want."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import tensorflow as tf
from damage import damaged, value_or_error
from training_toys import parameters, toy_data, toy_model, toy_options

from sigkernel_tf.gp.training import folder_lock, train
from sigkernel_tf.gp.training.checkpoints import Checkpoints
from sigkernel_tf.gp.training.folder_lock import locked


def variable_and_checkpoints(folder: Path) -> tuple[tf.Variable, Checkpoints]:
    variable = tf.Variable([1.0, 2.0], dtype=tf.float64)
    return variable, Checkpoints(folder, {"a": [variable]}, {"batch_size": 8}, lambda: "values")


def test_damage_is_seen_before_a_variable_changes(tmp_path: Path) -> None:
    """Each file is damaged in turn: what is restored is right, or an error names the folder and the file."""
    variable, checkpoints = variable_and_checkpoints(tmp_path)
    variable.assign([3.0, 4.0])
    checkpoints.save({"history": [1.5, None]})
    files = sorted(path for path in tmp_path.iterdir())
    assert [file.name.partition("-")[0] for file in files] == ["state.json", "variables", "variables"]
    for file in files:
        seen, whole = 0, file.read_bytes()
        copies = [*damaged(whole, flips=150, cuts=30), ("missing", None)]
        for how, content in copies:
            file.unlink(missing_ok=True)
            if content is not None:
                file.write_bytes(content)
            fresh, checkpoints = variable_and_checkpoints(tmp_path)
            state, error = value_or_error(functools.partial(checkpoints.restore, dict))
            if error is not None:
                assert f"{str(tmp_path)!r} holds a damaged {file.name}: delete the folder" in error, how
                assert fresh.numpy().tolist() == [1.0, 2.0]
                seen += 1
                continue
            expected = None if content is None else {"history": [1.5, None]}  # without state.json there is none
            assert state == expected, how
            assert fresh.numpy().tolist() == ([3.0, 4.0] if expected else [1.0, 2.0])
        file.write_bytes(whole)
        assert seen >= (len(copies) if file.name.startswith("variables") else 0.7 * len(copies))


@pytest.mark.parametrize("lost", ["number", "fingerprint", "files", "start", "values", "state"])
def test_a_state_of_another_shape(tmp_path: Path, lost: str) -> None:
    _, checkpoints = variable_and_checkpoints(tmp_path)
    checkpoints.save({})
    file = tmp_path / "state.json"
    saved = json.loads(file.read_text())
    del saved["sha256"]
    shapes: list = [{name: value for name, value in saved.items() if name != lost}]
    shapes += [{**saved, lost: 3.5}] if lost in ("fingerprint", "files", "state") else []
    for shape in shapes:
        file.write_text(json.dumps(shape))
        with pytest.raises(ValueError, match="holds a damaged state.json: delete the folder"):
            checkpoints.restore(dict)


def test_a_folder_is_locked_while_a_training_runs(tmp_path: Path) -> None:
    """Against trainings in the same thread, as from ``record``, and in others, which change no file of the first's."""
    options = toy_options(iterations=1, checkpoint_dir=tmp_path)
    errors: list[Exception] = []

    def train_too() -> None:
        files = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        try:
            train(toy_model(), toy_data(), options)
        except ValueError as error:
            errors.append(error)
        assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files

    def record() -> dict[str, float]:
        if not errors:
            train_too()
            thread = threading.Thread(target=train_too)
            thread.start()
            thread.join()
        return {}

    train(toy_model(), toy_data(), options, record=record)
    assert len(errors) == 2
    for error in errors:
        assert f"checkpoint_dir={str(tmp_path)!r} is in use by another training" in str(error)
    with locked(tmp_path):  # the lock is released at the end
        pass


def test_after_an_error(tmp_path: Path) -> None:
    """The lock is released, also after a refused checkpoint; and a damaged one changes nothing of the model."""
    options = toy_options(iterations=1, checkpoint_dir=tmp_path)
    with pytest.raises(ZeroDivisionError):
        train(toy_model(), toy_data(), options, record=lambda: {"x": 1 / 0})
    with pytest.raises(ValueError, match="another training; they differ in batch_size"):
        train(toy_model(), toy_data(), toy_options(iterations=1, batch_size=7, checkpoint_dir=tmp_path))
    (data,) = tmp_path.glob("variables-*.data*")
    data.write_bytes(data.read_bytes()[:-1])
    model = toy_model()
    before = parameters(model)
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))}.* holds a damaged {re.escape(data.name)}"):
        train(model, toy_data(), options)
    assert all((value == before[name]).all() for name, value in parameters(model).items())
    with locked(tmp_path):
        pass


# The lock's own module is all that the other process needs: no TensorFlow, which takes seconds to import.
HOLDER = """
import importlib.util, os, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("folder_lock", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
with module.locked(Path(sys.argv[2])):
    if os.fork() == 0:  # a child that outlives its killed parent, as a pool's worker does
        print(os.getpid(), flush=True)
        time.sleep(600)
    time.sleep(600)
"""


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    options = toy_options(iterations=1, checkpoint_dir=tmp_path)
    command = [sys.executable, "-c", HOLDER, folder_lock.__file__, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))}.* is in use by another training"):
                train(toy_model(), toy_data(), options)
            assert not (tmp_path / "state.json").exists()
            process.kill()
            process.wait()
            os.kill(child, 0)  # it lives
            with locked(tmp_path):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_folders_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has none is said; a folder that cannot be written to needs none."""

    def flock(*_: object) -> None:
        raise OSError(37, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(folder_lock.fcntl, "flock", flock)
        with (
            pytest.warns(RuntimeWarning, match="is on a file system without locks .* no two trainings"),
            locked(tmp_path),
        ):
            pass

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(folder_lock.os, "open", refuse)
        with locked(tmp_path):
            assert folder_lock._held == set()
