"""The command line: ``python -m experiments run | list | figure``."""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes on this machine; errors are still shown

from .datasets import DESCRIPTIONS, DataNotFoundError, Dataset, load

_DEFAULT = "japanese_vowels"


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except (DataNotFoundError, ValueError, FloatingPointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"\n{interrupt or 'interrupted'}\nThe same command goes on from there.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments",
        description="Train SigGPDE, Gaussian processes on signature features, on real time series.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    listing = commands.add_parser("list", help="the data sets", description="The data sets and their defaults.")
    listing.set_defaults(command=_list)
    figure = commands.add_parser(
        "figure",
        help="draw accuracy and NLPP against iterations",
        description="Draw test accuracy, and NLPP of test set and validation split, against iterations.",
    )
    figure.add_argument("result", type=Path, metavar="RESULT.json", help="written by `run`")
    figure.add_argument("--out", type=Path, default=Path("accuracy.png"), help="the picture (default: %(default)s)")
    figure.set_defaults(command=_figure)
    return parser


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = commands.add_parser(
        "run",
        help="train and score on a data set",
        description=(
            "Train SigGPDE on a data set in three phases (variational parameters; these and the lengthscales; "
            "variational parameters on all training data), once for each seed; print test accuracy, NLPP and seconds "
            "per iteration beside the paper's, and write them to OUT/EXPERIMENT/result.json with all it takes to "
            "repeat them. A run that was stopped or killed goes on when the same command is given again; seeds that "
            "are finished are not run again: delete their folder to start anew."
        ),
        epilog="Defaults of --num-inducing, --iterations and --batch-size depend on the data set: see `list`.",
    )
    names = list(DESCRIPTIONS)
    run.add_argument(
        "dataset", nargs="?", default=_DEFAULT, choices=names, metavar="DATASET",
        help=f"one of {', '.join(names)} (default: %(default)s)",
    )  # fmt: skip
    run.add_argument("--num-inducing", type=_positive, metavar="M", help="number of signature features")
    run.add_argument(
        "--seeds", type=_positive, default=3, metavar="S", help="run seeds 0 to S-1 (default: %(default)s)"
    )
    run.add_argument(
        "--iterations", type=_positive, metavar="N", help="minibatch steps in each of the three phases: 3 N in all"
    )
    run.add_argument("--batch-size", type=_positive, metavar="B", help="series in a minibatch")
    run.add_argument(
        "--out", type=Path, default=Path("results"), metavar="DIR",
        help="where results and checkpoints go, each experiment in a folder of its own (default: %(default)s)",
    )  # fmt: skip
    run.set_defaults(command=_run)


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return number


def _run(options: argparse.Namespace) -> None:
    dataset = load(options.dataset)
    from .protocol import Protocol, run  # TensorFlow takes seconds to import: only where it is needed
    from .results import Results, summary, table

    defaults = dataset.description.defaults
    protocol = Protocol(
        num_inducing=options.num_inducing or defaults.num_inducing,
        iterations=options.iterations or defaults.iterations,
        batch_size=options.batch_size or defaults.batch_size,
        lengthscale=defaults.lengthscale,
    )
    print(_heading(dataset, options.seeds))
    print(
        f"SigGPDE: M = {protocol.num_inducing} features, 3 phases of {protocol.iterations} iterations, "
        f"batches of {protocol.batch_size}",
        flush=True,
    )
    results = Results(options.out / protocol.name(options.dataset), dataset, protocol.as_json())
    finished = [seed for seed in results.seeds if seed < options.seeds]
    if finished:
        print(f"{len(finished)} of {options.seeds} seeds are finished already: delete {results.folder} to start anew")
    run(dataset, protocol, options.seeds, results, progress=sys.stderr.isatty())
    seeds = [results.seeds[seed] for seed in range(options.seeds)]
    print(f"\n{table(seeds, dataset.description.paper)}\n\nwritten to {results.file}")
    print(f"test accuracy {summary(seeds)['accuracy']['mean']:.4f}")


def _heading(dataset: Dataset, num_seeds: int) -> str:
    return (
        f"{dataset.description.name}: {len(dataset.X_train)} training and {len(dataset.X_test)} test series, "
        f"{dataset.num_channels} channels, {dataset.num_classes} classes; {num_seeds} seed{'s' * (num_seeds > 1)}\n"
        f"from {dataset.source}"
    )


def _list(_: argparse.Namespace) -> None:
    for description in DESCRIPTIONS.values():
        defaults = description.defaults
        print(
            f"{description.name}\n  {description.summary}\n  {description.preprocessing}\n"
            f"  defaults: --num-inducing {defaults.num_inducing} --iterations {defaults.iterations} "
            f"--batch-size {defaults.batch_size}"
        )


def _figure(options: argparse.Namespace) -> None:
    from .figures import accuracy_against_iterations

    accuracy_against_iterations(options.result, options.out)
    print(f"written to {options.out}")


if __name__ == "__main__":
    sys.exit(main())
