"""Inducing sequences, the inducing variables of GPSig-IS."""

from typing import Any

import numpy as np
import tensorflow as tf
from check_shapes import Shape
from gpflow.base import Parameter, TensorData
from gpflow.config import default_float
from gpflow.inducing_variables import InducingVariables

from sigkernel_tf._arguments import as_int, check_unmasked

from .._checks import described
from ..kernels import PathKernel
from .from_data import drawn_paths


class InducingSequences(InducingVariables):
    r"""
    Values of the process at M short sequences, which are parameters: inducing points for kernels of paths.

    They are the inducing variables of GPSig-IS (Toth & Oberhauser 2020), whose kernel is
    :class:`~sigkernel_tf.gp.TruncatedSignatureKernel`; :class:`~sigkernel_tf.gp.SignatureKernel` works as well. Kuu
    and Kuf hold the kernel of the sequences with one another and with the data. Kuu is a dense matrix, which GPflow
    factorises as usual.

    The cost is that of evaluating the kernel on M² and M N pairs. By sums over index tuples it is GPSig's, over the
    cells of each pair of paths. Where the kernel computes explicit signatures, it is one signature for each sequence
    and path, and matrix products over the words.
    """

    def __init__(self, Z: TensorData, *, name: str | None = None) -> None:
        """
        :param Z: [M, length, num_channels], with all channels of the data; GPSig's experiments have length 5.
        :raises ValueError: for another rank, and for empty sequences.
        """
        super().__init__(name=name)
        check_unmasked(Z, "Z")
        if not isinstance(Z, (tf.Variable, Parameter)):
            Z = Parameter(Z)
        shape = tf.TensorShape(Z.shape)
        if shape.rank != 3 or not all(shape):
            raise ValueError(
                f"Z must have shape [M, length, D], with sizes that are positive and known in advance, got {shape}: "
                "InducingSequences.from_data(X, M, kernel) makes them from data."
            )
        self.Z = Z

    @classmethod
    def from_data(
        cls,
        X: Any,
        num_inducing: int,
        kernel: PathKernel,
        *,
        length: int = 5,
        seed: int = 0,
        name: str | None = None,
    ) -> "InducingSequences":
        """
        Sequences cut from the data: from each of M random paths, ``length`` consecutive points at a random place.

        A path that is shorter is taken whole, and padded with its last value.

        :param X: rows with flattened paths in the kernel's active columns, or paths as
            :func:`~sigkernel_tf.gp.flatten_paths` takes them.
        :param num_inducing: M.
        :param kernel: the kernel of the model; its number of channels is used.
        :param length: the number of points in a sequence, at least 2.
        :param seed: decides the draws.
        :raises ValueError: for data that do not fit the kernel, for data in which no path moves, and for a length of 1.
        :raises TypeError: for a kernel that is not a kernel of paths.
        """
        num_inducing, length = as_int(num_inducing, "num_inducing", 1), as_int(length, "length", 1)
        if length == 1:
            raise ValueError("length must be at least 2, got 1: the kernel of a path of one point is constant.")
        if not isinstance(kernel, PathKernel):
            raise unsuitable_for_sequences(kernel)
        rng = np.random.default_rng(seed)
        Z = []
        for path in drawn_paths(X, num_inducing, kernel, rng):
            start = rng.integers(max(len(path) - length, 0) + 1)
            stretch = path[start : start + length]
            Z.append(np.concatenate([stretch, np.repeat(stretch[-1:], length - len(stretch), axis=0)]))
        return cls(np.stack(Z).astype(default_float()), name=name)

    @property
    def num_inducing(self) -> int:
        """M."""
        return self.Z.shape[0]

    @property
    def shape(self) -> Shape:
        """[M, ., 1]: the width is left open, for sequences serve paths of any length."""
        return (self.num_inducing, None, 1)

    def flat(self, kernel: PathKernel) -> tf.Tensor:
        """
        The sequences as the kernel takes them, [M, length * num_channels].

        :raises ValueError: where the sequences have another number of channels than the kernel.
        """
        num_inducing, length, num_channels = self.Z.shape
        if num_channels != kernel.num_channels:
            raise ValueError(
                f"InducingSequences must have the kernel's num_channels, {kernel.num_channels}, got {num_channels} "
                f"(Z of shape {self.Z.shape}): InducingSequences.from_data(X, M, kernel) makes fitting ones."
            )
        return tf.reshape(self.Z, [num_inducing, length * num_channels])


def unsuitable_for_sequences(kernel: Any) -> TypeError:
    """The error for inducing sequences with a kernel that is not a kernel of paths."""
    return TypeError(
        "InducingSequences are for kernels of paths, TruncatedSignatureKernel or SignatureKernel, got the kernel "
        f"{described(kernel)}: take one of these by itself, or keep this kernel and take GPflow's InducingPoints on "
        "flattened paths; for several outputs wrap both, in gpflow.kernels.SharedIndependent and "
        "gpflow.inducing_variables.SharedIndependentInducingVariables, or take num_latent_gps."
    )
