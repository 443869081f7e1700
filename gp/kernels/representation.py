"""The representation of kernels in one line: how they were made, and what their parameters have become."""

import functools
import inspect
from typing import Any

import numpy as np
import tensorflow as tf
from gpflow.base import Parameter
from gpflow.kernels import Kernel

_MOST_NUMBERS = 6
_LEFT_OUT = ("name", "explicit")
_USUAL_NAMES = {"SquaredExponential": "RBF"}
_AS_LARGE_AS = {"discretization_order": "depth"}  # by default


def represented(kernel: Kernel) -> str:
    """
    The call that makes a kernel like this one: with its parameters as they are now, and without what is at its default.

    While a function is traced, parameters have no values, and "..." stands for them.
    """
    shown = []
    for name, argument in inspect.signature(type(kernel)).parameters.items():
        value = _value(kernel, name)
        if value is None or name in _LEFT_OUT or argument.kind is argument.VAR_KEYWORD:
            continue
        text = _text(value)
        default = _value(kernel, _AS_LARGE_AS[name]) if name in _AS_LARGE_AS else argument.default
        if argument.default is inspect.Parameter.empty or not _equal(value, default, text):
            shown.append(f"{name}={text}")
    name = type(kernel).__name__
    return f"{_USUAL_NAMES.get(name, name)}({', '.join(shown)})"


def _value(kernel: Kernel, name: str) -> Any:
    """What the kernel has of an argument; None: nothing, or all that there is."""
    value = getattr(kernel, name, getattr(getattr(kernel, "lifting", None), name, None))
    return None if isinstance(value, slice) and value == slice(None) else value


def _equal(value: Any, default: Any, text: str) -> bool:
    numbers = _numbers(value)
    if numbers is None or default is None:
        return text == _text(default)
    return np.allclose(numbers, default, rtol=1e-6, atol=0.0)  # a parameter is transformed, with rounding


def _numbers(value: Any) -> np.ndarray | None:
    """The numbers of a parameter or a tensor; None while a function is traced, and for anything else."""
    if isinstance(value, (Parameter, tf.Variable, tf.Tensor)) and tf.executing_eagerly():
        return value.numpy()
    return value if isinstance(value, np.ndarray) else None


def _text(value: Any) -> str:
    numbers = _numbers(value)
    if numbers is not None:
        return _of_numbers(numbers)
    if isinstance(value, (Parameter, tf.Variable, tf.Tensor)):
        return "..."
    if isinstance(value, Kernel):
        return represented(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_text(one) for one in value)}]"
    if isinstance(value, functools.partial):
        given = [*map(_text, value.args), *(f"{name}={_text(one)}" for name, one in value.keywords.items())]
        return f"partial({', '.join([_text(value.func), *given])})"
    return value.__name__ if inspect.isfunction(value) else repr(value)


def _of_numbers(numbers: np.ndarray) -> str:
    if numbers.ndim == 0:
        return f"{numbers:.5g}"
    if numbers.ndim > 1:
        return f"<array of shape {numbers.shape}>"
    first = ", ".join(f"{number:.5g}" for number in numbers[:_MOST_NUMBERS])
    return f"[{first}{f', ... {len(numbers)} of them' if len(numbers) > _MOST_NUMBERS else ''}]"
