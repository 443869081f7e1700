"""
How fast the bound grows with natural gradients for q(u), and with only Nadam.

``python -m benchmarks.natural_gradients --out figure.png`` trains SigGPDE on JapaneseVowels, speakers 1 to 4 against
the others, as ``train`` does. Hyperparameters are trained by Nadam each time, with the same minibatches. It prints the
iteration at which each way reaches the highest bound that Nadam reaches in phases 1 and 2, and the time of a step, and
draws the bound against iterations. With ``--multiclass`` it tells all nine speakers apart by the likelihood
``MultiClass``, which is not log-concave. It needs the extra ``experiments``.
"""

import argparse

import gpflow
import numpy as np

from experiments.datasets import japanese_vowels
from sigkernel_tf.gp import SigGPDE, TrainingOptions, TrainingResult, flatten_paths, train

NUM_INDUCING = 183  # the words of up to two letters over JapaneseVowels' channels and time
WAYS: dict[str, float | None] = {"Nadam": None, "natural gradients, 0.1": 0.1, "natural gradients, 0.3": 0.3}


def run(natural_gradient: float | None, iterations: int, multiclass: bool) -> TrainingResult:
    """Trains the model of the experiment and records the bound ten times in each phase."""
    data = japanese_vowels.load()
    classes = data.num_classes
    model = SigGPDE(
        data.num_channels,
        NUM_INDUCING,
        likelihood=gpflow.likelihoods.MultiClass(classes) if multiclass else gpflow.likelihoods.Bernoulli(),
        num_latent_gps=classes if multiclass else 1,
        lengthscales=np.full(data.num_channels, japanese_vowels.DESCRIPTION.defaults.lengthscale),
    )
    gpflow.set_trainable(model.kernel.variance, False)
    options = TrainingOptions(
        iterations=iterations, natural_gradient=natural_gradient, monitor_every=max(1, iterations // 20)
    )
    Y = data.y_train[:, None] if multiclass else (data.y_train[:, None] < 4).astype(float)
    return train(model, (flatten_paths(data.X_train), Y), options)


def first_reaching(result: TrainingResult, bound: float) -> int | None:
    """The first recorded iteration of phases 1 and 2, which have one training set, with at least this bound."""
    return next((point.iteration for point in result.history if point.phase < 3 and point.elbo >= bound), None)


def draw(results: dict[str, TrainingResult], path: str) -> None:
    """A line for each way, over phases 1 and 2."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, result in results.items():
        points = [point for point in result.history if point.phase < 3]
        axes.plot([point.iteration for point in points], [point.elbo for point in points], label=name)
    end_of_first = max(point.iteration for point in points if point.phase == 1)
    axes.axvline(end_of_first, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="iterations (dotted: hyperparameters from here on)", ylabel="ELBO, mean since the look before")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.natural_gradients", description=__doc__)
    parser.add_argument("--iterations", type=int, default=500, help="in each phase")
    parser.add_argument("--multiclass", action="store_true", help="all nine speakers")
    parser.add_argument("--out", help="where to write the figure")
    options = parser.parse_args()
    results = {name: run(gamma, options.iterations, options.multiclass) for name, gamma in WAYS.items()}
    bound = max(point.elbo for point in results["Nadam"].history if point.phase < 3)
    print(f"{'':24} {'last ELBO of phase 2':>22} {f'reaches {bound:.1f} at':>22} {'ms a step':>12}")
    for name, result in results.items():
        last = next(point.elbo for point in reversed(result.history) if point.phase == 2)
        reached = first_reaching(result, bound)
        print(f"{name:24} {last:22.1f} {reached if reached is not None else 'never':>22} "
              f"{result.seconds_per_iteration * 1e3:12.1f}")  # fmt: skip
    if options.out:
        draw(results, options.out)


if __name__ == "__main__":
    main()
