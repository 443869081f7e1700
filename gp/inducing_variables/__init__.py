"""Inducing variables for kernels of paths."""

from .orthogonal import OrthogonalSignatureFeatures, unsuitable_kernel
from .sequences import InducingSequences
from .tensors import InducingTensors

__all__ = ["InducingSequences", "InducingTensors", "OrthogonalSignatureFeatures", "unsuitable_kernel"]
