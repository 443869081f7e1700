"""Inducing variables for kernels of paths."""

from .orthogonal import (
    OrthogonalSignatureFeatures,
    has_orthogonal_features,
    latent_kernels,
    num_features,
    unsuitable_kernel,
)

__all__ = [
    "OrthogonalSignatureFeatures",
    "has_orthogonal_features",
    "latent_kernels",
    "num_features",
    "unsuitable_kernel",
]
