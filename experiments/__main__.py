"""The command line: ``python -m experiments run | sweep | time | list | tables | figures | figure``."""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes on this machine; errors are still shown

from .datasets import DESCRIPTIONS, DataNotFoundError, Dataset, load
from .models import MODELS
from .start_up import import_tensorflow

_DEFAULT = "japanese_vowels"
_RESULTS = Path("results")


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
        description="Train SigGPDE, Gaussian processes on signature features, and GPSig on real time series.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_sweep(commands)
    _add_time(commands)
    listing = commands.add_parser("list", help="the data sets", description="The data sets and their defaults.")
    listing.set_defaults(command=_list)
    tables = commands.add_parser(
        "tables",
        help="results beside the paper's, as Markdown",
        description="Print a table for each data set of which there are results, beside the paper's, as Markdown.",
    )
    tables.add_argument("results", type=Path, metavar="RESULTS", help="the folder of `run`, `sweep` and `time`")
    tables.set_defaults(command=_tables)
    _add_figures(commands)
    return parser


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = commands.add_parser(
        "run",
        help="train and score on a data set",
        description=(
            "Train a model on a data set in three phases (variational parameters; these and the lengthscales; "
            "variational parameters on all training data), once for each seed; print test accuracy, NLPP and seconds "
            "per iteration beside the paper's, and write them to OUT/EXPERIMENT/result.json with all it takes to "
            "repeat them. A run that was stopped or killed goes on when the same command is given again; seeds that "
            "are finished are not run again: delete their folder to start anew."
        ),
        epilog="Defaults of numbers depend on the data set: see `list`.",
    )
    _add_training_options(run, default=_DEFAULT)
    run.add_argument("--num-inducing", type=_positive, metavar="M", help="number of inducing variables")
    run.set_defaults(command=_run)


