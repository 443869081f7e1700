"""Inducing variables for kernels of paths."""

from .orthogonal import OrthogonalSignatureFeatures, unsuitable_kernel

__all__ = ["OrthogonalSignatureFeatures", "unsuitable_kernel"]
