"""Natural gradient steps for q(u): GPflow's, made to work with every likelihood."""

from typing import TypeAlias

import tensorflow as tf
from gpflow.optimizers import NaturalGradient, XiNat

Naturals: TypeAlias = tuple[tf.Tensor, tf.Tensor]  # Σ⁻¹m [M, L] and −Σ⁻¹/2 [L, M, M] of each latent process

_MAX_HALVINGS = 50  # a step that fails even at 1e-15 of its length is NaN


class HalvedXiNat(XiNat):
    """
    GPflow's natural parameters, with shorter steps for a latent process whose precision would get lost.

    A step of length γ turns the precision Σ⁻¹ into (1 − γ) Σ⁻¹ + γ (Kuu⁻¹ + W). With a log-concave likelihood W >= 0,
    and at least the part 1 − γ of the precision stays. With other likelihoods (``MultiClass``, ``StudentT``) the sum
    can be indefinite, and GPflow stops with NaN; or it can be close to singular, and the mean jumps far away.

    Here the step of such a process is halved until at least half of 1 − γ stays. No variance then grows by more than
    the factor 2 / (1 − γ), and the covariance exists for γ = 1, too. The other processes take their whole step, and
    where no step is halved the results are GPflow's.
    """

    _before: Naturals

    def __init__(self, gamma: float) -> None:
        """:param gamma: the length γ of a whole step, in (0, 1]."""
        self._kept = 0.5 * (1.0 - gamma)

    def meanvarsqrt_to_xi(  # type: ignore[override]  # not static: remembers
        self, mean: tf.Tensor, varsqrt: tf.Tensor
    ) -> Naturals:
        """The natural parameters before a step. GPflow asks for them first; steps are shortened towards them."""
        self._before = super().meanvarsqrt_to_xi(mean, varsqrt)
        return self._before

    def xi_to_meanvarsqrt(  # type: ignore[override]
        self, xi1: tf.Tensor, xi2: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The mean and the covariance's factor after a step."""
        before, kept = self._before, self._kept

        def fails(after: Naturals) -> tf.Tensor:  # [L]; the factor of what is not positive definite is NaN
            factor = tf.linalg.cholesky(-2.0 * (after[1] - kept * before[1]))
            return tf.logical_not(tf.reduce_all(tf.math.is_finite(factor), axis=[-2, -1]))

        def halve(failed: tf.Tensor, after: Naturals) -> tuple[tf.Tensor, Naturals]:
            nat1, nat2 = (0.5 * (x + y) for x, y in zip(before, after, strict=True))
            after = tf.where(failed, nat1, after[0]), tf.where(failed[:, None, None], nat2, after[1])
            return fails(after), after

        whole = xi1, xi2
        _, after = tf.while_loop(
            lambda failed, _: tf.reduce_any(failed), halve, (fails(whole), whole), maximum_iterations=_MAX_HALVINGS
        )
        return super().xi_to_meanvarsqrt(*after)


def natural_gradient(gamma: float) -> NaturalGradient:
    """GPflow's optimizer of q(u), with steps of this length, or shorter ones where they are needed."""
    return NaturalGradient(gamma, HalvedXiNat(gamma))
