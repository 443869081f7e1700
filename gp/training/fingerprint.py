"""What tells one model from another, so that no model is trained on from another one's checkpoint."""

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import tensorflow as tf
from gpflow.base import Parameter
from gpflow.kernels import Kernel
from gpflow.models import GPModel

from sigkernel_tf._version import __version__

from ..data.digest import digest

_SET_BY_TRAINING = "model.num_data"


def settings(model: GPModel) -> dict[str, Any]:
    """
    The classes of a model's parts and their settings by name, such as ``{"model.kernel.normalize": True}``.

    They are JSON values, the same in every process that builds the model. A function is represented by its name, an
    array by its digest, a parameter by its transform, its prior and whether it is trained, but not by its value.
    Private attributes and anything else, such as a compiled function, are left out.
    """
    found = dict(_settings(model, "model", ()))
    found.pop(_SET_BY_TRAINING, None)
    return found


def values_digest(model: GPModel, without: Sequence[Parameter] = ()) -> str:
    """
    The SHA-256 digest of the values of all parameters, trainable or not.

    :param without: those that are left out.

    The values are rounded to single precision, as the same model on another machine may differ in the last bits.
    """
    sha = hashlib.sha256()
    left_out = {id(parameter) for parameter in without}
    for parameter in (each for each in model.parameters if id(each) not in left_out):
        value = np.ascontiguousarray(parameter.numpy(), np.float32)
        sha.update(f"{value.shape} ".encode() + value.tobytes())
    return sha.hexdigest()


def versions() -> dict[str, str]:
    """The versions of the packages that compute, by name."""
    return {name: metadata.version(name) for name in ("tensorflow", "gpflow", "numpy")} | {"sigkernel_tf": __version__}


def differences(here: dict[str, Any], there: dict[str, Any], name: str = "there") -> list[str]:
    """The JSON values by name in which two descriptions differ, in words; ``name`` is whose the second one is."""
    return [
        f"{key} ({name} {there.get(key)}, here {here.get(key)})"
        for key in {**here, **there}  # in their order
        if here.get(key) != there.get(key)  # what is None may be missing in the other
    ]


def _settings(part: Any, name: str, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Names and JSON values of a part of a model; ``above`` holds the ids of the parts that it belongs to."""
    if id(part) in above:
        return
    above = (*above, id(part))
    if part is None or isinstance(part, (bool, int, float, str)):
        yield name, part
    elif isinstance(part, np.generic):
        yield name, part.item()
    elif isinstance(part, slice):
        yield name, repr(part)
    elif isinstance(part, Parameter):
        yield f"{name}.trainable", part.trainable
        yield f"{name}.transform", getattr(part.transform, "name", None)
        if part.prior is not None:
            yield f"{name}.prior", type(part.prior).__name__
            yield from _settings(part.prior.parameters, f"{name}.prior", above)
    elif isinstance(part, (np.ndarray, tf.Tensor)):
        array = np.atleast_1d(np.asarray(part))
        yield name, array.tolist() if array.size <= 10 else digest(array)
    elif isinstance(part, functools.partial):
        yield name, getattr(part.func, "__qualname__", type(part.func).__name__)
        yield from _settings({"args": part.args, **part.keywords}, name, above)
    elif inspect.isroutine(part):
        yield name, part.__qualname__
    elif isinstance(part, Mapping):
        for key in sorted(part, key=str):
            yield from _settings(part[key], f"{name}.{key}", above)
    elif isinstance(part, Sequence):
        for place, value in enumerate(part):
            yield from _settings(value, f"{name}[{place}]", above)
    elif isinstance(part, tf.Module) or dataclasses.is_dataclass(part):
        yield name, type(part).__name__
        public = {key: value for key, value in vars(part).items() if not key.startswith("_")}
        if isinstance(part, Kernel):
            public["active_dims"] = part.active_dims  # kept under a private name
        yield from _settings(public, name, above)
