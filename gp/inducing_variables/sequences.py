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
from .from_data import different, drawn_series, largest_conditional_variance, nearest_to_centroids

_METHODS = ("random", "kmeans", "conditional_variance")


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

    >>> kernel = SignatureKernel(2)
    >>> Z = InducingSequences.from_data(rows, 5, kernel, length=None)  # five of the series
    >>> sparse = gpflow.models.SVGP(kernel, gpflow.likelihoods.Bernoulli(), Z)
    >>> sparse.predict_f(rows)[0].shape
    TensorShape([20, 1])
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
        method: str = "random",
        length: int | None = 5,
        seed: int = 0,
        name: str | None = None,
    ) -> "InducingSequences":
        """
        Sequences from the data: stretches of ``length`` consecutive points, or whole series.

        A stretch is cut at a random place from a random path that moves; a path that is shorter is taken whole, and
        padded with its last value. Which of the stretches or series are taken depends on ``method``:

        * ``"random"``: M at random;
        * ``"kmeans"``: of one stretch of each path, or of all series, those nearest to the centroids of k-means. They
          cover the data evenly;
        * ``"conditional_variance"``: of these, those that leave least of the process unknown, chosen one after the
          other (Burt et al. 2020). It needs the kernel on N M pairs and some more, as a model's Kuf does, and as many
          numbers of memory; and it depends on the kernel's parameters.

        All sequences are different, unless there are fewer than M different ones. Then all of these are taken, and
        again in turn until there are M. That costs time but does no harm: GPflow's jitter and
        :func:`~sigkernel_tf.gp.fit_least_squares` allow for the singular Kuu.

        :param X: rows with flattened paths in the kernel's active columns, or paths as
            :func:`~sigkernel_tf.gp.flatten_paths` takes them.
        :param num_inducing: M.
        :param kernel: the kernel of the model; its number of channels is used.
        :param method: ``"random"``, ``"kmeans"`` or ``"conditional_variance"``.
        :param length: the number of points in a stretch, at least 2. None: whole series, padded with their last value
            to the length of the longest.
        :param seed: decides the draws.
        :raises ValueError: for data that do not fit the kernel, for data in which no path moves, for a length of 1, and
            for another method.
        :raises TypeError: for a kernel that is not a kernel of paths.
        """
        num_inducing = as_int(num_inducing, "num_inducing", 1)
        length = None if length is None else as_int(length, "length", 1)
        if length == 1:
            raise ValueError("length must be at least 2, got 1: the kernel of a path of one point is constant.")
        if method not in _METHODS:
            raise ValueError(f'method must be one of {", ".join(map(repr, _METHODS))}, got {method!r}: take "random".')
        if not isinstance(kernel, PathKernel):
            raise unsuitable_for_sequences(kernel)
        rng = np.random.default_rng(seed)
        # Twice M, in case that the first M stretches are not all different.
        drawn = drawn_series(X, 2 * num_inducing, kernel, length, rng)
        series: np.ndarray = different(drawn, num_inducing if method == "random" else None).astype(default_float())
        count = min(num_inducing, len(series))
        if method == "kmeans":
            series = series[nearest_to_centroids(series, count, seed)]
        elif method == "conditional_variance":
            series = series[largest_conditional_variance(series, count, kernel)]
        return cls(series[np.arange(num_inducing) % count], name=name)

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
