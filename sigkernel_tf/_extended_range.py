"""Numbers beyond the range of their dtype, such as kernels of long paths: a mantissa times a power of two."""

from typing import NamedTuple

import tensorflow as tf

_UNIT = 32  # kExponentUnit of the compiled operations


class Extended(NamedTuple):
    """
    Numbers mantissa · 2^exponent.

    :param mantissa: tensors of any shape. Gradients flow through it alone; the exponents count as constants.
    :param exponent: whole and even numbers of the same shape and dtype.
    """

    mantissa: tf.Tensor
    exponent: tf.Tensor

    @classmethod
    def of(cls, numbers: tf.Tensor) -> "Extended":
        """Numbers that the dtype holds."""
        return cls(numbers, tf.zeros_like(numbers))

    def square_root(self) -> "Extended":
        """The square roots; their exponents may be odd."""
        return Extended(tf.sqrt(self.mantissa), self.exponent / 2)


def exponents_of(plan: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """The exponents of kernels, from the plan that a compiled operation returns in extended range."""
    # A negative plan is that of a kernel that is NaN.
    return tf.cast(tf.maximum(plan, 0) // 2**16 * _UNIT, dtype)


def power_of_two(exponent: tf.Tensor) -> tf.Tensor:
    """2^n, exactly, for whole numbers n; 0 and infinity where it is beyond the range of the dtype."""
    bits, whole, bias = (23, tf.int32, 127) if exponent.dtype == tf.float32 else (52, tf.int64, 1023)
    biased = tf.cast(tf.clip_by_value(exponent + bias, 0, 2 * bias + 1), whole)
    return tf.bitcast(tf.bitwise.left_shift(biased, tf.cast(bits, whole)), exponent.dtype)
