"""Sums over Gram matrices of the signature kernel, of which a block at a time is in memory, gradients included."""

import dataclasses
import functools
import math
from typing import Any

import tensorflow as tf

from . import _batches, _checks
from ._arguments import as_bool, as_int
from ._chunks import in_chunks
from ._extended_range import Extended, power_of_two
from ._path_lengths import Paths, lengths_of
from .goursat import Solver, size_of, solver_attributes
from .signature_kernels import diag_of_points, extended_diag, extended_gram, gram_of_points
from .static_kernels import StaticKernel, fused_form

_PATHS_IN_BLOCK = 256  # of each side, where the compiled operations know the static kernel
_NUMBERS_AT_ONCE = 2**22  # in the values of any other one at the points of a block's pairs


@dataclasses.dataclass(frozen=True)
class Sample:
    """
    Paths [..., N, L, D], and what is computed once of each.

    :param lengths: how many of its points count, [..., N]; None where they are differenced.
    :param norms: sqrt(k(x, x)), [..., N]; None where k is not normalized.
    """

    points: tf.Tensor
    lengths: tf.Tensor | None = None
    norms: Extended | None = None

    @property
    def paths(self) -> Paths:
        return Paths(self.points, self.lengths)

    @property
    def count(self) -> Any:
        """N, a number where it is known, and otherwise a tensor."""
        return size_of(self.points, -3)

    def at(self, start: Any, stop: Any) -> "Sample":
        """The paths from ``start`` up to ``stop``."""
        rows = slice(start, stop)
        return Sample(
            self.points[..., rows, :, :],
            None if self.lengths is None else self.lengths[..., rows],
            None if self.norms is None else Extended(*(part[..., rows] for part in self.norms)),
        )

    def differentiable(self) -> list[tf.Tensor]:
        """The tensors through which gradients flow."""
        return [self.points, *(() if self.norms is None else self.norms[:1])]

    def with_differentiable(self, points: tf.Tensor, mantissa: tf.Tensor | None = None) -> "Sample":
        """The same with others in the place of these."""
        norms = None if self.norms is None or mantissa is None else Extended(mantissa, self.norms.exponent)
        return dataclasses.replace(self, points=points, norms=norms)


