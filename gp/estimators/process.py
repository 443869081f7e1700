r"""
The process with a lifted kernel that a fit has found: what predicts, and the GPflow model of it.

With the kernel k(x, Z) of a series and the M inducing series, for the variance 1, the mean is k(x, Z) α + offset. It
needs no matrix but α, [M, C]. The covariance is that of an ``SVGP`` whose q(u) has the whitened covariance R Rᵀ, after
least squares the same for all outputs; the model is built when it is first asked for.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import gpflow
import numpy as np
import scipy.linalg
import tensorflow as tf

from .._chunks import row_slices
from ..data.classes import LogisticBernoulli
from ..data.digest import digest
from ..inducing_variables import InducingSequences
from ..kernels import SignatureKernel
from ..training.least_squares import gaussian_likelihood
from .lifted import LiftedKernel
from .model import float64, in_precision

_LARGEST = 1e8  # numbers in q_sqrt of all outputs: 800 MB
_BATCH = 256


@dataclass
class LiftedProcess:
    """A sparse Gaussian process with the same kernel for all outputs."""

    kernel: LiftedKernel
    num_channels: int
    tolerance: float
    """Of the kernel's solver."""
    num_series: int
    """The number of series that it was fitted to."""
    inducing: np.ndarray
    """The inducing series, flattened paths [M, L * D] in the precision of predictions."""
    alpha: np.ndarray
    """[M, C]"""
    offset: np.ndarray
    """[C]"""
    variance: float
    """Of the process."""
    noise: float
    """The variance of the noise, which is the same for all outputs. Only a Gaussian likelihood has it."""
    root: np.ndarray | None
    """R, lower triangular, [M, M], or [C, M, M] where outputs differ. None: not affordable."""
    likelihood: str = "gaussian"
    """Or "link": the logistic link for one output, the softmax link for more."""
    _gpflow_kernel: SignatureKernel | None = field(default=None, repr=False)
    _model: gpflow.models.SVGP | None = field(default=None, repr=False)
    _built: str = field(default="", repr=False)

    @property
    def num_outputs(self) -> int:
        """C."""
        return self.alpha.shape[1]

    @property
    def is_model_affordable(self) -> bool:
        """Whether q(u)'s covariances of all outputs fit into memory."""
        return self.num_outputs * len(self.inducing) ** 2 <= _LARGEST

    def mean(self, flat: np.ndarray) -> np.ndarray:
        """The mean of f at flattened paths, [n, C]."""
        now = self.current()
        dtype = now.inducing.dtype.name
        with in_precision(dtype):
            k, Z = now.kernel.kernel(now.num_channels, tolerance=now.tolerance), tf.constant(now.inducing)
            parts = [
                k(tf.constant(flat[rows].astype(dtype)), Z).numpy().astype(float) @ now.alpha
                for rows in row_slices(len(flat), _BATCH)
            ]
        found = np.concatenate(parts) + now.offset
        if not np.isfinite(found).all():
            raise OverflowError
        return found

    def variances(self, flat: np.ndarray) -> np.ndarray:
        """The variance of f at flattened paths, [n, C]."""
        with float64():
            posterior = self.model.posterior()
            parts = [posterior.predict_f(tf.constant(flat[rows]))[1] for rows in row_slices(len(flat), _BATCH)]
        return np.concatenate(parts)

    def covariances(self, flat: np.ndarray) -> np.ndarray:
        """The covariance of f between flattened paths, [C, n, n]."""
        with float64():
            return self.model.predict_f(tf.constant(flat), full_cov=True)[1].numpy()

    @property
    def model(self) -> gpflow.models.SVGP:
        """
        The process as a model, in double precision. From then on, predictions are those of the model.

        :raises AttributeError: where it would not fit into memory.
        """
        if self._model is None:
            self._model = self._build()
            self._built = _digest(self._model)
        return self._model

    def current(self) -> "LiftedProcess":
        """The process as its model is now, if that was built and changed."""
        if self._model is None or _digest(self._model) == self._built:
            return self
        return self._of_model(self._model)

    def kuu_factor(self) -> np.ndarray:
        """The Cholesky factor of the inducing series' kernel as GPflow computes it, [M, M]."""
        with float64():
            k = self.kernel.kernel(self.num_channels, variance=self.variance, tolerance=self.tolerance)
            K = k(tf.constant(self.inducing, tf.float64)).numpy()
        return _factor(K)

    @property
    def gpflow_kernel(self) -> SignatureKernel:
        """The kernel of the model, in double precision; the same object in each call."""
        if self._gpflow_kernel is None:
            with float64():
                self._gpflow_kernel = self.kernel.kernel(
                    self.num_channels, variance=self.variance, tolerance=self.tolerance
                )
        return self._gpflow_kernel

    @property
    def too_large(self) -> str:
        """Why there is no model."""
        numbers = self.num_outputs * len(self.inducing) ** 2
        return (
            f"model_ must hold a covariance for each of {self.num_outputs} outputs, {8 * numbers / 1e9:.1f} GB with "
            f"{len(self.inducing)} inducing series, so that it is not built: predict with the estimator itself, or fit "
            "with a smaller num_inducing."
        )

    def _build(self) -> gpflow.models.SVGP:
        if self.root is None:
            raise AttributeError(self.too_large)
        C, M = self.num_outputs, len(self.inducing)
        with float64():
            q_mu = self.kuu_factor().T @ self.alpha / self.variance
            return gpflow.models.SVGP(
                self.gpflow_kernel,
                self._likelihood(),
                InducingSequences(self.inducing.reshape(M, -1, self.num_channels).astype(np.float64)),
                mean_function=gpflow.functions.Constant(self.offset),
                num_latent_gps=C,
                num_data=self.num_series,
                q_mu=q_mu,
                q_sqrt=np.broadcast_to(self.root, (C, M, M)),
            )

    def _likelihood(self) -> gpflow.likelihoods.Likelihood:
        if self.likelihood == "gaussian":
            return gaussian_likelihood(self.noise)
        return LogisticBernoulli() if self.num_outputs == 1 else gpflow.likelihoods.Softmax(self.num_outputs)

    def _of_model(self, model: gpflow.models.SVGP) -> "LiftedProcess":
        kernel: SignatureKernel = model.kernel
        variance = float(kernel.variance.numpy())
        Z = model.inducing_variable.Z.numpy()
        changed = replace(
            self,
            kernel=self.kernel.of_kernel(kernel),
            num_series=self.num_series if model.num_data is None else int(model.num_data),
            inducing=Z.reshape(len(Z), -1),
            offset=np.broadcast_to(model.mean_function.c.numpy(), self.offset.shape).copy(),
            variance=variance,
            noise=float(model.likelihood.variance.numpy()) if self.likelihood == "gaussian" else self.noise,
            root=model.q_sqrt.numpy(),
            _gpflow_kernel=None,
            _model=None,
            _built="",
        )
        q_mu = model.q_mu.numpy()
        changed.alpha = variance * scipy.linalg.solve_triangular(changed.kuu_factor(), q_mu, lower=True, trans="T")
        return changed

    def __getstate__(self) -> dict[str, Any]:
        return {**self.current().__dict__, "_gpflow_kernel": None, "_model": None, "_built": ""}


def _factor(K: np.ndarray) -> np.ndarray:
    return np.linalg.cholesky(K + gpflow.config.default_jitter() * np.eye(len(K)))


def _digest(model: gpflow.models.SVGP) -> str:
    values = [value for _, value in sorted(gpflow.utilities.read_values(model).items())]
    return digest(*(np.atleast_1d(value) for value in (*values, model.num_data or 0)))
