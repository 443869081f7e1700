"""Predictions at many inputs with flat memory: means and variances, probabilities of classes, quantiles, samples."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import scipy.stats
import tensorflow as tf
from gpflow import Parameter, likelihoods
from gpflow.config import default_float
from gpflow.models import GPModel

from .._checks import as_positive_int
from .._chunks import row_parts
from .._tracing import plain_errors
from ..data.classes import class_probabilities, num_classes
from ..data.rows import as_array_like

Predictor = Callable[[tf.Tensor], Sequence[tf.Tensor]]
_QUANTILE_SAMPLES = 1024


def predict_in_batches(
    model: GPModel, X: Any, *, batch_size: int = 500, out: tuple[Any, Any] | None = None
) -> tuple[Any, Any]:
    """
    Means and variances of y at many inputs: ``model.predict_y``, in batches. For classes the means are probabilities.

    What depends on the model alone is computed once (GPflow's cached ``model.posterior()``, where it has one). Memory
    beyond the results is that of a batch, whatever N is; with ``out`` the results too can stay in files.

    .. code-block:: python

        X = np.load("a_million_paths.npy", mmap_mode="r")
        out = [np.lib.format.open_memmap(f"{name}.npy", "w+", float, (len(X), 10)) for name in ("mean", "variance")]
        predict_in_batches(model, X, out=out)

    :param model: a GPflow model.
    :param X: inputs [N, ...], N >= 1: an array, a memory-mapped file or its like, of which a batch at a time is read.
        Or batches [B, ...] one after another, each predicted as it comes: a generator, a ``tf.data.Dataset``; these
        may differ in width. Of pairs (X, Y) the first counts.
    :param batch_size: how many are predicted at a time; changes memory alone. Batches that come as such stay whole.
    :param out: arrays for the means and the variances, [N, P] each, or more rows, of which the first are written.
    :return: means and variances, [N, P] each: ``out`` where given.
    :raises ValueError: for no inputs, and for an ``out`` of another shape.
    """
    return _over_batches(_predictor(model, model.likelihood.predict_mean_and_var), X, batch_size, out)


def predict_probabilities(model: GPModel, X: Any, *, batch_size: int = 500, out: Any = None) -> Any:
    """
    Probabilities of the classes at many inputs, p(y = c | x).

    :param model: a GPflow model with ``MultiClass``, ``Softmax``, ``Ordinal`` or ``Bernoulli`` (classes 0 and 1).
    :param X: as :func:`predict_in_batches` takes it.
    :param batch_size: how many are predicted at a time; changes memory alone.
    :param out: an array [N, classes] for the result, or with more rows.
    :return: [N, classes]: ``out`` where given.
    :raises TypeError: for a likelihood without classes.
    """
    likelihood = model.likelihood
    if num_classes(likelihood) is None:
        raise TypeError(
            "model must have a likelihood with classes (MultiClass, Softmax, Bernoulli, Ordinal), got "
            f"{type(likelihood).__name__}: take predict_in_batches or predict_quantiles."
        )
    predict = _predictor(model, lambda *x_and_f: (class_probabilities(likelihood, *x_and_f),))
    return _over_batches(predict, X, batch_size, None if out is None else (out,))[0]


def predict_quantiles(
    model: GPModel, X: Any, quantiles: Sequence[float], *, batch_size: int = 500, seed: int = 0
) -> np.ndarray:
    """
    Quantiles of the predictive distribution of y at many inputs.

    With ``Gaussian`` noise they are exact, for y is Gaussian. With ``StudentT``, ``Poisson``, ``Exponential``,
    ``Gamma`` and ``Beta`` they are those of 1024 draws of y at each input, from f and then from the likelihood given
    f; the draws come from a scrambled Sobol sequence, the same at every input, so that they depend neither on batches
    nor on the other inputs. Their error is about that of the sample: at q = 0.975 a hundredth of the spread, more
    further out.

    :param model: a GPflow model with one of these likelihoods.
    :param X: as :func:`predict_in_batches` takes it.
    :param quantiles: numbers strictly between 0 and 1, [Q].
    :param batch_size: how many are predicted at a time; changes memory alone.
    :param seed: of the draws.
    :return: [Q, N, P].
    :raises ValueError: for quantiles outside (0, 1).
    :raises TypeError: for another likelihood; that of classes has :func:`predict_probabilities`.
    """
    levels = np.asarray(quantiles, float)
    if levels.ndim != 1 or levels.size == 0 or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(
            f"quantiles must be numbers strictly between 0 and 1, got {quantiles}: for instance [0.05, 0.95]."
        )
    likelihood = model.likelihood
    if isinstance(likelihood, likelihoods.Gaussian):
        predict = _predictor(model, likelihood.predict_mean_and_var)
        scores = scipy.stats.norm.ppf(levels)[:, None, None]

        def quantiles_of(X: tf.Tensor) -> list[np.ndarray]:
            mean, variance = (part.numpy() for part in predict(X))
            return [np.moveaxis(mean + scores * np.sqrt(variance), 0, 1)]

    else:
        inverse = _conditional_quantile(likelihood)
        predict = _predictor(model, lambda _, mean, variance: (mean, variance))
        points = scipy.stats.qmc.Sobol(2, seed=seed).random(_QUANTILE_SAMPLES)  # [samples, 2]
        z, u = scipy.stats.norm.ppf(points[:, 0])[:, None, None], points[:, 1, None, None]

        def quantiles_of(X: tf.Tensor) -> list[np.ndarray]:
            mean, variance = (part.numpy() for part in predict(X))
            samples = inverse(mean + z * np.sqrt(variance), u)  # [samples, N, P]
            return [np.moveaxis(np.quantile(samples, levels, axis=0), 0, 1)]

    return np.moveaxis(_over_batches(quantiles_of, X, batch_size, None)[0], 1, 0)


def sample_posterior(model: GPModel, X: Any, num_samples: int = 1, *, seed: int = 0) -> np.ndarray:
    """
    Draws of f at given inputs from the posterior, jointly over the inputs.

    The covariance is factorised by its eigenvalues, of which those that rounding makes negative count as zero: no
    jitter is added, and inputs may coincide or the covariance be singular. Cost O(N³) and memory O(N²) for each latent
    process: for thousands of inputs, not for millions.

    :param model: a GPflow model.
    :param X: inputs [N, ...].
    :param num_samples: S.
    :param seed: the same seed, model and inputs give the same draws.
    :return: [S, N, P].
    """
    as_positive_int(num_samples, "num_samples")
    inputs = tf.convert_to_tensor(as_array_like(X), default_float())
    mean, covariance = model.predict_f(inputs, full_cov=True)  # [N, P], [P, N, N]
    values, vectors = tf.linalg.eigh(0.5 * (covariance + tf.linalg.matrix_transpose(covariance)))
    roots = vectors * tf.sqrt(tf.maximum(values, 0.0))[:, None, :]
    normal = np.random.default_rng(seed).normal(size=(num_samples, *covariance.shape[:2]))
    deviations = tf.einsum("pnk,spk->snp", roots, tf.constant(normal, covariance.dtype))
    return (mean + deviations).numpy()


def _predictor(model: GPModel, then: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Sequence[tf.Tensor]]) -> Predictor:
    """``then`` of inputs, means and variances of f: traced once, what the model alone decides computed before."""
    predict_f = model.posterior().predict_f if hasattr(model, "posterior") else model.predict_f

    def predict(X: tf.Tensor) -> Sequence[tf.Tensor]:
        return then(X, *predict_f(X))

    return tf.function(predict, reduce_retracing=True)


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


def _over_batches(
    function: Callable[[tf.Tensor], Sequence[Any]], X: Any, batch_size: int, out: Sequence[Any] | None
) -> tuple[Any, ...]:
    """What ``function`` gives for batches of inputs, put together by rows: new arrays, or ``out``."""
    batch_size = as_positive_int(batch_size, "batch_size")
    parts: list[tuple[np.ndarray, ...]] = []
    row = 0
    for batch in _input_batches(X, batch_size):
        with plain_errors():
            results = tuple(np.asarray(result) for result in function(tf.convert_to_tensor(batch, default_float())))
        if out is None:
            parts.append(results)
        else:
            _write(results, out, row)
        row += len(results[0])
    if row == 0:
        raise ValueError("X must have at least one row, got none.")
    if out is not None:
        return tuple(array[:row] for array in out)
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _input_batches(X: Any, batch_size: int) -> Iterator[Any]:
    if isinstance(X, Iterable) and not hasattr(X, "shape") and not isinstance(X, (list, tuple)):
        yield from (batch[0] if isinstance(batch, tuple) else batch for batch in X)
        return
    try:
        array = as_array_like(X)
    except ValueError as error:
        raise ValueError(
            "X must be one array, or an iterator of batches, got a list of arrays of several shapes: take iter(X) "
            "where they are batches, flatten_paths(X) where they are paths."
        ) from error
    if len(array.shape) < 2 or array.shape[0] == 0:
        raise ValueError(
            f"X must have at least one row and rank 2, (inputs, columns), got shape {array.shape}: a single one takes "
            "X[None]."
        )
    yield from row_parts(array, batch_size)


def _write(results: tuple[np.ndarray, ...], out: Sequence[Any], row: int) -> None:
    if len(out) != len(results):
        raise ValueError(f"out must hold {len(results)} arrays, got {len(out)}.")
    for result, array in zip(results, out, strict=True):
        if tuple(array.shape[1:]) != result.shape[1:] or array.shape[0] < row + len(result):
            raise ValueError(
                f"out must have at least {row + len(result)} rows of shape {result.shape[1:]}, got {array.shape}."
            )
        array[row : row + len(result)] = result
