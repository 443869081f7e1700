"""What training does about inputs that are not finite, and about numbers that stop being so on the way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpflow
import numpy as np
import pytest
import tensorflow as tf
from gpflow.likelihoods import Gaussian
from training_toys import parameters, toy_data, toy_model, toy_options

from sigkernel_tf.gp import (
    SigGPDE,
    TrainingOptions,
    evaluate,
    flatten_paths,
    path_dataset,
    read_tfrecords,
    train,
    write_tfrecords,
)
from sigkernel_tf.gp.data import as_rows
from sigkernel_tf.gp.data.datasets import spooled
from sigkernel_tf.gp.prediction import Evaluation, Evaluator
from sigkernel_tf.gp.training.steps import Steps


class Counted:
    """A ``record`` that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, float]:
        self.calls += 1
        return {}


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_arrays_are_checked_before_the_first_step(value: float, walks: Callable) -> None:
    """Beyond the rows on which the solver is checked, too."""
    X = flatten_paths(walks(5000, 2, 2))
    X[4500, 3] = value
    Y = np.zeros((5000, 1))
    message = rf"X must be finite, got {value} in row 4500, column 3: fill it in, or leave such rows out"
    for model in (SigGPDE(2, 4, likelihood=Gaussian()), toy_model_of(X[:3])):
        record = Counted()
        with pytest.raises(ValueError, match=message):
            train(model, (X, Y), toy_options(monitor_every=1), record=record)
        assert record.calls == 0
        np.testing.assert_array_equal(model.q_mu, np.zeros_like(model.q_mu))
        with pytest.raises(ValueError, match=message):
            evaluate(model, (X, Y))
    for call in (lambda: path_dataset(X, Y), lambda: evaluate(model, (X.tolist(), Y.tolist()))):
        with pytest.raises(ValueError, match=message):
            call()


def toy_model_of(Z: np.ndarray) -> gpflow.models.SVGP:
    return gpflow.models.SVGP(gpflow.kernels.RBF(), Gaussian(), gpflow.inducing_variables.InducingPoints(Z))


def memory_mapped(X: np.ndarray, Y: np.ndarray, folder: Path) -> Any:
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r"), Y


def records(X: np.ndarray, Y: np.ndarray, folder: Path) -> Any:
    write_tfrecords(folder / "records", iter([(X, Y)]))
    return read_tfrecords(folder / "records")


def spooled_dataset(X: np.ndarray, Y: np.ndarray, folder: Path) -> Any:
    return spooled(tf.data.Dataset.from_tensor_slices((X, Y)), folder)


@pytest.mark.parametrize("kind", [memory_mapped, records, spooled_dataset])
def test_files_are_checked_as_they_are_read(kind: Callable, tmp_path: Path) -> None:
    """The row is named by its number in the file, whatever part of the data is read."""
    X, Y = toy_data()
    X[41] = np.nan
    rows = as_rows(kind(X, Y, tmp_path), Gaussian())
    good, other = np.delete(np.arange(60), 41), rows.subset(np.array([3, 41, 50]))
    np.testing.assert_array_equal(rows.read(good)[0], X[good])
    np.testing.assert_array_equal(other.read(slice(2, 3))[0], X[50:51])
    for part, which in ((rows, slice(40, 50)), (rows, np.array([[7, 9], [50, 41]])), (other, slice(0, 2))):
        with pytest.raises(ValueError, match="X must be finite, got nan in row 41, column 0: fill it in"):
            part.read(which)


def test_training_reads_a_bad_row_before_the_step_that_would_use_it(tmp_path: Path) -> None:
    """One that it would train on: the parameters are still numbers afterwards."""
    X, Y = toy_data()
    X[17] = np.nan
    model = toy_model()
    with pytest.raises(ValueError, match=r"X must be finite, got nan in row 17, column 0"):
        train(model, memory_mapped(X, Y, tmp_path), toy_options(), validation=[3, 41])
    for value in parameters(model).values():
        assert np.isfinite(value).all()


