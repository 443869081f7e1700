"""Signature kernels of lifted paths: their options as plain values, and the kernels that these describe."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import gpflow
import numpy as np
import tensorflow as tf

from sigkernel_tf.goursat import PowerSeries

from ..kernels import SignatureKernel
from ..kernels.lifting import Lifting


@dataclass(frozen=True, kw_only=True)
class LiftedKernel:
    """
    A normalized signature kernel over an RBF kernel of points or windows, in one value of numbers and booleans.

    The options are those of :class:`~sigkernel_tf.gp.SignatureKernel`.
    """

    kind: str
    """"lifted" or "windows", by the search that proposes it."""
    lengthscales: tuple[float, ...] = (1.0,)
    """Of the channels: one for each, or one for all."""
    variance: float = 1.0
    """The variance of the RBF kernel."""
    difference: bool = True
    window: int = 1
    dilation: int = 1
    stride: int = 1
    centre: bool = False
    scale: bool = False
    time_scale: float | None = None
    """Over the RBF kernel's lengthscale, which is 1. None: time is no channel."""

    def __str__(self) -> str:
        shape = f"windows of {self.window} values, {self.dilation} apart" if self.window > 1 else "points"
        parts = ["centred"] * self.centre + ["scaled"] * self.scale + ["differenced"] * self.difference
        parts += [] if self.time_scale is None else [f"time over {self.time_scale:.3g} lengthscales"]
        lengthscales = ", ".join(f"{value:.3g}" for value in self.lengthscales)
        return ", ".join([shape, *parts, f"lengthscales {lengthscales}", f"variance {self.variance:.3g}"])

    @property
    def span(self) -> int:
        """From the first time step of a window to its last."""
        return (self.window - 1) * self.dilation

    def num_points(self, length: int) -> int:
        """How many points the kernel sees of a series of this length."""
        return -(-max(length - self.span, 1) // self.stride)

    def work(self, length: int, num_channels: int) -> float:
        """The cost of a pair of series of this length, in cells of a Goursat grid with a few channels."""
        return float(self.num_points(length)) ** 2 * (1.0 + num_channels * self.window / 60.0)

    def kernel(self, num_channels: int, *, variance: float = 1.0, tolerance: float | None = None) -> SignatureKernel:
        """
        The kernel of paths with so many channels, in GPflow's default float.

        :param variance: σ², that of the process.
        :param tolerance: of the solver.
        """
        lengthscales = self.lengthscales if len(self.lengthscales) > 1 else self.lengthscales[0]
        static_kernel = gpflow.kernels.RBF(variance=self.variance)
        gpflow.set_trainable(static_kernel.lengthscales, False)  # the channels have theirs
        return SignatureKernel(
            num_channels,
            lengthscales=lengthscales,
            variance=variance,
            static_kernel=static_kernel,
            difference=self.difference,
            window=self.window,
            dilation=self.dilation,
            stride=self.stride,
            centre=self.centre,
            scale=self.scale,
            time_scale=self.time_scale,
            normalize=True,
            solver=PowerSeries(tolerance),
        )

    def of_kernel(self, kernel: SignatureKernel) -> "LiftedKernel":
        """The same options with the parameters that a kernel has now, its own variance apart."""
        static_kernel = kernel.static_kernel
        assert isinstance(static_kernel, gpflow.kernels.RBF)
        return replace(
            self,
            lengthscales=tuple(float(value) for value in np.atleast_1d(kernel.lengthscales.numpy())),
            variance=float(static_kernel.variance.numpy()),
            time_scale=None if kernel.time_scale is None else float(kernel.time_scale.numpy()),
        )

    def points(self, paths: np.ndarray) -> np.ndarray:
        """The points that the RBF kernel sees of paths [N, L, D], those of all paths in one array [n, channels]."""
        lifting = Lifting(
            difference=self.difference,
            window=self.window,
            dilation=self.dilation,
            stride=self.stride,
            centre=self.centre,
            scale=self.scale,
            time=None if self.time_scale is None else "relative",
        )
        points, counts = lifting.points(tf.constant(paths))
        lengthscales = tf.constant(np.broadcast_to(self.lengthscales, paths.shape[2:]), points.dtype)
        points = (points * lifting.factors(lengthscales, self.time_scale)).numpy()
        return points[np.arange(points.shape[1]) < counts.numpy()[:, None]]

    def to_dict(self) -> dict[str, Any]:
        """The options, as JSON values."""
        return asdict(self) | {"lengthscales": list(self.lengthscales)}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> "LiftedKernel":
        """From what :meth:`to_dict` returned."""
        return cls(**{**saved, "lengthscales": tuple(saved["lengthscales"])})
