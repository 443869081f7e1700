"""The problems of the pack: for every compiled kernel one that it must take, and what all kernels have in common."""

import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from .check.cases import COLUMNS, Case, case_of, channels_of, measured_shapes, rows_of, rule_of, walks
from .check.driver import DTYPES, INCREMENTS, TOLERANCES, Line
from .reference import Question, answers

MOMENT, MOMENT_BELOW_DEGREE_4 = 5, 3  # kReachMoment and its kin of csrc/core/goursat/loops.h
MARGIN = 8  # kResolutionMargin of csrc/core/goursat/plan.h
MORE = 1.02


def increments_of(X: np.ndarray, Y: np.ndarray, static_kernel: str) -> np.ndarray:
    points = X @ Y.T if static_kernel == "linear" else np.exp(-0.5 * ((X[:, None] - Y) ** 2).sum(axis=2))
    return np.diff(np.diff(points, axis=0), axis=1)


def largest_factor(p: np.ndarray, degree: int, tolerance: float) -> float:
    """
    By how much increments p [rows, columns] may be multiplied so that a degree still meets the solver's bound.

    That is plan.h's rule. Whether the device agrees is seen by its plans, which each check compares.
    """
    sums = [np.pad(np.cumsum(p, axis=axis), [(1, 0) if axis == n else (0, 0) for n in (0, 1)]) for axis in (0, 1)]
    reach = np.concatenate([np.ptp(sum_, axis=axis) for axis, sum_ in enumerate(sums)])
    # The moment by (moment!)², times the largest by k² for each k beyond: it grows as the factor to the degree + 1.
    moment = MOMENT if degree >= 4 else MOMENT_BELOW_DEGREE_4
    bound = (reach**moment).sum() * reach.max() ** (degree + 1 - moment) / math.factorial(degree + 1) ** 2
    return (tolerance / bound) ** (1 / (degree + 1))


def factor_of(line: Line, p: np.ndarray, degrees: list[int]) -> float:
    """By how much p must be multiplied so that a line's degree is just needed."""
    if not line.degree:
        return 1.0
    tolerance = max(TOLERANCES[line.dtype] / MARGIN, float(np.finfo(DTYPES[line.dtype]).eps))
    if line.is_refined:
        return MORE * largest_factor(p, line.degree, tolerance)
    before = [degree for degree in degrees if degree < line.degree]
    return (
        MORE * largest_factor(p, before[-1], tolerance) if before else 0.5 * largest_factor(p, line.degree, tolerance)
    )


def of_line(line: Line, channels: int, degrees: list[int]) -> tuple[Case, Question]:
    static_kernel, generator = INCREMENTS[line.increments], np.random.default_rng(rows_of(line) + channels)
    X = walks(generator, 1, rows_of(line) + 1, channels)[0]
    Y = walks(generator, 1, COLUMNS + 1, channels)[0]
    p = increments_of(X, Y, "linear" if static_kernel == "given" else static_kernel)
    factor = float(np.float32(factor_of(line, p, degrees)))
    variance = factor if static_kernel == "rbf" else 1.0
    if static_kernel == "linear":
        X = (X * factor).astype(np.float32).astype(np.float64)
    case = Case(case_of(line, channels), rule_of(line), static_kernel, variance=variance)
    if static_kernel == "given":
        case.arrays["X"] = (p * factor).astype(np.float32).astype(np.float64)
        return case, Question(case.what, case["X"], None, "given")
    case.arrays.update(X=X, Y=Y)
    return case, Question(case.what, X, Y, static_kernel, variance)


def of_lines(lines: list[Line], every: int) -> dict[str, tuple[Case, Question]]:
    degrees = sorted({line.degree for line in lines if line.degree})
    found: dict[str, tuple[Case, Question]] = {}
    for line, channels in [(one, channels) for one in lines[::every] for channels in channels_of(one)]:
        if case_of(line, channels) not in found:
            found[case_of(line, channels)] = of_line(line, channels, degrees)
    return found


def sets_of_pairs() -> Iterator[tuple[Case, list[tuple[int, int]]]]:
    """Every pairing, and paths of one channel, of which a series needs only the end points; with the pairs of each."""
    shapes = [
        ("pairs", 3, 3, 9, 34, 2),
        ("gram", 3, 2, 19, 9, 2),
        ("symmetric", 3, 3, 19, 19, 2),
        ("diagonal", 3, 3, 70, 70, 3),
    ]
    shapes += [
        ("pairs", 3, 3, 9, 5, 1),
        ("gram", 3, 2, 6, 9, 1),
        ("symmetric", 3, 3, 8, 8, 1),
        ("diagonal", 3, 3, 8, 8, 1),
    ]
    for what, static_kernel, (pairing, n, m, x_length, y_length, channels) in product(
        ("series", "differences", "theorem_4_1"), ("linear", "rbf"), shapes
    ):
        generator = np.random.default_rng(7)
        X = walks(generator, n, x_length, channels, 2.0)
        Y = walks(generator, m, y_length, channels, 2.0) if pairing in ("pairs", "gram") else X
        name = f"{pairing}, {what}, {static_kernel}, {n} and {m} of {x_length} and {y_length}, {channels} channels"
        both = product(range(n), range(m)) if pairing in ("gram", "symmetric") else zip(range(n), range(n), strict=True)
        yield Case(name, what, static_kernel, pairing, 1.25, arrays={"X": X, "Y": Y}), list(both)


