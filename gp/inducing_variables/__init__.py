"""Inducing variables for kernels of paths."""

from .orthogonal import (
    OrthogonalSignatureFeatures,
    has_orthogonal_features,
    latent_kernels,
    num_features,
    unsuitable_kernel,
)
from .sequences import InducingSequences
from .tensors import InducingTensors

__all__ = [
    "InducingSequences",
    "InducingTensors",
    "OrthogonalSignatureFeatures",
    "has_orthogonal_features",
    "latent_kernels",
    "num_features",
    "unsuitable_kernel",
]
