"""``python -m experiments run``, tables and figures, end to end on tiny runs of each data set and model."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.datasets import crop, jena, right_whale_calls, satellite
from experiments.datasets.synthetic import up_calls, vegetation_indices
from experiments.models import MODELS

CLASSES = np.arange(24)


def small_crop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crop, "_TRAIN", 2)
    monkeypatch.setattr(crop, "_TEST", 1)
    X, _ = vegetation_indices(np.random.default_rng(0), 72)
    y = np.tile(CLASSES + 1, 3)
    np.savez(folder / "Crop.npz", X_train=X[24:, :, None], y_train=y[24:], X_test=X[:24, :, None], y_test=y[:24])


def small_satellite(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(satellite, "NUM_TRAIN", 72)
    monkeypatch.setattr(satellite, "NUM_TEST", 24)
    for split, number in (("TRAIN", 72), ("TEST", 24)):
        X, _ = vegetation_indices(np.random.default_rng(number), number)
        table = np.column_stack([np.tile(CLASSES + 1, number // 24), X])
        np.savetxt(folder / f"SITS1M_fold1_{split}.csv", table, delimiter=",", fmt="%.6g")


def small_satellite_stand_in(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(satellite, "NUM_TRAIN", 400)
    monkeypatch.setattr(satellite, "NUM_TEST", 300)


def small_whales(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_whales_stand_in(folder, monkeypatch)
    splits = [up_calls(np.random.default_rng(number), number) for number in (40, 20)]
    (X_train, y_train), (X_test, y_test) = splits
    np.savez(
        folder / "RightWhaleCalls.npz",
        X_train=X_train[..., None], y_train=y_train, X_test=X_test[..., None], y_test=y_test,
    )  # fmt: skip


def small_whales_stand_in(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_whale_calls, "NUM_TRAIN", 40)
    monkeypatch.setattr(right_whale_calls, "NUM_TEST", 20)


def small_weather(folder: Path, _: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    centre = [(low + high) / 2 for _, low, high in jena.COLUMNS.values()]
    values = np.array(centre) + rng.normal(size=(800, 7))
    values[:, jena.RAIN] = rng.integers(0, 6, 800) / 10 * np.repeat(rng.random(100) < 0.3, 8)
    names = [f"{name} (unit)" for name in jena.COLUMNS]
    np.savez(folder / jena.NPZ, columns=names, time_2020=10 * np.arange(800), series_2020=values)


SMALL = {
    "crop": small_crop,
    "satellite": small_satellite,
    "satellite_stand_in": small_satellite_stand_in,
    "right_whale_calls": small_whales,
    "right_whale_calls_stand_in": small_whales_stand_in,
    "weather": small_weather,
}
# Each kind of data set and each model once: the stand-ins have the shapes of the data that they stand in for.
FAST = [
    ("satellite_stand_in", "siggpde"), ("right_whale_calls_stand_in", "siggpde"), ("weather", "siggpde"),
    ("weather", "gpsig-it"), ("crop", "gpsig-is"),
]  # fmt: skip
SLOW = [(name, model) for name in SMALL for model in MODELS if (name, model) not in FAST]
IN_CI = ("satellite_stand_in", "gpsig-it")


@pytest.mark.parametrize(
    ("model", "fit"),
    [
        pytest.param("siggpde", "sites", marks=[pytest.mark.slow, pytest.mark.ci]),
        pytest.param("lifted", "least-squares", marks=[pytest.mark.slow, pytest.mark.ci]),
        pytest.param("siggpde", "natural", marks=pytest.mark.slow),
    ],
)
def test_other_fits(
    model: str, fit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Each is told from Nadam's in its folder and in the table, and seeds may come one by one."""
    monkeypatch.setenv("SIGKERNEL_TF_DATA", str(tmp_path))
    small_weather(tmp_path, monkeypatch)
    out = tmp_path / "out"
    options = ["--iterations", "1", "--batch-size", "8", "--num-inducing", "5", "--out", str(out)]
    for seed in "30":
        assert main(["run", "weather", "--model", model, "--fit", fit, "--seed", seed, *options]) == 0
    assert main(["run", "weather", "--seed", "0", *options]) == 0
    result = json.loads(next(out.glob(f"weather*-{fit}-M5*/result.json")).read_text())
    assert result["options"]["fit"] == fit
    assert [seed["seed"] for seed in result["seeds"]] == [0, 3]
    for seed in result["seeds"]:
        assert 0.5 < seed["accuracy"] <= 1.0
        assert 0.0 < seed["nlpp"] < 1.0
        assert 0.0 < seed["cpu_seconds"] < 600.0
    capsys.readouterr()
    assert main(["tables", str(out)]) == 0
    assert {"sites": "closed form", "natural": "natural gradients"}.get(fit, "least squares") in capsys.readouterr().out
    assert main(["figures", str(out)]) == 0
    assert (out / "weather-against-seconds.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("name", "model"),
    [*FAST, *(pytest.param(*case, marks=[pytest.mark.slow] + [pytest.mark.ci] * (case == IN_CI)) for case in SLOW)],
)
def test_run_tables_and_figures(
    name: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("SIGKERNEL_TF_DATA", str(tmp_path))
    SMALL[name](tmp_path, monkeypatch)
    out = tmp_path / "out"
    options = ["--iterations", "1", "--batch-size", "8", "--seeds", "1", "--num-inducing", "5", "--out", str(out)]
    assert main(["run", name, "--model", model, *options]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].startswith("test accuracy ")
    assert ("STAND-IN" in printed) == name.endswith("stand_in")
    (file,) = out.glob("*/result.json")
    result = json.loads(file.read_text())
    assert result["options"]["validation_fraction"] == (0.02 if name.startswith("satellite") else 0.2)
    (seed,) = result["seeds"]
    assert 0.0 <= seed["accuracy"] <= 1.0
    assert np.isfinite(seed["nlpp"])
    assert 0.1 < seed["peak_memory_gb"] < 100
    two_classes = result["dataset"]["classes"] == 2
    assert result["options"]["likelihood"] == ("Bernoulli" if two_classes else "MultiClass")
    assert ("roc_auc" in seed) == two_classes
    assert ("relevant_words" in seed) == (model == "siggpde")
    if name == "weather" and model == "siggpde":
        channels = ("time", "pressure", "temperature", "humidity", "air density", "wind speed", "radiation", "rain")
        for word in seed["relevant_words"]:
            assert word["name"] == " → ".join(channels[letter] for letter in word["word"])

    assert main(["run", name, "--model", model, *options]) == 0  # nothing is trained again
    assert "1 of 1 seeds are finished already" in capsys.readouterr().out
    assert json.loads(file.read_text()) == result
    assert main(["tables", str(out)]) == 0
    assert ("STAND-IN" in capsys.readouterr().out) == name.endswith("stand_in")
    assert main(["figures", str(out)]) == (0 if two_classes else 1)


def test_sweep_of_two_models_and_times(
    tmp_path: Path,
    trained: list[tuple[str, int, int]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setenv("SIGKERNEL_TF_DATA", str(tmp_path))
    small_weather(tmp_path, monkeypatch)
    out = tmp_path / "out"
    options = ["--model", "siggpde,gpsig-it", "--out", str(out)]
    assert main(["sweep", "weather", "--seeds", "1", "--num-inducing", "6,3", *options]) == 0
    assert trained == [("siggpde", 3, 0), ("gpsig-it", 3, 0), ("siggpde", 6, 0), ("gpsig-it", 6, 0)]
    assert len(list(out.glob("weather-*M[36]-*/result.json"))) == 4
    assert main(["figures", str(out), "--out", str(tmp_path / "pictures")]) == 0
    assert (tmp_path / "pictures" / "weather-against-M.png").stat().st_size > 0
    timed = ["time", "weather", "--iterations", "2", "--rounds", "1", "--num-inducing", "3", "--batch-size", "8"]
    assert main([*timed, *options]) == 0
    capsys.readouterr()
    assert main(["tables", str(out)]) == 0
    text = capsys.readouterr().out
    assert "took turns in one process, with batches of 8; the numbers come from 1 round" in text
    assert "\n| M | SigGPDE | GPSig-IT |" in text
    assert "| SigGPDE | 6 |" in text


def test_a_damaged_file_loses_nothing_already_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("SIGKERNEL_TF_DATA", str(tmp_path))
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text("{}")
    (tmp_path / "mpi_roof_2020a.csv").write_text('"Date Time","p (mbar)"\n')
    assert main(["run", "weather", "--out", str(out)]) == 1
    assert "mpi_roof_2020a.csv, line 1: expected a column T" in capsys.readouterr().err
    assert (out / "result.json").read_text() == "{}"
