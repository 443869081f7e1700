"""Pictures of kernels, words and predictions, by matplotlib: ``pip install 'sigkernel-tf[plot]'``."""

from collections.abc import Iterable, Sequence
from statistics import NormalDist
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import static_kernels
from ._arguments import as_int
from .goursat import PowerSeries, Solver
from .surfaces import signature_kernel_surface

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RISES, _FALLS, _GREY = "#1f5fa8", "#c0632c", "#777777"


def plot_gram(K: Any, labels: Sequence[Any] | None = None, *, ax: "Axes | None" = None) -> "Axes":
    """
    A Gram matrix as a picture, its series sorted by their labels.

    >>> X, labels = np.random.default_rng(0).normal(size=(4, 10, 2)) / 3, ["walk", "run", "walk", "run"]
    >>> ax = sk.plot_gram(sk.signature_kernel_gram(X), labels)
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['run', 'walk']

    :param K: [N, N2], as :func:`signature_kernel_gram` or a kernel of GPflow returns it.
    :param labels: of the N series of a square matrix, [N]: series of one label are drawn side by side, with lines
        between the labels. None: the order is kept.
    :param ax: matplotlib's axes to draw on; None: new ones.
    :return: the axes; ``ax.figure.savefig("gram.png")`` writes the picture.
    :raises ImportError: without matplotlib.
    :raises ValueError: for what is no matrix, and for labels that do not fit.
    """
    K = _numbers(K, "K")
    if K.ndim != 2:
        raise ValueError(f"K must be a matrix, got shape {K.shape}: plot one Gram matrix at a time.")
    ax = _axes(ax, (4.8, 4.0))
    if labels is None:
        image = ax.imshow(K)
    else:
        names, of_each = _labels(labels, K)
        order = np.argsort(of_each, kind="stable")
        image = ax.imshow(K[np.ix_(order, order)])
        ends = np.cumsum(np.bincount(of_each))
        for end in ends[:-1]:
            ax.axhline(end - 0.5, color="white", linewidth=0.8)
            ax.axvline(end - 0.5, color="white", linewidth=0.8)
        middles = (np.concatenate([[0], ends[:-1]]) + ends - 1) / 2
        ax.set_xticks(middles, names)
        ax.set_yticks(middles, names)
    ax.figure.colorbar(image, ax=ax, label="k")
    return ax


def plot_surface(
    x: Any,
    y: Any,
    *,
    static_kernel: static_kernels.StaticKernel | None = None,
    solver: Solver = PowerSeries(),
    nodes: int = 50,
    axes: "Sequence[Axes] | None" = None,
) -> "tuple[Axes, Axes]":
    r"""
    How the kernel of two paths comes about: their increments, and U over the grid, which these make.

    The left picture has the increments p of the cells, for the linear kernel the products ⟨dx_i, dy_j⟩: the kernel
    grows where both paths move the same way. The right one has U, the kernel of the paths up to each pair of points;
    its last corner is k(x, y).

    >>> x, y = np.random.default_rng(0).normal(size=(2, 8, 3)) / 3
    >>> of_increments, of_surface = sk.plot_surface(x, y)
    >>> of_surface.get_xlabel()
    'point of y'

    :param x: [L1, D], float32 or float64.
    :param y: [L2, D], of x's dtype.
    :param static_kernel: as in :func:`signature_kernel`; None is the linear one.
    :param solver: as in :func:`signature_kernel`.
    :param nodes: U is computed at that many points of each path at most, evenly spaced, the last one included.
    :param axes: two of matplotlib's axes to draw on; None: new ones.
    :return: the axes of both pictures.
    :raises ImportError: without matplotlib.
    :raises ValueError: for more than one pair of paths, and where the paths do not fit.
    """
    nodes = as_int(nodes, "nodes", 2)
    shapes = [tuple(np.shape(path)) for path in (x, y)]
    if any(len(shape) != 2 for shape in shapes):
        raise ValueError(f"x and y must be single paths [L, D], got shapes {shapes[0]} and {shapes[1]}: plot one pair.")
    rows, columns = (np.unique(np.linspace(0, shape[0] - 1, nodes).round().astype(int)) for shape in shapes)
    U = signature_kernel_surface(x, y, rows=rows, columns=columns, static_kernel=static_kernel, solver=solver).numpy()
    p = static_kernels.increments(static_kernel or static_kernels.linear, x, y).numpy()
    if axes is None:
        _, axes = _pyplot().subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
    of_increments, of_surface = axes
    largest = np.abs(p).max(initial=0.0) or 1.0
    corners = [np.arange(shape[0]) for shape in reversed(shapes)]
    mesh = of_increments.pcolormesh(*corners, p, cmap="RdBu_r", vmin=-largest, vmax=largest)
    of_increments.figure.colorbar(mesh, ax=of_increments, label="increment p")
    mesh = of_surface.pcolormesh(columns, rows, U, shading="nearest")
    of_surface.figure.colorbar(mesh, ax=of_surface, label="U")
    for ax in (of_increments, of_surface):
        ax.set(xlabel="point of y", ylabel="point of x")
    return of_increments, of_surface


