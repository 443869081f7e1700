"""Random Fourier signature features, whose inner products approximate a truncated signature kernel."""

from typing import Any, Literal, get_args

import numpy as np
import tensorflow as tf

from . import _batches, _checks, static_kernels
from ._arguments import as_bool, as_int
from ._chunks import in_chunks
from ._padded_paths import fading_weights
from ._path_lengths import points_up_to_last_change
from .goursat import size_of

Projection = Literal["diagonal", "tensor"]

_NUMBERS_AT_ONCE = 2**22  # in one of the few tensors that rows which are computed at once need


class RandomSignatureFeatures(tf.Module):
    r"""
    Random Fourier signature features of paths (Toth, Oberhauser & Szabo 2023), for more paths than Gram matrices allow.

    Their inner products are, in the mean over all draws, the signature kernel up to ``depth`` n of paths that an RBF
    kernel lifts, κ(x, y) = variance exp(−\|x − y\|² / (2 lengthscale²)):

    .. math:: E\,⟨φ(x), φ(y)⟩ = 1 + \sum_{m \le n} \sum_{i, j} \prod_{k \le m} p_{i_k j_k},

    where p are the double differences of κ, and i_1 < ... < i_m and j_1 < ... < j_m are time steps. It is GPSig's
    kernel, ``TruncatedSignatureKernel(depth=n, discretization_order=1, static_kernel=RBF())``. With a
    ``discretization_order`` p > 1 a time step may occur p times, as there; at p = n the paths are piecewise linear in
    the lifted space. The deviation from the mean falls as 1 / √``num_components``.

    Each factor of the product has random Fourier features (cos ωx, sin ωx) of its own, ω from N(0, 1 / lengthscale²).
    Their tensor products are kept small in one of two ways:

    - ``"diagonal"`` (the paper's RFSF-DP): each of Q components has a single frequency for each factor, and 2^m
      features at level m; together 1 + Q (2^(n+1) − 2) features.
    - ``"tensor"`` (RFSF-TRP): each factor has ``num_frequencies`` frequencies, which all components share. A component
      projects the increments of each factor on a direction from N(0, I), and has one feature at each level; together
      1 + n Q.

    A path costs O(L Q (D + 2^n)), or O(L F (D + n Q)) for F frequencies. Rows are computed in parts, so that memory
    does not grow with N beyond X and the features; the gradient, in X, the lengthscale and the variance, computes each
    part again.

    >>> features = sk.RandomSignatureFeatures(3, 100, lengthscale=0.5)
    >>> paths = np.random.default_rng(0).normal(size=(6, 20, 3))
    >>> features(paths).shape == (6, features.num_features)
    True
    """

    def __init__(
        self,
        num_channels: int,
        num_components: int,
        depth: int = 4,
        *,
        projection: Projection = "diagonal",
        lengthscale: Any = 1.0,
        variance: Any = 1.0,
        num_frequencies: int | None = None,
        discretization_order: int = 1,
        half_life: Any = None,
        normalize: bool = False,
        seed: int = 0,
    ) -> None:
        """
        :param num_channels: D, the number of channels of the paths.
        :param num_components: Q.
        :param depth: n, the last level.
        :param projection: "diagonal" or "tensor".
        :param lengthscale: of κ, one number or one for each channel; a number, a tensor or a variable.
        :param variance: of κ. It says how much higher levels matter.
        :param num_frequencies: F of the "tensor" projection; None: as many as components.
        :param discretization_order: how often a time step may occur, from 1 to ``depth``.
        :param half_life: in time steps, a positive number, a tensor or a variable: how soon the past fades (Toth,
            Cucuringu & Oberhauser 2024). The increments of the lifted path are multiplied by a half for every
            ``half_life`` steps that come after them, up to the path's last change. None: nothing fades.
        :param normalize: whether to divide by √⟨φ(x), φ(x)⟩.
        :param seed: of NumPy's generator; the same draw for the same seed.
        :raises ValueError: for an option out of range, and for ``num_frequencies`` with the "diagonal" projection.
        :raises TypeError: for an option of another kind.
        """
        super().__init__(name="random_signature_features")
        self.num_channels = as_int(num_channels, "num_channels", 1)
        self.num_components = as_int(num_components, "num_components", 1)
        self.depth = as_int(depth, "depth", 1)
        self.discretization_order = as_int(discretization_order, "discretization_order", 1)
        if self.discretization_order > self.depth:
            raise ValueError(
                f"discretization_order must be at most the depth, {self.depth}, got {self.discretization_order}: an "
                "order equal to the depth is exact for piecewise linear paths."
            )
        if projection not in get_args(Projection):
            raise ValueError(f'projection must be "diagonal" or "tensor", got {projection!r}.')
        if num_frequencies is not None and projection == "diagonal":
            raise ValueError(
                f'num_frequencies must be None with projection="diagonal", got {num_frequencies}: there each component '
                "has a frequency of its own, so raise num_components."
            )
        self.projection = projection
        self.lengthscale, self.variance, self.half_life = lengthscale, variance, half_life
        self.normalize = as_bool(normalize, "normalize")
        random = np.random.default_rng(as_int(seed, "seed", 0))
        count = self.num_components
        if projection == "tensor":
            count = count if num_frequencies is None else as_int(num_frequencies, "num_frequencies", 1)
        # Plain arrays, of float64 whatever the dtype of the paths: the same draw for both.
        self._frequencies = random.normal(size=(self.depth, self.num_channels, count))
        self._directions = None
        if projection == "tensor":
            self._directions = random.normal(size=(self.depth, 2 * count, self.num_components)) / np.sqrt(count)

    @property
    def num_features(self) -> int:
        """M."""
        of_component = 2 ** (self.depth + 1) - 2 if self.projection == "diagonal" else self.depth
        return 1 + self.num_components * of_component

    def __call__(self, X: Any) -> tf.Tensor:
        """
        The features of paths.

        :param X: [..., L, D], float32 or float64. A path that is padded with its last value has the features of the
            path itself.
        :return: [..., M], first the 1 of level 0, then level after level.
        :raises ValueError: for a rank below 2, for no time steps, and for another number of channels.
        :raises TypeError: for a dtype other than float32 and float64.
        """
        X = _checks.as_batches(X, "X")
        if X.shape.rank is None:
            X = tf.ensure_shape(X, [None, None, self.num_channels])
        if X.shape[-1] not in (None, self.num_channels):
            raise ValueError(f"X must have num_channels={self.num_channels} channels, got shape {X.shape}.")
        return _batches.on_merged(self._of_rows, X)

    def _of_rows(self, X: tf.Tensor) -> tf.Tensor:
        """The features of paths [N, L, D]."""
        lengthscale = static_kernels.lengthscale_of(self.lengthscale, X)
        variance = static_kernels.number_of(self.variance, X, "variance")

        fades = self.half_life is not None
        half_life = [static_kernels.number_of(self.half_life, X, "half_life")] if fades else []
        if fades and half_life[0].shape.rank not in (None, 0):
            raise ValueError(f"half_life must be one number, got shape {half_life[0].shape}: for instance 24.0.")
        lengths = points_up_to_last_change(X)

        def rows(
            start: Any, stop: Any, X: tf.Tensor, lengthscale: tf.Tensor, variance: tf.Tensor, *life: tf.Tensor
        ) -> tf.Tensor:
            factors = tf.sqrt(variance)
            if life:
                factors *= fading_weights(lengths[start:stop], size_of(X, 1) - 1, life[0])[..., None]
            return self._features(X[start:stop] / lengthscale, factors)

        width = 2**self.depth if self.projection == "diagonal" else 1
        numbers = size_of(X, 1) * max(self._frequencies.shape[2] * 2, self.num_components * width)
        at_once = tf.maximum(1, _NUMBERS_AT_ONCE // tf.maximum(1, numbers))
        if isinstance(numbers, int):
            at_once = max(1, _NUMBERS_AT_ONCE // max(1, numbers))
        phi = in_chunks(rows, size_of(X, 0), at_once, X, lengthscale, variance, *half_life)
        return tf.ensure_shape(phi, [X.shape[0], self.num_features])

    def _features(self, x: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
        """The features of scaled paths [n, L, D], whose lifted increments are multiplied by factors: [n, M]."""
        # Products over the tuples of time steps that end with each step, [n, L - 1, Q, 2^m], apart by how often their
        # last step occurs in them, once first.
        products = [self._increments(x, 0) * factors]
        levels = [tf.reduce_sum(products[0], axis=1)]
        for level in range(1, self.depth):
            dx = self._increments(x, level) * factors
            before = tf.cumsum(tf.add_n(products), axis=1, exclusive=True)
            repeated = enumerate(products[: self.discretization_order - 1], start=2)
            products = [_outer(before, dx), *(_outer(product, dx) / times for times, product in repeated)]
            levels.append(tf.reduce_sum(tf.add_n(products), axis=1))
        scale = tf.cast(1.0 / np.sqrt(self.num_components), x.dtype)
        n = tf.shape(x)[0]
        flat = [tf.reshape(each * scale, [n, each.shape[-2] * each.shape[-1]]) for each in levels]
        phi = tf.concat([tf.ones([n, 1], x.dtype), *flat], axis=1)
        return phi / tf.norm(phi, axis=1, keepdims=True) if self.normalize else phi

    def _increments(self, x: tf.Tensor, level: int) -> tf.Tensor:
        """The increments of random features of one factor: [n, L - 1, Q, 2], or [n, L - 1, Q, 1] projected."""
        angles = tf.tensordot(x, tf.constant(self._frequencies[level], x.dtype), 1)
        if self._directions is None:
            waves = tf.stack([tf.cos(angles), tf.sin(angles)], axis=-1)
            return waves[:, 1:] - waves[:, :-1]
        waves = tf.concat([tf.cos(angles), tf.sin(angles)], axis=-1)
        return tf.tensordot(waves[:, 1:] - waves[:, :-1], tf.constant(self._directions[level], x.dtype), 1)[..., None]


def _outer(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """The outer products of the last axes, flat: [..., a b]."""
    product = first[..., :, None] * second[..., None, :]
    return tf.reshape(product, tf.concat([tf.shape(first)[:-1], [first.shape[-1] * second.shape[-1]]], axis=0))
