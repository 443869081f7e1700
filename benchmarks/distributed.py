"""
What a step of training, and a fit by least squares, take in one process and in several on this machine.

``python -m benchmarks.distributed`` starts the processes itself, two unless ``--workers`` says otherwise, each with its
share of the cores. For each shape of model and data it prints the wall and the CPU time of a step in phase 2, by rows
and by latent processes beside a single process, whose choice the rule of thumb makes, and those of a fit by least
squares. On a machine that is busy otherwise only the CPU times mean something.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gpflow
import numpy as np
import tensorflow as tf

from sigkernel_tf.gp import SigGPDE, TrainingOptions, connect_workers, fit_least_squares
from sigkernel_tf.gp.data import as_rows
from sigkernel_tf.gp.training.sharing import SHARES, cheaper_share, make_steps
from sigkernel_tf.gp.training.workers import as_workers

REPEATS = 5


@dataclass(frozen=True)
class Shape:
    """Paths of a length, in channels; rows in a batch; inducing variables; classes; steps in a call."""

    length: int
    channels: int
    batch_size: int
    num_inducing: int
    classes: int
    steps: int


SHAPES = {
    "pendigits": Shape(8, 3, 50, 500, 10, 10),
    "satellite": Shape(46, 2, 200, 800, 24, 2),
    "long": Shape(300, 3, 50, 100, 2, 4),
}
FIT = Shape(46, 2, 20_000, 500, 10, 1)


def paths(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(shape.batch_size, shape.length, shape.channels)).cumsum(axis=1) / shape.length**0.5
    return X.reshape(shape.batch_size, -1), rng.integers(0, shape.classes, (shape.batch_size, 1))


def model_of(shape: Shape) -> gpflow.models.SVGP:
    return SigGPDE(
        shape.channels,
        shape.num_inducing,
        likelihood=gpflow.likelihoods.MultiClass(shape.classes),
        num_latent_gps=shape.classes,
        lengthscales=np.full(shape.channels, 2.0),
        num_data=1000,
    )


def timed(call: Callable[[], object], repeats: int = REPEATS) -> dict[str, float]:
    """The least wall and CPU milliseconds of a call, after one that is not timed."""
    call()
    found = []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        call()
        found.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    wall, cpu = (1e3 * min(times) for times in zip(*found, strict=True))
    return {"wall": wall, "cpu": cpu}


def measure(strategy: Any, names: list[str]) -> dict[str, Any]:
    """What one process measures, by name and way; processes that are connected wait for each other in each call."""
    workers, found = as_workers(strategy), {}
    for name in names:
        shape = SHAPES[name]
        X, Y = paths(shape)
        many = tf.constant(np.stack([X] * shape.steps)), tf.constant(np.stack([Y] * shape.steps))
        for share in SHARES if workers.size > 1 else SHARES[:1]:
            model = model_of(shape)
            steps = make_steps(model, TrainingOptions(batch_size=shape.batch_size), workers, share, X.shape[1])
            run = steps.compile(as_rows((X, Y), model.likelihood), with_hyperparameters=True)
            own = tuple(part[:, steps.rows] for part in many)

            def call(run: Any = run, own: Any = own, steps: Any = steps) -> int:
                run(*own)
                return steps.iteration

            time_of = timed(call)
            found[f"{name} {share}"] = {key: value / shape.steps for key, value in time_of.items()}
    X, Y = paths(FIT)
    found["least squares fit"] = timed(
        lambda: fit_least_squares(model_of(FIT), X, Y[:, 0], calibrate=False, strategy=strategy), repeats=2
    )
    return found


def start(count: int, names: list[str], shares: int) -> list[dict[str, Any]]:
    """Start some connected processes, each with one of so many shares of the cores, and return what they measure."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    cores, started = sorted(os.sched_getaffinity(0)), []
    for rank in range(count):
        task = {"type": "worker", "index": rank}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task}) if count > 1 else ""
        own = ",".join(str(core) for core in cores[rank::shares]) or str(cores[rank % len(cores)])
        command = ["taskset", "-c", own, sys.executable, "-m", "benchmarks.distributed", "--measure", *names]
        environment = {**os.environ, "TF_CONFIG": config, "TF_CPP_MIN_LOG_LEVEL": "3"}
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    printed = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError("a process has failed; what it printed says why.")
    return [json.loads(text.splitlines()[-1]) for text in printed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=f"some of {', '.join(SHAPES)}; all by default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)  # in a process that was started
    options = parser.parse_args()
    names = options.shapes or list(SHAPES)
    if unknown := set(names) - set(SHAPES):
        parser.error(f"SHAPE must be one of {', '.join(SHAPES)}, got {', '.join(sorted(unknown))}")
    if options.measure:
        strategy = connect_workers() if os.environ.get("TF_CONFIG") else None
        print(json.dumps(measure(strategy, names)))
        return
    [alone], together = start(1, names, options.workers), start(options.workers, names, options.workers)
    print(f"milliseconds, wall (CPU of one process); each process has {os.cpu_count()} / {options.workers} cores")
    for name in together[0]:
        one = alone.get(name) or alone[f"{name.split()[0]} rows"]
        several = {key: max(found[name][key] for found in together) for key in ("wall", "cpu")}
        chosen = ""
        if name.split()[0] in SHAPES:
            shape = SHAPES[name.split()[0]]
            width = shape.length * shape.channels
            chosen = cheaper_share(model_of(shape), shape.batch_size, options.workers, width)
        print(
            f"{name:22s} 1 process {one['wall']:8.1f} ({one['cpu']:8.1f})   {options.workers} processes "
            f"{several['wall']:8.1f} ({several['cpu']:8.1f})" + (f"   the rule: {chosen}" if chosen else "")
        )


if __name__ == "__main__":
    main()
