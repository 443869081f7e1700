"""Quantiles of the predictive distribution of y at many inputs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.stats
import tensorflow as tf
from gpflow import Parameter, likelihoods
from gpflow.models import GPModel

from sigkernel_tf._arguments import check_unmasked

from ..data.classes import num_classes
from .batches import f_marginals, over_inputs, predict_y, predictor

_NUM_DRAWS = 1024


def predict_quantiles(
    model: GPModel, X: Any, quantiles: Sequence[float], *, batch_size: int = 500, seed: int = 0
) -> np.ndarray:
    """
    Quantiles of the predictive distribution of y at many inputs.

    With ``Gaussian`` noise they are exact, for y is Gaussian. With ``StudentT``, ``Poisson``, ``Exponential``,
    ``Gamma`` and ``Beta`` they are the quantiles of 1024 draws of y at each input: first f is drawn, then y given f.
    The draws come from a scrambled Sobol sequence, which is the same at every input, so that the result for an input
    depends neither on batches nor on the other inputs. The error is about that of a sample of this size: at q = 0.975
    it is a hundredth of the spread, and it is larger further out.

    >>> gpde = SigGPDE(2, 15, likelihood=gpflow.likelihoods.Gaussian())
    >>> predict_quantiles(gpde, rows, [0.05, 0.95]).shape
    (2, 20, 1)

    :param model: a GPflow model with one of these likelihoods.
    :param X: as :func:`predict_in_batches` takes it.
    :param quantiles: numbers strictly between 0 and 1, [Q].
    :param batch_size: how many inputs are predicted at a time. It changes only the memory needed.
    :param seed: decides the draws.
    :return: [Q, N, P].
    :raises ValueError: for quantiles outside (0, 1).
    :raises TypeError: for another likelihood; for one with classes take :func:`predict_probabilities`.
    """
    check_unmasked(quantiles, "quantiles")
    levels = np.asarray(quantiles, float)
    if levels.ndim != 1 or levels.size == 0 or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(
            f"quantiles must be numbers strictly between 0 and 1, got {quantiles}: for instance [0.05, 0.95]."
        )
    if isinstance(model.likelihood, likelihoods.Gaussian):
        predict, quantiles_of = _gaussian(model, levels)
    else:
        predict, quantiles_of = _drawn(model, levels, seed)

    def of_batch(X: tf.Tensor) -> list[np.ndarray]:
        mean, variance = (part.numpy() for part in predict(X))
        return [np.moveaxis(quantiles_of(mean, np.sqrt(variance)), 0, 1)]  # rows first

    return np.moveaxis(over_inputs(of_batch, X, batch_size, None)[0], 1, 0)


# (means, deviations), each [N, P] -> quantiles [Q, N, P]
_QuantilesOf = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _gaussian(model: GPModel, levels: np.ndarray) -> tuple[Callable, _QuantilesOf]:
    """What predicts the means and variances of y, and the quantiles of normal distributions."""
    scores = scipy.stats.norm.ppf(levels)[:, None, None]
    return predictor(model, predict_y), lambda mean, spread: mean + scores * spread


def _drawn(model: GPModel, levels: np.ndarray, seed: int) -> tuple[Callable, _QuantilesOf]:
    """What predicts the means and variances of f, and the quantiles of draws of y."""
    inverse = _conditional_quantile(model.likelihood)
    points = scipy.stats.qmc.Sobol(2, seed=seed).random(_NUM_DRAWS)  # [draws, 2]
    z, u = scipy.stats.norm.ppf(points[:, 0])[:, None, None], points[:, 1, None, None]

    def quantiles_of(mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
        return np.quantile(inverse(mean + z * spread, u), levels, axis=0)  # of [draws, N, P]

    return predictor(model, f_marginals), quantiles_of


def _conditional_quantile(likelihood: Any) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """(f, u) -> the quantile u of y given f."""
    stats = scipy.stats

    def mean(f: np.ndarray) -> np.ndarray:
        return likelihood.conditional_mean(tf.zeros([*f.shape[:-1], 0], f.dtype), tf.constant(f)).numpy()

    if isinstance(likelihood, likelihoods.StudentT):
        spread, df = _number(likelihood, "scale"), _number(likelihood, "df")
        return lambda f, u: f + spread * stats.t.ppf(u, df)
    if isinstance(likelihood, likelihoods.Poisson):
        return lambda f, u: stats.poisson.ppf(u, mean(f))
    if isinstance(likelihood, likelihoods.Exponential):
        return lambda f, u: stats.expon.ppf(u, scale=mean(f))
    if isinstance(likelihood, likelihoods.Gamma):
        return lambda f, u: stats.gamma.ppf(
            u, _number(likelihood, "shape"), scale=mean(f) / _number(likelihood, "shape")
        )
    if isinstance(likelihood, likelihoods.Beta):
        scale = _number(likelihood, "scale")
        return lambda f, u: stats.beta.ppf(u, mean(f) * scale, (1 - mean(f)) * scale)
    cure = "predict_probabilities" if num_classes(likelihood) is not None else "sample_posterior, and draw y given f"
    raise TypeError(
        "model must have a Gaussian, StudentT, Poisson, Exponential, Gamma or Beta likelihood, got "
        f"{type(likelihood).__name__}: take {cure}."
    )


def _number(likelihood: Any, name: str) -> float:
    value = getattr(likelihood, name)
    if value is None or (callable(value) and not isinstance(value, Parameter)):
        raise TypeError(
            f"model must have a likelihood whose {name} is a number, got a function of the inputs: take "
            "sample_posterior, and draw y given f."
        )
    return float(tf.convert_to_tensor(value))
