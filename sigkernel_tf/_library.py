"""
Loads the compiled operations when they are first used; nothing else in the package loads them.

The library works only with the TensorFlow release that it was built with. What goes wrong while it is loaded becomes
an ImportError that says what was found and what to do.

The operations run on TensorFlow's threads, which a fork does not copy. In a process that was forked after TensorFlow
had started them, an operation would wait for ever; there it raises a RuntimeError instead.
"""

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import ops as tf_ops
from tensorflow.python.ops import control_flow_util

_FOLDER = Path(__file__).resolve().parent
LIBRARY = _FOLDER / "_ops.so"
VERSION_FILE = _FOLDER / "_built_with_tensorflow.txt"


def _has_threads() -> bool:
    """Whether TensorFlow has started its threads, which it does when it first computes something."""
    started = context.context_safe()
    return started is not None and started._initialized


# Whether TensorFlow's threads were left behind in the process from which this one was forked. Where the fork came
# before this module was imported, it shows by there being no thread but this one.
_left_behind = _has_threads() and len(os.listdir("/proc/self/task")) == 1


def _after_fork() -> None:
    global _left_behind
    _left_behind = _left_behind or _has_threads()


os.register_at_fork(after_in_child=_after_fork)


def check_process() -> None:
    """:raises RuntimeError: where TensorFlow's threads were left behind in the process that this one came from."""
    if _left_behind:
        raise RuntimeError(
            "sigkernel_tf's operations cannot run in this process: it was forked from one in which TensorFlow had "
            "already computed something, and TensorFlow's threads, for which they would wait for ever, stayed there. "
            "Start processes with multiprocessing.get_context('spawn'), or fork before TensorFlow is first used."
        )


def _release(version: str) -> str:
    return ".".join(version.split(".")[:2])


class Operations:
    """The operations of a loaded library. Where one runs at once, its error is what it says, and nothing around it."""

    # TensorFlow writes where an error comes from before and behind it.
    _AROUND = re.compile(r"^\{\{function_node .*?\}\} | \[Op:\w+\].*$")

    def __init__(self, library: ModuleType) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = getattr(self._library, name)

        @functools.wraps(operation)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return operation(*args, **kwargs)
            except tf.errors.OpError as error:
                plain = self._AROUND.sub("", error.message)
                raise type(error)(error.node_def, error.op, plain) from None

        setattr(self, name, call)  # so that Python does not ask for it again
        return call


@functools.cache
def _load(library: Path, version_file: Path) -> Operations:
    if not library.exists():
        raise ImportError(
            f"sigkernel_tf has no compiled library at {library}: this is a source tree that was not built. "
            "Run `pip install -e .` in its root, or start Python elsewhere to use an installed copy."
        )
    built_with = version_file.read_text().strip() if version_file.exists() else "an unknown release"
    again = "`pip install --force-reinstall --no-deps sigkernel-tf`"
    if version_file.exists() and _release(built_with) != _release(tf.__version__):
        raise ImportError(
            f"sigkernel_tf was built with TensorFlow {built_with} and does not load under TensorFlow {tf.__version__}. "
            f"Reinstall it beside this TensorFlow ({again}), or install TensorFlow {_release(built_with)}."
        )
    try:
        return Operations(tf.load_op_library(str(library)))
    except tf.errors.NotFoundError as error:
        raise ImportError(
            f"sigkernel_tf was built with TensorFlow {built_with}, and its library does not load under TensorFlow "
            f"{tf.__version__}. The release is not at fault: the file may be damaged, or the two TensorFlows may have "
            f"been built differently, as pip's and conda's are. Build it beside this TensorFlow ({again}; in a source "
            f"tree `pip install -e .`). The loader said: {error.message}"
        ) from error


def sees_gpu() -> bool:
    """Whether an operation may be placed on a GPU."""
    return bool(tf.config.get_visible_devices("GPU"))


def xla_compiles() -> bool:
    """Whether a function is being traced for ``jit_compile=True``, which cannot contain the compiled operations."""
    return bool(control_flow_util.GraphOrParentsInXlaContext(tf_ops.get_default_graph()))


def ops() -> Operations:
    """
    The compiled operations.

    :raises ImportError: where the library is missing or was built with another release of TensorFlow.
    :raises RuntimeError: in a process that was forked from one that had used TensorFlow.
    :raises NotImplementedError: while a function is traced for ``jit_compile=True``, which cannot contain them.
    """
    check_process()
    if xla_compiles():
        raise NotImplementedError(
            "sigkernel_tf's operations are native code and cannot be compiled by XLA: "
            "leave out jit_compile=True for the function that calls them."
        )
    return _load(LIBRARY, VERSION_FILE)
