"""The files of results: what `run` and `time` write, and what tables and figures are made from."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sigkernel_tf.gp.data.checked_files import read_json, write_json
from sigkernel_tf.gp.data.digest import digest

from .datasets import Dataset, Series
from .environment import environment
from .measures import summary
from .models import MODELS

FILE = "result.json"
_SEED = "result-seed-{number}.json"
PREDICTIONS = "test.npz"
"""In a seed's folder, for two classes: y, probability and posterior_mean [N_test], and an example [L, D]."""
_TIMINGS = "time-{dataset}-M{num_inducing}-B{batch_size}.json"


class Results:
    """
    The results of one experiment, in a folder of its own, whose file is replaced as a whole after each seed.

    :raises ValueError: if the folder holds results of other data or options, or a damaged file.
    """

    def __init__(self, folder: Path, dataset: Dataset, options: dict[str, Any]) -> None:
        """
        :param folder: the experiment's folder, which is made when it is first written to.
        :param dataset: what is trained on.
        :param options: what the results depend on beside the data and the seed, as JSON values.
        """
        self.folder, self._dataset = folder, dataset
        self._identity: dict[str, dict[str, Any]] = {
            "dataset": {
                "name": dataset.description.name,
                "sha256": digest(*_arrays(dataset.X_train), dataset.y_train, *_arrays(dataset.X_test), dataset.y_test),
                "preprocessing": dataset.description.preprocessing,
                "training_series": len(dataset.X_train),
                "test_series": len(dataset.X_test),
                "channels": dataset.num_channels,
                "classes": dataset.num_classes,
            },
            "options": options,
        }
        self.seeds: dict[int, dict[str, Any]] = {}
        """The scores and the history of each seed that is finished."""
        if self.file.exists():
            self._read()

    @property
    def file(self) -> Path:
        """The JSON file."""
        return self.folder / FILE

    def _read(self) -> None:
        try:
            saved = read_json(self.file)
            found = {name: dict(saved[name]) for name in self._identity}
            self.seeds = {int(seed["seed"]): dict(seed) for seed in saved["seeds"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.file} is damaged ({error!r}): delete it; the checkpoints beside it are kept."
            ) from error
        for name in ("source", "stands_in_for"):
            found["dataset"].pop(name, None)
        for name, value in self._identity.items():
            if found[name] != value:
                raise ValueError(
                    f"{self.file} holds results of another {name}: expected {value}, got {found[name]}. Choose another "
                    "folder with --out, or delete that one."
                )

    def add(self, seed: dict[str, Any]) -> None:
        """
        Add the scores of a seed, with the machine and the versions that gave them, and write the file.

        Each seed also has a file of its own, from which the common one is made: several processes may add seeds.
        """
        number = seed["seed"]
        _write(self.folder / _SEED.format(number=number), {**seed, "environment": environment()})
        for file in self.folder.glob(_SEED.format(number="*")):
            found = read_json(file)
            self.seeds[int(found["seed"])] = found
        content = {
            "dataset": {
                **self._identity["dataset"],
                "source": self._dataset.source,
                "stands_in_for": self._dataset.description.stands_in_for,
            },
            "options": self._identity["options"],
            "summary": summary(list(self.seeds.values())),
            "paper": [asdict(score) for score in self._dataset.description.paper],
            "seeds": [self.seeds[number] for number in sorted(self.seeds)],
        }
        _write(self.file, content)


def _arrays(X: Series) -> Sequence[np.ndarray]:
    return [X] if isinstance(X, np.ndarray) else X


def write_timing(folder: Path, timing: dict[str, Any]) -> Path:
    """
    Write what ``time`` measured for one number of inducing variables, with the machine; return the file.

    :param timing: JSON values, with the ``dataset``, ``num_inducing`` and ``batch_size`` among them.
    """
    file = folder / _TIMINGS.format(**timing)
    _write(file, {**timing, "environment": environment()})
    return file


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, content)


def read_results(folder: Path) -> list[dict[str, Any]]:
    """
    Read the results in a folder and below it, in the order of data set, model and number of inducing variables.

    :raises ValueError: if there are none, and for a damaged file.
    """
    results = [read_result(file) for file in sorted(folder.rglob(FILE))]
    if not results:
        raise ValueError(f"{folder} holds no {FILE}: run `python -m experiments run DATASET --out {folder}` first.")
    return sorted(results, key=_order)


def read_result(file: Path) -> dict[str, Any]:
    """
    Read one experiment's results, and the ``folder`` that they are in.

    :raises ValueError: if the file holds no results.
    """
    return _read(file, "run", _check_result) | {"folder": file.parent}


def read_timings(folder: Path, dataset: str) -> list[dict[str, Any]]:
    """
    Read what ``time`` measured on a data set, in the order of the number of inducing variables.

    :raises ValueError: for a damaged file.
    """
    files = sorted(folder.glob(_TIMINGS.format(dataset=dataset, num_inducing="*", batch_size="*")))
    return sorted((_read(file, "time", _check_timing) for file in files), key=lambda timing: timing["num_inducing"])


def _read(file: Path, command: str, check: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    try:
        content = read_json(file)
        check(content)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{file} must be a result of `python -m experiments {command}`: {error!r}.") from error
    return content


def _order(result: dict[str, Any]) -> tuple[str, int, int]:
    options = result["options"]
    return result["dataset"]["name"], list(MODELS.values()).index(options["model"]), options["num_inducing"]


def _check_result(result: dict[str, Any]) -> None:
    """:raises ValueError: for a result that has not all that its readers need, or that has it in another form."""
    name, _, num_inducing = _order(result)
    _check_types(name=(name, str), num_inducing=(num_inducing, int), seeds=(result["seeds"], list))
    _check_types(iterations=(result["options"]["iterations"], int), first_seed=(result["seeds"][0], dict))
    for seed in result["seeds"]:
        _check_types(seed=(seed["seed"], int), history=(seed["history"], list))
        for point in seed["history"]:
            _check_types(elbo=(point["elbo"], (int, float)))


def _check_timing(timing: dict[str, Any]) -> None:
    """:raises ValueError: for a timing that has not all that its readers need, or that has it in another form."""
    _check_types(**{name: (timing[name], int) for name in ("num_inducing", "batch_size", "rounds")})
    _check_types(seconds_per_iteration=(timing["seconds_per_iteration"], dict))
    _check_types(machine=(timing["environment"]["machine"], dict), command=(timing["environment"]["command"], str))


def _check_types(**found: tuple[Any, Any]) -> None:
    for name, (value, kind) in found.items():
        if not isinstance(value, kind):
            raise ValueError(f"{name} has the wrong form, {value!r}")
