"""What the Makefile's stages print, and what make would run: one compilation for ``make demo`` and ``make test``."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import stage

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stage, "LOGS", tmp_path / "logs")
    monkeypatch.delenv("VERBOSE", raising=False)
    return tmp_path / "logs"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_stage_is_one_line(logs: Path, capfd: pytest.CaptureFixture) -> None:
    assert stage.main(["A stage, the 1st", *python("print('much'); import os; os.write(2, b'noise')")]) == 0
    assert re.fullmatch(r"A stage, the 1st \.\.\. \d+ s\n", capfd.readouterr().out)
    assert (logs / "a-stage-the-1st.log").read_text() in ("much\nnoise", "noisemuch\n")


def test_lines_for_whoever_builds_are_shown(capfd: pytest.CaptureFixture) -> None:
    assert stage.main(["building", *python("print('other'); print('sigkernel_tf: for the CPU only')")]) == 0
    assert re.fullmatch(r"building \.\.\. \d+ s\n  sigkernel_tf: for the CPU only\n", capfd.readouterr().out)


def test_a_failure_shows_and_names_the_log(logs: Path, capfd: pytest.CaptureFixture) -> None:
    assert stage.main(["building", *python("print('what went wrong'); raise SystemExit(3)")]) == 3
    printed = capfd.readouterr().out
    assert re.match(r"building \.\.\. FAILED after \d+ s\nwhat went wrong\n", printed)
    assert str(logs / "building.log") in printed


def test_stages_side_by_side(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """Each waits for a file of the other's, so that neither would end if they did not run at once."""
    code = "import pathlib, sys, time; here, there = map(pathlib.Path, sys.argv[1:]); here.touch()\n"
    code += "while not there.exists(): time.sleep(0.01)"
    files = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert stage.main(["one", *python(code), *files, "--and", "two", *python(code), *files[::-1]]) == 0
    assert sorted(re.sub(r"\d+", "N", line) for line in capfd.readouterr().out.splitlines()) == [
        "one ... N s",
        "two ... N s",
    ]


def test_one_of_two_that_fails_fails_both(capfd: pytest.CaptureFixture) -> None:
    assert stage.main(["good", *python("pass"), "--and", "bad", *python("raise SystemExit(4)")]) == 4
    assert "bad ... FAILED" in capfd.readouterr().out


def test_everything_is_shown_on_request(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("VERBOSE", "1")
    assert stage.main(["building", *python("print('much')")]) == 0
    printed = capfd.readouterr().out
    assert "\nmuch\n" in printed
    assert re.search(r"\nbuilding \.\.\. \d+ s\n$", printed)


def test_a_stage_without_a_command_is_refused(capfd: pytest.CaptureFixture) -> None:
    assert stage.main(["building", "--and", "more", "true"]) == 2
    assert "TITLE COMMAND" in capfd.readouterr().err


def run_make(venv: Path, *goals: str, **environment: str) -> subprocess.CompletedProcess:
    if shutil.which("make") is None:
        pytest.skip("needs make")
    ours = ("MAKEFLAGS", "MFLAGS", "PYTHON")
    clean = {k: v for k, v in os.environ.items() if k not in ours and "SIGKERNEL_TF_CUDA" not in k}
    return subprocess.run(
        ["make", "-n", *goals, f"VENV={venv}"], cwd=ROOT, env=clean | environment, capture_output=True, text=True
    )


def make(venv: Path, *goals: str, **environment: str) -> str:
    """What make would run; ``venv`` stands for an environment in which the files that are there are done."""
    found = run_make(venv, *goals, **environment)
    found.check_returncode()
    return found.stdout


def done(venv: Path, *names: str) -> None:
    for name in names:
        (venv / name).touch()


def test_demo_and_test_compile_once(tmp_path: Path) -> None:
    said = make(tmp_path, "demo", "test")
    assert said.count("--editable") == 1
    assert said.index("--editable") < said.index("experiments run") < said.index("-m pytest")


def test_after_the_demo_the_tests_compile_nothing(tmp_path: Path) -> None:
    done(
        tmp_path, "tools", "requirements-experiments.txt", "requirements-build.txt", "requirements-experiments", "built"
    )
    said = make(tmp_path, "test")
    assert "--editable" not in said
    assert "cmake_build.py" not in said
    assert said.count("pip") == 1  # what the tests need beside
    done(tmp_path, "requirements-test.txt", "requirements-test")
    assert "stage.py" not in make(tmp_path, "demo", "test")


def test_another_choice_of_cuda_is_another_build(tmp_path: Path) -> None:
    done(tmp_path, "tools", "requirements-test.txt", "requirements-build.txt", "requirements-test", "built")
    assert "--editable" not in make(tmp_path, "test")
    assert "--editable" in make(tmp_path, "test", SIGKERNEL_TF_CUDA="1")
    assert "--editable" in make(tmp_path, "test", SIGKERNEL_TF_CUDA_ARCHS="80,90")


def test_another_python_than_the_environments_is_refused(tmp_path: Path) -> None:
    """The environment keeps its own, so the one that was asked for would be ignored without a word."""
    done(tmp_path, "tools", "requirements-test.txt", "requirements-build.txt", "requirements-test", "built")
    (tmp_path / "bin").mkdir()
    other = tmp_path / "bin" / "python"
    other.write_text("#!/bin/sh\necho 3.8\n")
    other.chmod(0o755)
    refused = run_make(tmp_path, "test", f"PYTHON={sys.executable}")
    assert refused.returncode != 0
    own = "{}.{}".format(*sys.version_info[:2])
    assert re.search(rf"has Python 3\.8, but PYTHON=.* is {own}: .*make clean.*VENV=", refused.stderr)
    for goals in (["test"], ["clean", f"PYTHON={sys.executable}"], ["test", f"PYTHON={other}"]):
        make(tmp_path, *goals)


def test_each_tier_of_tests_takes_its_own(tmp_path: Path) -> None:
    tiers = {goal: re.search(r'-m "(.*)"', make(tmp_path, goal)) for goal in ("test", "test-ci", "test-slow")}
    assert {goal: found[1] for goal, found in tiers.items() if found} == {
        "test": "not slow and not backends",
        "test-ci": "(ci or not slow) and not backends",
        "test-slow": "slow and not backends",
    }
