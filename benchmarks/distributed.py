"""
What a step of training, and fits in closed form, take in one process and in several on this machine.

``python -m benchmarks.distributed`` starts the processes itself, two unless ``--workers`` says otherwise. Each of them,
the single process too, is bound by ``taskset`` to its share of the cores: on two cores one process has one core, and
two processes have one each. One process and several are measured in turn, twice, and the lesser time counts. On a
machine that is busy otherwise, CPU times say more than wall times, but those of connected processes include the time in
which a process polls for the others.

For each shape of model and data it prints the time of a step in phase 2, by rows and by latent processes beside a
single process, whose choice the rule of thumb makes. Then come a fit by least squares, and the parts of a fit in closed
form: the features of all rows, a pass over them, and the step that follows it. From these and the sizes of what is
sent the last table reckons, on paper, a pass on many machines of this kind with this share of cores each.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gpflow
import numpy as np
import tensorflow as tf

from sigkernel_tf.gp import ClosedFormOptions, SigGPDE, TrainingOptions, connect_workers, fit_least_squares
from sigkernel_tf.gp.data import as_rows
from sigkernel_tf.gp.training.closed_form_run import Run
from sigkernel_tf.gp.training.feature_maps import NUMBERS_KEPT
from sigkernel_tf.gp.training.latents import latents_of
from sigkernel_tf.gp.training.natural_state import moved
from sigkernel_tf.gp.training.sharing import SHARES, cheaper_share, make_steps
from sigkernel_tf.gp.training.workers import Alone, as_workers

TURNS = 2
MACHINES, ROWS = (8, 16, 32, 64), (10**6, 10**8)
BYTES_PER_SECOND = 1.25e9  # of a network with 10 Gbit/s
Times = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Shape:
    """Paths of a length, in channels; rows in a batch; inducing variables; classes; steps in a call; timed calls."""

    length: int
    channels: int
    batch_size: int
    num_inducing: int
    classes: int
    steps: int
    repeats: int = 5
    shares: tuple[str, ...] = SHARES


SHAPES = {
    "pendigits": Shape(8, 3, 50, 500, 10, 10),
    "satellite": Shape(46, 2, 200, 800, 24, 2),
    "long": Shape(300, 3, 50, 100, 2, 4),
    "longest": Shape(1000, 3, 512, 100, 2, 1, repeats=1, shares=SHARES[:1]),
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


def timed(call: Callable[[], object], repeats: int) -> dict[str, float]:
    """The least wall and CPU milliseconds of a call, after one that is not timed."""
    call()
    found = []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        call()
        found.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    wall, cpu = (1e3 * min(times) for times in zip(*found, strict=True))
    return {"wall": wall, "cpu": cpu}


def small(shape: Shape) -> Shape:
    """A shape that takes moments."""
    length, batch_size, num_inducing = min(shape.length, 6), min(shape.batch_size, 60), min(shape.num_inducing, 20)
    return replace(shape, length=length, batch_size=batch_size, num_inducing=num_inducing, repeats=1)


def measure(strategy: Any, shapes: dict[str, Shape], of_fit: Shape) -> Times:
    """What one process measures, by name and way; processes that are connected wait for each other in each call."""
    workers, found = as_workers(strategy), {}
    for name, shape in shapes.items():
        X, Y = paths(shape)
        many = tf.constant(np.stack([X] * shape.steps)), tf.constant(np.stack([Y] * shape.steps))
        for share in shape.shares if workers.size > 1 else SHARES[:1]:
            model = model_of(shape)
            steps = make_steps(model, TrainingOptions(batch_size=shape.batch_size), workers, share, X.shape[1])
            run = steps.compile(as_rows((X, Y), model.likelihood), with_hyperparameters=True)
            own = tuple(part[:, steps.rows] for part in many)

            def call(run: Any = run, own: Any = own, steps: Any = steps) -> int:
                run(*own)
                return steps.iteration

            time_of = timed(call, shape.repeats)
            found[f"{name} {share}"] = {key: value / shape.steps for key, value in time_of.items()}
    X, Y = paths(of_fit)
    found["least squares fit"] = timed(
        lambda: fit_least_squares(model_of(of_fit), X, Y[:, 0], calibrate=False, strategy=strategy), repeats=1
    )
    return {**found, **parts_of_a_fit(workers, of_fit)}


def parts_of_a_fit(workers: Alone, shape: Shape) -> Times:
    """The parts of a fit in closed form."""
    model = model_of(shape)
    options = ClosedFormOptions(progress=False)
    run = Run(model, latents_of(model), as_rows(paths(shape), model.likelihood), options, workers)
    run.progress = replace(run.progress, by_softmax=False)
    run._read_model()
    passes = run._passes_over(run.data)
    start = time.perf_counter(), time.process_time()
    look = passes(run.state)
    first = {"wall": 1e3 * (time.perf_counter() - start[0]), "cpu": 1e3 * (time.process_time() - start[1])}
    later = timed(lambda: passes(run.state), repeats=2)
    return {
        "features of all rows": {key: max(first[key] - later[key], 0.0) for key in first},
        "a pass": later,
        "the step after it": timed(lambda: moved(run.state, look, 1.0).factors, repeats=1),
    }


def sent(machines: int, num_inducing: int, classes: int) -> float:
    """Bytes that each machine sends in a pass, where a sum goes around a ring."""
    numbers = classes * (num_inducing * (num_inducing + 1) // 2 + num_inducing)
    return 2.0 * (machines - 1) / machines * 8.0 * numbers


def computed(rows: int, machines: int, measured: Times, shape: Shape = FIT) -> float:
    """Seconds that each machine computes for a pass; features for which there is no memory are computed anew."""
    own, seconds = rows / machines, {name: found["wall"] / 1e3 for name, found in measured.items()}
    anew = max(own - NUMBERS_KEPT / shape.num_inducing, 0.0)
    of_rows = own * seconds["a pass"] + anew * seconds["features of all rows"]
    return of_rows / shape.batch_size + seconds["the step after it"]


def on_paper(measured: Times, shape: Shape) -> list[str]:
    """The lines of the table about many machines."""
    lines = [
        f"a pass on paper: paths of {shape.length} points in {shape.channels} channels, M = {shape.num_inducing}, "
        f"C = {shape.classes}",
        "       rows  machines  MB sent by each  seconds to send them (10 Gbit/s)  seconds computed by each",
    ]
    for rows in ROWS:
        for machines in MACHINES:
            size = sent(machines, shape.num_inducing, shape.classes)
            lines.append(
                f"{rows:11.0e}  {machines:8d}  {size / 1e6:15.1f}  {size / BYTES_PER_SECOND:32.3f}  "
                f"{computed(rows, machines, measured, shape):24.1f}"
            )
    return lines


def least(found: Sequence[Times]) -> Times:
    """The least times of several measurements, by name."""
    return {name: {key: min(one[name][key] for one in found) for key in ("wall", "cpu")} for name in found[0]}


def slowest(found: Sequence[Times]) -> Times:
    """The times of the process that takes longest, by name."""
    return {name: {key: max(one[name][key] for one in found) for key in ("wall", "cpu")} for name in found[0]}


def start(count: int, arguments: list[str], shares: int) -> list[Times]:
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
        command = ["taskset", "-c", own, sys.executable, "-m", "benchmarks.distributed", "--measure", *arguments]
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
    parser.add_argument("--small", action="store_true", help="small shapes, to see in a minute that it runs")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)  # in a process that was started
    options = parser.parse_args()
    names = options.shapes or list(SHAPES)
    if unknown := set(names) - set(SHAPES):
        parser.error(f"SHAPE must be one of {', '.join(SHAPES)}, got {', '.join(sorted(unknown))}")
    sized: Callable[[Shape], Shape] = small if options.small else lambda shape: shape
    shapes, of_fit = {name: sized(SHAPES[name]) for name in names}, sized(FIT)
    if options.measure:
        strategy = connect_workers() if os.environ.get("TF_CONFIG") else None
        print(json.dumps(measure(strategy, shapes, of_fit)))
        return
    arguments = [*names, *(["--small"] if options.small else [])]
    turns = [tuple(start(count, arguments, options.workers) for count in (1, options.workers)) for _ in range(TURNS)]
    alone, together = (least([slowest(found) for found in side]) for side in zip(*turns, strict=True))
    cores = len(os.sched_getaffinity(0))
    print(f"milliseconds, wall (CPU of one process); each process is bound to {cores} / {options.workers} cores")
    for name, several in together.items():
        one = alone.get(name) or alone[f"{name.split()[0]} rows"]
        chosen = ""
        if name.split()[0] in shapes:
            shape = shapes[name.split()[0]]
            width = shape.length * shape.channels
            chosen = cheaper_share(model_of(shape), shape.batch_size, options.workers, width)
        print(
            f"{name:22s} 1 process {one['wall']:8.1f} ({one['cpu']:8.1f})   {options.workers} processes "
            f"{several['wall']:8.1f} ({several['cpu']:8.1f})   {one['wall'] / several['wall']:5.2f} times as fast"
            + (f"   the rule: {chosen}" if chosen else "")
        )
    print("", *on_paper(alone, of_fit), sep="\n")


if __name__ == "__main__":
    main()
