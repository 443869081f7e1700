"""The prior's (co)variance beyond the features: what k(x, x) keeps when the features explain all that they can."""

import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import TensorType
from gpflow.inducing_variables import InducingVariables
from gpflow.kernels import Kernel

from ..inducing_variables import latent_kernels, num_features


def features_and_residual(
    kernel: Kernel, inducing_variable: InducingVariables, X: TensorType, full_cov: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """
    The features S_M(X)ᵀ and the prior's (co)variance beyond them, for each latent process.

    Where all latent processes share one kernel, the results have no axis L. X may have leading batch dimensions.

    :return: [L, ..., N, M] or [..., N, M]; and [L, ..., N, N] or [..., N, N] with ``full_cov``, else [L, ..., N] or
        [..., N].
    """
    kernels, num_inducing = latent_kernels(kernel, inducing_variable), num_features(inducing_variable)
    found = {}
    for each in kernels:
        if id(each) not in found:
            features, Kff = each.features_and_covariance(X, num_inducing, full_cov=full_cov)
            found[id(each)] = features, _residual(Kff, features, full_cov)
    if len(kernels) == 1:
        return found[id(kernels[0])]
    features, residuals = zip(*(found[id(each)] for each in kernels), strict=True)
    return tf.stack(features), tf.stack(residuals)


@check_shapes(
    "Kff: [batch..., N, N] if full_cov",
    "Kff: [batch..., N] if not full_cov",
    "features: [batch..., N, M]",
    "return: [batch..., N, N] if full_cov",
    "return: [batch..., N] if not full_cov",
)
def _residual(Kff: tf.Tensor, features: tf.Tensor, full_cov: bool) -> tf.Tensor:
    """The prior's (co)variance beyond the features, with its diagonal clamped at zero."""
    if not full_cov:
        return tf.maximum(Kff - tf.reduce_sum(tf.square(features), axis=-1), 0.0)
    residual = Kff - tf.matmul(features, features, transpose_b=True)
    return tf.linalg.set_diag(residual, tf.maximum(tf.linalg.diag_part(residual), 0.0))
