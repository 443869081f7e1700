"""Measure the seconds per iteration of several models, which take turns in one process."""

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
from .results import write_timing

_BATCHES = 10  # the minibatches of series to time on; the time of a step does not depend on how many series there are


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
    Time the minibatch steps of models, and write the medians over rounds, with the machine, to a JSON file.

    In each round each model is trained anew for a few steps of all three phases. As in the protocol, hyperparameters
    are trained in a third of the steps. Compilation, the first step of a phase and scores are not counted. GPSig is
    timed by our fastest computation. If that is the one by explicit signatures, GPSig is timed also by its authors'
    computation, the sums over index tuples.

    :param iterations: the number of steps in each phase of a round.
    :param folder: where to write the file.
    :param say: what prints a line for each model.
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
    timing = {
        "dataset": dataset.description.name,
        "num_inducing": num_inducing,
        "batch_size": batch_size,
        "rounds": rounds,
        "seconds_per_iteration": medians,
        "all_rounds": seconds,
    }
    return write_timing(folder, timing)


def _part(dataset: Dataset, number: int) -> Dataset:
    """The data set with only some of its training series, drawn at random, and as many classes."""
    chosen = some_rows(len(dataset.X_train), number)
    # One series of the last class, so that the model has as many classes as with all the data.
    chosen[0] = int(np.argmax(dataset.y_train))
    return dataclasses.replace(dataset, X_train=[dataset.X_train[i] for i in chosen], y_train=dataset.y_train[chosen])
