"""The truncated signature kernel, GPSig's, as a GPflow kernel."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import TensorData, TensorType

from sigkernel_tf import static_kernels
from sigkernel_tf._arguments import as_bool, as_int, check_unmasked
from sigkernel_tf._batches import merged, on_merged, sizes, upper_pairs
from sigkernel_tf._chunks import in_chunks
from sigkernel_tf.goursat import size_of
from sigkernel_tf.signatures import signature

from .._checks import described
from .index_sums import kernel_of_increments, tensors_on_increments, words_on_increments
from .levels import level_variances_parameter, levels_of_words
from .paths import PathKernel
from .points import PointKernel, pairs_function
from .rank_one import explicit_tensors, gram_of_tensors, vectors_of_levels

# With more words than this, sums over index tuples are computed instead of explicit signatures. In a matrix product a
# word takes as long as a few hundredths of a cell take in the sums, and there are L² cells.
MAX_EXPLICIT_WORDS = 5000
_NUMBERS_AT_ONCE = 2**18  # in one tensor over the cells of some pairs; a few dozen such tensors live at a time
_PASS_IN_MULTIPLY_ADDS = 16  # an elementwise operation takes about as long as this many multiply-adds of a product
_WORDS_AT_ONCE = 2**23  # in explicit signatures of which only the squared norms are needed


class TruncatedSignatureKernel(PathKernel):
    r"""
    The signature kernel up to a depth n, k(x, y) = σ² Σ_{k<=n} w_k ⟨S_k(θ x), S_k(θ y)⟩, on flattened paths
    [..., N, L * D].

    It is the kernel of GPSig (Toth & Oberhauser 2020), computed by the algorithms of Király & Oberhauser (2019). S_k is
    level k of the signature, level 0 being the empty word. Each level has a variance w_k, and θ = 1 / lengthscales.

    ``discretization_order`` p says how well S_k is approximated: the index of an increment may occur p times in a
    product, which is divided by the factorial of its multiplicity. At p = n, the default, S_k is exact for the
    piecewise linear path. At p = 1 indices increase strictly; this is what the literature calls *the* truncated
    signature kernel of a sequence. An order below the depth depends on the sampling: an additional point in the middle
    of a segment changes the kernel.

    There are two ways to compute the same number. With explicit signatures (or their approximations) of
    1 + D + ... + D^n words, a path costs O(L) and all pairs one matrix product; the memory is that of the signatures.
    With sums over index tuples a pair costs O(L² (D + n p²)), which is GPSig's complexity; the memory is some dozens of
    numbers for each of 2^18 cells, or for the cells of one pair where these are more. Up to 5000 words the kernel
    chooses the first way, unless ``explicit`` decides otherwise.

    >>> TruncatedSignatureKernel(2, depth=3)(rows).shape
    TensorShape([20, 20])
    """

    def __init__(
        self,
        num_channels: int,
        depth: int = 4,
        *,
        channels: Sequence[int] | None = None,
        discretization_order: int | None = None,
        lengthscales: TensorData = 1.0,
        variance: TensorData = 1.0,
        static_kernel: PointKernel | None = None,
        level_variances: TensorData = 1.0,
        normalize: bool = False,
        explicit: bool | None = None,
        active_dims: slice | Sequence[int] | None = None,
        name: str | None = None,
    ) -> None:
        """
        :param num_channels: the number of channels of every path in the data.
        :param depth: n, the last level, at least 1.
        :param channels: the D channels that the kernel sees, counted from 0; None: all of them.
        :param discretization_order: p, from 1 to ``depth``; None is ``depth``.
        :param lengthscales: positive: a scalar for all channels, or a vector [D] with one for each (ARD).
        :param variance: σ², positive.
        :param static_kernel: a kernel of :mod:`gpflow.kernels` on points of D channels, or a function of
            :mod:`sigkernel_tf.static_kernels` with its parameters fixed; None is the linear one.
        :param level_variances: w [n + 1], from level 0 on, or a scalar with which all levels start; not negative. A 0
            leaves its level out and stays a 0 in training. To scale all of them is to scale σ²: where that is one
            parameter too many, hold it with ``gpflow.set_trainable(kernel.variance, False)``.
        :param normalize: whether to divide by sqrt(k(x, x) k(y, y)). Needs w_0 > 0, for a path that stands still has
            nothing beyond level 0.
        :param explicit: whether to compute explicit signatures and their inner products, which needs a linear static
            kernel; None decides by the number of words.
        :param active_dims: the columns of X that hold the flattened path, a slice or their indices; None: all.
        :raises ValueError: for an option of another shape or range, for an order or level variances that do not fit the
            depth, and for explicit signatures with a static kernel that is not linear.
        :raises TypeError: for a number of channels, depth or order that is no integer, an ``explicit`` or ``normalize``
            that is no bool, and another static kernel.
        """
        super().__init__(
            num_channels,
            channels=channels,
            lengthscales=lengthscales,
            variance=variance,
            static_kernel=static_kernel,
            normalize=normalize,
            active_dims=active_dims,
            name=name,
        )
        self.depth = as_int(depth, "depth", 1)
        order = self.depth if discretization_order is None else as_int(discretization_order, "discretization_order", 1)
        if order > self.depth:
            raise ValueError(
                f"discretization_order must be at most the depth, {self.depth}, got {order}: an order equal to the "
                "depth is exact, and is the default."
            )
        self.discretization_order = order
        self.level_variances = level_variances_parameter(_each_level(level_variances, self.depth), normalize=normalize)
        self.num_words = sum(self.num_channels_seen**level for level in range(self.depth + 1))
        explicit = None if explicit is None else as_bool(explicit, "explicit")
        if explicit and not self.is_linear:
            raise ValueError(
                f"explicit=True needs a linear static kernel, got static_kernel={described(static_kernel)}: "
                "explicit signatures are of the paths themselves. Leave explicit out."
            )
        self.explicit = self.is_linear and self.num_words <= MAX_EXPLICIT_WORDS if explicit is None else explicit

    @property
    def word_variances(self) -> tf.Tensor:
        """The level variance w of each word, [1 + D + ... + D^n]."""
        return tf.gather(self.level_variances, levels_of_words(self.num_channels_seen, self.num_words))

    @check_shapes(
        "return: [..., N, M]",
    )
    def features(self, X: TensorType) -> tf.Tensor:
        r"""
        All M = 1 + D + ... + D^n signature features, times σ √w (and over \|S(θ x)\| where normalizing): [..., N, M].

        Their inner products are the kernel, at every discretization order. The columns are in the order of
        :func:`sigkernel_tf.words`.

        :param X: rows with flattened paths in the active columns, as calling the kernel takes them.
        :raises TypeError: where the static kernel is not linear.
        """
        x = self._linear_paths(X)
        S = self._weighted_signature(x)
        if self.normalize:
            S = self._over_norms(S, self._extended_squared_norm(x))
        return tf.sqrt(self.variance) * S

    @check_shapes(
        "return: [..., N, K]",
    )
    def level_norms(self, X: TensorType) -> tf.Tensor:
        r"""
        \|S_k(θ x)\| of each path, for each level k = 0, ..., n, before variances and normalizing.

        :param X: flattened paths [..., N, L * num_channels], as :meth:`K` takes them.
        :return: [..., N, K = n + 1].
        """
        return on_merged(self._level_norms, self._scaled_paths(X, "X"))

    def _level_norms(self, x: tf.Tensor) -> tf.Tensor:
        r"""\|S_k(x)\| of scaled paths [N, L, D]: [N, n + 1]."""
        if self.explicit:
            words = tf.transpose(tf.square(self._signature(x)))
            return tf.sqrt(
                tf.transpose(tf.math.segment_sum(words, levels_of_words(self.num_channels_seen, self.num_words)))
            )
        weights = tf.unstack(tf.eye(self.depth + 1, dtype=x.dtype))  # of one level at a time
        squares = [self._of_pairs(x, x, size_of(x, 0), lambda ids: (ids, ids), weights=level) for level in weights]
        return tf.sqrt(tf.maximum(tf.stack(squares, axis=1), 0.0))  # rounding may leave a negative square

    @check_shapes(
        "Z: [M, K, D]",
        "return: [M, M]",
    )
    def K_tensors(self, Z: TensorType) -> tf.Tensor:  # noqa: N802  (as K)
        r"""
        Covariances σ² Σ_k w_k Π_i ⟨θ z_ki, θ z'_ki⟩ of projections of the process on tensors of rank one.

        :param Z: K = n (n + 1) / 2 vectors for each tensor, level after level, in the units of paths.
        :raises TypeError: where the static kernel is not linear.
        """
        z, w = self.scaled_tensors(Z), tf.convert_to_tensor(self.level_variances)
        # For each of M² pairs: a multiply-add for each word, or for each vector D of them and an elementwise operation.
        if self.num_words > z.shape[1] * (self.num_channels_seen + _PASS_IN_MULTIPLY_ADDS):
            return self.variance * gram_of_tensors(z, w)
        return self.variance * gram_of_rows(explicit_tensors(z, self.depth) * tf.sqrt(self.word_variances))

    @check_shapes(
        "Z: [M, K, D]",
        "return: [M, ..., N]",
    )
    def K_tensors_paths(self, Z: TensorType, X: TensorType) -> tf.Tensor:  # noqa: N802  (as K)
        r"""
        Covariances σ² Σ_k w_k ⟨θ z_k, S_k(θ x)⟩ (over \|S(θ x)\| where normalizing) of projections and values at paths.

        :param Z: K = n (n + 1) / 2 vectors for each tensor, level after level, in the units of paths.
        :param X: rows with flattened paths in the active columns, as calling the kernel takes them.
        :return: [M, ..., N].
        :raises TypeError: where the static kernel is not linear.
        """
        z, x = self.scaled_tensors(Z), self._linear_paths(X)
        rows = merged(x)
        if self.explicit:
            S = self._signature(rows)
            K = tf.matmul(explicit_tensors(z, self.depth) * self.word_variances, S, transpose_b=True)
        else:
            K = tf.transpose(self._paths_on_tensors(rows, z))
        if self.normalize:
            K = K / self._norms(self._extended_squared_norm(rows)).mantissa  # all exponents are 0
        return self.variance * tf.reshape(K, [size_of(z, 0), *sizes(x)[:-2]])

    def _paths_on_tensors(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """Σ_k w_k ⟨z_k, S_k(x)⟩ by sums over index tuples: [N, M]."""

        def rows(start: tf.Tensor, stop: tf.Tensor, dx: tf.Tensor, z: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
            steps = tf.transpose(dx[start:stop], [1, 0, 2])  # time first: [T, c, D]
            shape = [size_of(steps, 0), tf.shape(steps)[1], size_of(z, 0)]
            steps = tf.reshape(steps, [-1, self.num_channels_seen])

            def on_steps(vector: tf.Tensor) -> tf.Tensor:
                return tf.reshape(tf.matmul(steps, vector, transpose_b=True), shape)

            products = [[on_steps(vector) for vector in vectors] for vectors in vectors_of_levels(z, self.depth)]
            return w[0] + tensors_on_increments(products, w[1:], self.discretization_order)

        dx, w = path_increments(x), tf.convert_to_tensor(self.level_variances)
        return in_chunks(rows, size_of(x, 0), rows_at_once(size_of(dx, 1) * size_of(z, 0)), dx, z, w)

    def scaled_tensors(self, Z: TensorType) -> tf.Tensor:
        """The vectors θ z of rank-one tensors in the units of paths, [M, K, D]."""
        self._check_linear()
        return self._scaled_vectors(tf.convert_to_tensor(Z))

    def _signature(self, x: tf.Tensor) -> tf.Tensor:
        """Explicit signatures, approximated where the discretization order is below the depth: [..., M]."""
        if self.discretization_order == self.depth:
            return signature(x, depth=self.depth)
        return on_merged(self._approximate_signature, x)

    def _approximate_signature(self, x: tf.Tensor) -> tf.Tensor:
        """The discretized levels 0 to n of paths [N, L, D], word by word: [N, M]."""

        def rows(start: tf.Tensor, stop: tf.Tensor, dx: tf.Tensor) -> tf.Tensor:
            return words_on_increments(dx[start:stop], self.depth, self.discretization_order)

        dx = path_increments(x)
        numbers = size_of(dx, 1) * self.num_channels_seen ** (self.depth - 1)
        return tf.ensure_shape(in_chunks(rows, size_of(x, 0), rows_at_once(numbers), dx), [None, self.num_words])

    def _weighted_signature(self, x: tf.Tensor) -> tf.Tensor:
        """Explicit signatures times √w: [..., M]."""
        return self._signature(x) * tf.sqrt(self.word_variances)

    def _gram(self, x: tf.Tensor, y: tf.Tensor | None) -> tf.Tensor:
        if self.explicit:
            S = self._weighted_signature(x)
            if y is not None:
                return tf.matmul(S, self._weighted_signature(y), transpose_b=True)
            return gram_of_rows(S)
        if y is not None:
            num_x, num_y = size_of(x, 0), size_of(y, 0)
            rows = self._of_pairs(x, y, num_x * num_y, lambda ids: (ids // num_y, ids % num_y))
            return tf.reshape(rows, [num_x, num_y])
        return on_merged(self._symmetric_grams, x, axes=3)

    def _symmetric_grams(self, x: tf.Tensor) -> tf.Tensor:
        """κ of scaled paths [B, N, L, D] with those of the same set, by sums over index tuples: [B, N, N]."""
        num_sets, num_paths = size_of(x, 0), size_of(x, 1)
        upper, numbers = upper_pairs(num_paths)
        num_pairs = num_paths * (num_paths + 1) // 2

        def pairs(ids: tf.Tensor) -> list[tf.Tensor]:
            number_of_set, number = ids // tf.maximum(num_pairs, 1), ids % tf.maximum(num_pairs, 1)
            return tf.unstack(number_of_set[:, None] * num_paths + tf.gather(upper, number), axis=1)

        paths = merged(x)
        values = self._of_pairs(paths, paths, num_sets * num_pairs, pairs)
        return tf.gather(tf.reshape(values, [num_sets, num_pairs]), numbers, axis=1)

    def _squared_norm(self, x: tf.Tensor) -> tf.Tensor:
        return on_merged(self._squared_norm_of_rows, x)

    def _squared_norm_of_rows(self, x: tf.Tensor) -> tf.Tensor:
        """κ of each scaled path [N, L, D] with itself: [N]."""
        if not self.explicit:
            return self._of_pairs(x, x, size_of(x, 0), lambda ids: (ids, ids))

        def rows(start: tf.Tensor, stop: tf.Tensor, x: tf.Tensor, variances: tf.Tensor) -> tf.Tensor:
            return tf.linalg.matvec(tf.square(self._signature(x[start:stop])), variances)

        chunk = max(1, _WORDS_AT_ONCE // self.num_words)
        return tf.ensure_shape(in_chunks(rows, size_of(x, 0), chunk, x, self.word_variances), [None])

    def _of_pairs(
        self,
        x: tf.Tensor,
        y: tf.Tensor,
        count: int | tf.Tensor,
        pairs: Callable[[tf.Tensor], Sequence[tf.Tensor]],
        weights: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """
        κ of pairs of paths, by sums over index tuples: [count].

        :param pairs: turns the numbers of pairs into indices of x and y.
        :param weights: the weights of the levels; None: their variances.
        """

        def rows(start: tf.Tensor, stop: tf.Tensor, x: tf.Tensor, y: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
            i, j = pairs(tf.range(start, stop))
            p = self._cells(tf.gather(x, i), tf.gather(y, j))
            return w[0] + kernel_of_increments(tf.transpose(p, [1, 2, 0]), w[1:], self.discretization_order)

        numbers = size_of(x, 1) * size_of(y, 1) * (1 if self.is_linear else self.num_channels_seen)
        weights = tf.convert_to_tensor(self.level_variances if weights is None else weights)
        return tf.ensure_shape(in_chunks(rows, count, rows_at_once(numbers), x, y, weights), [None])

    def _cells(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Inner products of increments of (lifted) paths [P, L1, D] and [P, L2, D] by pairs: [P, L1 - 1, L2 - 1]."""
        if self.static_kernel is None or self.is_linear:
            return tf.matmul(path_increments(x), path_increments(y), transpose_b=True)
        return static_kernels.increments(pairs_function(self.static_kernel), x, y)


