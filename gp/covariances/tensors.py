"""Kuu and Kuf of inducing tensors, registered with GPflow's dispatchers."""

import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import TensorType
from gpflow.covariances import Kuf, Kuu

from ..inducing_variables.tensors import InducingTensors, check_tensors, unsuitable_for_tensors
from ..kernels import TruncatedSignatureKernel
from .unsuitable import refuse_other_kernels


@Kuu.register(InducingTensors, TruncatedSignatureKernel)
@check_shapes(
    "inducing_variable: [M, ., 1]",
    "return: [M, M]",
)
def _kuu_tensors(
    inducing_variable: InducingTensors, kernel: TruncatedSignatureKernel, *, jitter: float = 0.0
) -> tf.Tensor:
    check_tensors(inducing_variable, kernel)
    K = kernel.K_tensors(inducing_variable.Z)
    return K + jitter * tf.eye(inducing_variable.num_inducing, dtype=K.dtype)


@Kuf.register(InducingTensors, TruncatedSignatureKernel, object)
@check_shapes(
    "inducing_variable: [M, ., 1]",
    "Xnew: [batch..., N, D]",
    "return: [M, batch..., N]",
)
def _kuf_tensors(inducing_variable: InducingTensors, kernel: TruncatedSignatureKernel, Xnew: TensorType) -> tf.Tensor:
    check_tensors(inducing_variable, kernel)
    return kernel.K_tensors_paths(inducing_variable.Z, Xnew)


refuse_other_kernels(InducingTensors, unsuitable_for_tensors)
