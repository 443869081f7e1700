"""What kernels of paths share: the shape in which paths enter GPflow, their options, scaling and normalization."""

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from check_shapes import check_shape, check_shapes
from gpflow.base import TensorData, TensorType
from gpflow.config import default_float
from gpflow.kernels import Kernel, Linear

from sigkernel_tf import _library
from sigkernel_tf._arguments import as_bool, as_int, check_unmasked
from sigkernel_tf._batches import merged, sizes
from sigkernel_tf._checks import check_no_long_double
from sigkernel_tf._extended_range import Extended, power_of_two
from sigkernel_tf.paths import pad_ragged
from sigkernel_tf.static_kernels import common_offset, offset_of_each

from .._checks import described, positive_parameter
from .points import PointKernel, check_static_kernel, is_linear, is_stationary
from .representation import represented


def flatten_paths(X: Any) -> Any:
    """
    Paths in the shape that GPflow takes, [N, L * D]: first x_1 with all channels, then x_2, and so on.

    Shorter paths are padded on the right with their last value, which changes neither their signature nor their
    kernel. An array gives an array, and a tensor gives a tensor. A row does not say how many channels its path has: the
    kernel that takes it must be made with D, and cannot tell where it was made with another divisor of the width.

    >>> flatten_paths([np.zeros((10, 2)), np.zeros((7, 2))]).shape  # padded to 10 points of 2 channels
    (2, 20)

    :param X: paths [N, L, D] as an array or a tensor, where NaNs after a path's end count as padding, as masked steps
        of a NumPy masked array do; a list of paths [L_i, D]; or a ragged tensor [N, (L_i), D].
    :return: [N, L * D] in GPflow's default float, where L is the largest length.
    :raises ValueError: for another rank, and for a NaN or a masked element inside a path (an InvalidArgumentError where
        X is a tensor).
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
    A kernel of paths on flattened paths [..., N, L * D], k(x, y) = σ² κ(θ x, θ y), with θ = 1 / lengthscales (eq. 15).

    A subclass computes κ of pairs of paths and of a path with itself. X and X2 may differ in width, for paths of
    different lengths can be compared. As in GPflow there may be leading batch dimensions in front of the rows, so an
    array of rank 3 is a batch of sets of flattened paths, and never [N, L, D]; :func:`flatten_paths` takes that.

    ``channels`` are the channels that the kernel sees, so that kernels of different channels can be added and
    multiplied. ``active_dims`` are, as everywhere in GPflow, the columns of X that the kernel sees: those of a
    flattened path, where a row also holds other covariates. As in GPflow, calling the kernel selects these columns,
    whereas ``K`` and ``K_diag`` expect only these columns.
    """

    def __init__(
        self,
        num_channels: int,
        *,
        channels: Sequence[int] | None = None,
        lengthscales: TensorData = 1.0,
        variance: TensorData = 1.0,
        static_kernel: PointKernel | None = None,
        normalize: bool = False,
        active_dims: slice | Sequence[int] | None = None,
        name: str | None = None,
    ) -> None:
        """
        :param num_channels: the number of channels of every path in the data. Rows do not say it, so that a wrong
            number goes unseen where it divides their width.
        :param channels: the D channels that the kernel sees, counted from 0; None: all, D = ``num_channels``.
        :param lengthscales: a scalar is one parameter for all channels, a vector [D] has one for each (ARD). They are
            positive, in the units of the channels.
        :param variance: σ², positive. It multiplies last, after normalizing.
        :param static_kernel: lifts the points of the paths first; None is the linear one. Either a kernel of
            :mod:`gpflow.kernels` on points of D channels, whose parameters are trained too, or a function of
            :mod:`sigkernel_tf.static_kernels` (or one like it), whose parameters ``functools.partial`` fixes.
        :param normalize: whether to divide by sqrt(k(x, x) k(y, y)), so that k(x, x) = σ² for every path. An
            InvalidArgumentError where a coarse solver makes k(x, x) negative.
        :param active_dims: the columns of X that hold the flattened path, a slice or their indices; None: all.
        :raises ValueError: for less than one channel, channels that the paths do not have, lengthscales that are
            neither a scalar nor [D], lengthscales or a variance that are not positive, a number of active columns that
            is no multiple of ``num_channels``, and a static kernel of other channels than the points have.
        :raises TypeError: for a ``num_channels`` that is no integer, ``channels`` that are no sequence of integers,
            lengthscales or a variance that are no numbers, a ``normalize`` that is no bool, and what is no static
            kernel.
        """
        super().__init__(active_dims=active_dims, name=name)
        self.num_channels = as_int(num_channels, "num_channels", 1)
        self.channels = None if channels is None else _checked_channels(channels, self.num_channels)
        self.lengthscales = positive_parameter(lengthscales, "lengthscales")
        shape = self.lengthscales.shape
        if shape not in (tf.TensorShape([]), tf.TensorShape([self.num_channels_seen])):
            count = f"num_channels={self.num_channels}" if channels is None else f"channels={self.channels}"
            raise ValueError(
                f"lengthscales must be a scalar, shared by all channels, or have shape [{self.num_channels_seen}], one "
                f"for each channel ({count}), got shape {shape}."
            )
        if isinstance(self.active_dims, np.ndarray) and len(self.active_dims) % self.num_channels:
            raise ValueError(
                f"active_dims must be the columns of a flattened path, a multiple of num_channels={self.num_channels} "
                f"of them, got {len(self.active_dims)}: to pick channels use channels=, as in channels=[0]."
            )
        self.variance = positive_parameter(variance, "variance")
        self.normalize = as_bool(normalize, "normalize")
        if static_kernel is not None:
            check_static_kernel(static_kernel, self.num_channels_of_points)
        self.static_kernel = static_kernel

    @abc.abstractmethod
    def _gram(self, x: tf.Tensor, y: tf.Tensor | None) -> tf.Tensor:
        """
        κ of scaled paths x [N, L1, D] and y [N2, L2, D]: [N, N2].

        None stands for x and gives exact symmetry. There may then be leading axes: [..., N, N] of [..., N, L, D].
        """

    @abc.abstractmethod
    def _squared_norm(self, x: tf.Tensor) -> tf.Tensor:
        """κ of each scaled path [..., L, D] with itself: [...]."""

    def _extended_gram(self, x: tf.Tensor, y: tf.Tensor | None) -> Extended:
        """``_gram`` where ``normalize`` is set: its numbers may be beyond the largest of the dtype."""
        return Extended.of(self._gram(x, y))

    def _extended_squared_norm(self, x: tf.Tensor) -> Extended:
        """``_squared_norm`` in the same way."""
        return Extended.of(self._squared_norm(x))

    @property
    def num_channels_seen(self) -> int:
        """D, the number of channels that the kernel sees."""
        return self.num_channels if self.channels is None else len(self.channels)

    @property
    def num_channels_of_points(self) -> int:
        """The number of channels of the points that the static kernel sees."""
        return self.num_channels_seen

    @property
    def is_linear(self) -> bool:
        """
        Whether the static kernel is linear, None or a ``gpflow.kernels.Linear``.

        Only then does the kernel have signature features and inducing tensors.
        """
        return is_linear(self.static_kernel)

    def __repr__(self) -> str:
        return represented(self)

    # GPflow's own __call__ demands the same width of X and X2.
    def __call__(
        self, X: TensorType, X2: TensorType | None = None, *, full_cov: bool = True, presliced: bool = False
    ) -> tf.Tensor:
        """
        K(X, X2) of the columns ``active_dims``, or the diagonal of K(X, X) where ``full_cov`` is False.

        :param X: rows [..., N, W] that hold flattened paths in their active columns.
        :param X2: rows [..., N2, W2], whose leading dimensions may be others; None stands for X.
        :param presliced: whether the columns have been selected already.
        :raises ValueError: for a diagonal with X2.
        """
        if not full_cov and X2 is not None:
            raise ValueError("full_cov=False gives the diagonal of K(X, X), got X2 as well: leave X2 out.")
        if not presliced:
            X, X2 = self._active(X, "X"), None if X2 is None else self._active(X2, "X2")
        return self.K(X, X2) if full_cov else self.K_diag(X)

    # The checks of X are our own, for their errors say what to do.
    @check_shapes(
        "return: [batch..., N, batch2..., N2] if X2 is not None",
        "return: [batch..., N, N] if X2 is None",
    )
    def K(self, X: TensorType, X2: TensorType | None = None) -> tf.Tensor:  # noqa: N802  (GPflow's name)
        """
        Covariances of f between paths.

        :param X: flattened paths [..., N, L1 * num_channels].
        :param X2: flattened paths [..., N2, L2 * num_channels], whose leading dimensions may be others; None stands for
            X, and gives matrices symmetric to the last bit, each of a set with itself.
        :raises ValueError: for a rank below 2, and for a width that is no multiple of ``num_channels``. A width that is
            unknown while tracing raises an InvalidArgumentError when the graph runs.
        :raises TypeError: for another dtype than that of the parameters.
        """
        x = check_shape(self._paths(X, "X"), "[batch..., N, L, D]")
        if X2 is None:
            paths = self._scaled(x)[0]
            if not self.normalize:
                return self.variance * self._gram(paths, None)
            k = self._extended_gram(paths, None)
            return self._normalized(k, Extended(*map(tf.linalg.diag_part, k)))
        y = check_shape(self._paths(X2, "X2"), "[batch2..., N2, L2, D]")
        rows, columns = (merged(paths) for paths in self._scaled(x, y))
        if self.normalize:
            norms = (self._extended_squared_norm(paths) for paths in (rows, columns))
            k = self._normalized(self._extended_gram(rows, columns), *norms)
        else:
            k = self.variance * self._gram(rows, columns)
        return tf.reshape(k, sizes(x)[:-2] + sizes(y)[:-2])

    @check_shapes(
        "return: [batch..., N]",
    )
    def K_diag(self, X: TensorType) -> tf.Tensor:  # noqa: N802  (GPflow's name)
        """
        Variances of f at paths: the diagonal of K(X, X).

        :param X: flattened paths [..., N, L * num_channels].
        """
        x = check_shape(self._scaled_paths(X, "X"), "[batch..., N, L, D]")
        if self.normalize:
            return self.variance * tf.ones_like(x[..., 0, 0])
        return self.variance * self._squared_norm(x)

    def _normalized(self, k: Extended, of_rows: Extended, of_columns: Extended | None = None) -> tf.Tensor:
        """
        σ² κ(x, y) / sqrt(κ(x, x) κ(y, y)).

        :param k: κ, [..., N, N2].
        :param of_rows: squared norms [..., N].
        :param of_columns: squared norms [..., N2]; None: those of the rows.
        """
        rows = self._norms(of_rows)
        columns = rows if of_columns is None else self._norms(of_columns)
        # What belongs to both paths is put together first: symmetric to the last bit.
        norms = rows.mantissa[..., :, None] * columns.mantissa[..., None, :]
        exponents = rows.exponent[..., :, None] + columns.exponent[..., None, :]
        return self.variance * (k.mantissa / norms * power_of_two(k.exponent - exponents))

    def _norms(self, squared: Extended) -> Extended:
        """sqrt(κ(x, x)) of paths, from κ(x, x) [..., N]. A solver may have made this negative: an error, here."""
        # NaN, as a GPU returns it for a kernel that overflows, stays NaN. Paths count through all leading dimensions.
        is_bad = tf.reshape(squared.mantissa <= 0, [-1])
        count = tf.size(squared.mantissa)
        is_good = tf.logical_not(tf.reduce_any(is_bad))
        first = tf.reduce_min(tf.where(is_bad, tf.range(count), count))
        message = (
            "normalize=True needs k(x, x) > 0 of every path, which the true kernel has, but the solver was too coarse "
            "or lost its digits. Take solver=PowerSeries() or a higher dyadic_order, make the steps smaller by longer "
            "lengthscales, or use float64. The smallest k(x, x), and the first path without one above 0:"
        )
        smallest = tf.reduce_min(squared.mantissa * power_of_two(squared.exponent))
        with tf.control_dependencies([tf.debugging.Assert(is_good, [message, smallest, first])]):
            return Extended(tf.identity(squared.mantissa), squared.exponent).square_root()

    def _over_norms(self, features: tf.Tensor, squared: Extended) -> tf.Tensor:
        """Features [..., N, M] over the norms of their paths, whose squares are given, [..., N]."""
        norms = self._norms(squared)
        return features / norms.mantissa[..., None] * power_of_two(-norms.exponent)[..., None]

    def _active(self, X: TensorType, name: str) -> tf.Tensor:
        """The active columns of rows X."""
        if isinstance(self.active_dims, slice) and self.active_dims == slice(None):
            return X
        X = self._rows(X, name)
        width = X.shape[-1]
        if isinstance(self.active_dims, np.ndarray) and width is not None and (self.active_dims >= width).any():
            raise ValueError(
                f"active_dims asks for column {self.active_dims.max()} of {name}, got shape {X.shape}: columns count "
                "from 0."
            )
        picked, _ = self.slice(X, None)
        if picked.shape[-1] is not None and (picked.shape[-1] == 0 or picked.shape[-1] % self.num_channels):
            raise ValueError(
                f"active_dims={self.active_dims} picks {picked.shape[-1]} of the {width} columns of {name}, expected a "
                f"positive multiple of num_channels={self.num_channels}: those of a flattened path."
            )
        return picked

    def _scaled_paths(self, X: TensorType, name: str) -> tf.Tensor:
        """The paths θ X [..., L, D] (eq. 15) of flattened paths [..., L * num_channels]."""
        return self._scaled(self._paths(X, name))[0]

    def _paths(self, X: TensorType, name: str) -> tf.Tensor:
        """The paths [..., L, D] of flattened paths [..., L * num_channels]."""
        flat = self._rows(X, name)
        width = flat.shape[-1]
        advice = (
            f"the width of {name} must be a positive multiple of num_channels={self.num_channels} (L * num_channels "
            "columns, as flatten_paths makes them)"
        )
        if width is None:
            width = tf.shape(flat)[-1]
            is_multiple = tf.logical_and(width > 0, width % self.num_channels == 0)
            with tf.control_dependencies([tf.debugging.Assert(is_multiple, [advice + "; its shape:", tf.shape(flat)])]):
                flat = tf.identity(flat)
        elif width == 0 or width % self.num_channels:
            raise ValueError(f"{advice}, got shape {flat.shape}.")
        # The length is written out: reshape cannot infer it for an empty batch.
        paths = tf.reshape(flat, [*sizes(flat)[:-1], width // self.num_channels, self.num_channels])
        if self.channels is not None:
            paths = tf.gather(paths, self.channels, axis=-1)
        return paths

    def _scaled(self, *paths: tf.Tensor) -> list[tf.Tensor]:
        """Several sets of paths [..., L, D], moved towards 0 as far as the kernel does not see it, and scaled."""
        return [self._scaled_vectors(each) for each in self._moved(*paths)]

    def _moved(self, *paths: tf.Tensor) -> list[tf.Tensor]:
        """Several sets of paths [..., L, D], moved towards 0 as far as a kernel of increments does not see."""
        if self.is_linear:
            return [each - offset_of_each(each) for each in paths]
        if is_stationary(self.static_kernel):
            offset = common_offset(*paths)
            return [each - offset for each in paths]
        return list(paths)

    def _scaled_vectors(self, vectors: tf.Tensor) -> tf.Tensor:
        """Vectors [..., D] over the lengthscales, times the square root of a linear static kernel's variance."""
        return self._of_linear(vectors / self.lengthscales)

    def _of_linear(self, vectors: tf.Tensor) -> tf.Tensor:
        """Vectors times the square root of a linear static kernel's variance; as they are for any other."""
        if self.is_linear and isinstance(self.static_kernel, Linear):
            vectors *= tf.sqrt(self.static_kernel.variance)
        return vectors

    def _linear_paths(self, X: TensorType) -> tf.Tensor:
        """The scaled paths [..., L, D] in the active columns of X, for what only a linear static kernel has."""
        self._check_linear()
        return self._scaled_paths(self._active(X, "X"), "X")

    def _check_linear(self) -> None:
        if not self.is_linear:
            raise TypeError(
                "signature features and inducing tensors exist only for the linear static kernel, got "
                f"static_kernel={described(self.static_kernel)}: take static_kernel=None."
            )

    def _rows(self, X: TensorType, name: str) -> tf.Tensor:
        """X as a tensor of rank 2 or more and of the parameters' dtype, which lists of numbers are given."""
        _library.check_process()  # kernels in TensorFlow's own operations would hang, too
        check_no_long_double(X, name)
        check_unmasked(X, name, "flatten_paths takes masked steps at the end of a path as padding; fill others in")
        X = tf.convert_to_tensor(X, self.lengthscales.dtype if isinstance(X, (list, tuple)) else None)
        if X.dtype != self.lengthscales.dtype:
            raise TypeError(
                f"{name} must have the kernel parameters' dtype, {self.lengthscales.dtype.name}, got {X.dtype.name}: "
                "flatten_paths gives GPflow's default float; or cast it with tf.cast."
            )
        if X.shape.rank is None:
            return tf.ensure_shape(X, [None, None])
        if X.shape.rank < 2:
            raise ValueError(
                f"{name} must be flattened paths of rank 2 or more, (..., paths, time steps * channels), got shape "
                f"{X.shape}: use flatten_paths({name}); a single row takes {name}[None]."
            )
        return X


def _checked_channels(channels: Any, num_channels: int) -> tuple[int, ...]:
    """``channels`` as integers, of ``num_channels``."""
    if isinstance(channels, str) or not isinstance(channels, (Sequence, np.ndarray)):
        raise TypeError(f"channels must be a sequence of integers, got {channels!r}: for instance channels=[0, 2].")
    for channel in channels:
        if isinstance(channel, (bool, np.bool_)) or not isinstance(channel, (int, np.integer)):
            raise TypeError(f"channels must be integers, got {channel!r} in {channels!r}: for instance [0, 2].")
    found = tuple(int(channel) for channel in channels)
    if not found or len(set(found)) < len(found) or not all(0 <= channel < num_channels for channel in found):
        raise ValueError(
            f"channels must be one or more different channels from 0 to {num_channels - 1} "
            f"(num_channels={num_channels}), got {found}."
        )
    return found
