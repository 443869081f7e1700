"""The parameters of a lifted kernel, by the gradient of how well least squares predict left-out series."""

from dataclasses import replace

import gpflow
import numpy as np
import scipy.optimize
import tensorflow as tf

from ...training.leave_one_out import leave_one_out_log_density, leave_one_out_log_probability
from ..calibration import FACTOR, LOG_FACTOR_VARIANCE
from ..model import in_precision
from .candidate import TOLERANCE, Bench, LiftedCandidate

_WORK = 6e8  # cells of one evaluation, at effort 1, without the gradient
_MOST = 800  # series
_SERIES_OF_CHANNEL = 50  # fewer cannot tell the lengthscales of channels apart
_DEVIATION = 0.7  # of the prior of the logarithm of each parameter
_DEVIATION_OF_CHANNELS = 0.35  # of those of several channels' lengthscales
_STEPS = 8  # of L-BFGS
_FEW_STEPS = 2  # where little effort is asked for
_WORST = 1e10  # in place of a value that is not finite, from which the line search turns back


def refined(bench: Bench, candidate: LiftedCandidate) -> LiftedCandidate:
    """
    The candidate with a better lengthscale, a better scale of time and a better variance.

    Where there are many series for each channel, each channel gets a lengthscale of its own.
    """
    rows = bench.rows(bench.num_series(_WORK, [candidate.kernel], most=_MOST))
    paths = candidate.preprocessor.paths([bench.series[row] for row in rows])
    labels = bench.task.labels[rows]
    start = candidate.kernel
    if len(start.lengthscales) == 1 and len(rows) >= _SERIES_OF_CHANNEL * bench.num_channels:
        start = replace(start, lengthscales=start.lengthscales * bench.num_channels)
    with in_precision("float32"):
        kernel = start.kernel(bench.num_channels, tolerance=TOLERANCE)
        gpflow.set_trainable(kernel.variance, False)  # it has no effect but on the ridge
        flat = tf.constant(paths.reshape(len(paths), -1), tf.float32)
        steps = _FEW_STEPS if bench.is_hasty else _STEPS
        found = _maximised(kernel, flat, labels, candidate.ridge, steps)
        return replace(candidate, kernel=start.of_kernel(kernel)) if found else candidate


def _maximised(kernel: gpflow.kernels.Kernel, flat: tf.Tensor, labels: np.ndarray, ridge: float, steps: int) -> bool:
    """
    Move the kernel's parameters to where left-out series are predicted best, with a prior around where they were.

    Numbers are predicted by their log density. Classes have the log probability that one factor of all scores gives,
    and this factor has the prior of the calibration.

    :param ridge: where to start.
    """
    parameters = [one for one in kernel.parameters if one.trainable]
    begin = [np.log(one.numpy()) for one in parameters]
    sizes = [one.size for one in begin]
    deviations = [np.full(size, _DEVIATION_OF_CHANNELS if size > 1 else _DEVIATION) for size in sizes]
    # The ridge has no prior.
    deviation = np.concatenate([*deviations, [np.inf, LOG_FACTOR_VARIANCE**0.5]])
    is_classes = labels.dtype.kind != "f"

    def assign(p: np.ndarray) -> None:
        for one, first, change in zip(parameters, begin, np.split(p[:-2], np.cumsum(sizes)[:-1]), strict=True):
            one.assign(np.exp(first + change.reshape(first.shape)))

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        assign(p)
        variables = [one.unconstrained_variable for one in parameters]
        log_ridge, log_factor = (tf.constant(one, tf.float64) for one in p[-2:])
        try:
            with tf.GradientTape() as tape:
                tape.watch([log_ridge, log_factor])
                now, factor = tf.exp(log_ridge), FACTOR * tf.exp(log_factor)
                if is_classes:
                    value = leave_one_out_log_probability(kernel, flat, labels, now, factor)
                else:
                    value = leave_one_out_log_density(kernel, flat, labels, now)
            slopes = tape.gradient(value, [*variables, log_ridge, log_factor], unconnected_gradients="zero")
        except tf.errors.InvalidArgumentError:
            return _WORST, np.zeros_like(p)
        by_log = [
            # d/d log θ from the gradient by the unconstrained variable u, θ = T(u)
            np.ravel(slope.numpy()) * np.ravel(one.numpy()) / np.ravel(_slope_of_transform(one))
            for one, slope in zip(parameters, slopes[:-2], strict=True)
        ]
        total = float(value) - 0.5 * np.sum(np.square(p / deviation))
        gradient = np.concatenate([*by_log, [float(slope) for slope in slopes[-2:]]]) - p / deviation**2
        if not (np.isfinite(total) and np.isfinite(gradient).all()):
            return _WORST, np.zeros_like(p)
        return -total / len(labels), -gradient / len(labels)

    start = np.append(np.zeros(sum(sizes)), [np.log(ridge), 0.0])
    bounds = [(-2.0, 2.0)] * sum(sizes) + [(np.log(1e-5), np.log(30.0)), (-4.0, 4.0)]
    found = scipy.optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps, "maxfun": 2 * steps}
    )
    assign(found.x)
    return found.fun < _WORST


def _slope_of_transform(parameter: gpflow.Parameter) -> np.ndarray:
    """The derivative of a parameter by its unconstrained variable."""
    with tf.GradientTape() as tape:
        value = tf.convert_to_tensor(parameter)
    return tape.gradient(value, parameter.unconstrained_variable).numpy()
