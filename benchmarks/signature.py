"""
The truncated signature against pySigLib, iisignature and keras_sig: forward, and forward + backward.

``python -m benchmarks.signature`` prints our milliseconds and how many times as long each peer takes, and how fast we
multiply and add, beside TensorFlow's matrix product in the same run. It needs the extra ``bench``.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np
import tensorflow as tf

import sigkernel_tf as sk

from .timing import alternately, fastest

Call = Callable[[], object]
_LONGEST_GRAPH = 1000
_MATRIX = 1000
AIMS = {"pySigLib": 2, "iisignature": 10, "keras_sig": 50}
"""How many times as fast as each peer we mean to be."""


@dataclass(frozen=True)
class Work:
    """A batch of paths and a depth."""

    count: int
    length: int
    channels: int
    depth: int

    def paths(self, dtype: str) -> np.ndarray:
        """Random walks [count, length, channels] of about unit extent."""
        steps = np.random.default_rng(0).normal(size=(self.count, self.length, self.channels))
        return (steps.cumsum(axis=1) / np.sqrt(self.length * self.channels)).astype(dtype)

    def multiply_adds(self) -> int:
        """Of the forward pass: at each step a word of k letters takes one, and one for each level beyond k."""
        a_step = sum((1 + self.depth - k) * self.channels**k for k in range(1, self.depth + 1))
        return self.count * (self.length - 1) * a_step

    def __str__(self) -> str:
        return f"{self.count} × L{self.length} × D{self.channels}, depth {self.depth}"


WORKS = (
    Work(500, 50, 2, 4),
    Work(128, 30, 29, 2),
    Work(128, 100, 5, 4),
    Work(64, 100, 3, 6),
    Work(16, 10_000, 8, 3),
    Work(256, 100, 10, 3),
    Work(1000, 46, 2, 8),
)


def matrix_product(dtype: str) -> Call:
    """TensorFlow's product of two matrices of ``_MATRIX`` rows and columns."""
    A = tf.random.stateless_normal([_MATRIX, _MATRIX], (0, 0), dtype=dtype)
    return lambda: tf.linalg.matmul(A, A)


