"""The logarithm in the truncated tensor algebra, once for TensorFlow and for every backend of Keras."""

from collections.abc import Callable
from typing import Any

Array = Any  # of any library, with the arithmetic operators


def logarithm(x: list[Array], outer: Callable[[Array, Array], Array]) -> list[Array]:
    r"""
    Levels 1 to N of log(1 + x) = x - x²/2 + ... ± x^N/N, for an element x of the tensor algebra without level 0.

    It is evaluated by Horner's rule: log(1 + x) = x ⊗ (1 - x ⊗ (1/2 - x ⊗ (1/3 - ...))). As x has no level 0, the
    n-th bracket, which begins with 1/n, is needed only up to level N - n.

    :param x: levels 1 to N; level k is [..., D^k], the coefficients of the words of k letters in lexicographic order.
    :param outer: [..., m] and [..., n] -> [..., m n]: all products of one coefficient of each, those of the first
        coefficient of the first argument first.
    """
    depth = len(x)
    bracket: list[Array] = []  # levels 1, 2, ... of the n-th bracket; its level 0 is 1 / n
    for n in range(depth, 0, -1):
        product = [
            sum((outer(x[i - 1], bracket[k - i - 1]) for i in range(1, k)), start=x[k - 1] / n)
            for k in range(1, depth + 2 - n)
        ]
        bracket = [-level for level in product]
    return product
