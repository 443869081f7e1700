"""Signatures over any interval of a path."""

from typing import Any

import tensorflow as tf

from . import _batches, _checks, log_signatures
from ._arguments import as_int
from .signatures import num_words_of, signature
from .tensor_algebra import multi_signature_combine, signature_combine

_BLOCK = 256  # increments: to walk along so many takes no longer than to multiply two signatures


class Path:
    r"""
    Paths whose signatures can be asked for over any interval, and to which points may be added.

    The signatures of blocks of 256 increments are kept, and by Chen's identity those of 2, 4, 8, ... blocks together, a
    binary tree. Those of a depth are computed when it is first asked for, once. A query multiplies the at most 2 log2 L
    of them that make up the interval, and walks along the points before and after: a query costs O(M log L) for M
    words, after O(L M), and memory of L/128 signatures.

    Accuracy: as all factors are signatures of parts of the interval, the result is as exact as that of
    :func:`signature` on these points, whatever the rest of the path does. The other way, an inverse of the signature up
    to ``start`` times that up to ``end`` (Kidger & Lyons 2021, *Signatory*), is not: where the whole path is r times as
    large as the interval it loses a factor of about r^k on level k. Of ten steps of a random walk, no digit of level 4
    is left in float32 after some thousand steps.

    Results are differentiable once, in X and in the added points. Use a path where it was made: eagerly, or within one
    traced function.

    >>> path = sk.Path(np.random.default_rng(0).normal(size=(500, 2)))
    >>> path.signature(3, start=100, end=200).shape
    TensorShape([15])
    >>> path.update(np.zeros((1, 2)))  # a point arrives
    >>> path.points.shape
    TensorShape([501, 2])

    :param X: [..., L, D], float32 or float64; there may be any number of leading axes, or none for a single path.
    :raises ValueError: for a rank below 2, no time steps or no channels, and where L or D is unknown.
    :raises TypeError: for another dtype.
    :raises tf.errors.InvalidArgumentError: for NaN or infinite values.
    """

    def __init__(self, X: Any) -> None:
        self._points = finite(_checks.as_batches(X, "X"), "X")
        _checks.check_sizes_known(self._points)
        self._trees: dict[int, list[tf.Tensor]] = {}  # for each depth the levels of the tree, [..., nodes, M]

    @property
    def points(self) -> tf.Tensor:
        """All points so far, [..., L, D]."""
        return self._points

    def update(self, points: Any) -> None:
        """
        Adds points at the end. It costs a copy of the points; signatures of new blocks are computed at the next query.

        :param points: [..., K, D], of X's dtype and leading axes, K >= 1.
        :raises ValueError: for another shape; in a traced function, where the path was made outside of it.
        :raises TypeError: for another dtype.
        :raises tf.errors.InvalidArgumentError: for NaN or infinite values.
        """
        points = finite(_checks.as_batches(points, "points"), "points")
        _checks.check_same_dtype(self._points, points, "X and points")
        known = self._points.shape
        if not points.shape.is_compatible_with([*known[:-2], None, known[-1]]) or points.shape[-2] is None:
            raise ValueError(
                f"points must have X's leading axes and channels, [..., K, D], got shape {points.shape} "
                f"for an X of shape {known}: a single point takes points[..., None, :]."
            )
        if not self._is_here():
            raise ValueError("update must be called where the path was made: make the Path in the function, too.")
        self._points = tf.concat([self._points, points], axis=-2)

    def signature(self, depth: int, *, start: int = 0, end: int | None = None) -> tf.Tensor:
        """
        The signature over the points ``start`` to ``end`` - 1, as ``signature(X[..., start:end, :], depth)``.

        :param depth: the last level, >= 0.
        :param start: the first point, from 0 to L - 1.
        :param end: the first point after the interval, from ``start`` + 1 to L; None: L.
        :return: [..., M].
        :raises ValueError: for another ``start`` or ``end``, and where the words do not fit in memory.
        :raises TypeError: where ``depth``, ``start`` or ``end`` is no integer.
        :raises tf.errors.InvalidArgumentError: for a signature that overflows the dtype.
        """
        depth, channels = as_int(depth, "depth", 0), self._points.shape[-1]
        num_words_of(self._points, depth, stream=False)
        start, end = self._interval(start, end)
        first, last = -(-start // _BLOCK), (end - 1) // _BLOCK  # the blocks from the first to before the last are whole
        if first >= last:
            return signature(self._points[..., start:end, :], depth)
        factors = [self._tree(depth)[level][..., node, :] for level, node in _nodes_over(first, last)]
        if start < first * _BLOCK:
            factors.insert(0, signature(self._points[..., start : first * _BLOCK + 1, :], depth))
        if last * _BLOCK < end - 1:
            factors.append(signature(self._points[..., last * _BLOCK : end, :], depth))
        return multi_signature_combine(tf.stack(factors, axis=-2), channels)

    def log_signature(
        self, depth: int, *, start: int = 0, end: int | None = None, basis: log_signatures.Basis = "words"
    ) -> tf.Tensor:
        """
        The logarithm of :meth:`signature`, as ``log_signature(X[..., start:end, :], depth, basis=basis)``.

        :param depth: the last level, >= 1.
        :param start: the first point, from 0 to L - 1.
        :param end: the first point after the interval, from ``start`` + 1 to L; None: L.
        :param basis: "words", "lyndon_brackets" or "expanded", as for :func:`log_signature`.
        :return: [..., W].
        :raises ValueError: as :meth:`signature`, where ``depth`` is below 1, and for another basis.
        :raises TypeError: as :meth:`signature`.
        :raises tf.errors.InvalidArgumentError: as :meth:`signature`.
        """
        depth = as_int(depth, "depth", 1)
        log_signatures.check_basis(basis)
        S = self.signature(depth, start=start, end=end)
        return log_signatures.of_signatures(S, self._points.shape[-1], depth, basis)

    def _interval(self, start: Any, end: Any) -> tuple[int, int]:
        """``start`` and ``end`` as integers, 0 <= start < end <= L."""
        length = self._points.shape[-2]
        start = as_int(start, "start", 0)
        end = length if end is None else as_int(end, "end", 0)
        if not start < end <= length:
            raise ValueError(
                f"start and end must be points of the path with start < end <= {length}, its number of points, got "
                f"start={start} and end={end}: the interval is that of the points start to end - 1."
            )
        return start, end

    def _is_here(self) -> bool:
        """Whether this runs where the path was made, so that what is kept can be used by all later calls."""
        if tf.is_symbolic_tensor(self._points):
            return not tf.executing_eagerly() and self._points.graph is tf.compat.v1.get_default_graph()
        return tf.executing_eagerly()

    def _tree(self, depth: int) -> list[tf.Tensor]:
        """The tree's levels, the blocks first: node i of a level is over the nodes 2i and 2i + 1 of the one before."""
        levels = list(self._trees.get(depth, []))
        count, level = (self._points.shape[-2] - 1) // _BLOCK, 0
        while count > 0:
            known = levels[level].shape[-2] if level < len(levels) else 0
            if known < count:
                new = self._parents(levels[level - 1], known, count) if level else self._leaves(known, count, depth)
                levels[level : level + 1] = [tf.concat([levels[level], new], axis=-2) if known else new]
            count, level = count // 2, level + 1
        if self._is_here():
            self._trees[depth] = levels
        return levels

    def _leaves(self, start: int, end: int, depth: int) -> tf.Tensor:
        """The signatures of the blocks from ``start`` to before ``end``, [..., end - start, M]."""
        points = self._points[..., start * _BLOCK : end * _BLOCK + 1, :]
        return signature(stretches(points, end - start, _BLOCK), depth)

    def _parents(self, below: tf.Tensor, start: int, end: int) -> tf.Tensor:
        """The nodes from ``start`` to before ``end`` of the level above ``below``."""
        left, right = (below[..., 2 * start + side : 2 * end : 2, :] for side in (0, 1))
        return signature_combine(left, right, self._points.shape[-1])


def finite(tensor: tf.Tensor, name: str) -> tf.Tensor:
    """A tensor of its own, which no tape watches that watches the given one later, once it is known to be finite."""
    return tf.identity(tf.debugging.assert_all_finite(tensor, f"{name} must hold finite numbers; it has others"))


def stretches(points: tf.Tensor, count: int, width: int) -> tf.Tensor:
    """
    Paths, cut into stretches that share their end points.

    :param points: [..., count * width + 1, D].
    :return: [..., count, width + 1, D].
    """
    *leading, _, channels = _batches.sizes(points)
    inside = tf.reshape(points[..., :-1, :], [*leading, count, width, channels])
    return tf.concat([inside, points[..., width::width, None, :]], axis=-2)


def _nodes_over(start: int, end: int) -> list[tuple[int, int]]:
    """The levels and places of the nodes of a binary tree that make up the leaves from ``start`` to before ``end``."""
    left: list[tuple[int, int]] = []
    right: list[tuple[int, int]] = []
    level = 0
    while start < end:
        if start % 2:
            left.append((level, start))
            start += 1
        if end % 2:
            end -= 1
            right.append((level, end))
        start, end, level = start // 2, end // 2, level + 1
    return left + right[::-1]
