"""Estimators with lifted kernels: what they fit against dense algebra, and what they are for scikit-learn's users."""

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gpflow
import joblib
import numpy as np
import pytest
import scipy.special
import scipy.stats
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from sigkernel_tf.gp import InducingSequences, Preprocessing, SignatureGPClassifier, SignatureGPRegressor
from sigkernel_tf.gp.estimators import final_fit
from sigkernel_tf.gp.estimators import process as process_module
from sigkernel_tf.gp.estimators.calibration import fit_calibration, fit_factor
from sigkernel_tf.gp.estimators.least_squares import OfGram, fit_features

ANY_LENGTH = "series of any length are predicted, so the number of columns of a 2-D X (time steps) is not fixed by fit"
NOT_APPLICABLE = {
    "check_n_features_in": ANY_LENGTH,
    "check_n_features_in_after_fitting": ANY_LENGTH,
    "check_classifiers_train": ANY_LENGTH,
    "check_regressors_train": "y is the value at one time step, which is not what the kernels are for",
    "check_sample_weight_equivalence_on_dense_data": "a weight counts in the fit; the scaling of series knows none",
}
QUICK: dict[str, Any] = {"kernel": "lifted", "effort": 0.01, "random_state": 0}


@pytest.mark.slow
@parametrize_with_checks(
    [SignatureGPClassifier(kernel="lifted", effort=0.005), SignatureGPRegressor(kernel="windows", effort=0.005)],
    expected_failed_checks=lambda _: NOT_APPLICABLE,
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module", autouse=True)
def only_least_squares() -> Iterator[None]:
    """Other fits have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(final_fit, "num_compared", lambda task, effort: 0)
        yield


@pytest.fixture(scope="module")
def panel() -> tuple[np.ndarray, np.ndarray]:
    """Three classes by where a bump is: 36 series [16, 1]."""
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b", "c"], 12)
    t = np.linspace(0, 1, 16)
    place = {"a": 0.25, "b": 0.5, "c": 0.75}
    X = np.stack([np.exp(-(((t - place[label]) / 0.1) ** 2)) for label in y]) + 0.1 * rng.normal(size=(36, 16))
    return X, y


@pytest.fixture(scope="module")
def fitted(panel: tuple[np.ndarray, np.ndarray]) -> SignatureGPClassifier:
    return SignatureGPClassifier(**QUICK).fit(*panel)


@pytest.fixture(scope="module")
def regressor(panel: tuple[np.ndarray, np.ndarray]) -> SignatureGPRegressor:
    X, _ = panel
    return SignatureGPRegressor(**QUICK).fit(X[::2], X[::2] @ np.linspace(-1, 1, 16))


@pytest.mark.parametrize("kernel", ["auto", "lifted", "windows"])
def test_easy_classes(panel: Any, kernel: str) -> None:
    X, y = panel
    classifier = SignatureGPClassifier(**{**QUICK, "kernel": kernel}).fit(X[::2], y[::2])
    assert classifier.score(X[1::2], y[1::2]) == 1.0
    assert classifier.kernel_kind_ == kernel or kernel == "auto"
    kinds = {row["kind"] for row in classifier.candidates_}
    assert kinds >= ({"lifted", "windows"} if kernel == "auto" else {kernel})
    assert classifier.candidates_[0]["kind"] == classifier.kernel_kind_
    assert classifier.candidates_[0]["validation_nlpp"] == classifier.validation_nlpp_


def test_it_is_gaussian_process_regression_on_the_classes(panel: Any, fitted: SignatureGPClassifier) -> None:
    """Exact, as all series are inducing: GPflow's GPR on a column of ones and zeros for each class."""
    X, y = panel
    flat, kernel = fitted.flat_paths(X), fitted.kernel_
    one_hot = (y[:, None] == fitted.classes_).astype(float)
    noise = fitted.model_.likelihood.variance.numpy()
    dense = gpflow.models.GPR((flat, one_hot - one_hot.mean(axis=0)), kernel, noise_variance=noise)
    new = fitted.flat_paths(X[:5] + 0.2)
    mean, variance = dense.predict_f(new)
    np.testing.assert_allclose(fitted._process.mean(new), mean + one_hot.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(fitted._process.variances(new), variance, atol=1e-5)
    model = fitted.model_
    assert isinstance(model, gpflow.models.SVGP)
    assert isinstance(model.inducing_variable, InducingSequences)
    assert model.kernel is fitted.kernel_ is model.kernel
    of_model, of_model_variance = model.predict_f(new)
    np.testing.assert_allclose(of_model, mean + one_hot.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(of_model_variance, variance, atol=1e-5)


def test_probabilities(panel: Any, fitted: SignatureGPClassifier) -> None:
    X, _ = panel
    scores = fitted.model_.predict_f(fitted.flat_paths(X))[0].numpy()
    calibration = fitted.calibration_
    expected = scipy.special.softmax(scores @ calibration.coefficients + calibration.intercepts, axis=1)
    probabilities = fitted.predict_proba(X)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(X)), probabilities, rtol=1e-12)
    np.testing.assert_array_equal(fitted.predict(X), fitted.classes_[probabilities.argmax(axis=1)])


@pytest.mark.parametrize("num_inducing", [7, 30])
def test_sparse_fits(panel: Any, num_inducing: int) -> None:
    """The posterior of the sparse process by dense algebra (Titsias 2009, eq. 6)."""
    X, _ = panel
    y = X @ np.linspace(-1, 1, 16)
    fit = SignatureGPRegressor(**QUICK, num_inducing=num_inducing).fit(X, y)
    assert fit.num_inducing_ == num_inducing
    model, k = fit.model_, fit.kernel_
    noise, Y = model.likelihood.variance.numpy(), (y - fit.y_mean_) / fit.y_scale_
    new = X[:4] + 0.3
    Z = model.inducing_variable.flat(k)
    Kuu, Kuf, Kus = k(Z).numpy(), k(Z, fit.flat_paths(X)).numpy(), k(Z, fit.flat_paths(new)).numpy()
    A = noise * Kuu + Kuf @ Kuf.T
    mean = Kus.T @ np.linalg.solve(A, Kuf @ Y)
    reduction = np.sum(Kus * np.linalg.solve(Kuu, Kus), axis=0)
    variance = k.variance - reduction + noise * np.sum(Kus * np.linalg.solve(A, Kus), axis=0)
    found, deviation = fit.predict(new, return_std=True)
    np.testing.assert_allclose(found, mean * fit.y_scale_ + fit.y_mean_, atol=2e-3)  # of 1; Kuu is nearly singular
    np.testing.assert_allclose(deviation, np.sqrt(variance + noise) * fit.y_scale_, rtol=1e-2)


def test_the_same_seed_gives_the_same_fit(panel: Any, fitted: SignatureGPClassifier) -> None:
    X, y = panel
    again = clone(fitted).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert again.candidates_ == fitted.candidates_


def test_unequal_lengths(panel: Any) -> None:
    """Padding changes nothing but rounding: a longer series beside the others is seen by nobody."""
    X, y = panel
    series = [one[: 10 + i % 7] for i, one in enumerate(X)]
    classifier = SignatureGPClassifier(**QUICK).fit(series, y)
    alone = classifier.predict_proba(series[:4])
    beside = classifier.predict_proba([*series[:4], np.sin(np.arange(40.0))])[:4]
    np.testing.assert_allclose(beside, alone, rtol=1e-6)


def test_attributes_of_truncated_kernels_are_absent(fitted: SignatureGPClassifier) -> None:
    for name in ("depth_", "level_variances_", "elbo_", "n_iter_"):
        assert not hasattr(fitted, name)
        with pytest.raises(AttributeError, match=f'{name} belongs to fits of a truncated kernel, .*_="lifted"'):
            getattr(fitted, name)
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        fitted.colour  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'model_', or not before fit"):
        SignatureGPClassifier().model_  # noqa: B018


def test_another_fit_forgets_the_first(panel: Any) -> None:
    X, y = panel
    classifier = SignatureGPClassifier(**QUICK).fit(X, y)
    classifier.set_params(kernel="truncated", num_inducing=15, preprocessing=Preprocessing(), lengthscales=1.0)
    classifier.fit(X, y)
    assert classifier.kernel_kind_ == "truncated"
    assert classifier.depth_ > 0
    assert not hasattr(classifier, "calibration_")
    assert classifier.score(X, y) > 0.8


def test_a_large_model_is_not_built(panel: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process_module, "_LARGEST", 1000)
    X, y = panel
    classifier = SignatureGPClassifier(**QUICK).fit(X, y)
    expected = classifier.predict_proba(X)
    with pytest.raises(AttributeError, match="model_ must hold a covariance for each of 3 outputs, .* smaller num_ind"):
        classifier.model_  # noqa: B018
    classifier.save(tmp_path / "model.npz")
    np.testing.assert_allclose(SignatureGPClassifier.load(tmp_path / "model.npz").predict_proba(X), expected, rtol=1e-9)


def through_a_file(estimator: Any, folder: Path) -> Any:
    estimator.save(folder / "model.npz")
    return type(estimator).load(folder / "model.npz")


COPIES: dict[str, Any] = {
    "copy": lambda estimator, _: copy.copy(estimator),
    "deepcopy": lambda estimator, _: copy.deepcopy(estimator),
    "pickle": lambda estimator, _: pickle.loads(pickle.dumps(estimator)),
    "file": through_a_file,
}


@pytest.mark.parametrize("how", COPIES)
def test_copies(how: str, panel: Any, fitted: SignatureGPClassifier, regressor: Any, tmp_path: Path) -> None:
    X, _ = panel
    copied = COPIES[how](fitted, tmp_path)
    np.testing.assert_allclose(copied.predict_proba(X), fitted.predict_proba(X), rtol=1e-9)
    assert copied.candidates_ == fitted.candidates_
    assert copied.kernel_kind_ == "lifted"
    assert copied.preprocessing_ == fitted.preprocessing_
    copied = COPIES[how](regressor, tmp_path)
    for one, other in zip(copied.predict(X, True), regressor.predict(X, True), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_has_what_the_model_learnt_since(how: str, panel: Any, regressor: Any, tmp_path: Path) -> None:
    X, _ = panel
    changed = copy.deepcopy(regressor)
    changed.model_.likelihood.variance.assign(0.37)
    changed.model_.q_mu.assign(0.5 * changed.model_.q_mu)
    changed.model_.kernel.static_kernel.variance.assign(1.3)
    flat = changed.flat_paths(X)
    mean, variance = (part.numpy()[:, 0] for part in changed.model_.predict_f(flat))
    for one in (changed, COPIES[how](changed, tmp_path)):
        found, deviation = one.predict(X, return_std=True)
        np.testing.assert_allclose(found, mean * one.y_scale_ + one.y_mean_, atol=1e-6)
        np.testing.assert_allclose(deviation, np.sqrt(variance + 0.37) * one.y_scale_, rtol=1e-6)
    assert not np.allclose(found, regressor.predict(X), atol=1e-3)


def test_joblibs_hash_is_stable(panel: Any, fitted: SignatureGPClassifier) -> None:
    """Caches go by it. Neither predictions nor asking for the model change it."""
    one = copy.deepcopy(fitted)
    first = joblib.hash(one)
    one.predict(panel[0])
    assert one.model_ is not None
    assert joblib.hash(one) == first
    one.model_.likelihood.variance.assign(0.37)
    assert joblib.hash(one) != first


def test_files_are_small(panel: Any, fitted: SignatureGPClassifier, tmp_path: Path) -> None:
    """One covariance for all classes, and of it the lower triangle."""
    fitted.save(tmp_path / "model.npz")
    arrays = dict(np.load(tmp_path / "model.npz"))
    assert arrays["root"].size == 36 * 37 / 2
    assert sum(array.nbytes for name, array in arrays.items() if name != "header") < 8 * (
        36 * (16 + 3) + 36 * 37 / 2 + 99
    )


OF_KINDS: dict[str, dict[str, Any]] = {
    "lifted": QUICK,
    "windows": {**QUICK, "kernel": "windows"},
    "truncated": {"preprocessing": Preprocessing(), "lengthscales": 2.0, "level_variances": True, "num_inducing": 20},
}


@pytest.mark.parametrize("kind", OF_KINDS)
def test_covariances_and_draws(panel: Any, kind: str) -> None:
    """Beside dense Gaussian process regression, which all three are: their features miss nothing of the kernel."""
    X, _ = panel
    y = X[::2] @ np.linspace(-1, 1, 16) + 0.2 * np.random.default_rng(1).normal(size=18)
    regressor = SignatureGPRegressor(**OF_KINDS[kind]).fit(X[::2], y)
    assert regressor.kernel_kind_ == kind
    noise = regressor.model_.likelihood.variance.numpy()
    scaled = (y[:, None] - regressor.y_mean_) / regressor.y_scale_
    likelihood = gpflow.likelihoods.Gaussian(noise, variance_lower_bound=noise / 2)
    dense = gpflow.models.GPR((regressor.flat_paths(X[::2]), scaled), regressor.kernel_, likelihood=likelihood)
    new = X[1::6]
    of_dense, of_dense_covariance = dense.predict_f(regressor.flat_paths(new), full_cov=True)
    mean, covariance = regressor.predict(new, return_cov=True)
    _, deviation = regressor.predict(new, return_std=True)
    scale = regressor.y_scale_.item()
    np.testing.assert_allclose(mean, of_dense.numpy()[:, 0] * scale + regressor.y_mean_, atol=1e-3 * scale)
    expected = (of_dense_covariance[0] + noise * np.eye(6)) * scale**2
    np.testing.assert_allclose(covariance, expected, atol=1e-2 * np.max(expected))
    np.testing.assert_allclose(deviation, np.sqrt(np.diag(expected)), rtol=1e-2)
    with pytest.raises(ValueError, match="At most one of return_std and return_cov"):
        regressor.predict(new, return_std=True, return_cov=True)
    draws = regressor.sample_y(new, 20_000, random_state=1)
    assert draws.shape == (6, 20_000)
    np.testing.assert_allclose(draws.mean(axis=1), mean, atol=5 * deviation.max() / np.sqrt(20_000))
    np.testing.assert_allclose(np.cov(draws), covariance, atol=0.05 * np.max(covariance))
    np.testing.assert_array_equal(draws, regressor.sample_y(new, 20_000, random_state=1))


def test_several_columns(panel: Any) -> None:
    X, _ = panel
    Y = X @ np.stack([np.linspace(-1, 1, 16), np.ones(16)], axis=1)
    fit = SignatureGPRegressor(**QUICK).fit(X[::2], Y[::2])
    mean, covariance = fit.predict(X[1::2], return_cov=True)
    assert mean.shape == (18, 2)
    assert covariance.shape == (18, 18, 2)
    assert fit.sample_y(X[:3], 5).shape == (3, 2, 5)
    assert fit.score(X[1::2], Y[1::2]) > 0.9


@pytest.mark.parametrize("kernel", ["lifted", "truncated"])
def test_a_weight_of_zero_leaves_a_series_out(panel: Any, kernel: str) -> None:
    X, _ = panel
    y = X @ np.linspace(-1, 1, 16)
    options: dict[str, Any] = {**QUICK, "kernel": kernel, "num_inducing": 36 if kernel == "lifted" else 15}
    weights = np.ones(36)
    weights[:6] = 0
    left_out = SignatureGPRegressor(**options).fit(X, y, sample_weight=weights)
    fewer = SignatureGPRegressor(**options).fit(X[6:], y[6:])
    np.testing.assert_allclose(left_out.predict(X), fewer.predict(X), rtol=1e-9)


def test_a_weight_is_a_number_of_rows(rng: np.random.Generator) -> None:
    """Weights 1 and 3, against normal equations with repeated rows; and the scores of rows that are left out."""
    phi, Y, weights = rng.normal(size=(12, 5)), rng.normal(size=(12, 2)), np.array([1.0, 3.0] * 6) / 2
    found = fit_features(phi, Y, weights)
    again = np.repeat(np.arange(12), [1, 3] * 6)
    offset = Y[again].mean(axis=0)

    def solved(rows: np.ndarray) -> np.ndarray:
        A = phi[rows].T @ phi[rows] / 2 + found.ridge * np.eye(5)  # the weights have mean 1
        return np.linalg.solve(A, phi[rows].T @ (Y[rows] - offset) / 2)

    np.testing.assert_allclose(found.offset, offset, rtol=1e-12)
    np.testing.assert_allclose(found.weights, solved(again), rtol=1e-9)
    left_out = np.stack([phi[i] @ solved(again[again != i]) for i in range(12)])
    np.testing.assert_allclose(found.scores, left_out, rtol=1e-9)


@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_calibration(rng: np.random.Generator, shared: float) -> None:
    """The largest penalised likelihood among its neighbours; and two series alone do not make it certain."""
    numbers = rng.integers(0, 3, size=40)
    scores = np.eye(3)[numbers] - 1 / 3 + 0.3 * rng.normal(size=(40, 3))
    weights = 1.0 + shared * rng.uniform(size=40)
    found = fit_calibration(scores, numbers, weights / weights.mean(), variance=2.0)
    factor = (found.coefficients - found.coefficients.mean(axis=0))[0, 0] * 1.5
    assert 1.0 < factor < 25.0

    def loss(W: np.ndarray, b: np.ndarray) -> float:
        log_p = scipy.special.log_softmax(scores @ W + b, axis=1)[np.arange(40), numbers]
        t = fit_factor(scores, numbers, weights / weights.mean())
        penalty = np.sum((W - t * np.eye(3)) ** 2) / 2.0 + np.sum(b**2) / 0.3
        return float(-np.sum(weights / weights.mean() * log_p) + 0.5 * penalty)

    best = loss(found.coefficients, found.intercepts)
    for _ in range(20):
        dW, db = 0.05 * rng.normal(size=(3, 3)), 0.05 * rng.normal(size=3)
        assert loss(found.coefficients + dW, found.intercepts + db) > best
    certain = fit_calibration(np.eye(2)[[0, 1]] - 0.5, np.array([0, 1]), np.ones(2))
    assert 0.9 < certain.probabilities(np.array([[0.5, -0.5]]))[0, 0] < 0.9999


def test_evidence_of_a_matrix(rng: np.random.Generator) -> None:
    """The largest over scale and noise, by brute force over multivariate normal densities."""
    A, Y = rng.normal(size=(9, 9)), rng.normal(size=(9, 2))
    K = A @ A.T
    found = OfGram.of(K, Y, np.ones(9)).evidence()
    centred = Y - Y.mean(axis=0)
    best = -np.inf
    for ridge in np.logspace(-5, 1.5, 14) * np.trace(K) / 9:
        for scale in np.logspace(-3, 3, 600):
            of_noise = scipy.stats.multivariate_normal(cov=scale * (K + ridge * np.eye(9)))
            best = max(best, sum(of_noise.logpdf(column) for column in centred.T) / 9)
    np.testing.assert_allclose(found, best, atol=1e-4)


def test_weights_of_classes(panel: Any) -> None:
    X, y = panel
    rng = np.random.default_rng(0)
    noisy = X + 0.8 * rng.normal(size=X.shape)
    few = np.flatnonzero((y != "a") | (np.arange(36) % 4 == 0))  # three of class a
    shares = [
        SignatureGPClassifier(**QUICK, class_weight=weight).fit(noisy[few], y[few]).predict_proba(noisy)[:, 0].mean()
        for weight in (None, "balanced", {"a": 100.0})
    ]
    assert shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"sample_weight": np.ones(35)}, ValueError, r"each of the 36 series of X, got shape \(35,\)"),
        ({"sample_weight": -np.ones(36)}, ValueError, "finite numbers that are not negative"),
        ({"sample_weight": np.full(36, np.nan)}, ValueError, "finite numbers that are not negative"),
        ({"sample_weight": np.zeros(36)}, ValueError, "must not be zero for all series but one, got 0 above 0"),
        ({"sample_weight": ["x"] * 36}, TypeError, "sample_weight must hold numbers"),
        ({"class_weight": "even"}, ValueError, "class_weight must be a dict"),
        ({"class_weight": {"a": 0.0}}, ValueError, "class_weight must hold positive numbers"),
        ({"class_weight": {"aa": 2.0}}, ValueError, "class_weight must have weights for labels of y.* got aa"),
        ({"kernel": "rbf"}, ValueError, 'kernel must be "auto" or one of'),
        ({"kernel": None}, ValueError, 'kernel must be "auto" or one of'),
        ({"effort": 0.0}, ValueError, "effort must be a positive number, got 0.0"),
        ({"effort": "much"}, TypeError, "effort must be a positive number, got 'much'"),
        ({"lengthscales": 1.0}, ValueError, 'lengthscales must be None with kernel="lifted"'),
        ({"preprocessing": {}}, ValueError, 'preprocessing must be None with kernel="lifted"'),
        ({"level_variances": True}, ValueError, 'level_variances must be None with kernel="lifted"'),
    ],
)
def test_options_out_of_range(panel: Any, given: dict, error: type[Exception], match: str) -> None:
    X, y = panel
    given = dict(given)
    weights = given.pop("sample_weight", None)
    with pytest.raises(error, match=match):
        SignatureGPClassifier(**{**QUICK, **given}).fit(X, y, sample_weight=weights)


