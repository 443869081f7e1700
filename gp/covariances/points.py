"""Kuf of GPflow's inducing points for kernels of paths, registered with GPflow's dispatcher."""

import tensorflow as tf
from check_shapes import check_shapes
from gpflow.base import TensorType
from gpflow.covariances import Kuf
from gpflow.inducing_variables import InducingPoints

from ..kernels import PathKernel


# GPflow's own demands the same width of the points and the rows. Paths may have other lengths, and where the width fits
# no path, the kernel says so.
@Kuf.register(InducingPoints, PathKernel, object)
@check_shapes(
    "inducing_variable: [M, D, 1]",
    "return: [M, batch..., N]",
)
def _kuf_points(inducing_variable: InducingPoints, kernel: PathKernel, Xnew: TensorType) -> tf.Tensor:
    return kernel(inducing_variable.Z, Xnew)
