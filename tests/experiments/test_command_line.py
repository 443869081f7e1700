"""``python -m experiments``, end to end on tiny runs."""

import json
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from experiments import protocol
from experiments.__main__ import _parser, main
from experiments.datasets import DESCRIPTIONS, load
from experiments.protocol import Protocol, build_model

ROOT = Path(__file__).resolve().parents[2]


def died_in_phase_2(command: list[str]) -> None:
    """Run a command in a process that dies after it has saved its third checkpoint."""
    script = f"""
        import os, sys
        sys.path.insert(0, {str(ROOT)!r})
        from experiments.__main__ import main
        from sigkernel_tf.gp.training.checkpoints import Checkpoints
        save, saved = Checkpoints.save, 0
        def save_and_die(self, state):
            global saved
            save(self, state)
            saved += 1
            if saved == 3:
                os._exit(9)
        Checkpoints.save = save_and_die
        main({command!r})
    """
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert died.returncode == 9, died.stderr


@pytest.mark.slow
@pytest.mark.ci
def test_japanese_vowels_by_default_whole_and_killed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A run is printed, written and drawn; one that was killed in phase 2 ends with the same result."""
    command = ["run", "--iterations", "2", "--batch-size", "10", "--seeds", "1", "--num-inducing", "3", "--out"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    died_in_phase_2([*command, str(killed)])
    assert not list(killed.glob("*/result.json"))
    assert main([*command, str(killed)]) == 0
    capsys.readouterr()
    assert main([*command, str(whole)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"test accuracy [01]\.\d{4}", lines[-1])
    assert any(line.startswith("SigGPDE, this run (1 seed)") for line in lines)
    (file,) = whole.glob("*/result.json")
    result = json.loads(file.read_text())
    assert f"test accuracy {result['summary']['accuracy']['mean']:.4f}" == lines[-1]
    assert result["options"]["num_inducing"] == 3
    assert result["options"]["batch_size"] == 10
    (seed,) = result["seeds"]
    assert [point["iteration"] for point in seed["history"]] == [1, 2, 3, 4, 5, 6]
    assert seed["accuracy"] == seed["history"][-1]["recorded"]["test_accuracy"]
    assert len(seed["lengthscales"]) == 13
    (resumed,) = json.loads(next(killed.glob("*/result.json")).read_text())["seeds"]
    for name in ("accuracy", "nlpp", "lengthscales", "history", "best_iteration"):
        assert resumed[name] == seed[name]
    assert main(["figure", str(file), "--out", str(tmp_path / "accuracy.png")]) == 0
    assert (tmp_path / "accuracy.png").stat().st_size > 0


def test_pendigits_beside_the_paper(
    tmp_path: Path,
    pendigits_stand_in: dict[str, np.ndarray],
    trained: list[tuple[str, int, int]],
    capsys: pytest.CaptureFixture,
) -> None:
    assert main(["run", "pendigits", "--seeds", "2", "--num-inducing", "4", "--out", str(tmp_path)]) == 0
    assert trained == [("siggpde", 4, 0), ("siggpde", 4, 1)]
    printed = capsys.readouterr().out
    assert re.search(r"SigGPDE, this run \(2 seeds\) +55.00 ± 7.07 +1.000 ± 0.000 +-", printed)
    for row in (r"GPSig-IS, the paper's +97.42 ± 0.17 +0.096 ± 0.005 +0.186", r"GPSig-IT, the paper's +96.66 ± 0.59"):
        assert re.search(row, printed)
    assert re.search(r"SigGPDE, the paper's +97.73 ± 0.13 +0.085 ± 0.001 +0.022", printed)
    assert "PenDigits.npz" in printed


def test_seeds_go_on_where_they_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    started = []

    def run_seed(dataset: object, options: Protocol, seed: int, folder: Path, progress: bool) -> dict:
        started.append(seed)
        if started == [0, 1]:
            raise KeyboardInterrupt("training stopped after 7 of 9 iterations")
        return {"seed": seed, "accuracy": 0.5 + 0.1 * seed, "nlpp": 1.0, "seconds_per_iteration": None, "history": []}

    monkeypatch.setattr(protocol, "_run_seed", run_seed)
    command = ["run", "--iterations", "3", "--out", str(tmp_path)]
    assert main(command) == 130
    assert "stopped after 7 of 9 iterations\nGive the same command again to go on" in capsys.readouterr().err
    assert main(command) == 0
    assert started == [0, 1, 1, 2]
    printed = capsys.readouterr().out
    assert "1 of 3 seeds are finished already" in printed
    assert printed.endswith("test accuracy 0.6000\n")
    assert main([*command, "--seeds", "2"]) == 0
    assert started == [0, 1, 1, 2]
    assert capsys.readouterr().out.endswith("test accuracy 0.5500\n")


def test_a_sweep_can_be_listed_as_commands(capsys: pytest.CaptureFixture) -> None:
    """One for each number, model and seed, each of which this command line understands."""
    command = "sweep crop --model gpsig-it,siggpde --num-inducing 100,50 --seeds 2 --iterations 7 --learning-rate 0.01"
    assert main([*command.split(), "--out", "a folder", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    given = "--iterations 7 --learning-rate 0.01 --out 'a folder'"
    assert lines == [
        f"python -m experiments run crop --model {model} --fit nadam --num-inducing {size} --seed {seed} {given}"
        for size in (50, 100)
        for model in ("siggpde", "gpsig-it")
        for seed in (0, 1)
    ]
    parsed = _parser().parse_args(shlex.split(lines[-1])[3:])
    assert (parsed.model, parsed.num_inducing, parsed.seed, parsed.out) == (["gpsig-it"], 100, 1, Path("a folder"))


def test_model_of_the_paper() -> None:
    dataset = load("japanese_vowels")
    model = build_model(dataset, Protocol(num_inducing=14, iterations=1, batch_size=5, lengthscale=3.0))
    assert model.kernel.lengthscales.numpy().tolist() == pytest.approx(13 * [3.0])
    assert not model.kernel.variance.trainable
    assert model.q_mu.shape == (14, 9)
    assert [p.shape.as_list() for p in model.trainable_parameters if p is model.kernel.lengthscales] == [[13]]


def test_list_and_help_need_no_tensorflow() -> None:
    script = "import sys; from experiments.__main__ import main; main(['list']); assert 'tensorflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in DESCRIPTIONS:
        assert f"{name}\n" in done.stdout
    assert done.stdout.count("STAND-IN") == 2
    assert "--num-inducing 500 --iterations 5000 --batch-size 50" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "corn"], r"invalid choice: 'corn' \(choose from '?japanese_vowels'?, '?pendigits'?, .*'?weather'?\)"),
        (
            ["run", "--model", "gp"],
            "argument --model: must be all, or some of siggpde, gpsig-it, gpsig-is, lifted, got 'gp'",
        ),
        (["run", "--lengthscale", "0"], "argument --lengthscale: must be a positive number, got '0'"),
        (["sweep", "crop"], "required: --num-inducing"),
        (["sweep", "crop", "--num-inducing", "5,x"], "must be a whole number of at least 1, got 'x'"),
        (["run", "--iterations", "0"], "argument --iterations: must be a whole number of at least 1, got '0'"),
        (
            ["run", "--num-inducing", "many"],
            "argument --num-inducing: must be a whole number of at least 1, got 'many'",
        ),
        (["run", "--batch-size", "-3"], "argument --batch-size: must be a whole number of at least 1, got '-3'"),
        (["run", "--seeds", "1.5"], "argument --seeds: must be a whole number"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_bad_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_errors_are_one_line(
    tmp_path: Path, server: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert main(["run", "--batch-size", "217", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: batch_size must be at most 216")
    assert main(["figure", str(tmp_path / "nothing.json")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    monkeypatch.setenv("SIGKERNEL_TF_DATA", str(tmp_path))
    assert main(["run", "pendigits"]) == 1
    assert "error: PenDigits was not found" in capsys.readouterr().err
