"""Mean ranks of methods over data sets, and by how much they must differ (Demšar 2006; Friedman, Nemenyi)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import chi2, studentized_range

_LEVEL = 0.05


def ranks(values: np.ndarray, *, larger_is_better: bool) -> np.ndarray:
    """
    The rank of each method on each data set, 1 being the best; equal values share the mean of their ranks.

    :param values: scores, [N, K]; NaN ranks last.
    :param larger_is_better: as for accuracy, and not for NLPP.
    :return: [N, K].
    """
    cost = np.where(np.isnan(values), np.inf, -values if larger_is_better else values)
    better = (cost[:, None, :] < cost[:, :, None]).sum(axis=2)
    equal = (cost[:, None, :] == cost[:, :, None]).sum(axis=2)
    return better + (equal + 1) / 2


def friedman_p_value(given: np.ndarray) -> float:
    """
    How probable mean ranks that differ so much, or more, would be if all methods were equally good.

    :param given: ranks, [N, K]; ties are allowed for, as they make the statistic smaller.
    """
    N, K = given.shape
    between = N * np.sum((given.mean(axis=0) - (K + 1) / 2) ** 2)
    within = np.sum((given - (K + 1) / 2) ** 2) / (N * (K - 1))
    return float(chi2.sf(between / within, K - 1)) if within > 0 else 1.0


def critical_difference(num_methods: int, num_datasets: int) -> float:
    """By how much two mean ranks must differ to be told apart at the level of 5% (Nemenyi's test)."""
    q = studentized_range.ppf(1.0 - _LEVEL, num_methods, np.inf) / 2**0.5
    return float(q * (num_methods * (num_methods + 1) / (6.0 * num_datasets)) ** 0.5)


def cliques(mean_ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """
    The largest groups of methods that cannot be told apart, each by its first and last method.

    :param mean_ranks: in ascending order.
    :param difference: the critical difference.
    """
    reach = [max(j for j in range(len(mean_ranks)) if mean_ranks[j] - first <= difference) for first in mean_ranks]
    return [(i, j) for i, j in enumerate(reach) if j > i and (i == 0 or reach[i - 1] < j)]


def draw(names: Sequence[str], mean_ranks: Sequence[float], num_datasets: int, file: Path, *, title: str) -> None:
    """
    Draw the mean ranks on a line, with a bar over each group of methods that cannot be told apart.

    :param file: .png, .pdf or another ending that matplotlib knows.
    """
    from matplotlib.figure import Figure

    order = np.argsort(mean_ranks, kind="stable")
    labels, values = [names[i] for i in order], [float(mean_ranks[i]) for i in order]
    K, difference = len(labels), critical_difference(len(labels), num_datasets)
    groups = cliques(values, difference)
    half = (K + 1) // 2
    depth = 0.5 + 0.3 * len(groups)  # where the first label stands below the axis
    figure = Figure(figsize=(7.0, 1.2 + 0.32 * (depth + half)), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0.4, K + 0.6), ylim=(depth + half, -1.6))
    axes.axis("off")
    axes.plot([1, K], [0, 0], color="black", linewidth=1)
    for rank in range(1, K + 1):
        axes.plot([rank, rank], [0, -0.15], color="black", linewidth=1)
        axes.text(rank, -0.25, str(rank), ha="center", va="bottom", fontsize=9)
    axes.plot([1, 1 + difference], [-1.1, -1.1], color="black", linewidth=1)
    axes.text(1 + difference / 2, -1.2, f"critical difference {difference:.2f}", ha="center", va="bottom", fontsize=8)
    for number, (first, last) in enumerate(groups):
        y = 0.35 + 0.3 * number
        axes.plot([values[first] - 0.03, values[last] + 0.03], [y, y], color="black", linewidth=3.5)
    for i, (label, value) in enumerate(zip(labels, values, strict=True)):
        left = i < half
        y, end = depth + (i if left else K - 1 - i), 0.9 if left else K + 0.1
        axes.plot([value, value, end], [0, y, y], color="grey", linewidth=0.8)
        text = f"{label}  {value:.2f}" if left else f"{value:.2f}  {label}"
        axes.text(end - 0.03 if left else end + 0.03, y, text, ha="right" if left else "left", va="center", fontsize=9)
    axes.set_title(f"{title}: mean ranks on {num_datasets} data sets", fontsize=10)
    figure.savefig(file, dpi=150, bbox_inches="tight")
