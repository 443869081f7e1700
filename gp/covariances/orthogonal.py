"""Kuu and Kuf of orthogonal signature features, on GPflow's dispatchers."""

from typing import NoReturn

import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import TensorType
from gpflow.covariances import Kuf, Kuu
from gpflow.inducing_variables import SharedIndependentInducingVariables
from gpflow.kernels import Kernel, SharedIndependent

from ..inducing_variables import OrthogonalSignatureFeatures, unsuitable_kernel
from ..kernels import SignatureKernel


@Kuu.register(OrthogonalSignatureFeatures, SignatureKernel)
@check_shapes(
    "inducing_variable: [M, ., 1]",
    "return: [M, M]",
)
def _kuu_orthogonal(
    inducing_variable: OrthogonalSignatureFeatures, kernel: SignatureKernel, *, jitter: float = 0.0
) -> tf.Tensor:
    """The identity (eq. 27); ``jitter`` is ignored, for nothing is factorised."""
    return tf.eye(inducing_variable.num_inducing, dtype=kernel.variance.dtype)


@Kuf.register(OrthogonalSignatureFeatures, SignatureKernel, object)
@check_shapes(
    "inducing_variable: [M, ., 1]",
    "Xnew: [N, ...]",
    "return: [M, N]",
)
def _kuf_orthogonal(
    inducing_variable: OrthogonalSignatureFeatures, kernel: SignatureKernel, Xnew: TensorType
) -> tf.Tensor:
    """S_M(X)ᵀ, the features of the paths (eqs. 27 and 28)."""
    return tf.transpose(kernel.features(Xnew, inducing_variable.num_inducing))


# Dispatch sees the wrapper's type and not what it wraps: for other inducing variables GPflow's own function stands.
_gpflow_kuu_shared = Kuu.dispatch_or_raise(SharedIndependentInducingVariables, SharedIndependent)


@Kuu.register(SharedIndependentInducingVariables, SharedIndependent)
@check_shapes(
    "inducing_variable: [M, D, P]",
    "return: [M, M]",
)
def _kuu_shared(
    inducing_variable: SharedIndependentInducingVariables, kernel: SharedIndependent, *, jitter: float = 0.0
) -> tf.Tensor:
    """Kuu of the pair inside; GPflow's adds the jitter to it, which orthogonal features do without."""
    if isinstance(inducing_variable.inducing_variable, OrthogonalSignatureFeatures):
        return Kuu(inducing_variable.inducing_variable, kernel.kernel)
    return _gpflow_kuu_shared(inducing_variable, kernel, jitter=jitter)


@Kuu.register(OrthogonalSignatureFeatures, Kernel)
def _kuu_unsuitable(inducing_variable: OrthogonalSignatureFeatures, kernel: Kernel, *, jitter: float = 0.0) -> NoReturn:
    """:raises TypeError: always: the features are orthonormal for the signature kernel alone."""
    raise unsuitable_kernel(kernel)


@Kuf.register(OrthogonalSignatureFeatures, Kernel, object)
def _kuf_unsuitable(inducing_variable: OrthogonalSignatureFeatures, kernel: Kernel, Xnew: TensorType) -> NoReturn:
    """:raises TypeError: always: the features are orthonormal for the signature kernel alone."""
    raise unsuitable_kernel(kernel)
