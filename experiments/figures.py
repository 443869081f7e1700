"""Pictures of results, drawn from their files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_TEST, _VALIDATION = "#1f5fa8", "#c0632c"


def accuracy_against_iterations(result_file: Path, picture: Path) -> None:
    """
    Test accuracy, and NLPP of test set and validation split, as training went on; a line for each seed.

    The test set's scores were recorded on the way and chose nothing; the hyperparameters were chosen by the validation
    split, in phases 1 and 2, and phase 3 trains on it.

    :param result_file: a ``result.json`` of ``python -m experiments run``.
    :param picture: the file to write; its ending says in what format.
    :raises ValueError: where the file holds no results.
    """
    try:
        result = json.loads(result_file.read_text(encoding="utf-8"))
        histories = [seed["history"] for seed in result["seeds"]]
        iterations = result["options"]["iterations"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{result_file} must be a result.json of `python -m experiments run`, but could not be read: {error!r}."
        ) from error
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    accuracy, nlpp = figure.subplots(1, 2)
    for history in histories:
        _line(accuracy, history, lambda point: point["recorded"]["test_accuracy"], _TEST, "test set")
        _line(nlpp, history, lambda point: point["recorded"]["test_nlpp"], _TEST, "test set")
        held_out = [point for point in history if point["validation_nlpp"] is not None]
        _line(nlpp, held_out, lambda point: point["validation_nlpp"], _VALIDATION, "validation split")
    last = result["summary"]["accuracy"]["mean"]
    accuracy.set_title(f"{result['dataset']['name']}: accuracy {last:.4f} at the end")
    accuracy.set_ylabel("accuracy on the test set")
    nlpp.set_title("Negative log predictive probability")
    nlpp.set_ylabel("NLPP, nats")
    for axes in (accuracy, nlpp):
        _dress(axes, iterations)
    nlpp.legend(*_once(nlpp), frameon=False)
    figure.savefig(picture, dpi=150)


def _line(
    axes: Axes, history: list[dict[str, Any]], value: Callable[[dict[str, Any]], float], color: str, label: str
) -> None:
    axes.plot([p["iteration"] for p in history], [value(p) for p in history], color=color, lw=1.3, label=label)


def _dress(axes: Axes, iterations: int) -> None:
    """Axes in common, and the phases marked."""
    axes.set_xlim(0, 3 * iterations)
    axes.set_xlabel("minibatch steps")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    phases = ("variational", "and lengthscales", "all training data")
    for phase, name in enumerate(phases):
        axes.axvline(phase * iterations, color="0.6", lw=0.8, ls=":")
        axes.annotate(
            f"{phase + 1}: {name}", ((phase + 0.5) / 3, 1.0), xycoords="axes fraction", ha="center", va="top",
            fontsize=7, color="0.4",
        )  # fmt: skip


def _once(axes: Axes) -> tuple[list[Any], list[str]]:
    """Legend entries, each label once."""
    entries = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    return list(entries.values()), list(entries)
