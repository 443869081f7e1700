"""Pictures of results, drawn from their files."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sigkernel_tf.gp.data.checked_files import read_arrays, replacing
from sigkernel_tf.gp.interpretation import RelevantWord, WordRelevance

from .datasets import DESCRIPTIONS
from .measures import Summary, summary
from .models import FITS
from .results import PREDICTIONS, read_result, read_results, read_timings

_TEST, _VALIDATION = "#1f5fa8", "#c0632c"
_COLOURS = {"SigGPDE": "#1f5fa8", "GPSig-IT": "#c0632c", "GPSig-IS": "#4b8b3b", "lifted kernel": "#7a4b9a"}
_FORMATS = (".png", ".pdf")


def draw_all(folder: Path, out: Path) -> list[Path]:
    """
    Draw every picture that a folder has results for, as PNG and PDF.

    A data set with results for several numbers of inducing variables gets accuracy, ELBO and time against that number,
    and one with several models or fits the NLPP against seconds.
    A result for two classes gets a series and the posterior mean over the test set, the calibration, and SigGPDE's most
    relevant words.

    :return: the pictures' files.
    :raises ValueError: if there are no results, or nothing to draw from them, and for a damaged file.
    """
    results, drawn = read_results(folder), []
    out.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(result["dataset"]["name"] for result in results):
        of_dataset = [result for result in results if result["dataset"]["name"] == name]
        if len({result["options"]["num_inducing"] for result in of_dataset}) > 1:
            drawn += _save(against_num_inducing(of_dataset, read_timings(folder, name)), out / f"{name}-against-M")
        if len({_labelled(result) for result in of_dataset}) > 1 and all(map(_has_cpu_seconds, of_dataset)):
            drawn += _save(time_to_accuracy(of_dataset), out / f"{name}-against-seconds")
        for result in of_dataset:
            file = result["folder"] / f"seed-{result['seeds'][0]['seed']}" / PREDICTIONS
            if file.is_file():
                drawn += _draw_predictions(result, file, out / result["folder"].name)
    if not drawn:
        raise ValueError(
            f"{folder} has nothing to draw: pictures need results for several numbers of inducing variables (`sweep`), "
            "or for two classes. For accuracy against iterations use `figure`."
        )
    return drawn


def _draw_predictions(result: dict[str, Any], file: Path, stem: Path) -> list[Path]:
    values = read_arrays(file)
    shapes = {name: value.shape for name, value in values.items()}
    vectors = {shapes.get("y"), shapes.get("posterior_mean"), shapes.get("amount", shapes.get("y"))}
    if len(vectors) > 1 or len(shapes.get("y", ())) != 1 or len(shapes.get("example", ())) != 2:
        raise ValueError(f"{file} must hold y [N], posterior_mean [N] and an example [L, D], got {shapes}.")
    drawn = _save(series_and_predictions(result, values), Path(f"{stem}-predictions"))
    drawn += _save(calibration(result), Path(f"{stem}-calibration"))
    if "relevant_words" in result["seeds"][0]:
        drawn += _save(relevant_words(result), Path(f"{stem}-words"))
    return drawn


def _save(figure: Figure, stem: Path) -> list[Path]:
    files = [stem.with_name(stem.name + ending) for ending in _FORMATS]
    for file in files:
        _draw(figure, file)
    return files


def _draw(figure: Figure, file: Path) -> None:
    """Replace a picture in one step; the name's ending chooses the format."""
    with replacing(file) as temporary:
        figure.savefig(temporary, dpi=150, format=file.suffix[1:] or "png")


def _title(result: dict[str, Any]) -> str:
    dataset = result["dataset"]
    return dataset["name"] + (f" (STAND-IN for {dataset['stands_in_for']})" if dataset.get("stands_in_for") else "")


