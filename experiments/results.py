"""An experiment's results: the JSON file that holds them with all it takes to repeat them, and the printed table."""

import json
import os
import platform
import resource
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import sigkernel_tf
from sigkernel_tf.gp.data.digest import digest

from .datasets import Dataset, PaperScore, Series

FILE = "result.json"
PREDICTIONS = "test.npz"
"""In a seed's folder, for two classes: y, probability and posterior_mean [N_test], an example [L, D]."""
MEASURES = ("accuracy", "nlpp", "roc_auc", "elbo", "seconds_per_iteration")
_PACKAGES = ("tensorflow", "gpflow", "keras", "tensorflow-probability", "numpy", "sktime", "tslearn")
_ROOT = Path(__file__).resolve().parents[1]


class Results:
    """
    What is known of one experiment, in a folder of its own; the file is replaced whole after each seed.

    :raises ValueError: where the folder holds results of other data or options.
    """

    def __init__(self, folder: Path, dataset: Dataset, options: dict[str, Any]) -> None:
        """
        :param folder: the experiment's; made when first written to.
        :param dataset: what is trained on.
        :param options: what the results depend on, beside the data and the seed; JSON values.
        """
        self.folder, self._dataset = folder, dataset
        self._identity: dict[str, dict[str, Any]] = {
            "dataset": {
                "name": dataset.description.name,
                "sha256": digest(*_arrays(dataset.X_train), dataset.y_train, *_arrays(dataset.X_test), dataset.y_test),
                "preprocessing": dataset.description.preprocessing,
                "training_series": len(dataset.X_train),
                "test_series": len(dataset.X_test),
                "channels": dataset.num_channels,
                "classes": dataset.num_classes,
            },
            "options": options,
        }
        self.seeds: dict[int, dict[str, Any]] = {}
        """Scores and history of each seed that is finished."""
        if self.file.exists():
            self._read()

    @property
    def file(self) -> Path:
        """The JSON file."""
        return self.folder / FILE

    def _read(self) -> None:
        try:
            saved = json.loads(self.file.read_text(encoding="utf-8"))
            found = {name: saved[name] for name in self._identity}
            self.seeds = {seed["seed"]: seed for seed in saved["seeds"]}
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.file} is damaged ({error!r}): delete it; checkpoints beside it are kept."
            ) from error
        for name in ("source", "stands_in_for"):
            found["dataset"].pop(name, None)
        for name, value in self._identity.items():
            if found[name] != value:
                raise ValueError(
                    f"{self.file} holds results of another {name}: expected {value}, got {found[name]}: take another "
                    "--out, or delete that folder."
                )

    def add(self, seed: dict[str, Any]) -> None:
        """Adds a seed's scores, with the machine and the versions that gave them, and writes the file."""
        self.seeds[seed["seed"]] = {**seed, "environment": environment()}
        content = {
            "dataset": {
                **self._identity["dataset"],
                "source": self._dataset.source,
                "stands_in_for": self._dataset.description.stands_in_for,
            },
            "options": self._identity["options"],
            "summary": summary(list(self.seeds.values())),
            "paper": [asdict(score) for score in self._dataset.description.paper],
            "seeds": [self.seeds[number] for number in sorted(self.seeds)],
        }
        write_json(self.file, content)


def peak_memory_gb() -> float:
    """The most resident memory that this process has had, in 10^9 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def write_json(file: Path, content: Any) -> None:
    """Replaces a file whole: a process killed meanwhile leaves the old one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, file)


def _arrays(X: Series) -> Sequence[np.ndarray]:
    return [X] if isinstance(X, np.ndarray) else X


def summary(seeds: Sequence[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Mean and deviation over seeds of each measure; the sample deviation (ddof 1), None for a single seed."""
    return {measure: _mean_and_deviation([_measured(seed, measure) for seed in seeds]) for measure in MEASURES}


def _measured(seed: dict[str, Any], measure: str) -> float | None:
    if measure == "elbo":  # at the end of training
        return seed["history"][-1]["elbo"] if seed.get("history") else None
    return seed.get(measure)


def measures_of(summaries: Sequence[dict[str, dict[str, float | None]]], *, elbo: bool = False) -> list[str]:
    """What a table shows: the area under the ROC curve where there is one, and the ELBO where it is asked for."""
    has_area = any(ours["roc_auc"]["mean"] is not None for ours in summaries)
    return [measure for measure in MEASURES if {"roc_auc": has_area, "elbo": elbo}.get(measure, True)]


def _mean_and_deviation(values: Sequence[float | None]) -> dict[str, float | None]:
    known = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(known)) if known else None,
        "deviation": float(np.std(known, ddof=1)) if len(known) > 1 else None,
    }


def table(
    seeds: Sequence[dict[str, Any]],
    paper: Sequence[PaperScore],
    *,
    model: str = "SigGPDE",
    stands_in_for: str | None = None,
) -> str:
    """
    The results beside the paper's, as text.

    :param model: the paper's name of the model.
    :param stands_in_for: the data set that synthetic series stand in for: the table says so.
    """
    ours = summary(seeds)
    measures = measures_of([ours])
    count = "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    data = f", STAND-IN for {stands_in_for}" if stands_in_for else ""
    rows: list[tuple[str, ...]] = [("", *(HEADINGS[measure] for measure in measures))]
    rows.append((f"{model}, this run ({count}{data})", *(cell(measure, **ours[measure]) for measure in measures)))
    for score in paper:
        rows.append(
            (f"{score.model}, the paper's", *(cell(measure, **of_paper(score, measure)) for measure in measures))
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if paper:
        lines.append(PAPER_HARDWARE)
    return "\n".join(lines)


HEADINGS = {
    "accuracy": "accuracy, %",
    "nlpp": "NLPP",
    "roc_auc": "area under ROC",
    "elbo": "ELBO, nats",
    "seconds_per_iteration": "seconds per iteration",
}
PAPER_HARDWARE = "The paper's seconds are an NVIDIA Tesla P100's."


def of_paper(score: PaperScore, measure: str) -> dict[str, float | None]:
    """Mean and deviation of a measure in the paper, None where it has none."""
    mean, deviation = {
        "accuracy": score.accuracy, "nlpp": score.nlpp, "seconds_per_iteration": (score.seconds_per_iteration, None)
    }.get(measure, (None, None))  # fmt: skip
    return {"mean": mean, "deviation": deviation}


def cell(measure: str, mean: float | None, deviation: float | None) -> str:
    """A number with its deviation, in the measure's unit and digits; "-" for None."""
    if mean is None:
        return "-"
    scale, digits = {"accuracy": (100.0, 2), "elbo": (1.0, 0), "seconds_per_iteration": (1.0, 4)}.get(measure, (1.0, 3))
    text = f"{scale * mean:.{digits}f}"
    return text if deviation is None else f"{text} ± {scale * deviation:.{digits}f}"


def environment() -> dict[str, Any]:
    """The command, the versions and the machine."""
    return {
        "command": shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]]),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {"sigkernel-tf": sigkernel_tf.__version__, **{name: _version(name) for name in _PACKAGES}},
        "git": {"revision": _git("rev-parse", "HEAD"), "changed_files": _changed_files()},
        "machine": {
            "system": platform.platform(),
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)),
            "gpus": _gpus(),
        },
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _changed_files() -> int | None:
    status = _git("status", "--porcelain")
    return None if status is None else len(status.splitlines())


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def _gpus() -> list[str]:
    import tensorflow as tf

    return [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
