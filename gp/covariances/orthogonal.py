"""Kuu and Kuf of orthogonal signature features, registered with GPflow's dispatchers."""

import itertools
from collections.abc import Callable

import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import TensorType
from gpflow.covariances import Kuf, Kuu
from gpflow.inducing_variables import (
    FallbackSeparateIndependentInducingVariables,
    FallbackSharedIndependentInducingVariables,
    MultioutputInducingVariables,
    SeparateIndependentInducingVariables,
    SharedIndependentInducingVariables,
)
from gpflow.kernels import (
    LinearCoregionalization,
    MultioutputKernel,
    SeparateIndependent,
    SharedIndependent,
)

from ..inducing_variables import (
    OrthogonalSignatureFeatures,
    has_orthogonal_features,
    latent_kernels,
    unsuitable_kernel,
)
from ..kernels import SignatureKernel
from .unsuitable import refuse_other_kernels

# GPflow dispatches on the types of its wrappers, not on what they hold: for each of these pairs we look inside. The
# plain wrappers are subclasses of the Fallback ones and come first: else we would find our own function for them where
# we look for GPflow's.
MULTIOUTPUT_PAIRS = tuple(
    itertools.product(
        (
            SharedIndependentInducingVariables,
            SeparateIndependentInducingVariables,
            FallbackSharedIndependentInducingVariables,
            FallbackSeparateIndependentInducingVariables,
        ),
        (SharedIndependent, SeparateIndependent, LinearCoregionalization),
    )
)


@Kuu.register(OrthogonalSignatureFeatures, SignatureKernel)
@check_shapes(
    "inducing_variable: [M, ., 1]",
    "return: [M, M]",
)
def _kuu_orthogonal(
    inducing_variable: OrthogonalSignatureFeatures, kernel: SignatureKernel, *, jitter: float = 0.0
) -> tf.Tensor:
    """The identity (eq. 27). ``jitter`` is ignored, for nothing is factorised."""
    latent_kernels(kernel, inducing_variable)
    return tf.eye(inducing_variable.num_inducing, dtype=kernel.variance.dtype)


@Kuf.register(OrthogonalSignatureFeatures, SignatureKernel, object)
@check_shapes(
    "inducing_variable: [M, ., 1]",
    "Xnew: [batch..., N, D]",
    "return: [M, batch..., N]",
)
def _kuf_orthogonal(
    inducing_variable: OrthogonalSignatureFeatures, kernel: SignatureKernel, Xnew: TensorType
) -> tf.Tensor:
    """S_M(X)ᵀ, the features of the paths (eqs. 27 and 28)."""
    latent_kernels(kernel, inducing_variable)
    features = kernel.features(Xnew, inducing_variable.num_inducing)  # [..., N, M]
    last = features.shape.rank - 1
    return tf.transpose(features, [last, *range(last)])


def _kuu_multioutput(by_gpflow: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """Kuu of wrapped inducing variables. GPflow adds jitter to it, which orthogonal features do not need."""

    def kuu(
        inducing_variable: MultioutputInducingVariables, kernel: MultioutputKernel, *, jitter: float = 0.0
    ) -> tf.Tensor:
        if not has_orthogonal_features(inducing_variable):
            return by_gpflow(inducing_variable, kernel, jitter=jitter)
        latent_kernels(kernel, inducing_variable)
        return by_gpflow(inducing_variable, kernel, jitter=0.0)

    return kuu


for _pair in MULTIOUTPUT_PAIRS:
    Kuu.register(*_pair)(_kuu_multioutput(Kuu.dispatch_or_raise(*_pair)))


refuse_other_kernels(OrthogonalSignatureFeatures, unsuitable_kernel)
