"""
The signature kernel against pySigLib: speed, error and memory.

``python -m benchmarks.kernel`` prints ratios of speed and peak memory; ``python -m benchmarks.kernel
error-against-time`` draws error against time of both libraries' solvers, and prints tables of it. ``--device gpu``
compares the speed of both on a GPU. The benchmark needs the extra ``bench``.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pysiglib
import tensorflow as tf
import torch

import sigkernel_tf as sk

from .error_against_time import error_against_time
from .reference import increments_of, kernel_of_increments
from .timing import alternately, fastest, peak_memory

Call = Callable[[], object]
_SAME_ERROR = 1e-10


@dataclass(frozen=True)
class Work:
    """One row of the table."""

    pairs: int
    length: int
    channels: int
    finite_differences: tuple[float, float | None] | None = None
    """Ratios to be reached, forward and forward + backward; None: not asked for."""
    power_series: tuple[float, float | None] | None = None
    gram: bool = False

    def paths(self) -> tuple[np.ndarray, np.ndarray]:
        """Random walks [pairs, length, channels] of about unit reach."""
        rng = np.random.default_rng(0)
        shape = (self.pairs, self.length, self.channels)
        X, Y = (rng.normal(size=shape).cumsum(axis=1) * 2 / np.sqrt(self.length) / self.channels for _ in range(2))
        return X, X if self.gram else Y

    def __str__(self) -> str:
        return f"{'Gram of' if self.gram else 'pairs'} {self.pairs} × L{self.length} × D{self.channels}"


WORKS = (
    Work(128, 256, 8, finite_differences=(15, 20), power_series=(10, 12)),
    Work(1024, 64, 3, finite_differences=(15, 20)),
    Work(256, 46, 2, finite_differences=(8, None), gram=True),
    Work(1024, 46, 2, power_series=(10, 12)),
    Work(32, 1024, 8, finite_differences=(20, None)),
    Work(1, 2000, 8, finite_differences=(4, None)),
)


def ours(X: np.ndarray, Y: np.ndarray, solver: sk.Solver, *, gram: bool, backward: bool, device: str = "cpu") -> Call:
    """Our kernel, and with ``backward`` its gradient by both arguments, on tensors made beforehand."""
    with tf.device(f"{device}:0"):
        x, y = tf.constant(X), tf.constant(Y)

    def forward() -> tf.Tensor:
        return sk.signature_kernel_gram(x, solver=solver) if gram else sk.signature_kernel(x, y, solver=solver)

    def both() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([x, y])
            k = forward()
        return tape.gradient(k, [x, y])

    return waiting(both if backward else forward, device, tf.test.experimental.sync_devices)


def waiting(function: Call, device: str, wait: Call) -> Call:
    """``function``, on a GPU followed by ``wait``, because a call there returns before its work is done."""
    if device == "cpu":
        return function

    def run() -> object:
        result = function()
        wait()
        return result

    return run


def peers(
    X: np.ndarray, Y: np.ndarray, *, gram: bool, backward: bool, device: str = "cpu", **method: object
) -> list[Call]:
    """The peer's ways to do the same on all cores; it may keep the grid of the forward pass for the backward pass."""
    ways = _peers(X, Y, gram=gram, backward=backward, device="cuda" if device == "gpu" else "cpu", **method)
    return [waiting(way, device, torch.cuda.synchronize) for way in ways]


def _peers(X: np.ndarray, Y: np.ndarray, *, gram: bool, backward: bool, device: str, **method: object) -> list[Call]:
    x, y = torch.tensor(X, device=device), torch.tensor(Y, device=device)
    every = {"n_jobs": -1, **method}
    if gram:
        return [lambda: pysiglib.sig_kernel_gram(x, y, **every)]
    if not backward:
        return [lambda: pysiglib.sig_kernel(x, y, **every)]
    upstream = torch.ones(len(X), dtype=x.dtype, device=device)
    both = {"left_deriv": True, "right_deriv": True, **every}

    def plain() -> object:
        pysiglib.sig_kernel(x, y, **every)
        return pysiglib.sig_kernel_backprop(upstream, x, y, **both)

    def with_grid() -> object:
        grid = pysiglib.sig_kernel(x, y, return_grid=True, **every)
        return pysiglib.sig_kernel_backprop(upstream, x, y, k_grid=grid, **both)

    def autograd() -> object:
        a, b = x.clone().requires_grad_(True), y.clone().requires_grad_(True)
        pysiglib.torch_api.sig_kernel(a, b, **every).sum().backward()
        return a.grad, b.grad

    return [plain, autograd] if method.get("method") == "polynomial" else [plain, with_grid, autograd]


