"""What is measured of a run: the mean and the deviation over its seeds, and how tables write them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .datasets import PaperScore

HEADINGS = {
    "accuracy": "accuracy, %",
    "nlpp": "NLPP",
    "roc_auc": "area under ROC",
    "elbo": "ELBO, nats",
    "seconds_per_iteration": "seconds per iteration",
    "cpu_seconds": "CPU seconds of the fit",
}
"""The measures, in the order of the tables' columns, and what these are called."""
PAPER_HARDWARE = "The paper measured its seconds on an NVIDIA Tesla P100."

Summary = dict[str, dict[str, float | None]]
"""For each measure its ``mean`` and its ``deviation``, None where it is not known."""


def summary(seeds: Sequence[dict[str, Any]]) -> Summary:
    """The mean of each measure over seeds, and its sample deviation (ddof 1), which is None for a single seed."""
    return {measure: _mean_and_deviation([_measured(seed, measure) for seed in seeds]) for measure in HEADINGS}


def _measured(seed: dict[str, Any], measure: str) -> float | None:
    if measure == "elbo":  # at the end of training
        return seed["history"][-1]["elbo"] if seed.get("history") else None
    return seed.get(measure)


def _mean_and_deviation(values: Sequence[float | None]) -> dict[str, float | None]:
    known = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(known)) if known else None,
        "deviation": float(np.std(known, ddof=1)) if len(known) > 1 else None,
    }


def shown_measures(summaries: Sequence[Summary], *, elbo: bool = False) -> list[str]:
    """
    The measures that a table shows.

    The area under the ROC curve and the CPU seconds are shown only if a summary has them.

    :param elbo: whether to show the ELBO.
    """
    shown = {one: any(ours[one]["mean"] is not None for ours in summaries) for one in ("roc_auc", "cpu_seconds")}
    return [measure for measure in HEADINGS if {**shown, "elbo": elbo}.get(measure, True)]


def cells(found: Summary, measures: Sequence[str]) -> list[str]:
    """A row of a table: the measures of a summary."""
    return [cell(measure, **found[measure]) for measure in measures]


def paper_summary(score: PaperScore | None) -> Summary:
    """The paper's scores of a model as a summary; all None for a model that it has no scores of."""
    known: dict[str, tuple[float | None, float | None]] = {}
    if score is not None:
        seconds = (score.seconds_per_iteration, None)
        known = {"accuracy": score.accuracy, "nlpp": score.nlpp, "seconds_per_iteration": seconds}
    pairs = {measure: known.get(measure, (None, None)) for measure in HEADINGS}
    return {measure: {"mean": mean, "deviation": deviation} for measure, (mean, deviation) in pairs.items()}


def cell(measure: str, mean: float | None, deviation: float | None) -> str:
    """A number with its deviation, in the measure's unit and digits; "-" for None."""
    if mean is None:
        return "-"
    scale, digits = {
        "accuracy": (100.0, 2),
        "elbo": (1.0, 0),
        "seconds_per_iteration": (1.0, 4),
        "cpu_seconds": (1.0, 0),
    }.get(measure, (1.0, 3))
    text = f"{scale * mean:.{digits}f}"
    return text if deviation is None else f"{text} ± {scale * deviation:.{digits}f}"
