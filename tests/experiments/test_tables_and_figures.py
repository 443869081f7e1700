"""Tables and pictures from fixed results."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments import figures
from experiments.figures import draw_all, relevant_words
from experiments.results import read_results
from experiments.scores import binary_scores
from experiments.tables import tables

MACHINE = {"cores": 2, "cpu": "Some CPU", "gpus": []}


def environment(command: str, machine: dict[str, Any] = MACHINE) -> dict[str, Any]:
    return {"command": command, "machine": machine, "packages": {"tensorflow": "2.21.0"}}


def seed(number: int, accuracy: float, seconds: float, command: str, **more: Any) -> dict[str, Any]:
    history = [{"iteration": 3, "phase": 3, "elbo": -100.0 * accuracy, "validation_nlpp": None, "recorded": {}}]
    scores = {"accuracy": accuracy, "nlpp": 0.25, "seconds_per_iteration": seconds, "wall_seconds": 90.0}
    scores["peak_memory_gb"] = 1.0 + number
    return {"seed": number, **scores, "history": history, "environment": environment(command), **more}


def write(
    folder: Path, dataset: str, model: str, num_inducing: int, seeds: list[dict[str, Any]], *, channels: int = 3,
    stands_in_for: str | None = None,
) -> Path:  # fmt: skip
    result = {
        "dataset": {
            "name": dataset, "training_series": 70, "test_series": 30, "channels": channels, "classes": 10,
            "source": "/somewhere", "stands_in_for": stands_in_for,
        },
        "options": {"model": model, "num_inducing": num_inducing, "iterations": 500, "batch_size": 50},
        "seeds": seeds,
    }  # fmt: skip
    place = folder / f"{dataset}-{model}-{num_inducing}"
    place.mkdir(parents=True)
    (place / "result.json").write_text(json.dumps(result))
    return place


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """PenDigits by two models, and a stand-in at two sizes."""
    write(tmp_path, "pendigits", "SigGPDE", 500, [seed(i, 0.97 + 0.01 * i, 0.02, "python -m a") for i in range(3)])
    write(tmp_path, "pendigits", "GPSig-IT", 500, [seed(0, 0.96, 0.08, "python -m b")])
    for size in (100, 50):
        calls = [seed(0, size / 200, 0.1, "python -m c")]
        write(tmp_path, "satellite_stand_in", "SigGPDE", size, calls, stands_in_for="satellite")
    return tmp_path


def rows(text: str) -> list[list[str]]:
    return [[part.strip() for part in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_table_beside_the_paper(results: Path) -> None:
    text = tables(results)
    (heads, _, ours, theirs, not_run) = rows(text[: text.index("### satellite")])
    assert heads[:7] == ["model", "M", "steps", "seeds", "accuracy, %", "NLPP", "seconds per iteration"]
    assert heads[7:] == ["paper: accuracy, %", "paper: NLPP", "paper: seconds per iteration"]
    assert ours == [
        "SigGPDE", "500", "3 × 500", "3", "98.00 ± 1.00", "0.250 ± 0.000", "0.0200 ± 0.0000", "97.73 ± 0.13",
        "0.085 ± 0.001", "0.0220",
    ]  # fmt: skip
    assert theirs == [
        "GPSig-IT", "500", "3 × 500", "1", "96.00", "0.250", "0.0800", "96.66 ± 0.59", "0.115 ± 0.018", "0.0360"
    ]  # fmt: skip
    assert not_run[:2] == ["GPSig-IS", "not run"]
    assert not_run[7:] == ["97.42 ± 0.17", "0.096 ± 0.005", "0.1860"]
    assert "Hardware: 2 cores of Some CPU, TensorFlow 2.21.0." in text
    assert "- `python -m a`: 4.5 minutes" in text
    assert "Peak memory of a process: 3.00 GB." in text
    assert "- `python -m b`: 1.5 minutes" in text


def test_cpu_seconds_of_fits(tmp_path: Path) -> None:
    """They have a column where they were measured, and steps are drawn at their share of them."""
    steps = seed(0, 0.9, 0.1, "python -m a", cpu_seconds=40.0)
    steps["history"] = [
        {"iteration": at, "phase": 1, "elbo": -1.0, "validation_nlpp": None, "recorded": {"test_nlpp": nlpp}}
        for at, nlpp in ((2, 0.5), (8, 0.25))
    ]
    write(tmp_path, "crop", "SigGPDE", 50, [steps])
    write(tmp_path, "crop", "GPSig-IT", 50, [seed(0, 0.9, 0.1, "python -m b", cpu_seconds=7.25)])
    heads, _, *lines = rows(tables(tmp_path))
    assert [line[heads.index("CPU seconds of the fit")] for line in lines] == ["40", "7"]
    (axes,) = figures.time_to_accuracy(read_results(tmp_path)).axes
    line, point = axes.lines
    assert [list(line.get_xdata()), list(line.get_ydata())] == [[10.0, 40.0], [0.5, 0.25]]
    assert [point.get_xdata()[0], point.get_ydata()[0]] == [7.25, 0.25]


def test_a_stand_in_says_so(results: Path) -> None:
    text = tables(results)
    section = text[text.index("### satellite") :]
    assert "### satellite_stand_in: STAND-IN for satellite" in section
    assert "say nothing about satellite" in section
    assert "paper" not in section
    assert [row[1] for row in rows(section)[2:]] == ["50", "100"]
    assert rows(section)[0][6:] == ["ELBO, nats", "seconds per iteration"]  # of a sweep, figure 3's three measures
    assert [row[4:] for row in rows(section)[2:]] == [
        ["25.00", "0.250", "-25", "0.1000"], ["50.00", "0.250", "-50", "0.1000"]
    ]  # fmt: skip


def test_times_of_one_run_and_their_ratios(results: Path) -> None:
    timing = {
        "dataset": "pendigits", "num_inducing": 500, "batch_size": 50, "rounds": 3,
        "seconds_per_iteration": {"SigGPDE": 0.02, "GPSig-IT": 0.05, "GPSig-IS": 0.2, "GPSig-IS, by sums": 0.3},
        "environment": environment("python -m t", {**MACHINE, "gpus": ["H100"]}),
    }  # fmt: skip
    (results / "time-pendigits-M500-B50.json").write_text(json.dumps(timing))
    text = tables(results)
    assert [row for row in rows(text) if row[0] in ("M", "500", "the paper's")] == [
        ["M", "SigGPDE", "GPSig-IT", "GPSig-IS", "GPSig-IS, by sums"],
        ["500", "0.0200", "0.0500 (2.5)", "0.2000 (10.0)", "0.3000 (15.0)"],
        ["the paper's", "(1.0)", "(1.6)", "(8.5)", "(8.5)"],
    ]
    assert rows(text)[2][6] == "0.0200"  # and not the runs' own, the other models of which ran at other times
    assert rows(text)[3][6] == "0.0500"
    assert "Some CPU, H100" in text
    (results / "time-pendigits-M500-B50.json").write_text("{}")
    with pytest.raises(ValueError, match="time-pendigits-M500-B50.json must be a result of"):
        tables(results)


def test_times_by_the_number_of_inducing_variables(results: Path) -> None:
    for size, seconds in ((50, {"SigGPDE": 0.02, "GPSig-IT": 0.01}), (100, {"SigGPDE": 0.04})):
        timing = {
            "dataset": "satellite_stand_in", "num_inducing": size, "batch_size": 200, "rounds": 3,
            "seconds_per_iteration": seconds, "environment": environment("python -m t"),
        }  # fmt: skip
        (results / f"time-satellite_stand_in-M{size}-B200.json").write_text(json.dumps(timing))
    text = tables(results)
    assert rows(text)[-4:] == [
        ["M", "SigGPDE", "GPSig-IT"], ["---"] * 3, ["50", "0.0200", "0.0100 (0.5)"], ["100", "0.0400", "-"]
    ]  # fmt: skip
    assert text.count("`python -m t`") == 1


def test_calibration_and_words_of_two_classes(tmp_path: Path) -> None:
    words = [
        {"word": [0, 1], "name": "rain → wind", "process": 0, "coefficient": 1.5, "spread": 1.0},
        {"word": [1], "name": "wind", "process": 0, "coefficient": -0.5, "spread": 1.0},
    ]
    first = seed(0, 0.8, 0.1, "python -m w", relevant_words=words, roc_auc=0.75,
                 calibration={"predicted": [0.125, 0.75], "observed": [0.25, 1.0]})  # fmt: skip
    place = write(tmp_path, "weather", "SigGPDE", 30, [first, seed(1, 0.8, 0.1, "python -m w", roc_auc=0.85)])
    result = json.loads((place / "result.json").read_text())
    result["dataset"]["classes"] = 2
    (place / "result.json").write_text(json.dumps(result))
    text = tables(tmp_path)
    assert "Calibration of SigGPDE (M = 30, seed 0): predicted probabilities of class 1" in text
    found = rows(text)
    assert found[0][4:7] == ["accuracy, %", "NLPP", "area under ROC"]
    assert found[-3:] == [["predicted", "0.12", "0.75"], ["---"] * 3, ["observed", "0.25", "1.00"]]
    assert "raises the probability of class 1: rain → wind (+), wind (−)." in text


def test_several_machines_are_told(results: Path) -> None:
    other = seed(0, 0.9, 0.3, "python -m d") | {"environment": environment("python -m d", {**MACHINE, "cores": 64})}
    write(results, "pendigits", "GPSig-IS", 500, [other])
    assert "Hardware (several machines: compare times with care)" in tables(results)


@pytest.mark.parametrize("content", ["not json", "{}", '{"dataset": {"name": "a"}, "options": {"model": "SVM"}}'])
def test_damaged_results_are_named(results: Path, content: str) -> None:
    (results / "pendigits-SigGPDE-500" / "result.json").write_text(content)
    with pytest.raises(ValueError, match="pendigits-SigGPDE-500/result.json must be a result"):
        tables(results)


def test_no_results(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no result.json: run `python -m experiments run DATASET"):
        read_results(tmp_path)


def test_pictures_of_a_sweep_and_of_two_classes(results: Path, rng: np.random.Generator) -> None:
    y, probability = np.arange(60) % 2, rng.random(60)
    mean = rng.normal(size=60)
    word = {"word": [3, 1], "name": "humidity → pressure", "process": 0, "coefficient": -2.0, "spread": 0.5}
    place = write(
        results,
        "weather",
        "SigGPDE",
        30,
        [seed(0, 0.7, 0.1, "python -m w", relevant_words=[word], **binary_scores(y, probability))],
        channels=8,
    )
    (place / "seed-0").mkdir()
    np.savez(
        place / "seed-0" / "test.npz", y=y, probability=probability, posterior_mean=mean,
        example=rng.normal(size=(36, 8)), amount=rng.exponential(size=60),
    )  # fmt: skip
    out = results / "pictures"
    drawn = {file.name for file in draw_all(results, out)}
    stems = [
        "satellite_stand_in-against-M",
        *(f"{place.name}-{what}" for what in ("predictions", "calibration", "words")),
    ]
    assert drawn == {stem + ending for stem in stems for ending in (".png", ".pdf")}
    for name in drawn:
        assert (out / name).read_bytes()[:4] in (b"\x89PNG", b"%PDF")


def test_a_picture_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is interrupted leaves the old one, and no other file."""
    file = tmp_path / "a.png"
    figures._draw(Figure(), file)
    old = file.read_bytes()

    def interrupted(_: Figure, picture: Path, **__: object) -> None:
        picture.write_bytes(old[:9])
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        figures._draw(Figure(), file)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert file.read_bytes() == old


