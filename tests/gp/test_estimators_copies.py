"""Copies of fitted estimators: by copy, pickle and joblib, and through a file, also when a file is damaged."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpflow
import joblib
import numpy as np
import pytest
from damage import damaged, value_or_error

from sigkernel_tf.gp import Preprocessing, SignatureGPClassifier, SignatureGPRegressor, TrainingOptions, train
from sigkernel_tf.gp.estimators import persistence

QUICK: dict[str, Any] = {
    "preprocessing": Preprocessing(),
    "num_inducing": 15,
    "lengthscales": 1.0,
    "level_variances": True,
    "max_iterations": 20,
}
X = np.random.default_rng(3).normal(size=(30, 8, 2)).cumsum(axis=1)
Y = X[:, -1, 0] - X[:, 0, 1]


def fitted(**options: object) -> SignatureGPRegressor:
    return SignatureGPRegressor(**{**QUICK, **options}).fit(X, Y)


def through_a_file(estimator: Any, folder: Path) -> Any:
    estimator.save(folder / "model.npz")
    return type(estimator).load(folder / "model.npz")


COPIES: dict[str, Callable[[Any, Path], Any]] = {
    "copy": lambda estimator, _: copy.copy(estimator),
    "deepcopy": lambda estimator, _: copy.deepcopy(estimator),
    "pickle": lambda estimator, _: pickle.loads(pickle.dumps(estimator)),
    "file": through_a_file,
}


def state(estimator: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(estimator).items() if name not in ("model_", "kernel_")}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_has_what_the_model_learnt_since(how: str, tmp_path: Path) -> None:
    """Another noise, σ² and number of data; and the original is not changed by being copied."""
    regressor = fitted()
    before = state(regressor)
    regressor.model_.likelihood.variance.assign(0.37)
    regressor.model_.kernel.variance.assign(1.7)
    regressor.model_.num_data = 300
    copied = COPIES[how](regressor, tmp_path)
    assert state(regressor) == before
    np.testing.assert_allclose(copied.model_.likelihood.variance.numpy(), 0.37, rtol=1e-12)
    for one, other in zip(copied.predict(X, True), regressor.predict(X, True), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)
    data = regressor.flat_paths(X), Y[:, None]
    np.testing.assert_allclose(copied.model_.elbo(data), regressor.model_.elbo(data), rtol=1e-9)
    again = COPIES[how](copied, tmp_path)
    np.testing.assert_allclose(again.predict(X, True)[1], regressor.predict(X, True)[1], rtol=1e-9)


def test_a_copy_of_a_model_that_was_trained_further(tmp_path: Path) -> None:
    regressor = fitted(level_variances=False)
    before = regressor.model_.likelihood.variance.numpy()
    with gpflow.config.as_context(gpflow.config.Config(float=np.float64)):
        targets = (Y[:, None] - regressor.y_mean_) / regressor.y_scale_
        options = TrainingOptions(iterations=3, batch_size=8, learning_rate=0.05, progress=False)
        train(regressor.model_, (regressor.flat_paths(X), targets), options, validation=np.arange(3))
    assert regressor.model_.likelihood.variance.numpy() != before
    for make in COPIES.values():
        copied = make(regressor, tmp_path)
        for one, other in zip(copied.predict(X, True), regressor.predict(X, True), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9)


def test_joblibs_hash_is_stable() -> None:
    """It pickles the estimator, and caches go by it."""
    regressor = fitted()
    first = joblib.hash(regressor)
    assert joblib.hash(regressor) == first
    regressor.predict(X)
    assert joblib.hash(regressor) == first
    regressor.model_.likelihood.variance.assign(0.37)
    changed = joblib.hash(regressor)
    assert changed != first
    pickle.dumps(regressor)
    assert joblib.hash(regressor) == changed
    regressor.model_.likelihood.variance.assign(regressor._noise)
    assert joblib.hash(regressor) == first


@pytest.mark.parametrize("kernel", ["truncated", "lifted"])
def test_a_damaged_file(kernel: str, tmp_path: Path) -> None:
    options = QUICK if kernel == "truncated" else {"kernel": kernel, "effort": 0.01}
    classifier = SignatureGPClassifier(**options).fit(X, Y > 0)
    file = tmp_path / "model.npz"
    classifier.save(file)
    expected, whole = persistence.read(file, "SignatureGPClassifier"), file.read_bytes()
    for how, content in damaged(whole, flips=300, cuts=50):
        file.write_bytes(content)
        found, error = value_or_error(lambda: persistence.read(file, "SignatureGPClassifier"))
        if error is None:
            np.testing.assert_equal(found, expected, err_msg=how)
        else:
            assert "model.npz' is no file that save() of a sigkernel_tf estimator wrote, or is damaged" in error


@pytest.mark.parametrize("estimator", [SignatureGPClassifier, SignatureGPRegressor])
def test_files_of_the_first_version(estimator: Any, tmp_path: Path) -> None:
    """
    They held truncated kernels and nothing that tells their kind; their options were fewer.

    The arrays are written by that version's rules from the model itself: lengthscales, variances of levels, q(u) and
    the moments of the training set.
    """
    fit, file = estimator(**QUICK).fit(X, Y > 0 if estimator is SignatureGPClassifier else Y), tmp_path / "model.npz"
    model = fit.model_
    fitted = {
        "candidates_": fit.candidates_,
        "num_channels_": 2,
        "num_inducing_": 15,
        "depth_": fit.depth_,
        "level_variances_": True,
        "validation_nlpp_": fit.validation_nlpp_,
        "elbo_": fit.elbo_,
        "n_iter_": fit.n_iter_,
        "_num_series": 30,
        "preprocessing_": {
            "scaling": "set", "cumulative_sum": False, "base_point": True, "lead_lag": False, "windows": 1, "time": True
        },
    }  # fmt: skip
    if estimator is SignatureGPClassifier:
        fitted["classes_"] = {"__array__": [False, True], "dtype": "|b1"}
    else:
        fitted |= {
            "y_mean_": {"__array__": [float(Y.mean())], "dtype": "<f8"},
            "y_scale_": {"__array__": [float(Y.std())], "dtype": "<f8"},
            "_flat": True,
            "_noise": float(model.likelihood.variance.numpy()),
        }
    header = {
        "format": "sigkernel_tf.gp.estimators",
        "version": 1,
        "estimator": estimator.__name__,
        "params": {
            "preprocessing": {"scaling": "set"},
            "num_inducing": 15,
            "lengthscales": 1.0,
            "level_variances": True,
            "max_length": 300,
            "max_iterations": 20,
            "verbose": False,
            "random_state": None,
        },
        "fitted": fitted,
        "thinned_to": 300,
    }
    np.savez(
        file,
        header=np.array(json.dumps(header)),
        lengthscales=model.kernel.lengthscales.numpy(),
        variances=model.kernel.level_variances.numpy()[:-1],
        q_mu=model.q_mu.numpy(),
        q_sqrt=model.q_sqrt.numpy(),
        mean=X.reshape(-1, 2).mean(axis=0),
        deviation=X.reshape(-1, 2).std(axis=0),
    )
    loaded = estimator.load(file)
    assert loaded.kernel_kind_ == "truncated"
    assert loaded.kernel == "auto"
    assert loaded.depth_ == fit.depth_
    predict = "predict_proba" if estimator is SignatureGPClassifier else "predict"
    np.testing.assert_allclose(getattr(loaded, predict)(X), getattr(fit, predict)(X), rtol=1e-8)
    loaded.save(file)
    np.testing.assert_allclose(getattr(estimator.load(file), predict)(X), getattr(fit, predict)(X), rtol=1e-8)


def test_files_of_the_second_version(tmp_path: Path) -> None:
    """They say nothing of the fit, of which there was no choice."""
    fitted, file = SignatureGPRegressor(kernel="lifted", effort=0.002).fit(X, Y), tmp_path / "model.npz"
    fitted.save(file)
    arrays = dict(np.load(file))
    header = {**json.loads(str(arrays.pop("header"))), "version": 2}
    del header["fitted"]["fit_method_"], header["fitted"]["fit_nlpps_"], header["process"]["likelihood"]
    np.savez(file, header=np.array(json.dumps(header)), **arrays)
    loaded = SignatureGPRegressor.load(file)
    assert (loaded.fit_method_, loaded.fit_nlpps_) == ("least squares", {})
    np.testing.assert_allclose(loaded.predict(X), fitted.predict(X), rtol=1e-8)


@pytest.mark.parametrize("kernel", ["truncated", "lifted"])
def test_files_of_another_shape(kernel: str, tmp_path: Path) -> None:
    """Whole files, whose header or arrays are not those of an estimator."""
    options = QUICK if kernel == "truncated" else {"kernel": kernel, "effort": 0.01}
    regressor, file = SignatureGPRegressor(**options).fit(X, Y), tmp_path / "model.npz"
    regressor.save(file)
    arrays = dict(np.load(file))
    header = json.loads(str(arrays.pop("header")))
    others: list[Any] = [[], 3, None, {}, {**header, "version": "x"}, {**header, "params": 3}, {**header, "fitted": []}]
    others += [{**header, "params": {"color": "red"}}, {**header, "fitted": {**header["fitted"], "preprocessing_": 1}}]
    others += [{name: value for name, value in header.items() if name != lost} for lost in header]
    lost = [{name: value for name, value in header["fitted"].items() if name != gone} for gone in header["fitted"]]
    for other in [*others, *({**header, "fitted": less} for less in lost)]:
        np.savez(file, header=np.array(json.dumps(other)), **arrays)
        with pytest.raises(ValueError, match="is no file that save"):
            SignatureGPRegressor.load(file)
    for name in arrays:
        np.savez(file, header=np.array(json.dumps(header)), **{key: arrays[key] for key in arrays if key != name})
        with pytest.raises(ValueError, match=f"is damaged \\(it has no '{name}'\\)"):
            SignatureGPRegressor.load(file)
    name = "q_mu" if kernel == "truncated" else "alpha"
    wrong = {**arrays, name: arrays[name][:-1]}
    np.savez(file, header=np.array(json.dumps(header)), **wrong)
    with pytest.raises(ValueError, match="is no file that save"):
        SignatureGPRegressor.load(file)
