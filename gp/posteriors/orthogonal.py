"""
The posterior and the divergence of orthogonal signature features: Kuu is the identity, so nothing is factorised.

GPflow's own posteriors would take Kuu's Cholesky factor and solve with it at every step.
"""

from collections.abc import Callable

import tensorflow as tf
from check_shapes import check_shapes, inherit_check_shapes
from gpflow.base import MeanAndVariance, TensorType
from gpflow.conditionals import conditional
from gpflow.inducing_variables import InducingVariables, MultioutputInducingVariables
from gpflow.kernels import Kernel, LinearCoregionalization, MultioutputKernel
from gpflow.kullback_leiblers import prior_kl
from gpflow.mean_functions import MeanFunction
from gpflow.posteriors import (
    BasePosterior,
    IndependentPosterior,
    LinearCoregionalizationPosterior,
    PrecomputeCacheType,
    PrecomputedValue,
    get_posterior_class,
)

from sigkernel_tf.quadratic_forms import quadratic_forms

from .._checks import check_num_latents
from ..covariances.orthogonal import MULTIOUTPUT_PAIRS
from ..inducing_variables import (
    OrthogonalSignatureFeatures,
    has_orthogonal_features,
    latent_kernels,
)
from ..kernels import SignatureKernel
from .batches import as_rows, first_axis_moved, marginals_of_rows, with_output_covariances
from .packed import as_packed_factor, unpacked, white_kl
from .residual import features_and_residual


class OrthogonalPosterior(IndependentPosterior):
    r"""
    The posterior process of eq. 29, for independent latent processes that share a kernel or have one each.

    With q(u) = N(m, L Lᵀ) and the features S_M(X), the mean is S_M(X)ᵀ m and the variance is
    k(x, x) − \|S_M(x)\|² + \|Lᵀ S_M(x)\|². The first difference, the prior's variance beyond the features, is not
    negative. Where rounding, or a coarse solver (see :func:`check_residual`), makes it negative, it is clamped at zero.
    Whitening changes nothing, for Kuu is the identity.
    """

    def __init__(
        self,
        kernel: Kernel,
        inducing_variable: InducingVariables,
        q_mu: TensorType,
        q_sqrt: TensorType | None,
        whiten: bool = True,
        mean_function: MeanFunction | None = None,
        *,
        precompute_cache: PrecomputeCacheType | None,
    ) -> None:
        """:raises ValueError: where a multioutput kernel and q(u) have different numbers of latent processes."""
        check_num_latents(kernel, inducing_variable, q_mu)
        super().__init__(
            kernel, inducing_variable, q_mu, q_sqrt, whiten, mean_function, precompute_cache=precompute_cache
        )

    def _precompute(self) -> tuple[PrecomputedValue, ...]:
        """m [M, L] and the factor of q(u)'s covariance, in the form in which it is stored; nothing else is cached."""
        packed = as_packed_factor(self.q_sqrt)  # [L, M (M + 1) / 2]; else [M, L] or [L, M, M]
        factor = self.q_sqrt if packed is None else packed
        tensors = [tf.convert_to_tensor(value) for value in (self.q_mu, factor) if value is not None]
        return tuple(PrecomputedValue(tensor, (False,) * tensor.shape.rank) for tensor in tensors)

    @inherit_check_shapes
    def _conditional_fused(
        self, Xnew: TensorType, full_cov: bool = False, full_output_cov: bool = False
    ) -> MeanAndVariance:
        q = tuple(precomputed.value for precomputed in self._precompute())
        return self._conditional_with_precompute(q, Xnew, full_cov, full_output_cov)

    @inherit_check_shapes
    def _conditional_with_precompute(
        self,
        cache: tuple[tf.Tensor, ...],
        Xnew: TensorType,
        full_cov: bool = False,
        full_output_cov: bool = False,
    ) -> MeanAndVariance:
        X = as_rows(Xnew)
        if full_cov:
            mean, cov = self._means_and_covariances(cache, X)
            if cov.shape.rank == 3:
                return self._post_process_mean_and_cov(mean, cov, full_cov, full_output_cov)
            return self._outputs_of_batches(mean, cov, full_output_cov)

        def marginals(rows: tf.Tensor) -> MeanAndVariance:
            mean, variance = self._means_and_variances(cache, rows)
            return self._post_process_mean_and_cov(mean, variance, full_cov, full_output_cov)

        return marginals_of_rows(marginals, X)

    def _means_and_variances(self, cache: tuple[tf.Tensor, ...], Xnew: tf.Tensor) -> MeanAndVariance:
        """Of the latent processes at rows [N, W]: [N, L] both."""
        q_mu, *q_sqrt = cache
        features, residual = features_and_residual(self.kernel, self.X_data, Xnew, full_cov=False)
        S = tf.linalg.matrix_transpose(features)  # [(L), M, N]
        if self._is_shared:
            mean, variance = tf.matmul(features, q_mu), residual[None]  # [N, L]; [1, N]
        else:
            mean = tf.transpose(tf.linalg.matvec(features, tf.transpose(q_mu)))  # [N, L]
            variance = residual  # [L, N]
        if self._is_shared and as_packed_factor(self.q_sqrt) is not None:
            variance += quadratic_forms(q_sqrt[0], S)
        elif q_sqrt:
            variance += tf.reduce_sum(tf.square(self._factor_times(S, q_sqrt[0])), -2)
        elif self._is_shared:
            variance = tf.repeat(variance, tf.shape(q_mu)[1], axis=0)
        return mean, tf.transpose(variance)

    def _means_and_covariances(self, cache: tuple[tf.Tensor, ...], Xnew: tf.Tensor) -> MeanAndVariance:
        """Of the latent processes at rows [..., N, W], each set of N by itself: [..., N, L] and [..., L, N, N]."""
        q_mu, *q_sqrt = cache
        features, residual = features_and_residual(self.kernel, self.X_data, Xnew, full_cov=True)
        if self._is_shared:
            features, cov = features[..., None, :, :], residual[..., None, :, :]  # [..., 1, N, M]; [..., 1, N, N]
        else:
            features, cov = first_axis_moved(features, to=-3), first_axis_moved(residual, to=-3)
        mean = tf.linalg.matrix_transpose(tf.linalg.matvec(features, tf.transpose(q_mu)))
        if q_sqrt:
            LTS = self._factor_times(tf.linalg.matrix_transpose(features), q_sqrt[0])  # [..., L, M, N]
            cov += tf.matmul(LTS, LTS, transpose_a=True)
        elif self._is_shared:
            cov = tf.repeat(cov, tf.shape(q_mu)[1], axis=-3)
        return mean, cov

    @property
    def _is_shared(self) -> bool:
        """Whether all latent processes share one kernel, and features and residual have no axis L."""
        return len(latent_kernels(self.kernel, self.X_data)) == 1

    def _factor_times(self, S: tf.Tensor, q_sqrt: tf.Tensor) -> tf.Tensor:
        """Lᵀ S_M(X), for a factor in the form in which it is cached."""
        return _factor_times_features(q_sqrt if as_packed_factor(self.q_sqrt) is None else unpacked(q_sqrt), S)

    def _outputs_of_batches(self, mean: tf.Tensor, cov: tf.Tensor, full_output_cov: bool) -> MeanAndVariance:
        """``_post_process_mean_and_cov`` of covariances with leading axes, [..., L, N, N], which GPflow's cannot."""
        return mean, with_output_covariances(cov) if full_output_cov else cov


