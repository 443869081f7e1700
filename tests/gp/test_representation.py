"""Kernels in one line: what was chosen, and what the parameters have become."""

import functools

import gpflow
import numpy as np
import pytest
import tensorflow as tf

import sigkernel_tf as sk
from sigkernel_tf.gp import SignatureKernel, TruncatedSignatureKernel

RBF = gpflow.kernels.RBF
EXPECTED = {
    "SignatureKernel(num_channels=2)": lambda: SignatureKernel(2),
    "SignatureKernel(num_channels=2, static_kernel=RBF(lengthscales=0.5), time_scale=10, normalize=True)": lambda: (
        SignatureKernel(2, static_kernel=RBF(lengthscales=0.5), time_scale=10.0, normalize=True)
    ),
    "SignatureKernel(num_channels=3, channels=[0, 2], lengthscales=[0.5, 2], solver=PowerSeries(tolerance=0.0001))": (
        lambda: SignatureKernel(3, channels=[0, 2], lengthscales=[0.5, 2.0], solver=sk.PowerSeries(1e-4))
    ),
    "SignatureKernel(num_channels=1, difference=False, window=9, dilation=4, centre=True)": lambda: SignatureKernel(
        1, window=9, dilation=4, centre=True, difference=False, name="mine"
    ),
    "SignatureKernel(num_channels=1, time_scale=0.1, time='absolute')": lambda: SignatureKernel(
        1, time_scale=0.1, time="absolute"
    ),
    "SignatureKernel(num_channels=8, lengthscales=[1, 2, 3, 4, 5, 6, ... 8 of them])": lambda: SignatureKernel(
        8, lengthscales=np.arange(1.0, 9.0)
    ),
    "SignatureKernel(num_channels=2, level_variances=[1, 1, 1], active_dims=slice(1, None, None))": lambda: (
        SignatureKernel(2, level_variances=1, active_dims=slice(1, None))
    ),
    "SignatureKernel(num_channels=1, static_kernel=partial(rbf, lengthscale=0.5))": lambda: SignatureKernel(
        1, static_kernel=functools.partial(sk.static_kernels.rbf, lengthscale=0.5)
    ),
    "SignatureKernel(num_channels=1, static_kernel=Sum(kernels=[Linear(), RBF(variance=2)]))": lambda: SignatureKernel(
        1, static_kernel=gpflow.kernels.Linear() + RBF(variance=2.0)
    ),
    "TruncatedSignatureKernel(num_channels=2)": lambda: TruncatedSignatureKernel(2),
    "TruncatedSignatureKernel(num_channels=2, depth=3, discretization_order=1, level_variances=[1, 0, 1, 2])": lambda: (
        TruncatedSignatureKernel(2, 3, discretization_order=1, level_variances=[1.0, 0.0, 1.0, 2.0])
    ),
}


@pytest.mark.parametrize("expected", EXPECTED)
def test_what_is_not_at_its_default_is_shown(expected: str) -> None:
    assert repr(EXPECTED[expected]()) == expected


def test_parameters_are_shown_as_they_are_now() -> None:
    kernel = SignatureKernel(2)
    kernel.variance.assign(2.5)
    assert repr(kernel) == "SignatureKernel(num_channels=2, variance=2.5)"
    assert repr(gpflow.utilities.deepcopy(kernel)) == repr(kernel)
    assert "variance" in gpflow.utilities.tabulate_module_summary(kernel)


def test_a_traced_function_shows_no_values() -> None:
    kernel, seen = SignatureKernel(2, time_scale=3.0), []

    @tf.function
    def traced() -> tf.Tensor:
        seen.append(repr(kernel))
        return kernel(tf.zeros([1, 4], tf.float64))

    traced()
    assert seen[0] == "SignatureKernel(num_channels=2, lengthscales=..., variance=..., time_scale=...)"
