"""What kernels of paths share: the shape in which paths enter GPflow, their scaling and normalizing."""

import abc
from typing import Any

import numpy as np
import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import Parameter, TensorData, TensorType
from gpflow.config import default_float
from gpflow.kernels import Kernel
from gpflow.utilities import positive

from sigkernel_tf.paths import pad_ragged

from .._checks import as_positive_int


def flatten_paths(X: Any) -> Any:
    """
    Paths in the shape GPflow takes, [N, L * D]: time-major, x_1 (all channels), x_2, and so on.

    Shorter paths are padded on the right with their last value, which changes neither their signature nor their
    kernel. NumPy in, NumPy out; a tensor in, a tensor out.

    :param X: paths [N, L, D] as an array or a tensor, where NaNs after a path's end count as padding; a list of paths
        [L_i, D]; or a ragged tensor [N, (L_i), D].
    :return: [N, L * D] in GPflow's default float, L the largest length.
    :raises ValueError: for what :func:`sigkernel_tf.paths.pad_ragged` refuses: another rank, a NaN inside a path (an
        InvalidArgumentError where X is a tensor).
    """
    padded = pad_ragged(X)
    if isinstance(padded, np.ndarray):
        return padded.reshape(padded.shape[0], padded.shape[1] * padded.shape[2]).astype(default_float())
    num_paths, length, num_channels = (
        tf.shape(padded)[axis] if size is None else size for axis, size in enumerate(padded.shape)
    )
    return tf.cast(tf.reshape(padded, [num_paths, length * num_channels]), default_float())


