"""A folder's results beside the paper's, as Markdown."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .datasets import DESCRIPTIONS, PaperScore
from .models import BY_SUMS, MODELS
from .results import FILE, HEADINGS, PAPER_HARDWARE, cell, measures_of, of_paper, summary

_ORDER = list(MODELS.values())


def read_results(folder: Path) -> list[dict[str, Any]]:
    """
    The results in a folder and below it, by data set, model and number of inducing variables.

    :raises ValueError: where there are none, and for a damaged file.
    """
    results = []
    for file in sorted(folder.rglob(FILE)):
        try:
            result = json.loads(file.read_text(encoding="utf-8"))
            options = result["options"]
            key = (result["dataset"]["name"], _ORDER.index(options["model"]), options["num_inducing"])
            options["iterations"], result["seeds"][0]["history"]  # what every reader needs
        except (json.JSONDecodeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{file} must be a result of `python -m experiments run`: {error!r}.") from error
        results.append((key, str(file), {**result, "folder": file.parent}))
    if not results:
        raise ValueError(f"{folder} holds no {FILE}: run `python -m experiments run DATASET --out {folder}` first.")
    return [result for _, _, result in sorted(results, key=lambda one: one[:2])]


def tables(folder: Path) -> str:
    """
    A table for each data set: a row for each experiment, the paper's beside it, then the machine, the commands, the
    wall time, and the seconds per iteration that ``time`` measured in one run.

    :raises ValueError: where there are no results, and for a damaged file.
    """
    by_dataset: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in read_results(folder):
        by_dataset[result["dataset"]["name"]].append(result)
    return "\n\n".join(_section(name, results, read_timings(folder, name)) for name, results in by_dataset.items())


def _section(name: str, results: list[dict[str, Any]], timings: list[dict[str, Any]]) -> str:
    dataset = results[0]["dataset"]
    title = f"### {name}" + (f": STAND-IN for {dataset['stands_in_for']}" if dataset.get("stands_in_for") else "")
    about = (
        f"{dataset['training_series']} training and {dataset['test_series']} test series, {dataset['channels']} "
        f"channels, {dataset['classes']} classes; from {dataset['source']}."
    )
    if dataset.get("stands_in_for"):
        about += f" The series are synthetic, and the scores say nothing of {dataset['stands_in_for']}."
    # The paper's scores are of real data: beside a stand-in's they would compare what cannot be compared.
    paper = DESCRIPTIONS[name].paper if name in DESCRIPTIONS else ()
    parts = [title, about, _table(results, timings, paper)]
    parts += [PAPER_HARDWARE] if paper else []
    parts += _timings(timings, paper)
    for result in results:
        parts += _calibration(result) + _relevant_words(result)
    seeds = [seed for result in results for seed in result["seeds"]]
    parts.append(_machines([seed["environment"] for seed in seeds]))
    peaks = [seed["peak_memory_gb"] for seed in seeds if "peak_memory_gb" in seed]
    parts += [f"Peak resident memory of a process: {max(peaks):.2f} GB."] if peaks else []
    return "\n\n".join([*parts, _commands(results)])


def _table(results: list[dict[str, Any]], timings: list[dict[str, Any]], paper: Sequence[PaperScore]) -> str:
    summaries = [summary_of(result, timings) for result in results]
    is_sweep = len({result["options"]["num_inducing"] for result in results}) > 1
    measures = measures_of(summaries, elbo=is_sweep)
    of_the_paper = [measure for measure in measures if paper and measure not in ("roc_auc", "elbo")]
    heads = ["model", "M", "steps", "seeds", *(HEADINGS[measure] for measure in measures)]
    rows = [[*heads, *(f"paper: {HEADINGS[measure]}" for measure in of_the_paper)]]
    scores = {score.model: score for score in paper}
    for result, ours in zip(results, summaries, strict=True):
        options = result["options"]
        score = scores.get(options["model"])
        row = [
            options["model"], str(options["num_inducing"]), f"3 × {options['iterations']}", str(len(result["seeds"])),
            *(cell(measure, **ours[measure]) for measure in measures),
        ]  # fmt: skip
        rows.append(row + [cell(m, **of_paper(score, m)) if score else "-" for m in of_the_paper])
    missing = [score for model, score in scores.items() if all(r["options"]["model"] != model for r in results)]
    for score in missing:
        blank = ["not run", "", "", *("-" for _ in measures)]
        rows.append([score.model, *blank, *(cell(m, **of_paper(score, m)) for m in of_the_paper)])
    return _markdown(rows)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, of which the first row is the head."""
    head, *others = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "| " + " | ".join(["---"] * len(rows[0])) + " |", *others])


