"""Slow, independent answers with which the tests compare; they share no code with the package."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import mpmath
import numpy as np


def increment_products(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """The products of increments p_ij = <dx_i, dy_j> of two paths [L1, D] and [L2, D]."""
    return np.diff(X, axis=0) @ np.diff(Y, axis=0).T


def goursat(p: np.ndarray, degree: int = 36, digits: int = 40) -> float:
    """
    U(1, 1) of U_st = p U, from each cell's double Taylor series in mpmath.

    The series sum c_kl s^k t^l has (k + 1)(l + 1) c_{k+1,l+1} = p c_kl; its first row and column are the edges.
    """
    with mpmath.workdps(digits):
        one, zero = mpmath.mpf(1), mpmath.mpf(0)
        rows, columns = p.shape
        bottoms = [[one] + [zero] * degree for _ in range(columns)]
        corner = one
        divisors = [[one / ((k + 1) * (l + 1)) for l in range(degree)] for k in range(degree)]
        for i in range(rows):
            left = [one] + [zero] * degree
            for j in range(columns):
                value = mpmath.mpf(float(p[i, j]))
                # c[k][l]: k counts powers along the row (bottom edge), l powers across it (left edge)
                c = [[zero] * (degree + 1) for _ in range(degree + 1)]
                for k in range(degree + 1):
                    c[k][0] = bottoms[j][k]
                    c[0][k] = left[k]
                for k in range(degree):
                    for l in range(degree):
                        c[k + 1][l + 1] = value * c[k][l] * divisors[k][l]
                bottoms[j] = [mpmath.fsum(c[k]) for k in range(degree + 1)]
                left = [mpmath.fsum(c[k][l] for k in range(degree + 1)) for l in range(degree + 1)]
                corner = mpmath.fsum(left)
        return float(corner)


def exact_signature(path: Sequence[Sequence[int | Fraction]], depth: int) -> list[Fraction]:
    """The signature of a path with rational points, by Chen's identity over segments, in exact arithmetic."""
    channels = len(path[0])
    words = [w for k in range(depth + 1) for w in itertools.product(range(channels), repeat=k)]
    signature = {w: Fraction(int(w == ())) for w in words}
    for start, end in itertools.pairwise(path):
        step = [Fraction(b) - Fraction(a) for a, b in zip(start, end, strict=True)]
        segment = {(): Fraction(1)}
        for w in words[1:]:
            segment[w] = segment[w[:-1]] * step[w[-1]] / len(w)
        signature = {w: sum(signature[w[:k]] * segment[w[k:]] for k in range(len(w) + 1)) for w in words}
    return [signature[w] for w in words]


def signatures_of_prefixes(path: np.ndarray, depth: int) -> list[list[np.ndarray]]:
    """
    The signature of each prefix of a path [L, D], by Chen's identity over segments.

    An element of the tensor algebra is a list of arrays, level k of shape (D,) * k.
    """
    found = [[np.ones(()), *(np.zeros((path.shape[1],) * k) for k in range(1, depth + 1))]]
    for step in np.diff(path, axis=0):
        segment = [np.ones(())]
        for k in range(1, depth + 1):
            segment.append(np.multiply.outer(segment[-1], step) / k)
        found.append(tensor_product(found[-1], segment))
    return found


def discretized_levels(path: np.ndarray, depth: int, order: int) -> list[np.ndarray]:
    """
    Levels 0 to ``depth`` of Király and Oberhauser's discretized signature of a path [L, D], tuple by tuple.

    A tuple of indices i_1 <= ... <= i_k counts where none is repeated more than ``order`` times, divided by the
    factorial of each multiplicity.
    """
    steps, levels = np.diff(path, axis=0), [np.ones(())]
    for k in range(1, depth + 1):
        level = np.zeros((path.shape[1],) * k)
        for indices in itertools.combinations_with_replacement(range(len(steps)), k):
            repeats = [len(list(group)) for _, group in itertools.groupby(indices)]
            if max(repeats) <= order:
                level += rank_one([steps[i] for i in indices]) / math.prod(map(math.factorial, repeats))
        levels.append(level)
    return levels