def reference(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """k of pairs in extended precision."""
    return np.array([kernel_of_increments(increments_of(x, y)) for x, y in zip(X, Y, strict=True)])


def as_array(k: object) -> np.ndarray:
    """The ``k`` that either library returned on either device, as an array."""
    return np.asarray(k.cpu() if isinstance(k, torch.Tensor) else k)


def relative_error(k: object, exact: np.ndarray) -> float:
    """Largest error relative to max(1, |k|), of the pairs that ``exact`` has."""
    values = as_array(k)[: len(exact)]
    return float(np.max(np.abs(values - exact) / np.maximum(1, np.abs(exact))))


def order_at(error: float, X: np.ndarray, Y: np.ndarray, exact: np.ndarray) -> int:
    """The peer's smallest polynomial order with at most that error."""
    x, y = torch.tensor(X[: len(exact)]), torch.tensor(Y[: len(exact)])
    for order in range(2, 41):
        if relative_error(pysiglib.sig_kernel(x, y, method="polynomial", order=order), exact) <= error:
            return order
    return 40


def _row(name: str, mine: float, theirs: float, target: float | None, note: str = "") -> None:
    asked = "" if target is None else f"{target:>6g}"
    print(f"{name:52} {mine * 1e3:9.2f} {theirs * 1e3:9.2f} {theirs / mine:7.1f} {asked:>6}  {note}", flush=True)


def compare(work: Work, repeats: int, device: str) -> None:
    """Prints the rows of a work."""
    X, Y = work.paths()
    kinds = (("forward", False), ("forward + backward", True))
    if work.finite_differences is not None:
        for (kind, backward), target in zip(kinds, work.finite_differences, strict=True):
            if backward and target is None:
                continue
            mine = ours(X, Y, sk.FiniteDifference(), gram=work.gram, backward=backward, device=device)
            theirs = fastest(peers(X, Y, gram=work.gram, backward=backward, device=device, dyadic_order=0))
            note = ""
            if not backward:
                a, b = (as_array(call()).ravel() for call in (mine, theirs))
                note = f"differ by {relative_error(a, b):.0e}"
            seconds = alternately([mine, theirs], repeats)
            _row(f"{work}, finite differences, {kind}", *seconds, target, note)
    if work.power_series is not None:
        exact = reference(X[:2], Y[:2])
        order = order_at(_SAME_ERROR, X, Y, exact)
        for (kind, backward), target in zip(kinds, work.power_series, strict=True):
            mine = ours(X, Y, sk.PowerSeries(_SAME_ERROR), gram=False, backward=backward, device=device)
            method = {"method": "polynomial", "order": order}
            theirs = fastest(peers(X, Y, gram=False, backward=backward, device=device, **method))
            note = f"order {order}"
            if not backward:
                note += f"; errors {relative_error(mine(), exact):.0e}, {relative_error(theirs(), exact):.0e}"
            seconds = alternately([mine, theirs], repeats)
            _row(f"{work}, power series, {kind}", *seconds, target, note)


def compare_dtypes(repeats: int, device: str) -> None:
    """Prints our times in float32 and in float64."""
    X, Y = Work(1024, 64, 3).paths()
    for solver, name in ((sk.FiniteDifference(), "finite differences"), (sk.PowerSeries(1e-5), "power series at 1e-5")):
        single, double = (
            ours(X.astype(dtype), Y.astype(dtype), solver, gram=False, backward=False, device=device)
            for dtype in (np.float32, np.float64)
        )
        seconds = alternately([single, double], repeats)
        _row(f"float32 against float64, {name}", *seconds, 1.6)


_SETUP = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf, sigkernel_tf as sk
def run(pairs, length, channels, backward):
    rng = np.random.default_rng(0)
    shape, scale = (pairs, length, channels), 2 / length**0.5 / channels
    X, Y = (tf.constant(rng.normal(size=shape).cumsum(1) * scale) for _ in "xy")
    if "inputs" in globals():
        return X, Y
    return go(X, Y, backward)
def go(X, Y, backward):
    with tf.GradientTape() as tape:
        tape.watch([X, Y])
        k = sk.signature_kernel(X, Y, solver=SOLVER)
    return tape.gradient(k, [X, Y]) if backward else k
"""


def compare_memory() -> None:
    """Prints our peak memory beyond the inputs, each measured in a process of its own."""
    print(f"\n{'peak memory above the inputs':52} {'MB':>9} {'asked':>9}")
    for name, solver, shape, backward, target in (
        ("64 pairs × L1024 × D8, power series, with backward", "sk.PowerSeries(1e-12)", (64, 1024, 8), True, 300),
        ("1 pair × L100,000 × D2, finite differences", "sk.FiniteDifference()", (1, 100_000, 2), False, 100),
    ):
        setup = (
            _SETUP
            + f"SOLVER = {solver}\nrun(16, 20, {shape[2]}, {backward})\ninputs = True\nX, Y = run(*{shape}, {backward})"
        )
        megabytes = peak_memory(setup, f"go(X, Y, {backward})")
        print(f"{name:52} {megabytes:9.0f} {target:>9}", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel", description=__doc__)
    parser.add_argument("what", nargs="?", default="speed", choices=["speed", "error-against-time"])
    parser.add_argument("--repeats", type=int, default=7, help="timings of each, of which the median counts")
    parser.add_argument("--device", default="cpu", choices=["cpu", "gpu"], help="where both compute; for speed")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to draw error against time")
    options = parser.parse_args()
    if options.device == "gpu" and not (tf.config.list_physical_devices("GPU") and torch.cuda.is_available()):
        parser.error("--device gpu needs a GPU that both TensorFlow and PyTorch see, and there is none")
    if options.what == "error-against-time":
        error_against_time(options.repeats, options.out)
        return
    print(f"pySigLib {pysiglib.__version__ if hasattr(pysiglib, '__version__') else ''}, {os.cpu_count()} cores\n")
    print(f"{'work, float64':52} {'ours, ms':>9} {'peer, ms':>9} {'ratio':>7} {'asked':>6}")
    for work in WORKS:
        compare(work, options.repeats, options.device)
    compare_dtypes(options.repeats, options.device)
    if options.device == "cpu":
        compare_memory()


if __name__ == "__main__":
    main()
