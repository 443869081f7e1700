"""What the pictures draw: the data of the artists on the axes."""

import sys
from collections.abc import Iterator
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

import sigkernel_tf as sk

matplotlib.use("Agg")
from matplotlib import pyplot


@pytest.fixture(autouse=True)
def closed_afterwards() -> Iterator[None]:
    yield
    pyplot.close("all")


def test_a_gram_matrix_is_sorted_by_labels() -> None:
    K = np.arange(16.0).reshape(4, 4)
    ax = sk.plot_gram(K, ["b", "a", "b", "a"])
    expected = [[5, 7, 4, 6], [13, 15, 12, 14], [1, 3, 0, 2], [9, 11, 8, 10]]  # the series in the order 1, 3, 0, 2
    np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]
    np.testing.assert_array_equal(ax.get_yticks(), [0.5, 2.5])
    assert [line.get_ydata()[0] for line in ax.lines[::2]] == [1.5]


def test_a_gram_matrix_of_two_sets_keeps_its_order() -> None:
    _, own = pyplot.subplots()
    K = np.arange(6.0).reshape(2, 3)
    assert sk.plot_gram(K, ax=own) is own
    np.testing.assert_array_equal(own.images[0].get_array(), K)


def test_a_surface_with_its_increments(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(5, 2)), rng.normal(size=(3, 2))
    of_increments, of_surface = sk.plot_surface(x, y)
    p = np.diff(x, axis=0) @ np.diff(y, axis=0).T
    np.testing.assert_allclose(of_increments.collections[0].get_array(), p, rtol=1e-12)
    U = of_surface.collections[0].get_array()
    assert U.shape == (5, 3)
    assert U[-1, -1] == pytest.approx(sk.signature_kernel(x, y).numpy(), rel=1e-12)
    np.testing.assert_array_equal(U[0], 1.0)


def test_a_surface_of_long_paths_has_some_of_their_nodes(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(40, 2)).cumsum(axis=0) / 9, rng.normal(size=(30, 2)).cumsum(axis=0) / 9
    _, axes = pyplot.subplots(1, 2)
    _, of_surface = sk.plot_surface(x, y, nodes=4, axes=axes)
    U = of_surface.collections[0].get_array()
    assert U.shape == (4, 4)
    assert U[-1, -1] == pytest.approx(sk.signature_kernel(x, y).numpy(), rel=1e-12)
    assert U[1, 2] == pytest.approx(sk.signature_kernel(x[:14], y[:20]).numpy(), rel=1e-12)


def test_words_are_bars() -> None:
    words = [
        SimpleNamespace(name=f"word {i}", process=i % 2, relevance=3.0 - i, sign=(1, -1, 0)[i % 3]) for i in range(3)
    ]
    ax = sk.plot_relevance(words, top=2)
    assert [bar.get_width() for bar in ax.patches] == [3.0, 2.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["word 0 (0)", "word 1 (1)"]
    blue, orange = (bar.get_facecolor() for bar in ax.patches)
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]


def test_predicted_numbers_with_intervals() -> None:
    y, mean, deviation = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.1, 1.0, 2.5, 3.0]), np.full(4, 0.2)
    ax = sk.plot_predictions(y[:, None], mean[:, None], deviation, coverage=0.95)  # columns, as GPflow has them
    points, _, (bars,) = ax.containers[0]
    np.testing.assert_array_equal(points.get_xdata(), y)
    np.testing.assert_array_equal(points.get_ydata(), mean)
    lower, upper = np.array([segment[:, 1] for segment in bars.get_segments()]).T
    np.testing.assert_allclose(lower, mean - 1.959964 * 0.2, rtol=1e-6)
    np.testing.assert_allclose(upper, mean + 1.959964 * 0.2, rtol=1e-6)
    assert ax.get_title() == "75% within their intervals of 95%"  # 2 is not: 2.5 - 0.39 is above it


def test_predicted_numbers_without_intervals() -> None:
    ax = sk.plot_predictions([0.0, 2.0], [1.0, 3.0])
    diagonal, points = ax.lines
    np.testing.assert_array_equal(diagonal.get_xdata(), [0.0, 3.0])
    np.testing.assert_array_equal(diagonal.get_ydata(), [0.0, 3.0])
    np.testing.assert_array_equal(points.get_ydata(), [1.0, 3.0])


def test_predicted_classes_are_sorted_by_the_true_ones() -> None:
    P = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    ax = sk.plot_predictions(["walk", "run", "walk"], P)
    np.testing.assert_array_equal(ax.images[0].get_array(), P[[1, 0, 2]])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["run", "walk"]


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"K must be a matrix, got shape \(2, 3, 3\)"):
        sk.plot_gram(np.zeros((2, 3, 3)))
    with pytest.raises(TypeError, match="K must be an array of numbers, got a str"):
        sk.plot_gram("K")
    with pytest.raises(ValueError, match="labels must be one for each series of a square matrix"):
        sk.plot_gram(np.zeros((2, 3)), [0, 1])
    with pytest.raises(ValueError, match="x and y must be single paths"):
        sk.plot_surface(np.zeros((2, 3, 1)), np.zeros((2, 3, 1)))
    with pytest.raises(ValueError, match="y and predictions must have one number for each series"):
        sk.plot_predictions([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="deviation must be one standard deviation for each of 2 series"):
        sk.plot_predictions([1.0, 2.0], [1.0, 2.0], [1.0, -1.0])
    with pytest.raises(ValueError, match="coverage must be between 0 and 1, got 95"):
        sk.plot_predictions([1.0, 2.0], [1.0, 2.0], [1.0, 1.0], coverage=95)
    with pytest.raises(ValueError, match="a column for each class of y"):
        sk.plot_predictions([0, 0], np.full((2, 2), 0.5))


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'sigkernel-tf\[plot\]'"):
        sk.plot_gram(np.eye(2))
