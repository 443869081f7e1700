"""Static kernels of points and the lifting of paths, in NumPy and point by point."""

from collections.abc import Callable

import numpy as np

# Of the distance r of two points, for unit variance and lengthscale.
OF_DISTANCE: dict[str, Callable[[float], float]] = {
    "rbf": lambda r: np.exp(-(r**2) / 2),
    "matern12": lambda r: np.exp(-r),
    "matern32": lambda r: (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r),
    "matern52": lambda r: (1 + np.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5) * r),
    "rational_quadratic": lambda r: 1 / (1 + r**2 / 2),
}


def values(name: str, x: np.ndarray, y: np.ndarray, lengthscale: float = 1.0, variance: float = 1.0) -> np.ndarray:
    """κ(x_i, y_j) of points [L1, D] and [L2, D]; the linear kernel has no lengthscale."""
    if name == "linear":
        return variance * np.array([[float(np.sum(a * b)) for b in y] for a in x])
    kappa = OF_DISTANCE[name]
    return variance * np.array([[kappa(np.sqrt(np.sum((a - b) ** 2)) / lengthscale) for b in y] for a in x])


def without_tail(path: np.ndarray) -> np.ndarray:
    """A path [L, D] up to its last change."""
    end = len(path)
    while end > 1 and np.array_equal(path[end - 1], path[end - 2]):
        end -= 1
    return path[:end]


def increments(name: str, x: np.ndarray, y: np.ndarray, *, difference: bool, **parameters: float) -> np.ndarray:
    """The increments of the Goursat problem of two paths without their tails."""
    K = values(name, x, y, **parameters)
    if difference:
        return K[1:, 1:] - K[1:, :-1] - K[:-1, 1:] + K[:-1, :-1]
    return K / (len(x) * len(y))


def lifted(
    path: np.ndarray,
    *,
    window: int = 1,
    dilation: int = 1,
    stride: int = 1,
    centre: bool = False,
    scale: bool = False,
    time_scale: float | None = None,
    time: str = "relative",
    lengthscales: float | np.ndarray = 1.0,
) -> np.ndarray:
    """The points of SignatureKernel, window by window, of a path [n, D] without its tail."""
    count = max(1, len(path) - (window - 1) * dilation)
    kept = range(0, count, stride)
    points = []
    for number, start in enumerate(kept):
        values = np.array([path[min(start + dilation * i, len(path) - 1)] for i in range(window)])  # [window, D]
        deviation, of_path = values.std(axis=0), path.std(axis=0)
        if centre:
            values = values - values.mean(axis=0)
        if scale:
            divisor = deviation + 0.1 * of_path
            values = np.where(divisor > 1e-12, values / np.where(divisor > 1e-12, divisor, 1.0), 0.0)
        point = list((values / np.sqrt(window) / lengthscales).ravel())
        if time_scale is not None:
            position = number / max(len(kept) - 1, 1) if time == "relative" else start
            point = [time_scale * position, *point]
        points.append(point)
    return np.array(points)
