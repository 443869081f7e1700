"""The signature kernel as a GPflow kernel."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import Parameter, TensorData, TensorType

from sigkernel_tf._extended_range import Extended, power_of_two
from sigkernel_tf._words import num_words_up_to
from sigkernel_tf.goursat import PowerSeries, Solver, solver_attributes
from sigkernel_tf.signature_kernels import extended_diag, extended_gram, signature_kernel_diag, signature_kernel_gram
from sigkernel_tf.signatures import signature

from .._checks import described
from . import tiles
from .levels import level_variances_parameter, levels_of_words
from .paths import PathKernel
from .points import PointKernel


class SignatureKernel(PathKernel):
    r"""
    The signature kernel of paths, k(x, y) = σ² ⟨S(θ x), S(θ y)⟩ (eqs. 15 and 18), on flattened paths [..., N, L * D].

    S is the signature of the piecewise linear path through the points, including the empty word, and
    θ = 1 / lengthscales scales each channel. Lengthscales are in the channels' units; a channel with a long lengthscale
    matters little. The kernel sees only increments: to tell apart paths that start at different points, put a base
    point in front of them (:func:`sigkernel_tf.paths.add_basepoint`). Values grow quickly with a path's length relative
    to the lengthscales: standardise the paths, or take ``normalize=True``.

    X and X2 may differ in width, for paths of different lengths can be compared. ``channels`` and ``active_dims``
    choose what the kernel sees of each row, so that it can be added to other kernels and multiplied with them.

    **A static kernel** κ lifts the points of the paths first. The kernel is then that of the path t ↦ κ(x_t, ·), which
    depends nonlinearly on the points themselves and not only on their increments. Every kernel of
    :mod:`gpflow.kernels` for points can be used, and its parameters are trained with those of this kernel. Its
    lengthscales scale the points as ours do, so hold one of the two. The compiled operations know the linear kernel,
    with or without ARD, and the RBF. For any other, the increments are formed for one tile of pairs at a time, and
    again for the gradient. This takes about 200 MB whatever the number of paths; a single pair of long paths may take
    more, about 5 L² (D + 3) numbers in a gradient.

    **Variances of levels.** With ``level_variances`` [w_0, ..., w_n, w_rest] each level of the signature up to n has a
    variance of its own, and all levels beyond have one in common:

    .. math:: k(x, y) = σ² \bigl( \sum_{j \le n} w_j ⟨S_j, S_j⟩ + w_{rest} (⟨S, S⟩ - \sum_{j \le n} ⟨S_j, S_j⟩) \bigr)

    They are one trainable parameter. A 0 leaves its levels out and stays a 0 in training; the others stay positive.
    With w_rest = 0 the kernel is that of truncated signatures, and no Goursat problem is solved. σ² multiplies all of
    them: where that is one parameter too many, hold it with ``gpflow.set_trainable(kernel.variance, False)``.

    Each pair of paths costs one Goursat problem, O(L² (D + K²)); see :class:`sigkernel_tf.PowerSeries`. With
    ``level_variances`` the truncated signatures of all paths, D^n numbers each, and their inner products come on top.
    The kernel can be differentiated once.
    """

    def __init__(
        self,
        num_channels: int,
        *,
        channels: Sequence[int] | None = None,
        lengthscales: TensorData = 1.0,
        variance: TensorData = 1.0,
        static_kernel: PointKernel | None = None,
        level_variances: int | TensorData | None = None,
        normalize: bool = False,
        solver: Solver = PowerSeries(),
        active_dims: slice | Sequence[int] | None = None,
        name: str | None = None,
    ) -> None:
        """
        :param num_channels: the number of channels of every path in the data.
        :param channels: the D channels that the kernel sees, counted from 0; None: all of them.
        :param lengthscales: positive: a scalar for all channels, or a vector [D] with one for each (ARD).
        :param variance: σ², positive.
        :param static_kernel: a kernel of :mod:`gpflow.kernels` on points of D channels, or a function of
            :mod:`sigkernel_tf.static_kernels` with its parameters fixed; None is the linear one.
        :param level_variances: [w_0, ..., w_n, w_rest], n >= 0, not negative: the variance of each level up to n and
            of all levels beyond. An integer n stands for n + 2 ones. None: there are none, as if all were 1.
        :param normalize: whether to divide by sqrt(k(x, x) k(y, y)). Needs w_0 > 0, for a path that stands still has
            nothing beyond level 0. An InvalidArgumentError where a coarse solver makes k(x, x) negative. On the CPU
            k itself may then lie far beyond the largest number of the dtype, as it does for long paths, under the
            linear and the RBF static kernel and without ``level_variances``; otherwise it must not overflow.
        :param solver: :class:`sigkernel_tf.PowerSeries`, exact to rounding, or :class:`sigkernel_tf.FiniteDifference`.
        :param active_dims: the columns of X that hold the flattened path, a slice or their indices; None: all.
        :raises ValueError: for an option of another shape or range, and for level variances together with a static
            kernel that is not linear.
        :raises TypeError: for a ``num_channels`` that is no integer, and for another solver or static kernel.
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
        solver_attributes(solver, tf.float64)  # a wrong solver is refused here, not at the first call
        self.solver = solver
        self.level_variances: Parameter | None = None
        self._num_weighed = 0  # words with a variance of their own
        if level_variances is not None:
            self._set_level_variances(level_variances)

    def _set_level_variances(self, values: int | TensorData) -> None:
        if not self.is_linear:
            raise ValueError(
                f"level_variances must be None with static_kernel={described(self.static_kernel)}, got "
                f"{values!r}: lifted paths have no signatures to weigh. Leave one of the two out."
            )
        if isinstance(values, (int, np.integer)) and not isinstance(values, bool):
            if values < 0:
                raise ValueError(
                    f"level_variances must be a vector or an integer of at least 0, got {values}: for instance 2."
                )
            values = np.ones(int(values) + 2)
        self.level_variances = level_variances_parameter(values, normalize=self.normalize)
        self._is_nonzero = self.level_variances.numpy() > 0  # what is 0 now stays 0
        depth = len(self._is_nonzero) - 2
        self._num_weighed = num_words_up_to(depth, self.num_channels_seen, self.level_variances.dtype.size)

    @check_shapes(
        "return: [..., N, M]",
    )
    def features(self, X: TensorType, num_words: int) -> tf.Tensor:
        r"""
        The first M signature features, S_M(X) of eq. 28 times σ (and over \|S(θ x)\| where normalizing): [..., N, M].

        They are the first coordinates of an orthonormal basis (eq. 24), in the order of :func:`sigkernel_tf.words`:
        the inner product of all of them is the kernel. With ``level_variances`` the feature of a word with j letters
        carries the square root of w_j (of w_rest beyond level n), so that this still holds.

        :param X: rows with flattened paths in the active columns, as calling the kernel takes them.
        :param num_words: M.
        :raises TypeError: where the static kernel is not linear.
        """
        x = self._linear_paths(X)
        if not self.normalize:
            return self._basis(signature(x, num_words=num_words))
        S = signature(x, num_words=max(num_words, self._num_weighed))
        return self._basis(S[..., :num_words], self._extended_squared_norm(x, S))

    @check_shapes(
        "return[0]: [batch..., N, M]",
        "return[1]: [batch..., N, N] if full_cov",
        "return[1]: [batch..., N] if not full_cov",
    )
    def features_and_covariance(
        self, X: TensorType, num_words: int, *, full_cov: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """
        :meth:`features`, together with K(X) or its diagonal: a posterior needs both, and so nothing is computed twice.

        :param X: rows with flattened paths in the active columns, as calling the kernel takes them.
        :param num_words: M.
        :param full_cov: whether to give K(X) and not only its diagonal.
        :raises TypeError: where the static kernel is not linear.
        """
        x = self._linear_paths(X)
        S = signature(x, num_words=max(num_words, self._num_weighed))
        if not self.normalize:
            k = self._gram(x, S=S) if full_cov else self._squared_norm(x, S)
            return self._basis(S[..., :num_words]), self.variance * k
        if not full_cov:
            squared_norm = self._extended_squared_norm(x, S)
            return self._basis(S[..., :num_words], squared_norm), self.variance * tf.ones_like(squared_norm.mantissa)
        gram = self._extended_gram(x, S=S)
        squared_norm = Extended(*map(tf.linalg.diag_part, gram))
        return self._basis(S[..., :num_words], squared_norm), self._normalized(gram, squared_norm)

    @check_shapes(
        "return[0]: [batch..., N]",
        "return[1]: [batch..., N]",
    )
    def plain_squared_norms(self, X: TensorType, num_words: int) -> tuple[tf.Tensor, tf.Tensor]:
        r"""
        \|S_M(θ x)\|² and, as the solver computes it, \|S(θ x)\|² of each path: they show how accurate the solver is.

        Neither σ² nor level variances enter. If more than M words have a level variance, all of these count. Where the
        second is beyond 2^32, both are divided by the same power of two, so that long paths do not overflow.

        :param X: rows with flattened paths in the active columns, as calling the kernel takes them.
        :param num_words: M.
        :raises TypeError: where the static kernel is not linear.
        """
        x = self._linear_paths(X)
        S = signature(x, num_words=max(num_words, self._num_weighed))
        k = extended_diag(x, None, self.solver)
        return tf.reduce_sum(tf.square(S), axis=-1) * power_of_two(-k.exponent), k.mantissa

    def _pde_gram(self, x: tf.Tensor, y: tf.Tensor | None) -> tf.Tensor:
        """⟨S(x), S(y)⟩, lifted by the static kernel."""
        if self.is_linear:
            return signature_kernel_gram(x, y, solver=self.solver)
        assert self.static_kernel is not None
        return tiles.gram(self.static_kernel, x, y, self.solver)

    def _pde_diag(self, x: tf.Tensor) -> tf.Tensor:
        """⟨S(x), S(x)⟩, lifted by the static kernel."""
        if self.is_linear:
            return signature_kernel_diag(x, solver=self.solver)
        assert self.static_kernel is not None
        return tiles.diagonal(self.static_kernel, x, self.solver)

    def _basis(self, S: tf.Tensor, squared_norm: Extended | None = None) -> tf.Tensor:
        """The features of plain signatures [..., M]."""
        if self.level_variances is not None:
            S *= self._of_words(self._square_roots(), S.shape[-1])
        if squared_norm is not None:
            S = self._over_norms(S, squared_norm)
        return tf.sqrt(self.variance) * S

    def _gram(self, x: tf.Tensor, y: tf.Tensor | None = None, S: tf.Tensor | None = None) -> tf.Tensor:
        """``S`` are the signatures of x, of ``_num_weighed`` words or more, if they have been computed already."""
        if self.level_variances is None:
            return self._pde_gram(x, y)
        S = self._weighed_words(x, S)
        T = S if y is None else self._weighed_words(y)
        k = tf.matmul(S * self._of_words(self.level_variances, self._num_weighed), T, transpose_b=True)
        if y is None:
            k = _symmetric(k)
        if self._is_nonzero[-1]:
            rest = self._pde_gram(x, y) - tf.matmul(S, T, transpose_b=True)
            if y is None:
                rest = _symmetric(rest)
                rest = tf.linalg.set_diag(rest, _not_negative(tf.linalg.diag_part(rest)))
            k += self.level_variances[-1] * rest
        return k

    def _squared_norm(self, x: tf.Tensor, S: tf.Tensor | None = None) -> tf.Tensor:
        """``S`` is as in ``_gram``."""
        if self.level_variances is None:
            return self._pde_diag(x)
        squares = tf.square(self._weighed_words(x, S))
        k = tf.linalg.matvec(squares, self._of_words(self.level_variances, self._num_weighed))
        if self._is_nonzero[-1]:
            rest = self._pde_diag(x) - tf.reduce_sum(squares, axis=-1)
            k += self.level_variances[-1] * _not_negative(rest)
        return k

    def _extended_gram(self, x: tf.Tensor, y: tf.Tensor | None = None, S: tf.Tensor | None = None) -> Extended:
        if self.level_variances is not None:
            return Extended.of(self._gram(x, y, S))
        if self.is_linear:
            return extended_gram(x, y, None, self.solver)
        assert self.static_kernel is not None
        return tiles.gram_in_extended_range(self.static_kernel, x, y, self.solver)

    def _extended_squared_norm(self, x: tf.Tensor, S: tf.Tensor | None = None) -> Extended:
        if self.level_variances is not None:
            return Extended.of(self._squared_norm(x, S))
        if self.is_linear:
            return extended_diag(x, None, self.solver)
        assert self.static_kernel is not None
        return tiles.diagonal_in_extended_range(self.static_kernel, x, self.solver)

    def _weighed_words(self, x: tf.Tensor, S: tf.Tensor | None = None) -> tf.Tensor:
        """The signatures of paths [..., L, D] up to the last level with a variance of its own."""
        return signature(x, num_words=self._num_weighed) if S is None else S[..., : self._num_weighed]

    def _of_words(self, of_levels: tf.Tensor, num_words: int) -> tf.Tensor:
        """[w_0, ..., w_n, w_rest], or its square roots, at the level of each of the first words."""
        levels = levels_of_words(self.num_channels_seen, num_words)
        return tf.gather(of_levels, np.minimum(levels, len(self._is_nonzero) - 1))

    def _square_roots(self) -> tf.Tensor:
        """The square roots of the level variances, with a finite gradient where these are held at 0."""
        values = tf.where(self._is_nonzero, self.level_variances, tf.ones_like(self.level_variances))
        return tf.where(self._is_nonzero, tf.sqrt(values), tf.zeros_like(values))


def _symmetric(k: tf.Tensor) -> tf.Tensor:
    """Matrices [..., N, N] made symmetric to the last bit."""
    return (k + tf.linalg.matrix_transpose(k)) / 2


def _not_negative(rest: tf.Tensor) -> tf.Tensor:
    """The part of k(x, x) beyond the first levels, without the negative numbers that rounding may leave."""
    return tf.maximum(rest, tf.zeros_like(rest))
