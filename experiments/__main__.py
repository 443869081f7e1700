"""The command line: ``python -m experiments run | sweep | time | list | tables | figures | figure``."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hides TensorFlow's notes on this machine, but not its errors

from .datasets import DESCRIPTIONS, DataNotFoundError, Dataset, load
from .models import FITS, MODELS, PAPERS_MODELS
from .start_up import import_tensorflow

_DEFAULT = "japanese_vowels"
_RESULTS = Path("results")
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.action(options)
    except (DataNotFoundError, ValueError, FloatingPointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"\n{interrupt or 'interrupted'}\nGive the same command again to go on from there.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments",
        description=(
            "Compare Gaussian processes for time series on real data: SigGPDE, which has signature features as its "
            "inducing variables, and GPSig with inducing tensors (IT) or inducing sequences (IS). These are the "
            "experiments of the SigGPDE paper. Train models with `run` or `sweep`, time them with `time`, and show the "
            "results with `tables` and `figures`. COMMAND --help explains a command."
        ),
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_sweep(commands)
    _add_time(commands)
    _command(
        commands, "list", _list, "list the data sets",
        "Print what each data set is, how it is preprocessed, and with which options it is trained on by default.",
    )  # fmt: skip
    _add_tables(commands)
    _add_figures(commands)
    _add_figure(commands)
    return parser


def _command(
    commands: _Commands,
    name: str,
    action: Callable[[argparse.Namespace], None],
    summary: str,
    description: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    """Add a command that calls ``action``; return its parser, for its options."""
    parser = commands.add_parser(name, help=summary, description=description, epilog=epilog)
    parser.set_defaults(action=action)
    return parser


def _add_run(commands: _Commands) -> None:
    run = _command(
        commands, "run", _run, "train models on a data set and score them",
        "Train a model on a data set once for each seed, and score it on the test set. Training has three phases: the "
        "variational parameters; then these and the lengthscales; then the variational parameters on all training "
        "data, the validation split included. The test accuracy, the NLPP (negative log predictive probability) and "
        "the seconds per iteration are printed beside the paper's. They are written to DIR/EXPERIMENT/result.json, "
        "with all that is needed to repeat the run. If a run was stopped or killed, the same command goes on from "
        "there. Seeds that are finished are not trained again: delete the experiment's folder to start anew.",
        epilog="The other defaults depend on the data set: `list` prints them.",
    )  # fmt: skip
    _add_training_options(run, default=_DEFAULT)
    run.add_argument("--num-inducing", type=_positive, metavar="M", help="number of inducing variables")


def _add_sweep(commands: _Commands) -> None:
    sweep = _command(
        commands, "sweep", _sweep, "do `run` for several numbers of inducing variables",
        "Do what `run` does for each of the given numbers of inducing variables, from the smallest to the largest, as "
        "in figure 3 of the paper.",
        epilog="The other defaults depend on the data set: `list` prints them.",
    )  # fmt: skip
    _add_training_options(sweep)
    sweep.add_argument(
        "--num-inducing", type=_positive_list, required=True, metavar="M,M,...",
        help="numbers of inducing variables, such as 50,100,200,400",
    )  # fmt: skip
    sweep.add_argument(
        "--list", action="store_true",
        help=(
            "train nothing, and print a command for each number, model and seed, one a line, for several machines: a "
            "Slurm array, GNU parallel or the like. With one folder that all machines see, `tables` finds all results"
        ),
    )  # fmt: skip


def _add_training_options(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    _add_dataset(parser, default)
    parser.add_argument(
        "--model", type=_models, default=["siggpde"], metavar="MODEL",
        help=f"one of {', '.join(MODELS)}, or several with commas between them, or all (default: siggpde)",
    )  # fmt: skip
    parser.add_argument(
        "--fit", choices=list(FITS), default="nadam", metavar="FIT",
        help=(
            f"one of {', '.join(FITS)} (default: %(default)s): by minibatch steps of Nadam, as in the paper; with "
            "natural gradients for q(u); by a few passes over all data in closed form; by least squares on the labels"
        ),
    )  # fmt: skip
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seeds", type=_positive, default=3, metavar="S",
        help="the number of seeds: train with seeds 0 to S-1 (default: %(default)s)",
    )  # fmt: skip
    seeds.add_argument("--seed", type=_not_negative, metavar="K", help="train with this seed only")
    parser.add_argument(
        "--iterations", type=_positive, metavar="N",
        help="the number of minibatch steps in each of the three phases, so that there are 3 N in all",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=_positive, metavar="B", help="the number of series in a minibatch")
    parser.add_argument("--lengthscale", type=_positive_number, metavar="L", help="the initial value of lengthscales")
    parser.add_argument("--learning-rate", type=_positive_number, metavar="R", help="of the optimizer, Nadam")
    _add_out(parser, "the folder for results and checkpoints; each experiment has a folder of its own in it")


def _add_dataset(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    text = f"one of {', '.join(DESCRIPTIONS)}" + (f" (default: {default})" if default else "")
    parser.add_argument(
        "dataset", nargs="?" if default else None, default=default, choices=list(DESCRIPTIONS), metavar="DATASET",
        help=text,
    )  # fmt: skip


def _add_out(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--out", type=Path, default=_RESULTS, metavar="DIR", help=f"{text} (default: %(default)s)")


def _add_time(commands: _Commands) -> None:
    time = _command(
        commands, "time", _time, "measure the seconds per iteration of the models",
        "Measure how long a minibatch step of each model takes. The models take turns in one process, on a part of the "
        "data set, so that their times can be compared. The medians are written to DIR/time-DATASET-M-B.json, where "
        "`tables` and `figures` find them.",
    )  # fmt: skip
    _add_dataset(time)
    time.add_argument(
        "--model", type=_models, default=list(PAPERS_MODELS), metavar="MODEL",
        help=f"one of {', '.join(MODELS)}, or several with commas between them, or all (default: all)",
    )  # fmt: skip
    time.add_argument("--num-inducing", type=_positive_list, metavar="M,M,...", help="numbers of inducing variables")
    time.add_argument("--batch-size", type=_positive, metavar="B", help="the number of series in a minibatch")
    time.add_argument(
        "--iterations", type=_positive, default=26, metavar="N",
        help="the number of steps in each phase of a round, of which the first is not timed (default: %(default)s)",
    )  # fmt: skip
    time.add_argument(
        "--rounds", type=_positive, default=3, metavar="R",
        help="how many times each model has a turn (default: %(default)s)",
    )  # fmt: skip
    _add_out(time, "the folder for the results")


def _add_tables(commands: _Commands) -> None:
    tables = _command(
        commands, "tables", _tables, "print all results beside the paper's, as Markdown",
        "Print a Markdown table for each data set that has results, with the paper's scores beside them, the commands, "
        "and the machines that they ran on.",
    )  # fmt: skip
    tables.add_argument("results", type=Path, metavar="RESULTS", help="the folder that `run`, `sweep`, `time` wrote to")


def _add_figures(commands: _Commands) -> None:
    figures = _command(
        commands, "figures", _figures, "draw all pictures of the results, as PNG and PDF",
        "Draw all pictures that there are results for. Results for several numbers of inducing variables give "
        "accuracy, ELBO and time against that number; results of several models or fits give NLPP against seconds. "
        "Results for two classes give a series and the posterior mean over the test set, the calibration, and the most "
        "relevant words.",
    )  # fmt: skip
    figures.add_argument("results", type=Path, metavar="RESULTS", help="the folder that `run` and `sweep` wrote to")
    figures.add_argument("--out", type=Path, metavar="DIR", help="the folder for the pictures (default: RESULTS)")


def _add_figure(commands: _Commands) -> None:
    figure = _command(
        commands, "figure", _figure, "draw one experiment's accuracy and NLPP against iterations",
        "Draw the test accuracy of one experiment, and the NLPP on its test set and its validation split, against "
        "iterations.",
    )  # fmt: skip
    figure.add_argument("result", type=Path, metavar="RESULT.json", help="the file that `run` wrote")
    figure.add_argument(
        "--out", type=Path, default=Path("accuracy.png"), metavar="FILE",
        help="the picture; its ending decides the format (default: %(default)s)",
    )  # fmt: skip


def _number(text: str, kind: Callable[[str], Any], smallest: float, expected: str) -> Any:
    try:
        number = kind(text)
    except ValueError:
        number = 0
    if not smallest <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be {expected}, got {text!r}")
    return number


def _positive(text: str) -> int:
    return _number(text, int, 1, "a whole number of at least 1")


def _not_negative(text: str) -> int:
    return _number(text, int, 0, "a whole number of at least 0")


def _positive_list(text: str) -> list[int]:
    return sorted({_positive(part) for part in text.split(",")})


def _positive_number(text: str) -> float:
    return _number(text, float, sys.float_info.min, "a positive number")


def _models(text: str) -> list[str]:
    names = list(PAPERS_MODELS) if text == "all" else text.split(",")
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise argparse.ArgumentTypeError(f"must be all, or some of {', '.join(MODELS)}, got {unknown[0]!r}")
    return [name for name in MODELS if name in names]


def _run(options: argparse.Namespace) -> None:
    _train_all(options, [options.num_inducing or DESCRIPTIONS[options.dataset].defaults.num_inducing])


def _sweep(options: argparse.Namespace) -> None:
    if options.list:
        print("\n".join(_commands_of_sweep(options)))
        return
    _train_all(options, options.num_inducing)


def _commands_of_sweep(options: argparse.Namespace) -> Iterator[str]:
    """A ``run`` for each number of inducing variables, model and seed; each seed has a file of its own."""
    given = [
        part
        for name in ("iterations", "batch_size", "lengthscale", "learning_rate")
        if (value := getattr(options, name)) is not None
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    for num_inducing in options.num_inducing:
        for model in options.model:
            for seed in _seeds(options):
                what = [options.dataset, "--model", model, "--fit", options.fit, "--num-inducing", str(num_inducing)]
                words = ["run", *what, "--seed", str(seed), *given, "--out", str(options.out)]
                yield shlex.join(["python", "-m", "experiments", *words])


def _train_all(options: argparse.Namespace, sizes: list[int]) -> None:
    """Train each model with each number of inducing variables."""
    import_tensorflow()
    dataset = load(options.dataset)
    print(_heading(dataset, len(_seeds(options))), flush=True)
    for num_inducing in sizes:
        for model in options.model:
            _train_one(options, dataset, num_inducing, model)


def _seeds(options: argparse.Namespace) -> list[int]:
    return list(range(options.seeds)) if options.seed is None else [options.seed]


def _train_one(options: argparse.Namespace, dataset: Dataset, num_inducing: int, model: str) -> None:
    from .measures import summary
    from .protocol import Protocol, run  # TensorFlow takes seconds to import, so only the commands that need it do
    from .results import Results
    from .tables import table

    defaults = dataset.description.defaults
    protocol = Protocol(
        model=model,
        fit=options.fit,
        num_inducing=num_inducing,
        iterations=options.iterations or defaults.iterations,
        batch_size=options.batch_size or defaults.batch_size,
        lengthscale=options.lengthscale or defaults.lengthscale,
        learning_rate=options.learning_rate or defaults.learning_rate,
        validation_fraction=defaults.validation_fraction,
    )
    steps = f"3 phases of {protocol.iterations} iterations, batches of {protocol.batch_size}"
    by = {"nadam": steps, "natural": f"{FITS['natural']}, {steps}"}.get(options.fit, FITS[options.fit])
    print(f"{MODELS[model]}: M = {num_inducing} inducing variables, {by}", flush=True)
    results = Results(options.out / protocol.name(options.dataset), dataset, protocol.as_json(dataset))
    numbers = _seeds(options)
    finished = [seed for seed in numbers if seed in results.seeds]
    if finished:
        print(f"{len(finished)} of {len(numbers)} seeds are finished already: delete {results.folder} to start anew")
    run(dataset, protocol, numbers, results, progress=sys.stderr.isatty())
    seeds = [results.seeds[seed] for seed in numbers]
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