def path_increments(x: tf.Tensor) -> tf.Tensor:
    """dx, the increments of paths [N, L, D]: [N, L - 1, D]."""
    return x[:, 1:] - x[:, :-1]


@tf.custom_gradient
def gram_of_rows(S: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """S Sᵀ, symmetric to the last bit, which a matrix product need not be; its gradient takes half the work."""
    K = tf.matmul(S, S, transpose_b=True)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return tf.matmul(upstream + tf.linalg.matrix_transpose(upstream), S)

    return 0.5 * (K + tf.linalg.matrix_transpose(K)), gradient


def rows_at_once(numbers: int | tf.Tensor) -> int | tf.Tensor:
    """How many rows to compute at once if each row needs some dozens of tensors with this many numbers."""
    if isinstance(numbers, int):
        return max(1, _NUMBERS_AT_ONCE // max(1, numbers))
    return tf.maximum(1, _NUMBERS_AT_ONCE // tf.maximum(1, numbers))


def _each_level(level_variances: TensorData, depth: int) -> np.ndarray:
    """:raises ValueError: for what is neither a scalar nor one number for each level."""
    check_unmasked(level_variances, "level_variances")
    values = np.asarray(level_variances)
    if values.ndim == 0:
        return np.full(depth + 1, values)
    if values.shape != (depth + 1,):
        raise ValueError(
            f"level_variances must be a scalar, with which all levels start, or have shape [{depth + 1}], one for each "
            f"level from 0 to the depth, {depth}, got shape {values.shape}."
        )
    return values
