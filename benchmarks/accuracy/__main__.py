"""The command line: ``python -m benchmarks.accuracy [run | tables | list]``."""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # this process computes nothing; the fits' processes set their own

from experiments.datasets.folder import DataNotFoundError
from experiments.start_up import import_tensorflow

from . import datasets
from .datasets import SOURCES, Source
from .environment import python_of
from .exchange import CLASSIFICATION, REGRESSION
from .fitting import METHODS

_DEFAULT_METHODS = ("SignatureGP", "MiniRocket", "MultiRocket", "DTW", "SVM", "GP")


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        {"run": _run, "tables": _tables, "list": _list}[options.command](options)
    except (DataNotFoundError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nGive the same command again to go on from there.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description=(
            "Compare the estimators, with their defaults, with what people would use instead: MiniRocket and "
            "MultiRocket with ridge (sktime's), the nearest neighbour by dynamic time warping (tslearn's), and support "
            "vector machines and a Gaussian process with RBF kernels on the raw values (scikit-learn's). `run` writes "
            "a file for each data set, method and split, and goes on where it was stopped; several processes may "
            "share a folder. `tables` prints what is there, as Markdown. `list` says which data sets are at hand. See "
            "docs/estimators.md."
        ),
    )
    parser.add_argument("command", nargs="?", default="run", choices=("run", "tables", "list"))
    parser.add_argument("--datasets", type=_names, metavar="NAME,...", help="by default all that are at hand")
    parser.add_argument(
        "--methods", type=_names, metavar="NAME,...",
        help=f"of {', '.join(METHODS)} (default: all but Frequencies and RFSF); ours takes options, as in "
        "SignatureGP:max_length=100",
    )  # fmt: skip
    parser.add_argument(
        "--splits", type=_numbers, metavar="N,...|N-N",
        help="0 is the archive's own split, the others are resampled (run: 0-9 by default)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("results/accuracy"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--environment", type=Path, metavar="DIR",
        help="a virtual environment for the peers, which is made if it is not there (default: this one)",
    )  # fmt: skip
    parser.add_argument(
        "--development", action="store_true",
        help="use resampled halves of the training sets, not the test sets: defaults may be chosen by these",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=float, default=3600.0, metavar="SECONDS", help="for each fit (default: %(default).0f)"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="tables: draw the mean ranks, by accuracy and NLPP"
    )
    return parser


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        numbers += range(int(first), int(last if dash else first) + 1)
    return numbers


def _sources(options: argparse.Namespace) -> list[Source]:
    """The data sets that were asked for; those that are not at hand are an error only if they were named."""
    named = options.datasets is not None
    unknown = sorted(set(options.datasets or ()) - set(SOURCES))
    if unknown:
        raise ValueError(f"--datasets must name some of {', '.join(SOURCES)}, got {', '.join(unknown)}.")
    found = []
    for name in options.datasets if named else SOURCES:
        try:
            datasets.find(SOURCES[name], options.environment)
            found.append(SOURCES[name])
        except DataNotFoundError as error:
            if named:
                raise
            print(f"left out: {error}", flush=True)
    return found


def _run(options: argparse.Namespace) -> None:
    import_tensorflow()
    from . import runs

    python = python_of(options.environment)  # first, for the peers' packages bring data sets
    runs.run_all(
        _sources(options),
        [runs.method_named(text) for text in options.methods or _DEFAULT_METHODS],
        options.splits if options.splits is not None else range(10),
        out=options.out,
        python=python,
        environment=options.environment,
        halves=options.development,
        limit=options.limit,
    )


def _tables(options: argparse.Namespace) -> None:
    import_tensorflow()
    from . import tables

    print(
        tables.write(
            options.out, halves=options.development, datasets=options.datasets, methods=options.methods,
            splits=options.splits, picture=options.picture,
        )
    )  # fmt: skip


def _list(options: argparse.Namespace) -> None:
    for task in (CLASSIFICATION, REGRESSION):
        print(f"{task}: {', '.join(name for name, methods in METHODS.items() if task in methods)}")
        for source in SOURCES.values():
            if source.task == task:
                try:
                    where = str(datasets.find(source, options.environment)[0].parent)
                except DataNotFoundError as error:
                    where = str(error)
                print(f"  {source.name}: {where}")


if __name__ == "__main__":
    sys.exit(main())
