"""How long kernels and signatures take, beside pySigLib's on the same GPU, and which memory."""

import ctypes
from collections.abc import Callable, Iterator
from ctypes import c_int64
from dataclasses import dataclass

import numpy as np

from .accuracy import LIMIT, epsilons
from .cases import Case, measured_shapes, walks
from .driver import DTYPES, DeviceError, Driver, Kernel, Signature
from .peer import Peer, PeerKernel, PeerSignature
from .report import Row

PART = "times: forward; with gradient"
SIGNATURES = "times of signatures: forward; with gradient"
PEAK = "the fastest multiply-adds of this run"
# About how many floating-point instructions a cell takes with two channels, forward and backward, by degree: of finite
# differences by the formulas, of power series as counted in machine code for sm_90.
FLOATING = {0: (8, 22), 4: (82, 207), 6: (142, 375), 8: (218, 591), 10: (310, 855), 12: (418, 1168), 16: (682, 1935)}
OF_CHANNEL = (1, 3)  # for each more
# Bytes of scratch memory: what warps at work need and portions of pairs, refined pairs, and a few numbers a pair.
MOST_SCRATCH, MOST_SCRATCH_OF_PAIR = (1 << 30) + (256 << 20) + (256 << 20), 64
MOST_SCRATCH_OF_SIGNATURES = 256 << 20
PAIRS_OF_PEER = 16384  # at once: its increments and states of more may not fit


def milliseconds(driver: Driver, function: Callable[[], object], is_small: bool) -> float:
    """The median of several calls, of as many as fit a third of a second."""
    function()
    driver.wait()
    once = driver.milliseconds(function)
    count = 1 if is_small else int(np.clip(300 / max(once, 1e-3), 2, 20))
    return float(np.median([once, *(driver.milliseconds(function) for _ in range(count - 1))]))


def peak_of(driver: Driver, dtype: str, is_small: bool) -> float:
    """Multiply-adds a second."""
    properties = driver.device()
    blocks, steps = (1, 10) if is_small else (8 * properties.multiprocessors, 100_000 if dtype == "float" else 30_000)
    out, call = driver.empty((blocks * 256,), DTYPES[dtype]), driver.begin(is_dirty=False)

    def run() -> None:
        driver.call(f"check_peak_{dtype}", c_int64(blocks), c_int64(steps), ctypes.byref(call), out.pointer)

    return blocks * 256 * 16 * steps / milliseconds(driver, run, is_small) * 1e3


def arithmetic(plans: np.ndarray, channels: int, is_backward: bool) -> float:
    """Floating-point instructions of a cell, on average over the pairs as they were solved."""
    kinds, pairs = np.unique(plans, return_counts=True)
    counts = np.array([FLOATING.get(int(plan) & 0xFF, (0, 0))[is_backward] for plan in kinds], float)
    of_cell = (counts + (channels - 2) * OF_CHANNEL[is_backward]) * 4.0 ** (np.maximum(kinds, 0) >> 8)
    return float(np.average(of_cell, weights=pairs))


def inputs(name: str, count: int, length: int, channels: int, cases: dict[str, Case]) -> tuple[np.ndarray, np.ndarray]:
    """Paths of which the first pair has an answer, where there is one."""
    generator = np.random.default_rng(count + length)
    X, Y = (walks(generator, count, length, channels, 2.0) for _ in range(2))
    case = cases.get(f"timed, {name}, differences")
    if case is not None:
        X[0], Y[0] = case["X"][0], case["Y"][0]
    return X, Y


