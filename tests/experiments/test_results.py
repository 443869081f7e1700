"""Results: figures over seeds, the file, the table and the picture."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.datasets import Dataset, Defaults, Description, PaperScore
from experiments.figures import accuracy_against_iterations
from experiments.measures import summary
from experiments.results import Results
from experiments.tables import table

PAPER = PaperScore("SigGPDE", accuracy=(0.9773, 0.0013), nlpp=(0.085, 0.001), seconds_per_iteration=0.022)


OPTIONS = {"model": "SigGPDE", "num_inducing": 3, "iterations": 4}


def toy_dataset(value: float = 0.0) -> Dataset:
    description = Description("toy", "a toy", "none", Defaults(3, 4, 5, 1.0), (PAPER,))
    X = [np.full((2, 1), value), np.ones((3, 1))]
    return Dataset(description, X, np.array([0, 1]), X, np.array([1, 0]), source="nowhere")


def scores(seed: int, accuracy: float, nlpp: float, seconds: float | None) -> dict:
    history = [
        {
            "iteration": iteration,
            "phase": phase,
            "elbo": -1.0,
            "validation_nlpp": 0.5 if phase < 3 else None,
            "recorded": {"test_accuracy": accuracy, "test_nlpp": nlpp},
        }
        for iteration, phase in ((4, 1), (8, 2), (12, 3))
    ]
    measures = {"accuracy": accuracy, "nlpp": nlpp, "seconds_per_iteration": seconds}
    return {"seed": seed, **measures, "lengthscales": [1.0], "best_iteration": 8, "history": history}


def test_summary_has_the_sample_deviation() -> None:
    found = summary([scores(0, 0.9, 0.1, 0.02), scores(1, 0.8, 0.3, 0.02)])
    assert found["accuracy"] == pytest.approx({"mean": 0.85, "deviation": 0.1 / np.sqrt(2)})
    assert found["nlpp"] == pytest.approx({"mean": 0.2, "deviation": 0.2 / np.sqrt(2)})
    assert summary([scores(0, 0.9, 0.1, None)])["accuracy"] == {"mean": 0.9, "deviation": None}
    assert summary([scores(0, 0.9, 0.1, None)])["seconds_per_iteration"] == {"mean": None, "deviation": None}


def test_table_stands_beside_the_papers() -> None:
    lines = table([scores(0, 0.975, 0.09, 0.05), scores(1, 0.973, 0.1, 0.06)], [PAPER]).splitlines()
    assert "SigGPDE, this run (2 seeds)" in lines[1]
    assert "97.40 ± 0.14" in lines[1]
    assert "0.095 ± 0.007" in lines[1]
    assert "0.0550 ± 0.0071" in lines[1]
    assert "SigGPDE, the paper's" in lines[2]
    assert "97.73 ± 0.13" in lines[2]
    assert "0.085 ± 0.001" in lines[2]
    assert "0.0220" in lines[2]
    assert "P100" in lines[3]


def test_table_without_the_paper_and_without_times() -> None:
    lines = table([scores(0, 0.5, 1.0, None)], []).splitlines()
    assert len(lines) == 2
    assert lines[1].split() == ["SigGPDE,", "this", "run", "(1", "seed)", "50.00", "1.000", "-"]


def test_file_holds_what_it_takes_to_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.orig_argv", ["python", "experiments/__main__.py", "run", "toy"])
    results = Results(tmp_path / "toy", toy_dataset(), OPTIONS)
    results.add(scores(1, 0.9, 0.1, 0.02))
    results.add(scores(0, 0.8, 0.2, 0.02))
    content = json.loads(results.file.read_text())
    assert [seed["seed"] for seed in content["seeds"]] == [0, 1]
    assert content["summary"]["accuracy"]["mean"] == pytest.approx(0.85)
    assert content["options"] == OPTIONS
    assert content["dataset"]["source"] == "nowhere"
    assert len(content["dataset"]["sha256"]) == 64
    assert content["paper"][0]["accuracy"] == [0.9773, 0.0013]
    environment = content["seeds"][0]["environment"]
    assert environment["command"].endswith("run toy")
    assert environment["packages"]["gpflow"].startswith("2.")
    assert environment["machine"]["cores"] >= 1
    assert set(environment["git"]) == {"revision", "changed_files"}


def test_finished_seeds_are_read_again(tmp_path: Path) -> None:
    Results(tmp_path, toy_dataset(), OPTIONS).add(scores(1, 0.9, 0.1, 0.02))
    again = Results(tmp_path, toy_dataset(), OPTIONS)
    assert again.seeds[1]["accuracy"] == 0.9


def test_results_of_other_data_or_options_are_refused(tmp_path: Path) -> None:
    Results(tmp_path, toy_dataset(), OPTIONS).add(scores(0, 0.9, 0.1, 0.02))
    with pytest.raises(ValueError, match="holds results of another dataset: .* Choose another folder with --out"):
        Results(tmp_path, toy_dataset(value=1.0), OPTIONS)
    with pytest.raises(ValueError, match="holds results of another options"):
        Results(tmp_path, toy_dataset(), {**OPTIONS, "iterations": 5})


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"dataset"')
    with pytest.raises(ValueError, match=r"result.json is damaged .* delete it"):
        Results(tmp_path, toy_dataset(), OPTIONS)


def test_table_of_another_model_and_of_a_stand_in() -> None:
    seeds = [{**scores(0, 0.5, 1.0, None), "roc_auc": 0.75}]
    text = table(seeds, [], model="GPSig-IT", stands_in_for="whales")
    assert "area under ROC" in text
    assert "GPSig-IT, this run (1 seed, STAND-IN for whales)" in text
    assert "0.750" in text


def test_picture_is_drawn(tmp_path: Path) -> None:
    results = Results(tmp_path, toy_dataset(), OPTIONS)
    for seed in range(2):
        results.add(scores(seed, 0.9, 0.1, 0.02))
    accuracy_against_iterations(results.file, tmp_path / "picture.svg")
    drawn = (tmp_path / "picture.svg").read_text()
    assert "<svg" in drawn
    accuracy_against_iterations(results.file, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("content", ["not json", "{}", "[]"])
def test_picture_of_something_else(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(ValueError, match=r"other.json must be a result of `python -m experiments run`"):
        accuracy_against_iterations(tmp_path / "other.json", tmp_path / "picture.png")
