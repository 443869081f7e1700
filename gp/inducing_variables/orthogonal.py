"""Orthogonal signature features, SigGPDE's inducing variables."""

from typing import Any

from check_shapes import Shape
from gpflow.inducing_variables import InducingVariables
from gpflow.kernels import Kernel, MultioutputKernel

from .._checks import as_positive_int


class OrthogonalSignatureFeatures(InducingVariables):
    r"""
    The projections u_m = ⟨f, S^m⟩ of the process on the first M signature features (eq. 26).

    Features are ordered by level and within a level lexicographically (:func:`sigkernel_tf.words`); M may cut a level
    midway. They are orthonormal in the kernel's Hilbert space (eq. 24), so Kuu is the identity and nothing is ever
    inverted (eq. 27). They depend on the kernel alone: there are no parameters and nothing to initialise.

    They are a basis for :class:`~sigkernel_tf.gp.SignatureKernel` alone. Levels of D channels hold 1, D, D², ... words:
    M = 1 + D + D² takes the first three.
    """

    def __init__(self, num_inducing: int, *, name: str | None = None) -> None:
        """
        :param num_inducing: M, at least 1; the first feature is the constant of the empty word.
        :raises TypeError: for anything but an integer.
        :raises ValueError: for less than 1.
        """
        super().__init__(name=name)
        self._num_inducing = as_positive_int(num_inducing, "num_inducing")

    @property
    def num_inducing(self) -> int:
        """M."""
        return self._num_inducing

    @property
    def shape(self) -> Shape:
        """[M, ., 1]: features have no width of their own, and serve paths of any length."""
        return (self._num_inducing, None, 1)


def unsuitable_kernel(kernel: Any) -> TypeError:
    """The error for orthogonal signature features with another kernel than the signature kernel."""
    if isinstance(kernel, MultioutputKernel):
        cure = (
            "for several outputs take gpflow.kernels.SharedIndependent(SignatureKernel(...), output_dim) with "
            "gpflow.inducing_variables.SharedIndependentInducingVariables(OrthogonalSignatureFeatures(...)), "
            "or num_latent_gps with the plain pair"
        )
    else:
        cure = (
            "take SignatureKernel by itself, or keep this kernel and take gpflow.inducing_variables.InducingPoints "
            "on flattened paths"
        )
    found = type(kernel).__name__
    if isinstance(kernel, Kernel) and hasattr(kernel, "kernels"):
        found += f" of {', '.join(type(k).__name__ for k in kernel.kernels)}"
    return TypeError(
        f"OrthogonalSignatureFeatures are a basis for SignatureKernel alone, got the kernel {found}: {cure}."
    )