def against_num_inducing(results: Sequence[dict[str, Any]], timings: list[dict[str, Any]]) -> Figure:
    """
    Draw accuracy, ELBO and seconds per iteration against M, with a line for each model: figure 3 of the paper.

    :param timings: what ``time`` measured. If it timed a model, its seconds are shown instead of those of the runs.
    """
    figure = Figure(figsize=(11.0, 3.4), layout="constrained")
    figure.suptitle(f"{_title(results[0])}, 3 × {results[0]['options']['iterations']} steps")
    panels = figure.subplots(1, 3)
    for model in dict.fromkeys(result["options"]["model"] for result in results):
        chosen = [result for result in results if result["options"]["model"] == model]
        sizes = [result["options"]["num_inducing"] for result in chosen]
        summaries = [summary(result["seeds"]) for result in chosen]
        style: dict[str, Any] = {"color": _COLOURS[model], "marker": "o", "ms": 4, "lw": 1.3, "label": model}
        means, deviations = ([100 * (s["accuracy"][key] or 0.0) for s in summaries] for key in ("mean", "deviation"))
        panels[0].errorbar(sizes, means, yerr=deviations, capsize=2, **style)
        panels[1].plot(sizes, [s["elbo"]["mean"] for s in summaries], **style)
        panels[2].plot(*_seconds(model, sizes, summaries, timings), **style)
    labels = ("accuracy on the test set, %", "ELBO at the end, nats", "seconds per iteration")
    for axes, label in zip(panels, labels, strict=True):
        axes.set_ylabel(label)
        axes.set_xlabel("inducing variables M")
        _frame(axes)
    panels[0].legend(frameon=False)
    return figure


def _seconds(
    model: str, sizes: list[int], summaries: Sequence[Summary], timings: list[dict[str, Any]]
) -> tuple[list[int], list[float]]:
    """The numbers of inducing variables for which a model's seconds per iteration are known, and these seconds."""
    timed = [(one["num_inducing"], one["seconds_per_iteration"].get(model)) for one in timings]
    of_runs = [(size, one["seconds_per_iteration"]["mean"]) for size, one in zip(sizes, summaries, strict=True)]
    known = [(size, seconds) for size, seconds in timed or of_runs if seconds is not None]
    return [size for size, _ in known], [seconds for _, seconds in known]