def _add_sweep(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sweep = commands.add_parser(
        "sweep",
        help="`run` for several numbers of inducing variables",
        description="The command `run` for each number of inducing variables, smallest first: figure 3 of the paper.",
    )
    _add_training_options(sweep)
    sweep.add_argument(
        "--num-inducing", type=_positive_list, required=True, metavar="M,M,...", help="such as 50,100,200,400"
    )
    sweep.set_defaults(command=_sweep)


def _add_training_options(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    _add_dataset(parser, default)
    parser.add_argument(
        "--model", type=_models, default=["siggpde"], metavar="MODEL",
        help=f"one of {', '.join(MODELS)}, several between commas, or all (default: siggpde)",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=_positive, default=3, metavar="S", help="run seeds 0 to S-1 (default: %(default)s)"
    )
    parser.add_argument(
        "--iterations", type=_positive, metavar="N", help="minibatch steps in each of the three phases: 3 N in all"
    )
    parser.add_argument("--batch-size", type=_positive, metavar="B", help="series in a minibatch")
    parser.add_argument(
        "--lengthscale", type=_positive_number, metavar="L", help="where every channel's lengthscale starts"
    )
    parser.add_argument("--learning-rate", type=_positive_number, metavar="R", help="the optimizer's, Nadam")
    parser.add_argument(
        "--out", type=Path, default=_RESULTS, metavar="DIR",
        help="where results and checkpoints go, each experiment in a folder of its own (default: %(default)s)",
    )  # fmt: skip


def _add_dataset(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    text = f"one of {', '.join(DESCRIPTIONS)}" + (f" (default: {default})" if default else "")
    parser.add_argument(
        "dataset", nargs="?" if default else None, default=default, choices=list(DESCRIPTIONS), metavar="DATASET",
        help=text,
    )  # fmt: skip


def _add_time(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    time = commands.add_parser(
        "time",
        help="seconds per iteration of the models, in one run",
        description=(
            "Time the minibatch steps of the models in turn, in one process, on a part of the data set, and write the "
            "medians to OUT/time-DATASET-M-B.json; `tables` and `figures` show them."
        ),
    )
    _add_dataset(time)
    time.add_argument("--model", type=_models, default=list(MODELS), metavar="MODEL", help="as in `run` (default: all)")
    time.add_argument("--num-inducing", type=_positive_list, metavar="M,M,...", help="numbers of inducing variables")
    time.add_argument("--batch-size", type=_positive, metavar="B", help="series in a minibatch")
    time.add_argument(
        "--iterations", type=_positive, default=26, metavar="N",
        help="steps in each phase of a round (default: %(default)s); the first of a phase is not counted",
    )  # fmt: skip
    time.add_argument("--rounds", type=_positive, default=3, metavar="R", help="rounds (default: %(default)s)")
    time.add_argument("--out", type=Path, default=_RESULTS, metavar="DIR", help="(default: %(default)s)")
    time.set_defaults(command=_time)


def _add_figures(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    figures = commands.add_parser(
        "figures",
        help="all pictures of a folder of results, PNG and PDF",
        description=(
            "Draw what there are results for: accuracy, ELBO and time against the number of inducing variables; for "
            "two classes, a series and the posterior mean over the test set, the calibration, and the top words."
        ),
    )
    figures.add_argument("results", type=Path, metavar="RESULTS", help="the folder of `run` and `sweep`")
    figures.add_argument("--out", type=Path, metavar="DIR", help="where pictures go (default: RESULTS)")
    figures.set_defaults(command=_figures)
    figure = commands.add_parser(
        "figure",
        help="draw accuracy and NLPP against iterations",
        description="Draw test accuracy, and NLPP of test set and validation split, against iterations.",
    )
    figure.add_argument("result", type=Path, metavar="RESULT.json", help="written by `run`")
    figure.add_argument("--out", type=Path, default=Path("accuracy.png"), help="the picture (default: %(default)s)")
    figure.set_defaults(command=_figure)


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return number


def _positive_list(text: str) -> list[int]:
    return sorted({_positive(part) for part in text.split(",")})


def _positive_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text!r}")
    return number


def _models(text: str) -> list[str]:
    names = list(MODELS) if text == "all" else text.split(",")
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise argparse.ArgumentTypeError(f"must be all, or some of {', '.join(MODELS)}, got {unknown[0]!r}")
    return [name for name in MODELS if name in names]


def _run(options: argparse.Namespace) -> None:
    _train_all(options, [options.num_inducing or DESCRIPTIONS[options.dataset].defaults.num_inducing])


def _sweep(options: argparse.Namespace) -> None:
    _train_all(options, options.num_inducing)


def _train_all(options: argparse.Namespace, sizes: list[int]) -> None:
    """Each number of inducing variables, each model."""
    import_tensorflow()
    dataset = load(options.dataset)
    print(_heading(dataset, options.seeds), flush=True)
    for num_inducing in sizes:
        for model in options.model:
            _train_one(options, dataset, num_inducing, model)


def _train_one(options: argparse.Namespace, dataset: Dataset, num_inducing: int, model: str) -> None:
    from .protocol import Protocol, run  # TensorFlow takes seconds to import: only where it is needed
    from .results import Results, summary, table

    defaults = dataset.description.defaults
    protocol = Protocol(
        model=model,
        num_inducing=num_inducing,
        iterations=options.iterations or defaults.iterations,
        batch_size=options.batch_size or defaults.batch_size,
        lengthscale=options.lengthscale or defaults.lengthscale,
        learning_rate=options.learning_rate or defaults.learning_rate,
        validation_fraction=defaults.validation_fraction,
    )
    print(
        f"{MODELS[model]}: M = {num_inducing} inducing variables, 3 phases of {protocol.iterations} iterations, "
        f"batches of {protocol.batch_size}",
        flush=True,
    )
    results = Results(options.out / protocol.name(options.dataset), dataset, protocol.as_json(dataset))
    finished = [seed for seed in results.seeds if seed < options.seeds]
    if finished:
        print(f"{len(finished)} of {options.seeds} seeds are finished already: delete {results.folder} to start anew")
    run(dataset, protocol, options.seeds, results, progress=sys.stderr.isatty())
    seeds = [results.seeds[seed] for seed in range(options.seeds)]
    description = dataset.description
    text = table(seeds, description.paper, model=MODELS[model], stands_in_for=description.stands_in_for)
    print(f"\n{text}\n\nwritten to {results.file}")
    print(f"test accuracy {summary(seeds)['accuracy']['mean']:.4f}", flush=True)


def _heading(dataset: Dataset, num_seeds: int) -> str:
    description = dataset.description
    stand_in = f" (STAND-IN for {description.stands_in_for}, synthetic)" if description.stands_in_for else ""
    return (
        f"{description.name}{stand_in}: {len(dataset.X_train)} training and {len(dataset.X_test)} test series, "
        f"{dataset.num_channels} channels, {dataset.num_classes} classes; {num_seeds} seed{'s' * (num_seeds > 1)}\n"
        f"from {dataset.source}"
    )


def _time(options: argparse.Namespace) -> None:
    import_tensorflow()
    from .timing import time_models

    dataset = load(options.dataset)
    defaults = dataset.description.defaults
    for num_inducing in options.num_inducing or [defaults.num_inducing]:
        file = time_models(
            dataset,
            options.model,
            num_inducing=num_inducing,
            batch_size=options.batch_size or defaults.batch_size,
            iterations=options.iterations,
            rounds=options.rounds,
            folder=options.out,
        )
        print(f"written to {file}", flush=True)


def _list(_: argparse.Namespace) -> None:
    for description in DESCRIPTIONS.values():
        defaults = description.defaults
        print(
            f"{description.name}\n  {description.summary}\n  {description.preprocessing}\n"
            f"  defaults: --num-inducing {defaults.num_inducing} --iterations {defaults.iterations} "
            f"--batch-size {defaults.batch_size} --lengthscale {defaults.lengthscale:g} "
            f"--learning-rate {defaults.learning_rate:g}"
        )


def _tables(options: argparse.Namespace) -> None:
    from .tables import tables

    print(tables(options.results))


def _figures(options: argparse.Namespace) -> None:
    from .figures import draw_all

    for picture in draw_all(options.results, options.out or options.results):
        print(f"written to {picture}")


def _figure(options: argparse.Namespace) -> None:
    from .figures import accuracy_against_iterations

    accuracy_against_iterations(options.result, options.out)
    print(f"written to {options.out}")


if __name__ == "__main__":
    sys.exit(main())
