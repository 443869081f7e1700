"""How well left-out rows are predicted, as differentiable functions of a kernel's parameters; see ``ridge.py``."""

from typing import Any

import numpy as np
import tensorflow as tf
from gpflow.base import TensorType
from gpflow.covariances import Kuf, Kuu
from gpflow.kernels import Kernel, MultioutputKernel
from gpflow.models import SVGP

from .._checks import check_rows, described
from ..data.rows import as_default_float, as_rows
from ..inducing_variables import has_orthogonal_features
from .feature_maps import CUT_OFF, check_features_model
from .targets import Targets, Task, as_targets


def leave_one_out_log_density(
    features: SVGP | Kernel, X: Any, y: Any, ridge: TensorType, *, task: Task = "auto"
) -> tf.Tensor:
    r"""
    The log density of y at each row given all others, as a function of the kernel's parameters and the ridge.

    It is what :func:`fit_least_squares` chooses the ridge by, summed over rows and outputs, at the scale of kernel and
    noise where it is largest. It is a TensorFlow scalar that can be differentiated: by the lengthscales and whatever
    else is trainable in the kernel, by the inducing variables, and by the ridge. GPflow's optimizers so find the
    parameters at which it is largest:

    >>> ridge = gpflow.Parameter(0.01, transform=gpflow.utilities.positive())
    >>> loss = lambda: -leave_one_out_log_density(model, rows, y, ridge)
    >>> variables = [*model.kernel.trainable_variables, ridge.unconstrained_variable]
    >>> result = gpflow.optimizers.Scipy().minimize(loss, variables, compile=False, options={"maxiter": 3})
    >>> bool(loss() <= result.fun + 1e-9)
    True

    The kernel's variance has no effect where the ridge is in proportion: hold one of the two. All rows are in memory at
    once, so that it is for some thousand. Time and memory are those of Kuf with its gradient and of N M² multiply-adds;
    for a kernel, of K and of N³.

    :param features: an ``SVGP``, as :func:`fit_least_squares` takes it; or a kernel, for the exact process, which costs
        half of what an ``SVGP`` with all rows as inducing variables would. Here Kuu gets a jitter of 1e-12 (in float32
        1e-6) of its trace, whose Cholesky factor can be differentiated also where inducing variables come twice.
    :param X: rows [N, W] as the kernel takes them.
    :param y: labels or floats, as :func:`fit_least_squares` takes them.
    :param ridge: the noise variance beside the kernel as it is, positive.
    :param task: what y holds, as :func:`fit_least_squares` takes it.
    :return: a scalar in float64, in nats.
    :raises ValueError: as :func:`fit_least_squares`.
    :raises TypeError: for other features, and as :func:`fit_least_squares`.
    """
    targets, Y, diagonal, products = _left_out(features, X, y, ridge, task)
    scales = tf.reduce_mean(tf.square(products) / diagonal[:, None], axis=0)
    if targets.classes is not None:
        scales = tf.fill([Y.shape[1]], tf.reduce_mean(scales))
    of_scales = len(Y) * tf.reduce_sum(tf.math.log(2 * np.pi * scales) + 1.0)
    return -0.5 * (of_scales - Y.shape[1] * tf.reduce_sum(tf.math.log(diagonal)))


def leave_one_out_log_probability(
    features: SVGP | Kernel, X: Any, y: Any, ridge: TensorType, factor: TensorType
) -> tf.Tensor:
    """
    The log probability of the label at each row given all others, summed over rows, as a differentiable function.

    The probabilities are the softmax of ``factor`` times the predictions of the columns of ones and zeros, the classes'
    frequencies not added: the simplest of calibrations. The arguments are otherwise those of
    :func:`leave_one_out_log_density`.
    """
    targets, Y, diagonal, products = _left_out(features, X, y, ridge, "classification")
    log_p = tf.nn.log_softmax(tf.cast(factor, tf.float64) * (Y - products / diagonal[:, None]))
    return tf.reduce_sum(tf.gather(log_p, targets.numbers, batch_dims=1))


def _left_out(
    features: SVGP | Kernel, X: Any, y: Any, ridge: TensorType, task: Task
) -> tuple[Targets, np.ndarray, tf.Tensor, tf.Tensor]:
    """The targets and those of their columns Y that vary; the diagonal of (K + λ I)⁻¹, [N], and (K + λ I)⁻¹ Y."""
    if isinstance(features, SVGP):
        check_features_model(features)
    elif not isinstance(features, Kernel) or isinstance(features, MultioutputKernel):
        raise TypeError(
            f"features must be a gpflow.models.SVGP or a kernel with one output, got {described(features)}: for other "
            "features there are no parameters to differentiate by."
        )
    check_rows(X, "X")
    targets = as_targets(y, task)
    X, Y = as_rows((X, targets.Y[:, targets.Y.any(axis=0)])).read(slice(None))
    ridge = tf.cast(tf.convert_to_tensor(ridge), tf.float64)
    of_rows = _by_features if isinstance(features, SVGP) else _by_kernel
    return (targets, Y, *of_rows(features, as_default_float(X), tf.constant(Y, tf.float64), ridge))


def _by_kernel(kernel: Kernel, X: tf.Tensor, Y: tf.Tensor, ridge: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The diagonal of (K + λ I)⁻¹, [N], and (K + λ I)⁻¹ Y."""
    K = tf.cast(kernel(X), tf.float64)
    L = tf.linalg.cholesky(K + ridge * tf.eye(len(X), dtype=tf.float64))
    inverse = tf.linalg.cholesky_solve(L, tf.eye(len(X), dtype=tf.float64))
    return tf.linalg.diag_part(inverse), tf.matmul(inverse, Y)


def _by_features(model: SVGP, X: tf.Tensor, Y: tf.Tensor, ridge: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The same for K = Φ Φᵀ, by leverages h and residuals r: (1 − h) / λ and r / λ."""
    K = Kuf(model.inducing_variable, model.kernel, X)
    phi = tf.cast(K, tf.float64)  # [M, N]
    if not has_orthogonal_features(model.inducing_variable):
        of_inducing = tf.cast(Kuu(model.inducing_variable, model.kernel), tf.float64)
        jitter = CUT_OFF[np.dtype(K.dtype.as_numpy_dtype)] * tf.linalg.trace(of_inducing)
        eye = tf.eye(of_inducing.shape[0], dtype=tf.float64)
        phi = tf.linalg.triangular_solve(tf.linalg.cholesky(of_inducing + jitter * eye), phi)
    gram = tf.matmul(phi, phi, transpose_b=True)
    L = tf.linalg.cholesky(gram + ridge * tf.eye(phi.shape[0], dtype=tf.float64))
    A = tf.linalg.triangular_solve(L, phi)
    leverages = tf.reduce_sum(tf.square(A), axis=0)
    residuals = Y - tf.matmul(A, tf.matmul(A, Y), transpose_a=True)
    return (1.0 - leverages) / ridge, residuals / ridge