def gathered(case: Case, pairs: list[tuple[int, int]], answered: list[dict[str, np.ndarray]]) -> Case:
    """The answers of a set of pairs from those of each, with weights."""
    X, Y = case["X"], case["Y"]
    weights = 0.5 + np.arange(len(pairs)) / len(pairs)
    shape = (len(X), len(Y)) if case.pairing in ("gram", "symmetric") else (len(X),)
    case.arrays["upstream"] = weights.astype(np.float32).astype(np.float64).reshape(shape)
    case.arrays["k"] = np.array([a["k"] for a in answered]).reshape(shape)
    case.arrays["scale"] = np.array([a["scale"] for a in answered]).reshape(shape)
    dX, dY = np.zeros_like(X), np.zeros_like(Y)
    d_variance = 0.0
    is_one = case.pairing in ("symmetric", "diagonal")  # both arguments are X
    for (a, b), answer, weight in zip(pairs, answered, case["upstream"].ravel(), strict=True):
        dX[a] += weight * answer["dX"]
        (dX if is_one else dY)[b] += weight * answer["dY"]
        d_variance += weight * float(answer["d_variance"])
    case.arrays.update(dX=dX, d_variance=np.array(d_variance))
    if not is_one:
        case.arrays["dY"] = dY
    return case


def signatures() -> Iterator[tuple[Case, Question]]:
    for length, channels, depth, is_stream in (
        (12, 3, 4, False),
        (7, 2, 8, True),
        (6, 1, 5, True),
        (9, 1, 6, False),
        (4, 25, 2, False),
    ):
        generator = np.random.default_rng(depth)
        X = walks(generator, 1, length, channels, 2.0)
        words = sum(channels**n for n in range(depth + 1)) * (length if is_stream else 1)
        upstream = generator.standard_normal(words).astype(np.float32).astype(np.float64)
        name = f"signature, {length} points of {channels} channels, depth {depth}"
        name += ", of all prefixes" if is_stream else ""
        case = Case(name, "signature", depth=depth, is_stream=is_stream, arrays={"X": X, "upstream": upstream})
        yield case, Question("signature", X[0], upstream, depth=depth, is_stream=is_stream)


def of_measured(is_small: bool) -> Iterator[tuple[Case, Question]]:
    """The first pair of what is timed, where its answer does not take long: what is timed must be right, too."""
    for name, _, length, channels, _ in measured_shapes(is_small):
        generator = np.random.default_rng(length)
        X, Y = (walks(generator, 1, length, channels, 2.0) for _ in range(2))
        for what, most in (("series", 300), ("differences", 2000)):
            if length <= most:
                case = Case(f"timed, {name}, {what}", what, arrays={"X": X, "Y": Y})
                yield case, Question(what, X[0], Y[0], has_gradient=False)


def of_long(is_small: bool) -> Iterator[tuple[Case, Question]]:
    """Paths longer than 16 bits count, along either axis; the gradient along one, for it takes room in the pack."""
    length = 700 if is_small else 66_000
    for what, (x_length, y_length) in product(("series", "differences"), ((length, 3), (3, length))):
        generator = np.random.default_rng(x_length)
        X, Y = (walks(generator, 1, n, 2) for n in (x_length, y_length))
        case = Case(f"long, {what}, {x_length} x {y_length}", what, arrays={"X": X, "Y": Y})
        yield case, Question(what, X[0], Y[0], has_gradient=x_length > y_length)


def make_cases(lines: list[Line], program: Path, *, every: int, is_small: bool) -> list[Case]:
    """All cases with their answers. ``lines``: all that is compiled, of which every n-th is to be checked."""
    singles = [*of_lines(lines, every).values(), *signatures(), *of_measured(is_small), *of_long(is_small)]
    sets = list(sets_of_pairs())
    asked = [question for _, question in singles]
    for case, pairs in sets:
        asked += [Question(case.what, case["X"][a], case["Y"][b], case.static_kernel, case.variance) for a, b in pairs]
    answered = answers(program, asked)
    for (case, _), answer in zip(singles, answered, strict=False):
        case.arrays.update(answer)
    at = len(singles)
    for case, pairs in sets:
        gathered(case, pairs, answered[at : at + len(pairs)])
        at += len(pairs)
    return [case for case, _ in singles] + [case for case, _ in sets]
