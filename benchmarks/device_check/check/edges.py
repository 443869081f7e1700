"""The shortest and longest paths, nothing at all, what is no number, and batches beyond the memory of one launch."""

from collections.abc import Iterator

import numpy as np

from .accuracy import LIMIT, LIMIT_OF_GRADIENT, RULES, compare, epsilons
from .cases import Case, walks
from .driver import DTYPES, Driver, Kernel, Signature, first_not_finite
from .report import Errors, Row

PART = "the shortest and the longest, nothing, and no numbers"


def of_one_cell(p: np.ndarray, what: str) -> np.ndarray:
    """k of paths of two points: the Bessel function I0(2 sqrt p), or what the scheme makes of it."""
    return np.i0(2 * np.sqrt(p)) if what == "series" else 1 + p + p * p / 4


def shortest(driver: Driver, dtype: str) -> Iterator[tuple[str, bool]]:
    generator = np.random.default_rng(5)
    for what in RULES:
        for x_length, y_length in ((1, 1), (1, 4), (4, 1)):
            X, Y = (walks(generator, 3, n, 2) for n in (x_length, y_length))
            found = Kernel(driver, dtype, X, Y, what=what).both()
            is_right = (found["k"] == 1).all() and not found["dX"].any() and not found["dY"].any()
            yield f"{what}, lengths {x_length} and {y_length}", bool(is_right)
        X = np.array([[[0, 0], [0.5, 0.25]], [[0, 0], [1.0, 0.5]]])
        Y = np.array([[[0, 0], [1.0, 0.5]], [[0, 0], [0.5, 0.75]]])
        p = np.array([0.625, 0.875])
        found = Kernel(driver, dtype, X, Y, what=what).both()
        error = epsilons(found["k"], of_one_cell(p, what), of_one_cell(p, what), dtype)
        yield f"{what}, lengths 2 and 2, off by {error:.3g} epsilons", error <= LIMIT
    # Of a path of one point nothing but the empty word is left.
    found = Signature(driver, dtype, walks(generator, 2, 1, 3), 13).both()
    yield "signature, length 1", bool((found["words"] == np.eye(13)[0]).all() and not found["d_paths"].any())


def nothing(driver: Driver, dtype: str) -> Iterator[tuple[str, bool]]:
    some = walks(np.random.default_rng(5), 2, 5, 2)
    for what in RULES:
        for pairing, X, Y in (("pairs", some[:0], some[:0]), ("gram", some[:0], some), ("gram", some, some[:0])):
            found = Kernel(driver, dtype, X, Y, what=what, pairing=pairing).both()
            yield f"{what}, {pairing} of {len(X)} and {len(Y)}", found["k"].size == 0 and not found["dX"].any()
    yield "signature", Signature(driver, dtype, some[:0], 7).both()["words"].size == 0


def no_numbers(driver: Driver, dtype: str) -> Iterator[tuple[str, bool]]:
    """What is not solved is NaN, and so is what depends on it; all else is as if computed by itself."""
    X = walks(np.random.default_rng(5), 3, 4, 2)
    X[1, 2, 0] = np.nan
    X[2] *= 1e30 if dtype == "float" else 1e120
    for what in RULES:
        found = Kernel(driver, dtype, X, X, what=what, pairing="diagonal").both()
        is_right = np.isfinite(found["k"]).tolist() == [True, False, False]
        is_right = is_right and np.isfinite(found["dX"]).reshape(3, -1).all(axis=1).tolist() == [True, False, False]
        yield f"{what}, NaN and overflow stay where they are", bool(is_right)
    values = np.ones(5000)
    yield "the first that is not finite, of none", first_not_finite(driver, values, dtype) == -1
    values[[700, 4999]] = np.nan, np.inf
    yield "the first that is not finite", first_not_finite(driver, values, dtype) == 700


def portions(driver: Driver, dtype: str, is_small: bool) -> Iterator[tuple[str, bool]]:
    """
    Batches whose gradients do not fit at once: eight pairs again and again, which must come out alike.

    ``is_small``: as few as a host can take, which fit.
    """
    copies, x_length, y_length, channels = (5, 6, 6, 8) if is_small else (40_000, 20, 20, 8)
    generator = np.random.default_rng(5)
    X, Y = (walks(generator, 8, n, channels) for n in (x_length, y_length))
    for what in ("series", "differences"):
        single = Kernel(driver, dtype, X, Y, what=what, static_kernel="rbf").both()
        many = Kernel(
            driver, dtype, np.tile(X, (copies, 1, 1)), np.tile(Y, (copies, 1, 1)), what=what, static_kernel="rbf"
        ).both()
        alike, error = True, 0.0
        for name in ("k", "dX", "dY"):
            all_of_them = many[name].reshape(copies, *single[name].shape)
            alike = alike and bool((all_of_them == all_of_them[0]).all())
            size = float(np.abs(single[name]).max())
            error = max(error, epsilons(all_of_them[0], single[name].astype(np.float64), size, dtype))
        yield f"{what}, {8 * copies} pairs, off by {error:.3g} epsilons", alike and error <= LIMIT_OF_GRADIENT


def of_edges(driver: Driver, cases: dict[str, Case]) -> Iterator[Row]:
    is_small = bool(driver.device().is_emulated)
    for dtype in DTYPES:
        for title, checks in (
            ("lengths 1 and 2", shortest(driver, dtype)),
            ("empty batches", nothing(driver, dtype)),
            ("NaN and overflow", no_numbers(driver, dtype)),
            ("batches in portions", portions(driver, dtype, is_small)),
        ):
            found = list(checks)
            wrong = [name for name, is_right in found if not is_right]
            yield Row(
                PART,
                f"{dtype}, {title}",
                "; ".join(wrong) or f"{len(found)} checked",
                not wrong,
                {"checked": [n for n, _ in found]},
            )
        errors = Errors()
        for case in cases.values():
            if case.name.startswith("long, "):
                found_long = Kernel(driver, dtype, case["X"], case["Y"], what=case.what).both()
                gradients = {name: case[name][None] for name in ("dX", "dY") if name in case.arrays}
                expected = {**case.arrays, **gradients}
                compare(errors, f"{dtype}, {case.name}", found_long, expected, dtype)
        yield from errors.rows(PART, f"{dtype}, paths longer than 16 bits count")
