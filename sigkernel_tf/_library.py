"""
Loads the compiled operations when they are first used; nothing else in the package loads them.

The library works only with the TensorFlow release that it was built with. What goes wrong while it is loaded becomes
an ImportError that says what was found and what to do.
"""

import functools
from pathlib import Path
from types import ModuleType

import tensorflow as tf
from tensorflow.python.framework import ops as tf_ops
from tensorflow.python.ops import control_flow_util

_FOLDER = Path(__file__).resolve().parent
LIBRARY = _FOLDER / "_ops.so"
VERSION_FILE = _FOLDER / "_built_with_tensorflow.txt"


def _release(version: str) -> str:
    return ".".join(version.split(".")[:2])


@functools.cache
def _load(library: Path, version_file: Path) -> ModuleType:
    if not library.exists():
        raise ImportError(
            f"sigkernel_tf has no compiled library at {library}: this is a source tree that was not built. "
            "Run `pip install -e .` in its root, or start Python elsewhere to use an installed copy."
        )
    built_with = version_file.read_text().strip() if version_file.exists() else "an unknown release"
    wrong_release = (
        f"sigkernel_tf was built with TensorFlow {built_with} and does not load under TensorFlow {tf.__version__}. "
        "Reinstall it beside this TensorFlow (`pip install --force-reinstall --no-deps sigkernel-tf`), "
        f"or install TensorFlow {_release(built_with)}."
    )
    if version_file.exists() and _release(built_with) != _release(tf.__version__):
        raise ImportError(wrong_release)
    try:
        return tf.load_op_library(str(library))
    except tf.errors.NotFoundError as error:
        raise ImportError(f"{wrong_release} The loader said: {error.message}") from error


def xla_compiles() -> bool:
    """Whether a function is being traced for ``jit_compile=True``, which cannot contain the compiled operations."""
    return bool(control_flow_util.GraphOrParentsInXlaContext(tf_ops.get_default_graph()))


def ops() -> ModuleType:
    """
    The compiled operations.

    :raises ImportError: where the library is missing or was built with another release of TensorFlow.
    :raises NotImplementedError: while a function is traced for ``jit_compile=True``, which cannot contain them.
    """
    if xla_compiles():
        raise NotImplementedError(
            "sigkernel_tf's operations are native code and cannot be compiled by XLA: "
            "leave out jit_compile=True for the function that calls them."
        )
    return _load(LIBRARY, VERSION_FILE)
