"""Probabilities of classes at many inputs."""

from typing import Any

import tensorflow as tf
from gpflow.models import GPModel

from ..data.classes import class_probabilities, num_classes
from .batches import f_marginals, over_inputs, predictor


def predict_probabilities(model: GPModel, X: Any, *, batch_size: int = 500, out: Any = None) -> Any:
    """
    Probabilities of the classes at many inputs, p(y = c | x).

    >>> predict_probabilities(model, rows).shape
    (20, 2)

    :param model: a GPflow model with ``MultiClass``, ``Softmax``, ``Ordinal`` or ``Bernoulli`` (classes 0 and 1).
    :param X: as :func:`predict_in_batches` takes it.
    :param batch_size: how many inputs are predicted at a time. It changes only the memory needed.
    :param out: an array [N, classes] for the result. It may have more rows, which are left as they are.
    :return: [N, classes]; ``out`` where it is given.
    :raises TypeError: for a likelihood without classes.
    """
    likelihood = model.likelihood
    if num_classes(likelihood) is None:
        raise TypeError(
            "model must have a likelihood with classes (MultiClass, Softmax, Bernoulli, Ordinal), got "
            f"{type(likelihood).__name__}: take predict_in_batches or predict_quantiles."
        )
    predict = predictor(model, _predict_probabilities)
    return over_inputs(predict, X, batch_size, None if out is None else (out,))[0]


def _predict_probabilities(model: GPModel, X: tf.Tensor, q: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor]:
    return (class_probabilities(model.likelihood, X, *f_marginals(model, X, q)),)
