"""The estimators as a user of scikit-learn meets them."""

import inspect
import os
from pathlib import Path
from typing import Any

import gpflow
import joblib
import numpy as np
import pytest
import tensorflow as tf
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from sigkernel_tf.gp import Preprocessing, SignatureGPClassifier, SignatureGPRegressor

QUICK: dict[str, Any] = {
    "preprocessing": Preprocessing(),
    "num_inducing": 15,
    "lengthscales": 1.0,
    "level_variances": True,
    "max_iterations": 20,
}

ANY_LENGTH = "series of any length are predicted, so the number of columns of a 2-D X (time steps) is not fixed by fit"
NOT_APPLICABLE = {
    "check_n_features_in": ANY_LENGTH,
    "check_n_features_in_after_fitting": ANY_LENGTH,
    "check_classifiers_train": ANY_LENGTH,
    "check_sample_weight_equivalence_on_dense_data": "a weight counts in the fit; the scaling of series knows none",
    "check_regressors_train": "y is the value at one time step, which a dozen signature features do not resolve",
}


@parametrize_with_checks(
    [SignatureGPClassifier(**{**QUICK, "num_inducing": 7}), SignatureGPRegressor(**{**QUICK, "num_inducing": 7})],
    expected_failed_checks=lambda _: NOT_APPLICABLE,
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def panel() -> tuple[np.ndarray, np.ndarray]:
    """Which channel leads: 30 series [20, 2] and labels of text."""
    rng = np.random.default_rng(3)
    y = np.repeat(["first", "second"], 15)
    t = np.linspace(0, 6, 20)
    delay = np.where(y == "first", 1.0, -1.0)[:, None]
    X = np.stack([np.sin(t + 0 * delay), np.sin(t - delay)], axis=-1) + 0.1 * rng.normal(size=(30, 20, 2))
    return X, y


@pytest.fixture(scope="module")
def fitted(panel: tuple[np.ndarray, np.ndarray]) -> SignatureGPClassifier:
    return SignatureGPClassifier(**QUICK).fit(*panel)


@pytest.fixture(scope="module")
def of_three(panel: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, SignatureGPClassifier]:
    X = np.concatenate([panel[0], panel[0][:10, ::-1]])
    y = np.repeat([3, 7, -1], [15, 15, 10])
    return X, y, SignatureGPClassifier(**QUICK).fit(X, y)


def test_defaults_separate_easy_classes(panel: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = panel
    few = [Preprocessing(), {"scaling": "series", "base_point": False}, {"cumulative_sum": True}]
    classifier = SignatureGPClassifier(preprocessing=few).fit(X[::2], y[::2])
    assert classifier.score(X[1::2], y[1::2]) == 1.0
    assert classifier.preprocessing_ in [Preprocessing(**one) if isinstance(one, dict) else one for one in few]
    stages = [row["stage"] for row in classifier.candidates_]
    assert {"validated", "lengthscales refined", "one variance for all levels"} <= set(stages)
    scores = [row["validation_nlpp"] for row in classifier.candidates_ if row["validation_nlpp"] is not None]
    assert classifier.validation_nlpp_ == min(scores) == classifier.candidates_[0]["validation_nlpp"]


def test_probabilities(of_three: tuple[np.ndarray, np.ndarray, SignatureGPClassifier]) -> None:
    X, y, classifier = of_three
    probabilities = classifier.predict_proba(X)
    assert classifier.classes_.tolist() == [-1, 3, 7]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(classifier.predict(X), classifier.classes_[probabilities.argmax(axis=1)])
    np.testing.assert_array_equal(probabilities, classifier.predict_proba(X))
    assert classifier.score(X, y) > 0.9
    drawn, _ = classifier.model_.predict_y(classifier.flat_paths(X))  # GPflow's, from 100 draws
    np.testing.assert_allclose(probabilities, drawn, atol=0.2)


def test_labels_of_any_type(panel: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = panel
    for labels in (y, y.astype(object), y == "first", (y == "first") + 4.0, list(y)):
        classifier = SignatureGPClassifier(**QUICK).fit(X, labels)
        predicted = classifier.predict(X)
        assert predicted.dtype == np.asarray(labels).dtype
        assert np.mean(predicted == np.asarray(labels)) > 0.9


def test_the_model_is_gpflows(panel: tuple[np.ndarray, np.ndarray], fitted: SignatureGPClassifier) -> None:
    X, y = panel
    assert isinstance(fitted.model_, gpflow.models.SVGP)
    assert fitted.model_.kernel is fitted.kernel_
    data = (fitted.flat_paths(X), (y == "second").astype(float)[:, None])
    np.testing.assert_allclose(fitted.model_.elbo(data), fitted.elbo_, rtol=1e-9)
    mean, _ = fitted.model_.predict_y(data[0])
    np.testing.assert_allclose(fitted.predict_proba(X)[:, 1], mean[:, 0], rtol=1e-9)


@pytest.mark.parametrize("level_variances", [True, False])
def test_regression(level_variances: bool) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 8, 2)).cumsum(axis=1)
    area = np.sum((X[:, 1:, 0] + X[:, :-1, 0]) / 2 * np.diff(X[:, :, 1], axis=1), axis=1)
    Y = np.stack([10 + area, 5 * area - X[:, -1, 0]], axis=1)
    regressor = SignatureGPRegressor(
        preprocessing={"scaling": "set", "time": False}, level_variances=level_variances
    ).fit(X[:100], Y[:100])
    mean, deviation = regressor.predict(X[100:], return_std=True)
    assert mean.shape == deviation.shape == (20, 2)
    assert regressor.score(X[100:], Y[100:]) > 0.9
    assert np.mean(np.abs(mean - Y[100:]) < 3 * deviation) > 0.9
    assert regressor.level_variances_ is level_variances
    one = SignatureGPRegressor(**QUICK).fit(X[:100], Y[:100, 0])
    assert one.predict(X[100:]).shape == (20,)
    assert one.predict(X[100:], return_std=True)[1].shape == (20,)


@pytest.mark.parametrize("kind", ["list", "ragged", "padded", "tslearn", "nested", "multi-index"])
def test_panels_of_any_kind(kind: str, panel: tuple[np.ndarray, np.ndarray]) -> None:
    """Unequal series in every form: fitted and predicted as the list of arrays is."""
    X, y = panel
    series = [one[: 10 + i % 9] for i, one in enumerate(X)]
    expected = SignatureGPClassifier(**QUICK).fit(series, y).predict_proba(series)
    given: Any = [one.tolist() for one in series]
    if kind == "ragged":
        given = tf.RaggedTensor.from_row_lengths(np.concatenate(series), [len(one) for one in series])
    if kind == "padded":
        given = np.full((30, 20, 2), np.nan)
        for row, one in zip(given, series, strict=True):
            row[: len(one)] = one
    if kind == "tslearn":
        given = pytest.importorskip("tslearn.utils").to_time_series_dataset(series)
    if kind in ("nested", "multi-index"):
        convert_to = pytest.importorskip("sktime.datatypes").convert_to
        frames = [pytest.importorskip("pandas").DataFrame(one, columns=["a", "b"]) for one in series]
        given = convert_to(frames, "nested_univ" if kind == "nested" else "pd-multiindex")
    classifier = SignatureGPClassifier(**QUICK).fit(given, y)
    np.testing.assert_allclose(classifier.predict_proba(given), expected, rtol=1e-9)
    assert classifier.score(given, y) > 0.9


def frames_of(X: np.ndarray, kind: str) -> Any:
    """A panel of channels a and b."""
    pandas = pytest.importorskip("pandas")
    frames = [pandas.DataFrame(one, columns=["a", "b"]) for one in X]
    if kind == "nested":
        return pandas.DataFrame({name: [frame[name] for frame in frames] for name in ("a", "b")})
    return pandas.concat(frames, keys=range(len(X))) if kind == "multi-index" else frames


@pytest.mark.parametrize("kind", ["nested", "multi-index", "list"])
def test_names_of_channels(kind: str, panel: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    X, y = panel
    given = frames_of(X, kind)
    other: Any = [frame[["b", "a"]] for frame in given] if kind == "list" else given[["b", "a"]]
    renamed: Any = (
        [frame.rename(columns={"b": "c"}) for frame in given] if kind == "list" else given.rename(columns={"b": "c"})
    )
    classifier = SignatureGPClassifier(**QUICK).fit(given, y)
    classifier.save(tmp_path / "model.npz")
    for one in (classifier, SignatureGPClassifier.load(tmp_path / "model.npz")):
        assert one.feature_names_in_.tolist() == ["a", "b"]
        assert one.feature_names_in_.dtype == object
        with pytest.raises(ValueError, match="Feature names must be in the same order as they were in fit"):
            one.predict(other)
        with pytest.raises(ValueError, match=r"unseen at fit time:\n- c\nFeature names seen at fit .* missing:\n- b"):
            one.flat_paths(renamed)
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            np.testing.assert_allclose(one.predict_proba(X), classifier.predict_proba(given), rtol=1e-9)
    classifier.fit(X, y)
    assert not hasattr(classifier, "feature_names_in_")
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        classifier.predict(given)


def test_arrays_in_sktimes_order(panel: tuple[np.ndarray, np.ndarray], fitted: SignatureGPClassifier) -> None:
    X, y = panel
    with pytest.warns(UserWarning, match=r"X has shape \(30, 2, 20\)"):
        SignatureGPClassifier(**QUICK).fit(X.transpose(0, 2, 1), y)
    with pytest.raises(ValueError, match=r"got 20: sktime's numpy3D is \[N, D, L\]: give X.transpose\(0, 2, 1\)"):
        fitted.predict(X.transpose(0, 2, 1))
    with pytest.raises(ValueError, match=r"got 1: an array \(20, 2\) .*; one series is X\[None\]"):
        fitted.predict(X[0])


def test_scikit_learns_tools(panel: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = panel
    pipeline = make_pipeline(FunctionTransformer(lambda X: X[:, ::2]), SignatureGPClassifier(**QUICK))
    search = GridSearchCV(pipeline, {"signaturegpclassifier__num_inducing": [4, 15]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.9
    estimator = SignatureGPClassifier(verbose=True, max_length=50)
    assert clone(estimator).get_params() == estimator.get_params()
    parameters = list(inspect.signature(SignatureGPClassifier).parameters.values())
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)


@pytest.mark.slow
@pytest.mark.ci
def test_in_other_processes(panel: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """joblib pickles estimators to its workers, and fitted ones back: the results are those of one process."""
    X, y = panel
    series = [one[: 10 + i % 7] for i, one in enumerate(X)]  # of unequal length
    grid = {"signaturegpclassifier__num_inducing": [4, 15]}
    for data in (X, series):
        pipeline = make_pipeline(FunctionTransformer(), SignatureGPClassifier(**QUICK, random_state=0))
        one, two = (GridSearchCV(pipeline, grid, cv=2, n_jobs=n).fit(data, y) for n in (None, 2))
        assert one.best_params_ == two.best_params_
        np.testing.assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])
        np.testing.assert_allclose(two.predict_proba(data), one.predict_proba(data), rtol=1e-9)
    Y = X[:, -1, 0] - X[:, 0, 1]
    regressor = SignatureGPRegressor(**QUICK)
    fits = [cross_validate(regressor, X, Y, cv=2, n_jobs=n, return_estimator=True) for n in (None, 2)]
    np.testing.assert_allclose(fits[1]["test_score"], fits[0]["test_score"], rtol=1e-9)
    for here, there in zip(*(fit["estimator"] for fit in fits), strict=True):
        for found, expected in zip(there.predict(X, return_std=True), here.predict(X, return_std=True), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9)
    joblib.dump(one, tmp_path / "search.joblib")
    loaded = joblib.load(tmp_path / "search.joblib")
    np.testing.assert_allclose(loaded.predict_proba(series), one.predict_proba(series), rtol=1e-10)


def test_files_are_read_in_other_processes(panel: Any, fitted: SignatureGPClassifier, tmp_path: Path) -> None:
    """In joblib's workers again, which need neither sktime nor tslearn for it."""
    fitted.save(tmp_path / "model.npz")
    np.save(tmp_path / "X.npy", panel[0])
    code = (
        "import os, sys, numpy as np; from sigkernel_tf.gp import SignatureGPClassifier as C\n"
        "np.save(f + '/p.npy', C.load(f + '/model.npz').predict_proba(np.load(f + '/X.npy')))\n"
        "assert not {'sktime', 'tslearn'} & set(sys.modules)\n"
        "open(f + '/process', 'w').write(str(os.getpid()))"
    )
    joblib.Parallel(n_jobs=2)([joblib.delayed(exec)(code, {"f": str(tmp_path)})])
    assert (tmp_path / "process").read_text() != str(os.getpid())
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), fitted.predict_proba(panel[0]), rtol=1e-10)


def test_progress_is_printed(panel: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture) -> None:
    SignatureGPClassifier(**QUICK, verbose=True).fit(*panel)
    shown = capsys.readouterr().out
    assert "30 series, 20 time steps, 2 channels" in shown
    assert "chosen: scaling by set + base point + time" in shown


def test_long_series_are_thinned() -> None:
    X = np.random.default_rng(0).normal(size=(12, 4000, 1))
    classifier = SignatureGPClassifier(**QUICK, max_length=40).fit(X, np.arange(12) % 2)
    assert classifier.flat_paths(X).shape == (12, 41 * 2)


def test_odd_channels() -> None:
    """A constant channel, one scaled wildly, a class of one series and very unequal lengths."""
    rng = np.random.default_rng(0)
    X = [np.stack([np.full(n, 7.0), 1e9 * rng.normal(size=n), 1e-9 * np.arange(n)], 1) for n in (1, 2, 33, 500, 9, 9)]
    y = [0, 0, 0, 1, 1, 2]
    classifier = SignatureGPClassifier(preprocessing=[{}, {"scaling": "series", "lead_lag": True}]).fit(X, y)
    assert np.isfinite(classifier.predict_proba(X)).all()
    assert np.isfinite(classifier.predict_proba([1e3 * one for one in X])).all()


@pytest.mark.parametrize("X", [np.zeros((6, 5, 2)), np.ones((6, 1, 1))])
def test_series_that_stand_still(X: np.ndarray) -> None:
    classifier = SignatureGPClassifier().fit(X, [0, 1] * 3)
    np.testing.assert_allclose(classifier.predict_proba(X), 0.5, atol=0.01)


class TestFiles:
    """Saving and loading."""

    def test_classifier(self, panel: Any, fitted: SignatureGPClassifier, tmp_path: Path) -> None:
        fitted.save(tmp_path / "model.npz")
        loaded = SignatureGPClassifier.load(tmp_path / "model.npz")
        np.testing.assert_allclose(loaded.predict_proba(panel[0]), fitted.predict_proba(panel[0]), rtol=1e-10)
        np.testing.assert_array_equal(loaded.predict(panel[0]), fitted.predict(panel[0]))
        assert loaded.get_params() == {**fitted.get_params(), "preprocessing": fitted.preprocessing_.to_dict()}
        assert loaded.candidates_ == fitted.candidates_
        assert loaded.preprocessing_ == fitted.preprocessing_
        loaded.fit(*panel)  # its options are as good as the original's

    def test_regressor(self, panel: Any, tmp_path: Path) -> None:
        X, y = panel[0], np.arange(30.0)
        regressor = SignatureGPRegressor(**{**QUICK, "level_variances": False}).fit(X, y)
        regressor.save(str(tmp_path / "model"))
        loaded = SignatureGPRegressor.load(str(tmp_path / "model"))
        for one, other in zip(loaded.predict(X, True), regressor.predict(X, True), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9)

    @pytest.mark.parametrize("labels", [["a", "b"], [True, False], [1, 2]])
    @pytest.mark.parametrize("kind", [None, object])
    def test_labels(self, panel: Any, labels: list, kind: Any, tmp_path: Path) -> None:
        y = np.array(labels * 15, dtype=kind)
        classifier = SignatureGPClassifier(**{**QUICK, "max_iterations": 3}).fit(panel[0], y)
        classifier.save(tmp_path / "model.npz")
        loaded = SignatureGPClassifier.load(tmp_path / "model.npz")
        assert loaded.classes_.dtype == classifier.classes_.dtype
        assert loaded.classes_.tolist() == classifier.classes_.tolist()

    def test_wrong_files(self, fitted: SignatureGPClassifier, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            SignatureGPClassifier.load(tmp_path / "none.npz")
        (tmp_path / "text.npz").write_text("no archive")
        np.savez(tmp_path / "other.npz", a=np.ones(3))
        np.savez(tmp_path / "pickled.npz", header=np.array([{}], dtype=object))
        fitted.save(tmp_path / "model.npz")
        (tmp_path / "cut.npz").write_bytes((tmp_path / "model.npz").read_bytes()[:-400])
        for name in ("text", "other", "pickled", "cut"):
            with pytest.raises(ValueError, match="is no file that save\\(\\) of a sigkernel_tf estimator wrote"):
                SignatureGPClassifier.load(tmp_path / f"{name}.npz")
        with pytest.raises(ValueError, match="holds a SignatureGPClassifier, expected a SignatureGPRegressor"):
            SignatureGPRegressor.load(tmp_path / "model.npz")

    def test_unfitted(self, tmp_path: Path) -> None:
        with pytest.raises(NotFittedError):
            SignatureGPClassifier().save(tmp_path / "model.npz")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"preprocessing": "car"}, ValueError, 'preprocessing must be "auto"'),
        ({"preprocessing": []}, ValueError, "at least one"),
        ({"preprocessing": [3]}, TypeError, "Preprocessing objects or dicts"),
        ({"preprocessing": {"scaling": "me"}}, ValueError, "scaling must be one of"),
        ({"preprocessing": {"time": 1}}, TypeError, "time must be True or False"),
        ({"preprocessing": {"windows": 0}}, ValueError, "windows must be at least 1"),
        ({"preprocessing": 3}, TypeError, 'preprocessing must be "auto", a Preprocessing, a dict or a list'),
        ({"num_inducing": 0}, ValueError, "num_inducing must be at least 1"),
        ({"num_inducing": 2.0}, TypeError, "num_inducing must be an int"),
        ({"max_length": 1}, ValueError, "max_length must be at least 2"),
        ({"max_iterations": 0}, ValueError, "max_iterations must be at least 1"),
        ({"lengthscales": -1.0}, ValueError, "lengthscales must be positive"),
        ({"lengthscales": "auto"}, TypeError, r"lengthscales must be None \(chosen\) or positive numbers.* got 'auto'"),
        ({"lengthscales": 1e-200}, ValueError, "lengthscales must be long enough"),
        ({"lengthscales": 1e-3, "level_variances": False}, ValueError, r"long enough .* got \[0.001, 0.001, 0.001\]"),
        ({"lengthscales": [1.0, 2.0]}, ValueError, "one for each of the 3 channels"),
        ({"level_variances": "yes"}, TypeError, "level_variances must be True, False or None"),
    ],
)
def test_options_out_of_range(panel: Any, options: dict, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        SignatureGPClassifier(**{**QUICK, **options}).fit(*panel)


def test_no_preprocessing_is_auto(panel: Any, tmp_path: Path) -> None:
    X, y = panel
    classifier = SignatureGPClassifier(**{**QUICK, "preprocessing": None}).fit(X[::2], y[::2])
    expected = SignatureGPClassifier(**{**QUICK, "preprocessing": "auto"}).fit(X[::2], y[::2])
    assert classifier.preprocessing_ == expected.preprocessing_
    classifier.save(tmp_path / "model.npz")
    assert SignatureGPClassifier.load(tmp_path / "model.npz").preprocessing is None


def test_short_lengthscales_leave_the_other_kernel(panel: Any) -> None:
    """Where only the kernel of all levels overflows, the search takes the one with a variance for each level."""
    classifier = SignatureGPClassifier(**{**QUICK, "lengthscales": 1e-3, "level_variances": None}).fit(*panel)
    assert classifier.level_variances_ is True


@pytest.mark.parametrize("level_variances", [True, False])
@pytest.mark.parametrize("times", [1e3, 1e80, 1e120])
def test_series_far_from_the_training_set(panel: Any, level_variances: bool, times: float) -> None:
    X, y = panel
    options = {**QUICK, "level_variances": level_variances, "num_inducing": 60}
    classifier = SignatureGPClassifier(**options).fit(X, y)
    far = X.copy()
    far[[3, 7]] *= times
    if level_variances and times == 1e3:
        assert np.isfinite(classifier.predict_proba(far)).all()
        return
    with pytest.raises(ValueError, match="got series 3, 7, whose signature kernel overflows: drop or rescale") as fault:
        classifier.predict(far)
    assert ("level_variances=True" in str(fault.value)) is not level_variances
    regressor = SignatureGPRegressor(**options).fit(X, y == "first")
    with pytest.raises(ValueError, match="got series 3, 7, whose"):
        regressor.predict(far)


@pytest.mark.parametrize(
    ("labels", "error", "match"),
    [
        (["a", 1], TypeError, r"labels of one kind, got text for series 0 and numbers, 1, for series 1"),
        (np.array([1, "a"], object), TypeError, "labels of one kind, got numbers for series 0 and text"),
        (["a", None], ValueError, r"a label for each series, got None for series 1: drop"),
        (np.array([0, None], object), ValueError, r"got None for series 1"),
        (["a", float("nan")], ValueError, r"got nan for series 1"),
        ([0.0, float("inf")], ValueError, r"y must hold classes.* infinity"),
        ([0.0, 1.5], ValueError, r"y must hold classes: .*Unknown label type: continuous.* SignatureGPRegressor"),
        (np.array(["2020-01-01", "NaT"], "M8[s]"), ValueError, "got .*NaT.* for series 1"),
    ],
)
def test_labels_that_are_none(panel: Any, labels: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        SignatureGPClassifier(**QUICK).fit(
            panel[0], type(labels)(labels * 15) if isinstance(labels, list) else np.tile(labels, 15)
        )


def test_labels_of_other_kinds(panel: Any) -> None:
    X, y = panel
    tuples = np.empty(30, object)
    tuples[:] = [("a", int(one == "first")) for one in y]
    with pytest.raises(TypeError, match=r"got \('a', 1\) of <class 'tuple'> for series 0: give \[str\(label\) for"):
        SignatureGPClassifier(**QUICK).fit(X, tuples)
    dates = np.where(y == "first", np.datetime64("2020-01-01"), np.datetime64("2021-01-01"))
    assert SignatureGPClassifier(**QUICK).fit(X, dates).predict(X).dtype == dates.dtype
    for times in (dates, dates - dates[0]):
        with pytest.raises(TypeError, match="y must hold numbers: got dates or durations .* the days since a date"):
            SignatureGPRegressor(**QUICK).fit(X, times)


def test_data_that_do_not_fit(panel: Any, fitted: SignatureGPClassifier) -> None:
    X, y = panel
    with pytest.raises(ValueError, match=r"at least two classes, got one class, .*first"):
        SignatureGPClassifier().fit(X, ["first"] * 30)
    with pytest.raises(ValueError, match="each of the 30 series of X, got 29 labels"):
        SignatureGPClassifier().fit(X, y[:-1])
    with pytest.raises(ValueError, match="the 2 channels that SignatureGPClassifier was fitted on, got 3"):
        fitted.predict(np.zeros((2, 5, 3)))
    missing = X.copy()
    missing[4, 7, 1] = np.nan
    with pytest.raises(ValueError, match="got NaN in series 4, time step 7, channel 1"):
        fitted.predict(missing)
    with pytest.raises(NotFittedError):
        SignatureGPRegressor().predict(X)
    with pytest.raises(ValueError, match=r"each of the 30 series of X, got shape \(29,\)"):
        SignatureGPRegressor().fit(X, np.arange(29))
    with pytest.raises(ValueError, match="y must be finite"):
        SignatureGPRegressor().fit(X, np.full(30, np.nan))