class TestOddData:
    """A result, or an error that says what is wrong."""

    def fit(self, X: Any, y: Any, **options: Any) -> np.ndarray:
        classifier = SignatureGPClassifier(**{**QUICK, "kernel": "auto", **options}).fit(X, y)
        probabilities = classifier.predict_proba(X)
        assert np.isfinite(probabilities).all()
        return probabilities

    def test_two_series(self) -> None:
        X = np.stack([np.sin(np.arange(9.0)), np.cos(np.arange(9.0))])
        probabilities = self.fit(X, ["a", "b"])
        assert probabilities.shape == (2, 2)
        regressor = SignatureGPRegressor(**{**QUICK, "kernel": "auto"}).fit(X, [1.0, 2.0])
        assert np.isfinite(regressor.predict(X, return_std=True)).all()

    def test_one_time_step(self) -> None:
        rng = np.random.default_rng(0)
        y = np.arange(20) % 2
        X = (y + 0.1 * rng.normal(size=20))[:, None, None]
        assert np.mean(self.fit(X, y, kernel="windows").argmax(axis=1) == y) == 1.0
        self.fit(X, y)

    def test_a_class_of_one_series(self, panel: Any) -> None:
        X, y = panel
        labels = y.copy()
        labels[0] = "z"
        assert self.fit(X, labels).shape == (36, 4)

    def test_constant_and_wild_channels(self, panel: Any) -> None:
        X, y = panel
        wild = np.stack([X, np.full_like(X, 3.0), 1e9 * X[:, ::-1], 1e-9 * X], axis=2)
        assert np.mean(self.fit(wild, y).argmax(axis=1) == np.searchsorted(["a", "b", "c"], y)) == 1.0

    def test_series_that_stand_still(self) -> None:
        np.testing.assert_allclose(self.fit(np.zeros((6, 5, 2)), [0, 1] * 3), 0.5, atol=0.05)
        np.testing.assert_allclose(self.fit(np.ones((6, 1, 1)), [0, 1] * 3), 0.5, atol=0.05)

    def test_a_gap_inside_a_series(self, panel: Any) -> None:
        X, y = panel
        X = X.copy()
        X[4, 7] = np.nan
        with pytest.raises(ValueError, match="got NaN in series 4, time step 7, channel 0: interpolate or drop"):
            SignatureGPClassifier(**QUICK).fit(X, y)

    def test_many_equal_numbers(self) -> None:
        """Half of the series are nearly straight and all have a 0: that the next has another number is not excluded."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(61, 12)).cumsum(axis=1)
        X[:31] = np.arange(12) + 1e-3 * X[:31]
        y = np.concatenate([np.zeros(31), rng.normal(size=30) + 2.0])
        regressor = SignatureGPRegressor(**QUICK).fit(X[:60], y[:60])
        mean, deviation = regressor.predict(X[:1], return_std=True)
        least = 1.0 / np.sqrt(31) * np.std(y[:60])
        assert abs(mean[0]) < least
        assert least <= deviation[0] < 1.5 * least

    def test_series_far_from_the_training_set(self, panel: Any, fitted: SignatureGPClassifier) -> None:
        assert np.isfinite(fitted.predict_proba(1e6 * panel[0])).all()


def test_progress_is_printed(panel: Any, capsys: pytest.CaptureFixture) -> None:
    SignatureGPClassifier(**{**QUICK, "kernel": "auto"}, verbose=1).fit(*panel)
    shown = capsys.readouterr().out
    assert "36 series, 16 time steps, 1 channels; kernels to try: lifted, windows, truncated" in shown
    assert "validation NLPP" in shown
    assert "chosen: " in shown
