"""
Releases the graphs of a training, which TensorFlow and TFP would otherwise keep for ever.

Two global tables hold on to them: TensorFlow's registry of custom gradients, and TFP's cache of transformed values.
Both are private, so that what is not found there is left as it is.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops as tf_ops
from tensorflow_probability import bijectors

_GRADIENT_NAME = "_gradient_op_type"  # the attribute of an operation that names its custom gradient


def release(functions: Iterable[Any]) -> None:
    """
    Remove what the two tables hold of these traced functions, which can still run but no longer be differentiated.

    :param functions: concrete functions.
    """
    graphs = [function.graph for function in functions]
    gradients = getattr(tf_ops.gradient_registry, "_registry", {})
    for name in {name for graph in graphs for name in _custom_gradients(graph)}:
        gradients.pop(name, None)
    values = getattr(getattr(bijectors.Bijector, "_cache", None), "storage", {})
    for key in list(values):
        if any(_is_within(tensor, graphs) for tensor in tf.nest.flatten(key())):
            key.cancel()  # its tensors' ends are no longer of interest
            del values[key]


def _custom_gradients(graph: tf.Graph) -> Iterator[str]:
    """The names of the custom gradients of a graph and of the loops in it."""
    definition = graph.as_graph_def()
    for node in [*definition.node, *(node for one in definition.library.function for node in one.node_def)]:
        if _GRADIENT_NAME in node.attr:
            yield node.attr[_GRADIENT_NAME].s.decode()


def _is_within(tensor: Any, graphs: list[Any]) -> bool:
    """Whether a tensor belongs to one of the graphs, or to a loop inside it; one with a value belongs to none."""
    graph = getattr(tensor, "graph", None)
    while graph is not None:
        if any(graph is one for one in graphs):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False
