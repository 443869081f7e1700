"""The whole search: each kind of kernel is screened, the best candidates are validated, and the best one is refined."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..options import Options
from ..panels import Series
from ..tasks import Task
from . import lifted, windows
from .candidate import Bench, LiftedCandidate
from .refinement import refined
from .truncated import Choice, choose_truncated, quick_nlpp

_WORK = 4e9  # cells of a screening, at effort 1: about five seconds on two cores
_SHAPES = 3  # so many windows, the best by evidence, get other lengthscales and variances
_HALVED = 12  # so many candidates are screened again on twice as many series
_VALIDATED = 5  # so many candidates, the best by evidence, are validated
_MOST_SERIES = 600  # in the screening of few candidates, and in the validation


@dataclass(frozen=True)
class Found:
    """The kernel that a search has chosen."""

    kind: str
    candidate: LiftedCandidate | Choice
    validation_nlpp: float


def choose(
    series: Series, task: Task, options: Options, random: np.random.Generator, report: Callable[[str], None]
) -> tuple[Found, list[dict]]:
    """
    Search as this package's docstring says.

    :return: what has the lowest validation NLPP, and a table of all that was tried, best first.
    """
    bench = Bench(series, task, options, random, report)
    kinds = [kind for kind in options.kernels if kind != "truncated"]
    best = _best_lifted(bench, kinds) if kinds else None
    table = [candidate.row() for candidate in bench.table]
    if "truncated" in options.kernels:
        promising = best is None or _is_promising(bench, best, series, task, options, random, report)
        if promising:
            choice, of_truncated = choose_truncated(series, task, options, random, report)
            table += [{"kind": "truncated", **row} for row in of_truncated]
            if best is None or choice.validation_nlpp < best.validation_nlpp:
                return Found("truncated", choice, choice.validation_nlpp), _sorted(table)
    assert best is not None
    return Found(best.kernel.kind, best, best.validation_nlpp), _sorted(table)


def _is_promising(
    bench: Bench,
    best: LiftedCandidate,
    series: Series,
    task: Task,
    options: Options,
    random: np.random.Generator,
    report: Callable[[str], None],
) -> bool:
    """Whether a truncated kernel may be better than the best lifted one, which makes the whole search worth it."""
    rows = _validation_rows(bench, [best])
    nlpp = quick_nlpp(series, task, options, rows, random, report)
    report(f"validation NLPP {nlpp:.4f} of the truncated kernel at a quick look, {best.validation_nlpp:.4f} lifted")
    return nlpp < best.validation_nlpp


def _best_lifted(bench: Bench, kinds: Sequence[str]) -> LiftedCandidate:
    finalists = []
    for kind in kinds:
        finalists += _screened(bench, kind)
    rows = _more_rows(bench, finalists)
    finalists = bench.screened(finalists, rows)
    rows = _validation_rows(bench, finalists[:_VALIDATED])
    found = [bench.validated(candidate, rows, "validated") for candidate in finalists[:_VALIDATED]]
    found.sort(key=_nlpp)
    found.append(bench.validated(refined(bench, found[0]), rows, "refined"))
    known = {candidate.kernel for candidate in found}
    bench.table = found + [one for one in (*finalists, *bench.table) if one.kernel not in known]
    return min(found, key=_nlpp)


def _screened(bench: Bench, kind: str) -> list[LiftedCandidate]:
    """The best of a kind, by their evidence on as many series as the work allows."""
    first = bench.affordable(lifted.candidates(bench) if kind == "lifted" else windows.shapes(bench))
    rows = bench.rows(bench.num_series(_WORK, [one.kernel for one in first]))
    bench.report(f"{kind}: {len(first)} candidates on {len(rows)} series")
    found = bench.screened(first, rows)
    if kind == "windows":
        of_best = bench.affordable([other for one in found[:_SHAPES] for other in windows.variations(bench, one)])
        found = sorted([*found, *bench.screened(of_best, rows)], key=lambda one: -one.evidence)
    bench.table += found
    return found[: _HALVED // 2]


def _more_rows(bench: Bench, candidates: Sequence[LiftedCandidate]) -> np.ndarray:
    size = bench.num_series(_WORK, [one.kernel for one in candidates])
    return bench.rows(min(max(size, 2 * 40), _MOST_SERIES))


def _validation_rows(bench: Bench, candidates: Sequence[LiftedCandidate]) -> np.ndarray:
    return _more_rows(bench, candidates)


def _nlpp(candidate: LiftedCandidate) -> float:
    return candidate.validation_nlpp


def _sorted(table: list[dict]) -> list[dict]:
    return sorted(
        table,
        key=lambda row: (
            row["validation_nlpp"] is None,
            row["validation_nlpp"] or 0.0,
            -np.inf if row["evidence"] is None else -row["evidence"],
        ),
    )
