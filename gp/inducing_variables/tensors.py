"""Inducing tensors, the inducing variables of GPSig-IT."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
from check_shapes import Shape
from gpflow.base import Parameter, TensorData
from gpflow.config import default_float
from gpflow.inducing_variables import InducingVariables

from sigkernel_tf._arguments import as_int, check_unmasked

from .._checks import described
from ..kernels import TruncatedSignatureKernel, flatten_paths
from ..kernels.rank_one import vectors_of_levels
from .from_data import drawn_paths

_PATHS_FOR_NORMS = 20  # the number of paths over which the norms of the levels are averaged


class InducingTensors(InducingVariables):
    r"""
    Projections of the process on tensors of rank one, for :class:`~sigkernel_tf.gp.TruncatedSignatureKernel`.

    They are the inducing variables of GPSig-IT (Toth & Oberhauser 2020). Each consists of a 1 at level 0 and, for each
    level k = 1, ..., n, a tensor z_k = z_k1 ⊗ ... ⊗ z_kk whose vectors are parameters. The vectors are in the units of
    the paths, over the D channels that the kernel sees, and the kernel's lengthscales scale them as they scale the
    paths. Then Kuu = σ² Σ_k w_k Π_i ⟨z_ki, z'_ki⟩ and Kuf = σ² Σ_k w_k ⟨z_k, S_k(x)⟩. Kuu is a dense matrix, which
    GPflow factorises as usual.

    By sums over index tuples, which never form a tensor, Kuu costs O(n² M² D) and Kuf O(n² N M L D). Where the kernel
    computes explicit signatures (see there), the tensors are written out too, and both become matrix products over the
    words.

    >>> kernel = TruncatedSignatureKernel(2, depth=3, discretization_order=1)
    >>> sparse = gpflow.models.SVGP(kernel, gpflow.likelihoods.Bernoulli(), InducingTensors.from_data(rows, 5, kernel))
    >>> sparse.predict_f(rows)[0].shape
    TensorShape([20, 1])
    """

    def __init__(self, Z: TensorData, *, name: str | None = None) -> None:
        """
        :param Z: [M, n (n + 1) / 2, D], the vectors level after level: z_11, z_21, z_22, z_31, and so on.
        :raises ValueError: for another rank, and for a number of vectors that fits no depth.
        """
        super().__init__(name=name)
        check_unmasked(Z, "Z")
        if not isinstance(Z, (tf.Variable, Parameter)):
            Z = Parameter(Z)
        shape = tf.TensorShape(Z.shape)
        if shape.rank != 3 or not shape[0] or not shape[2]:
            raise ValueError(
                "Z must have shape [M, depth * (depth + 1) / 2, D], with sizes that are positive and known in advance, "
                f"got {shape}: InducingTensors.from_data(X, M, kernel) makes them from data."
            )
        self._depth = (math.isqrt(8 * shape[1] + 1) - 1) // 2
        if not shape[1] or self._depth * (self._depth + 1) // 2 != shape[1]:
            raise ValueError(
                f"Z must hold depth * (depth + 1) / 2 vectors for each tensor, 1, 3, 6, 10, ..., got {shape[1]} "
                f"(shape {shape}): give k vectors for each level k."
            )
        self.Z = Z

    @classmethod
    def from_data(
        cls, X: Any, num_inducing: int, kernel: TruncatedSignatureKernel, *, seed: int = 0, name: str | None = None
    ) -> "InducingTensors":
        r"""
        Tensors made of increments of the data.

        Each inducing variable takes a random path. Its level k consists of k increments of this path, at times drawn
        uniformly from those at which the path moves, in their order. Each level is then scaled to the norm that it has
        in the data: \|θ z_k\| is the root mean square of \|S_k(θ x)\| over some paths, with the kernel's present
        lengthscales. So Kuu is about as large as Kff, whatever the length of the paths.

        :param X: rows with flattened paths in the kernel's active columns, or paths as
            :func:`~sigkernel_tf.gp.flatten_paths` takes them.
        :param num_inducing: M.
        :param kernel: the kernel of the model; its depth, number of channels, discretization order and lengthscales are
            used.
        :param seed: decides the draws.
        :raises ValueError: for data that do not fit the kernel, and for data in which no path moves.
        :raises TypeError: for another kernel.
        """
        num_inducing = as_int(num_inducing, "num_inducing", 1)
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
        """[M, ., 1]: the width is left open, for tensors serve paths of any length."""
        return (self.num_inducing, None, 1)


def _factors(Z: np.ndarray, norms: np.ndarray, kernel: TruncatedSignatureKernel) -> np.ndarray:
    """The factor of each vector, [M, K, 1], that gives the levels these norms [n]; 1 where a norm is 0."""
    factors = []
    for norm, vectors in zip(norms, vectors_of_levels(kernel.scaled_tensors(Z), kernel.depth), strict=True):
        own = np.prod(np.linalg.norm(np.stack(vectors, axis=1), axis=2), axis=1, keepdims=True)  # [M, 1]
        factor = np.where((own > 0) & (norm > 0), norm / np.where(own > 0, own, 1), 1) ** (1 / len(vectors))
        factors += [factor] * len(vectors)
    return np.stack(factors, axis=1)


def check_tensors(inducing_variable: InducingTensors, kernel: TruncatedSignatureKernel) -> None:
    """
    :raises TypeError: where the static kernel is not linear.
    :raises ValueError: where the tensors have another depth or number of channels than the kernel.
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
        "InducingTensors are only for TruncatedSignatureKernel with a linear static kernel, got the kernel "
        f"{described(kernel)}: {cure}."
    )
