"""
What an estimate of the error costs.

``python -m benchmarks.errors`` prints, for each work, how much CPU time ``return_error=True`` adds to a kernel with its
gradient, in units of one forward pass, and the ratio (forward + error + gradient) / (forward + gradient + forward). All
of it runs on one thread, and the three take turns. Needs no peer.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

import sigkernel_tf as sk

from .timing import alternately, one_thread_clock

Call = Callable[[], object]


@dataclass(frozen=True)
class Work:
    """One row of the table: random walks of about unit reach."""

    pairs: int
    length: int
    channels: int
    gram: bool = False

    def __str__(self) -> str:
        name = f"Gram of {self.pairs}" if self.gram else f"{self.pairs} pair{'s' if self.pairs > 1 else ''}"
        return f"{name}, L{self.length}, D{self.channels}"


WORKS = (Work(128, 46, 2, gram=True), Work(128, 256, 3), Work(16, 800, 2), Work(1, 2000, 8))
SOLVERS = (sk.PowerSeries(), sk.FiniteDifference(0), sk.FiniteDifference(1))


def calls(work: Work, solver: sk.Solver, dtype: str) -> list[Call]:
    """Forward; forward + gradient; forward + error + gradient."""
    rng = np.random.default_rng(0)
    shape, step = (work.pairs, work.length, work.channels), 2 / np.sqrt(work.length) / work.channels
    paths = [tf.constant((rng.normal(size=shape).cumsum(axis=1) * step).astype(dtype)) for _ in "XY"]
    kernel = sk.signature_kernel_gram if work.gram else sk.signature_kernel

    def forward() -> object:
        return kernel(*paths, solver=solver)

    def with_gradient(return_error: bool) -> object:
        with tf.GradientTape() as tape:
            tape.watch(paths)
            found = kernel(*paths, solver=solver, return_error=return_error)
            k = found[0] if return_error else found
        return tape.gradient(k, paths), found

    return [forward, lambda: with_gradient(False), lambda: with_gradient(True)]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.errors", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="turns of each, of which the median counts")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print("| work | dtype | solver | forward, ms | with gradient, ms | the error adds, forward passes | ratio |")
    print("|---|---|---|---|---|---|---|")
    for work in WORKS:
        for dtype in ("float64", "float32"):
            for solver in SOLVERS:
                forward, gradient, error = alternately(calls(work, solver, dtype), options.repeats, one_thread_clock)
                name = "`PowerSeries()`" if solver == sk.PowerSeries() else f"`FiniteDifference({solver.dyadic_order})`"
                added, ratio = (error - gradient) / forward, error / (gradient + forward)
                times = f"{forward * 1e3:.2f} | {gradient * 1e3:.2f}"
                print(f"| {work} | {dtype} | {name} | {times} | {added:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
