"""Least squares on features: against explicit refits, GPflow's own regressions and scikit-learn's calibration."""

import os
from collections.abc import Callable
from pathlib import Path

import gpflow
import numpy as np
import pytest
import scipy.stats
import sklearn.linear_model
from gpflow.inducing_variables import InducingPoints
from gpflow.models import GPR, SGPR, SVGP
from model_comparison import NO_JITTER

from experiments.datasets import pendigits
from sigkernel_tf.gp import (
    InducingSequences,
    InducingTensors,
    LeastSquaresFit,
    SigGPDE,
    SignatureKernel,
    TruncatedSignatureKernel,
    fit_least_squares,
    flatten_paths,
)
from sigkernel_tf.gp.training import feature_maps

NUM_ROWS = 30
RIDGES = [1e-3, 0.03, 1.0]
Walks = Callable[..., np.ndarray]


def kernel_of_paths(**options: object) -> SignatureKernel:
    return SignatureKernel(2, lengthscales=[0.8, 1.3], variance=1.7, normalize=True, **options)


def svgp(kernel: gpflow.kernels.Kernel, inducing_variable: object) -> SVGP:
    return SVGP(kernel, gpflow.likelihoods.Gaussian(), inducing_variable)


def exact(X: np.ndarray) -> SVGP:
    """A model whose features explain all of the prior at the rows of X."""
    return svgp(kernel_of_paths(), InducingPoints(X))


@pytest.fixture
def rows(walks: Walks) -> np.ndarray:
    return flatten_paths(walks(NUM_ROWS, 5, 2))


@pytest.fixture
def new_rows(walks: Walks) -> np.ndarray:
    walks(NUM_ROWS, 5, 2)
    return flatten_paths(walks(8, 5, 2))


