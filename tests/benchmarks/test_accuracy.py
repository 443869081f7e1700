"""`python -m benchmarks.accuracy` as a whole, on the smallest data set: runs, resuming, failures and tables."""

import sys
from pathlib import Path

import pytest

from benchmarks.accuracy import __main__ as command_line
from benchmarks.accuracy import runs, tables
from benchmarks.accuracy.datasets import SOURCES
from sigkernel_tf.gp.data.checked_files import read_json, write_json

OURS = "SignatureGP:max_length=12:max_iterations=3:preprocessing=null"


def run(out: Path, *arguments: str) -> int:
    return command_line.main(["--out", str(out), *arguments])


@pytest.mark.slow
@pytest.mark.ci
def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ("--datasets", "UnitTest,Tecator", "--splits", "0")
    assert run(tmp_path, *chosen, "--methods", "Frequencies") == 0
    file = tmp_path / "UnitTest" / "Frequencies" / "split-0.json"
    first = file.stat().st_mtime_ns
    assert read_json(file)["scores"]["accuracy"] == pytest.approx(12 / 22)
    assert "UnitTest, Frequencies, split 0: accuracy 0.5455" in capsys.readouterr().out
    assert run(tmp_path, *chosen, "--methods", f"Frequencies,{OURS}") == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":max")[0] for line in said] == ["UnitTest, SignatureGP", "Tecator, SignatureGP"]
    assert file.stat().st_mtime_ns == first
    ours = read_json(tmp_path / "UnitTest" / OURS / "split-0.json")
    assert ours["scores"]["accuracy"] > 0.6
    assert ours["measured"]["file_mb"] > 0
    assert ours["measured"]["peak_memory_mb"] > ours["measured"]["memory_before_mb"] > 100
    assert not list(tmp_path.rglob("*.claim"))
    check_tables(tmp_path, capsys)


def check_tables(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["tables", "--out", str(out), "--picture", str(out / "ranks.png")]) == 0
    text = capsys.readouterr().out
    assert "| UnitTest | 20 | 22 | 24 | 1 | 2 | 0 |" in text
    assert f"| data set | {OURS} | Frequencies |" in text
    assert "| mean rank on 1 | 1.00 | 2.00 |" in text
    assert "### Regression" in text
    assert (out / "ranks.png").stat().st_size > 0
    assert (out / "ranks-nlpp.png").stat().st_size > 0
    assert command_line.main(["tables", "--out", str(out), "--datasets", "Tecator", "--methods", "Frequencies"]) == 0
    assert "| data set | Frequencies |" in capsys.readouterr().out


def test_a_failure_has_its_reason_and_is_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--datasets", "UnitTest", "--splits", "0", "--methods", "Frequencies,Frequencies:no_such=1")
    assert run(tmp_path, *arguments) == 0
    assert "FAILED, TypeError" in capsys.readouterr().out
    assert run(tmp_path, *arguments) == 0
    assert capsys.readouterr().out.count("FAILED") == 1
    assert command_line.main(["tables", "--out", str(tmp_path)]) == 0
    assert "- Frequencies:no_such=1 has no result (TypeError" in capsys.readouterr().out
    assert run(tmp_path, "--datasets", "UnitTest", "--splits", "1", "--methods", "Frequencies", "--limit", "0.01") == 0
    assert "took more than 0 s" in capsys.readouterr().out


def test_a_package_that_is_missing_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without scikit-learn, as far as the peers can see."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    arguments = ("--datasets", "UnitTest", "--splits", "0", "--methods", "SVM", "--environment", str(tmp_path))
    assert run(tmp_path / "out", *arguments) == 0
    failed = read_json(tmp_path / "out" / "UnitTest" / "SVM" / "split-0.json")["failed"]
    assert "No module named" in failed


def test_what_another_process_is_at_is_left_to_it(tmp_path: Path) -> None:
    arguments = ("--datasets", "UnitTest", "--splits", "0", "--methods", "Frequencies")
    file = runs.result_file(tmp_path, SOURCES["UnitTest"], runs.method_named("Frequencies"), 0, halves=False)
    with runs.claimed(file) as free:
        assert free
        assert run(tmp_path, *arguments) == 0
        assert not file.exists()
    assert run(tmp_path, *arguments) == 0
    assert file.exists()


def test_halves_are_kept_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--datasets", "UnitTest", "--splits", "0", "--methods", "Frequencies", "--development")
    assert run(tmp_path, *arguments) == 0
    assert [file.name for file in tmp_path.rglob("*.json")] == ["half-0.json"]
    assert command_line.main(["tables", "--out", str(tmp_path), "--development"]) == 0
    assert "HALVES OF THE TRAINING SETS" in capsys.readouterr().out
    assert command_line.main(["tables", "--out", str(tmp_path)]) == 1
    assert "holds no results" in capsys.readouterr().err


def made_up(out: Path, dataset: str, method: str, split: int, accuracy: float | None) -> None:
    """A file of results; None for a failure."""
    result = {
        "dataset": dataset, "task": "classification", "method": method, "split": split, "training_series": 4,
        "test_series": 4, "longest": 5, "channels": 1, "classes": 2, "halves": False,
        "environment": {"machine": {"cores": 2, "cpu": "a CPU"}, "git": {"revision": "0123456789"}},
    }  # fmt: skip
    if accuracy is None:
        result["failed"] = "took more than 5 s"
    else:
        result["scores"] = {"accuracy": accuracy, "nlpp": 1.0 - accuracy, "calibration_error": None}
        result["measured"] = {"fit_seconds": 12.3, "predict_seconds": 0.5, "calibration_seconds": 2.0}
    file = out / dataset / method / f"split-{split}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, result)


def test_tables_compare_splits_that_all_methods_have(tmp_path: Path) -> None:
    for split, accuracy in enumerate((0.5, 0.7, 0.9)):
        made_up(tmp_path, "A", "SVM", split, accuracy)
    for split in (0, 1):
        made_up(tmp_path, "A", "DTW", split, 0.65)
        made_up(tmp_path, "B", "SVM", split, 0.8)
    made_up(tmp_path, "B", "DTW", 0, None)
    made_up(tmp_path, "C", "SVM", 0, 0.9)  # where DTW was not tried: not ranked
    text = tables.write(tmp_path)
    assert "| A | **0.650 ± 0.000** | 0.600 ± 0.100 |" in text
    assert "| B | - | **0.800 ± 0.000** |" in text
    assert "| mean rank on 2 | 1.50 | 1.50 |" in text
    assert "- DTW has no result (took more than 5 s): B 0" in text
    assert "| A | 12 + 2 | 12 + 2 |" in text
    assert "Measured on 2 cores of a CPU; code of 0123456." in text


def test_wrong_arguments_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--datasets", "UnitTest,Nonsense") == 1
    assert "--datasets must name some of" in capsys.readouterr().err
    assert run(tmp_path, "--methods", "Nonsense") == 1
    assert "--methods must name some of" in capsys.readouterr().err
    assert command_line.main(["list"]) == 0
    assert "UnitTest: " in capsys.readouterr().out
