"""The signature kernel as a GPflow kernel."""

import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import TensorData, TensorType

from sigkernel_tf.goursat import PowerSeries, Solver, solver_attributes
from sigkernel_tf.signature_kernels import signature_kernel_diag, signature_kernel_gram
from sigkernel_tf.signatures import signature

from .paths import PathKernel


class SignatureKernel(PathKernel):
    r"""
    The signature kernel of paths, k(x, y) = σ² ⟨S(θ x), S(θ y)⟩ (eqs. 15 and 18), on flattened paths [N, L * D].

    S is the signature, the empty word included, of the piecewise linear path through the points, and
    θ = 1 / lengthscales scales each channel. Lengthscales carry the channels' units; a channel with a long one matters
    little. The kernel sees increments alone: paths that start at different points are alike unless a base point is put
    in front of them (:func:`sigkernel_tf.paths.add_basepoint`). Values grow quickly with a path's length over the
    lengthscales: standardise paths, or take ``normalize=True``.

    X and X2 may differ in width: paths of any length have a kernel with one another. There is no ``active_dims``:
    columns are points in time of all channels together. Choose channels before :func:`flatten_paths`.

    Cost: one Goursat problem a pair, O(L² (D + K²)); see :class:`sigkernel_tf.PowerSeries`. Differentiable once.
    """

    def __init__(
        self,
        num_channels: int,
        *,
        lengthscales: TensorData = 1.0,
        variance: TensorData = 1.0,
        normalize: bool = False,
        solver: Solver = PowerSeries(),
        name: str | None = None,
    ) -> None:
        """
        :param num_channels: D, the number of channels of every path.
        :param lengthscales: a scalar is one parameter for all channels, a vector [D] has one for each (ARD); positive,
            in the channels' units.
        :param variance: σ², multiplies last, after normalizing; positive.
        :param normalize: divide by sqrt(k(x, x) k(y, y)), so that k(x, x) = σ² for every path.
        :param solver: :class:`sigkernel_tf.PowerSeries`, exact to rounding, or :class:`sigkernel_tf.FiniteDifference`.
        :raises ValueError: for no channels, and for lengthscales that are neither a scalar nor [D].
        :raises TypeError: for a ``num_channels`` that is no integer, and for another solver.
        """
        super().__init__(num_channels, lengthscales=lengthscales, variance=variance, normalize=normalize, name=name)
        solver_attributes(solver, tf.float64)  # a wrong solver is refused here, not at the first call
        self.solver = solver

    def _gram(self, x: tf.Tensor, y: tf.Tensor | None) -> tf.Tensor:
        return signature_kernel_gram(x, y, solver=self.solver)

    def _squared_norm(self, x: tf.Tensor) -> tf.Tensor:
        return signature_kernel_diag(x, solver=self.solver)

    @check_shapes(
        "X: [N, ...]",
        "return: [N, M]",
    )
    def features(self, X: TensorType, num_words: int) -> tf.Tensor:
        r"""
        The first M signature features, S_M(X) of eq. 28 times σ (and over \|S(θ x)\| where normalizing).

        They are the first coordinates of an orthonormal basis (eq. 24), in the order of :func:`sigkernel_tf.words`:
        the inner product of all of them is the kernel.

        :param X: flattened paths [N, L * D].
        :param num_words: M.
        """
        x = self._scaled_paths(X, "X")
        S = signature(x, num_words=num_words)
        if self.normalize:
            S = S / tf.sqrt(self._squared_norm(x))[:, None]
        return tf.sqrt(self.variance) * S