@dataclasses.dataclass(frozen=True)
class GramBlocks:
    """
    The options of a signature kernel, and sums over its Gram matrices, a block of ``block_size`` rows and columns each.

    Gradients reach the paths, the variables that the static kernel reads, and the tensors among the keywords of a
    ``functools.partial``.
    """

    static_kernel: StaticKernel | None
    difference: bool
    normalize: bool
    solver: Solver
    block_size: int | None

    def __post_init__(self) -> None:
        as_bool(self.difference, "difference")
        as_bool(self.normalize, "normalize")
        solver_attributes(self.solver, tf.float64)
        if self.block_size is not None:
            as_int(self.block_size, "block_size", 1)
        for cell in getattr(self.static_kernel, "__closure__", None) or ():
            if isinstance(cell.cell_contents, tf.Tensor):
                raise ValueError(
                    "static_kernel must be given its tensors by functools.partial, so that gradients reach them, got "
                    "a function that reads one from outside: take them as keyword arguments."
                )

    def samples(self, *sets: tf.Tensor) -> list[Sample]:
        """Sets of paths as :func:`signature_kernel_gram` takes them, checked by their caller."""
        found = []
        for points in sets:
            lengths = lengths_of(points, points, self.difference)
            sample = Sample(points, None if lengths is None else lengths[0])
            found.append(dataclasses.replace(sample, norms=self._norms(sample)) if self.normalize else sample)
        return found

    def of(self, x: Sample, y: Sample | None = None) -> tf.Tensor:
        """The Gram matrix itself, [..., N, M]; without ``y`` that of x with itself."""
        paths = (x.paths, None if y is None else y.paths, self.static_kernel, self.solver)
        if x.norms is None:
            return gram_of_points(*paths)
        other = x.norms if y is None or y.norms is None else y.norms
        k = extended_gram(*paths) if self._is_compiled(x) else Extended.of(gram_of_points(*paths))
        norms = x.norms.mantissa[..., :, None] * other.mantissa[..., None, :]
        return (
            k.mantissa
            / norms
            * power_of_two(k.exponent - x.norms.exponent[..., :, None] - other.exponent[..., None, :])
        )

    def sum_of_pairs(self, x: Sample, y: Sample) -> tf.Tensor:
        """Σ_ij k(x_i, y_j): [...]."""
        size = self.rows_in_block(x, y)
        rows, columns = (_number_of_blocks(each.count, size) for each in (x, y))
        table = tf.stack(tf.meshgrid(tf.range(rows), tf.range(columns), indexing="ij"), axis=-1)
        return self._sum(tf.reshape(table, [-1, 2]), rows * columns, size, x, y)

    def sum_within(self, x: Sample, *, diagonal: bool) -> tf.Tensor:
        """Σ_ij k(x_i, x_j): [...]; without ``diagonal`` over i ≠ j alone."""
        size = self.rows_in_block(x, x)
        count = _number_of_blocks(x.count, size)
        on_diagonal = self._sum(tf.range(count)[:, None], count, size, x, diagonal=diagonal)
        if isinstance(count, int) and count == 1:
            return on_diagonal
        pairs, _ = _batches.upper_pairs(count)
        table, num_pairs = tf.boolean_mask(pairs, pairs[:, 0] < pairs[:, 1]), count * (count - 1) // 2
        if not isinstance(count, int):  # one more, of blocks beyond the end that hold no paths: there may be no other
            table, num_pairs = tf.concat([table, [[count, count]]], axis=0), num_pairs + 1
        return on_diagonal + 2.0 * self._sum(table, num_pairs, size, x, x)

    def rows_in_block(self, x: Sample, y: Sample) -> Any:
        """How many paths of each side make a block."""
        if self.block_size is not None:
            return self.block_size
        if self._is_compiled(x):
            return _PATHS_IN_BLOCK
        numbers = size_of(x.points, -2) * size_of(y.points, -2) * (size_of(x.points, -1) + 3)
        if isinstance(numbers, int):
            return max(1, math.isqrt(_NUMBERS_AT_ONCE // numbers))
        return tf.maximum(1, tf.cast(tf.sqrt(tf.cast(_NUMBERS_AT_ONCE // numbers, tf.float64)), tf.int32))

    def _sum(self, table: tf.Tensor, count: Any, size: Any, *sides: Sample, diagonal: bool = True) -> tf.Tensor:
        """The sum of k over blocks, whose numbers along each side are the rows of ``table`` [count, 1 or 2]."""
        names, parameters = self._parameters()
        given = [each.differentiable() for each in sides]

        def of_block(number: Any, _: Any, *tensors: tf.Tensor) -> tf.Tensor:
            parts = iter(tensors)
            blocks = []
            for n, (side, own) in enumerate(zip(sides, given, strict=True)):
                start = table[number, n] * size
                side = side.with_differentiable(*(next(parts) for _ in own))
                blocks.append(side.at(start, tf.minimum(start + size, side.count)))
            k = self._with_parameters(names, parts).of(*blocks)
            if not diagonal:
                k = tf.linalg.set_diag(k, tf.zeros_like(tf.linalg.diag_part(k)))
            return tf.reduce_sum(k, axis=[-2, -1])[None]

        sums = in_chunks(of_block, count, 1, *(tensor for own in given for tensor in own), *parameters)
        return tf.ensure_shape(tf.reduce_sum(sums, axis=0), sides[0].points.shape[:-3])

    def _norms(self, x: Sample) -> Extended:
        """sqrt(k(x, x)) of each path, [..., N]."""
        names, parameters = self._parameters()

        def of_rows(start: Any, stop: Any, points: tf.Tensor, *values: tf.Tensor) -> tf.Tensor:
            paths = Sample(points, x.lengths).at(start, stop).paths
            kernel = self._with_parameters(names, iter(values)).static_kernel
            if self._is_compiled(x):
                squared = extended_diag(paths, kernel, self.solver)
            else:
                squared = Extended.of(diag_of_points(paths, kernel, self.solver))
            return _last_axis_first(tf.stack(squared, axis=-2))

        size = self.rows_in_block(x, x)
        squared = in_chunks(of_rows, x.count, size * size, x.points, *parameters)  # [N, ..., 2]
        squared = tf.ensure_shape(squared, [x.points.shape[-3], *x.points.shape[:-3], 2])
        squared = Extended(*(_first_axis_last(part) for part in tf.unstack(squared, axis=-1)))
        message = (
            "normalize=True needs k(x, x) > 0 of every path, which the true kernel has, but the solver was too coarse: "
            "take solver=PowerSeries(), or make the steps smaller. The smallest k(x, x):"
        )
        is_bad = tf.reduce_any(squared.mantissa <= 0)
        with tf.control_dependencies(
            [tf.debugging.Assert(tf.logical_not(is_bad), [message, tf.reduce_min(squared.mantissa)])]
        ):
            return Extended(tf.identity(squared.mantissa), squared.exponent).square_root()

    def _is_compiled(self, x: Sample) -> bool:
        return fused_form(self.static_kernel, x.points, difference=self.difference) is not None

    def _parameters(self) -> tuple[list[str], list[tf.Tensor]]:
        """The tensors among the keywords of the static kernel, and their names."""
        keywords = self.static_kernel.keywords if isinstance(self.static_kernel, functools.partial) else {}
        found = {name: value for name, value in keywords.items() if isinstance(value, tf.Tensor)}
        return list(found), list(found.values())

    def _with_parameters(self, names: list[str], values: Any) -> "GramBlocks":
        """The same with other tensors in their place."""
        if not isinstance(self.static_kernel, functools.partial):
            return self
        kernel = functools.partial(self.static_kernel, **dict(zip(names, values, strict=True)))
        return dataclasses.replace(self, static_kernel=kernel)


def pooled(X: tf.Tensor, Y: tf.Tensor) -> tf.Tensor:
    """Two sets of paths [N, L1, D] and [M, L2, D] as one, the shorter ones padded with their last value."""
    length = max(X.shape[-2], Y.shape[-2])
    last = [tf.repeat(each[:, -1:], length - each.shape[-2], axis=1) for each in (X, Y)]
    return tf.concat([tf.concat([each, more], axis=1) for each, more in zip((X, Y), last, strict=True)], axis=0)


def _finite(paths: tf.Tensor, name: str) -> tf.Tensor:
    """Paths [..., L, D], once they are known to be finite: a block's own error would not count through all paths."""
    rows = tf.reduce_all(tf.math.is_finite(paths), axis=-1)
    place = tf.where(tf.logical_not(rows))[:1]
    message = f"{name} must be finite: interpolate missing values first; not finite at [..., path, time step]:"
    with tf.control_dependencies([tf.debugging.Assert(tf.size(place) == 0, [message, place])]):
        return tf.identity(paths)


def as_paths(value: Any, name: str, *, sets: bool) -> tf.Tensor:
    """``value`` as finite paths of known rank: sets of them, [..., N, L, D], or single ones, [..., L, D]."""
    paths = _checks.as_batches(value, name, sets=sets)
    if paths.shape.rank is None:
        raise ValueError(f"{name} must have a known rank, got an unknown one: give it by tf.ensure_shape first.")
    return _finite(paths, name)


def _number_of_blocks(count: Any, size: Any) -> Any:
    return (count + size - 1) // size


def _last_axis_first(tensor: tf.Tensor) -> tf.Tensor:
    """[b, ..., 2] of [..., 2, b]."""
    rank = tensor.shape.rank
    return tf.transpose(tensor, [rank - 1, *range(rank - 1)])


def _first_axis_last(tensor: tf.Tensor) -> tf.Tensor:
    """[..., N] of [N, ...]."""
    rank = tensor.shape.rank
    return tf.transpose(tensor, [*range(1, rank), 0])
