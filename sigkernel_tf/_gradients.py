"""What the gradients of the compiled operations share when they are registered."""

from collections.abc import Callable
from typing import Any, NoReturn

import tensorflow as tf


def attributes_of(op: tf.Operation, *names: str) -> dict[str, Any]:
    """The named attributes of ``op``, as keyword arguments for the operation of its gradient."""
    values = {name: op.get_attr(name) for name in names}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


def on_device_of(op: tf.Operation) -> Any:
    """
    A context that places the gradient of ``op`` where ``op`` ran: the plans that it left are those of its device.

    Where that is not known yet, while a function is traced, the gradient is placed as ``op`` will be.
    """
    return tf.device(op.outputs[0].device)


def differentiable_once(what: str, more_advice: str = "") -> Callable[..., NoReturn]:
    """
    Makes what is registered as the gradient of an operation that computes a gradient and has none of its own.

    :param what: the function that was to be differentiated twice, for the error.
    :param more_advice: ends the error.
    :return: a function that raises LookupError.
    """

    def refuse(op: tf.Operation, *_: tf.Tensor) -> NoReturn:
        raise LookupError(
            f"{what} is differentiable once: its gradient has no gradient of its own. "
            f"Take differences of the gradient where a second derivative is needed{more_advice}."
        )

    return refuse
