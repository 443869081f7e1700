"""Quadratic forms of lower triangular factors, which Gaussian processes with q(u) = N(m, L Lᵀ) need."""

import tensorflow as tf

from . import _library
from ._gradients import differentiable_once


def quadratic_forms(factors: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
    r"""
    The quadratic forms \|L_cᵀ s_n\|² of lower triangular factors L_c and vectors s_n.

    The operation reads only the lower triangles, with half the multiply-adds of full matrices, and copies no factor.
    It runs on the CPU, in SIMD registers, and is differentiable once, in both arguments.

    :param factors: [C, M (M + 1) / 2], float32 or float64, packed as the inverse of ``tfp.bijectors.FillTriangular``
        packs L, which is how GPflow keeps the unconstrained variable of ``q_sqrt``.
    :param vectors: [M, N], of the same dtype, M >= 1.
    :return: [C, N].
    :raises tf.errors.InvalidArgumentError: for shapes that do not fit one another.
    """
    return _library.ops().sigkernel_tf_quadratic_forms(factors, vectors).forms


@tf.RegisterGradient("SigkernelTfQuadraticForms")
def _quadratic_forms_gradient(op: tf.Operation, upstream: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    arguments = (*op.inputs, op.outputs[1], upstream)
    return (
        _library.ops().sigkernel_tf_quadratic_forms_factors_grad(*arguments),
        _library.ops().sigkernel_tf_quadratic_forms_vectors_grad(*arguments),
    )


_refuse_a_second_derivative = differentiable_once("quadratic_forms")
tf.RegisterGradient("SigkernelTfQuadraticFormsFactorsGrad")(_refuse_a_second_derivative)
tf.RegisterGradient("SigkernelTfQuadraticFormsVectorsGrad")(_refuse_a_second_derivative)
