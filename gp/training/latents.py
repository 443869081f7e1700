"""The latent processes of a model, by the features that they share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gpflow
import numpy as np
import scipy.linalg
import tensorflow as tf
from gpflow.config import default_jitter
from gpflow.covariances import Kuf, Kuu
from gpflow.inducing_variables import InducingPoints, InducingVariables, MultioutputInducingVariables
from gpflow.kernels import Kernel, LinearCoregionalization, MultioutputKernel
from gpflow.models import SVGP

from .._checks import check_model, described
from ..data import Rows
from ..inducing_variables import InducingSequences, has_orthogonal_features
from ..inducing_variables.orthogonal import features_of
from ..kernels.paths import PathKernel
from .triangular import checked_factor


@dataclass(frozen=True)
class Latents:
    """Latent processes that share a kernel and inducing variables, and so their features."""

    kernel: Kernel
    inducing_variable: InducingVariables
    columns: slice
    """Which columns of q_mu and of f they are."""

    @property
    def has_identity(self) -> bool:
        """Whether Kuu is the identity, so that nothing is factorised."""
        return has_orthogonal_features(self.inducing_variable)

    def prior_factor(self) -> tf.Tensor | None:
        """
        R [M, M] in float64 with R Rᵀ = Kuu + ``gpflow.default_jitter()``, as GPflow takes it; None: the identity.

        :raises tf.errors.InvalidArgumentError: where GPflow, in the kernel's dtype, could not factorise it.
        """
        if self.has_identity:
            return None
        K = self.regular_kuu()
        is_single = K.dtype != tf.float64
        checks = [tf.debugging.assert_all_finite(tf.linalg.cholesky(K), "Kuu has no factor")] if is_single else []
        with tf.control_dependencies(checks):
            return tf.linalg.cholesky(tf.cast(K, tf.float64))

    def regular_kuu(self) -> tf.Tensor:
        """Kuu with the jitter, [M, M] in the kernel's dtype."""
        return Kuu(self.inducing_variable, self.kernel, jitter=default_jitter())

    def whitened(self, X: tf.Tensor, factor: tf.Tensor | None) -> tf.Tensor:
        """R⁻¹ Kuf, [M, n] in float64."""
        K = tf.cast(Kuf(self.inducing_variable, self.kernel, X), tf.float64)
        return K if factor is None else tf.linalg.triangular_solve(factor, K)

    def with_some_inducing(self, number: int, seed: list[int]) -> "Latents":
        """The same with ``number`` of the inducing points or sequences, drawn at random, if there are more."""
        Z = self.inducing_variable
        if type(Z) not in (InducingPoints, InducingSequences) or int(Z.num_inducing) <= number:
            return self
        rows = np.random.default_rng(seed).choice(int(Z.num_inducing), number, replace=False)
        return replace(self, inducing_variable=type(Z)(Z.Z.numpy()[np.sort(rows)]))

    def prior_variance(self, X: tf.Tensor) -> tf.Tensor:
        """k(x, x) of each row, [n] in float64."""
        return tf.cast(self.kernel(X, full_cov=False), tf.float64)


class WhitenedFeatures:
    """
    The features φ = R⁻¹ Kuf that GPflow's SVGP has for a whitened u, as a feature map.

    Kernel and inducing variables are read when it is made, and their later changes are not seen.
    """

    def __init__(self, latents: Latents) -> None:
        """
        :param latents: whose features they are.
        :raises ValueError: where Kuu with its jitter is not positive definite.
        """
        kernel = gpflow.utilities.deepcopy(latents.kernel)
        inducing_variable = gpflow.utilities.deepcopy(latents.inducing_variable)
        self._latents = Latents(kernel, inducing_variable, latents.columns)
        self.factor = None if latents.has_identity else checked_factor(self._latents.regular_kuu(), kernel)
        """R, [M, M]; None: the identity."""

    def __call__(self, X: np.ndarray) -> np.ndarray:
        phi = self._latents.whitened(tf.constant(X), None if self.factor is None else tf.constant(self.factor))
        return np.ascontiguousarray(phi.numpy().T)

    def prior_variance(self, X: np.ndarray) -> np.ndarray:
        return self._latents.prior_variance(tf.constant(X)).numpy()

    def unwhitened(self, v: np.ndarray) -> np.ndarray:
        """R v."""
        return v if self.factor is None else scipy.linalg.blas.dtrmm(1.0, self.factor, v, lower=1)


def check_widths(latents: Sequence[Latents], rows: Rows) -> None:
    """:raises ValueError: for rows X of a width that the kernels, or their inducing points, do not have."""
    X = tf.constant(rows.read(slice(0, 1))[0])
    for each in latents:
        each.kernel(X, full_cov=False)  # a kernel of paths says which widths it takes
        if isinstance(each.kernel, PathKernel) or not isinstance(each.inducing_variable, InducingPoints):
            continue
        expected = each.inducing_variable.Z.shape[-1]
        if X.shape[-1] != expected:
            raise ValueError(
                f"X must have the {expected} columns of the inducing points under {described(each.kernel)}, got "
                f"{X.shape[-1]}: give all the columns that the model was built for."
            )


def latents_of(model: SVGP) -> list[Latents]:
    """
    The latent processes of a model, in groups that share their features.

    :raises TypeError: for a kernel that mixes latent processes, and for a multioutput kernel without GPflow's wrappers
        of inducing variables.
    :raises ValueError: for a q(u) with a diagonal covariance, and one that does not fit the kernel.
    """
    kernel, inducing_variable = model.kernel, model.inducing_variable
    if isinstance(kernel, LinearCoregionalization):
        raise TypeError(
            "model.kernel must leave the latent processes apart, got LinearCoregionalization, which mixes them inside "
            "the likelihood: take SharedIndependent or SeparateIndependent, or train the model by train(...)."
        )
    if len(model.q_sqrt.shape) == 2:
        raise ValueError(
            "model must have full covariances in q(u), got q_diag=True: the closed form has full ones, so build the "
            "model with q_diag=False."
        )
    check_model(model)
    is_wrapped = isinstance(inducing_variable, MultioutputInducingVariables)
    if isinstance(kernel, MultioutputKernel) != is_wrapped:
        raise TypeError(
            f"model.kernel and model.inducing_variable must both be for several outputs or both not, got "
            f"{described(kernel)} and {type(inducing_variable).__name__}: wrap the inducing variables in "
            "gpflow.inducing_variables.SharedIndependentInducingVariables, or take the plain kernel with "
            "num_latent_gps."
        )
    features = features_of(inducing_variable)
    kernels = tuple(kernel.latent_kernels) if is_wrapped else (kernel,)
    num_latents = int(model.q_mu.shape[1])
    if all(each is kernels[0] for each in kernels) and len(features) == 1:
        return [Latents(kernels[0], features[0], slice(0, num_latents))]
    kernels = kernels * (num_latents // len(kernels))
    features = features * (num_latents // len(features))
    return [
        Latents(of_one, variables, slice(c, c + 1))
        for c, (of_one, variables) in enumerate(zip(kernels, features, strict=True))
    ]
