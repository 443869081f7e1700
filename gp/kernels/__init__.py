"""GPflow kernels of paths."""

from .deep import DeepSignatureKernel
from .paths import PathKernel, flatten_paths
from .signature import SignatureKernel
from .truncated import TruncatedSignatureKernel

__all__ = ["DeepSignatureKernel", "PathKernel", "SignatureKernel", "TruncatedSignatureKernel", "flatten_paths"]
