"""Argument checks, and names for their errors, that several modules of this package share."""

from typing import Any

import numpy as np
from gpflow.base import Parameter, TensorData
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
    return Parameter(value, transform=positive())


def check_rows(X: Any, name: str) -> None:
    """
    Refuses what is not one set of rows [N, W], where leading batch dimensions have no meaning.

    Above all this refuses paths [N, L, D] that were not flattened, which a kernel would take for N sets of paths.

    :raises ValueError: for a rank other than 2.
    """
    shape = tuple(X.shape) if hasattr(X, "shape") else np.shape(X)
    if len(shape) != 2:
        raise ValueError(
            f"{name} must have rank 2, (rows, columns), got shape {shape}: paths (N, L, D) take flatten_paths({name}), "
            f"a single row takes {name}[None]."
        )


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