def time_to_accuracy(results: Sequence[dict[str, Any]]) -> Figure:
    """
    Draw the NLPP on the test set against the CPU seconds of training, for each model and fit.

    Minibatch steps were scored on the way, and give a line; the other fits give a point. The seconds do not include the
    scoring.
    """
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    figure.suptitle(_title(results[0]))
    axes = figure.subplots()
    for number, result in enumerate(results):
        style: dict[str, Any] = {"color": f"C{number}", "label": f"{_labelled(result)}, M = {_num_inducing(result)}"}
        for seed in result["seeds"]:
            scored = [
                (seed["cpu_seconds"] * point["iteration"] / seed["history"][-1]["iteration"], nlpp)
                for point in seed["history"]
                if (nlpp := point.get("recorded", {}).get("test_nlpp")) is not None
            ]
            if scored:
                axes.plot(*zip(*scored, strict=True), lw=1.1, **style)
            else:
                axes.plot(seed["cpu_seconds"], seed["nlpp"], marker="o", ls="", **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("CPU seconds of training")
    axes.set_ylabel("NLPP on the test set, nats")
    _frame(axes)
    axes.legend(*_once(axes), frameon=False, fontsize=7)
    return figure


def _labelled(result: dict[str, Any]) -> str:
    options = result["options"]
    return f"{options['model']}, {FITS[options.get('fit', 'nadam')]}"


def _num_inducing(result: dict[str, Any]) -> int:
    return result["options"]["num_inducing"]


def _has_cpu_seconds(result: dict[str, Any]) -> bool:
    return all(seed.get("cpu_seconds") is not None for seed in result["seeds"])


def series_and_predictions(result: dict[str, Any], values: dict[str, np.ndarray]) -> Figure:
    """
    Draw one preprocessed series, and the posterior mean over the test set against the rain: figure 2 of the paper.

    :param values: what the file of predictions holds. If it has no amounts of rain, the test series are shown in the
        order of their posterior mean.
    """
    figure = Figure(figsize=(10.0, 3.6), layout="constrained")
    figure.suptitle(f"{_title(result)}, {result['options']['model']}")
    left, right = figure.subplots(1, 2)
    names = _channel_names(result, values["example"].shape[1])
    for channel, name in enumerate(names):
        left.plot(values["example"][:, channel], lw=1.1, label=name)
    left.set_xlabel("step")
    left.set_ylabel("standardised")
    if len(names) <= 10:
        left.legend(frameon=False, fontsize=7, ncols=2)
    mean, y = values["posterior_mean"], values["y"]
    if "amount" in values:
        order, x = np.arange(len(mean)), values["amount"]
        right.set_xscale("symlog", linthresh=0.1)
        right.set_xlabel("rain in the hour after, mm")
    else:
        order, x = np.argsort(mean), np.arange(len(mean))
        right.set_xlabel("test series, in the order of their mean")
    for label, colour in enumerate((_TEST, _VALIDATION)):
        chosen = y[order] == label
        right.scatter(x[chosen], mean[order][chosen], s=6, color=colour, alpha=0.6, lw=0, label=f"class {label}")
    right.legend(frameon=False)
    right.set_ylabel("posterior mean")
    for axes in (left, right):
        _frame(axes)
    return figure


def calibration(result: dict[str, Any]) -> Figure:
    """Draw how often class 1 came true among series of about the same probability, with a line for each seed."""
    figure = Figure(figsize=(4.2, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", lw=0.8, ls=":")
    for seed in result["seeds"]:
        curve = seed["calibration"]
        axes.plot(curve["predicted"], curve["observed"], color=_COLOURS[result["options"]["model"]], marker="o", ms=3)
    area = summary(result["seeds"])["roc_auc"]["mean"]
    axes.set_title(f"{_title(result)}, {result['options']['model']}: area under ROC {area:.3f}", fontsize=9)
    axes.set_xlabel("predicted probability")
    axes.set_ylabel("observed frequency")
    _frame(axes)
    return figure


def relevant_words(result: dict[str, Any]) -> Figure:
    """Draw the ten most relevant words of the first seed (:func:`sigkernel_tf.gp.word_relevance`): figure 4."""
    rows = [RelevantWord(**{**row, "word": tuple(row["word"])}) for row in result["seeds"][0]["relevant_words"]]
    figure = Figure(figsize=(7.0, 3.6), layout="constrained")
    axes = WordRelevance(tuple(rows)).plot(ax=figure.subplots())
    axes.set_xlabel("relevance: |m| times the spread of the feature; orange words lower the probability")
    axes.set_title(_title(result), fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _channel_names(result: dict[str, Any], number: int) -> list[str]:
    description = DESCRIPTIONS.get(result["dataset"]["name"])
    names = list(description.channels) if description else []
    return names if len(names) == number else [f"channel {i}" for i in range(number)]


def _frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)


def accuracy_against_iterations(result_file: Path, picture: Path) -> None:
    """
    Draw test accuracy, and the NLPP of test set and validation split, against iterations, with a line for each seed.

    The test set's scores were only recorded during training. The validation split chose the hyperparameters in phases
    1 and 2; phase 3 trains on it, too.

    :param result_file: a ``result.json`` of ``python -m experiments run``.
    :param picture: the file to write; its ending decides the format.
    :raises ValueError: if the file holds no results.
    """
    result = read_result(result_file)
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    accuracy, nlpp = figure.subplots(1, 2)
    for history in (seed["history"] for seed in result["seeds"]):
        _line(accuracy, history, lambda point: point["recorded"]["test_accuracy"], _TEST, "test set")
        _line(nlpp, history, lambda point: point["recorded"]["test_nlpp"], _TEST, "test set")
        held_out = [point for point in history if point["validation_nlpp"] is not None]
        _line(nlpp, held_out, lambda point: point["validation_nlpp"], _VALIDATION, "validation split")
    last = summary(result["seeds"])["accuracy"]["mean"]
    accuracy.set_title(f"{result['dataset']['name']}: accuracy {last:.4f} at the end")
    accuracy.set_ylabel("accuracy on the test set")
    nlpp.set_title("Negative log predictive probability")
    nlpp.set_ylabel("NLPP, nats")
    for axes in (accuracy, nlpp):
        _dress(axes, result["options"]["iterations"])
    nlpp.legend(*_once(nlpp), frameon=False)
    _draw(figure, picture)


def _line(
    axes: Axes, history: list[dict[str, Any]], value: Callable[[dict[str, Any]], float], color: str, label: str
) -> None:
    axes.plot([p["iteration"] for p in history], [value(p) for p in history], color=color, lw=1.3, label=label)


def _dress(axes: Axes, iterations: int) -> None:
    """Label the axis of iterations, and mark the three phases of training."""
    axes.set_xlim(0, 3 * iterations)
    axes.set_xlabel("minibatch steps")
    _frame(axes)
    phases = ("variational", "and lengthscales", "all training data")
    for phase, name in enumerate(phases):
        axes.axvline(phase * iterations, color="0.6", lw=0.8, ls=":")
        axes.annotate(
            f"{phase + 1}: {name}", ((phase + 0.5) / 3, 1.0), xycoords="axes fraction", ha="center", va="top",
            fontsize=7, color="0.4",
        )  # fmt: skip


def _once(axes: Axes) -> tuple[list[Any], list[str]]:
    """The entries of a legend, each label only once."""
    entries = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    return list(entries.values()), list(entries)