class MixedOrthogonalPosterior(OrthogonalPosterior, LinearCoregionalizationPosterior):
    """The posterior process of eq. 29 for each latent process. GPflow's class mixes them linearly into the outputs."""

    def _outputs_of_batches(self, mean: tf.Tensor, cov: tf.Tensor, full_output_cov: bool) -> MeanAndVariance:
        W = tf.convert_to_tensor(self.kernel.W)  # [P, L]
        mean = tf.matmul(mean, W, transpose_b=True)
        if full_output_cov:
            return mean, tf.einsum("...lnm,pl,ql->...npmq", cov, W, W)
        return mean, tf.einsum("...lnm,pl->...pnm", cov, tf.square(W))


@check_shapes(
    "q_sqrt: [M_L_or_L_M_M...]",
    "S: [any..., M, N]",
    "return: [..., L, M, N]",
)
def _factor_times_features(q_sqrt: tf.Tensor, S: tf.Tensor) -> tf.Tensor:
    """Lᵀ S_M(X) of each latent process, for S [M, N] that all share or S [L, M, N]; more axes may lead."""
    if q_sqrt.shape.rank == 2:
        return tf.transpose(q_sqrt)[:, :, None] * S
    return tf.matmul(tf.linalg.band_part(q_sqrt, -1, 0), S, transpose_a=True)


@get_posterior_class.register(SignatureKernel, OrthogonalSignatureFeatures)
def _posterior_orthogonal(
    kernel: SignatureKernel, inducing_variable: OrthogonalSignatureFeatures
) -> type[BasePosterior]:
    latent_kernels(kernel, inducing_variable)
    return OrthogonalPosterior