def test_rows_named_by_the_pipeline_that_reads_them(tmp_path: Path) -> None:
    X, Y = toy_data()
    X[29] = np.inf
    batches = path_dataset(*memory_mapped(X, Y, tmp_path), batch_size=10)
    with pytest.raises(tf.errors.InvalidArgumentError, match="X must be finite, got inf in row 29"):
        list(batches.as_numpy_iterator())


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_numbers_too_large_for_the_dtype_of_the_model() -> None:
    X, Y = toy_data()
    X[29] = 1e200
    float32 = gpflow.config.Config(float=np.float32)
    with gpflow.config.as_context(float32), pytest.raises(ValueError, match="X must be finite, got inf in row 29"):
        train(toy_model(), (X, Y), toy_options())


@pytest.fixture
def paths(walks: Callable, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return flatten_paths(walks(40, 6, 2)), rng.normal(size=(40, 1))


def options(**changes: Any) -> TrainingOptions:
    small: dict = {"iterations": 8, "batch_size": 10, "monitor_every": 8, "progress": False}
    return TrainingOptions(**{**small, **changes})


def test_parameters_that_are_no_numbers(paths: tuple) -> None:
    """Steps that are far too long. The operation that fails sees only paths over lengthscales that are NaN."""
    model = SigGPDE(2, 7, likelihood=Gaussian())
    message = (
        r"^the training has diverged after \d+ steps: take a smaller learning_rate, longer lengthscales, or "
        r"standardise the paths\. TensorFlow's error was: X must hold finite numbers; path \d has nan at time step 0"
    )
    with pytest.raises(FloatingPointError, match=message):
        train(model, paths, options(learning_rate=1000.0))


def test_a_kernel_that_overflows_from_the_beginning(paths: tuple) -> None:
    X, Y = paths
    X[0, 4:] += 1e6
    with pytest.raises(FloatingPointError, match=r"diverged after 0 steps: .* standardise the paths\. .* overflows"):
        train(SigGPDE(2, 7, likelihood=Gaussian()), (X, Y), options())


StepsAs = Callable[[Callable], None]


@pytest.fixture
def steps_as(monkeypatch: pytest.MonkeyPatch) -> StepsAs:
    """Replaces the compiled steps, which take seconds to trace, by a function of the steps and their number."""

    def replace(function: Callable) -> None:
        def compiled(steps: Steps, *_: object, **__: object) -> Callable:
            return lambda X, Y: function(steps, len(X))

        monkeypatch.setattr(Steps, "compile", compiled)

    return replace


def test_a_score_that_is_no_number(steps_as: StepsAs, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN would never be beaten by a later score, and the first hyperparameters would win."""
    steps_as(lambda steps, count: steps._iteration.assign_add(count))
    monkeypatch.setattr(Evaluator, "__call__", lambda _: Evaluation(nlpp=np.nan, accuracy=None))
    with pytest.raises(FloatingPointError, match=r"NLPP on the validation split is NaN after 4 steps, .*: take a "):
        train(toy_model(), toy_data(), toy_options())


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("Cholesky decomposition was not successful. The input might not be valid.", FloatingPointError),
        (
            "{{function_node __wrapped__}} Input matrix is not invertible. [Op:MatrixTriangularSolve]",
            FloatingPointError,
        ),
        ("Tensor had NaN values", FloatingPointError),
        ("labels must be from 0 to 9, got 10", tf.errors.InvalidArgumentError),
    ],
)
def test_which_errors_of_tensorflow_are_divergence(message: str, error: type[Exception], steps_as: StepsAs) -> None:
    """Those of numbers; others are left as they are."""

    def fail(*_: object) -> None:
        raise tf.errors.InvalidArgumentError(None, None, message)

    steps_as(fail)
    with pytest.raises(error) as raised:
        train(toy_model(), toy_data(), toy_options())
    said = message.removeprefix("{{function_node __wrapped__}} ").removesuffix(" [Op:MatrixTriangularSolve]")
    assert str(raised.value).endswith(said)
    assert ("set_default_jitter" in str(raised.value)) == (error is FloatingPointError)
