"""
The posterior and the divergence of orthogonal signature features: Kuu is the identity, so nothing is factorised.

GPflow's own posteriors would take Kuu's Cholesky factor and solve with it at every step.
"""

import warnings
from typing import NoReturn

import numpy as np
import tensorflow as tf
from check_shapes import check_shapes, inherit_check_shapes
from gpflow.base import MeanAndVariance, TensorType
from gpflow.inducing_variables import InducingVariables, SharedIndependentInducingVariables
from gpflow.kernels import Kernel, SharedIndependent
from gpflow.kullback_leiblers import gauss_kl, prior_kl
from gpflow.posteriors import BasePosterior, IndependentPosterior, PrecomputedValue, get_posterior_class

from .inducing_variables import OrthogonalSignatureFeatures, unsuitable_kernel
from .kernels import SignatureKernel

RESIDUAL_TOLERANCE = 1e-6  # relative to k(x, x)


class OrthogonalPosterior(IndependentPosterior):
    r"""
    The posterior process of eq. 29, for independent latent processes that share one kernel.

    With q(u) = N(m, L Lᵀ) and S_M(X) the features, the mean is S_M(X)ᵀ m and the variance
    k(x, x) − \|S_M(x)\|² + \|Lᵀ S_M(x)\|². The first difference, the prior's variance beyond the features, is not
    negative; where rounding (or a coarse solver: see :func:`check_residual`) makes it so, it is clamped at zero.
    Whitened or not is the same here.
    """

    def _precompute(self) -> tuple[PrecomputedValue, ...]:
        """m [M, L] and the factor of q(u)'s covariance, [M, L] or [L, M, M]: there is nothing else to compute."""
        values = [self.q_mu] if self.q_sqrt is None else [self.q_mu, self.q_sqrt]
        tensors = [tf.convert_to_tensor(value) for value in values]
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
        q_mu, *q_sqrt = cache
        kernel, inducing_variable = _single(self.kernel, self.X_data)
        features, Kff = kernel.features_and_covariance(Xnew, inducing_variable.num_inducing, full_cov=full_cov)
        S = tf.transpose(features)  # [M, N]
        mean = tf.matmul(features, q_mu)  # [N, L]
        cov = _residual(Kff, S, full_cov)[None]  # [1, N, N] or [1, N]
        if q_sqrt:
            LTS = _factor_times_features(q_sqrt[0], S)  # [L, M, N]
            cov += tf.matmul(LTS, LTS, transpose_a=True) if full_cov else tf.reduce_sum(tf.square(LTS), -2)
        else:
            cov = tf.repeat(cov, tf.shape(q_mu)[1], axis=0)
        if not full_cov:
            cov = tf.transpose(cov)  # [N, L]
        return self._post_process_mean_and_cov(mean, cov, full_cov, full_output_cov)


@check_shapes(
    "Kff: [N, N] if full_cov",
    "Kff: [N] if not full_cov",
    "S: [M, N]",
    "return: [N, N] if full_cov",
    "return: [N] if not full_cov",
)
def _residual(Kff: tf.Tensor, S: tf.Tensor, full_cov: bool) -> tf.Tensor:
    """The prior's (co)variance beyond the features, its diagonal clamped at zero."""
    if not full_cov:
        return tf.maximum(Kff - tf.reduce_sum(tf.square(S), axis=0), 0.0)
    residual = Kff - tf.matmul(S, S, transpose_a=True)
    return tf.linalg.set_diag(residual, tf.maximum(tf.linalg.diag_part(residual), 0.0))


@check_shapes(
    "q_sqrt: [M_L_or_L_M_M...]",
    "S: [M, N]",
    "return: [L, M, N]",
)
def _factor_times_features(q_sqrt: tf.Tensor, S: tf.Tensor) -> tf.Tensor:
    """Lᵀ S_M(X) of each latent process."""
    if q_sqrt.shape.rank == 2:
        return tf.transpose(q_sqrt)[:, :, None] * S
    return tf.matmul(tf.linalg.band_part(q_sqrt, -1, 0), S, transpose_a=True)


@get_posterior_class.register(SignatureKernel, OrthogonalSignatureFeatures)
def _posterior_orthogonal(
    kernel: SignatureKernel, inducing_variable: OrthogonalSignatureFeatures
) -> type[BasePosterior]:
    return OrthogonalPosterior


@get_posterior_class.register(Kernel, OrthogonalSignatureFeatures)
def _posterior_unsuitable(kernel: Kernel, inducing_variable: OrthogonalSignatureFeatures) -> type[BasePosterior]:
    raise unsuitable_kernel(kernel)


# Dispatch sees the wrapper's type and not what it wraps: for other inducing variables GPflow's own choice stands.
_gpflow_posterior_shared = get_posterior_class.dispatch_or_raise(SharedIndependent, SharedIndependentInducingVariables)


@get_posterior_class.register(SharedIndependent, SharedIndependentInducingVariables)
def _posterior_shared(
    kernel: SharedIndependent, inducing_variable: SharedIndependentInducingVariables
) -> type[BasePosterior]:
    if isinstance(inducing_variable.inducing_variable, OrthogonalSignatureFeatures):
        return get_posterior_class(kernel.kernel, inducing_variable.inducing_variable)
    return _gpflow_posterior_shared(kernel, inducing_variable)


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
    """KL[q(u) || N(0, I)], whitened or not."""
    return gauss_kl(q_mu, q_sqrt, None)


