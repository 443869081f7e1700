"""Signature kernels and truncated signatures as TensorFlow operations; ``sigkernel_tf.gp`` brings them to GPflow."""

import importlib
from typing import Any

from ._version import __version__ as __version__

# The module of each public name. No module may have the name of a function: importing it would replace the function.
_HOME = {
    "PowerSeries": "goursat",
    "FiniteDifference": "goursat",
    "Solver": "goursat",
    "solve_goursat": "goursat",
    "signature_kernel": "signature_kernels",
    "signature_kernel_gram": "signature_kernels",
    "signature_kernel_diag": "signature_kernels",
    "directional_derivative": "signature_kernels",
    "signature_kernel_surface": "surfaces",
    "signature": "signatures",
    "words": "_words",
    "word_index": "_words",
    "weighted_words": "_words",
    "signature_combine": "tensor_algebra",
    "multi_signature_combine": "tensor_algebra",
    "signature_inverse": "tensor_algebra",
    "tensor_log": "tensor_algebra",
    "tensor_exp": "tensor_algebra",
    "log_signature": "log_signatures",
    "lyndon_words": "_words",
    "Path": "intervals",
    "signature_windows": "windows",
    "RunningSignature": "running",
    "SignatureLayer": "layers",
    "LogSignatureLayer": "layers",
    "RandomSignatureFeatures": "random_features",
    "mmd": "two_sample",
    "mmd_test": "two_sample",
    "TwoSampleTest": "two_sample",
    "scoring_rule": "two_sample",
    "expected_scoring_rule": "two_sample",
    "show_versions": "_versions",
    "plot_gram": "plots",
    "plot_surface": "plots",
    "plot_relevance": "plots",
    "plot_predictions": "plots",
}
_MODULES = ("gp", "paths", "static_kernels")

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> Any:  # PEP 562: a name is imported when it is first asked for
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
