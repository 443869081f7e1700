"""
The factor of q(u)'s covariance as GPflow stores it, a packed triangle, used without unpacking it.

``tfp.bijectors.FillTriangular`` makes GPflow's ``q_sqrt`` [L, M, M] from an unconstrained variable
[L, M (M + 1) / 2]. A training step that does so writes and reads several full matrices forward and backward, half of
them zeros, and spends most of its time on them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from gpflow.base import Parameter
from gpflow.kullback_leiblers import gauss_kl
from tensorflow_probability import bijectors


def as_packed_factor(q_sqrt: Any) -> tf.Tensor | None:
    """
    The packed triangles [L, M (M + 1) / 2] of a ``q_sqrt`` that GPflow stores in this form.

    None for any other ``q_sqrt``, and for one on a GPU: the compiled operation on packed triangles runs on the CPU
    only, and copies between the two would cost more than it saves.
    """
    is_packed = isinstance(q_sqrt, Parameter) and isinstance(q_sqrt.transform, bijectors.FillTriangular)
    if not is_packed or len(q_sqrt.shape) != 3 or is_on_gpu(q_sqrt.unconstrained_variable.device):
        return None
    return tf.convert_to_tensor(q_sqrt.unconstrained_variable)


def is_on_gpu(device: str) -> bool:
    """Whether the name of a device, as a variable has it, is that of a GPU; an empty name is not."""
    return tf.DeviceSpec.from_string(device).device_type == "GPU"


def unpacked(factor: tf.Tensor) -> tf.Tensor:
    """The lower triangular matrices [L, M, M] that packed ones stand for."""
    return bijectors.FillTriangular().forward(factor)


def white_kl(q_mu: Any, q_sqrt: Any) -> tf.Tensor:
    """KL[q || N(0, I)] for any of GPflow's q_mu [M, L] and q_sqrt; without unpacking q_sqrt where it is packed."""
    packed = as_packed_factor(q_sqrt)
    return gauss_kl(q_mu, q_sqrt, None) if packed is None else packed_kl(tf.convert_to_tensor(q_mu), packed)


def packed_kl(q_mu: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """
    KL[N(m, L Lᵀ) || N(0, I)], summed over independent processes: GPflow's ``gauss_kl`` for packed factors.

    :param q_mu: [M, L].
    :param factor: [L, M (M + 1) / 2].
    """
    size, packed_size = q_mu.shape[0], factor.shape[1]
    # Where the diagonals are in the flattened factor, [L M].
    starts = tf.range(tf.shape(factor)[0])[:, None] * packed_size
    diagonal = tf.reshape(starts + _diagonal_places(size)[None, :], [-1])

    @tf.custom_gradient
    def divergence(q_mu: tf.Tensor, factor: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        flat = tf.reshape(factor, [-1])
        on_diagonal = tf.gather(flat, diagonal)
        log_det = tf.reduce_sum(tf.math.log(tf.abs(on_diagonal)))
        count = tf.cast(tf.size(q_mu), q_mu.dtype)
        value = tf.nn.l2_loss(q_mu) + tf.nn.l2_loss(flat) - log_det - 0.5 * count

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            by_flat = tf.tensor_scatter_nd_sub(upstream * flat, diagonal[:, None], upstream / on_diagonal)
            return upstream * q_mu, tf.reshape(by_flat, tf.shape(factor))

        return value, gradient

    return divergence(q_mu, factor)


def _diagonal_places(size: int) -> np.ndarray:
    """Where ``FillTriangular`` puts L_ii: row after row, and the lower rows from the end backwards."""
    places = np.arange(size, dtype=np.int32) * (size + 1)  # in the full matrix
    return np.where(places < size * (size - 1) // 2, size + places, size * size - 1 - places).astype(np.int32)
