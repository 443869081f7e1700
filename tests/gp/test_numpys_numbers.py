"""Options take NumPy's numbers as they take Python's, and long double is refused or converted, but never misnamed."""

import json

import gpflow
import keras
import numpy as np
import pytest

from sigkernel_tf.gp import (
    InducingSequences,
    InducingTensors,
    Preprocessing,
    SigGPDE,
    SignatureKernel,
    TrainingOptions,
    TruncatedSignatureKernel,
    evaluate,
    flatten_paths,
    path_dataset,
    predict_in_batches,
    predict_quantiles,
    sample_posterior,
)
from sigkernel_tf.gp.estimators.persistence import _encoded

two, half = np.int64(2), np.float32(0.5)


@pytest.fixture
def paths(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(6, 4, 2)).cumsum(axis=1)


def test_training_options_are_kept_in_a_checkpoint() -> None:
    """A checkpoint holds them as JSON, and is resumed with options that are equal."""
    whole = {"iterations": 3, "batch_size": 2, "monitor_every": 2, "patience": 2, "seed": 2}
    parts = {"learning_rate": 0.5, "natural_gradient": 0.5, "validation_fraction": 0.25}
    ours = TrainingOptions(**whole, **parts)  # type: ignore[arg-type]
    for integer, number in ((np.int8, np.float16), (np.uint64, np.float32), (np.int64, np.longdouble)):
        given = {name: integer(value) for name, value in whole.items()}
        given |= {name: number(value) for name, value in parts.items()}
        assert TrainingOptions(**given) == ours  # type: ignore[arg-type]
        assert json.dumps(TrainingOptions(**given).as_fingerprint()) == json.dumps(ours.as_fingerprint())
    schedule = keras.optimizers.schedules.ExponentialDecay
    fingerprints = [
        TrainingOptions(learning_rate=schedule(rate, steps, 0.9)).as_fingerprint()
        for rate, steps in ((0.5, 10), (half, np.int64(10)))
    ]
    assert json.dumps(fingerprints[0]) == json.dumps(fingerprints[1])


def test_kernels(paths: np.ndarray) -> None:
    X = flatten_paths(paths)
    for number in (np.float16, np.float32, np.longdouble, np.int64):
        options = {"lengthscales": number(2), "variance": number(2)}
        expected = {"lengthscales": 2.0, "variance": 2.0}
        for kind, given, plain in (
            (SignatureKernel, {"level_variances": np.int8(2)}, {"level_variances": 2}),
            (SignatureKernel, {"channels": np.array([1])}, {"channels": [1]}),
            (TruncatedSignatureKernel, {"depth": two}, {"depth": 2}),
            (TruncatedSignatureKernel, {"discretization_order": np.uint8(1)}, {"discretization_order": 1}),
        ):
            found = kind(two, **options, **given)(X)
            np.testing.assert_array_equal(found, kind(2, **expected, **plain)(X))


def test_switches_of_kernels(paths: np.ndarray) -> None:
    X = flatten_paths(paths)
    for kind, name, plain in (
        (SignatureKernel, "normalize", {}),
        (TruncatedSignatureKernel, "normalize", {"depth": 2}),
        (TruncatedSignatureKernel, "explicit", {"depth": 2}),
    ):
        for switch in (False, True):
            given = kind(2, **plain, **{name: np.bool_(switch)})
            np.testing.assert_array_equal(given(X), kind(2, **plain, **{name: switch})(X))
        for wrong in ("no", 1):
            with pytest.raises(TypeError, match=f"{name} must be True or False, got {wrong!r}"):
                kind(2, **plain, **{name: wrong})


def test_models_and_predictions(paths: np.ndarray) -> None:
    X = flatten_paths(paths)
    likelihood = gpflow.likelihoods.Gaussian(0.5)
    given = SigGPDE(two, np.int32(5), likelihood=likelihood, num_latent_gps=two, num_data=np.int64(9))
    plain = SigGPDE(2, 5, likelihood=likelihood, num_latent_gps=2, num_data=9)
    Y = np.zeros((6, 2))
    assert float(given.elbo((X, Y))) == float(plain.elbo((X, Y)))
    np.testing.assert_array_equal(predict_in_batches(given, X, batch_size=two), predict_in_batches(plain, X))
    np.testing.assert_array_equal(predict_quantiles(given, X, [half], seed=two), predict_quantiles(plain, X, [0.5]))
    np.testing.assert_array_equal(sample_posterior(given, X, two, seed=two), sample_posterior(plain, X, 2, seed=2))
    assert evaluate(given, (X, Y), batch_size=np.int8(4)) == evaluate(plain, (X, Y))
    batches = path_dataset(X, Y, batch_size=two, seed=two, first=np.int64(1))
    for one, other in zip(batches, path_dataset(X, Y, batch_size=2, seed=2, first=1), strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def test_inducing_variables_and_preprocessing(paths: np.ndarray) -> None:
    kernel = TruncatedSignatureKernel(2, 2)
    for kind in (InducingTensors, InducingSequences):
        given, plain = (kind.from_data(paths, count, kernel, seed=seed).Z for count, seed in ((two, two), (2, 2)))
        np.testing.assert_array_equal(given, plain)
    how = Preprocessing(windows=two, time=np.bool_(False))
    assert json.loads(json.dumps(how.to_dict(), default=_encoded)) == Preprocessing(windows=2, time=False).to_dict()


def test_long_double(paths: np.ndarray) -> None:
    """It is converted where a model's inputs are; elsewhere the dtype is named, and not the shape blamed."""
    X = flatten_paths(paths)
    model = SigGPDE(2, 5, likelihood=gpflow.likelihoods.Gaussian())
    long = X.astype(np.longdouble)
    np.testing.assert_array_equal(predict_in_batches(model, long), predict_in_batches(model, X))
    np.testing.assert_array_equal(sample_posterior(model, long), sample_posterior(model, X))
    assert evaluate(model, (long, X[:, :1])) == evaluate(model, (X, X[:, :1]))
    for function, given in ((model.kernel, long), (flatten_paths, paths.astype(np.longdouble))):
        with pytest.raises(TypeError, match=r"float128, NumPy's long double, .*\.astype\(np\.float64\)"):
            function(given)