@prior_kl.register(OrthogonalSignatureFeatures, SignatureKernel, object, object)
@check_shapes(
    "inducing_variable: [M, ., 1]",
    "q_mu: [M, L]",
    "q_sqrt: [M_L_or_L_M_M...]",
    "return: []",
)
def _prior_kl_orthogonal(
    inducing_variable: OrthogonalSignatureFeatures,
    kernel: SignatureKernel,
    q_mu: TensorType,
    q_sqrt: TensorType,
    whiten: bool = False,
) -> tf.Tensor:
    """KL[q(u) || N(0, I)], whether whitened or not."""
    latent_kernels(kernel, inducing_variable)
    return white_kl(q_mu, q_sqrt)


def _posterior_multioutput(
    by_gpflow: Callable[..., type[BasePosterior]], orthogonal: type[OrthogonalPosterior]
) -> Callable[..., type[BasePosterior]]:
    """Chooses the class for wrapped inducing variables; where these are not orthogonal features, as GPflow does."""

    def posterior(kernel: MultioutputKernel, inducing_variable: MultioutputInducingVariables) -> type[BasePosterior]:
        if not has_orthogonal_features(inducing_variable):
            return by_gpflow(kernel, inducing_variable)
        latent_kernels(kernel, inducing_variable)
        return orthogonal

    return posterior


def _conditional_multioutput(
    by_gpflow: Callable[..., MeanAndVariance], orthogonal: type[OrthogonalPosterior]
) -> Callable[..., MeanAndVariance]:
    """
    ``gpflow.conditionals.conditional`` for wrapped inducing variables. For these GPflow registers a function for each
    pair, which does not look for a class of posterior. Where they are not orthogonal features, GPflow's own is called.

    The class is that of the registered pair and not that of the arguments: to draw from a LinearCoregionalization,
    GPflow calls the function for SeparateIndependent with it, for the latent processes before they are mixed.
    """

    def conditional_multioutput(
        Xnew: TensorType,
        inducing_variable: MultioutputInducingVariables,
        kernel: MultioutputKernel,
        f: TensorType,
        *,
        full_cov: bool = False,
        full_output_cov: bool = False,
        q_sqrt: TensorType | None = None,
        white: bool = False,
    ) -> MeanAndVariance:
        full = {"full_cov": full_cov, "full_output_cov": full_output_cov}
        if not has_orthogonal_features(inducing_variable):
            return by_gpflow(Xnew, inducing_variable, kernel, f, q_sqrt=q_sqrt, white=white, **full)
        latent_kernels(kernel, inducing_variable)
        posterior = orthogonal(kernel, inducing_variable, f, q_sqrt, whiten=white, precompute_cache=None)
        return posterior.fused_predict_f(Xnew, **full)

    return conditional_multioutput


def _prior_kl_multioutput(by_gpflow: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """The divergence for wrapped inducing variables; where these are not orthogonal features, GPflow's own."""

    def kl(
        inducing_variable: MultioutputInducingVariables,
        kernel: MultioutputKernel,
        q_mu: TensorType,
        q_sqrt: TensorType,
        whiten: bool = False,
    ) -> tf.Tensor:
        if not has_orthogonal_features(inducing_variable):
            return by_gpflow(inducing_variable, kernel, q_mu, q_sqrt, whiten=whiten)
        latent_kernels(kernel, inducing_variable)
        check_num_latents(kernel, inducing_variable, q_mu)
        return _white_kl_of_wrapped(inducing_variable, q_mu, q_sqrt)

    return kl


@check_shapes(
    "inducing_variable: [M, D, broadcast L]",
    "q_mu: [M, L]",
    "q_sqrt: [M_L_or_L_M_M...]",
    "return: []",
)
def _white_kl_of_wrapped(
    inducing_variable: MultioutputInducingVariables, q_mu: TensorType, q_sqrt: TensorType
) -> tf.Tensor:
    """KL[q(u) || N(0, I)], with the shapes checked once it is known that the numbers of processes agree."""
    return white_kl(q_mu, q_sqrt)


for _variables, _kernel in MULTIOUTPUT_PAIRS:
    _orthogonal = MixedOrthogonalPosterior if issubclass(_kernel, LinearCoregionalization) else OrthogonalPosterior
    get_posterior_class.register(_kernel, _variables)(
        _posterior_multioutput(get_posterior_class.dispatch_or_raise(_kernel, _variables), _orthogonal)
    )
    _signature = (object, _variables, _kernel, object)
    conditional.add(_signature, _conditional_multioutput(conditional.dispatch_or_raise(*_signature), _orthogonal))
    prior_kl.register(_variables, _kernel, object, object)(
        _prior_kl_multioutput(prior_kl.dispatch_or_raise(_variables, _kernel, object, object))
    )
