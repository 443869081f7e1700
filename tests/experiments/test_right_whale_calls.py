"""RightWhaleCalls: the spectrogram against its definition, the archive's files, faults, and the stand-in."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from tslearn.preprocessing import TimeSeriesScalerMeanVariance

from experiments.datasets import load, right_whale_calls
from experiments.datasets.right_whale_calls import spectrogram
from experiments.datasets.synthetic import up_calls

NAMES = {0: "NoWhale", 1: "RightWhale"}


def by_definition(sound: np.ndarray) -> np.ndarray:
    """[30, 28]: |Fourier transform| of Hann windows of 224 samples every 128, each less its mean; 8.93 Hz apart."""
    n = np.arange(224)
    hann = np.sin(np.pi * n / 224) ** 2
    bins = [k for k in range(113) if 50 <= k * 2000 / 224 <= 300]
    starts = range(0, 4000 - 224 + 1, 128)
    rows = []
    for start in starts:
        piece = sound[start : start + 224]
        tapered = hann * (piece - piece.mean())
        transform = [np.sum(tapered * np.exp(-2j * np.pi * k * n / 224)) for k in bins]
        rows.append(np.abs(transform) / np.sqrt(2000 * np.sum(hann**2)))
    return np.array(rows)


def test_spectrogram_by_definition(rng: np.random.Generator) -> None:
    sounds = rng.normal(size=(2, 4000))
    found = spectrogram(sounds)
    assert found.shape == (2, 30, 28)
    np.testing.assert_allclose(found, [by_definition(sound) for sound in sounds], rtol=1e-9, atol=1e-12)


def test_a_tone_is_loudest_in_its_channel() -> None:
    tone = np.sin(2 * np.pi * 200.0 * np.arange(4000) / 2000.0)
    loudest = np.argmax(spectrogram(tone[None])[0], axis=1)
    assert set(loudest) == {round(200 * 224 / 2000) - 6}  # the first channel is bin 6, 53.6 Hz


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rng: np.random.Generator) -> dict[str, tuple]:
    """Recordings, 4 for training and 6 for testing."""
    monkeypatch.setattr(right_whale_calls, "NUM_TRAIN", 4)
    monkeypatch.setattr(right_whale_calls, "NUM_TEST", 6)
    monkeypatch.setattr(right_whale_calls, "_PIECE", 3)
    monkeypatch.setenv("SIGKERNEL_TF_DATA", str(tmp_path))
    return {
        split: (rng.normal(size=(number, 4000)).round(4), np.arange(number) % 2)
        for split, number in (("TRAIN", 4), ("TEST", 6))
    }


def write(folder: Path, form: str, splits: dict[str, tuple]) -> Path:
    for split, (X, y) in splits.items():
        if form == ".ts":
            lines = [
                "@problemName RightWhaleCalls", "@timeStamps false", "@missing false", "@univariate true",
                "@equalLength true", "@seriesLength 4000", "@classLabel true 0 1", "@data",
                *(",".join(map(repr, row)) + f":{label}" for row, label in zip(X.tolist(), y, strict=True)),
            ]  # fmt: skip
        else:
            lines = [
                "@relation RightWhaleCalls", *(f"@attribute att{i} numeric" for i in range(4000)),
                "@attribute class {RightWhale,NoWhale}", "@data",
                *(",".join([*map(repr, row), NAMES[label]]) for row, label in zip(X.tolist(), y, strict=True)),
            ]  # fmt: skip
        (folder / f"RightWhaleCalls_{split}{form}").write_text("\n".join(lines) + "\n")
    return folder / f"RightWhaleCalls_TRAIN{form}"


@pytest.mark.parametrize("form", [".ts", ".arff"])
def test_from_the_archives_formats(tmp_path: Path, small: dict[str, tuple], form: str) -> None:
    write(tmp_path, form, small)
    dataset = load("right_whale_calls")
    for split, X, y in (("TRAIN", dataset.X_train, dataset.y_train), ("TEST", dataset.X_test, dataset.y_test)):
        np.testing.assert_array_equal(y, small[split][1])
        channels = np.stack([by_definition(sound) for sound in small[split][0]])
        time = np.broadcast_to(np.linspace(0.0, 1.0, 30)[:, None], (len(y), 30, 1))
        expected = TimeSeriesScalerMeanVariance().fit_transform(np.concatenate([time, channels], axis=-1))
        np.testing.assert_allclose(X, expected, rtol=1e-8, atol=1e-10)
    assert (dataset.num_classes, dataset.num_channels) == (2, 29)
    defaults = dataset.description.defaults
    assert (defaults.num_inducing, defaults.batch_size, defaults.validation_fraction) == (700, 50, 0.2)
    assert [score.model for score in dataset.description.paper] == ["GPSig-IS", "GPSig-IT", "SigGPDE"]


@pytest.mark.parametrize("form", [".ts", ".arff"])
@pytest.mark.parametrize("fault", ["short", "label", "text"])
def test_faults_have_a_line(tmp_path: Path, small: dict[str, tuple], form: str, fault: str) -> None:
    file = write(tmp_path, form, small)
    lines = file.read_text().splitlines()
    line = lines[-2]
    lines[-2] = {
        "short": line[line.index(",") + 1 :],
        "label": line[: line.rindex(":" if form == ".ts" else ",") + 1] + "Dolphin",
        "text": "oops" + line[line.index(",") :],
    }[fault]
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=rf"RightWhaleCalls_TRAIN{form}, line {len(lines) - 1}\b"):
        load("right_whale_calls")


def test_a_part_or_one_class_is_refused(tmp_path: Path, small: dict[str, tuple]) -> None:
    X, y = small["TRAIN"]
    write(tmp_path, ".ts", {**small, "TRAIN": (X[:3], y[:3])})
    with pytest.raises(ValueError, match="RightWhaleCalls, training: expected series 4, got 3"):
        load("right_whale_calls")
    write(tmp_path, ".ts", {**small, "TRAIN": (X, 0 * y)})
    with pytest.raises(ValueError, match="RightWhaleCalls, training: expected recordings of both classes"):
        load("right_whale_calls")


def test_stand_in_says_so_and_has_the_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_whale_calls, "NUM_TRAIN", 25)
    monkeypatch.setattr(right_whale_calls, "NUM_TEST", 10)
    monkeypatch.setattr(right_whale_calls, "_PIECE", 10)
    dataset = load("right_whale_calls_stand_in")
    assert dataset.X_train.shape == (25, 30, 29)
    assert dataset.X_test.shape == (10, 30, 29)
    assert set(dataset.y_train) == {0, 1}
    assert "stand-in" in dataset.source
    assert "STAND-IN" in dataset.description.summary
    assert dataset.description.stands_in_for == "right_whale_calls"
    np.testing.assert_array_equal(dataset.X_train, load("right_whale_calls_stand_in").X_train)


def test_generated_calls_can_be_told_from_noise_but_not_always(rng: np.random.Generator) -> None:
    sounds, y = up_calls(rng, 1200)
    X = spectrogram(sounds).reshape(1200, -1)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    forest = RandomForestClassifier(50, random_state=0).fit(X[:900], y[:900])
    assert 0.65 < forest.score(X[900:], y[900:]) < 0.97


def test_generated_calls_rise_from_low_to_high() -> None:
    rng = np.random.default_rng(3)
    sounds, y = up_calls(rng, 300)
    channels = spectrogram(sounds[y == 1])
    loudest = channels[np.argmax(channels.max(axis=(1, 2)))]
    heard = np.flatnonzero(loudest.max(axis=1) > 0.5 * loudest.max())
    assert np.argmax(loudest[heard[0]]) < np.argmax(loudest[heard[-1]])
