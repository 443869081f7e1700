"""Inducing tensors, those of GPSig-IT."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
from check_shapes import Shape
from gpflow.base import Parameter, TensorData
from gpflow.config import default_float
from gpflow.inducing_variables import InducingVariables

from .._checks import as_positive_int
from ..kernels import TruncatedSignatureKernel, flatten_paths
from ..kernels.rank_one import vectors_of_levels
from .from_data import described, drawn_paths

_PATHS_FOR_NORMS = 20  # of which the norms of the levels are taken


class InducingTensors(InducingVariables):
    r"""
    Projections of the process on tensors of rank one, for :class:`~sigkernel_tf.gp.TruncatedSignatureKernel`.

    The inducing variables of GPSig-IT (Toth & Oberhauser 2020). Each has level 0 equal to 1 and for each level
    k = 1, ..., n a tensor z_k = z_k1 ⊗ ... ⊗ z_kk, whose vectors are parameters; they are in the units of paths and
    scaled by the kernel's lengthscales as these are, over the D channels that the kernel sees. Then
    Kuu = σ² Σ_k w_k Π_i ⟨z_ki, z'_ki⟩ and Kuf = σ² Σ_k w_k ⟨z_k, S_k(x)⟩, a dense matrix with an inverse, GPflow's
    ordinary one.

    Kuu costs O(n² M² D) and Kuf O(n² N M L D) by the sums over index tuples that never form a tensor. Where the kernel
    takes explicit signatures (see there), tensors are written out too, and both become matrix products over the words.
    """

    def __init__(self, Z: TensorData, *, name: str | None = None) -> None:
        """
        :param Z: [M, n (n + 1) / 2, D], the vectors level after level: z_11, z_21, z_22, z_31, and so on.
        :raises ValueError: for another rank, and a number of vectors that no depth has.
        """
        super().__init__(name=name)
        if not isinstance(Z, (tf.Variable, Parameter)):
            Z = Parameter(Z)
        shape = tf.TensorShape(Z.shape)
        if shape.rank != 3 or not shape[0] or not shape[2]:
            raise ValueError(
                "Z must have shape [M, depth * (depth + 1) / 2, D], all of them positive and in advance known, got "
                f"{shape}: InducingTensors.from_data(X, M, kernel) makes them from data."
            )
        self._depth = (math.isqrt(8 * shape[1] + 1) - 1) // 2
        if not shape[1] or self._depth * (self._depth + 1) // 2 != shape[1]:
            raise ValueError(
                f"Z must hold depth * (depth + 1) / 2 vectors an element, 1, 3, 6, 10, ..., got {shape[1]} "
                f"(shape {shape}): k for each level k."
            )
        self.Z = Z

    @classmethod
    def from_data(
        cls, X: Any, num_inducing: int, kernel: TruncatedSignatureKernel, *, seed: int = 0, name: str | None = None
    ) -> "InducingTensors":
        r"""
        Tensors made of increments of the data.

        Each element takes a path of its own at random; level k has k of its increments, in the order in which the path
        has them, at sorted times drawn uniformly of those at which it moves. Each level is scaled to the norm that the
        paths' own have, \|θ z_k\| = \|S_k(θ x)\| in the mean square of some paths, by the kernel's lengthscales as they
        are: so Kuu is of the size of Kff, whatever the length of the paths.

        :param X: rows with flattened paths in the kernel's active columns, or paths as
            :func:`~sigkernel_tf.gp.flatten_paths` takes them.
        :param num_inducing: M.
        :param kernel: whose depth, number of channels, discretization order and lengthscales count.
        :param seed: decides the draws.
        :raises ValueError: for data that do not fit the kernel, and data without a path that moves.
        :raises TypeError: for another kernel.
        """
        num_inducing = as_positive_int(num_inducing, "num_inducing")
        if not isinstance(kernel, TruncatedSignatureKernel) or not kernel.is_linear:
            raise unsuitable_for_tensors(kernel)
        rng = np.random.default_rng(seed)
        paths = list(drawn_paths(X, num_inducing, kernel, rng))
        elements = []
        for path in paths:
            dx = np.diff(path if kernel.channels is None else path[:, kernel.channels], axis=0)
            dx = dx[dx.any(axis=1)] if dx.any() else dx
            levels = range(1, kernel.depth + 1)
            elements.append([vector for level in levels for vector in dx[np.sort(rng.integers(len(dx), size=level))]])
        Z: np.ndarray = np.array(elements, default_float())
        norms = np.sqrt(np.mean(kernel.level_norms(flatten_paths(paths[:_PATHS_FOR_NORMS])).numpy() ** 2, axis=0))
        return cls(Z * _factors(Z, norms[1:], kernel), name=name)

    @property
    def num_inducing(self) -> int:
        """M."""
        return self.Z.shape[0]

    @property
    def depth(self) -> int:
        """n, the last level."""
        return self._depth

    @property
    def shape(self) -> Shape:
        """[M, ., 1]: tensors serve paths of any length."""
        return (self.num_inducing, None, 1)


def _factors(Z: np.ndarray, norms: np.ndarray, kernel: TruncatedSignatureKernel) -> np.ndarray:
    """By what to multiply each vector so that levels have these norms [n], where neither norm is 0: [M, K, 1]."""
    factors = []
    for norm, vectors in zip(norms, vectors_of_levels(kernel.scaled_tensors(Z), kernel.depth), strict=True):
        own = np.prod(np.linalg.norm(np.stack(vectors, axis=1), axis=2), axis=1, keepdims=True)  # [M, 1]
        factor = np.where((own > 0) & (norm > 0), norm / np.where(own > 0, own, 1), 1) ** (1 / len(vectors))
        factors += [factor] * len(vectors)
    return np.stack(factors, axis=1)


def check_tensors(inducing_variable: InducingTensors, kernel: TruncatedSignatureKernel) -> None:
    """
    :raises TypeError: where the kernel's static kernel is not linear.
    :raises ValueError: where the tensors are not of the kernel's depth and number of channels.
    """
    if not kernel.is_linear:
        raise unsuitable_for_tensors(kernel)
    found, expected = (inducing_variable.depth, inducing_variable.Z.shape[2]), (kernel.depth, kernel.num_channels_seen)
    if found != expected:
        raise ValueError(
            f"InducingTensors must have the kernel's depth and number of channels, {expected}, got {found}: "
            "InducingTensors.from_data(X, M, kernel) makes fitting ones."
        )


def unsuitable_for_tensors(kernel: Any) -> TypeError:
    """The error for inducing tensors with another kernel than the truncated signature kernel."""
    cure = (
        "take TruncatedSignatureKernel by itself; for SignatureKernel take OrthogonalSignatureFeatures or "
        "InducingSequences; for several outputs wrap both, in gpflow.kernels.SharedIndependent and "
        "gpflow.inducing_variables.SharedIndependentInducingVariables, or take num_latent_gps"
    )
    if isinstance(kernel, TruncatedSignatureKernel):
        cure = "leave static_kernel out, or keep it and take InducingSequences"
    return TypeError(
        f"InducingTensors are for TruncatedSignatureKernel with a linear static kernel alone, got the kernel "
        f"{described(kernel)}: {cure}."
    )