@prior_kl.register(OrthogonalSignatureFeatures, Kernel, object, object)
def _prior_kl_unsuitable(
    inducing_variable: OrthogonalSignatureFeatures,
    kernel: Kernel,
    q_mu: TensorType,
    q_sqrt: TensorType,
    whiten: bool = False,
) -> NoReturn:
    raise unsuitable_kernel(kernel)


_gpflow_prior_kl = prior_kl.dispatch_or_raise(SharedIndependentInducingVariables, SharedIndependent, object, object)


@prior_kl.register(SharedIndependentInducingVariables, SharedIndependent, object, object)
@check_shapes(
    "inducing_variable: [M, D, broadcast L]",
    "q_mu: [M, L]",
    "q_sqrt: [M_L_or_L_M_M...]",
    "return: []",
)
def _prior_kl_shared(
    inducing_variable: SharedIndependentInducingVariables,
    kernel: SharedIndependent,
    q_mu: TensorType,
    q_sqrt: TensorType,
    whiten: bool = False,
) -> tf.Tensor:
    if isinstance(inducing_variable.inducing_variable, OrthogonalSignatureFeatures):
        return prior_kl(inducing_variable.inducing_variable, kernel.kernel, q_mu, q_sqrt, whiten=whiten)
    return _gpflow_prior_kl(inducing_variable, kernel, q_mu, q_sqrt, whiten=whiten)


def _single(
    kernel: Kernel, inducing_variable: InducingVariables
) -> tuple[SignatureKernel, OrthogonalSignatureFeatures]:
    """The kernel and the features that all latent processes share."""
    if isinstance(kernel, SharedIndependent):
        kernel, inducing_variable = kernel.kernel, inducing_variable.inducing_variable
    if not isinstance(kernel, SignatureKernel):
        raise unsuitable_kernel(kernel)
    return kernel, inducing_variable


def check_residual(kernel: Kernel, inducing_variable: InducingVariables, X: TensorType) -> float:
    r"""
    Warns where a coarse solver breaks the posterior's variance: \|S_M(x)\|² <= k(x, x) must hold (eq. 29).

    The features are exact; the kernel is as good as its solver. Where it falls short by more than 1e-6 k(x, x),
    clamping hides a real error, and the solver is too coarse for these paths and lengthscales. Run it on concrete
    data, before training; it is no part of the traced bound. Level variances change nothing here: the signature kernel
    without them is looked at, and at least the words that have one each.

    :param kernel: a :class:`~sigkernel_tf.gp.SignatureKernel`, or the SharedIndependent of one.
    :param inducing_variable: the features, or their SharedIndependentInducingVariables.
    :param X: flattened paths [N, L * D].
    :return: the largest (\|S_M(x)\|² − k(x, x)) / k(x, x) of the paths; minus infinity for no paths.
    :raises RuntimeError: inside tf.function, where there are no values to look at.
    """
    _must_be_eager("check_residual")
    single, features = _single(kernel, inducing_variable)
    explained, k = single.plain_squared_norms(X, features.num_inducing)
    excess = (explained - k) / tf.abs(k)  # a solver can be so coarse that even k(x, x) < 0
    largest = float(tf.reduce_max(excess))
    if largest > RESIDUAL_TOLERANCE:
        worst, count = int(tf.argmax(excess)), int(tf.math.count_nonzero(excess > RESIDUAL_TOLERANCE))
        warnings.warn(
            f"|S_M(x)|² exceeds k(x, x) for {count} of {excess.shape[0]} paths, by up to {largest:.1e} of k(x, x) "
            f"(path {worst}), where at most {RESIDUAL_TOLERANCE:.0e} was expected: {single.solver} is too coarse for "
            "these paths. Use PowerSeries(), or a higher dyadic_order.",
            RuntimeWarning,
            stacklevel=2,
        )
    return largest


@check_shapes(
    "X: [N, ...]",
    "return: [N]",
)
def residual_share(kernel: Kernel, inducing_variable: InducingVariables, X: TensorType) -> np.ndarray:
    r"""
    The share of each path's prior variance that lies beyond the features, 1 − \|S_M(x)\|² / k(x, x) (eq. 29).

    The features cannot explain it: it stays in the posterior's variance as it is in the prior's, whatever the data.
    A classifier with shares close to 1 predicts next to nothing. Longer lengthscales, more features or level variances
    (:class:`~sigkernel_tf.gp.SignatureKernel`) lower it; training does so by itself where they are trainable, but may
    start far off. ``np.median(residual_share(model.kernel, model.inducing_variable, X))`` is one number for a set.

    :param kernel: a :class:`~sigkernel_tf.gp.SignatureKernel`, or the SharedIndependent of one.
    :param inducing_variable: the features, or their SharedIndependentInducingVariables.
    :param X: flattened paths [N, L * D].
    :return: numbers from 0 to 1; NaN for a path whose prior variance is 0.
    :raises RuntimeError: inside tf.function.
    """
    _must_be_eager("residual_share")
    single, features = _single(kernel, inducing_variable)
    S, k = single.features_and_covariance(X, features.num_inducing)
    return (_residual(k, tf.transpose(S), full_cov=False) / k).numpy()


def _must_be_eager(name: str) -> None:
    if not tf.executing_eagerly():
        raise RuntimeError(f"{name} looks at values and works eagerly only: call it outside tf.function.")
