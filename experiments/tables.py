"""Tables of results beside the paper's: one as text after a run, and all of a folder's as Markdown."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .datasets import DESCRIPTIONS, PaperScore
from .measures import HEADINGS, PAPER_HARDWARE, Summary, cell, cells, paper_summary, shown_measures, summary
from .models import BY_SUMS, FITS, MODELS
from .results import read_results, read_timings


def table(
    seeds: Sequence[dict[str, Any]],
    paper: Sequence[PaperScore],
    *,
    model: str = "SigGPDE",
    stands_in_for: str | None = None,
) -> str:
    """
    The results of one run beside the paper's, as text.

    :param model: the paper's name of the model.
    :param stands_in_for: the data set that synthetic series stand in for, which the table then says.
    """
    ours = summary(seeds)
    measures = shown_measures([ours])
    count = "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    data = f", STAND-IN for {stands_in_for}" if stands_in_for else ""
    rows = [
        ["", *(HEADINGS[measure] for measure in measures)],
        [f"{model}, this run ({count}{data})", *cells(ours, measures)],
        *([f"{score.model}, the paper's", *cells(paper_summary(score), measures)] for score in paper),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, PAPER_HARDWARE] if paper else lines)


def tables(folder: Path) -> str:
    """
    A section for each data set in a folder of results, as Markdown.

    Its table has a row for each experiment, with the paper's scores beside it. The section also has the seconds per
    iteration that ``time`` measured, the calibration and the most relevant words for two classes, the machine, and the
    commands with their wall time.

    :raises ValueError: if there are no results, and for a damaged file.
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
        about += f" The series are synthetic: the scores say nothing about {dataset['stands_in_for']}."
    # A stand-in has no paper scores: those of the real data could not be compared with its own.
    paper = DESCRIPTIONS[name].paper if name in DESCRIPTIONS else ()
    parts = [title, about, _experiments(results, timings, paper)]
    parts += [PAPER_HARDWARE] if paper else []
    parts += _timings(timings, paper)
    for result in results:
        parts += _calibration(result) + _relevant_words(result)
    seeds = [seed for result in results for seed in result["seeds"]]
    parts.append(_machines([seed["environment"] for seed in seeds]))
    peaks = [seed["peak_memory_gb"] for seed in seeds if "peak_memory_gb" in seed]
    parts += [f"Peak memory of a process: {max(peaks):.2f} GB."] if peaks else []
    return "\n\n".join([*parts, _commands(results)])


def _experiments(results: list[dict[str, Any]], timings: list[dict[str, Any]], paper: Sequence[PaperScore]) -> str:
    """The table with a row for each experiment, and one for each model that only the paper has scores of."""
    summaries = [_summary_of(result, timings) for result in results]
    is_sweep = len({result["options"]["num_inducing"] for result in results}) > 1
    measures = shown_measures(summaries, elbo=is_sweep)
    paper_measures = [measure for measure in measures if paper and measure not in ("roc_auc", "elbo", "cpu_seconds")]
    heads = ["model", "M", "steps", "seeds", *(HEADINGS[measure] for measure in measures)]
    rows = [[*heads, *(f"paper: {HEADINGS[measure]}" for measure in paper_measures)]]
    scores = {score.model: score for score in paper}
    for result, ours in zip(results, summaries, strict=True):
        model, seeds = result["options"]["model"], str(len(result["seeds"]))
        head = [model, str(result["options"]["num_inducing"]), _steps(result["options"]), seeds]
        rows.append([*head, *cells(ours, measures), *cells(paper_summary(scores.get(model)), paper_measures)])
    ran = {result["options"]["model"] for result in results}
    for score in (score for score in paper if score.model not in ran):
        head = [score.model, "not run", "", "", *("-" for _ in measures)]
        rows.append([*head, *cells(paper_summary(score), paper_measures)])
    return _markdown(rows)


