"""Checks of a model on concrete data: whether its solver is accurate enough, and how much its features explain."""

import warnings

import numpy as np
import tensorflow as tf
from gpflow.base import TensorType
from gpflow.inducing_variables import InducingVariables
from gpflow.kernels import Kernel

from sigkernel_tf.goursat import PowerSeries, Solver

from .._checks import check_rows
from ..inducing_variables import latent_kernels, num_features
from ..kernels import SignatureKernel
from .residual import features_and_residual

RESIDUAL_TOLERANCE = 1e-6  # relative to k(x, x)


def check_residual(kernel: Kernel, inducing_variable: InducingVariables, X: TensorType) -> float:
    r"""
    Warns where the solver's error makes the posterior's variance wrong: \|S_M(x)\|² <= k(x, x) must hold (eq. 29).

    The features are exact, whereas the kernel is only as accurate as its solver. Where k(x, x) falls short by more than
    1e-6 k(x, x), clamping hides a real error: the solver is too coarse for these paths and lengthscales, or the power
    series has lost digits to cancellation. The warning says which, and what helps. Run this check on concrete data
    before training; it is not part of the traced bound. Level variances change nothing here: the check looks at the
    signature kernel without them, and at no fewer words than those that have a level variance.

    >>> check_residual(model.kernel, model.inducing_variable, rows) < 0  # some of k(x, x) is always left
    True

    :param kernel: a :class:`~sigkernel_tf.gp.SignatureKernel`, or a multioutput kernel of such.
    :param inducing_variable: the features, or GPflow's Shared- or SeparateIndependentInducingVariables of them.
    :param X: rows [N, W] as the kernel takes them.
    :return: the largest (\|S_M(x)\|² − k(x, x)) / k(x, x) of the paths; minus infinity if there are no paths.
    :raises RuntimeError: inside tf.function, where there are no values to look at.
    """
    _must_be_eager("check_residual")
    check_rows(X, "X")
    kernels = {id(each): each for each in latent_kernels(kernel, inducing_variable)}.values()
    return max(_largest_excess(each, num_features(inducing_variable), X) for each in kernels)


def _largest_excess(kernel: SignatureKernel, num_inducing: int, X: TensorType) -> float:
    explained, k = kernel.plain_squared_norms(X, num_inducing)
    excess = (explained - k) / tf.abs(k)  # a solver can be so coarse that even k(x, x) < 0
    largest = float(tf.reduce_max(excess))
    if largest > RESIDUAL_TOLERANCE:
        worst, count = int(tf.argmax(excess)), int(tf.math.count_nonzero(excess > RESIDUAL_TOLERANCE))
        warnings.warn(
            f"|S_M(x)|² exceeds k(x, x) for {count} of {excess.shape[0]} paths, by up to {largest:.1e} of k(x, x) "
            f"(path {worst}), where at most {RESIDUAL_TOLERANCE:.0e} was expected: {_cause_and_cure(kernel.solver)}",
            RuntimeWarning,
            stacklevel=3,
        )
    return largest


def _cause_and_cure(solver: Solver) -> str:
    """Why a solver's k(x, x) is too small, and what to do about it."""
    if not isinstance(solver, PowerSeries):
        return f"{solver} is too coarse for these paths. Use PowerSeries(), or a higher dyadic_order."
    if solver.tolerance is not None and solver.tolerance > RESIDUAL_TOLERANCE:
        return f"{solver} has a tolerance that is too large for this. Use PowerSeries()."
    return (
        f"{solver} has lost digits to cancellation, as it does on paths that go back on themselves in large steps. Use "
        "longer lengthscales, paths with smaller steps, or float64."
    )


def residual_share(kernel: Kernel, inducing_variable: InducingVariables, X: TensorType) -> np.ndarray:
    r"""
    The share of each path's prior variance that lies beyond the features, 1 − \|S_M(x)\|² / k(x, x) (eq. 29).

    The features cannot explain this part: it stays in the posterior's variance, whatever the data. A classifier with
    shares close to 1 predicts almost nothing. Longer lengthscales, more features or level variances
    (:class:`~sigkernel_tf.gp.SignatureKernel`) lower the share. Training lowers it too where these are trainable, but
    may start far away. ``np.median(residual_share(model.kernel, model.inducing_variable, X))`` sums up a data set.

    >>> share = residual_share(model.kernel, model.inducing_variable, rows)
    >>> share.shape
    (20,)

    :param kernel: a :class:`~sigkernel_tf.gp.SignatureKernel`, or a multioutput kernel of such.
    :param inducing_variable: the features, or GPflow's Shared- or SeparateIndependentInducingVariables of them.
    :param X: rows [N, W] as the kernel takes them.
    :return: [N], or [N, L] where L latent processes have a kernel each: numbers from 0 to 1; NaN for a path whose prior
        variance is 0.
    :raises RuntimeError: inside tf.function.
    """
    _must_be_eager("residual_share")
    check_rows(X, "X")
    features, residual = features_and_residual(kernel, inducing_variable, X, full_cov=False)
    explained = tf.reduce_sum(tf.square(features), axis=-1)
    return tf.transpose(residual / (explained + residual)).numpy()


def _must_be_eager(name: str) -> None:
    if not tf.executing_eagerly():
        raise RuntimeError(f"{name} looks at values and works only eagerly: call it outside tf.function.")
