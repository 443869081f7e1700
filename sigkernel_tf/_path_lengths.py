"""How many points of a path count, what each counts where they are not differenced, and windows of them."""

import dataclasses
from typing import Any

import tensorflow as tf

from . import _batches
from ._arguments import as_bool
from .goursat import size_of
from .static_kernels import double_differences

Lengths = tuple[tf.Tensor, tf.Tensor] | None  # how many points of each path of X and Y count, [...], int32


def lengths_of(X: tf.Tensor, Y: tf.Tensor, difference: bool) -> Lengths:
    """How many points of paths [..., L, D] count, up to each path's last change; None where they are differenced."""
    if as_bool(difference, "difference"):
        return None
    lengths = points_up_to_last_change(X)
    return lengths, lengths if Y is X else points_up_to_last_change(Y)


def points_up_to_last_change(paths: tf.Tensor) -> tf.Tensor:
    """The number of points of each path [..., L, D] up to its last change, at least 1: [...], int32."""
    changes = tf.reduce_any(tf.not_equal(paths[..., 1:, :], paths[..., :-1, :]), axis=-1)
    numbers = tf.range(2, tf.shape(changes)[-1] + 2)
    return tf.maximum(tf.reduce_max(tf.where(changes, numbers, 1), axis=-1), 1)


@dataclasses.dataclass(frozen=True)
class Windows:
    """
    How the compiled operations cut points out of paths while they sweep a grid, so that no windows are kept.

    :param attributes: the operations' options: window, dilation, stride, centre, scale and time.
    :param factors: what the channels of a point are multiplied by, [C]; first that of time, where there is time.
    """

    difference: bool
    attributes: dict[str, Any]
    factors: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Paths:
    """
    Paths [..., L, D], and how many of their points count, [...]; None where they are differenced.

    With windows the paths have not been cut yet, and it is their values that are counted, differenced or not.
    """

    points: tf.Tensor
    lengths: tf.Tensor | None
    windows: Windows | None = None

    @property
    def difference(self) -> bool:
        """Whether points are differenced."""
        return self.lengths is None if self.windows is None else self.windows.difference

    @property
    def like_points(self) -> tf.Tensor:
        """A tensor of the dtype of the points, as many numbers along its last axis as they have channels."""
        return self.points if self.windows is None else self.windows.factors

    def at(self, indices: tf.Tensor) -> "Paths":
        """Those at some places of the first axis."""
        lengths = None if self.lengths is None else tf.gather(self.lengths, indices)
        return Paths(_batches.rows_at(self.points, indices), lengths)

    def along(self, axis: int) -> "Paths":
        """With another leading axis of size 1."""
        lengths = None if self.lengths is None else tf.expand_dims(self.lengths, axis)
        return Paths(tf.expand_dims(self.points, axis), lengths)

    def num_cells(self) -> Any:
        """Along this path's side of the grid."""
        return size_of(self.points, 1) - (1 if self.lengths is None else 0)

    def weights(self) -> tf.Tensor:
        """What each point counts where it is not differenced, [..., L]: 1 over the length, and 0 beyond the end."""
        assert self.lengths is not None
        weight = 1.0 / tf.cast(self.lengths, self.points.dtype)[..., None]
        is_inside = tf.range(tf.shape(self.points)[-2]) < self.lengths[..., None]
        return tf.where(is_inside, weight, tf.zeros_like(weight))


def both_lengths(x: Paths, y: Paths) -> Lengths:
    """Of two sets of paths, which have lengths both or none of them."""
    return None if x.lengths is None or y.lengths is None else (x.lengths, y.lengths)


def increments_of_values(K: tf.Tensor, x: Paths, y: Paths) -> tf.Tensor:
    """The increments p of a Goursat problem from a static kernel's values [..., L1, L2] at two paths' points."""
    if x.lengths is None or y.lengths is None:
        return double_differences(K)
    return K * x.weights()[..., :, None] * y.weights()[..., None, :]
