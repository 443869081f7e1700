"""Kuu and Kuf of inducing sequences, on GPflow's dispatchers."""

from typing import NoReturn

import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import TensorType
from gpflow.covariances import Kuf, Kuu
from gpflow.kernels import Kernel

from ..inducing_variables.sequences import InducingSequences, unsuitable_for_sequences
from ..kernels import PathKernel


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
    "Xnew: [N, ...]",
    "return: [M, N]",
)
def _kuf_sequences(inducing_variable: InducingSequences, kernel: PathKernel, Xnew: TensorType) -> tf.Tensor:
    X, _ = kernel.slice(Xnew, None)  # the active columns: sequences hold nothing else
    return kernel(inducing_variable.flat(kernel), X, presliced=True)


@Kuu.register(InducingSequences, Kernel)
def _kuu_unsuitable(inducing_variable: InducingSequences, kernel: Kernel, *, jitter: float = 0.0) -> NoReturn:
    """:raises TypeError: always."""
    raise unsuitable_for_sequences(kernel)


@Kuf.register(InducingSequences, Kernel, object)
def _kuf_unsuitable(inducing_variable: InducingSequences, kernel: Kernel, Xnew: TensorType) -> NoReturn:
    """:raises TypeError: always."""
    raise unsuitable_for_sequences(kernel)
