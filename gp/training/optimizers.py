"""
Keras' optimizers Nadam and Adam, made faster: a variable is updated in one pass over memory instead of a dozen.

The results are those of Keras up to rounding. Keras rounds the decay rates to float32 on their way to the variable's
dtype; the classes here do the same.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

LearningRate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


class FusedAdam(keras.optimizers.Adam):
    """
    ``keras.optimizers.Adam`` with TensorFlow's fused operation.

    It has the same variables, and takes the same steps up to rounding.
    """

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
    ``keras.optimizers.Nadam`` with TensorFlow's fused operation.

    It has the same variables, and takes the same steps up to rounding. With the decays β₁ and β₂ of the moments m and
    v, Nadam's step is lr (A m + B g) / (sqrt(v̂) + ε), where A and B follow from the schedule u_t = β₁ (1 − 0.96ᵗ / 2)
    of the momentum (Dozat 2015). TensorFlow's operation only has Nesterov's form, a (β₁ m + (1 − β₁) g). With
    a = B / (1 − β₁) a first call takes the whole step in g; a second call takes the rest of the step in m, A − a β₁,
    which tends to 0 as u_t tends to β₁. Where the variable is on the CPU, the second call is left out once the rest no
    longer counts. Elsewhere it is always made: to look at the rest would have the host wait for the device at every
    step.
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
            one = tf.ones([], dtype)  # as both betas, which leaves the moments as they are
            _update(variable, slots, gradient, rate * rest, one, one, epsilon, nesterov=True)
            return tf.constant(True)

        if not is_on_cpu(variable.handle.device):
            subtract_rest()
            return
        is_there = tf.abs(rest) > 4 * np.finfo(dtype.as_numpy_dtype).eps * by_momentum
        tf.cond(is_there, subtract_rest, lambda: tf.constant(False))


def is_on_cpu(device: str) -> bool:
    """Whether a device, named as TensorFlow does, is the CPU; "" is one that is not chosen yet, and counts as it."""
    return tf.DeviceSpec.from_string(device).device_type in (None, "CPU")


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
    Update the moments and the variable, all in one pass over memory.

    In this order: m += (1 − β₁) (g − m), v += (1 − β₂) (g² − v), variable −= rate · m / (sqrt(v) + ε).

    :param slots: the moments m and v.
    :param nesterov: whether β₁ m + (1 − β₁) g takes the place of m in the variable's step.
    """
    dtype = tf.as_dtype(variable.dtype)
    zero = tf.zeros([], dtype)  # for the powers of the betas, as the rate includes their corrections
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
    """The optimizer of that name, with its variables made, as a compiled step may not make any."""
    optimizer = OPTIMIZERS[name](learning_rate)
    optimizer.build(variables)
    return optimizer