def test_nothing_to_draw(tmp_path: Path) -> None:
    write(tmp_path, "pendigits", "SigGPDE", 500, [seed(0, 0.97, 0.02, "python -m a")])
    with pytest.raises(ValueError, match="has nothing to draw"):
        draw_all(tmp_path, tmp_path)


def test_relevant_words_have_the_channels_names() -> None:
    rows = [
        {"word": [3, 1], "name": "humidity → pressure", "process": 0, "coefficient": -2.0, "spread": 0.5},
        {"word": [0], "name": "time", "process": 0, "coefficient": 0.25, "spread": 1.0},
    ]
    result = {"dataset": {"name": "weather", "channels": 8}, "seeds": [{"relevant_words": rows}]}
    (axes,) = relevant_words(result).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["humidity → pressure", "time"]
    assert [bar.get_width() for bar in axes.patches] == [1.0, 0.25]


def test_binary_scores_by_counting(rng: np.random.Generator) -> None:
    y, probability = rng.integers(2, size=200), rng.random(200)
    probability[100:] = probability[:100]  # ties
    found = binary_scores(y, probability)
    pairs = [(a > b) + 0.5 * (a == b) for a in probability[y == 1] for b in probability[y == 0]]
    assert found["roc_auc"] == pytest.approx(np.mean(pairs))
    tenths = (probability * 10).astype(int)
    expected = [[values[tenths == tenth].mean() for tenth in range(10)] for values in (probability, y)]
    np.testing.assert_allclose([found["calibration"]["predicted"], found["calibration"]["observed"]], expected)
