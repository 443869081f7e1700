"""
Error against time, of both solvers here and of pySigLib's two, under a linear and an RBF static kernel.

``python -m benchmarks.kernel error-against-time --out figure.png`` draws it and prints tables. Each method computes the
same pairs on one core. Times are CPU seconds, so that other programs on the machine matter little.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysiglib
import tensorflow as tf
import torch

import sigkernel_tf as sk

from .reference import increments_of, kernel_of_increments
from .timing import alternately, one_thread_clock

_REFERENCES = 2  # pairs whose error is looked at
_PAIRS = {46: 1024, 200: 64}
_LENGTHSCALE = 1.0
_TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12)
_DYADIC_ORDERS = range(5)
_POLYNOMIAL_ORDERS = (4, 6, 8, 10, 12, 16)
_PEERS = "pySigLib, "
_STYLES = {
    "PowerSeries": ("o", "C0"),
    "FiniteDifference": ("s", "C0"),
    _PEERS + "polynomials": ("o", "C1"),
    _PEERS + "finite differences": ("s", "C1"),
}


@dataclass(frozen=True)
class Case:
    """Pairs of paths, and what compares their points."""

    static_kernel: str  # "linear" or "RBF"
    length: int
    dtype: type[np.floating]

    def __str__(self) -> str:
        return f"{self.static_kernel}, L{self.length}, {np.dtype(self.dtype).name}"

    def paths(self) -> tuple[np.ndarray, np.ndarray]:
        """Random walks of two channels; under the linear kernel of about unit reach, else of unit deviation."""
        rng = np.random.default_rng(0)
        shape = (_PAIRS[self.length], self.length, 2)
        X, Y = (rng.normal(size=shape).cumsum(axis=1) / np.sqrt(self.length) for _ in range(2))
        if self.static_kernel == "RBF":
            X, Y = (2 * paths for paths in (X, Y))
        return X.astype(self.dtype), Y.astype(self.dtype)

    def exact(self) -> np.ndarray:
        """k of the first pairs, of the numbers as they are in this dtype."""
        X, Y = (paths[:_REFERENCES] for paths in self.paths())
        lengthscale = _LENGTHSCALE if self.static_kernel == "RBF" else None
        pairs = zip(X, Y, strict=True)
        return np.array([kernel_of_increments(increments_of(x, y, lengthscale), degree=40) for x, y in pairs])


@dataclass(frozen=True)
class Point:
    """One setting of a method: its error, relative to max(1, |k|), and its CPU seconds for a pair."""

    method: str
    setting: str
    error: float
    seconds: float


def methods(case: Case) -> dict[tuple[str, str], Callable[[], object]]:
    """What is timed, by method and setting."""
    X, Y = case.paths()
    x, y = tf.constant(X), tf.constant(Y)
    is_rbf = case.static_kernel == "RBF"
    kappa = functools.partial(sk.static_kernels.rbf, lengthscale=_LENGTHSCALE) if is_rbf else None
    solvers: dict[tuple[str, str], sk.Solver] = {
        ("FiniteDifference", str(order)): sk.FiniteDifference(order) for order in _DYADIC_ORDERS
    }
    smallest = float(np.finfo(case.dtype).eps)
    for tolerance in _TOLERANCES:
        if tolerance > smallest:
            solvers["PowerSeries", f"{tolerance:g}"] = sk.PowerSeries(tolerance)
    solvers["PowerSeries", "None"] = sk.PowerSeries()
    found: dict[tuple[str, str], Callable[[], object]] = {
        name: functools.partial(sk.signature_kernel, x, y, static_kernel=kappa, solver=solver)
        for name, solver in solvers.items()
    }
    theirs = [("finite differences", order, {"dyadic_order": order}) for order in _DYADIC_ORDERS]
    theirs += [("polynomials", order, {"method": "polynomial", "order": order}) for order in _POLYNOMIAL_ORDERS]
    # Their RBF kernel is exp(-|x - y|² / sigma).
    peers_kernel = pysiglib.RBFKernel(2 * _LENGTHSCALE**2) if is_rbf else None
    a, b = torch.tensor(X), torch.tensor(Y)
    for name, order, options in theirs:
        found[_PEERS + name, str(order)] = functools.partial(
            pysiglib.sig_kernel, a, b, static_kernel=peers_kernel, n_jobs=1, **options
        )
    return found


def measure(case: Case, repeats: int) -> list[Point]:
    """All methods of a case, timed in turn."""
    named, exact = methods(case), case.exact()
    seconds = alternately(list(named.values()), repeats, clock=one_thread_clock)
    points = []
    for ((method, setting), call), time in zip(named.items(), seconds, strict=True):
        values = np.asarray(call())[:_REFERENCES]
        error = np.max(np.abs(values - exact) / np.maximum(1, np.abs(exact)))
        points.append(Point(method, setting, float(error), time / _PAIRS[case.length]))
    return points


def print_table(case: Case, points: list[Point]) -> None:
    """A Markdown table: ours beside theirs."""
    print(f"\n{case}\n\n| ours | relative error | µs a pair | | pySigLib | relative error | µs a pair |")
    print("|---|---|---|---|---|---|---|")
    mine = [point for point in points if not point.method.startswith(_PEERS)]
    theirs = [point for point in points if point.method.startswith(_PEERS)]
    for n in range(max(len(mine), len(theirs))):
        cells = []
        for side in (mine, theirs):
            if n >= len(side):
                cells.append(" | | ")
                continue
            point = side[n]
            name = f"{point.method.removeprefix(_PEERS)}, {point.setting}"
            if side is mine:
                name = f"`{point.method}({point.setting})`"
            cells.append(f"{name} | {point.error:.0e} | {point.seconds * 1e6:.2f}")
        print(f"| {cells[0]} | | {cells[1]} |", flush=True)


def draw(measured: dict[Case, list[Point]], file: Path) -> None:
    """A panel for each case, both axes logarithmic."""
    from matplotlib.figure import Figure

    cases = list(measured)
    columns = len(cases) // 2
    figure = Figure(figsize=(3.1 * columns, 6.4), layout="constrained")
    panels = figure.subplots(2, columns, squeeze=False).ravel()
    for panel, case in zip(panels, cases, strict=True):
        for method, (marker, colour) in _STYLES.items():
            points = [point for point in measured[case] if point.method == method and np.isfinite(point.error)]
            errors = [max(point.error, 1e-17) for point in points]
            panel.plot([point.seconds * 1e6 for point in points], errors, marker=marker, color=colour,
                       markersize=4, linewidth=1, label=method)  # fmt: skip
        panel.set(title=str(case), xscale="log", yscale="log")
        panel.grid(alpha=0.3)
    figure.supxlabel("CPU microseconds a pair")
    figure.supylabel("relative error")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    figure.savefig(file, dpi=110)


def error_against_time(repeats: int, file: Path | None) -> None:
    """Measures all cases, prints their tables and draws them."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    torch.set_num_threads(1)
    cases = [
        Case(static_kernel, length, dtype)
        for dtype in (np.float64, np.float32)
        for static_kernel in ("linear", "RBF")
        for length in _PAIRS
    ]
    measured = {}
    for case in cases:
        measured[case] = measure(case, repeats)
        print_table(case, measured[case])
    if file is not None:
        draw(measured, file)