def _steps(options: dict[str, Any]) -> str:
    """The number of minibatch steps, or the fit that takes none."""
    fit = options.get("fit", "nadam")
    steps = f"3 × {options['iterations']}"
    return {"nadam": steps, "natural": f"{steps}, {FITS['natural']}"}.get(fit, FITS[fit])


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first row is the heading."""
    head, *others = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "| " + " | ".join(["---"] * len(rows[0])) + " |", *others])


def _summary_of(result: dict[str, Any], timings: list[dict[str, Any]]) -> Summary:
    """The seeds' summary. If ``time`` timed the model with the same options, its seconds replace the runs' own."""
    found, options = summary(result["seeds"]), result["options"]
    for timing in timings:
        same = all(timing[name] == options[name] for name in ("num_inducing", "batch_size"))
        if same and options["model"] in timing["seconds_per_iteration"]:
            mean = timing["seconds_per_iteration"][options["model"]]
            found["seconds_per_iteration"] = {"mean": mean, "deviation": None}
    return found


def _timings(timings: Sequence[dict[str, Any]], paper: Sequence[PaperScore]) -> list[str]:
    """The seconds that ``time`` measured, a row for each M, with their ratios to SigGPDE's and the paper's ratios."""
    if not timings:
        return []
    first = MODELS["siggpde"]
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
    medians = f"are medians over {rounds} rounds" if rounds > 1 else "come from 1 round"
    about = (
        f"Seconds per iteration, and in brackets their ratio to those of {first}. The models of a row took turns in "
        f"one process, with batches of {timings[0]['batch_size']}; the numbers {medians} (`{'`, `'.join(commands)}`). "
        f"{_machines([timing['environment'] for timing in timings])}"
    )
    return [about, _markdown(rows)]


def _calibration(result: dict[str, Any]) -> list[str]:
    """For two classes, how often class 1 came true among series of about the same probability; of the first seed."""
    curve = result["seeds"][0].get("calibration")
    if curve is None:
        return []
    rows = [[name, *(f"{value:.2f}" for value in curve[name])] for name in ("predicted", "observed")]
    return [
        f"Calibration of {_name(result)}: predicted probabilities of class 1, and how often it came true:",
        _markdown(rows),
    ]


def _relevant_words(result: dict[str, Any]) -> list[str]:
    """The most relevant words for two classes; of the first seed."""
    words = result["seeds"][0].get("relevant_words", ()) if result["dataset"]["classes"] == 2 else ()
    if not words:
        return []
    shown = ", ".join(f"{word['name']} ({'+' if word['coefficient'] > 0 else '−'})" for word in words)
    return [
        f"The most relevant words of {_name(result)}; (+) means that a word raises the probability of class 1: {shown}."
    ]


def _name(result: dict[str, Any]) -> str:
    return f"{result['options']['model']} (M = {result['options']['num_inducing']}, seed {result['seeds'][0]['seed']})"


def _machines(environments: Sequence[dict[str, Any]]) -> str:
    """The machines that the results come from, each once."""
    machines = []
    for environment in environments:
        machine = environment["machine"]
        devices = [f"{machine['cores']} cores of {machine['cpu']}", *machine["gpus"]]
        text = ", ".join(devices) + f", TensorFlow {environment['packages']['tensorflow']}"
        if text not in machines:
            machines.append(text)
    several = "" if len(machines) < 2 else " (several machines: compare times with care)"
    return f"Hardware{several}: {'; '.join(machines)}."


def _commands(results: list[dict[str, Any]]) -> str:
    """The commands, each with the wall time of all seeds that it ran."""
    wall: dict[str, float] = defaultdict(float)
    for result in results:
        for seed in result["seeds"]:
            wall[seed["environment"]["command"]] += seed.get("wall_seconds", 0.0)
    return "\n".join(f"- `{command}`: {seconds / 60:.1f} minutes" for command, seconds in wall.items())