class _Word(Protocol):
    """A word as :func:`sigkernel_tf.gp.word_relevance` ranks them."""

    @property
    def name(self) -> str: ...
    @property
    def process(self) -> int: ...
    @property
    def relevance(self) -> float: ...
    @property
    def sign(self) -> int: ...


def plot_relevance(relevance: Iterable[_Word], *, top: int = 10, ax: "Axes | None" = None) -> "Axes":
    """
    Bars of the most relevant words, as in figure 4: blue where more of a pattern raises f, orange where less.

    >>> ax = sk.plot_relevance(word_relevance(model, ["heater", "temperature"], X=rows), top=5)
    >>> len(ax.patches)
    5

    :param relevance: what :func:`sigkernel_tf.gp.word_relevance` returned, the most relevant word first.
    :param top: how many words to draw.
    :param ax: matplotlib's axes to draw on; None: new ones.
    :raises ImportError: without matplotlib.
    """
    words = list(relevance)
    shown = words[: as_int(top, "top", 1)]
    ax = _axes(ax, (7.0, 0.35 * len(shown) + 1.0))
    several = len({word.process for word in words}) > 1
    names = [f"{word.name} ({word.process})" if several else word.name for word in shown]
    places = np.arange(len(shown))
    ax.barh(places, [word.relevance for word in shown], color=[_FALLS if word.sign < 0 else _RISES for word in shown])
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.set_xlabel("relevance")
    return ax


def plot_predictions(
    y: Any, predictions: Any, deviation: Any = None, *, coverage: float = 0.95, ax: "Axes | None" = None
) -> "Axes":
    r"""
    Predictions beside what came true.

    For numbers each prediction is a point above its true value: on the dashed line it would be right. With
    ``deviation`` a bar shows its central interval, which should meet the line for a share of ``coverage`` of the
    points. The title says for what share it does. For classes each row is a series, sorted by its true class, and
    shows the probabilities of all classes: on a good picture the blocks along the diagonal are bright.

    >>> ax = sk.plot_predictions([1.0, 2.0, 3.0], [1.1, 2.0, 3.5], [0.2, 0.2, 0.2])
    >>> ax.get_title()
    '67% within their intervals of 95%'

    :param y: [N]: numbers, or classes for ``predictions`` of rank 2.
    :param predictions: [N], predicted means; or [N, C], the probabilities of the classes, in the order of
        ``numpy.unique(y)`` (that of an estimator's ``classes_``), where y has all of them.
    :param deviation: [N], the standard deviations of the predictions; None: no bars.
    :param coverage: the share of the distribution that an interval holds, between 0 and 1.
    :param ax: matplotlib's axes to draw on; None: new ones.
    :raises ImportError: without matplotlib.
    :raises ValueError: for shapes that do not fit, and for a coverage outside (0, 1).
    """
    y, predictions = np.asarray(y), _numbers(predictions, "predictions")
    if y.ndim == 2 and y.shape[1] == 1:  # as GPflow has them
        y = y[:, 0]
    if predictions.ndim == 2 and predictions.shape[1] > 1:
        return _plot_probabilities(y, predictions, ax)
    predictions = predictions.reshape(-1)
    if y.shape != predictions.shape:
        raise ValueError(
            f"y and predictions must have one number for each series, got shapes {y.shape} and {predictions.shape}."
        )
    ax = _axes(ax, (4.4, 4.0))
    ends = [min(y.min(), predictions.min()), max(y.max(), predictions.max())]
    ax.plot(ends, ends, color=_GREY, linestyle="--", linewidth=0.8)
    if deviation is None:
        ax.plot(y, predictions, ".", color=_RISES)
    else:
        half = _half_widths(deviation, coverage, y)
        ax.errorbar(y, predictions, half, fmt=".", color=_RISES, ecolor="#9fbcdc")
        inside = np.mean(np.abs(y - predictions) <= half)
        ax.set_title(f"{inside:.0%} within their intervals of {coverage:.0%}")
    ax.set(xlabel="true", ylabel="predicted")
    return ax


