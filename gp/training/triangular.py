"""Triangular factors of covariances, which several fits need."""

import numpy as np
import scipy.linalg
import tensorflow as tf
from gpflow.config import default_jitter
from gpflow.kernels import Kernel

from .._checks import described


def checked_factor(K: tf.Tensor, kernel: Kernel) -> np.ndarray:
    """
    The lower Cholesky factor of Kuu with GPflow's jitter, found in K's dtype, as float64.

    :param kernel: whose Kuu it is, for the error.
    :raises ValueError: where K is not positive definite, or not finite.
    """
    try:
        factor = tf.linalg.cholesky(K).numpy()
    except tf.errors.InvalidArgumentError:
        factor = np.array(np.nan)
    if not np.isfinite(factor).all():
        raise ValueError(
            f"Kuu with a jitter of {default_jitter():g} must be positive definite in {K.dtype.name} under "
            f"{described(kernel)}, for GPflow factorises it: take fewer inducing variables, none of them twice, "
            "float64, or a larger gpflow.config.set_default_jitter; where the kernel overflows, longer lengthscales."
        )
    return factor.astype(float)


def lower_root(A: np.ndarray) -> np.ndarray:
    """The lower triangular R with R Rᵀ = Aᵀ A and a positive diagonal, without the product that would lose digits."""
    upper = scipy.linalg.qr(A, mode="r")[0]
    return upper.T * np.sign(np.diag(upper))
