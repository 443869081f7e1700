"""SigGPDE as one class."""

from collections.abc import Sequence

from gpflow.base import TensorData
from gpflow.likelihoods import Likelihood
from gpflow.mean_functions import MeanFunction
from gpflow.models import SVGP

from sigkernel_tf.goursat import PowerSeries, Solver

from .inducing_variables import OrthogonalSignatureFeatures
from .kernels import SignatureKernel


class SigGPDE(SVGP):
    """
    Sparse variational Gaussian process on paths (section 3.4), with a signature kernel and orthogonal features.

    It is exactly ``gpflow.models.SVGP(SignatureKernel(D, ...), likelihood, OrthogonalSignatureFeatures(M), ...)``;
    write that for options that are not offered here. Inputs are flattened paths [N, L * D]
    (:func:`~sigkernel_tf.gp.flatten_paths`).

    >>> gpde = SigGPDE(2, 15, likelihood=gpflow.likelihoods.MultiClass(3), num_latent_gps=3)
    >>> gpde.predict_y(rows)[0].shape
    TensorShape([20, 3])
    """

    def __init__(
        self,
        num_channels: int,
        num_inducing: int,
        *,
        likelihood: Likelihood,
        num_latent_gps: int = 1,
        num_data: int | None = None,
        channels: Sequence[int] | None = None,
        lengthscales: TensorData = 1.0,
        variance: TensorData = 1.0,
        level_variances: int | TensorData | None = None,
        normalize: bool = False,
        solver: Solver = PowerSeries(),
        whiten: bool = True,
        q_diag: bool = False,
        mean_function: MeanFunction | None = None,
    ) -> None:
        """
        :param num_channels: the number of channels of every path.
        :param num_inducing: M, the number of features.
        :param likelihood: GPflow's; for classes ``MultiClass`` or ``Softmax``.
        :param num_latent_gps: the number of processes: one for each class, or 1.
        :param num_data: the size of the training set, which scales a minibatch's bound; None: each batch is all data.
        :param channels: the channels that the kernel sees, counted from 0; None: all of them.
        :param lengthscales: positive: a scalar for all channels, or a vector [D] with one for each (ARD).
        :param variance: σ², the kernel's variance, positive.
        :param level_variances: the kernel's [w_0, ..., w_n, w_rest], or an integer n for n + 2 ones.
        :param normalize: whether the kernel is normalized.
        :param solver: how the kernel is computed.
        :param whiten: has no effect on any result, for Kuu is the identity.
        :param q_diag: whether the covariance of q(u) is diagonal: [M, L] numbers instead of [L, M, M].
        :param mean_function: the prior's mean; None is zero.
        """
        super().__init__(
            SignatureKernel(
                num_channels,
                channels=channels,
                lengthscales=lengthscales,
                variance=variance,
                level_variances=level_variances,
                normalize=normalize,
                solver=solver,
            ),
            likelihood,
            OrthogonalSignatureFeatures(num_inducing),
            mean_function=mean_function,
            num_latent_gps=num_latent_gps,
            q_diag=q_diag,
            whiten=whiten,
            num_data=num_data,
        )
