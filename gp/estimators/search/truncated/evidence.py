r"""
The evidence of a Gaussian process that regresses on labels: how preprocessings and hyperparameters are compared.

With the paths' features of level j, S_j, and their Gram matrices G_j = S_j S_jᵀ / mean \|S_j\|², the labels have the
covariance K = sum_j v_j G_j + s I. Each class is an output of its own: ±1, centred. This is the evidence of a
regression and not the classifier's, but it has a closed form, costs one Cholesky factor, and ranks candidates as well.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.optimize
import tensorflow as tf

from sigkernel_tf.signatures import signature

_LEVEL_DEVIATION = 6.0  # of the prior of log v_j and log s: wide, but no maximum lies at infinity
_LENGTHSCALE_DEVIATION = 0.7  # of the prior of log lengthscales: few series cannot tell many apart
_LEVEL_BOUNDS = (-14.0, 8.0)
_NOISE_BOUNDS = (-9.0, 3.0)
_LENGTHSCALE_BOUNDS = (-3.0, 3.0)
_WORST = 1e10  # in place of a value that is not finite, from which the line search turns back

Grams = Callable[[tf.Tensor], tf.Tensor]
"""From log lengthscales [G] to the Gram matrices of the levels, [J, N, N]."""


@dataclass(frozen=True)
class Optimum:
    """The hyperparameters with the largest evidence."""

    evidence: float
    """The log evidence plus the log prior, in nats, divided by the number of labels."""
    level_shares: np.ndarray
    """The part v_j that each level adds to the mean variance of a path, [J]."""
    noise: float
    """The noise variance s."""
    log_lengthscales: np.ndarray
    """The log lengthscales, relative to their common value, [G]."""

    @property
    def start(self) -> np.ndarray:
        """The point from which another optimisation goes on."""
        return np.concatenate([np.log(self.level_shares), [np.log(self.noise)], self.log_lengthscales])


def log_evidence(K: np.ndarray, Y: np.ndarray) -> tuple[float, np.ndarray]:
    """
    The log evidence of Y [N, C], whose columns have the distribution N(0, K), without its constant.

    :return: the log evidence, and its gradient with respect to K, [N, N].

    :raises numpy.linalg.LinAlgError: where K is not positive definite.
    """
    L = np.linalg.cholesky(K)
    inverse = scipy.linalg.cho_solve((L, True), np.eye(len(K)))
    A = inverse @ Y
    num_outputs = Y.shape[1]
    value = -0.5 * np.sum(Y * A) - num_outputs * np.sum(np.log(np.diag(L)))
    return value, 0.5 * (A @ A.T - num_outputs * inverse)


def level_grams(X: np.ndarray, depth: int) -> tf.Tensor:
    """The Gram matrices of the levels of paths [N, L, D], scaled to a mean diagonal of 1, [J, N, N]."""
    return grams_of(X, depth, np.zeros(X.shape[2], int))(tf.zeros(1, tf.float64))


def grams_of(X: np.ndarray, depth: int, groups: np.ndarray) -> Grams:
    """The same matrices as a function of lengthscales, one for each group of channels."""
    paths = tf.constant(X, tf.float64)
    sizes = [X.shape[2] ** level for level in range(depth + 1)]
    of_channels = tf.one_hot(groups, int(groups.max()) + 1, dtype=tf.float64)

    def grams(log_lengthscales: tf.Tensor) -> tf.Tensor:
        S = signature(paths * tf.exp(-tf.linalg.matvec(of_channels, log_lengthscales)), depth=depth)
        levels = [tf.matmul(part, part, transpose_b=True) for part in tf.split(S, sizes, axis=1)]
        return tf.stack([G / (tf.linalg.trace(G) / X.shape[0] + 1e-300) for G in levels])

    return grams


def maximise(
    grams: Grams,
    Y: np.ndarray,
    num_levels: int,
    num_lengthscales: int,
    *,
    start: np.ndarray | None = None,
    steps: int = 50,
) -> Optimum:
    """
    Maximise the evidence over level shares, noise and lengthscales, by L-BFGS.

    :param grams: called only once where ``num_lengthscales`` is 0.
    :param Y: the targets, [N, C].
    :param start: the log shares, the log noise and the log lengthscales to start from. None: equal shares.
    :param steps: the largest number of steps.
    """
    num_variances = num_levels + 1
    deviations = np.r_[np.full(num_variances, _LEVEL_DEVIATION), np.full(num_lengthscales, _LENGTHSCALE_DEVIATION)]
    fixed = grams(tf.zeros(1, tf.float64)).numpy() if num_lengthscales == 0 else None

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        shares, noise = np.exp(p[:num_levels]), np.exp(p[num_levels])
        lengthscales = tf.constant(p[num_variances:])
        with tf.GradientTape() as tape:
            tape.watch(lengthscales)
            G = fixed if fixed is not None else grams(lengthscales)
        values = np.asarray(G)
        K = np.tensordot(shares, values, 1) + noise * np.eye(len(Y))
        try:
            value, dK = log_evidence(K, Y)
        except np.linalg.LinAlgError:
            return _WORST, np.zeros_like(p)
        gradient = [shares * np.tensordot(values, dK, 2), [noise * np.trace(dK)]]
        if fixed is None:
            gradient.append(tape.gradient(G, lengthscales, output_gradients=shares[:, None, None] * dK).numpy())
        value -= 0.5 * np.sum(np.square(p / deviations))
        slope = np.concatenate(gradient) - p / deviations**2
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            return _WORST, np.zeros_like(p)
        return -value, -slope

    if start is None:
        start = np.r_[np.full(num_levels, -np.log(num_levels)), np.log(0.1), np.zeros(num_lengthscales)]
    bounds = [_LEVEL_BOUNDS] * num_levels + [_NOISE_BOUNDS] + [_LENGTHSCALE_BOUNDS] * num_lengthscales
    found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})
    return Optimum(
        evidence=-float(found.fun) / Y.size,
        level_shares=np.exp(found.x[:num_levels]),
        noise=float(np.exp(found.x[num_levels])),
        log_lengthscales=found.x[num_variances:],
    )
