"""
The Keras layer against Keras Sig's: the time of a training step of one small model, backend by backend, on the CPU.

``python -m benchmarks.layer --out figure.png`` prints a table and draws the ratios. Each backend has a process of its
own, in which both layers are timed in turn. Keras Sig is timed with the fastest of its settings, which is found first.
The benchmark needs the extras ``backends`` and ``bench``.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np

from .timing import alternately, fastest

BACKENDS = ("tensorflow", "jax", "torch")
LENGTHS, DEPTHS = (20, 100, 500), (2, 3, 4)
BATCH, CHANNELS, CLASSES = 128, 5, 4
# Whether the step is compiled, which XLA does on TensorFlow and JAX. What Keras chooses on a CPU comes first.
_JIT = {"tensorflow": (False, True), "jax": (True,), "torch": (False,)}

Step = Callable[[], object]


def step(layer: object, length: int, *, jit: bool) -> Step:
    """A training step on one batch of a model with ``layer`` between two dense layers, the same for every layer."""
    import keras

    rng = np.random.default_rng(0)
    X = (rng.normal(size=(BATCH, length, CHANNELS)).cumsum(axis=1) / np.sqrt(length)).astype("float32")
    y = rng.integers(0, CLASSES, BATCH)
    model = keras.Sequential([
        keras.Input((length, CHANNELS)), keras.layers.Dense(CHANNELS), layer,
        keras.layers.Dense(CLASSES, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=jit)
    return lambda: model.train_on_batch(X, y)


def theirs(backend: str, length: int, depth: int) -> list[Step]:
    """The steps of Keras Sig: in its matrix form and its loop form, compiled or not."""
    from keras_sig import SigLayer

    # Its loop under TensorFlow's XLA is left out: ten times slower at length 100, and minutes to compile at 500.
    settings = [(gpu, jit) for gpu in (True, False) for jit in _JIT[backend] if gpu or jit == _JIT[backend][0]]
    return [step(SigLayer(depth, stream=False, gpu_optimized=gpu), length, jit=jit) for gpu, jit in settings]


def measure(backend: str, repeats: int) -> None:
    """Prints a row for each length and depth, as JSON; this is what the process of one backend runs."""
    import sigkernel_tf as sk

    for length in LENGTHS:
        for depth in DEPTHS:
            ours = [step(sk.SignatureLayer(depth), length, jit=jit) for jit in _JIT[backend]]
            seconds = alternately([*ours, fastest(theirs(backend, length, depth))], repeats)
            row = {"backend": backend, "length": length, "depth": depth, "ours": seconds[0], "theirs": seconds[-1]}
            print(json.dumps(row | ({"jit": seconds[1]} if len(ours) > 1 else {})), flush=True)


def run(backend: str, repeats: int) -> list[dict]:
    """The rows of one backend, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.layer", "--measure", backend, "--repeats", str(repeats)]
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    rows = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                rows.append(row := json.loads(line))
                jit = f"{row['jit'] * 1e3:12.2f}" if "jit" in row else " " * 12
                print(f"{backend:12} {row['length']:6} {row['depth']:5} {row['ours'] * 1e3:10.2f} {jit} "
                      f"{row['theirs'] * 1e3:14.2f} {row['theirs'] / row['ours']:7.1f}", flush=True)  # fmt: skip
    if process.returncode != 0:
        raise RuntimeError(f"the process of {backend} failed, status {process.returncode}; see above.")
    return rows


def draw(rows: list[dict], path: str) -> None:
    """Draws a panel for each backend: how many times as long Keras Sig's step takes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    backends = list(dict.fromkeys(row["backend"] for row in rows))
    figure, axes = pyplot.subplots(1, len(backends), figsize=(3.6 * len(backends), 3.2), sharey=True, squeeze=False)
    for axis, backend in zip(axes[0], backends, strict=True):
        for depth in DEPTHS:
            mine = [row for row in rows if (row["backend"], row["depth"]) == (backend, depth)]
            ratios = [row["theirs"] / row["ours"] for row in mine]
            axis.plot([row["length"] for row in mine], ratios, marker="o", label=f"depth {depth}")
        axis.axhline(1, color="grey", linewidth=0.8)
        axis.set(title=backend, xlabel="length", xscale="log", yscale="log", xticks=LENGTHS, xticklabels=LENGTHS)
        axis.minorticks_off()
    axes[0, 0].set_ylabel("Keras Sig's step / ours")
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layer", description=__doc__)
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--repeats", type=int, default=7, help="timings of each, of which the median counts")
    parser.add_argument("--out", help="where to write the figure")
    parser.add_argument("--measure", choices=BACKENDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.repeats)
        return
    print(f"batch {BATCH}, {CHANNELS} channels, float32, {os.cpu_count()} cores; milliseconds a training step\n")
    print(f"{'backend':12} {'length':>6} {'depth':>5} {'ours':>10} {'ours, jit':>12} {'Keras Sig':>14} {'ratio':>7}")
    rows = [row for backend in options.backends for row in run(backend, options.repeats)]
    if options.out:
        draw(rows, options.out)


if __name__ == "__main__":
    main()
