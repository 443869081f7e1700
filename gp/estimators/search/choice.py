"""The whole search: each kind of kernel is screened, the best candidates are validated, and the best one is refined."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..options import Options
from ..panels import Series
from ..tasks import Task
from ..threads import one_thread
from . import lifted, windows
from .candidate import Bench, LiftedCandidate
from .neighbours import neighbours
from .refinement import refined
from .truncated import Choice, choose_truncated, quick_nlpp

_WORK = 4e9  # cells of a screening, at effort 1: about five seconds on two cores
_SERIES_FOR_MORE = 1500  # with so many times more series, the later rounds may take as many times more work, up to five
_VARIED = 3  # so many candidates of each kind, the best at first, are varied
_OF_EACH_KIND = 6  # so many candidates of each kind, the best at first, are screened again on more series
_VALIDATED = 5  # so many of these, the best, are validated
_NEIGHBOURS = 20_000  # pairs of series for each series: the work of a search among neighbours
_DOUBT = 0.1, 0.02  # by so much, relative and in nats, a quick look may be wrong about truncated kernels
_GAIN = 0.2, 0.03  # of the NLPP, relative and in nats, over √series, for which refined parameters are taken


@dataclass(frozen=True)
class Round:
    """How much work a later round of the search may take, and on how many series it looks."""

    work: float
    """Cells, at effort 1."""
    most: int
    fewest: int = 80

    def rows(self, bench: Bench, candidates: Sequence[LiftedCandidate]) -> np.ndarray:
        """The numbers of the series on which these few candidates are compared."""
        times = float(np.clip(len(bench.series) / _SERIES_FOR_MORE, 1.0, 5.0))
        size = bench.num_series(times * self.work, [one.kernel for one in candidates], most=self.most)
        return bench.rows(max(size, self.fewest))


_SECOND = Round(_WORK, 1000)
_VALIDATION = Round(2.5 * _WORK, 2500)


@dataclass(frozen=True)
class Found:
    """The kernel that a search has chosen."""

    kind: str
    candidate: LiftedCandidate | Choice

    @property
    def validation_nlpp(self) -> float:
        """The NLPP by which it was chosen."""
        return self.candidate.validation_nlpp


def choose(
    series: Series, task: Task, options: Options, random: np.random.Generator, report: Callable[[str], None]
) -> tuple[Found, list[dict]]:
    """
    Search as this package's docstring says.

    :return: what was chosen, and a table of all that was tried, that first and the others by their validation NLPP.
    """
    bench = Bench(series, task, options, random, report)
    kinds = [kind for kind in options.kernels if kind != "truncated"]
    # Matrices this small gain little from threads, which are slow where other programs use the cores.
    with one_thread():
        best, rows = _best_lifted(bench, kinds) if kinds else (None, np.empty(0, int))
    table = _sorted([candidate.row() for candidate in bench.table])
    if "truncated" in options.kernels and (best is None or _is_truncated_promising(bench, best, rows)):
        choice, of_truncated = choose_truncated(series, task, options, random, report)
        tried = [{"kind": "truncated", **row} for row in of_truncated]
        if best is None or _is_surely_better(choice, best):
            return Found("truncated", choice), [*tried, *table]
        table = _sorted([*table, *tried])
    assert best is not None
    chosen = best.row()
    return Found(best.kernel.kind, best), [chosen, *(row for row in table if row != chosen)]


def _is_truncated_promising(bench: Bench, best: LiftedCandidate, rows: np.ndarray) -> bool:
    """
    Whether a truncated kernel may be better than the best lifted one, which makes the whole search worth it.

    :param rows: the series on which the lifted one was validated.
    """
    nlpp = quick_nlpp(bench.series, bench.task, bench.options, rows, bench.random, bench.report)
    bench.report(f"validation NLPP {nlpp:.4f} of a truncated kernel at a quick look, {best.validation_nlpp:.4f} lifted")
    # Numbers are fitted by least squares in any case. Classes are not, with a truncated kernel, and lose by it.
    doubt = _DOUBT[0] * abs(best.validation_nlpp) + _DOUBT[1] if bench.task.strata is None else 0.0
    return nlpp < best.validation_nlpp + doubt


def _is_surely_better(choice: Choice, best: LiftedCandidate) -> bool:
    """
    Whether a truncated kernel predicts better than the best lifted one, by more than one standard error.

    On halves of training sets lifted kernels do better in most cases, so that small sets need a reason against them.
    """
    if choice.left_out is None or best.left_out is None:
        return choice.validation_nlpp < best.validation_nlpp
    return choice.left_out.is_surely_better(best.left_out)


def _best_lifted(bench: Bench, kinds: Sequence[str]) -> tuple[LiftedCandidate, np.ndarray]:
    """The best lifted candidate, and the series on which it was validated."""
    finalists = [candidate for kind in kinds for candidate in _screened(bench, kind)]
    finalists = bench.screened(finalists, _SECOND.rows(bench, finalists))
    rows = _VALIDATION.rows(bench, finalists[:_VALIDATED])
    found = [bench.validated(candidate, rows, "validated") for candidate in finalists[:_VALIDATED]]
    best = min(found, key=lambda candidate: candidate.validation_nlpp)
    found.append(bench.validated(refined(bench, best), rows, "refined"))
    # The gradient has seen the series that validate, so that a small gain means nothing.
    gain = best.validation_nlpp - found[-1].validation_nlpp
    needed = (_GAIN[0] * abs(best.validation_nlpp) + _GAIN[1]) / len(rows) ** 0.5
    best = found[-1] if gain > needed else best
    around = neighbours(best, lambda one: bench.validated(one, rows, "neighbour"), _num_neighbours(bench, best, rows))
    best = min([best, *around], key=lambda candidate: candidate.validation_nlpp)
    found += around
    known = {candidate.kernel for candidate in found}
    bench.table = found + [one for one in (*finalists, *bench.table) if one.kernel not in known]
    return best, rows


def _num_neighbours(bench: Bench, best: LiftedCandidate, rows: np.ndarray) -> int:
    """
    How many neighbours may be validated; none, where there are too few series to tell them apart.

    The work grows with the kernel of the whole set, which the fit computes with up to three thousand inducing series.
    """
    num_series = len(bench.series)
    if num_series < _SERIES_FOR_MORE:
        return 0
    of_pair = best.kernel.work(bench.length, bench.num_channels)
    return int(bench.options.effort * _NEIGHBOURS * num_series * of_pair / bench.work_of(best, len(rows)))


def _screened(bench: Bench, kind: str) -> list[LiftedCandidate]:
    """The best of a kind, on as many series as the work allows."""
    of_kind = {"lifted": lifted, "windows": windows}[kind]
    first = bench.affordable(of_kind.candidates(bench))
    rows = bench.rows(bench.num_series(_WORK, [one.kernel for one in first]))
    bench.report(f"{kind}: {len(first)} candidates on {len(rows)} series")
    found = bench.screened(first, rows)
    of_best = bench.affordable([other for one in found[:_VARIED] for other in of_kind.variations(bench, one)])
    found = sorted([*found, *bench.screened(of_best, rows)], key=lambda one: one.screening_nlpp)
    bench.table += found
    return found[:_OF_EACH_KIND]


def _sorted(table: list[dict]) -> list[dict]:
    return sorted(
        table,
        key=lambda row: (
            row["validation_nlpp"] is None,
            row["validation_nlpp"] or 0.0,
            row.get("screening_nlpp") is None,
            row.get("screening_nlpp") or 0.0,
        ),
    )
