"""GPflow kernels of paths."""

from .paths import PathKernel, flatten_paths
from .signature import SignatureKernel
from .truncated import TruncatedSignatureKernel

__all__ = ["PathKernel", "SignatureKernel", "TruncatedSignatureKernel", "flatten_paths"]
