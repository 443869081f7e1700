r"""
Multinomial logistic regression, with a Gaussian prior as its penalty.

log p(y = c | x) is the c-th column of log softmax(x W + b), and −sum_n log p(y_n | x_n) + \|W\|² / (2 v) is minimised
for a prior of the variance v. Of two classes, the first has zeros in W and b: scikit-learn's ``LogisticRegression``,
whose C is v, does the same.
"""

from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.special

from .._chunks import row_slices

_NEWTONS_LARGEST = 2500  # numbers in W and b: Newton's steps factorise a matrix of this size
_NUMBERS_AT_ONCE = 4_000_000  # 32 MB
_SHORTEST_STEP = 1e-6


@dataclass(frozen=True)
class LogisticRegression:
    """Probabilities of classes from rows of D numbers."""

    coefficients: np.ndarray
    """W, [D, C]."""
    intercepts: np.ndarray
    """b, [C]."""

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """Of each class for each row of X [n, D]: [n, C]."""
        return np.exp(self.log_probabilities(X))

    def log_probabilities(self, X: np.ndarray) -> np.ndarray:
        """Their logarithms, which are finite also where a probability rounds to 0."""
        return scipy.special.log_softmax(X @ self.coefficients + self.intercepts, axis=1)


def fit_logistic(
    X: np.ndarray,
    numbers: np.ndarray,
    num_classes: int,
    variance: float | np.ndarray,
    *,
    start: LogisticRegression | None = None,
    max_iterations: int = 500,
    tolerance: float = 1e-6,
) -> LogisticRegression:
    """
    Fit by Newton's steps, or by L-BFGS where there are more than 2,500 coefficients.

    :param X: [N, D].
    :param numbers: the number of each row's class, from 0, [N].
    :param num_classes: C.
    :param variance: v, of the prior of all coefficients, or of those of each of the D numbers, [D]. The intercepts have
        none.
    :param start: where to start. None: zeros.
    :param max_iterations: the largest number of steps of L-BFGS.
    :param tolerance: L-BFGS ends where no derivative, divided by N, is larger.
    """
    problem = _Problem(X, numbers, num_classes, variance)
    begin = np.zeros((X.shape[1] + 1, num_classes))
    if start is not None:
        begin = np.vstack([start.coefficients, start.intercepts])
        if num_classes == 2:
            begin -= begin[:, :1]
    begin = begin[:, problem.free]
    found = (
        _newton(problem, begin) if begin.size <= _NEWTONS_LARGEST else _lbfgs(problem, begin, max_iterations, tolerance)
    )
    parameters = problem.all_columns(found)
    return LogisticRegression(parameters[:-1], parameters[-1])


class _Problem:
    """What is minimised, divided by N, as a function of the free columns of [W; b], [D + 1, C or 1]."""

    def __init__(self, X: np.ndarray, numbers: np.ndarray, num_classes: int, variance: float | np.ndarray) -> None:
        self.X, self.numbers, self.num_classes = X, numbers, num_classes
        self.free = slice(1 if num_classes == 2 else 0, num_classes)
        precision = np.broadcast_to(1.0 / (np.asarray(variance) * len(X)), X.shape[1])
        self.precision = np.append(precision, 0.0)[:, None]  # of W and b

    def all_columns(self, free: np.ndarray) -> np.ndarray:
        """With the first column's zeros, of two classes: [D + 1, C]."""
        return np.pad(free, ((0, 0), (self.num_classes - free.shape[1], 0)))

    def loss(self, free: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """The value, its gradient [D + 1, C or 1], and the probabilities [N, C]."""
        parameters, rows = self.all_columns(free), np.arange(len(self.X))
        log_p = scipy.special.log_softmax(self.X @ parameters[:-1] + parameters[-1], axis=1)
        value = -log_p[rows, self.numbers].mean() + 0.5 * np.sum(self.precision * free**2)
        p = np.exp(log_p)
        error = p.copy()
        error[rows, self.numbers] -= 1.0
        error = error[:, self.free] / len(self.X)
        gradient = np.vstack([self.X.T @ error, error.sum(axis=0)]) + self.precision * free
        return value, gradient, p

    def hessian(self, p: np.ndarray) -> np.ndarray:
        """The second derivatives, at the probabilities p [N, C]; columns of [W; b] come one after the other."""
        p = p[:, self.free]
        D, C = self.X.shape[1] + 1, p.shape[1]
        H = np.zeros((C, D, C, D))
        for rows in row_slices(len(p), max(_NUMBERS_AT_ONCE // (C * D), 1)):
            X = np.pad(self.X[rows], ((0, 0), (0, 1)), constant_values=1.0)
            weighted = p[rows, :, None] * X[:, None, :]  # [n, C, D]
            flat = weighted.reshape(len(X), -1)
            H -= (flat.T @ flat).reshape(H.shape)
            for c in range(C):
                H[c, :, c, :] += X.T @ weighted[:, c]
        return H.reshape(C * D, -1) / len(p) + np.diag(np.tile(self.precision.ravel(), C))


def _newton(problem: _Problem, at: np.ndarray) -> np.ndarray:
    """Newton's steps, each halved until it lowers the value."""
    value, gradient, p = problem.loss(at)
    for _ in range(100):
        H = problem.hessian(p)
        H[np.diag_indices_from(H)] += 1e-9 * np.trace(H) / len(H)  # one intercept of several is free
        direction = np.linalg.solve(H, gradient.T.ravel()).reshape(at.T.shape).T
        slope, step = np.sum(gradient * direction), 1.0
        if slope < 1e-10:  # the value cannot fall by more
            break
        while True:
            new_value, new_gradient, new_p = problem.loss(at - step * direction)
            if new_value <= value - 1e-4 * step * slope:
                break
            step /= 2
            if step < _SHORTEST_STEP:
                return at
        at, value, gradient, p = at - step * direction, new_value, new_gradient, new_p
    return at


def _lbfgs(problem: _Problem, at: np.ndarray, max_iterations: int, tolerance: float) -> np.ndarray:
    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient, _ = problem.loss(flat.reshape(at.shape))
        return value, gradient.ravel()

    options = {"maxiter": max_iterations, "maxcor": 20, "gtol": tolerance}
    found = scipy.optimize.minimize(loss, at.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(at.shape)
