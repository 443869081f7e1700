"""The GPflow model of a fitted estimator: built from arrays, and turned back into them to be saved or pickled."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gpflow
import numpy as np

from ..inducing_variables import OrthogonalSignatureFeatures
from ..kernels import SignatureKernel


def build_model(
    arrays: dict[str, np.ndarray],
    likelihood: Callable[[], gpflow.likelihoods.Likelihood],
    *,
    level_variances: bool,
    num_series: int,
) -> gpflow.models.SVGP:
    """
    A model with orthogonal signature features and this q(u), in double precision.

    :param arrays: lengthscales [D], variances [levels] or [1], q_mu [M, C] and q_sqrt [C, M, M].
    :param likelihood: makes the likelihood.
    :param level_variances: whether each level of the signature has a variance of its own. Levels beyond the features
        then have none; else all levels have the one variance.
    :param num_series: how many series it was fitted to.
    """
    lengthscales, variances, q_mu = (arrays[name] for name in ("lengthscales", "variances", "q_mu"))
    with float64():
        if level_variances:
            kernel = SignatureKernel(
                len(lengthscales), lengthscales=lengthscales, level_variances=np.append(variances, 0.0)
            )
            gpflow.set_trainable(kernel.variance, False)
        else:
            kernel = SignatureKernel(len(lengthscales), lengthscales=lengthscales, variance=float(variances[0]))
        return gpflow.models.SVGP(
            kernel,
            likelihood(),
            OrthogonalSignatureFeatures(len(q_mu)),
            num_latent_gps=q_mu.shape[1],
            num_data=num_series,
            q_mu=q_mu,
            q_sqrt=arrays["q_sqrt"],
        )


def arrays_of(model: gpflow.models.SVGP) -> dict[str, np.ndarray]:
    """The arrays from which :func:`build_model` builds this model again."""
    kernel = model.kernel
    variances = kernel.variance.numpy()[None]
    if kernel.level_variances is not None:
        # The model's own σ² is 1, but someone may have set another one since.
        variances = kernel.variance.numpy() * kernel.level_variances.numpy()[:-1]
    return {
        "lengthscales": kernel.lengthscales.numpy(),
        "variances": variances,
        "q_mu": model.q_mu.numpy(),
        "q_sqrt": model.q_sqrt.numpy(),
    }


@contextmanager
def float64() -> Iterator[None]:
    """GPflow in double precision, whatever it is set to."""
    with in_precision("float64"):
        yield


@contextmanager
def in_precision(dtype: str) -> Iterator[None]:
    """GPflow in this precision, whatever it is set to."""
    with gpflow.config.as_context(dataclasses.replace(gpflow.config.config(), float=np.dtype(dtype).type)):
        yield
