"""Tables of what a folder of results holds, as Markdown, and the picture of the mean ranks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import ranks
from .exchange import CLASSIFICATION, REGRESSION
from .fitting import OURS
from .runs import read_results

_SCORES: dict[str, list[tuple[str, str, bool | None]]] = {
    CLASSIFICATION: [
        ("accuracy", "Accuracy", True),
        ("nlpp", "NLPP, nats", False),
        ("calibration_error", "Expected calibration error", False),
    ],
    REGRESSION: [
        ("r2", "R²", True),
        ("nlpp", "NLPP, nats, of y in units of the training set's deviation", False),
        ("coverage", "Part of the numbers within the intervals of 90%", None),
    ],
}
"""For each task its scores, what tables call them, and whether larger is better; None where neither is."""

Row = dict[str, list[dict[str, Any]]]
"""Of one data set, the results of each method on the splits that all its methods have."""


class Table:
    """The results of a task: which methods, which data sets, and which splits can be compared."""

    def __init__(self, task: str, results: Sequence[dict[str, Any]]) -> None:
        of_task = [result for result in results if result["task"] == task]
        done = [result for result in of_task if "failed" not in result]
        self.task = task
        self.failed = [result for result in of_task if "failed" in result]
        found = list(dict.fromkeys(result["method"] for result in done))
        self.methods = sorted(found, key=lambda name: (not name.startswith(OURS), name))
        self.rows: dict[str, Row] = {}
        self.left_out: list[str] = []
        for name in dict.fromkeys(result["dataset"] for result in done):
            row = _on_common_splits([result for result in done if result["dataset"] == name])
            if row:
                self.rows[name] = row
            else:
                self.left_out.append(name)

    def values(self, score: str) -> tuple[list[str], np.ndarray]:
        """
        The data sets that every method was tried on, and the mean scores on them, [N, K].

        They are NaN where a method failed or has no such score.
        """
        names, rows = [], []
        for name, row in self.rows.items():
            tried = {*row, *(result["method"] for result in self.failed if result["dataset"] == name)}
            if tried >= set(self.methods):
                names.append(name)
                rows.append([_mean(row.get(method, []), score) for method in self.methods])
        return names, np.array(rows).reshape(len(names), len(self.methods))


def _on_common_splits(results: list[dict[str, Any]]) -> Row:
    by_method: dict[str, dict[int, dict[str, Any]]] = {}
    for result in results:
        by_method.setdefault(result["method"], {})[result["split"]] = result
    common = sorted(set.intersection(*(set(of_method) for of_method in by_method.values())))
    return {method: [of_method[n] for n in common] for method, of_method in by_method.items()} if common else {}


def _scores(results: Sequence[dict[str, Any]], score: str) -> list[float]:
    return [result["scores"][score] for result in results if result["scores"].get(score) is not None]


def _mean(results: Sequence[dict[str, Any]], score: str) -> float:
    found = _scores(results, score)
    return float(np.mean(found)) if found else np.nan


def write(
    out: Path,
    *,
    halves: bool = False,
    datasets: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    splits: Sequence[int] | None = None,
    picture: Path | None = None,
) -> str:
    """
    Tables of the results in a folder, as Markdown.

    :param halves: whether of the halves of the training sets.
    :param datasets: only these; None for all.
    :param methods: only these; None for all.
    :param splits: only these; None for all.
    :param picture: where to draw the mean ranks of the classifiers by accuracy; a second file has "-nlpp" in its name.
    :raises ValueError: where there are no such results.
    """
    results = [
        result
        for result in read_results(out, halves=halves)
        if (datasets is None or result["dataset"] in datasets)
        and (methods is None or result["method"] in methods)
        and (splits is None or result["split"] in splits)
    ]
    tables = [table for task in (CLASSIFICATION, REGRESSION) if (table := Table(task, results)).rows or table.failed]
    if not tables:
        raise ValueError(f"{out} holds no results of these data sets, methods and splits.")
    if picture is not None:
        for table in tables[: tables[0].task == CLASSIFICATION]:
            _draw(table, "accuracy", picture)
            _draw(table, "nlpp", picture.with_name(f"{picture.stem}-nlpp{picture.suffix}"))
    kind = "HALVES OF THE TRAINING SETS" if halves else None
    return "\n\n".join([*([kind] if kind else []), *map(_section, tables), _machines(results)])


def _draw(table: Table, score: str, file: Path) -> None:
    names, values = table.values(score)
    if len(table.methods) < 2 or not names:
        return
    larger = next(larger for one, _, larger in _SCORES[table.task] if one == score)
    found = ranks.ranks(values, larger_is_better=bool(larger))
    title = {"accuracy": "Test accuracy", "nlpp": "NLPP"}[score]
    ranks.draw(table.methods, list(found.mean(axis=0)), len(names), file, title=title)


def _section(table: Table) -> str:
    parts = [f"### {table.task.capitalize()}", _data(table)]
    for score, title, larger in _SCORES[table.task]:
        parts += [f"{title}:", _score_table(table, score, larger)]
    costs: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("Seconds to fit (+ seconds that probabilities or deviations take beyond it):", _fit_seconds),
        ("Seconds to predict the test set:", lambda measured: _number(measured["predict_seconds"])),
        ("Peak memory of the process, MB:", lambda measured: _whole(measured.get("peak_memory_mb"))),
        ("Size of the saved estimator, MB:", lambda measured: _number(measured.get("file_mb"))),
    ]
    for title, cell in costs:
        parts += _cost_table(table, title, cell)
    reasons: dict[tuple[str, str], list[str]] = {}
    for result in table.failed:
        reasons.setdefault((result["method"], result["failed"]), []).append(f"{result['dataset']} {result['split']}")
    parts += [f"- {method} has no result ({reason}): {', '.join(of)}" for (method, reason), of in reasons.items()]
    parts += [f"- {name} is left out: its methods have no split in common" for name in table.left_out]
    return "\n\n".join(parts)


def _data(table: Table) -> str:
    lines = []
    for name, row in table.rows.items():
        one = next(iter(row.values()))[0]
        sizes = [one[key] for key in ("training_series", "test_series", "longest", "channels", "classes")]
        lines.append([name, *(str(size) if size else "" for size in sizes), _split_numbers(row)])
    return _markdown(
        ["data set", "training series", "test series", "time steps", "channels", "classes", "splits"], lines
    )


def _split_numbers(row: Row) -> str:
    numbers = [result["split"] for result in next(iter(row.values()))]
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))


def _score_table(table: Table, score: str, larger: bool | None) -> str:
    lines = []
    for name, row in table.rows.items():
        means = np.array([_mean(row.get(method, []), score) for method in table.methods])
        cells = [_with_error(_scores(row.get(method, []), score)) for method in table.methods]
        if larger is not None and np.isfinite(means).any():
            best = np.nanmax(means) if larger else np.nanmin(means)
            cells = [f"**{cell}**" if mean == best else cell for cell, mean in zip(cells, means, strict=True)]
        lines.append([name, *cells])
    names, values = table.values(score)
    if larger is not None and names and len(table.methods) > 1:
        found = ranks.ranks(values, larger_is_better=larger)
        lines.append([f"mean rank on {len(names)}", *(f"{rank:.2f}" for rank in found.mean(axis=0))])
        if len(names) > 1:
            p, difference = ranks.friedman_p_value(found), ranks.critical_difference(len(table.methods), len(names))
            note = (
                f"Friedman's test: p = {p:.2g}; critical difference of two mean ranks (Nemenyi, 5%): {difference:.2f}."
            )
            return "\n\n".join([_markdown(["data set", *table.methods], lines), note])
    return _markdown(["data set", *table.methods], lines)


def _with_error(values: Sequence[float]) -> str:
    """The mean, with its standard error where there are several splits; "-" for none."""
    if not values:
        return "-"
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1) / len(values) ** 0.5:.3f}"


def _cost_table(table: Table, title: str, cell: Callable[[dict[str, Any]], str]) -> list[str]:
    """A table of the means over splits; none where no method has such numbers."""
    cells = {
        name: [cell(_mean_measured(row[method])) if method in row else "" for method in table.methods]
        for name, row in table.rows.items()
    }
    shown = [i for i in range(len(table.methods)) if any(of[i] for of in cells.values())]
    if not shown:
        return []
    lines = [[name, *(of[i] for i in shown)] for name, of in cells.items()]
    return [title, _markdown(["data set", *(table.methods[i] for i in shown)], lines)]


def _mean_measured(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    measured = [result["measured"] for result in results]
    numbers = {name for one in measured for name, value in one.items() if isinstance(value, (int, float))}
    return {name: float(np.mean([one[name] for one in measured if name in one])) for name in numbers}


def _fit_seconds(measured: dict[str, Any]) -> str:
    more = measured.get("calibration_seconds")
    return _number(measured["fit_seconds"]) + ("" if more is None else f" + {_number(more)}")


def _number(value: float | None) -> str:
    return "" if value is None else (f"{value:.0f}" if value >= 10 else f"{value:.2g}")


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _markdown(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [heading, ["---"] * len(heading), *lines])


def _machines(results: Sequence[dict[str, Any]]) -> str:
    """Where the results come from: several revisions are said, as ours may differ between them."""
    found = [one["environment"] for one in results]
    machines = dict.fromkeys(f"{one['machine']['cores']} cores of {one['machine']['cpu']}" for one in found)
    revisions = dict.fromkeys((one["git"]["revision"] or "unknown")[:7] for one in found)
    return f"Measured on {' and '.join(machines)}; code of {', '.join(revisions)}."
