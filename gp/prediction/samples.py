"""Joint draws from the posterior of f."""

from typing import Any

import numpy as np
import tensorflow as tf
from gpflow.models import GPModel

from sigkernel_tf._arguments import as_int

from .._checks import check_model, check_rows
from ..data.rows import as_array_like, as_default_float, check_finite


def sample_posterior(model: GPModel, X: Any, num_samples: int = 1, *, seed: int = 0) -> np.ndarray:
    """
    Draws of f at given inputs from the posterior, jointly over the inputs.

    The covariance is factorised by its eigenvalues, and eigenvalues that rounding makes negative count as zero. So no
    jitter is needed, inputs may coincide, and the covariance may be singular. Each latent process costs O(N³) time and
    O(N²) memory, which is feasible for thousands of inputs and not for millions.

    >>> sample_posterior(model, rows, 10, seed=0).shape
    (10, 20, 1)

    :param model: a GPflow model.
    :param X: inputs [N, W].
    :param num_samples: S, the number of draws.
    :param seed: decides the draws: the same seed, model and inputs give the same draws.
    :return: [S, N, P].
    :raises ValueError: for a NaN or an infinity in X, and for a model with another number of latent processes than its
        multioutput kernel has.
    """
    check_model(model)
    num_samples = as_int(num_samples, "num_samples", 1)
    inputs = as_default_float(as_array_like(X, "X"))
    check_rows(inputs, "X")
    check_finite(inputs.numpy(), range(inputs.shape[0]))
    mean, covariance = model.predict_f(inputs, full_cov=True)  # [N, P], [P, N, N]
    values, vectors = tf.linalg.eigh(0.5 * (covariance + tf.linalg.matrix_transpose(covariance)))
    roots = vectors * tf.sqrt(tf.maximum(values, 0.0))[:, None, :]
    normal = np.random.default_rng(seed).normal(size=(num_samples, *covariance.shape[:2]))
    deviations = tf.einsum("pnk,spk->snp", roots, tf.constant(normal, covariance.dtype))
    return (mean + deviations).numpy()
