"""The signature kernel as a GPflow kernel."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import Parameter, TensorData, TensorType
from gpflow.kernels import Linear

from sigkernel_tf._words import num_words_up_to
from sigkernel_tf.goursat import PowerSeries, Solver, solver_attributes
from sigkernel_tf.signature_kernels import signature_kernel_diag, signature_kernel_gram
from sigkernel_tf.signatures import signature

from . import static
from .levels import level_variances_parameter, levels_of_words
from .paths import PathKernel
from .static import PointKernel


class SignatureKernel(PathKernel):
    r"""
    The signature kernel of paths, k(x, y) = σ² ⟨S(θ x), S(θ y)⟩ (eqs. 15 and 18), on flattened paths [N, L * D].

    S is the signature, the empty word included, of the piecewise linear path through the points, and
    θ = 1 / lengthscales scales each channel. Lengthscales carry the channels' units; a channel with a long one matters
    little. The kernel sees increments alone: paths that start at different points are alike unless a base point is put
    in front of them (:func:`sigkernel_tf.paths.add_basepoint`). Values grow quickly with a path's length over the
    lengthscales: standardise paths, or take ``normalize=True``.

    X and X2 may differ in width: paths of any length have a kernel with one another. ``channels`` and ``active_dims``
    choose what the kernel sees of each row, so that it can be added to others and multiplied with them.

    **A static kernel** κ lifts the paths' points first: the kernel is that of t ↦ κ(x_t, ·), which sees more than the
    increments of the paths, and sees them nonlinearly. Any kernel of :mod:`gpflow.kernels` for points serves; its
    parameters are trained with this one's. Its lengthscales and ours scale the points alike: hold one of the two. The
    linear one, with or without ARD, and the RBF enter the compiled sweep; of others the increments are formed for a
    tile of pairs at a time, and again for the gradient, in some 200 MB whatever the number of paths (more only where a
    single pair of paths needs more: L² (D + 3) numbers, of which the gradient holds about five times as many).

    **Variances of levels.** With ``level_variances`` [w_0, ..., w_n, w_rest] the levels of the signature have a
    variance each, up to level n, and all levels beyond have one in common:

    .. math:: k(x, y) = σ² \bigl( \sum_{j \le n} w_j ⟨S_j, S_j⟩ + w_{rest} (⟨S, S⟩ - \sum_{j \le n} ⟨S_j, S_j⟩) \bigr)

    They are one trainable parameter. A 0 leaves its levels out and stays a 0 in training; the others stay positive.
    Without w_rest (a 0) the kernel is that of truncated signatures, and no Goursat problem is solved. σ² multiplies all
    of them: where that is one parameter too many, hold it with ``gpflow.set_trainable(kernel.variance, False)``.

    Cost: one Goursat problem a pair, O(L² (D + K²)); see :class:`sigkernel_tf.PowerSeries`. With ``level_variances``
    also the truncated signatures of all paths, D^n numbers each, and their inner products. Differentiable once.
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
        :param channels: those D that the kernel sees, counted from 0; None: all, D = ``num_channels``.
        :param lengthscales: a scalar is one parameter for all channels, a vector [D] has one for each (ARD); positive,
            in the channels' units.
        :param variance: σ², multiplies last, after normalizing; positive.
        :param static_kernel: None is the linear one. A kernel of :mod:`gpflow.kernels` on points of D channels, its
            parameters trainable; or a function of :mod:`sigkernel_tf.static_kernels`, or like one, its parameters fixed
            by ``functools.partial``.
        :param level_variances: [w_0, ..., w_n, w_rest], n >= 0, not negative: the variance of each level up to n and
            of all levels beyond; an integer n stands for n + 2 ones. None: there are none, as if all were 1.
        :param normalize: divide by sqrt(k(x, x) k(y, y)), so that k(x, x) = σ² for every path. Needs w_0 > 0: a path
            that stands still has nothing beyond level 0.
        :param solver: :class:`sigkernel_tf.PowerSeries`, exact to rounding, or :class:`sigkernel_tf.FiniteDifference`.
        :param active_dims: the columns of X that hold the flattened path, a slice or their indices; None: all.
        :raises ValueError: for no channels or others than the paths have, lengthscales, level variances or active_dims
            of another shape or range, and level variances with a static kernel that is not linear.
        :raises TypeError: for a ``num_channels`` that is no integer, and for another solver or static kernel.
        """
        super().__init__(
            num_channels,
            channels=channels,
            lengthscales=lengthscales,
            variance=variance,
            normalize=normalize,
            active_dims=active_dims,
            name=name,
        )
        solver_attributes(solver, tf.float64)  # a wrong solver is refused here, not at the first call
        self.solver = solver
        if static_kernel is not None:
            static.check_static_kernel(static_kernel, self.num_channels_seen)
        self.static_kernel = static_kernel
        self.level_variances: Parameter | None = None
        self._num_weighed = 0  # words with a variance of their own
        if level_variances is not None:
            self._set_level_variances(level_variances)

    def _set_level_variances(self, values: int | TensorData) -> None:
        if not self.is_linear:
            raise ValueError(
                f"level_variances must be None with static_kernel={static.describe(self.static_kernel)}, got "
                f"{values!r}: there are no signatures of lifted paths to weigh. Leave one of the two out."
            )
        if isinstance(values, (int, np.integer)) and not isinstance(values, bool):
            if values < 0:
                raise ValueError(f"level_variances must be a vector or an integer of at least 0, got {values}.")
            values = np.ones(int(values) + 2)
        self.level_variances = level_variances_parameter(values)
        self._is_nonzero = self.level_variances.numpy() > 0  # what is 0 now stays 0
        depth = len(self._is_nonzero) - 2
        self._num_weighed = num_words_up_to(depth, self.num_channels_seen, self.level_variances.dtype.size)
        if self.normalize and not self._is_nonzero[0]:
            raise ValueError(
                "normalize=True needs level_variances[0] > 0, got 0: k(x, x) of a path that stands still would be 0."
            )

    @property
    def is_linear(self) -> bool:
        """Whether the static kernel is None or a ``gpflow.kernels.Linear``: only then are there signature features."""
        return static.is_linear(self.static_kernel)

    @check_shapes(
        "X: [N, ...]",
        "return: [N, M]",
    )
    def features(self, X: TensorType, num_words: int) -> tf.Tensor:
        r"""
        The first M signature features, S_M(X) of eq. 28 times σ (and over \|S(θ x)\| where normalizing).

        They are the first coordinates of an orthonormal basis (eq. 24), in the order of :func:`sigkernel_tf.words`:
        the inner product of all of them is the kernel. With ``level_variances`` the feature of a word with j letters
        carries the square root of w_j (of w_rest beyond level n), and all this still holds.

        :param X: rows with flattened paths in the active columns, as calling the kernel takes them.
        :param num_words: M.
        :raises TypeError: where the static kernel is not linear.
        """
        x = self._paths_with_signatures(X)
        if not self.normalize:
            return self._basis(signature(x, num_words=num_words))
        S = signature(x, num_words=max(num_words, self._num_weighed))
        return self._basis(S[:, :num_words], self._squared_norm(x, S))

    @check_shapes(
        "X: [N, ...]",
        "return[0]: [N, M]",
        "return[1]: [N, N] if full_cov",
        "return[1]: [N] if not full_cov",
    )
    def features_and_covariance(
        self, X: TensorType, num_words: int, *, full_cov: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """
        :meth:`features`, and K(X) or its diagonal: what a posterior needs, with nothing computed twice.

        :param X: rows with flattened paths in the active columns, as calling the kernel takes them.
        :param num_words: M.
        :param full_cov: K(X), and not its diagonal.
        :raises TypeError: where the static kernel is not linear.
        """
        x = self._paths_with_signatures(X)
        S = signature(x, num_words=max(num_words, self._num_weighed))
        k = self._gram(x, S=S) if full_cov else self._squared_norm(x, S)
        if not self.normalize:
            return self._basis(S[:, :num_words]), self.variance * k
        if not full_cov:
            return self._basis(S[:, :num_words], k), self.variance * tf.ones_like(k)
        squared_norm = tf.linalg.diag_part(k)
        return self._basis(S[:, :num_words], squared_norm), self._normalized(k, squared_norm)

    @check_shapes(
        "X: [N, ...]",
        "return[0]: [N]",
        "return[1]: [N]",
    )
    def plain_squared_norms(self, X: TensorType, num_words: int) -> tuple[tf.Tensor, tf.Tensor]:
        r"""
        \|S_M(θ x)\|² and \|S(θ x)\|² of paths, the latter as the solver has it: what tells how good the solver is.

        Neither σ² nor level variances enter, and where these name more than M words, all of them count.

        :param X: rows with flattened paths in the active columns, as calling the kernel takes them.
        :param num_words: M.
        :raises TypeError: where the static kernel is not linear.
        """
        x = self._paths_with_signatures(X)
        S = signature(x, num_words=max(num_words, self._num_weighed))
        return tf.reduce_sum(tf.square(S), axis=1), self._pde_diag(x)

    def _scaled_paths(self, X: TensorType, name: str) -> tf.Tensor:
        """The linear static kernel's variance scales paths, too, one for each channel or one for all."""
        x = super()._scaled_paths(X, name)
        if self.is_linear and isinstance(self.static_kernel, Linear):
            return x * tf.sqrt(self.static_kernel.variance)
        return x

    def _paths_with_signatures(self, X: TensorType) -> tf.Tensor:
        if not self.is_linear:
            raise TypeError(
                "signature features are a basis for the linear static kernel alone, got "
                f"static_kernel={static.describe(self.static_kernel)}: take static_kernel=None."
            )
        return self._scaled_paths(self._active(X, "X"), "X")

    def _pde_gram(self, x: tf.Tensor, y: tf.Tensor | None) -> tf.Tensor:
        """⟨S(x), S(y)⟩, lifted by the static kernel."""
        if self.is_linear:
            return signature_kernel_gram(x, y, solver=self.solver)
        assert self.static_kernel is not None
        return static.gram(self.static_kernel, x, y, self.solver)

    def _pde_diag(self, x: tf.Tensor) -> tf.Tensor:
        """⟨S(x), S(x)⟩, lifted by the static kernel."""
        if self.is_linear:
            return signature_kernel_diag(x, solver=self.solver)
        assert self.static_kernel is not None
        return static.diagonal(self.static_kernel, x, self.solver)

    def _basis(self, S: tf.Tensor, squared_norm: tf.Tensor | None = None) -> tf.Tensor:
        """The features of plain signatures [N, M]."""
        if self.level_variances is not None:
            S *= self._of_words(self._square_roots(), S.shape[1])
        if squared_norm is not None:
            S /= tf.sqrt(squared_norm)[:, None]
        return tf.sqrt(self.variance) * S

    def _gram(self, x: tf.Tensor, y: tf.Tensor | None = None, S: tf.Tensor | None = None) -> tf.Tensor:
        """``S`` are signatures of x, where they are there already, of ``_num_weighed`` words or more."""
        if self.level_variances is None:
            return self._pde_gram(x, y)
        S = self._weighed_words(x, S)
        T = S if y is None else self._weighed_words(y)
        k = tf.matmul(S * self._of_words(self.level_variances, self._num_weighed), T, transpose_b=True)
        if y is None:
            k = (k + tf.transpose(k)) / 2  # symmetric to the last bit
        if self._is_nonzero[-1]:
            rest = self._pde_gram(x, y) - tf.matmul(S, T, transpose_b=True)
            if y is None:
                rest = (rest + tf.transpose(rest)) / 2
                rest = tf.linalg.set_diag(rest, _not_negative(tf.linalg.diag_part(rest)))
            k += self.level_variances[-1] * rest
        return k

    def _squared_norm(self, x: tf.Tensor, S: tf.Tensor | None = None) -> tf.Tensor:
        """``S`` as in ``_gram``."""
        if self.level_variances is None:
            return self._pde_diag(x)
        squares = tf.square(self._weighed_words(x, S))
        k = tf.linalg.matvec(squares, self._of_words(self.level_variances, self._num_weighed))
        if self._is_nonzero[-1]:
            rest = self._pde_diag(x) - tf.reduce_sum(squares, axis=1)
            k += self.level_variances[-1] * _not_negative(rest)
        return k

    def _weighed_words(self, x: tf.Tensor, S: tf.Tensor | None = None) -> tf.Tensor:
        """The signatures of paths [N, L, D] up to the last level with a variance of its own."""
        return signature(x, num_words=self._num_weighed) if S is None else S[:, : self._num_weighed]

    def _of_words(self, of_levels: tf.Tensor, num_words: int) -> tf.Tensor:
        """For each of the first words what [w_0, ..., w_n, w_rest] or its square roots hold for its level."""
        levels = levels_of_words(self.num_channels_seen, num_words)
        return tf.gather(of_levels, np.minimum(levels, len(self._is_nonzero) - 1))

    def _square_roots(self) -> tf.Tensor:
        """Those of the level variances, with a finite gradient where they are held at 0."""
        values = tf.where(self._is_nonzero, self.level_variances, tf.ones_like(self.level_variances))
        return tf.where(self._is_nonzero, tf.sqrt(values), tf.zeros_like(values))


def _not_negative(rest: tf.Tensor) -> tf.Tensor:
    """What is left of k(x, x) beyond the first levels: where that is next to nothing, rounding may take it below 0."""
    return tf.maximum(rest, tf.zeros_like(rest))
