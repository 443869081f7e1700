"""Scores of a model on labelled data over batches, for test sets too large to be predicted in one piece."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from gpflow.models import GPModel

from sigkernel_tf._arguments import as_int

from .._checks import check_model, check_outputs_fit
from ..data import Rows, as_rows
from ..data.classes import class_probabilities, num_classes
from .batches import over_batches
from .traces import traced


@dataclass(frozen=True)
class Evaluation:
    """
    Scores of a model on labelled data.

    >>> evaluate(model, (rows, Y)).accuracy <= 1.0
    True

    :param nlpp: the mean over the data of −log p(y | x), in nats, from GPflow's ``predict_log_density``.
    :param accuracy: the fraction of the data whose most probable class is the true one; None where the likelihood has
        no classes.
    """

    nlpp: float
    accuracy: float | None


class Evaluator:
    """
    Scores a model on data each time it is called.

    The computation is traced once for each model, and again where a part of the model is replaced.

    .. code-block:: python

        on_test = Evaluator(model, (X_test, Y_test))
        on_test().accuracy
    """

    def __init__(self, model: GPModel, data: tuple[Any, Any] | Rows, *, batch_size: int = 500) -> None:
        """
        :param model: a GPflow model.
        :param data: X [N, W] and Y [N, P], as the model's likelihood takes them (classes are integers, with P = 1).
            Arrays, or memory-mapped files and the like, of which one batch at a time is read.
        :param batch_size: how many inputs are predicted at a time. It changes only the memory needed.
        :raises ValueError: for data without rows, of other ranks, or with labels that the likelihood does not have, and
            for a model with another number of latent processes than its multioutput kernel has.
        """
        check_model(model)
        self._rows = data if isinstance(data, Rows) else as_rows(data, model.likelihood)
        self._batch_size = as_int(batch_size, "batch_size", 1)
        self._model = model
        traced(model, _score).get_concrete_function(*self._rows.specs())  # so that what is wrong is raised here

    def __call__(self) -> Evaluation:
        """The model's scores as it is now."""
        starts = range(0, len(self._rows), self._batch_size)
        batches = (self._rows.read(slice(start, start + self._batch_size)) for start in starts)
        score = traced(self._model, _score)
        log_densities, hits = over_batches(lambda X, Y: score(tf.constant(X), tf.constant(Y)), batches)
        has_classes = num_classes(self._model.likelihood) is not None
        return Evaluation(nlpp=-float(np.mean(log_densities)), accuracy=float(np.mean(hits)) if has_classes else None)


def evaluate(model: GPModel, data: tuple[Any, Any], *, batch_size: int = 500) -> Evaluation:
    """
    Accuracy and NLPP of a model on data, in batches.

    >>> found = evaluate(model, (rows, Y))
    >>> found.nlpp > 0, found.accuracy <= 1.0
    (True, True)

    :param model: a GPflow model.
    :param data: X [N, W] and Y [N, P].
    :param batch_size: how many inputs are predicted at a time. It changes only the memory needed.
    """
    return Evaluator(model, data, batch_size=batch_size)()


def _score(model: GPModel, X: tf.Tensor, Y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """log p(y | x) of each row and, where the likelihood has classes, whether the most probable one is the true one."""
    likelihood = model.likelihood
    f_mean, f_var = model.predict_f(X)
    check_outputs_fit(likelihood, f_mean.shape[-1], Y.shape[-1])
    log_density = likelihood.predict_log_density(X, f_mean, f_var, Y)
    if num_classes(likelihood) is None:
        return log_density, tf.zeros([0], tf.bool)
    predicted = tf.argmax(class_probabilities(likelihood, X, f_mean, f_var), axis=-1)
    return log_density, tf.equal(predicted, tf.cast(Y[:, 0], tf.int64))
