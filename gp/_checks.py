"""Argument checks, and names for their errors, that several modules of this package share."""

from typing import Any

import numpy as np
from gpflow.base import Parameter, TensorData
from gpflow.config import default_float
from gpflow.kernels import Kernel
from gpflow.utilities import positive


def positive_parameter(value: TensorData, name: str) -> Parameter:
    """
    A trainable parameter of positive numbers, of any shape.

    :raises TypeError: for anything but numbers.
    :raises ValueError: for numbers that are not positive and finite.
    """
    numbers = value.numpy() if hasattr(value, "numpy") else np.asarray(value)
    if numbers.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a number or an array of numbers, got {value!r}: for instance {name}=1.0.")
    if not (np.isfinite(numbers) & (numbers > 0)).all():
        raise ValueError(f"{name} must be positive and finite, got {numbers.tolist()}: for instance {name}=1.0.")
    if isinstance(value, (np.generic, np.ndarray)):  # TensorFlow does not know all of NumPy's floats
        value = numbers.astype(default_float())
    return Parameter(value, transform=positive())


def described(kernel: Any) -> str:
    """The name of a kernel, for an error: its class, what it is made of, and its static kernel if it has one."""
    if not isinstance(kernel, Kernel):
        return repr(kernel)
    name = type(kernel).__name__
    if hasattr(kernel, "kernels"):
        return f"{name} of {', '.join(type(part).__name__ for part in kernel.kernels)}"
    if getattr(kernel, "static_kernel", None) is not None:
        return f"{name} with static_kernel={described(kernel.static_kernel)}"
    return name
