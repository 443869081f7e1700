"""Kuu and Kuf of inducing sequences, registered with GPflow's dispatchers."""

import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import TensorType
from gpflow.covariances import Kuf, Kuu

from ..inducing_variables.sequences import InducingSequences, unsuitable_for_sequences
from ..kernels import PathKernel
from .unsuitable import refuse_other_kernels


@Kuu.register(InducingSequences, PathKernel)
@check_shapes(
    "inducing_variable: [M, ., 1]",
    "return: [M, M]",
)
def _kuu_sequences(inducing_variable: InducingSequences, kernel: PathKernel, *, jitter: float = 0.0) -> tf.Tensor:
    K = kernel(inducing_variable.flat(kernel), presliced=True)
    return K + jitter * tf.eye(inducing_variable.num_inducing, dtype=K.dtype)


@Kuf.register(InducingSequences, PathKernel, object)
@check_shapes(
    "inducing_variable: [M, ., 1]",
    "Xnew: [batch..., N, D]",
    "return: [M, batch..., N]",
)
def _kuf_sequences(inducing_variable: InducingSequences, kernel: PathKernel, Xnew: TensorType) -> tf.Tensor:
    X, _ = kernel.slice(Xnew, None)  # the active columns, which are all that the sequences hold
    return kernel(inducing_variable.flat(kernel), X, presliced=True)


refuse_other_kernels(InducingSequences, unsuitable_for_sequences)
