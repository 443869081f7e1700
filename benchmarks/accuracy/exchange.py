"""The files that a run and the process of a fit exchange: JSON, and NumPy arrays without pickle."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

CLASSIFICATION, REGRESSION = "classification", "regression"

Series = list[np.ndarray]
"""One array [L_i, D] for each series, without gaps."""


@dataclass(frozen=True)
class Order:
    """Which method is to be fitted, and how."""

    task: str
    """``CLASSIFICATION`` or ``REGRESSION``."""
    method: str
    """Its name in ``fitting.METHODS``."""
    options: dict[str, Any]
    """Keyword arguments for the method; JSON values."""
    seed: int
    num_classes: int
    """0 for a regression."""


@dataclass(frozen=True)
class Problem:
    """What the process of a fit is given. It never sees the labels of the test set."""

    order: Order
    X: Series
    y: np.ndarray
    """[N]; classes from 0 to C - 1, or numbers."""
    X_test: Series


def write_problem(folder: Path, problem: Problem) -> None:
    """Write what is to be fitted into a folder."""
    (folder / "order.json").write_text(json.dumps(asdict(problem.order)), encoding="utf-8")
    arrays = {"y": problem.y}
    for name, series in (("train", problem.X), ("test", problem.X_test)):
        arrays |= {f"values_{name}": np.concatenate(series), f"lengths_{name}": np.array([len(one) for one in series])}
    np.savez(folder / "problem.npz", **arrays)


def read_problem(folder: Path) -> Problem:
    """Read what :func:`write_problem` wrote."""
    order = Order(**json.loads((folder / "order.json").read_text(encoding="utf-8")))
    with np.load(folder / "problem.npz", allow_pickle=False) as arrays:
        X, X_test = (
            np.split(arrays[f"values_{name}"], np.cumsum(arrays[f"lengths_{name}"])[:-1]) for name in ("train", "test")
        )
        return Problem(order, X, arrays["y"], X_test)


def write_answer(folder: Path, predicted: dict[str, np.ndarray], measured: dict[str, Any]) -> None:
    """
    Write what was predicted for the test set, and what was measured.

    :param predicted: "labels" [n] and perhaps "probabilities" [n, C]; or "mean" and "deviation", [n] each.
    :param measured: JSON values.
    """
    np.savez(folder / "predicted.npz", **predicted)
    (folder / "measured.json").write_text(json.dumps(measured), encoding="utf-8")


def read_answer(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what :func:`write_answer` wrote."""
    with np.load(folder / "predicted.npz", allow_pickle=False) as arrays:
        predicted = {name: arrays[name] for name in arrays.files}
    return predicted, json.loads((folder / "measured.json").read_text(encoding="utf-8"))
