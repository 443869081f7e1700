"""
Keras' Nadam and Adam, whose update of a variable is one pass over memory here in place of a dozen.

Where Keras casts a decay rate to the variable's dtype, it passes through float32, and so does this: the numbers are
Keras' to rounding.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

LearningRate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


class FusedAdam(keras.optimizers.Adam):
    """``keras.optimizers.Adam``: the same numbers to rounding, the same variables, by TensorFlow's fused operation."""

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        index = self._get_variable_index(variable)
        dtype = tf.as_dtype(variable.dtype)
        step = tf.cast(self.iterations.value + 1, dtype)
        powers = [tf.cast(beta, dtype) ** step for beta in (self.beta_1, self.beta_2)]
        rate = tf.cast(learning_rate, dtype) * tf.sqrt(1 - powers[1]) / (1 - powers[0])
        slots = self._momentums[index], self._velocities[index]
        beta_1, beta_2, epsilon = (tf.constant(x, dtype) for x in (self.beta_1, self.beta_2, self.epsilon))
        _update(variable, slots, gradient, rate, beta_1, beta_2, epsilon)


class FusedNadam(keras.optimizers.Nadam):
    r"""
    ``keras.optimizers.Nadam``: the same numbers to rounding, the same variables, by TensorFlow's fused operation.

    With the moments' decays β₁ and β₂, Nadam's step is lr (A m + B g) / (sqrt(v̂) + ε), where A and B follow from the
    schedule u_t = β₁ (1 − 0.96ᵗ / 2) of the momentum (Dozat 2015). TensorFlow's operation knows Nesterov's form,
    a (β₁ m + (1 − β₁) g): it takes all of g with a = B / (1 − β₁), and a second call the rest of m, A − a β₁, which
    tends to 0 as u_t does to β₁.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        index = self._get_variable_index(variable)
        dtype = tf.as_dtype(variable.dtype)
        beta_1, beta_2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
        step = tf.cast(self.iterations.value + 1, dtype)
        u, u_next = (beta_1 * (1 - 0.5 * tf.cast(0.96, dtype) ** s) for s in (step, step + 1))
        product = tf.cast(self._u_product.value, dtype)  # of the u up to this step
        by_momentum, by_gradient = u_next / (1 - product * u_next), (1 - u) / (1 - product)
        correction = tf.sqrt(1 - beta_2**step)
        rate = tf.cast(learning_rate, dtype) * correction
        slots = self._momentums[index], self._velocities[index]
        epsilon = tf.constant(self.epsilon, dtype) * correction
        nesterov = by_gradient / (1 - beta_1)
        _update(variable, slots, gradient, rate * nesterov, beta_1, beta_2, epsilon, nesterov=True)
        rest = by_momentum - nesterov * beta_1

        def subtract_rest() -> tf.Tensor:
            one = tf.ones([], dtype)  # for both betas: the moments stay as they are
            _update(variable, slots, gradient, rate * rest, one, one, epsilon, nesterov=True)
            return tf.constant(True)

        is_there = tf.abs(rest) > 4 * np.finfo(dtype.as_numpy_dtype).eps * by_momentum
        tf.cond(is_there, subtract_rest, lambda: tf.constant(False))


def _update(
    variable: tf.Variable,
    slots: tuple[Any, Any],
    gradient: tf.Tensor,
    rate: tf.Tensor,
    beta_1: tf.Tensor,
    beta_2: tf.Tensor,
    epsilon: tf.Tensor,
    *,
    nesterov: bool = False,
) -> None:
    """
    m += (1 − β₁) (g − m), v += (1 − β₂) (g² − v), and the variable less rate · m / (sqrt(v) + ε), all in one pass.

    :param nesterov: β₁ m + (1 − β₁) g in place of m.
    """
    dtype = tf.as_dtype(variable.dtype)
    zero = tf.zeros([], dtype)  # for the powers of the betas: their corrections are in the rate
    momentum, velocity = (slot.value.handle for slot in slots)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=momentum,
        v=velocity,
        beta1_power=zero,
        beta2_power=zero,
        lr=rate,
        beta1=beta_1,
        beta2=beta_2,
        epsilon=epsilon,
        grad=tf.cast(gradient, dtype),
        use_nesterov=nesterov,
    )


OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {"nadam": FusedNadam, "adam": FusedAdam}


def make_optimizer(name: str, learning_rate: LearningRate, variables: list[tf.Variable]) -> keras.optimizers.Optimizer:
    """The optimizer of that name, built: a graph may not make variables when it is run again."""
    optimizer = OPTIMIZERS[name](learning_rate)
    optimizer.build(variables)
    return optimizer
