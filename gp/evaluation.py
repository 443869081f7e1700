"""Predictions and their scores over batches, for test sets too large to be predicted in one piece."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from gpflow.config import default_float
from gpflow.likelihoods import Bernoulli
from gpflow.models import GPModel

from ._checks import as_positive_int


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on labelled data."""

    nlpp: float
    """Mean over the data of −log p(y | x), in nats; gpflow's ``predict_log_density``."""
    accuracy: float | None
    """Fraction of the data whose most probable class is the true one; None where the likelihood has no classes."""


class Evaluator:
    """
    Scores a model on data, as often as it is called; what it runs is traced once.

    .. code-block:: python

        on_test = Evaluator(model, (X_test, Y_test))
        on_test().accuracy
    """

    def __init__(self, model: GPModel, data: tuple[Any, Any], *, batch_size: int = 500) -> None:
        """
        :param model: a GPflow model.
        :param data: X [N, ...] and Y [N, P], as the model's likelihood takes them (classes: integers, P = 1).
        :param batch_size: how many are predicted at a time; changes memory alone.
        :raises ValueError: for data without rows, of other ranks, or with labels that are no classes of the likelihood.
        """
        self._X, self._Y = as_data(data, model.likelihood)
        self._batch_size = as_positive_int(batch_size, "batch_size")
        likelihood = model.likelihood
        self._binary = isinstance(likelihood, Bernoulli)
        self._has_classes = self._binary or hasattr(likelihood, "num_classes")

        @tf.function(input_signature=[_rows_spec(self._X), _rows_spec(self._Y)])
        def score(X: tf.Tensor, Y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            f_mean, f_var = model.predict_f(X)
            log_density = likelihood.predict_log_density(X, f_mean, f_var, Y)
            if not self._has_classes:
                return log_density, tf.zeros([0], tf.bool)
            mean, _ = likelihood.predict_mean_and_var(X, f_mean, f_var)
            predicted = tf.cast(mean[:, 0] > 0.5, tf.int64) if self._binary else tf.argmax(mean, axis=-1)
            return log_density, tf.equal(predicted, tf.cast(Y[:, 0], tf.int64))

        self._score = score.get_concrete_function()

    def __call__(self) -> Evaluation:
        """The model's scores as it is now."""
        densities, hits = [], []
        for rows in _batches(self._X.shape[0], self._batch_size):
            log_density, hit = self._score(self._X[rows], self._Y[rows])
            densities.append(log_density.numpy())
            hits.append(hit.numpy())
        accuracy = float(np.mean(np.concatenate(hits))) if self._has_classes else None
        return Evaluation(nlpp=-float(np.mean(np.concatenate(densities))), accuracy=accuracy)


def evaluate(model: GPModel, data: tuple[Any, Any], *, batch_size: int = 500) -> Evaluation:
    """
    Accuracy and NLPP of a model on data, in batches; :class:`Evaluator` saves tracing where it is done repeatedly.

    :param model: a GPflow model.
    :param data: X [N, ...] and Y [N, P].
    :param batch_size: how many are predicted at a time; changes memory alone.
    """
    return Evaluator(model, data, batch_size=batch_size)()


def predict_in_batches(model: GPModel, X: Any, *, batch_size: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """
    Means and variances of y at many inputs: ``model.predict_y``, in batches. For classes the means are probabilities.

    :param model: a GPflow model.
    :param X: inputs [N, ...], N >= 1.
    :param batch_size: how many are predicted at a time; changes memory alone.
    :return: means and variances, [N, P] each.
    :raises ValueError: for no inputs.
    """
    inputs = tf.convert_to_tensor(X, default_float())
    batch_size = as_positive_int(batch_size, "batch_size")
    if inputs.shape.rank < 2 or inputs.shape[0] == 0:
        raise ValueError(f"X must have at least one row and rank 2, (inputs, columns), got shape {inputs.shape}.")
    predict = tf.function(model.predict_y, input_signature=[_rows_spec(inputs)]).get_concrete_function()
    parts = [predict(inputs[rows]) for rows in _batches(inputs.shape[0], batch_size)]
    mean, variance = (np.concatenate([part[i].numpy() for part in parts]) for i in range(2))
    return mean, variance


def as_data(data: tuple[Any, Any], likelihood: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """
    X and Y as tensors; X in GPflow's default float, Y as it is.

    :raises ValueError: for other ranks, differing numbers of rows, no rows, and labels that are no classes.
    :raises TypeError: for data that are not a pair.
    """
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"data must be a pair (X, Y), got {type(data).__name__}: for instance data=(X_train, Y_train).")
    X, Y = tf.convert_to_tensor(data[0], default_float()), tf.convert_to_tensor(data[1])
    if X.shape.rank < 2 or Y.shape.rank != 2:
        raise ValueError(
            f"data must be X [N, columns] and Y [N, outputs], got shapes {X.shape} and {Y.shape}: "
            "labels in a vector take y[:, None]."
        )
    if X.shape[0] != Y.shape[0] or X.shape[0] == 0:
        raise ValueError(f"data must have the same number of rows in X and Y, at least one, got {X.shape}, {Y.shape}.")
    num_classes = getattr(likelihood, "num_classes", None)
    if num_classes is not None:
        _check_labels(Y, num_classes)
    return X, Y


def _check_labels(Y: tf.Tensor, num_classes: int) -> None:
    labels = np.unique(Y)
    if not np.isin(labels, np.arange(num_classes)).all():
        shown = ", ".join(str(label) for label in labels[:5]) + (", ..." if len(labels) > 5 else "")
        raise ValueError(
            f"Y must hold classes 0 to {num_classes - 1}, for the likelihood has {num_classes}, got {shown}: "
            "number them with np.unique(y, return_inverse=True)[1][:, None]."
        )


def _rows_spec(tensor: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)


def _batches(num_rows: int, batch_size: int) -> Iterator[slice]:
    return (slice(start, start + batch_size) for start in range(0, num_rows, batch_size))
