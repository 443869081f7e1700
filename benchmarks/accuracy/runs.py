"""Runs of methods on splits of data sets: each fit in a process of its own, and one file of results for each."""

import fcntl
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.environment import environment as machine_and_versions
from sigkernel_tf.gp.data.checked_files import read_json, write_json

from . import scores, splits
from .datasets import Source
from .exchange import CLASSIFICATION, Order, Problem, read_answer, write_problem
from .fitting import METHODS, OF_THIS_LIBRARY
from .splits import Split

_ROOT = Path(__file__).resolve().parents[2]
_FAILED = "failed"


@dataclass(frozen=True)
class Method:
    """A method with options, as the command line names it: NAME or NAME:option=value:option=value."""

    text: str
    name: str
    options: dict[str, Any]

    def knows(self, task: str) -> bool:
        return task in METHODS[self.name]


def method_named(text: str) -> Method:
    """
    The method that a text names.

    :param text: such as "MiniRocket" or "SignatureGP:kernel=windows:effort=0.5"; values are JSON or else text.
    :raises ValueError: for a name that is none of ``METHODS``, and for options in another form.
    """
    name, *assignments = text.split(":")
    if name not in METHODS:
        raise ValueError(f"--methods must name some of {', '.join(METHODS)}, got {name!r}.")
    options = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (key.isidentifier() and equals) or "/" in value:
            raise ValueError(f"--methods takes options as NAME:option=value, got {assignment!r} in {text!r}.")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return Method(text, name, options)


def result_file(out: Path, source: Source, method: Method, number: int, *, halves: bool) -> Path:
    """The file of one fit's results."""
    return out / source.name / method.text / f"{'half' if halves else 'split'}-{number}.json"


def is_done(file: Path) -> bool:
    """Whether a file of results is there, and no failure."""
    return file.is_file() and _FAILED not in read_json(file)


@contextmanager
def claimed(file: Path) -> Iterator[bool]:
    """
    Whether this process may run the fit of a file of results: no other one is at it.

    The system releases the claim when the process ends, in whatever way.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    claim = file.with_suffix(".claim")
    with claim.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
        claim.unlink(missing_ok=True)


def run_all(
    sources: Sequence[Source],
    methods: Sequence[Method],
    numbers: Iterable[int],
    *,
    out: Path,
    python: Path,
    environment: Path | None = None,
    halves: bool = False,
    limit: float = np.inf,
) -> None:
    """
    Run methods on splits of data sets, except for what is done already, and print a line for each.

    One split is run on all data sets before the next one is, so that a run which is stopped leaves some splits whole.

    :param numbers: of the splits.
    :param out: the folder of the results.
    :param python: the peers' Python.
    :param environment: the peers' environment, where data sets are looked for as well.
    :param halves: whether to use halves of the training sets, and to leave the test sets alone.
    :param limit: the seconds that a fit may take.
    """
    for number in numbers:
        for source in sources:
            split = None
            for method in methods:
                file = result_file(out, source, method, number, halves=halves)
                if not method.knows(source.task) or is_done(file):
                    continue
                with claimed(file) as free:
                    if not free or is_done(file):
                        continue
                    start = time.perf_counter()
                    if split is None:
                        split = splits.load(source, number, halves=halves, environment=environment)
                    result = run(file, source, split, method, number, python=python, limit=limit, halves=halves)
                    print(_told(result, time.perf_counter() - start), flush=True)


def run(
    file: Path, source: Source, split: Split, method: Method, number: int, *, python: Path, limit: float, halves: bool
) -> dict[str, Any]:
    """
    Fit a method to a split in a process of its own, score it, and write the file of results.

    A fit that fails or takes too long has a result as well: the reason, under "failed".

    :param number: the split's number, which is also the method's seed.
    :param python: the peers' Python; ours are run by the one that runs this.
    :param limit: the seconds that the process may take.
    """
    order = Order(source.task, method.name, method.options, number, split.num_classes)
    result: dict[str, Any] = {
        "dataset": source.name,
        "task": source.task,
        "method": method.text,
        "split": number,
        "halves": halves,
        "training_series": len(split.X),
        "test_series": len(split.X_test),
        "longest": max(len(one) for one in [*split.X, *split.X_test]),
        "channels": split.X[0].shape[1],
        "classes": split.num_classes,
    }
    with tempfile.TemporaryDirectory(prefix="sigkernel-accuracy-") as folder:
        write_problem(Path(folder), Problem(order, split.X, split.y, split.X_test))
        ours = method.name in OF_THIS_LIBRARY
        failure = _fit_in_process(Path(sys.executable) if ours else python, Path(folder), limit)
        if failure is None:
            predicted, measured = read_answer(Path(folder))
            result |= {"scores": _scored(source, split, predicted), "measured": measured}
        else:
            result[_FAILED] = failure
    result["environment"] = machine_and_versions()
    write_json(file, result)
    return result


def _fit_in_process(python: Path, folder: Path, limit: float) -> str | None:
    """Run the fit; why it failed, or None."""
    command = [str(python), "-m", "benchmarks.accuracy.fitting", str(folder)]
    most = None if np.isinf(limit) else limit
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=most, check=False)
    except subprocess.TimeoutExpired:
        return f"took more than {limit:.0f} s"
    lines = done.stderr.strip().splitlines()
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"was ended by signal {-done.returncode}, as a process is that takes more memory than there is"
    return lines[-1] if lines else f"ended with status {done.returncode}"


def _scored(source: Source, split: Split, predicted: dict[str, np.ndarray]) -> dict[str, float | None]:
    if source.task == CLASSIFICATION:
        return scores.of_classes(split.y_test, predicted["labels"], predicted.get("probabilities"))
    scale = float(np.std(split.y)) or 1.0
    return scores.of_numbers(split.y_test, predicted["mean"], predicted["deviation"], scale)


def _told(result: dict[str, Any], seconds: float) -> str:
    """One line about a result, for whoever watches."""
    what = f"{result['dataset']}, {result['method']}, {'half' if result['halves'] else 'split'} {result['split']}"
    if _FAILED in result:
        return f"{what}: FAILED, {result[_FAILED]}"
    found = ", ".join(f"{name} {value:.4g}" for name, value in result["scores"].items() if value is not None)
    return f"{what}: {found}; {seconds:.0f} s in all"


def read_results(out: Path, *, halves: bool) -> list[dict[str, Any]]:
    """
    All results in a folder, in the order of their names.

    :raises ValueError: if there are none, and for a damaged file.
    """
    kind = "half" if halves else "split"
    results = [read_json(file) for file in sorted(out.glob(f"*/*/{kind}-*.json"))]
    if not results:
        raise ValueError(f"{out} holds no results: run `python -m benchmarks.accuracy --out {out}` first.")
    return results
