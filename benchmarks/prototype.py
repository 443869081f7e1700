"""
Finite differences on the CPU beside a program of their own, which does nothing else.

``python -m benchmarks.prototype FILE`` compiles FILE, which must print lines such as ``D8 B128 L256 ... nt2: fwd 1.5 ms
... f+b 5.5 ms``, and runs it and our operations in turn. What it calls f+b is what our gradient does: a sweep forward
that keeps what the way back needs, and the way back. So our gradient alone is compared with it.
"""

import argparse
import os
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

import sigkernel_tf as sk

from .timing import alternately

SHAPES = ((128, 256, 8), (1024, 64, 3))
_FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fopenmp")


def ours(pairs: int, length: int, channels: int, repeats: int) -> list[float]:
    """The seconds of a kernel, and of its gradient by both paths, of tensors made beforehand."""
    rng = np.random.default_rng(0)
    scale = 2 / length**0.5 / channels
    x, y = (tf.constant(rng.normal(size=(pairs, length, channels)).cumsum(1) * scale) for _ in "xy")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        k = sk.signature_kernel(x, y, solver=sk.FiniteDifference())
    upstream = tf.ones_like(k)

    def forward() -> tf.Tensor:
        return sk.signature_kernel(x, y, solver=sk.FiniteDifference())

    def gradient() -> list[tf.Tensor]:
        return tape.gradient(k, [x, y], output_gradients=upstream)

    return alternately([forward, gradient], repeats)


def of_prototype(program: Path, threads: int) -> dict[tuple[int, int, int], list[float]]:
    """For each shape, the seconds that the program prints."""
    printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    line = re.compile(r"D(\d+) B(\d+) L(\d+) .* nt(\d+): fwd ([\d.]+) ms .*f\+b ([\d.]+) ms")
    found = {}
    for channels, pairs, length, of_threads, *times in line.findall(printed):
        if int(of_threads) == threads:
            found[int(pairs), int(length), int(channels)] = [float(time) / 1e3 for time in times]
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prototype", description=__doc__)
    parser.add_argument("source", type=Path, help="the C++ program")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each in turn, of which the medians count")
    options = parser.parse_args()
    threads = os.cpu_count() or 1
    times: dict[tuple[int, int, int], list[list[float]]] = {shape: [] for shape in SHAPES}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "prototype"
        subprocess.run(["g++", *_FLAGS, str(options.source), "-o", str(program)], check=True)
        for _ in range(options.rounds):
            theirs = of_prototype(program, threads)
            for shape in SHAPES:
                times[shape].append([*ours(*shape, repeats=1), *theirs[shape]])
    print(f"{threads} threads, float64; medians of {options.rounds} in turn, milliseconds\n")
    print("| work | ours | prototype | ratio |\n|---|---|---|---|")
    for shape, rounds in times.items():
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        for kind, mine, their in zip(("forward", "gradient"), medians[:2], medians[2:], strict=True):
            name = "{} × L{} × D{}".format(*shape)
            print(f"| {name}, {kind} | {mine * 1e3:.3g} | {their * 1e3:.3g} | {mine / their:.2f} |")


if __name__ == "__main__":
    main()