def summary_of(result: dict[str, Any], timings: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """The seeds' summary; with the seconds of all models from one run, where ``time`` measured them."""
    found, options = summary(result["seeds"]), result["options"]
    for timing in timings:
        same = all(timing[name] == options[name] for name in ("num_inducing", "batch_size"))
        if same and options["model"] in timing["seconds_per_iteration"]:
            mean = timing["seconds_per_iteration"][options["model"]]
            found["seconds_per_iteration"] = {"mean": mean, "deviation": None}
    return found


def read_timings(folder: Path, name: str) -> list[dict[str, Any]]:
    """
    What ``time`` measured on a data set, by number of inducing variables.

    :raises ValueError: for a damaged file.
    """
    found = []
    for file in sorted(folder.glob(f"time-{name}-M*.json")):
        try:
            timing = json.loads(file.read_text(encoding="utf-8"))
            (
                timing["seconds_per_iteration"],
                timing["batch_size"],
                timing["rounds"],
                timing["environment"]["machine"],
            )  # shown
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{file} must be a result of `python -m experiments time`: {error!r}.") from error
        found.append(timing)
    return sorted(found, key=lambda timing: timing["num_inducing"])


def _timings(timings: Sequence[dict[str, Any]], paper: Sequence[PaperScore]) -> list[str]:
    """Seconds of all models from one process, by M, and how often SigGPDE's they are, the paper's below."""
    if not timings:
        return []
    first = _ORDER[0]
    models = list(dict.fromkeys(model for timing in timings for model in timing["seconds_per_iteration"]))
    rows = [["M", *models]]
    for timing in timings:
        seconds = timing["seconds_per_iteration"]
        cells = [cell("seconds_per_iteration", seconds.get(model), None) for model in models]
        for i, model in enumerate(models):
            if model != first and {model, first} <= seconds.keys():
                cells[i] += f" ({seconds[model] / seconds[first]:.1f})"
        rows.append([str(timing["num_inducing"]), *cells])
    papers = {score.model: score.seconds_per_iteration for score in paper}
    if papers.get(first):
        theirs = [papers.get(model.removesuffix(BY_SUMS)) for model in models]
        rows.append(["the paper's", *(f"({seconds / papers[first]:.1f})" if seconds else "-" for seconds in theirs)])
    commands = dict.fromkeys(timing["environment"]["command"] for timing in timings)
    rounds = timings[0]["rounds"]
    about = (
        f"Seconds per iteration, in brackets how often {first}'s; all models of a line in turn in one process, in "
        f"batches of {timings[0]['batch_size']}, {'medians of ' * (rounds > 1)}{rounds} round{'s' * (rounds > 1)} "
        f"(`{'`, `'.join(commands)}`). "
        f"{_machines([timing['environment'] for timing in timings])}"
    )
    return [about, _markdown(rows)]


def _calibration(result: dict[str, Any]) -> list[str]:
    """How often class 1 came true among series of about the same probability, for the first seed of two classes."""
    curve = result["seeds"][0].get("calibration")
    if curve is None:
        return []
    rows = [[name, *(f"{value:.2f}" for value in curve[name])] for name in ("predicted", "observed")]
    return [f"Calibration of {_name(result)}, probabilities of class 1 and how often it came true:", _markdown(rows)]


def _relevant_words(result: dict[str, Any]) -> list[str]:
    """The first seed's most relevant words of two classes."""
    words = result["seeds"][0].get("relevant_words", ()) if result["dataset"]["classes"] == 2 else ()
    if not words:
        return []
    shown = ", ".join(f"{word['name']} ({'+' if word['coefficient'] > 0 else '−'})" for word in words)
    return [f"The most relevant words of {_name(result)}, + where more of it raises class 1's probability: {shown}."]


def _name(result: dict[str, Any]) -> str:
    return f"{result['options']['model']} (M = {result['options']['num_inducing']}, seed {result['seeds'][0]['seed']})"


def _machines(environments: Sequence[dict[str, Any]]) -> str:
    machines = []
    for environment in environments:
        machine = environment["machine"]
        devices = [f"{machine['cores']} cores of {machine['cpu']}", *machine["gpus"]]
        text = ", ".join(devices) + f", TensorFlow {environment['packages']['tensorflow']}"
        if text not in machines:
            machines.append(text)
    several = "" if len(machines) < 2 else " (several: compare times with care)"
    return f"Hardware{several}: {'; '.join(machines)}."


def _commands(results: list[dict[str, Any]]) -> str:
    """Each command once, with the wall time of the seeds that it ran."""
    wall: dict[str, float] = defaultdict(float)
    for result in results:
        for seed in result["seeds"]:
            wall[seed["environment"]["command"]] += seed.get("wall_seconds", 0.0)
    return "\n".join(f"- `{command}`: {seconds / 60:.1f} minutes" for command, seconds in wall.items())
