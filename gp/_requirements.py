"""
Imports GPflow before anything else does, and says what to do where that fails.

GPflow 2.11 asks for NumPy below 2, for which there are no wheels from Python 3.13 on. The operations and the Keras
layers need neither.
"""

import importlib.metadata
import sys


def advice(python: tuple[int, int], numpy: str, gpflow: str | None) -> str:
    """What to do where GPflow cannot be imported, by the versions that are installed; no GPflow: None."""
    if python >= (3, 13):
        return (
            f"GPflow needs NumPy below 2, which does not exist for Python {python[0]}.{python[1]}: take Python 3.10 to "
            "3.12 for the models and estimators. The operations and the Keras layers of sigkernel_tf work here."
        )
    if int(numpy.split(".")[0]) >= 2:
        return (
            f"GPflow needs NumPy below 2, and NumPy {numpy} is installed: pip install 'gpflow>=2.11' 'numpy<2'. The "
            "operations and the Keras layers of sigkernel_tf work with NumPy 2, too."
        )
    if gpflow is None:
        return "GPflow is not installed: pip install 'gpflow>=2.11'."
    return f"GPflow {gpflow} is installed but cannot be imported: pip install --upgrade 'gpflow>=2.11' 'numpy<2'."


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


try:
    import gpflow as gpflow
except (ImportError, AttributeError) as error:  # a GPflow beside the wrong NumPy misses attributes
    help_for_these = advice(sys.version_info[:2], _installed("numpy") or "0", _installed("gpflow"))
    raise ImportError(f"sigkernel_tf.gp needs GPflow. {help_for_these}") from error
