"""Orthogonal signature features, SigGPDE's inducing variables."""

from typing import Any

from check_shapes import Shape
from gpflow.inducing_variables import InducingVariables, MultioutputInducingVariables
from gpflow.kernels import Kernel, MultioutputKernel

from sigkernel_tf._arguments import as_int

from .._checks import described
from ..kernels import SignatureKernel


class OrthogonalSignatureFeatures(InducingVariables):
    r"""
    The projections u_m = ⟨f, S^m⟩ of the process on the first M signature features (eq. 26).

    The features are ordered by level, and within a level lexicographically (:func:`sigkernel_tf.words`); M may cut a
    level midway. They are orthonormal in the kernel's Hilbert space (eq. 24), so Kuu is the identity and no matrix is
    inverted (eq. 27). They depend only on the kernel: there are no parameters and there is nothing to initialise.

    They are a basis only for :class:`~sigkernel_tf.gp.SignatureKernel` with a linear static kernel. If the kernel has
    ``channels``, the words are over those. The levels of D channels hold 1, D, D², ... words, so that M = 1 + D + D²
    takes the first three levels. For several outputs take GPflow's SharedIndependent, SeparateIndependent or
    LinearCoregionalization of such kernels, with SharedIndependentInducingVariables or
    SeparateIndependentInducingVariables of these features, or with the Fallback variants of these; nothing is inverted
    there either.

    >>> features = OrthogonalSignatureFeatures(15)  # 15 words of two channels: all of up to three letters
    >>> gpflow.models.SVGP(SignatureKernel(2), gpflow.likelihoods.Bernoulli(), features).predict_f(rows)[0].shape
    TensorShape([20, 1])
    """

    def __init__(self, num_inducing: int, *, name: str | None = None) -> None:
        """
        :param num_inducing: M, at least 1; the first feature is the constant of the empty word.
        :raises TypeError: for anything but an integer.
        :raises ValueError: for less than 1.
        """
        super().__init__(name=name)
        self._num_inducing = as_int(num_inducing, "num_inducing", 1)

    @property
    def num_inducing(self) -> int:
        """M."""
        return self._num_inducing

    @property
    def shape(self) -> Shape:
        """[M, ., 1]: the features have no width of their own, for they serve paths of any length."""
        return (self._num_inducing, None, 1)


def latent_kernels(kernel: Kernel, inducing_variable: InducingVariables) -> list[SignatureKernel]:
    """
    The kernel of each latent process whose inducing variables are orthogonal features, or the kernel that all share.

    A multioutput kernel goes with Shared- or SeparateIndependentInducingVariables. Separate features are the same
    features where their numbers are equal, so that only the kernels can differ.

    :raises TypeError: where other inducing variables are among them, and for a kernel without such features.
    :raises ValueError: where the numbers of inducing variables and of kernels differ.
    """
    features = features_of(inducing_variable)
    if not all(isinstance(each, OrthogonalSignatureFeatures) for each in features):
        found = ", ".join(type(each).__name__ for each in features)
        raise TypeError(
            f"all inducing variables of a model must be OrthogonalSignatureFeatures if one is, got {found}: take the "
            "same kind for all outputs."
        )
    is_multioutput = isinstance(kernel, MultioutputKernel)
    if is_multioutput != isinstance(inducing_variable, MultioutputInducingVariables):
        raise unsuitable_kernel(kernel)
    kernels = list(kernel.latent_kernels) if is_multioutput else [kernel]
    for each in kernels:
        if not isinstance(each, SignatureKernel) or each.what_lifts:
            raise unsuitable_kernel(each)
    if len(features) > 1 and len(kernels) > 1 and len(features) != len(kernels):
        raise ValueError(
            f"there must be as many inducing variables as kernels, or one for all, got {len(features)} and "
            f"{len(kernels)} kernels: SharedIndependentInducingVariables takes one for all."
        )
    return kernels[:1] if all(each is kernels[0] for each in kernels) else kernels


def features_of(inducing_variable: InducingVariables) -> tuple[InducingVariables, ...]:
    """The inducing variables inside one of GPflow's wrappers, or those given where there is no wrapper."""
    if isinstance(inducing_variable, MultioutputInducingVariables):
        return tuple(inducing_variable.inducing_variables)
    return (inducing_variable,)


def num_features(inducing_variable: InducingVariables) -> int:
    """M as an int, which is known while tracing; from GPflow's wrappers it would be a tensor."""
    numbers = {int(each.num_inducing) for each in features_of(inducing_variable)}
    if len(numbers) > 1:
        raise ValueError(
            f"all latent processes must have the same number of features, got {sorted(numbers)}: take the largest for "
            "all, for q_mu has one row for each feature."
        )
    return numbers.pop()


def has_orthogonal_features(inducing_variable: InducingVariables) -> bool:
    """Whether orthogonal signature features are among the inducing variables, in one of GPflow's wrappers or not."""
    return any(isinstance(each, OrthogonalSignatureFeatures) for each in features_of(inducing_variable))


def unsuitable_kernel(kernel: Any) -> TypeError:
    """The error for orthogonal signature features with another kernel than the signature kernel."""
    if isinstance(kernel, MultioutputKernel):
        cure = (
            "for several outputs take SharedIndependent, SeparateIndependent or LinearCoregionalization of "
            "SignatureKernel with gpflow.inducing_variables.SharedIndependentInducingVariables("
            "OrthogonalSignatureFeatures(...)), or num_latent_gps with the plain pair"
        )
    elif isinstance(kernel, SignatureKernel):
        cure = (
            f"leave {' and '.join(kernel.what_lifts)} out, or keep it and take "
            "gpflow.inducing_variables.InducingPoints on flattened paths"
        )
    else:
        cure = (
            "take SignatureKernel by itself, or keep this kernel and take gpflow.inducing_variables.InducingPoints "
            "on flattened paths"
        )
    return TypeError(
        f"OrthogonalSignatureFeatures are a basis only for SignatureKernel, got the kernel {described(kernel)}: {cure}."
    )
