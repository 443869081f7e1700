"""Seconds per iteration of several models, in turn, in one process."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from sigkernel_tf.gp import train

from .datasets import Dataset
from .models import BY_SUMS, MODELS
from .protocol import Protocol, as_inputs, build_model, gpsig_kernel, some_rows
from .results import environment, write_json

_BATCHES = 10  # series to time on, in minibatches: the time of a step does not depend on how many there are


def time_models(
    dataset: Dataset,
    models: Sequence[str],
    *,
    num_inducing: int,
    batch_size: int,
    iterations: int,
    rounds: int,
    folder: Path,
    say: Callable[[str], None] = print,
) -> Path:
    """
    Time the minibatch steps of models and write medians over rounds, with the machine, to a JSON file.

    Each round trains each model anew for a few steps of all three phases, a third of them with hyperparameters, as in
    the protocol. Compiling, the first step of a phase, and scores are not counted. GPSig is timed as fast as we can
    make it and, where that is by explicit signatures, by the sums over index tuples of its authors as well.

    :return: the file.
    """
    part = _part(dataset, _BATCHES * batch_size)
    data = as_inputs(part.X_train), part.y_train[:, None]
    protocols = {
        model: Protocol(
            model=model,
            num_inducing=num_inducing,
            iterations=iterations,
            batch_size=batch_size,
            lengthscale=dataset.description.defaults.lengthscale,
        )
        for model in models
    }
    builders = {MODELS[model]: partial(build_model, part, protocols[model]) for model in models}
    for model in models:
        if model != "siggpde" and gpsig_kernel(part, protocols[model]).explicit:
            builders[MODELS[model] + BY_SUMS] = partial(build_model, part, protocols[model], explicit=False)
    seconds: dict[str, list[float]] = {name: [] for name in builders}
    options = protocols[models[0]].training_options(0, None, False)
    options = dataclasses.replace(options, monitor_every=iterations)
    for _ in range(rounds):
        for name, build in builders.items():
            seconds[name].append(train(build(), data, options).seconds_per_iteration)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        say(f"{name}, M = {num_inducing}: {median:.4f} seconds per iteration")
    file = folder / f"time-{dataset.description.name}-M{num_inducing}-B{batch_size}.json"
    content = {
        "dataset": dataset.description.name,
        "num_inducing": num_inducing,
        "batch_size": batch_size,
        "rounds": rounds,
        "seconds_per_iteration": medians,
        "all_rounds": seconds,
        "environment": environment(),
    }
    write_json(file, content)
    return file


def _part(dataset: Dataset, number: int) -> Dataset:
    """Some of the training series, at random, of the same number of classes."""
    chosen = some_rows(len(dataset.X_train), number)
    # One series of the last class, so that the model has as many as with all the data.
    chosen[0] = int(np.argmax(dataset.y_train))
    return dataclasses.replace(dataset, X_train=[dataset.X_train[i] for i in chosen], y_train=dataset.y_train[chosen])
