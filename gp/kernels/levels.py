"""Variances of a signature's levels: a parameter in which a zero stays a zero, and the level of each word."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from gpflow.base import Parameter, TensorData
from gpflow.config import default_float
from gpflow.utilities import positive

from sigkernel_tf._arguments import check_unmasked
from sigkernel_tf._words import level_sizes


def level_variances_parameter(values: TensorData, *, normalize: bool) -> Parameter:
    """
    A parameter of numbers >= 0. Those that are 0 at first are held at 0, and all others stay positive.

    :param values: a vector.
    :param normalize: whether the kernel is normalized, which needs a variance of level 0.
    :raises ValueError: for anything but a vector of two numbers or more, finite and >= 0, not all of them 0; and for a
        variance of 0 for level 0 of a normalized kernel.
    """
    check_unmasked(values, "level_variances")
    array: np.ndarray = np.asarray(values, dtype=default_float())
    if array.ndim != 1 or array.size < 2 or not np.isfinite(array).all() or (array < 0).any() or not array.any():
        raise ValueError(
            "level_variances must be a vector of two numbers or more, finite and not negative, with at least one above "
            f"0, got {values!r}: for instance [1.0, 1.0, 1.0] for levels 0 and 1 and one number for all levels beyond."
        )
    if normalize and array[0] == 0:
        raise ValueError(
            "normalize=True needs level_variances[0] > 0, got 0: a path that stands still has nothing beyond level 0, "
            "so its k(x, x) would be 0. Give level 0 a variance, or leave normalize out."
        )
    transform = positive() if array.all() else ZeroWhereZero(array == 0)
    return Parameter(array, transform=transform)


def levels_of_words(num_channels: int, num_words: int) -> np.ndarray:
    """The level of each of the first ``num_words`` words."""
    sizes = level_sizes(num_channels, num_words)
    return np.repeat(np.arange(len(sizes)), sizes)


class ZeroWhereZero(tfp.bijectors.Bijector):
    """GPflow's transform of positive parameters, except that some entries are held at 0 whatever an optimiser does."""

    def __init__(self, is_zero: np.ndarray, name: str = "zero_where_zero") -> None:
        """:param is_zero: which entries are held at 0."""
        parameters = dict(locals())
        with tf.name_scope(name):
            self.is_zero = np.asarray(is_zero)
            self.positive = positive()
            super().__init__(forward_min_event_ndims=0, dtype=default_float(), parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype: Any) -> dict:
        return {}

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        return tf.where(self.is_zero, tf.zeros_like(x), self.positive.forward(x))

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        """The inverse, or NaN where an entry that is held at 0 is given another number; Parameter refuses a NaN."""
        nan = tf.fill(tf.shape(y), tf.constant(np.nan, y.dtype))
        held = tf.where(tf.equal(y, 0), tf.zeros_like(y), nan)
        return tf.where(self.is_zero, held, self.positive.inverse(tf.where(self.is_zero, tf.ones_like(y), y)))

    def _forward_log_det_jacobian(self, x: tf.Tensor) -> tf.Tensor:
        return tf.where(self.is_zero, tf.zeros_like(x), self.positive.forward_log_det_jacobian(x, event_ndims=0))
