"""NumPy's masked arrays as data, parameters and panels: padding where a path may end, and refused everywhere else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpflow
import numpy as np
import pytest
from gpflow.likelihoods import Gaussian
from training_toys import toy_data, toy_model, toy_options

from sigkernel_tf.gp import (
    InducingSequences,
    InducingTensors,
    SigGPDE,
    SignatureGPClassifier,
    SignatureGPRegressor,
    SignatureKernel,
    TruncatedSignatureKernel,
    evaluate,
    flatten_paths,
    path_dataset,
    predict_in_batches,
    predict_quantiles,
    sample_posterior,
    train,
    word_relevance,
    write_tfrecords,
)
from sigkernel_tf.gp.estimators.panels import as_series

MASKED = "must have no masked elements, got a masked array with 1 of"


def masked(values: np.ndarray, place: tuple[int, ...]) -> np.ma.MaskedArray:
    found = np.ma.masked_array(values, mask=np.zeros(values.shape, bool))
    found[place] = np.ma.masked
    return found


@pytest.fixture
def panel(walks: Callable) -> np.ma.MaskedArray:
    """Four paths of 6 steps, the third of which ends after 4."""
    X = np.ma.masked_array(walks(4, 6, 2), mask=np.zeros((4, 6, 2), bool))
    X[2, 4:] = np.ma.masked
    return X


def test_paths_may_end_early(panel: np.ma.MaskedArray) -> None:
    expected = np.array(panel.data)
    expected[2, 4:] = expected[2, 3]
    np.testing.assert_array_equal(flatten_paths(panel), expected.reshape(4, 12))
    for given in (panel, list(panel)):
        assert [len(one) for one in as_series(given)] == [6, 6, 4, 6]
    assert [len(one) for one in as_series(panel[..., 0])] == [6, 6, 4, 6]
    kernel = TruncatedSignatureKernel(2, depth=2)
    found, other = (InducingSequences.from_data(X, 3, kernel).Z for X in (panel, expected))
    np.testing.assert_array_equal(found, other)


def test_what_is_masked_inside_a_series_is_missing(panel: np.ma.MaskedArray) -> None:
    panel[1, 2, 0] = np.ma.masked
    with pytest.raises(ValueError, match=r"not finite at \[series, time step\]: \[1, 2\]"):
        flatten_paths(panel)
    with pytest.raises(ValueError, match="got NaN in series 1, time step 2, channel 0"):
        as_series(panel)
    with pytest.raises(ValueError, match="must have no masked elements"):
        as_series([list(one) for one in panel])


def test_data_of_models(tmp_path: Path) -> None:
    X, Y = toy_data()
    model, hidden = toy_model(), masked(X, (3, 0))
    calls: list[tuple[str, Callable]] = [
        ("X", lambda: train(model, (hidden, Y), toy_options())),
        ("Y", lambda: train(model, (X, masked(Y, (3, 0))), toy_options())),
        ("X", lambda: train(model, (list(hidden), Y), toy_options())),
        ("validation", lambda: train(model, (X, Y), toy_options(), validation=masked(np.arange(9), (3,)))),
        ("X", lambda: evaluate(model, (hidden, Y))),
        ("X", lambda: path_dataset(hidden, Y)),
        ("Y", lambda: write_tfrecords(tmp_path / "records", iter([(X, masked(Y, (3, 0)))]))),
        ("X", lambda: write_tfrecords(tmp_path / "records", (hidden, Y))),
        ("X", lambda: predict_in_batches(model, hidden)),
        ("X", lambda: predict_in_batches(model, iter([hidden]))),
        ("X", lambda: predict_in_batches(model, iter([(hidden, Y)]))),
        ("X", lambda: sample_posterior(model, hidden)),
        ("quantiles", lambda: predict_quantiles(model, X, masked(np.array([0.2, 0.8]), (1,)))),
    ]
    for argument, call in calls:
        with pytest.raises(ValueError, match=f"^{argument} {MASKED}"):
            call()
    whole = np.ma.masked_array(X, mask=False)
    np.testing.assert_array_equal(predict_in_batches(model, whole)[0], predict_in_batches(model, X)[0])


def test_kernels_and_inducing_variables(walks: Callable) -> None:
    X = flatten_paths(walks(4, 6, 2))
    hidden, kernel = masked(X, (2, 11)), TruncatedSignatureKernel(2, depth=2)
    model = SigGPDE(2, 7, likelihood=Gaussian())
    sequences = gpflow.models.SVGP(kernel, Gaussian(), InducingSequences.from_data(X, 2, kernel))
    calls: list[tuple[str, Callable]] = [
        ("X", lambda: kernel(hidden)),
        ("X2", lambda: kernel(X, hidden)),
        ("X", lambda: SignatureKernel(2)(hidden, full_cov=False)),
        ("X", lambda: SignatureKernel(2).features(hidden, 4)),
        ("X", lambda: InducingTensors.from_data(hidden, 2, kernel)),
        ("Z", lambda: InducingTensors(masked(np.ones((2, 3, 2)), (1, 2, 0)))),
        ("Z", lambda: InducingSequences(masked(np.ones((2, 3, 2)), (1, 2, 0)))),
        ("lengthscales", lambda: SignatureKernel(2, lengthscales=masked(np.ones(2), (1,)))),
        ("level_variances", lambda: SignatureKernel(2, level_variances=masked(np.ones(3), (1,)))),
        ("level_variances", lambda: TruncatedSignatureKernel(2, depth=2, level_variances=masked(np.ones(3), (1,)))),
        ("X", lambda: word_relevance(model, X=hidden)),
        ("Xnew", lambda: model.predict_f(hidden)),
        ("Xnew", lambda: model.predict_f(hidden[None], full_cov=True)),
        ("Xnew", lambda: model.posterior().predict_f(hidden)),
        ("Xnew", lambda: sequences.predict_f(hidden)),
        ("Xnew", lambda: sequences.posterior().predict_f(hidden, full_cov=True)),
    ]
    for argument, call in calls:
        with pytest.raises(ValueError, match=f"^{argument} {MASKED}"):
            call()


@pytest.mark.parametrize(
    ("estimator", "y", "cure"),
    [
        (SignatureGPClassifier, np.array([0, 1, 0, 1]), "drop the series without a label"),
        (SignatureGPClassifier, np.array(["a", "b", "a", "b"]), "drop the series without a label"),
        (SignatureGPRegressor, np.arange(4.0), "drop the series without a number"),
    ],
)
def test_outputs_of_estimators(estimator: Any, y: np.ndarray, cure: str, panel: np.ma.MaskedArray) -> None:
    with pytest.raises(ValueError, match=f"^y {MASKED} 4 masked: {cure}"):
        estimator().fit(panel, masked(y, (2,)))
    with pytest.raises(ValueError, match=f"^lengthscales {MASKED}"):
        estimator(lengthscales=masked(np.ones(2), (1,))).fit(panel, y)


def test_gpflow_default_float_is_kept(panel: np.ma.MaskedArray) -> None:
    with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
        assert flatten_paths(panel).dtype == np.float32
