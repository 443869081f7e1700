"""
Draws the five pictures of docs/why.md. Run it with ``python docs/pictures/draw_why.py [FOLDER]``; it takes seconds.

Everything that is drawn is computed here by the package, and the numbers that the page names are printed.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gpflow
import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import sigkernel_tf as sk
from sigkernel_tf.gp import SignatureKernel, flatten_paths

HERE = Path(__file__).resolve().parent
BLUE, ORANGE, GREY = "#1f5fa8", "#c0632c", "#777777"
HEATER_FIRST, TEMPERATURE_FIRST = 1.0, -1.0
CHANNELS = ("heater", "temperature")


def day(lead: float, times: np.ndarray) -> np.ndarray:
    """Two bumps, of the heater and of the temperature, [L, 2]; the heater's comes ``lead`` hours earlier."""
    centres = 5.0 + np.array([-lead, lead]) / 2
    return np.exp(-0.5 * ((times[:, None] - centres) / 0.9) ** 2)


def noisy_days(leads: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One day for each lead, of 40 measurements with noise, [N, 40, 2]."""
    times = np.linspace(0.0, 10.0, 40)
    return np.stack([day(lead, times) for lead in leads]) + 0.1 * rng.normal(size=(len(leads), 40, 2))


def area(path: np.ndarray) -> float:
    """The signed area that a path of two channels runs around: half of what its two words of two letters differ by."""
    S = sk.signature(path, depth=2).numpy()
    return float(S[sk.word_index((0, 1), 2)] - S[sk.word_index((1, 0), 2)]) / 2


def lines(axes: Axes, times: np.ndarray, path: np.ndarray) -> None:
    for values, name, colour in zip(path.T, CHANNELS, (BLUE, ORANGE), strict=True):
        axes.plot(times, values, color=colour, label=name)
    axes.set_xlabel("hours")


def along(axes: Axes, path: np.ndarray) -> None:
    """The path in the plane of its channels, with arrows that show the way it takes."""
    axes.plot(*path.T, color=GREY)
    for i in np.linspace(0.32, 0.72, 5) * (len(path) - 1):
        start, step = path[int(i)], path[int(i) + 1] - path[int(i)]
        arrow = {"arrowstyle": "-|>", "color": GREY}
        axes.annotate("", start + step, start, arrowprops=arrow)
    axes.set(xlabel=CHANNELS[0], ylabel=CHANNELS[1], aspect="equal")


def two_days() -> Figure:
    figure, axes = pyplot.subplots(1, 2, figsize=(7.0, 2.4), sharey=True, layout="constrained")
    times = np.linspace(0.0, 10.0, 101)
    for ax, lead, title in zip(axes, (HEATER_FIRST, TEMPERATURE_FIRST), ("Monday", "Tuesday"), strict=True):
        lines(ax, times, day(lead, times))
        ax.set_title(title)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def as_paths() -> Figure:
    figure, axes = pyplot.subplots(1, 2, figsize=(7.0, 3.2), sharey=True, layout="constrained")
    times = np.linspace(0.0, 10.0, 101)
    for ax, lead, title in zip(axes, (HEATER_FIRST, TEMPERATURE_FIRST), ("Monday", "Tuesday"), strict=True):
        path = day(lead, times)
        along(ax, path)
        enclosed = area(path)
        ax.fill(*path.T, color=BLUE if enclosed > 0 else ORANGE, alpha=0.25)
        ax.set_title(f"{title}: area {enclosed:+.2f}".replace("-", "−"))
    return figure


def three_speeds() -> Figure:
    """One path at three speeds and lengths, and the numbers of its signature, which are the same."""
    figure, axes = pyplot.subplots(1, 4, figsize=(10.0, 2.4), width_ratios=[1, 1, 1, 1.5], layout="constrained")
    steady = np.linspace(0.0, 10.0, 201)
    clocks = {"steady": steady, "fast, then slow": 10.0 * (steady / 10.0) ** 0.4, "with a pause": paused(steady)}
    numbers = []
    for ax, (name, clock) in zip(axes, clocks.items(), strict=False):
        path = day(HEATER_FIRST, clock)
        lines(ax, steady, path)
        ax.set_title(name)
        numbers.append(sk.signature(path, depth=3).numpy()[1:])
    words = [word for word in sk.words(2, 15) if word]
    names = [" ".join("ht"[letter] for letter in word) for word in words]
    for shift, of_path, colour in zip((-0.27, 0.0, 0.27), numbers, (BLUE, ORANGE, GREY), strict=True):
        axes[3].bar(np.arange(len(words)) + shift, of_path, width=0.27, color=colour)
    axes[3].set_xticks(np.arange(len(words)), names, rotation=90)
    axes[3].set_title("the same signature")
    print("largest difference of the signatures:", f"{np.ptp(numbers, axis=0).max():.1e}")
    return figure


def paused(times: np.ndarray) -> np.ndarray:
    """A clock that stands still for two hours and then catches up."""
    return np.interp(times, [0.0, 4.0, 6.0, 10.0], [0.0, 5.0, 5.0, 10.0])


def similarities() -> Figure:
    """The Gram matrix of 45 noisy days of three kinds."""
    leads = np.repeat([HEATER_FIRST, 0.0, TEMPERATURE_FIRST], 15)
    K = SignatureKernel(2, normalize=True)(flatten_paths(noisy_days(leads, np.random.default_rng(0)))).numpy()
    kind = np.arange(45) // 15
    same = (kind[:, None] == kind) & ~np.eye(45, dtype=bool)
    print("mean similarity of days of one kind:", f"{K[same].mean():.2f};", end=" ")
    print("of other kinds:", f"{K[kind[:, None] != kind].mean():.2f}")
    figure, ax = pyplot.subplots(figsize=(4.4, 3.6), layout="constrained")
    figure.colorbar(ax.imshow(K, cmap="viridis"), ax=ax, label="similarity")
    names = ["heater first", "together", "temperature first"]
    ax.set_xticks([7, 22, 37], names)
    ax.set_yticks([7, 22, 37], names, rotation=90, va="center")
    return figure


def an_answer() -> Figure:
    """How sure a Gaussian process is that the heater came first, by how far it came before the temperature."""
    rng = np.random.default_rng(1)
    leads = rng.uniform(-1.0, 1.0, size=80)
    X, y = flatten_paths(noisy_days(leads, rng)), (leads > 0).astype(float)[:, None]
    kernel = SignatureKernel(2, normalize=True)
    model = gpflow.models.VGP((X, y), kernel, gpflow.likelihoods.Bernoulli())
    gpflow.optimizers.Scipy().minimize(model.training_loss, model.trainable_variables, options={"maxiter": 200})
    new = np.sort(rng.uniform(-1.5, 1.5, size=200))
    p = model.predict_y(flatten_paths(noisy_days(new, rng)))[0].numpy()[:, 0]
    print("new days told right:", f"{np.mean((p > 0.5) == (new > 0)):.3f};", end=" ")
    print("those more than half an hour apart:", f"{np.mean(((p > 0.5) == (new > 0))[abs(new) > 0.5]):.3f}")
    figure, ax = pyplot.subplots(figsize=(5.4, 2.8), layout="constrained")
    ax.axhline(0.5, color=GREY, linewidth=0.8)
    ax.scatter(new, p, s=10, color=np.where(new > 0, BLUE, ORANGE))
    ax.set(xlabel="hours by which the heater came first", ylabel="probability that it did", ylim=(0, 1))
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "why-days": two_days,
    "why-paths": as_paths,
    "why-speeds": three_speeds,
    "why-similarities": similarities,
    "why-answer": an_answer,
}


def main(folder: Path) -> None:
    matplotlib.use("Agg")
    for name, draw in PICTURES.items():
        figure = draw()
        figure.savefig(folder / f"{name}.png", dpi=90)
        pyplot.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
