"""The parts of `python -m benchmarks.accuracy`: data sets, splits, scores and ranks."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import StratifiedKFold

from benchmarks.accuracy import datasets, environment, fitting, peers, ranks, runs, scores, splits
from benchmarks.accuracy.datasets import SOURCES, Labelled, Source
from benchmarks.accuracy.exchange import CLASSIFICATION, REGRESSION, Order, Problem, read_problem, write_problem
from benchmarks.accuracy.fitting import METHODS
from experiments.datasets.folder import VARIABLE, DataNotFoundError

TOY = Source("Toy", CLASSIFICATION, None, "Toy.npz")


def toy_arrays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Series that can be told apart by their first value; 3, 5 and 7 of each class for training, 4 of each beside."""
    X_train, X_test = rng.normal(size=(15, 6, 2)), rng.normal(size=(12, 6, 2))
    X_train[:, 0, 0], X_test[:, 0, 0] = np.arange(15), np.arange(15, 27)
    return {
        "X_train": X_train,
        "y_train": rng.permutation(np.repeat(["a", "b", "c"], [3, 5, 7])),
        "X_test": X_test,
        "y_test": np.repeat(["a", "b", "c"], 4),
    }


@pytest.fixture
def toy(rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The toy data set, in the data folder."""
    arrays = toy_arrays(rng)
    np.savez(tmp_path / "Toy.npz", **arrays)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return arrays


def identities(series: list[np.ndarray]) -> list[int]:
    return [int(one[0, 0]) for one in series]


def test_split_0_is_the_archives_own(toy: dict[str, np.ndarray]) -> None:
    split = splits.load(TOY, 0)
    np.testing.assert_array_equal(split.X, toy["X_train"])
    np.testing.assert_array_equal(split.X_test, toy["X_test"])
    np.testing.assert_array_equal(np.array(["a", "b", "c"])[split.y], toy["y_train"])
    assert split.num_classes == 3


def test_other_splits_are_resampled_class_by_class(toy: dict[str, np.ndarray]) -> None:
    of_all = dict(enumerate(np.concatenate([toy["y_train"], toy["y_test"]])))
    drawn = []
    for number in (1, 2):
        split = splits.load(TOY, number)
        assert np.bincount(split.y).tolist() == [3, 5, 7]
        assert sorted(identities(split.X) + identities(split.X_test)) == list(range(27))
        for series, y in ((split.X, split.y), (split.X_test, split.y_test)):
            assert [of_all[i] for i in identities(series)] == np.array(["a", "b", "c"])[y].tolist()
        drawn.append(identities(split.X))
        assert identities(splits.load(TOY, number).X) == drawn[-1]
    assert drawn[0] != drawn[1]


def test_halves_do_not_read_the_test_set(rng: np.random.Generator, toy: dict, tmp_path: Path) -> None:
    np.savez(tmp_path / "Toy.npz", **{name: value for name, value in toy.items() if name.endswith("train")})
    half = splits.load(TOY, 0, halves=True)
    assert sorted(identities(half.X) + identities(half.X_test)) == list(range(15))
    assert np.bincount(half.y).tolist() == [2, 3, 4]
    assert identities(splits.load(TOY, 1, halves=True).X) != identities(half.X)
    with pytest.raises(KeyError):
        splits.load(TOY, 0)


def test_halves_of_a_regression() -> None:
    X = list(np.arange(7.0).reshape(7, 1, 1))
    half = splits.half_of_training(REGRESSION, Labelled(X, np.linspace(0, 1, 7)), 0)
    assert (len(half.X), len(half.X_test), half.num_classes) == (4, 3, 0)


def test_gaps_are_interpolated_and_padding_is_dropped() -> None:
    nan = np.nan
    series = np.array([[nan, 1.0], [2.0, nan], [nan, nan], [4.0, nan], [nan, 5.0], [nan, nan]])
    expected = np.array([[2.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0], [4.0, 5.0]])
    np.testing.assert_allclose(datasets.without_gaps(series), expected)
    with pytest.raises(ValueError, match="a channel of NaN only"):
        datasets.without_gaps(np.array([[1.0, nan], [2.0, nan]]))


def test_a_data_set_that_is_not_at_hand_says_what_would_bring_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(DataNotFoundError, match=r"Crop is not at hand: set SIGKERNEL_TF_DATA"):
        datasets.find(SOURCES["Crop"])
    with pytest.raises(DataNotFoundError, match="install no_such_package, or give --environment"):
        datasets.find(Source("Toy", CLASSIFICATION, "no_such_package", "Toy.npz"))


def test_packages_are_found_in_the_peers_environment(tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "python3.12" / "site-packages" / "no_such_package"
    folder.mkdir(parents=True)
    (folder / "Toy_TRAIN.txt").write_text("2 0.5 1.5\n1 2.5 3.5\n")
    (folder / "Toy_TEST.txt").write_text("1 4.5 5.5\n")
    source = Source("Toy", CLASSIFICATION, "no_such_package", "Toy_{part}.txt")
    train = datasets.load(source, datasets.TRAIN, tmp_path)
    np.testing.assert_array_equal(train.X, [[[0.5], [1.5]], [[2.5], [3.5]]])
    np.testing.assert_array_equal(train.y, [2, 1])
    assert len(datasets.load(source, datasets.TEST, tmp_path).X) == 1


def test_problems_survive_their_files(rng: np.random.Generator, tmp_path: Path) -> None:
    series = [rng.normal(size=(length, 2)) for length in (3, 1, 4)]
    problem = Problem(Order(CLASSIFICATION, "SVM", {"C": 1.0}, 3, 2), series, np.array([0, 1, 1]), series[:2])
    write_problem(tmp_path, problem)
    found = read_problem(tmp_path)
    assert found.order == problem.order
    for given, read in ((problem.X, found.X), (problem.X_test, found.X_test), (problem.y, found.y)):
        assert all(np.array_equal(a, b) for a, b in zip(given, read, strict=True))


def test_scores_of_classes(rng: np.random.Generator) -> None:
    y, p = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200)
    found = scores.of_classes(y, np.argmax(p, axis=1), p)
    assert found["nlpp"] == pytest.approx(log_loss(y, p))
    error = 0.0
    for lower in np.arange(0, 1, 0.1):
        rows = [i for i in range(200) if lower <= p[i].max() < lower + 0.1]
        if rows:
            right = np.mean([np.argmax(p[i]) == y[i] for i in rows])
            error += len(rows) / 200 * abs(right - np.mean([p[i].max() for i in rows]))
    assert found["calibration_error"] == pytest.approx(error)
    assert scores.of_classes(y, y, None) == {"accuracy": 1.0, "nlpp": None, "calibration_error": None}
    certain = np.eye(3)[y]
    assert scores.of_classes(y, y, certain)["calibration_error"] == 0.0


def test_scores_of_numbers(rng: np.random.Generator) -> None:
    y, mean, deviation = rng.normal(size=300), rng.normal(size=300), rng.uniform(0.5, 2.0, 300)
    found = scores.of_numbers(y, mean, deviation, 1.0)
    assert found["r2"] == pytest.approx(r2_score(y, mean))
    assert found["nlpp"] == pytest.approx(-np.mean(stats.norm.logpdf(y, mean, deviation)))
    low, high = stats.norm.interval(0.9, mean, deviation)
    assert found["coverage"] == pytest.approx(np.mean((low <= y) & (y <= high)))
    scaled = scores.of_numbers(7 * y, 7 * mean, 7 * deviation, 7.0)
    assert scaled == pytest.approx(found)


def test_ranks_are_scipys(rng: np.random.Generator) -> None:
    values = rng.integers(0, 4, (20, 5)).astype(float)  # with ties
    np.testing.assert_allclose(ranks.ranks(values, larger_is_better=False), stats.rankdata(values, axis=1))
    np.testing.assert_allclose(ranks.ranks(values, larger_is_better=True), stats.rankdata(-values, axis=1))
    found = ranks.friedman_p_value(ranks.ranks(values, larger_is_better=True))
    assert found == pytest.approx(stats.friedmanchisquare(*values.T).pvalue)
    assert ranks.ranks(np.array([[np.nan, 1.0, 2.0]]), larger_is_better=False).tolist() == [[3.0, 1.0, 2.0]]


def test_the_critical_difference_is_demsars() -> None:
    """Demšar (2006), table 5: q at 5% for 2 to 6 methods."""
    for num_methods, q in zip(range(2, 7), (1.960, 2.343, 2.569, 2.728, 2.850), strict=True):
        expected = q * np.sqrt(num_methods * (num_methods + 1) / (6 * 14))
        assert ranks.critical_difference(num_methods, 14) == pytest.approx(expected, rel=1e-3)


def test_cliques_are_the_largest_groups() -> None:
    assert ranks.cliques([1.0, 1.5, 2.2, 4.0], 0.8) == [(0, 1), (1, 2)]
    assert ranks.cliques([1.0, 1.5, 2.2, 4.0], 0.1) == []
    assert ranks.cliques([1.0, 1.5, 1.6, 1.7], 5.0) == [(0, 3)]


@pytest.mark.parametrize("num_classes", [2, 4])
def test_platt_scaling_is_scikit_learns(rng: np.random.Generator, num_classes: int) -> None:
    """The same as by CalibratedClassifierCV around the classifier itself, which fits it once more."""
    y = np.arange(60) % num_classes
    X = rng.normal(size=(60, 3)) + y[:, None]
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    expected = CalibratedClassifierCV(RidgeClassifier(), cv=folds, ensemble=False).fit(X, y).predict_proba(X)
    held_out = np.zeros((60, num_classes) if num_classes > 2 else 60)
    for train, test in folds.split(X, y):
        held_out[test] = RidgeClassifier().fit(X[train], y[train]).decision_function(X[test])
    decisions = RidgeClassifier().fit(X, y).decision_function(X)
    found = peers.platt_scaling(held_out, y).predict_proba(decisions.reshape(60, -1))
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_methods_are_named_with_options() -> None:
    method = runs.method_named("SignatureGP:kernel=windows:effort=0.5:level_variances=true")
    assert method.options == {"kernel": "windows", "effort": 0.5, "level_variances": True}
    assert method.knows(REGRESSION)
    assert not runs.method_named("DTW").knows(REGRESSION)
    with pytest.raises(ValueError, match="--methods must name some of .*, got 'Rocket'"):
        runs.method_named("Rocket")
    for text in ("SignatureGP:effort", "SignatureGP:effort:0.5", "SignatureGP:a=../b"):
        with pytest.raises(ValueError, match="NAME:option=value"):
            runs.method_named(text)


def test_the_environment_is_the_users_or_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    with pytest.raises(ValueError, match="--environment must name a virtual environment"):
        environment.python_of(tmp_path)
    python.touch()
    assert environment.python_of(tmp_path) == python


def unequal(rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    """Series of 5 to 14 steps in three classes, which differ in slope."""
    y = np.arange(30) % 3
    return [
        np.linspace(0, c, 5 + i % 10)[:, None] + 0.05 * rng.normal(size=(5 + i % 10, 2)) for i, c in enumerate(y)
    ], y


SLOW = ("MiniRocket", "MultiRocket", "DTW")  # compiled by numba, which takes a minute


@pytest.mark.parametrize(
    ("name", "task"),
    [
        pytest.param(name, task, marks=[pytest.mark.slow] * (name in SLOW))
        for name, places in METHODS.items()
        for task, place in places.items()
        if not place.startswith("ours:")
    ],
)
def test_peers_learn_from_series_of_unequal_length(rng: np.random.Generator, name: str, task: str) -> None:
    X, y = unequal(rng)
    method = fitting.make(Order(task, name, {}, 0, 3 if task == CLASSIFICATION else 0), 2)
    targets = y if task == CLASSIFICATION else 10.0 * y
    method.fit(X[6:], targets[6:])
    if hasattr(method, "calibrate"):
        method.calibrate(X[6:], targets[6:])
    found = method.predict(X[:6])
    if name == "Frequencies":
        return
    if task == CLASSIFICATION:
        np.testing.assert_array_equal(found["labels"], y[:6])
        np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1.0)
        assert scores.of_classes(y[:6], found["labels"], found["probabilities"])["nlpp"] < 0.6
    else:
        np.testing.assert_allclose(found["mean"], targets[:6], atol=4.0)
        assert (found["deviation"] > 0).all()


def test_a_peer_has_no_probabilities_where_a_class_has_one_series(rng: np.random.Generator) -> None:
    X, y = unequal(rng)
    y = np.where(np.arange(30) == 29, 3, y)
    svm = peers.SupportVectorClassifier(Order(CLASSIFICATION, "SVM", {}, 0, 4), 2)
    svm.fit(X, y)
    svm.calibrate(X, y)
    assert set(svm.predict(X[:6])) == {"labels"}