def _gradient(function: Callable[[tf.Tensor], tf.Tensor], X: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(X)
        value = function(X)
    return tape.gradient(value, X, output_gradients=upstream)


def ours(X: np.ndarray, depth: int, *, backward: bool) -> list[Call]:
    """Our two ways, eager and in a graph, on a tensor made beforehand."""
    x = tf.constant(X)
    upstream = tf.ones_like(sk.signature(x, depth))

    def step(y: tf.Tensor) -> tf.Tensor:
        return _gradient(lambda z: sk.signature(z, depth), y, upstream) if backward else sk.signature(y, depth)

    graph = tf.function(step, autograph=False)
    return [lambda: step(x), lambda: graph(x)]


def with_pysiglib(X: np.ndarray, depth: int, *, backward: bool) -> list[Call]:
    """The peer's ways: on one thread or all cores, with or without Horner's scheme, by its functions or autograd."""
    import pysiglib
    import torch

    x = torch.tensor(X)
    if not backward:
        return [
            lambda jobs=jobs, horner=horner: pysiglib.sig(x, depth, horner=horner, n_jobs=jobs)
            for jobs in (1, -1)
            for horner in (True, False)
        ]
    upstream = torch.ones_like(pysiglib.sig(x, depth))

    def plain(jobs: int) -> Call:
        return lambda: pysiglib.sig_backprop(x, pysiglib.sig(x, depth, n_jobs=jobs), upstream, depth, n_jobs=jobs)

    def autograd(jobs: int) -> Call:
        def call() -> torch.Tensor | None:
            y = x.clone().requires_grad_(True)
            pysiglib.torch_api.sig(y, depth, n_jobs=jobs).backward(upstream)
            return y.grad

        return call

    return [way(jobs) for jobs in (1, -1) for way in (plain, autograd)]


def with_iisignature(X: np.ndarray, depth: int, *, backward: bool) -> list[Call]:
    """The peer's one way: on one thread, whole batches at a time. Its backward pass computes the signature itself."""
    import iisignature

    if not backward:
        return [lambda: iisignature.sig(X, depth)]
    upstream = np.ones_like(iisignature.sig(X, depth))

    def both() -> np.ndarray:
        iisignature.sig(X, depth)
        return iisignature.sigbackprop(upstream, X, depth)

    return [both]


def with_keras_sig(X: np.ndarray, depth: int, *, backward: bool) -> list[Call]:
    """
    The peer's ways: parallel over time, in a graph or compiled by XLA, or step by step in a graph.

    Step by step its graph grows with the length. Paths of 10,000 steps are left out there, and so is XLA, which takes
    minutes to compile it.
    """
    import keras_sig

    x = tf.constant(X)
    ways = []
    for parallel, compiled in ((True, False), (True, True), (False, False)):
        if not parallel and X.shape[1] > _LONGEST_GRAPH:
            continue
        layer = keras_sig.SigLayer(depth, gpu_optimized=parallel, dtype=X.dtype.name)
        upstream = tf.ones_like(layer(x))
        step = tf.function(
            lambda y, layer=layer, upstream=upstream: _gradient(layer, y, upstream) if backward else layer(y),
            jit_compile=compiled,
            autograph=False,
        )
        ways.append(lambda step=step: step(x))
    return ways


PEERS = {"pySigLib": with_pysiglib, "iisignature": with_iisignature, "keras_sig": with_keras_sig}


def that_agree(ways: Sequence[Call], expected: np.ndarray) -> tuple[list[Call], str]:
    """
    The ways of a peer that work and give the same numbers, and what was wrong with the last one that does not.

    In float64 a way may differ by 1e-6, because iisignature computes its gradient in float32.
    """
    good, trouble = [], ""
    tolerance = 1e-2 if expected.dtype == np.float32 else 1e-6
    for way in ways:
        try:
            value = np.asarray(way())
        except Exception as error:  # whatever a peer raises for what it cannot do
            trouble = f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"
            continue
        if value.ndim == 2 and value.shape[1] == expected.shape[1] - 1:
            value = np.insert(value, 0, 1, axis=1)  # the empty word, which peers leave out
        error = np.abs(value - expected).max() / np.abs(expected).max()
        if error <= tolerance:
            good.append(way)
        else:
            trouble = f"differs by {error:.0e}"
    return good, trouble


def compare(work: Work, dtype: str, repeats: int, *, backward: bool) -> None:
    """
    Prints a row: our milliseconds, the rate of our forward pass and that of the matrix product in billions of
    multiply-adds a second, then each peer's milliseconds and their ratio to ours.
    """
    X = work.paths(dtype)
    mine = fastest(ours(X, work.depth, backward=backward))
    expected = np.asarray(mine())
    cells, calls, notes = {}, {}, []
    for name, peer in PEERS.items():
        good, trouble = that_agree(peer(X, work.depth, backward=backward), expected)
        if good:
            calls[name] = fastest(good)
        else:
            cells[name] = "no"
            notes.append(f"{name}: {trouble}")
    seconds = alternately([mine, matrix_product(dtype), *calls.values()], repeats)
    rates = "" if backward else f"{work.multiply_adds() / seconds[0] / 1e9:.3g} of {_MATRIX**3 / seconds[1] / 1e9:.3g}"
    for name, theirs in zip(calls, seconds[2:], strict=True):
        cells[name] = f"{theirs * 1e3:.3g} ({theirs / seconds[0]:.3g})"
    kind = "forward + backward" if backward else "forward"
    row = [f"{work}, {kind}", dtype, f"{seconds[0] * 1e3:.3g}", rates, *(cells[name] for name in PEERS), *notes]
    print("| " + " | ".join(row) + " |", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signature", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="timings of each, of which the median counts")
    parser.add_argument("--works", type=int, nargs="*", default=range(len(WORKS)), help="which, by number from 0")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--dtypes", nargs="*", default=["float64", "float32"], choices=["float64", "float32"])
    options = parser.parse_args()
    for name in set(PEERS) - set(options.peers):
        del PEERS[name]
    print(f"{os.cpu_count()} cores; milliseconds, and in brackets the ratio to ours\n")
    print("| work | dtype | ours | rate | " + " | ".join(f"{name} (aim: {AIMS[name]})" for name in PEERS) + " |")
    print("|---|---|---|---|" + "---|" * len(PEERS))
    for index in options.works:
        for dtype in options.dtypes:
            for backward in (False, True):
                compare(WORKS[index], dtype, options.repeats, backward=backward)


if __name__ == "__main__":
    main()