class PathKernel(Kernel, metaclass=abc.ABCMeta):
    r"""
    A kernel of paths on flattened paths [N, L * D], k(x, y) = σ² κ(θ x, θ y), with θ = 1 / lengthscales (eq. 15).

    A subclass gives κ of pairs and of a path with itself. X and X2 may differ in width: paths of any length have a
    kernel with one another. There is no ``active_dims``: columns are points in time of all channels together. Choose
    channels before :func:`flatten_paths`.
    """

    def __init__(
        self,
        num_channels: int,
        *,
        lengthscales: TensorData = 1.0,
        variance: TensorData = 1.0,
        normalize: bool = False,
        name: str | None = None,
    ) -> None:
        """
        :param num_channels: D, the number of channels of every path.
        :param lengthscales: a scalar is one parameter for all channels, a vector [D] has one for each (ARD); positive,
            in the channels' units.
        :param variance: σ², multiplies last, after normalizing; positive.
        :param normalize: divide by sqrt(k(x, x) k(y, y)), so that k(x, x) = σ² for every path.
        :raises ValueError: for no channels, and for lengthscales that are neither a scalar nor [D].
        :raises TypeError: for a ``num_channels`` that is no integer.
        """
        super().__init__(name=name)
        self.num_channels = as_positive_int(num_channels, "num_channels")
        self.lengthscales = Parameter(lengthscales, transform=positive())
        shape = self.lengthscales.shape
        if shape not in (tf.TensorShape([]), tf.TensorShape([self.num_channels])):
            raise ValueError(
                f"lengthscales must be a scalar, shared by all channels, or have shape [{self.num_channels}], one for "
                f"each channel (num_channels={self.num_channels}), got shape {shape}."
            )
        self.variance = Parameter(variance, transform=positive())
        self.normalize = normalize

    @abc.abstractmethod
    def _gram(self, x: tf.Tensor, y: tf.Tensor | None) -> tf.Tensor:
        """κ of scaled paths x [N, L1, D] and y [N2, L2, D]: [N, N2]; None stands for x, and gives symmetry exactly."""

    @abc.abstractmethod
    def _squared_norm(self, x: tf.Tensor) -> tf.Tensor:
        """κ of each scaled path [N, L, D] with itself: [N]."""

    @property
    def active_dims(self) -> slice:
        """All columns, always."""
        return slice(None)

    @active_dims.setter
    def active_dims(self, value: Any) -> None:
        raise ValueError(
            f"active_dims cannot be set for {type(self).__name__}, got {value!r}: columns of a flattened path are "
            "points in time, not channels. Select channels before flatten_paths, as in flatten_paths(X[..., channels])."
        )

    # GPflow's own __call__ asks for X and X2 of one width.
    def __call__(
        self, X: TensorType, X2: TensorType | None = None, *, full_cov: bool = True, presliced: bool = False
    ) -> tf.Tensor:
        """
        K(X, X2), or the diagonal of K(X, X) where not ``full_cov``; ``presliced`` is GPflow's and changes nothing here.

        :raises ValueError: for a diagonal with X2.
        """
        if full_cov:
            return self.K(X, X2)
        if X2 is not None:
            raise ValueError("full_cov=False gives the diagonal for X alone, got X2 as well: leave X2 out.")
        return self.K_diag(X)

    @check_shapes(
        "X: [N, ...]",
        "X2: [N2, ...]",
        "return: [N, N2] if X2 is not None",
        "return: [N, N] if X2 is None",
    )
    def K(self, X: TensorType, X2: TensorType | None = None) -> tf.Tensor:  # noqa: N802  (GPflow's name)
        """
        Covariances of f between paths.

        :param X: flattened paths [N, L1 * D].
        :param X2: flattened paths [N2, L2 * D]; None stands for X, and gives a matrix symmetric to the last bit.
        :raises ValueError: for another rank, and a width that is no multiple of D, where known; else the
            InvalidArgumentError of running it.
        :raises TypeError: for another dtype than the parameters'.
        """
        x = self._scaled_paths(X, "X")
        y = None if X2 is None else self._scaled_paths(X2, "X2")
        k = self._gram(x, y)
        if not self.normalize:
            return self.variance * k
        if y is None:
            return self._normalized(k, tf.linalg.diag_part(k))
        return self._normalized(k, self._squared_norm(x), self._squared_norm(y))

    @check_shapes(
        "X: [N, ...]",
        "return: [N]",
    )
    def K_diag(self, X: TensorType) -> tf.Tensor:  # noqa: N802  (GPflow's name)
        """
        Variances of f at paths: the diagonal of K(X, X).

        :param X: flattened paths [N, L * D].
        """
        x = self._scaled_paths(X, "X")
        if self.normalize:
            return self.variance * tf.ones_like(x[:, 0, 0])
        return self.variance * self._squared_norm(x)

    def _normalized(self, k: tf.Tensor, of_rows: tf.Tensor, of_columns: tf.Tensor | None = None) -> tf.Tensor:
        """σ² κ(x, y) / sqrt(κ(x, x) κ(y, y)), of κ [N, N2] and both squared norms [N] and [N2], None for the same."""
        rows = tf.sqrt(of_rows)
        columns = rows if of_columns is None else tf.sqrt(of_columns)
        return self.variance * (k / (rows[:, None] * columns[None, :]))  # the norms first: symmetric to the last bit

    def _scaled_paths(self, X: TensorType, name: str) -> tf.Tensor:
        """The paths θ X [N, L, D] (eq. 15) of flattened paths [N, L * D]."""
        flat = self._flat_paths(X, name)
        width = flat.shape[1]
        advice = (
            f"the width of {name} must be a positive multiple of num_channels={self.num_channels} (L * D columns, "
            "as flatten_paths makes them)"
        )
        if width is None:
            width = tf.shape(flat)[1]
            is_multiple = tf.logical_and(width > 0, width % self.num_channels == 0)
            with tf.control_dependencies([tf.debugging.Assert(is_multiple, [advice + "; its shape:", tf.shape(flat)])]):
                flat = tf.identity(flat)
        elif width == 0 or width % self.num_channels:
            raise ValueError(f"{advice}, got shape {flat.shape}.")
        # The length is written out: reshape cannot infer it for an empty batch.
        num_paths = tf.shape(flat)[0] if flat.shape[0] is None else flat.shape[0]
        paths = tf.reshape(flat, [num_paths, width // self.num_channels, self.num_channels])
        return paths / self.lengthscales

    def _flat_paths(self, X: TensorType, name: str) -> tf.Tensor:
        """X as a tensor of rank 2 and of the parameters' dtype."""
        X = tf.convert_to_tensor(X)
        if X.dtype != self.lengthscales.dtype:
            raise TypeError(
                f"{name} must have the kernel parameters' dtype, {self.lengthscales.dtype.name}, got {X.dtype.name}: "
                "flatten_paths gives GPflow's default float; or cast it with tf.cast."
            )
        if X.shape.rank is None:
            return tf.ensure_shape(X, [None, None])
        if X.shape.rank != 2:
            raise ValueError(
                f"{name} must be flattened paths of rank 2, (paths, time steps * channels), got shape {X.shape}: "
                "use flatten_paths(X)."
            )
        return X
