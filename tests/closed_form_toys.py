"""Data and models for fits in closed form, and the options of a fit that goes to the end."""

import gpflow
import numpy as np
from gpflow.likelihoods import Gaussian, Likelihood

from sigkernel_tf.gp import ClosedFormOptions, OrthogonalSignatureFeatures, SignatureKernel

EXACTLY = ClosedFormOptions(hyperparameter_rounds=0, tolerance=1e-12, progress=False)
QUICKLY = ClosedFormOptions(hyperparameter_rounds=0, progress=False)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2))
F = np.sin(2.0 * X[:, :1]) + X[:, 1:] ** 2 / 2.0
NUMBERS = F + 0.1 * RNG.normal(size=F.shape)
YES_OR_NO = (F > 0.6).astype(float)
CLASSES = np.digitize(F, [0.3, 1.0])
COUNTS = RNG.poisson(np.exp(F)).astype(float)
Z = X[:6].copy()
NEW = RNG.normal(size=(7, 2))


def kernel() -> gpflow.kernels.Kernel:
    return gpflow.kernels.RBF(lengthscales=1.2)


def model(likelihood: Likelihood, num_latent_gps: int = 1, **options: object) -> gpflow.models.SVGP:
    return gpflow.models.SVGP(kernel(), likelihood, Z.copy(), num_latent_gps=num_latent_gps, **options)


def with_levels() -> gpflow.models.SVGP:
    """A model whose level variances move."""
    kernel = SignatureKernel(1, level_variances=[1.0, 1.0, 1.0, 0.5])
    return gpflow.models.SVGP(kernel, Gaussian(0.1), OrthogonalSignatureFeatures(4))


def assert_predicts_alike(one: gpflow.models.GPModel, other: gpflow.models.GPModel, tolerance: float) -> None:
    for found, expected in zip(one.predict_f(NEW), other.predict_f(NEW), strict=True):
        np.testing.assert_allclose(found, expected, atol=tolerance)
