"""
The posterior and the divergence of GPSig's inducing variables where u is whitened, the default of GPflow's SVGP.

The results are GPflow's, and so is the Cholesky factor of Kuu. The difference is that the factor of q(u)'s covariance
is used packed, as GPflow stores it: with full matrices it would take the larger part of a training step.
"""

import tensorflow as tf
from check_shapes import check_shapes, inherit_check_shapes
from gpflow.base import MeanAndVariance, TensorType
from gpflow.config import default_jitter
from gpflow.covariances import Kuf, Kuu
from gpflow.inducing_variables import InducingVariables
from gpflow.kernels import Kernel
from gpflow.kullback_leiblers import prior_kl
from gpflow.posteriors import BasePosterior, IndependentPosteriorSingleOutput, get_posterior_class

from sigkernel_tf.quadratic_forms import quadratic_forms

from ..inducing_variables import InducingSequences, InducingTensors
from ..kernels import PathKernel, TruncatedSignatureKernel
from .packed import as_packed_factor, white_kl

_PAIRS = ((InducingTensors, TruncatedSignatureKernel), (InducingSequences, PathKernel))


class WhitenedPosterior(IndependentPosteriorSingleOutput):
    r"""
    GPflow's posterior of a whitened u, computed with a packed factor.

    With q(v) = N(m, L Lᵀ), u = R v, Kuu = R Rᵀ and A = R⁻¹ Kuf the mean is Aᵀ m and the variance is
    k(x, x) − \|a(x)\|² + \|Lᵀ a(x)\|². Where u is not whitened, or L is not packed, GPflow's own code runs.
    """

    @inherit_check_shapes
    def _conditional_fused(
        self, Xnew: TensorType, full_cov: bool = False, full_output_cov: bool = False
    ) -> MeanAndVariance:
        packed = as_packed_factor(self.q_sqrt)
        if full_cov or packed is None or not self.whiten:
            return super()._conditional_fused(Xnew, full_cov, full_output_cov)
        R = tf.linalg.cholesky(Kuu(self.X_data, self.kernel, jitter=default_jitter()))
        A = tf.linalg.triangular_solve(R, Kuf(self.X_data, self.kernel, Xnew))  # [M, N]
        prior = self.kernel(Xnew, full_cov=False) - tf.reduce_sum(tf.square(A), axis=0)
        variance = prior[:, None] + tf.transpose(quadratic_forms(packed, A))  # [N, L]
        mean = tf.matmul(A, self.q_mu, transpose_a=True)
        return self._post_process_mean_and_cov(mean, variance, full_cov, full_output_cov)


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