def _plot_probabilities(y: np.ndarray, probabilities: np.ndarray, ax: "Axes | None") -> "Axes":
    classes, of_each = np.unique(y, return_inverse=True)
    if y.shape != probabilities.shape[:1] or len(classes) != probabilities.shape[1]:
        raise ValueError(
            f"predictions must have a row for each series and a column for each class of y, got shape "
            f"{probabilities.shape} for {y.shape} series of {len(classes)} classes: give probabilities [N, C]."
        )
    ax = _axes(ax, (4.4, 4.0))
    order = np.argsort(of_each, kind="stable")
    image = ax.imshow(probabilities[order], aspect="auto", vmin=0.0, vmax=1.0, interpolation="nearest")
    for end in np.cumsum(np.bincount(of_each))[:-1]:
        ax.axhline(end - 0.5, color="white", linewidth=0.8)
    ax.set_xticks(np.arange(len(classes)), [str(one) for one in classes])
    ax.set(xlabel="class", ylabel="series, by their true class")
    ax.figure.colorbar(image, ax=ax, label="probability")
    return ax


def _half_widths(deviation: Any, coverage: float, y: np.ndarray) -> np.ndarray:
    """Half of each central interval."""
    deviation = _numbers(deviation, "deviation").reshape(-1)
    if deviation.shape != y.shape or deviation.min() < 0:
        raise ValueError(
            f"deviation must be one standard deviation for each of {len(y)} series, none below 0, got shape "
            f"{deviation.shape}: take predict(X, return_std=True), or the root of a variance."
        )
    if not 0.0 < coverage < 1.0:
        raise ValueError(f"coverage must be between 0 and 1, got {coverage}: 0.95, for instance.")
    return NormalDist().inv_cdf(0.5 + coverage / 2) * deviation


def _labels(labels: Sequence[Any], K: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The labels' names, and for each series which of them it has."""
    if K.shape[0] != K.shape[1] or np.shape(labels) != K.shape[:1]:
        raise ValueError(
            f"labels must be one for each series of a square matrix, got shape {np.shape(labels)} for a matrix "
            f"{K.shape}: leave them out for a matrix of two sets."
        )
    names, of_each = np.unique(np.asarray(labels), return_inverse=True)
    return [str(name) for name in names], of_each


def _numbers(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers, got a {type(values).__name__}.") from error


def _axes(ax: "Axes | None", size: tuple[float, float]) -> "Axes":
    return _pyplot().subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def _pyplot() -> ModuleType:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "sigkernel_tf's pictures need matplotlib, which is not installed: pip install 'sigkernel-tf[plot]', or "
            "pip install matplotlib."
        ) from error
    return pyplot
