"""
The posterior and the divergence of GPSig's inducing variables where u is whitened, the default of GPflow's SVGP.

The results are GPflow's, and so is the Cholesky factor of Kuu. The difference is that the factor of q(u)'s covariance
is used packed, as GPflow stores it: with full matrices it would take the larger part of a training step.
"""

import tensorflow as tf
from check_shapes import check_shapes, inherit_check_shapes
from gpflow.base import MeanAndVariance, TensorType
from gpflow.conditionals.util import base_conditional
from gpflow.config import default_jitter
from gpflow.covariances import Kuf, Kuu
from gpflow.inducing_variables import InducingVariables
from gpflow.kernels import Kernel
from gpflow.kullback_leiblers import prior_kl
from gpflow.posteriors import BasePosterior, IndependentPosteriorSingleOutput, get_posterior_class

from sigkernel_tf.quadratic_forms import quadratic_forms

from ..inducing_variables import InducingSequences, InducingTensors
from ..kernels import PathKernel, TruncatedSignatureKernel
from .batches import as_rows, first_axis_moved, marginals_of_rows, with_output_covariances
from .packed import as_packed_factor, white_kl

_PAIRS = ((InducingTensors, TruncatedSignatureKernel), (InducingSequences, PathKernel))


class WhitenedPosterior(IndependentPosteriorSingleOutput):
    r"""
    GPflow's posterior of a whitened u, computed with a packed factor.

    With q(v) = N(m, L Lᵀ), u = R v, Kuu = R Rᵀ and A = R⁻¹ Kuf the mean is Aᵀ m and the variance is
    k(x, x) − \|a(x)\|² + \|Lᵀ a(x)\|². Where u is not whitened, or L is not packed, GPflow's own code runs. Leading
    batch dimensions are taken in all these cases.
    """

    @inherit_check_shapes
    def _conditional_fused(
        self, Xnew: TensorType, full_cov: bool = False, full_output_cov: bool = False
    ) -> MeanAndVariance:
        packed, by_gpflow, X = as_packed_factor(self.q_sqrt), super()._conditional_fused, as_rows(Xnew)
        if full_cov:
            if X.shape.rank in (None, 2):
                return by_gpflow(X, full_cov, full_output_cov)
            mean, cov = self._means_and_covariances(X)
            return mean, with_output_covariances(cov) if full_output_cov else cov

        def marginals(rows: tf.Tensor) -> MeanAndVariance:
            if packed is None or not self.whiten:
                return by_gpflow(rows, full_cov, full_output_cov)
            mean, variance = self._means_and_variances(packed, rows)
            return self._post_process_mean_and_cov(mean, variance, full_cov, full_output_cov)

        return marginals_of_rows(marginals, X)

    @inherit_check_shapes
    def _conditional_with_precompute(
        self,
        cache: tuple[tf.Tensor, ...],
        Xnew: TensorType,
        full_cov: bool = False,
        full_output_cov: bool = False,
    ) -> MeanAndVariance:
        by_gpflow, X = super()._conditional_with_precompute, as_rows(Xnew)
        if not full_cov:
            return marginals_of_rows(lambda rows: by_gpflow(cache, rows, full_cov, full_output_cov), X)
        if X.shape.rank in (None, 2):
            return by_gpflow(cache, X, full_cov, full_output_cov)
        alpha, Q = cache  # [M, L]; [L, M, M]
        K = first_axis_moved(Kuf(self.X_data, self.kernel, X), to=-2)[..., None, :, :]  # [..., 1, M, N]
        cov = self.kernel(X)[..., None, :, :] - tf.matmul(K, tf.matmul(Q, K), transpose_a=True)
        mean = tf.matmul(K[..., 0, :, :], alpha, transpose_a=True)
        return mean, with_output_covariances(cov) if full_output_cov else cov

    def _means_and_covariances(self, Xnew: tf.Tensor) -> MeanAndVariance:
        """At rows [..., N, W], each set of N by itself: [..., N, L] and [..., L, N, N]."""
        q_sqrt = self.q_sqrt
        if q_sqrt is not None and len(q_sqrt.shape) == 2:  # GPflow's code takes a diagonal only without leading axes
            q_sqrt = tf.linalg.diag(tf.transpose(q_sqrt))
        return base_conditional(
            Kuf(self.X_data, self.kernel, Xnew),
            Kuu(self.X_data, self.kernel, jitter=default_jitter()),
            self.kernel(Xnew),
            self.q_mu,
            full_cov=True,
            q_sqrt=q_sqrt,
            white=self.whiten,
        )

    def _means_and_variances(self, packed: tf.Tensor, Xnew: tf.Tensor) -> MeanAndVariance:
        """Of a whitened u with a packed factor, at rows [N, W]: [N, L] both."""
        R = tf.linalg.cholesky(Kuu(self.X_data, self.kernel, jitter=default_jitter()))
        A = tf.linalg.triangular_solve(R, Kuf(self.X_data, self.kernel, Xnew))  # [M, N]
        prior = self.kernel(Xnew, full_cov=False) - tf.reduce_sum(tf.square(A), axis=0)
        variance = prior[:, None] + tf.transpose(quadratic_forms(packed, A))  # [N, L]
        return tf.matmul(A, self.q_mu, transpose_a=True), variance


def _posterior_whitened(kernel: Kernel, inducing_variable: InducingVariables) -> type[BasePosterior]:
    return WhitenedPosterior


@check_shapes(
    "inducing_variable: [M, ., 1]",
    "q_mu: [M, L]",
    "q_sqrt: [M_L_or_L_M_M...]",
    "return: []",
)
def _prior_kl_whitened(
    inducing_variable: InducingVariables,
    kernel: Kernel,
    q_mu: TensorType,
    q_sqrt: TensorType,
    whiten: bool = False,
) -> tf.Tensor:
    """KL[q(v) || N(0, I)] where u is whitened; otherwise GPflow computes KL[q(u) || p(u)]."""
    if whiten:
        return white_kl(q_mu, q_sqrt)
    return _gpflows_kl(inducing_variable, kernel, q_mu, q_sqrt, whiten=False)


_gpflows_kl = prior_kl.dispatch_or_raise(InducingVariables, Kernel, object, object)
for _variables, _kernel in _PAIRS:
    get_posterior_class.register(_kernel, _variables)(_posterior_whitened)
    prior_kl.register(_variables, _kernel, object, object)(_prior_kl_whitened)