@pytest.fixture
def labels() -> np.ndarray:
    return np.array(["c", "a", "b", "a", "b", "b"] * (NUM_ROWS // 6))


@pytest.fixture
def outputs(rng: np.random.Generator) -> np.ndarray:
    """Two numbers of different sizes for each row."""
    return rng.normal(size=(NUM_ROWS, 2)) * [1.0, 50.0] + [3.0, -20.0]


def one_hot(labels: np.ndarray) -> np.ndarray:
    return (labels[:, None] == np.unique(labels)).astype(float)


MODELS = {
    "orthogonal": lambda X: SigGPDE(2, 15, likelihood=gpflow.likelihoods.Gaussian(), lengthscales=0.9),
    "sequences": lambda X: svgp(kernel_of_paths(), InducingSequences.from_data(X, 12, kernel_of_paths())),
    "tensors": lambda X: svgp(
        TruncatedSignatureKernel(2, 3), InducingTensors.from_data(X, 12, TruncatedSignatureKernel(2, 3))
    ),
    "points": lambda X: svgp(kernel_of_paths(static_kernel=gpflow.kernels.RBF()), InducingPoints(X[::3])),
    "exact": exact,
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def posterior_by_refit(A: np.ndarray, y: np.ndarray, B: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of f at new rows with features B, by Gram matrices, from features A and targets y."""
    inverse = np.linalg.inv(A @ A.T + ridge * np.eye(len(A)))
    return B @ A.T @ inverse @ y, np.sum(B**2, axis=1) - np.sum((B @ A.T @ inverse) * (B @ A.T), axis=1)


def by_inverse(model: SVGP) -> Callable[[np.ndarray], np.ndarray]:
    """Features by the symmetric square root of Kuu's inverse."""

    def features(X: np.ndarray) -> np.ndarray:
        Kuu = gpflow.covariances.Kuu(model.inducing_variable, model.kernel).numpy()
        U, w, _ = np.linalg.svd(Kuu)
        return gpflow.covariances.Kuf(model.inducing_variable, model.kernel, X).numpy().T @ (U / np.sqrt(w)) @ U.T

    return features


@every_model
def test_leave_one_out_is_that_of_refits(make: Callable, rows: np.ndarray, outputs: np.ndarray) -> None:
    model = make(rows)
    fit, features = fit_least_squares(model, rows, outputs, ridges=RIDGES), by_inverse(model)(rows)
    centred = outputs - outputs.mean(axis=0)
    expected_density = []
    for ridge in RIDGES:
        means, variances = np.empty_like(outputs), np.empty(NUM_ROWS)
        for i in range(NUM_ROWS):
            others = np.delete(np.arange(NUM_ROWS), i)
            mean, variance = posterior_by_refit(features[others], centred[others], features[i : i + 1], ridge)
            means[i], variances[i] = mean[0], variance[0] + ridge
        if ridge == fit.ridge:
            np.testing.assert_allclose(fit.loo_scores, means + outputs.mean(axis=0), rtol=1e-7, atol=1e-7)
            np.testing.assert_allclose(fit.ridge / (1 - fit.leverages), variances, rtol=1e-7)

        def at(scale: float, c: int, means: np.ndarray = means, variances: np.ndarray = variances) -> float:
            return scipy.stats.norm.logpdf(centred[:, c], means[:, c], np.sqrt(scale * variances)).sum()

        scales = np.mean((centred - means) ** 2 / variances[:, None], axis=0)
        assert all(at(scales[c], c) > max(at(0.99 * scales[c], c), at(1.01 * scales[c], c)) for c in range(2))
        expected_density.append(at(scales[0], 0) + at(scales[1], 1))
        if ridge == fit.ridge:
            np.testing.assert_allclose(fit.scale, scales, rtol=1e-7)
    np.testing.assert_allclose(fit.loo_log_densities, expected_density, rtol=1e-8)
    assert fit.loo_log_density == max(fit.loo_log_densities)
    assert fit.ridge == RIDGES[int(np.argmax(expected_density))]


@pytest.mark.parametrize("ridge", [1e-4, 0.1])
def test_with_all_rows_as_inducing_points_it_is_gpflows_gpr(
    ridge: float, rows: np.ndarray, new_rows: np.ndarray, outputs: np.ndarray
) -> None:
    fit = fit_least_squares(exact(rows), rows, outputs, ridges=[ridge])
    mean_function = gpflow.mean_functions.Constant(outputs.mean(axis=0))
    gpr = GPR((rows, outputs), kernel_of_paths(), mean_function=mean_function, noise_variance=ridge)
    for at in (rows, new_rows):
        expected_mean, expected_variance = gpr.predict_f(at)
        mean, variance = fit.predict_f(at)
        np.testing.assert_allclose(mean, expected_mean, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(np.tile(variance, 2), expected_variance, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(fit.predict_mean(at), expected_mean, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(fit.predict(at), expected_mean, rtol=1e-8, atol=1e-8)


@every_model
def test_it_is_gpflows_sgpr(make: Callable, rows: np.ndarray, new_rows: np.ndarray, outputs: np.ndarray) -> None:
    model = make(rows)
    fit = fit_least_squares(model, rows, outputs, ridges=[0.02])
    mean_function = gpflow.mean_functions.Constant(outputs.mean(axis=0))
    with gpflow.config.as_context(gpflow.config.Config(jitter=1e-12)):
        sgpr = SGPR(
            (rows, outputs), model.kernel, model.inducing_variable, mean_function=mean_function, noise_variance=0.02
        )
        expected_mean, expected_variance = sgpr.predict_f(new_rows)
    mean, variance = fit.predict_f(new_rows)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(np.tile(variance, 2), expected_variance, rtol=1e-8, atol=1e-8)


@every_model
@pytest.mark.parametrize("scaled", [False, True])
def test_the_svgp_of_a_fit_predicts_the_same(
    make: Callable, scaled: bool, rows: np.ndarray, new_rows: np.ndarray, labels: np.ndarray
) -> None:
    fit = fit_least_squares(make(rows), rows, labels)
    model = fit.as_svgp(scaled=scaled)
    assert isinstance(model, SVGP)
    mean, variance = model.predict_f(new_rows)
    expected_mean, expected_variance = fit.predict_f(new_rows)
    factor = fit.scale[0] if scaled else 1.0
    size = factor * expected_variance.max()
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(variance, np.tile(factor * expected_variance, 3), atol=1e-4 * size)
    if scaled:
        for found, expected in zip(model.predict_y(new_rows), fit.predict_y(new_rows), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * size)
    if make is not exact:
        with gpflow.config.as_context(NO_JITTER):
            mean, variance = fit.as_svgp(scaled=scaled).predict_f(new_rows)
        np.testing.assert_allclose(mean, expected_mean, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(variance, np.tile(factor * expected_variance, 3), atol=1e-8 * size)


def test_the_svgp_has_the_targets_of_the_fit(rows: np.ndarray, labels: np.ndarray) -> None:
    """q(u) is where the bound for columns of ones and zeros is largest: no natural gradient moves it."""
    fit = fit_least_squares(MODELS["orthogonal"](rows), rows, labels)
    model = fit.as_svgp()
    gpflow.utilities.set_trainable(model.q_mu, False)
    gpflow.utilities.set_trainable(model.q_sqrt, False)
    before = model.q_mu.numpy(), model.q_sqrt.numpy()
    step = gpflow.optimizers.NaturalGradient(gamma=1.0)
    step.minimize(model.training_loss_closure((rows, one_hot(labels)), compile=False), [(model.q_mu, model.q_sqrt)])
    np.testing.assert_allclose(model.q_mu, before[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(model.q_sqrt, before[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_calibration_is_scikit_learns(
    num_classes: int, rows: np.ndarray, new_rows: np.ndarray, labels: np.ndarray
) -> None:
    labels = np.where(labels == "c", "a", labels) if num_classes == 2 else labels
    fit = fit_least_squares(MODELS["orthogonal"](rows), rows, labels)
    logistic = sklearn.linear_model.LogisticRegression(C=30, max_iter=5000, tol=1e-10).fit(fit.loo_scores, labels)
    scores = fit.predict_mean(new_rows)
    np.testing.assert_allclose(fit.predict_proba(new_rows), logistic.predict_proba(scores), atol=1e-5)
    np.testing.assert_allclose(fit.predict_log_proba(new_rows), np.log(fit.predict_proba(new_rows)), rtol=1e-9)
    np.testing.assert_array_equal(fit.predict(new_rows), logistic.predict(scores))
    np.testing.assert_allclose(fit.predict_proba(new_rows).sum(axis=1), 1.0, rtol=1e-12)


def assert_same_fit(first: LeastSquaresFit, second: LeastSquaresFit, tolerance: float = 1e-10) -> None:
    assert first.ridge == pytest.approx(second.ridge, rel=1e-9)
    for name in ("loo_scores", "leverages", "loo_log_densities", "scale"):
        expected = getattr(second, name)
        size = np.abs(expected).max()
        np.testing.assert_allclose(getattr(first, name), expected, rtol=0, atol=tolerance * size, err_msg=name)


@pytest.mark.parametrize("kept", [0, 100, 10**6])
@pytest.mark.parametrize("batch_size", [1, 7, 29, 1000])
def test_blocks_of_any_size_give_the_same(
    kept: int, batch_size: int, rows: np.ndarray, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODELS["sequences"](rows)
    expected = fit_least_squares(model, rows, labels)
    monkeypatch.setattr(feature_maps, "NUMBERS_KEPT", kept)
    fit = fit_least_squares(model, rows, labels, batch_size=batch_size)
    assert_same_fit(fit, expected)
    np.testing.assert_allclose(fit.predict_proba(rows), expected.predict_proba(rows), atol=1e-8)
    for found, whole in zip(fit.predict_f(rows, batch_size=batch_size), expected.predict_f(rows), strict=True):
        np.testing.assert_allclose(found, whole, atol=1e-10)


def test_features_are_kept_while_they_fit(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def features(X: np.ndarray) -> np.ndarray:
        sizes.append(len(X))
        return X

    y = rows[:, 3].copy()
    fit_least_squares(features, rows, y, batch_size=10)
    assert sizes == [1, 10, 10, 10]
    sizes.clear()
    monkeypatch.setattr(feature_maps, "NUMBERS_KEPT", 20 * rows.shape[1])
    fit_least_squares(features, rows, y, batch_size=10)
    assert sizes == [1, 10, 10, 10, 10, 10]  # the last block in each of three passes


def test_rows_may_stay_in_a_file(rows: np.ndarray, labels: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", rows)
    in_file = np.load(tmp_path / "X.npy", mmap_mode="r")
    model = MODELS["orthogonal"](rows)
    fit = fit_least_squares(model, in_file, labels, batch_size=8)
    assert_same_fit(fit, fit_least_squares(model, rows, labels))
    np.testing.assert_allclose(fit.predict_proba(in_file), fit.predict_proba(rows), atol=1e-12)


def test_inducing_variables_may_come_twice(rows: np.ndarray, new_rows: np.ndarray, labels: np.ndarray) -> None:
    Z = InducingSequences.from_data(rows, 8, kernel_of_paths(), length=None).Z.numpy()
    once, twice = (
        fit_least_squares(svgp(kernel_of_paths(), InducingSequences(each)), rows, labels)
        for each in (Z, np.concatenate([Z, Z[::-1]]))
    )
    assert twice.weights.shape == once.weights.shape
    assert_same_fit(twice, once, 1e-8)
    for found, expected in zip(twice.predict_f(new_rows), once.predict_f(new_rows), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("make", [MODELS["orthogonal"], MODELS["sequences"], exact])
def test_single_precision(make: Callable, rows: np.ndarray, new_rows: np.ndarray, labels: np.ndarray) -> None:
    """The kernel's rounding is all that is lost: 1e-7 of the kernel, against a ridge of 0.01."""
    expected = fit_least_squares(make(rows), rows, labels, ridges=[0.01])
    with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
        model = make(rows.astype(np.float32))
        assert model.kernel.variance.dtype == np.float32
        fit = fit_least_squares(model, rows.astype(np.float32), labels, ridges=[0.01])
        mean, variance = fit.predict_f(new_rows.astype(np.float32))
    assert fit.loo_scores.dtype == fit.weights.dtype == np.float64
    np.testing.assert_allclose(fit.loo_scores, expected.loo_scores, atol=1e-3)
    np.testing.assert_allclose(mean, expected.predict_f(new_rows)[0], atol=1e-3)
    np.testing.assert_allclose(variance, expected.predict_f(new_rows)[1], atol=1e-3)


def test_the_model_is_left_as_it_is_and_may_change(rows: np.ndarray, labels: np.ndarray) -> None:
    model = MODELS["sequences"](rows)
    before = {name: value.numpy() for name, value in gpflow.utilities.parameter_dict(model).items()}
    fit = fit_least_squares(model, rows, labels)
    expected = fit.predict_proba(rows)
    fit.as_svgp().kernel.lengthscales.assign([9.0, 9.0])
    for name, value in gpflow.utilities.parameter_dict(model).items():
        np.testing.assert_array_equal(value, before[name])
    model.kernel.lengthscales.assign([5.0, 5.0])
    model.inducing_variable.Z.assign(0 * model.inducing_variable.Z)
    np.testing.assert_array_equal(fit.predict_proba(rows), expected)


def test_scale_is_that_of_kernel_and_noise(rows: np.ndarray, new_rows: np.ndarray, outputs: np.ndarray) -> None:
    """With kernel and ridge multiplied by it, GPflow's GPR has the variances of predict_y."""
    y = outputs[:, :1]
    fit = fit_least_squares(exact(rows), rows, y, ridges=RIDGES)
    kernel = kernel_of_paths()
    kernel.variance.assign(kernel.variance * fit.scale[0])
    mean_function = gpflow.mean_functions.Constant(y.mean(axis=0))
    gpr = GPR((rows, y), kernel, mean_function=mean_function, noise_variance=fit.ridge * fit.scale[0])
    for found, expected in zip(fit.predict_y(new_rows), gpr.predict_y(new_rows), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-7)
    again = fit_least_squares(svgp(kernel, InducingPoints(rows)), rows, y, ridges=np.array(RIDGES) * fit.scale[0])
    np.testing.assert_allclose(again.scale, 1.0, rtol=1e-8)
    np.testing.assert_allclose(again.loo_log_density, fit.loo_log_density, rtol=1e-10)


def test_features_of_a_function(rows: np.ndarray, new_rows: np.ndarray, outputs: np.ndarray) -> None:
    def features(X: np.ndarray) -> np.ndarray:
        return np.sin(X[:, :4])

    fit = fit_least_squares(features, rows, outputs, ridges=[0.1])
    mean, variance = fit.predict_f(new_rows)
    centre = outputs.mean(axis=0)
    expected_mean, expected_variance = posterior_by_refit(features(rows), outputs - centre, features(new_rows), 0.1)
    np.testing.assert_allclose(mean, expected_mean + centre, rtol=1e-9)
    np.testing.assert_allclose(variance[:, 0], expected_variance, rtol=1e-9)
    with pytest.raises(TypeError, match="as_svgp needs features of a model, but a function gave them"):
        fit.as_svgp()


def test_paths_for_a_function_may_have_any_rank(walks: Walks, labels: np.ndarray) -> None:
    X = walks(NUM_ROWS, 5, 2)
    fit = fit_least_squares(lambda paths: paths[:, -1] - paths[:, 0], X, labels)
    assert fit.predict_proba(X).shape == (NUM_ROWS, 3)


@pytest.mark.parametrize(
    "convert",
    [
        lambda y: np.unique(y, return_inverse=True)[1] + 5,
        lambda y: np.unique(y, return_inverse=True)[1][:, None].astype(np.int8),
        lambda y: y.astype(object),
        lambda y: list(y),
        lambda y: y.astype(bytes),
    ],
)
def test_labels_of_all_kinds(convert: Callable, rows: np.ndarray, labels: np.ndarray) -> None:
    model, converted = MODELS["orthogonal"](rows), convert(labels)
    fit, expected = (fit_least_squares(model, rows, y) for y in (converted, labels))
    assert_same_fit(fit, expected)
    np.testing.assert_array_equal(fit.classes, np.unique(np.array(converted).astype(fit.classes.dtype)))
    np.testing.assert_array_equal(
        np.searchsorted(fit.classes, fit.predict(rows)), np.argmax(fit.predict_proba(rows), 1)
    )


def test_booleans_are_labels_and_floats_are_numbers(rows: np.ndarray, labels: np.ndarray) -> None:
    model = MODELS["orthogonal"](rows)
    booleans = fit_least_squares(model, rows, labels == "a")
    assert booleans.classes is not None
    assert booleans.classes.tolist() == [False, True]
    with pytest.warns(UserWarning, match="y holds floats"):
        floats = fit_least_squares(model, rows, (labels == "a").astype(np.float32))
    assert floats.classes is floats.calibration is None
    np.testing.assert_allclose(booleans.predict_mean(rows)[:, 1], floats.predict_mean(rows)[:, 0], rtol=1e-9)
    assert fit_least_squares(model, rows, labels, calibrate=False).calibration is None


def test_a_constant_number_and_a_class_of_one_row(rows: np.ndarray, labels: np.ndarray) -> None:
    model = MODELS["orthogonal"](rows)
    fit = fit_least_squares(model, rows, np.stack([rows[:, 3], np.full(NUM_ROWS, 0.1)], axis=1))
    alone = fit_least_squares(model, rows, rows[:, 3])
    assert fit.ridge == alone.ridge
    np.testing.assert_allclose(fit.predict_mean(rows)[:, 1], 0.1)
    rare = labels.copy()
    rare[4] = "z"
    assert np.isfinite(fit_least_squares(model, rows, rare).predict_log_proba(rows)).all()


BAD = {
    "no model": (lambda X, y: (3, X, y), TypeError, "features must be a gpflow.models.SVGP.*got int"),
    "multioutput": (
        lambda X, y: (svgp(gpflow.kernels.SharedIndependent(kernel_of_paths(), 2), InducingPoints(X)), X, y),
        TypeError,
        "one kernel for all outputs, got SharedIndependent",
    ),
    "mean function": (
        lambda X, y: (
            SVGP(
                kernel_of_paths(), gpflow.likelihoods.Gaussian(), X, mean_function=gpflow.mean_functions.Constant([1.0])
            ),
            X,
            y,
        ),
        ValueError,
        "without a mean function, got Constant: subtract it from y",
    ),
    "one class": (lambda X, y: (exact(X), X, np.ones(NUM_ROWS, int)), ValueError, "at least two classes, got only"),
    "rows": (lambda X, y: (exact(X), X, y[:-1]), ValueError, "same number of rows in X and Y"),
    "no rows": (lambda X, y: (exact(X), X[:0], y), ValueError, "X must have at least one row, got shape"),
    "rank": (lambda X, y: (exact(X), X.reshape(NUM_ROWS, 5, 2), y), ValueError, "X must have rank 2"),
    "one-hot": (lambda X, y: (exact(X), X, one_hot(y).astype(int)), ValueError, r"one label for each row.*argmax"),
    "rank of y": (lambda X, y: (exact(X), X, np.ones((NUM_ROWS, 1, 2))), ValueError, r"y must hold.*got shape \(30, 1"),
    "objects": (lambda X, y: (exact(X), X, [None, *y[1:]]), TypeError, "y must hold labels .*got dtype object"),
    "NaN in y": (lambda X, y: (exact(X), X, np.where(y == "a", np.nan, 1.0)), ValueError, "y must be finite, got nan"),
    "NaN in X": (lambda X, y: (exact(X), with_nan(X), y), ValueError, "X must be finite, got nan in row 3, column 2"),
    "NaN in features": (
        lambda X, y: (with_nan, X, y), ValueError, "features must be finite, got nan for row 3, feature 2"
    ),
    "shape of features": (
        lambda X, y: (lambda rows: rows[0], X, y), ValueError, r"features must return an array of numbers \[1, M\]"
    ),
    "number of features": (
        lambda X, y: (lambda rows: rows[:, : len(rows)], X, y), ValueError, "as many columns for all rows, 1, got 10"
    ),
    "no features": (lambda X, y: (lambda rows: rows[:, :0], X, y), ValueError, "features must have at least one col"),
    "constant": (lambda X, y: (exact(X), X, np.full(NUM_ROWS, 0.1)), ValueError, r"y must vary, got \[0.1\] in all of"),
}  # fmt: skip


def with_nan(X: np.ndarray) -> np.ndarray:
    X = X.copy()
    X[3:4, 2] = np.nan
    return X


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case: str, rows: np.ndarray, labels: np.ndarray) -> None:
    make, error, message = BAD[case]
    with pytest.raises(error, match=message):
        fit_least_squares(*make(rows, labels))


@pytest.mark.parametrize(("ridges", "message"), [([0.1, -1.0], "positive and finite"), ([], "a sequence of positive")])
def test_bad_ridges(ridges: list, message: str, rows: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=f"ridges must be {message}"):
        fit_least_squares(lambda X: X, rows, labels, ridges=ridges)


def test_rows_in_files_are_checked_as_they_are_read(rows: np.ndarray, labels: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", with_nan(rows))
    with pytest.raises(ValueError, match="X must be finite, got nan in row 3, column 2"):
        fit_least_squares(exact(rows), np.load(tmp_path / "X.npy", mmap_mode="r"), labels)


def test_bad_predictions(rows: np.ndarray, labels: np.ndarray, outputs: np.ndarray) -> None:
    model = exact(rows)
    regression, uncalibrated = (
        fit_least_squares(model, rows, outputs),
        fit_least_squares(model, rows, labels, calibrate=False),
    )
    with pytest.raises(TypeError, match="got a regression: for classes fit with task="):
        regression.predict_proba(rows)
    with pytest.raises(TypeError, match="got calibrate=False: fit with True"):
        uncalibrated.predict_proba(rows)
    assert set(uncalibrated.predict(rows)) <= set(labels)
    with pytest.raises(ValueError, match="X must have rank 2"):
        regression.predict_f(rows[0])
    with pytest.raises(ValueError, match="scaled=True needs one scale for all outputs"):
        regression.as_svgp(scaled=True)
    both = kernel_of_paths() + kernel_of_paths()
    of_sum = fit_least_squares(svgp(both, InducingPoints(rows)), rows, labels)
    with pytest.raises(TypeError, match="scaled=True needs a kernel with a variance, got Sum"):
        of_sum.as_svgp(scaled=True)


def test_a_model_that_gpflow_could_not_factorise(rows: np.ndarray, labels: np.ndarray) -> None:
    with gpflow.config.as_context(gpflow.config.Config(float=np.float32, jitter=0.0)):
        X = np.concatenate([rows, rows]).astype(np.float32)
        fit = fit_least_squares(exact(X), X, np.concatenate([labels, labels]))
        with pytest.raises(ValueError, match="must be positive definite in float32"):
            fit.as_svgp()


@pytest.mark.skipif(
    not list(Path(os.environ.get("SIGKERNEL_TF_DATA", "nowhere")).glob("**/PenDigits*")),
    reason="PenDigits is not in the folder of SIGKERNEL_TF_DATA",
)
def test_pendigits_is_predicted_better_than_by_gradient_steps() -> None:
    """Better than the paper's SigGPDE, on its preprocessing and with the words of five levels."""
    dataset = pendigits.load()
    model = SigGPDE(3, 364, likelihood=gpflow.likelihoods.Gaussian(), lengthscales=1.5, normalize=True)
    fit = fit_least_squares(model, flatten_paths(dataset.X_train), dataset.y_train)
    log_p = fit.predict_log_proba(flatten_paths(dataset.X_test))
    paper = pendigits.DESCRIPTION.paper[-1]
    assert paper.model == "SigGPDE"
    assert np.mean(np.argmax(log_p, axis=1) == dataset.y_test) > paper.accuracy[0]
    assert -np.mean(log_p[np.arange(len(log_p)), dataset.y_test]) < paper.nlpp[0]
