"""What a report of a fault should say about the machine: versions, how the operations were built, and devices."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

from ._version import __version__

_FOLDER = Path(__file__).resolve().parent
_OTHERS = ("tensorflow", "keras", "numpy", "gpflow", "tensorflow-probability", "scikit-learn", "scipy", "matplotlib")


def show_versions() -> None:
    """
    Print the versions of this package and of those that it uses, for a report of a fault.

    It imports nothing but TensorFlow, so that it works where the operations or GPflow do not load.

    >>> sk.show_versions()  # doctest: +ELLIPSIS
    sigkernel_tf: ...
    """
    for name, found in _versions().items():
        print(f"{name}: {found}")


def _versions() -> dict[str, str]:
    return {
        "sigkernel_tf": f"{__version__} in {_FOLDER}",
        "operations": _operations(),
        "python": f"{sys.version.split()[0]} on {platform.platform()}",
        **{name: _installed(name) for name in _OTHERS},
        "devices": _devices(),
        "threads": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores",
        **{name: value for name, value in sorted(os.environ.items()) if name.startswith("SIGKERNEL_TF_")},
    }


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _operations() -> str:
    """How the compiled library was built, and what is wrong where it does not load."""
    try:
        from . import _library

        _library.ops()
    except (ImportError, RuntimeError) as error:
        return f"do not load: {error}"
    built_with, megabytes = _library.VERSION_FILE.read_text().strip(), _library.LIBRARY.stat().st_size / 1e6
    return f"built with TensorFlow {built_with}, {megabytes:.0f} MB"


def _devices() -> str:
    try:
        import tensorflow as tf
    except ImportError as error:
        return f"TensorFlow does not load: {error}"
    names = [device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()]
    return f"{', '.join(names)}; TensorFlow with{'' if tf.test.is_built_with_cuda() else 'out'} CUDA"
