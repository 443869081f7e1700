"""GPflow kernels of paths."""

from .paths import PathKernel, flatten_paths
from .signature import SignatureKernel

__all__ = ["PathKernel", "SignatureKernel", "flatten_paths"]
