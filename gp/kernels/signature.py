"""The signature kernel as a GPflow kernel."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import Parameter, TensorData, TensorType

from sigkernel_tf._extended_range import Extended, power_of_two
from sigkernel_tf._padded_paths import faded
from sigkernel_tf._path_lengths import Paths, points_up_to_last_change
from sigkernel_tf._words import num_words_up_to
from sigkernel_tf.goursat import PowerSeries, Solver, solver_attributes
from sigkernel_tf.signatures import signature

from .._checks import described, one_or_each, positive_parameter
from . import tiles
from .levels import level_variances_parameter, levels_of_words
from .lifting import Lifting, Time
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
    with or without ARD, the RBF and, on the CPU, Matérn 1/2, 3/2 and 5/2. For any other, the increments are formed for
    one tile of pairs at a time, and again for the gradient. This takes about 200 MB whatever the number of paths; a
    single pair of long paths may take more, about 5 L² (D + 3) numbers in a gradient.

    **Without differencing**, ``difference=False``, the kernel is that of the integral of the lifted path over its own
    length, t ↦ ∫₀ᵗ κ(x_s, ·) ds: :func:`sigkernel_tf.signature_kernel` says which increments that has. It depends on
    the points themselves, in their order, and a shape counts wherever it occurs. The variance of the static kernel then
    says how much the higher levels of the signature matter; 4 to 32 is usual.

    **Windows** of a path's values, (x_t, x_{t + dilation}, ...), can stand for its points, so that the static kernel
    compares shapes and not single values. A path of n points has n − (window − 1) · dilation of them, of which every
    ``stride``-th is kept; a path that is shorter than a window has one, filled up with its last value. With ``centre``
    the mean of each channel is subtracted in each window, and with ``scale`` each channel is divided by its deviation
    in the window plus a tenth of its deviation in the whole path, and is 0 where both are 0. Then all is divided by
    √window, and by the lengthscales, of which there is one for each channel of the data. On the CPU, under the static
    kernels that are compiled, the sweep cuts the windows of one path at a time; elsewhere those of all are formed.

    **Time** can stand beside the channels, as one more channel in front of a window's: ``time_scale`` times the number
    of the window, over the number of the last one (``time="relative"``, from 0 to ``time_scale``), or per time step of
    the data (``time="absolute"``). No lengthscale divides it.

    The points that the static kernel sees have window · D channels, and one more with time; first all channels at t,
    then those at t + dilation, and so on. Everywhere here a path ends with its last change, in any of its channels; a
    constant tail is padding. With any of these options there are no signature features, for they are plain paths'
    alone.

    **Variances of levels.** With ``level_variances`` [w_0, ..., w_n, w_rest] each level of the signature up to n has a
    variance of its own, and all levels beyond have one in common:

    .. math:: k(x, y) = σ² \bigl( \sum_{j \le n} w_j ⟨S_j, S_j⟩ + w_{rest} (⟨S, S⟩ - \sum_{j \le n} ⟨S_j, S_j⟩) \bigr)

    They are one trainable parameter. A 0 leaves its levels out and stays a 0 in training; the others stay positive.
    With w_rest = 0 the kernel is that of truncated signatures, and no Goursat problem is solved. σ² multiplies all of
    them: where that is one parameter too many, hold it with ``gpflow.set_trainable(kernel.variance, False)``.

    **Forgetting.** With ``half_life`` an increment counts half as much for every ``half_life`` steps that come after it
    (:func:`sigkernel_tf.paths.fade`), up to the last change of its path (Toth, Cucuringu & Oberhauser 2024). It is
    trained, and the kernel keeps its signature features. It needs the linear static kernel, without windows or time.

    Each pair of paths costs one Goursat problem, O(L² (D + K²)); see :class:`sigkernel_tf.PowerSeries`. With
    ``level_variances`` the truncated signatures of all paths, D^n numbers each, and their inner products come on top.
    The kernel can be differentiated once.

    >>> SignatureKernel(2, lengthscales=[1.0, 2.0], normalize=True)(rows).shape
    TensorShape([20, 20])
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
        difference: bool = True,
        window: int = 1,
        dilation: int = 1,
        stride: int = 1,
        centre: bool = False,
        scale: bool = False,
        time_scale: TensorData | None = None,
        time: Time = "relative",
        half_life: TensorData | None = None,
        normalize: bool = False,
        solver: Solver = PowerSeries(),
        active_dims: slice | Sequence[int] | None = None,
        name: str | None = None,
    ) -> None:
        """
        :param num_channels: the number of channels of every path in the data. Rows do not say it, so that a wrong
            number goes unseen where it divides their width.
        :param channels: the D channels that the kernel sees, counted from 0; None: all of them.
        :param lengthscales: positive: a scalar for all channels, or a vector [D] with one for each (ARD).
        :param variance: σ², positive.
        :param static_kernel: a kernel of :mod:`gpflow.kernels` on points of D channels, or a function of
            :mod:`sigkernel_tf.static_kernels` with its parameters fixed; None is the linear one.
        :param level_variances: [w_0, ..., w_n, w_rest], n >= 0, not negative: the variance of each level up to n and
            of all levels beyond. An integer n stands for n + 2 ones. None: there are none, as if all were 1.
        :param difference: whether the increments of the lifted path enter, or the values of the static kernel.
        :param window: how many values of each channel make a point.
        :param dilation: the number of time steps from one of them to the next.
        :param stride: the number of time steps from one window to the next that is kept.
        :param centre: whether the mean of each channel is subtracted in each window. Needs a window of 2 or more.
        :param scale: whether each channel of a window is divided by its deviation.
        :param time_scale: the scale of time as a channel in front of all others, positive and trained; None: no time.
        :param time: "relative" to the length of the path, or "absolute", per time step.
        :param half_life: None, or in how many time steps an increment comes to count half as much, positive: a scalar,
            or a vector [D] with one for each channel.
        :param normalize: whether to divide by sqrt(k(x, x) k(y, y)). Needs w_0 > 0, for a path that stands still has
            nothing beyond level 0. An InvalidArgumentError where a coarse solver makes k(x, x) negative. On the CPU
            k itself may then lie far beyond the largest number of the dtype, as it does for long paths, under the
            static kernels that are compiled (linear, RBF and Matérn) and without ``level_variances``; otherwise it must
            not overflow.
        :param solver: :class:`sigkernel_tf.PowerSeries`, exact to rounding, or :class:`sigkernel_tf.FiniteDifference`.
        :param active_dims: the columns of X that hold the flattened path, a slice or their indices; None: all.
        :raises ValueError: for an option of another shape or range, and for level variances together with a static
            kernel that is not linear, with windows, with time or without differencing.
        :raises TypeError: for a ``num_channels`` that is no integer, and for another solver or static kernel.
        """
        if time_scale is None and time == "absolute":
            raise ValueError('time="absolute" needs a time_scale, got None: give for instance time_scale=0.1.')
        lifting = Lifting(
            difference, window, dilation, stride, centre, scale, time=None if time_scale is None else time
        )
        # Before all else, as it says how many channels the static kernel sees.
        self.lifting = lifting if lifting.arguments() else None
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
        self.time_scale = None if time_scale is None else _one_positive(time_scale, "time_scale")
        self.half_life = None if half_life is None else self._half_life(half_life)
        self.level_variances: Parameter | None = None
        self._num_weighed = 0  # words with a variance of their own
        if level_variances is not None:
            self._set_level_variances(level_variances)

    @property
    def num_channels_of_points(self) -> int:
        """The number of channels of the points that the static kernel sees: window · D, and one more with time."""
        return self.num_channels_seen if self.lifting is None else self.lifting.num_channels(self.num_channels_seen)

    @property
    def what_lifts(self) -> list[str]:
        """The arguments without whose defaults there are no signature features. Empty: the kernel has features."""
        static = [] if self.is_linear else ["static_kernel"]
        return static if self.lifting is None else static + self.lifting.arguments()

    def _check_linear(self) -> None:
        super()._check_linear()
        if self.what_lifts:
            raise TypeError(
                "signature features exist only for the paths themselves, got a SignatureKernel with "
                f"{' and '.join(self.what_lifts)} not at the default: leave it out, or take inducing points or "
                "InducingSequences, which need no features."
            )

    def _half_life(self, value: TensorData) -> Parameter:
        if self.what_lifts:
            raise ValueError(
                f"half_life must be None where {' and '.join(self.what_lifts)} is not at the default, got {value!r}: "
                "leave one of the two out; sk.RandomSignatureFeatures(half_life=...) forgets under an RBF kernel."
            )
        return one_or_each(value, "half_life", self.num_channels_seen)

    def _set_level_variances(self, values: int | TensorData) -> None:
        if not self.is_linear:
            raise ValueError(
                f"level_variances must be None with static_kernel={described(self.static_kernel)}, got "
                f"{values!r}: lifted paths have no signatures to weigh. Leave one of the two out."
            )
        if self.what_lifts:
            raise ValueError(
                f"level_variances must be None where {' and '.join(self.what_lifts)} is not at the default, got "
                f"{values!r}: only the paths themselves have signatures to weigh. Leave one of the two out."
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

    @check_shapes("return: [..., N, M]")
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
        k = tiles.diagonal_in_extended_range(None, Paths(x, None), self.solver)
        return tf.reduce_sum(tf.square(S), axis=-1) * power_of_two(-k.exponent), k.mantissa

    def _scaled(self, *paths: tf.Tensor) -> list[tf.Tensor]:
        """As for any kernel of paths; windows are cut first, and so scaled later."""
        scaled = super()._scaled(*paths) if self.lifting is None else list(paths)
        if self.half_life is None:
            return scaled
        return [faded(x, points_up_to_last_change(x), tf.convert_to_tensor(self.half_life)) for x in scaled]

    def _pde_gram(self, x: tf.Tensor, y: tf.Tensor | None) -> tf.Tensor:
        """⟨S(x), S(y)⟩, lifted by the static kernel."""
        points = self._points(x) if y is None else self._points(x, y)
        return tiles.gram(self._kernel_of_points, points[0], None if y is None else points[1], self.solver)

    def _pde_diag(self, x: tf.Tensor) -> tf.Tensor:
        """⟨S(x), S(x)⟩, lifted by the static kernel."""
        return tiles.diagonal(self._kernel_of_points, self._points(x)[0], self.solver)

    @property
    def _kernel_of_points(self) -> PointKernel | None:
        """The static kernel of scaled points, in which the variance of a linear one has been counted."""
        return None if self.is_linear else self.static_kernel

    def _points(self, *paths: tf.Tensor) -> list[Paths]:
        """The scaled points of several sets of paths [..., L, D], for the static kernel to see."""
        if self.lifting is None:  # they have been scaled
            return [Paths(x, None) for x in paths]
        lifting = self.lifting
        if lifting.moves_with_values and (lifting.difference or not self.is_linear):
            paths = tuple(self._moved(*paths))
        lengthscales = tf.broadcast_to(self.lengthscales, [self.num_channels_seen])
        windows = lifting.compiled(self._of_linear(lifting.factors(lengthscales, self.time_scale)))
        if lifting.window > 1 and tiles.cuts_windows(self._kernel_of_points, windows):
            return [Paths(x, points_up_to_last_change(x), windows) for x in paths]
        cut = [lifting.points(x) for x in paths]
        return [Paths(points * windows.factors, None if lifting.difference else counts) for points, counts in cut]

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
        points = self._points(x) if y is None else self._points(x, y)
        return tiles.gram_in_extended_range(
            self._kernel_of_points, points[0], None if y is None else points[1], self.solver
        )

    def _extended_squared_norm(self, x: tf.Tensor, S: tf.Tensor | None = None) -> Extended:
        if self.level_variances is not None:
            return Extended.of(self._squared_norm(x, S))
        return tiles.diagonal_in_extended_range(self._kernel_of_points, self._points(x)[0], self.solver)

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


def _one_positive(value: TensorData, name: str) -> Parameter:
    """:raises ValueError: for anything but one positive number."""
    parameter = positive_parameter(value, name)
    if parameter.shape.rank != 0:
        raise ValueError(f"{name} must be one number, got shape {parameter.shape}: for instance {name}=1.0.")
    return parameter


def _symmetric(k: tf.Tensor) -> tf.Tensor:
    """Matrices [..., N, N] made symmetric to the last bit."""
    return (k + tf.linalg.matrix_transpose(k)) / 2


def _not_negative(rest: tf.Tensor) -> tf.Tensor:
    """The part of k(x, x) beyond the first levels, without the negative numbers that rounding may leave."""
    return tf.maximum(rest, tf.zeros_like(rest))
