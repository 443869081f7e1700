"""
Graphs of a model, traced once and used again in later calls.

TensorFlow never forgets all of a traced function: TFP's cache of transformed values and TensorFlow's registry of custom
gradients keep its graph. A function that is traced anew at each call therefore makes the memory grow for ever, and
tracing takes about a second. Here a function is traced once for each model, and again only where a part of the model
has been replaced. Values that are assigned to parameters are read when the graph runs.
"""

import weakref
from collections.abc import Callable
from typing import Any

import gpflow
import tensorflow as tf
from gpflow.base import Module, Parameter
from gpflow.likelihoods import MonteCarloLikelihood
from gpflow.models import GPModel
from tensorflow.python.eager import context

from sigkernel_tf import _library

_NOT_READ = {"num_data"}  # attributes of a model that no prediction depends on; training sets them
_BOOKKEEPING = frozenset(tf.Module._TF_MODULE_IGNORED_PROPERTIES)


class _Trace:
    """A TensorFlow function of a model and of tensors, and the parts of the model that it was traced with."""

    def __init__(self, model: GPModel, function: Callable[..., Any]) -> None:
        self._parts: list[Callable[[], Any]] | None = None
        model_of = weakref.ref(model)  # a trace must not keep its model alive

        def traced(*arguments: Any) -> Any:
            model = model_of()
            assert model is not None  # for the caller holds it
            results = function(model, *arguments)
            # The parts are listed after they were used, for GPflow creates some of them when they are first needed.
            self._parts = [_reference(part) for part in _parts_of(model)]
            return results

        # Without AutoGraph, which nothing here needs, an error raised while tracing comes out as it was raised.
        self.function = tf.function(traced, reduce_retracing=True, autograph=False)

    def is_of(self, model: GPModel) -> bool:
        """Whether the model still consists of the very objects that it was traced with."""
        if self._parts is None:  # not traced yet
            return True
        parts = _parts_of(model)
        return len(parts) == len(self._parts) and all(
            part is reference() for part, reference in zip(parts, self._parts, strict=True)
        )


_traces: "weakref.WeakKeyDictionary[GPModel, dict[Callable[..., Any], _Trace]]" = weakref.WeakKeyDictionary()


def traced(model: GPModel, function: Callable[..., Any]) -> Any:
    """
    ``function(model, *tensors)`` as a TensorFlow function of the tensors.

    The same one is returned as long as the model consists of the same objects: kernels, likelihood, parameters and so
    on, and settings such as ``kernel.normalize``.

    :param function: defined in a module and not in another function, as it is found by its identity.
    :raises RuntimeError: in a process that was forked from one that had used TensorFlow.
    """
    _library.check_process()
    of_model = _traces.setdefault(model, {})
    trace = of_model.get(function)
    if trace is None or not trace.is_of(model):
        trace = of_model[function] = _Trace(model, function)
    return trace.function


def _parts_of(model: GPModel) -> list[Any]:
    """
    All objects that a computation with the model may read, in a fixed order.

    These are the attributes of the model and of all modules of GPflow below it. A parameter's value is not among them,
    because a graph reads it when it runs.
    """
    config = gpflow.config.config()
    found: list[Any] = [config.int, config.float, config.jitter]
    seen: set[int] = set()

    def visit(part: Any) -> None:
        found.append(part)
        if id(part) in seen:
            return
        seen.add(id(part))
        if isinstance(part, Parameter):
            return
        if isinstance(part, MonteCarloLikelihood):  # a graph keeps the seed with which it was traced
            found.append(getattr(context.context(), "_rng", None))  # another one after each tf.random.set_seed
        if isinstance(part, Module):
            for name, value in vars(part).items():
                if name not in _BOOKKEEPING and not name.startswith("_self_") and name not in _NOT_READ:
                    visit(value)
        elif isinstance(part, dict):
            for value in part.values():
                visit(value)
        elif isinstance(part, (list, tuple)):
            for value in part:
                visit(value)

    visit(model)
    return found


def _reference(part: Any) -> Callable[[], Any]:
    """What returns an object, without keeping it alive where Python allows that."""
    try:
        return weakref.ref(part)
    except TypeError:  # numbers, text, tuples and the like
        return lambda: part
