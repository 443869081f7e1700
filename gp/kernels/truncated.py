"""The truncated signature kernel, GPSig's, as a GPflow kernel."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import Parameter, TensorData, TensorType
from gpflow.utilities import positive

from sigkernel_tf.signatures import signature

from .._checks import as_positive_int
from .._chunks import in_chunks, size_of
from .index_sums import kernel_of_increments, tensors_on_increments
from .paths import PathKernel
from .rank_one import explicit_tensors, gram_of_tensors, vectors_of_levels

# With more words than this, sums over index tuples are taken in place of explicit signatures. A matrix product spends
# on a word what the sums spend on a few hundredths of a cell, and there are L² cells.
MAX_EXPLICIT_WORDS = 5000
_NUMBERS_AT_ONCE = 2**18  # of a tensor over the cells of some pairs; a few dozen such tensors live at a time
_PASS_IN_MULTIPLY_ADDS = 16  # an elementwise operation on a matrix takes about as long as so many of a matrix product
_WORDS_AT_ONCE = 2**23  # of explicit signatures, where their squared norms alone are wanted


class TruncatedSignatureKernel(PathKernel):
    r"""
    The signature kernel up to a depth n, k(x, y) = σ² Σ_{k<=n} w_k ⟨S_k(θ x), S_k(θ y)⟩, on flattened paths [N, L * D].

    The kernel of GPSig (Toth & Oberhauser 2020), by the algorithms of Király & Oberhauser (2019). S_k is level k of the
    signature, the empty word's level 0 included, with a variance w_k of its own, and θ = 1 / lengthscales.

    ``discretization_order`` p says how well S_k is approximated: indices of increments may repeat p times in a product,
    divided by the factorial of their multiplicity. At p = n, the default, S_k is exact for the piecewise linear path;
    p = 1 takes strictly increasing indices only, and is what the literature calls *the* truncated signature kernel of a
    sequence. Orders below the depth see the sampling: a point put in the middle of a segment changes them.

    Two ways lead to the same number. At p = n the kernel is the inner product of explicit signatures, 1 + D + ... + D^n
    words, taken where these are no more than 5000 (``explicit`` says so, and decides otherwise): O(L) a path, and a
    matrix product. Else sums over index tuples, O(L² (D + n p²)) a pair, GPSig's complexity. Memory: the signatures;
    or, for the sums, some dozens of numbers for each of 2^18 cells, at least for those of one pair.
    """

    def __init__(
        self,
        num_channels: int,
        depth: int = 4,
        *,
        discretization_order: int | None = None,
        lengthscales: TensorData = 1.0,
        variance: TensorData = 1.0,
        level_variances: TensorData = 1.0,
        normalize: bool = False,
        explicit: bool | None = None,
        name: str | None = None,
    ) -> None:
        """
        :param num_channels: D, the number of channels of every path.
        :param depth: n, the last level, at least 1.
        :param discretization_order: p, from 1 to ``depth``; None is ``depth``.
        :param lengthscales: a scalar is one parameter for all channels, a vector [D] has one for each (ARD); positive,
            in the channels' units.
        :param variance: σ², multiplies last, after normalizing; positive.
        :param level_variances: w [n + 1], from level 0 on, or a scalar where all levels start alike; positive. Scaling
            all of them is scaling σ²: fix one or the other with ``gpflow.set_trainable`` where that matters.
        :param normalize: divide by sqrt(k(x, x) k(y, y)), so that k(x, x) = σ² for every path.
        :param explicit: whether to take inner products of explicit signatures, at order ``depth`` alone; None decides
            by the number of words.
        :raises ValueError: for no channels, no levels, an order or variances that do not fit the depth, lengthscales
            that are neither a scalar nor [D], and explicit signatures of a lower order.
        :raises TypeError: for a number of channels, depth or order that is no integer.
        """
        super().__init__(num_channels, lengthscales=lengthscales, variance=variance, normalize=normalize, name=name)
        self.depth = as_positive_int(depth, "depth")
        order = (
            self.depth
            if discretization_order is None
            else as_positive_int(discretization_order, "discretization_order")
        )
        if order > self.depth:
            raise ValueError(
                f"discretization_order must be at most the depth, {self.depth}, got {order}: an order equal to the "
                "depth is exact, and is the default."
            )
        self.discretization_order = order
        self.level_variances = Parameter(_each_level(level_variances, self.depth), transform=positive())
        self.level_sizes = [self.num_channels**level for level in range(self.depth + 1)]
        if explicit and order < self.depth:
            raise ValueError(
                f"explicit=True needs discretization_order={self.depth}, the depth, got {order}: explicit signatures "
                "are exact. Leave explicit out for lower orders."
            )
        if explicit is None:
            explicit = order == self.depth and self.num_words <= MAX_EXPLICIT_WORDS
        self.explicit = explicit

    @property
    def num_words(self) -> int:
        """1 + D + ... + D^n."""
        return sum(self.level_sizes)

    @property
    def word_variances(self) -> tf.Tensor:
        """Each word's level variance w, [1 + D + ... + D^n]."""
        return tf.gather(self.level_variances, np.repeat(np.arange(self.depth + 1), self.level_sizes))

    @check_shapes(
        "X: [N, ...]",
        "return: [N, M]",
    )
    def features(self, X: TensorType) -> tf.Tensor:
        r"""
        All M = 1 + D + ... + D^n signature features times σ √w (and over \|S(θ x)\| where normalizing).

        At discretization order ``depth`` their inner products are the kernel; the order of columns is that of
        :func:`sigkernel_tf.words`.

        :param X: flattened paths [N, L * D].
        :raises ValueError: for a kernel with a lower discretization order.
        """
        if self.discretization_order < self.depth:
            raise ValueError(
                f"features are those of discretization_order={self.depth}, the depth; this kernel's is "
                f"{self.discretization_order}: make one with discretization_order=None."
            )
        x = self._scaled_paths(X, "X")
        S = self._weighted_signature(x)
        if self.normalize:
            S = S / tf.sqrt(self._squared_norm(x))[:, None]
        return tf.sqrt(self.variance) * S

    @check_shapes(
        "Z: [M, K, D]",
        "return: [M, M]",
    )
    def K_tensors(self, Z: TensorType) -> tf.Tensor:  # noqa: N802  (as K)
        r"""
        Covariances σ² Σ_k w_k Π_i ⟨θ z_ki, θ z'_ki⟩ of the process's projections on tensors of rank one.

        :param Z: K = n (n + 1) / 2 vectors an element, level after level, in the units of paths.
        """
        z, w = tf.convert_to_tensor(Z) / self.lengthscales, tf.convert_to_tensor(self.level_variances)
        # Either way M² times: a multiply-add for each word, or for each vector D of them and a pass over memory.
        if self.num_words > z.shape[1] * (self.num_channels + _PASS_IN_MULTIPLY_ADDS):
            K = gram_of_tensors(z, w)
        else:
            T = explicit_tensors(z, self.depth)
            K = tf.matmul(T * self.word_variances, T, transpose_b=True)
        return self.variance * symmetric(K)

    @check_shapes(
        "Z: [M, K, D]",
        "X: [N, ...]",
        "return: [M, N]",
    )
    def K_tensors_paths(self, Z: TensorType, X: TensorType) -> tf.Tensor:  # noqa: N802  (as K)
        r"""
        Covariances σ² Σ_k w_k ⟨θ z_k, S_k(θ x)⟩ (over \|S(θ x)\| where normalizing) of projections and paths.

        :param Z: K = n (n + 1) / 2 vectors an element, level after level, in the units of paths.
        :param X: flattened paths [N, L * D].
        """
        z, x = tf.convert_to_tensor(Z) / self.lengthscales, self._scaled_paths(X, "X")
        if self.explicit:
            S = signature(x, depth=self.depth)
            K = tf.matmul(explicit_tensors(z, self.depth) * self.word_variances, S, transpose_b=True)
        else:
            K = tf.transpose(self._paths_on_tensors(x, z))
        if self.normalize:
            K = K / tf.sqrt(self._squared_norm(x))
        return self.variance * K

    def _paths_on_tensors(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """Σ_k w_k ⟨z_k, S_k(x)⟩ by sums over index tuples: [N, M]."""

        def rows(start: tf.Tensor, stop: tf.Tensor, dx: tf.Tensor, z: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
            steps = tf.transpose(dx[start:stop], [1, 0, 2])  # time first: [T, c, D]
            shape = [size_of(steps, 0), tf.shape(steps)[1], size_of(z, 0)]
            steps = tf.reshape(steps, [-1, self.num_channels])

            def on_steps(vector: tf.Tensor) -> tf.Tensor:
                return tf.reshape(tf.matmul(steps, vector, transpose_b=True), shape)

            products = [[on_steps(vector) for vector in vectors] for vectors in vectors_of_levels(z, self.depth)]
            return w[0] + tensors_on_increments(products, w[1:], self.discretization_order)

        dx, w = increments(x), tf.convert_to_tensor(self.level_variances)
        return in_chunks(rows, size_of(x, 0), rows_at_once(size_of(dx, 1) * size_of(z, 0)), dx, z, w)

    def _weighted_signature(self, x: tf.Tensor) -> tf.Tensor:
        """Explicit signatures times √w: [N, M]."""
        return signature(x, depth=self.depth) * tf.sqrt(self.word_variances)

    def _gram(self, x: tf.Tensor, y: tf.Tensor | None) -> tf.Tensor:
        if self.explicit:
            S = self._weighted_signature(x)
            if y is not None:
                return tf.matmul(S, self._weighted_signature(y), transpose_b=True)
            return symmetric(tf.matmul(S, S, transpose_b=True))
        if y is not None:
            num_x, num_y = size_of(x, 0), size_of(y, 0)
            rows = self._of_pairs(x, y, num_x * num_y, lambda ids: (ids // num_y, ids % num_y))
            return tf.reshape(rows, [num_x, num_y])
        num_paths = size_of(x, 0)
        upper = tf.cast(tf.where(tf.linalg.band_part(tf.ones([num_paths, num_paths], tf.bool), 0, -1)), tf.int32)
        values = self._of_pairs(
            x, x, num_paths * (num_paths + 1) // 2, lambda ids: tf.unstack(tf.gather(upper, ids), axis=1)
        )
        K = tf.scatter_nd(upper, values, [num_paths, num_paths])
        return K + tf.transpose(tf.linalg.set_diag(K, tf.zeros_like(x[:, 0, 0])))

    def _squared_norm(self, x: tf.Tensor) -> tf.Tensor:
        if not self.explicit:
            return self._of_pairs(x, x, size_of(x, 0), lambda ids: (ids, ids))

        def rows(start: tf.Tensor, stop: tf.Tensor, x: tf.Tensor, variances: tf.Tensor) -> tf.Tensor:
            return tf.linalg.matvec(tf.square(signature(x[start:stop], depth=self.depth)), variances)

        chunk = max(1, _WORDS_AT_ONCE // self.num_words)
        return in_chunks(rows, size_of(x, 0), chunk, x, self.word_variances)

    def _of_pairs(
        self, x: tf.Tensor, y: tf.Tensor, count: int | tf.Tensor, pairs: Callable[[tf.Tensor], Sequence[tf.Tensor]]
    ) -> tf.Tensor:
        """κ of pairs of paths, by sums over index tuples: [count]. ``pairs`` turns numbers into indices of x and y."""

        def rows(start: tf.Tensor, stop: tf.Tensor, dx: tf.Tensor, dy: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
            i, j = pairs(tf.range(start, stop))
            p = tf.matmul(tf.gather(dx, i), tf.gather(dy, j), transpose_b=True)
            return w[0] + kernel_of_increments(tf.transpose(p, [1, 2, 0]), w[1:], self.discretization_order)

        dx, dy, w = increments(x), increments(y), tf.convert_to_tensor(self.level_variances)
        return in_chunks(rows, count, rows_at_once(size_of(dx, 1) * size_of(dy, 1)), dx, dy, w)


def increments(x: tf.Tensor) -> tf.Tensor:
    """dx of paths [N, L, D]: [N, L - 1, D]."""
    return x[:, 1:] - x[:, :-1]


def symmetric(K: tf.Tensor) -> tf.Tensor:
    """K, which a matrix product may have left symmetric but for the last bit."""
    return 0.5 * (K + tf.transpose(K))


def rows_at_once(numbers: int | tf.Tensor) -> int | tf.Tensor:
    """How many rows to compute at once where a row needs some dozens of tensors with so many numbers."""
    if isinstance(numbers, int):
        return max(1, _NUMBERS_AT_ONCE // max(1, numbers))
    return tf.maximum(1, _NUMBERS_AT_ONCE // tf.maximum(1, numbers))


def _each_level(level_variances: TensorData, depth: int) -> TensorData:
    """:raises ValueError: for what is neither a scalar nor one number for each level."""
    shape = tf.TensorShape(getattr(level_variances, "shape", np.shape(level_variances)))
    if shape.rank == 0:
        return np.full(depth + 1, level_variances)
    if shape != tf.TensorShape([depth + 1]):
        raise ValueError(
            f"level_variances must be a scalar, with which all levels start, or have shape [{depth + 1}], one for each "
            f"level from 0 to the depth, {depth}, got shape {shape}."
        )
    return level_variances