def rank_one(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """The outer product of vectors."""
    product = np.ones(())
    for vector in vectors:
        product = np.multiply.outer(product, vector)
    return product


def inner_product(a: Sequence[np.ndarray], b: Sequence[np.ndarray], weights: Sequence[float]) -> float:
    """The inner product Σ_k w_k ⟨a_k, b_k⟩ of two elements of the tensor algebra."""
    return float(sum(w * np.sum(x * y) for w, x, y in zip(weights, a, b, strict=True)))


def tensor_product(a: list[np.ndarray], b: list[np.ndarray]) -> list[np.ndarray]:
    """The truncated product of two elements of the tensor algebra."""
    return [sum(np.multiply.outer(a[i], b[k - i]) for i in range(k + 1)) for k in range(len(a))]


def tensor_logarithm(a: list[np.ndarray]) -> list[np.ndarray]:
    """The logarithm of an element whose level 0 is 1, as the sum of (-1)^(n+1) (a - 1)^n / n."""
    rest = [a[0] - 1, *a[1:]]
    power, total = rest, rest
    for n in range(2, len(a)):
        power = tensor_product(power, rest)
        total = [t + (-1) ** (n + 1) * p / n for t, p in zip(total, power, strict=True)]
    return total


def signature(path: np.ndarray, depth: int) -> np.ndarray:
    """The signature of one path [L, D], flat."""
    return np.concatenate([level.ravel() for level in signatures_of_prefixes(path, depth)[-1]])


def exact_logarithm(signature: dict[tuple[int, ...], Fraction], depth: int) -> dict[tuple[int, ...], Fraction]:
    """The logarithm as the sum of (-1)^(k+1) (S - 1)^k / k, for a dictionary that has all words up to ``depth``."""
    rest = {word: value if word else Fraction(0) for word, value in signature.items()}
    power = {word: Fraction(int(word == ())) for word in signature}
    log = dict.fromkeys(signature, Fraction(0))
    for k in range(1, depth + 1):
        power = {w: sum(power[w[:cut]] * rest[w[cut:]] for cut in range(len(w) + 1)) for w in signature}
        log = {w: log[w] + Fraction((-1) ** (k + 1), k) * power[w] for w in signature}
    return log


def exponential(flat: np.ndarray, channels: int, depth: int) -> np.ndarray:
    """The exponential in the tensor algebra of an element without level 0, both flat, by its series."""
    ends = np.cumsum([channels**k for k in range(depth + 1)])
    x = [part.reshape((channels,) * k) for k, part in enumerate(np.split(flat, ends[:-1]))]
    power = [np.ones(()), *(np.zeros_like(level) for level in x[1:])]
    total = list(power)
    for n in range(1, depth + 1):
        power = [sum(np.multiply.outer(power[i], x[k - i]) for i in range(k + 1)) / n for k in range(depth + 1)]
        total = [a + b for a, b in zip(total, power, strict=True)]
    return np.concatenate([level.ravel() for level in total])


def central_differences(function, array: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The gradient of ``function(array) -> float``, by fourth-order central differences."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        direction = np.zeros_like(array)
        direction[index] = 1.0
        gradient[index] = slope(function, array, direction, step)
    return gradient


def slope(function, array: np.ndarray, direction: np.ndarray, step: float = 1e-5) -> float:
    """The derivative of ``function(array) -> float`` along a direction, by fourth-order central differences."""

    def shifted(by: float) -> float:
        return float(function(array + by * direction))

    near, far = shifted(step) - shifted(-step), shifted(2 * step) - shifted(-2 * step)
    return (8 * near - far) / (12 * step)


def check_gradient(
    function, array: np.ndarray, gradient: np.ndarray, tolerance: float = 1e-8, step: float = 1e-5
) -> None:
    """Compares a gradient with differences along three random directions, where one for each number would take long."""
    for direction in np.random.default_rng(11).normal(size=(3, *array.shape)):
        expected, value = slope(function, array, direction, step), float(np.sum(gradient * direction))
        assert abs(value - expected) <= tolerance * max(1.0, np.abs(gradient).max())