def increments_of_peer(X: np.ndarray, Y: np.ndarray, pairing: str) -> tuple[np.ndarray, int]:
    """Increments [n, rows, columns] of so many pairs, and how often as many there are."""
    dx, dy = np.diff(X, axis=1), np.diff(Y, axis=1)
    if pairing != "gram":
        return dx @ dy.transpose(0, 2, 1), 1
    count = min(len(X) * len(Y), PAIRS_OF_PEER)
    rows = np.arange(count) // len(Y), np.arange(count) % len(Y)
    return dx[rows[0]] @ dy[rows[1]].transpose(0, 2, 1), -(-len(X) * len(Y) // count)


def of_peer(
    make: Callable[[], PeerKernel | PeerSignature], driver: Driver, is_small: bool
) -> tuple[list[float], np.ndarray | None, str]:
    """Milliseconds forward and with gradient, as far as it came, its first numbers, and what went wrong."""
    times: list[float] = []
    first = None
    try:
        peer = make()
        times.append(milliseconds(driver, peer.forward, is_small))
        first = peer.k.read() if isinstance(peer, PeerKernel) else peer.words.read()
        times.append(milliseconds(driver, peer.both, is_small))
    except (DeviceError, MemoryError) as error:
        return times, first, str(error)
    return times, first, ""


def both(run: Kernel | Signature) -> int:
    """Forward and backward, without NaN in the scratch memory, which would take time."""
    return max(run.forward(is_dirty=False), run.backward(is_dirty=False))


def told(ours: list[float], peers: list[float], units: float, shares: list[float], problem: str) -> str:
    """Milliseconds, 10^9 units a second, the share of the peak, and how much faster than the peer."""
    said = []
    for n, (time, share) in enumerate(zip(ours, shares, strict=True)):
        text = f"{time:.4g} ms, {units / time / 1e6:.3g} G/s" + (f", {100 * share:.0f}% of peak" if share else "")
        said.append(text + (f", pySigLib {peers[n]:.4g} ms ({peers[n] / time:.2g} x)" if n < len(peers) else ""))
    return "; ".join(said) + (f"; {problem}" if problem else "")


@dataclass(frozen=True)
class Shape:
    """What is timed."""

    name: str
    count: int
    length: int
    channels: int
    pairing: str


@dataclass(frozen=True)
class Timed:
    """What all of these have in common. ``peaks``: multiply-adds a second by type."""

    driver: Driver
    peer: Peer | None
    cases: dict[str, Case]
    is_small: bool
    peaks: dict[str, float]

    def row(
        self, shape: Shape, dtype: str, what: str, X: np.ndarray, Y: np.ndarray, in_double: np.ndarray | None
    ) -> Row:
        """``in_double``: k by the kernels of double."""
        kernel = Kernel(self.driver, dtype, X, Y, what=what, pairing=shape.pairing)
        scratch = max(kernel.forward(is_dirty=False), both(kernel))
        ours = [self.milliseconds(lambda: kernel.forward(is_dirty=False)), self.milliseconds(lambda: both(kernel))]
        found = kernel.results()
        k, cells = found["k"], found["k"].size * (shape.length - 1.0) ** 2
        work = np.cumsum([arithmetic(found["plan"], shape.channels, is_backward) for is_backward in (False, True)])
        shares = [cells * w / (t * 1e-3) / self.peaks[dtype] for w, t in zip(work, ours, strict=True)]
        error = first_error(k, in_double, self.cases.get(f"timed, {shape.name}, {what}"), dtype)
        peers, of_peer_first, problem = self.of_peer(shape, dtype, what, X, Y)
        most = MOST_SCRATCH + MOST_SCRATCH_OF_PAIR * k.size
        is_good = bool(error <= LIMIT and scratch <= most and np.isfinite(found["dX"]).all())
        details = {
            "milliseconds": ours, "peer": peers, "peer_problem": problem, "cells": cells, "share": shares,
            "scratch": scratch, "error": error, "k": k.ravel()[:4].tolist(),
            "plans": {str(plan): int((found["plan"] == plan).sum()) for plan in np.unique(found["plan"])},
        }  # fmt: skip
        if of_peer_first is not None:
            details["peer_differs"] = float(np.abs(of_peer_first - k.ravel()[: of_peer_first.size]).max())
        text = told(ours, peers, cells, shares, problem)
        text += f"; first pair off by {error:.3g} eps, scratch {scratch / 2**20:.0f} MB"
        return Row(PART, f"{shape.name}, {dtype}, {what}", text, is_good, details)

    def milliseconds(self, function: Callable[[], object]) -> float:
        return milliseconds(self.driver, function, self.is_small)

    def of_peer(
        self, shape: Shape, dtype: str, what: str, X: np.ndarray, Y: np.ndarray
    ) -> tuple[list[float], np.ndarray | None, str]:
        if self.peer is None:
            return [], None, ""
        increments, repeats = increments_of_peer(X, Y, shape.pairing)
        peer = self.peer
        return of_peer(
            lambda: PeerKernel(peer, dtype, increments, shape.channels, what=what, repeats=repeats),
            self.driver,
            self.is_small,
        )


def of_kernels(driver: Driver, peer: Peer | None, cases: dict[str, Case], is_small: bool) -> Iterator[Row]:
    peaks = {dtype: peak_of(driver, dtype, is_small) for dtype in DTYPES}
    for dtype, peak in peaks.items():
        yield Row(PEAK, dtype, f"{peak / 1e9:.4g} G/s", None, {"peak": peak})
    timed = Timed(driver, peer, cases, is_small, peaks)
    for shape in (Shape(*one) for one in measured_shapes(is_small)):
        X, Y = inputs(shape.name, shape.count, shape.length, shape.channels, cases)
        for what in ("differences", "series"):
            in_double = None
            for dtype in ("double", "float"):
                row = timed.row(shape, dtype, what, X, Y, in_double)
                in_double = np.array(row.details["k"])
                yield row


def first_error(k: np.ndarray, in_double: np.ndarray | None, case: Case | None, dtype: str) -> float:
    """Of the first pair, in epsilons; where there is no answer, of float from double, and of double from itself."""
    if case is not None:
        return epsilons(k.ravel()[:1], case["k"], case["scale"], dtype)
    first = k.ravel()[:4].astype(np.float64)
    in_double = first if in_double is None else in_double
    return epsilons(first, in_double, np.abs(in_double).max(), dtype)


def of_signatures(driver: Driver, peer: Peer | None, is_small: bool) -> Iterator[Row]:
    shapes = [(4, 10, 2, 3)] if is_small else [(1024, 46, 2, 6), (128, 256, 8, 4), (32, 1024, 8, 3)]
    for count, length, channels, depth in shapes:
        paths = walks(np.random.default_rng(depth), count, length, channels, 2.0)
        words = sum(channels**n for n in range(depth + 1))
        for dtype in DTYPES:
            run = Signature(driver, dtype, paths, words)
            scratch = both(run)
            times = [milliseconds(driver, lambda: run.forward(is_dirty=False), is_small)]  # noqa: B023
            times.append(milliseconds(driver, lambda: both(run), is_small))  # noqa: B023
            make = None if peer is None else lambda: PeerSignature(peer, dtype, paths, depth)  # noqa: B023
            peers, _, problem = ([], None, "") if make is None else of_peer(make, driver, is_small)
            is_good = scratch <= MOST_SCRATCH_OF_SIGNATURES and bool(np.isfinite(run.d_paths.read()).all())
            text = (
                told(times, peers, count * (length - 1.0) * words, [0, 0], problem)
                + f"; scratch {scratch / 2**20:.0f} MB"
            )
            details = {"milliseconds": times, "peer": peers, "peer_problem": problem, "scratch": scratch}
            yield Row(SIGNATURES, f"{count} x L{length} x D{channels}, depth {depth}, {dtype}", text, is_good, details)
