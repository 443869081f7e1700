"""Every compiled kernel against answers in quadruple precision."""

from collections.abc import Iterator
from itertools import groupby

import numpy as np

from .cases import Case, case_of, channels_of, rule_of
from .driver import DTYPES, INCREMENTS, DeviceError, Driver, Kernel, Line, Signature, asked_layout
from .report import Errors, Row

PART = "every kernel against quadruple precision, in epsilons"
# In epsilons of the type: of k relative to the largest |U W| (see PowerSeries), of a gradient to its largest number.
LIMIT, LIMIT_OF_GRADIENT = 300.0, 1000.0
RULES = ("differences", "theorem_4_1", "series")
WEIGHTS = np.array([1.0, 0.5, 2.0])  # of the pairs, which are all the same


def epsilons(found: np.ndarray, expected: np.ndarray, scale: np.ndarray | float, dtype: str) -> float:
    """The largest error."""
    error = np.abs(found.astype(np.float64) - expected) / np.maximum(np.abs(scale), 1e-300)
    return float(np.max(error, initial=0.0)) / float(np.finfo(DTYPES[dtype]).eps)


def compare(
    errors: Errors, name: str, found: dict[str, np.ndarray], expected: dict[str, np.ndarray], dtype: str
) -> None:
    """k and gradient of one problem. ``expected`` has the scale of k."""
    errors.count += 1
    errors.add(name, "k", epsilons(found["k"], expected["k"], expected["scale"], dtype), LIMIT)
    # A gradient is as hard to compute as k: where |U W| is larger than k, so are its errors.
    hardness = float(np.max(expected["scale"] / np.maximum(np.abs(expected["k"]), 1e-300), initial=1.0))
    for of in ("dX", "dY", "d_variance"):
        if of in found and of in expected:
            scale = float(np.max(np.abs(expected[of]), initial=0.0)) * hardness
            errors.add(name, "gradient", epsilons(found[of], expected[of], scale or 1.0, dtype), LIMIT_OF_GRADIENT)


def repeated(case: Case) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
    """The answers for three pairs that are all the case's, by their weights, and the pairs."""
    expected = {name: np.broadcast_to(case[name], (3,)) for name in ("k", "scale")}
    for name in ("dX", "dY"):
        if name in case.arrays:
            expected[name] = WEIGHTS[:, None, None] * case[name]
    if "d_variance" in case.arrays:
        expected["d_variance"] = WEIGHTS.sum() * case["d_variance"].reshape(1)
    X, Y = (None if name not in case.arrays else np.repeat(case[name][None], 3, axis=0) for name in ("X", "Y"))
    assert X is not None
    return expected, X, Y


def check_line(driver: Driver, line: Line, case: Case, errors: Errors) -> None:
    name = f"{line.dtype}, {line.layout or 'refined'}, {case.name}"
    expected, X, Y = repeated(case)
    static_kernel = INCREMENTS[line.increments]
    with asked_layout(line.layout):
        kernel = Kernel(
            driver,
            line.dtype,
            X,
            Y,
            what=rule_of(line),
            static_kernel=static_kernel,
            variance=case.variance,
            upstream=WEIGHTS,
        )
        found = kernel.both()
        compare(errors, name, found, expected, line.dtype)
        for plan in set(found["plan"].tolist()):
            is_asked_for = plan >= 0 and plan & 0xFF == line.degree and (plan >> 8 > 0) == bool(line.is_refined)
            if not is_asked_for:
                errors.failed.append(f"{name}: plan {plan} is not of degree {line.degree}")
        if Y is not None and rule_of(line) != "theorem_4_1":
            direction = np.random.default_rng(1).standard_normal(X.shape)
            k, tangent = kernel.directional(direction)
            along = (case["dX"] * direction).sum(axis=(1, 2))
            size = float(np.abs(case["dX"] * direction).sum(axis=(1, 2)).max()) * float(case["scale"] / abs(case["k"]))
            errors.add(name, "derivative", epsilons(tangent, along, size, line.dtype), LIMIT_OF_GRADIENT)
            errors.add(name, "k", epsilons(k, expected["k"], expected["scale"], line.dtype), LIMIT)


def check_set(driver: Driver, dtype: str, case: Case, errors: Errors) -> None:
    """Every pairing."""
    kernel = Kernel(
        driver, dtype, case["X"], case["Y"], what=case.what, pairing=case.pairing, static_kernel=case.static_kernel,
        variance=case.variance, upstream=case["upstream"],
    )  # fmt: skip
    compare(errors, f"{dtype}, {case.name}", kernel.both(), case.arrays, dtype)


def check_signature(driver: Driver, dtype: str, case: Case, errors: Errors) -> None:
    words = case["words"].reshape(len(case["X"][0]) if case.is_stream else 1, -1)
    shape = (2, *words.shape)
    paths = np.repeat(case["X"], 2, axis=0)
    upstream = np.broadcast_to(case["upstream"].reshape(words.shape), shape)
    found = Signature(driver, dtype, paths, words.shape[1], is_stream=case.is_stream, upstream=upstream).both()
    errors.count += 1
    name = f"{dtype}, {case.name}"
    scale, of_gradient = float(np.abs(words).max()), float(np.abs(case["d_paths"]).max())
    errors.add(name, "words", epsilons(found["words"], np.broadcast_to(words, shape), scale, dtype), LIMIT)
    expected = np.broadcast_to(case["d_paths"], paths.shape)
    errors.add(name, "gradient", epsilons(found["d_paths"], expected, of_gradient, dtype), LIMIT_OF_GRADIENT)


def group_of(line: Line) -> str:
    rule = f"series of degree {line.degree}{', refined' if line.is_refined else ''}" if line.degree else rule_of(line)
    return f"{line.dtype}, {rule}"


def of_lines(driver: Driver, cases: dict[str, Case], every: int, dtype: str, rule: str) -> Iterator[Row]:
    """
    Every n-th line of the table that has one type and rule, degree by degree.

    What CUDA refuses ends it, as nothing works after that.
    """
    lines = [line for line in driver.lines()[::every] if (line.dtype, rule_of(line)) == (dtype, rule)]
    for group, of_group in groupby(sorted(lines, key=lambda line: (line.degree, line.is_refined)), group_of):
        errors = Errors()
        for line in of_group:
            try:
                for channels in channels_of(line):
                    check_line(driver, line, cases[case_of(line, channels)], errors)
            except DeviceError as error:
                errors.failed.append(f"{dtype}, {line.layout or 'refined'}, {INCREMENTS[line.increments]}: {error}")
                yield from errors.rows(PART, group)
                raise
        yield from errors.rows(PART, group)


def of_sets(driver: Driver, cases: dict[str, Case]) -> Iterator[Row]:
    for dtype in DTYPES:
        for pairing in ("pairs", "gram", "symmetric", "diagonal"):
            errors = Errors()
            for case in cases.values():
                if case.pairing == pairing and "upstream" in case.arrays and case.what != "signature":
                    check_set(driver, dtype, case, errors)
            yield from errors.rows(PART, f"{dtype}, pairing: {pairing}")


def of_signatures(driver: Driver, cases: dict[str, Case]) -> Iterator[Row]:
    for dtype in DTYPES:
        errors = Errors()
        for case in cases.values():
            if case.what == "signature":
                check_signature(driver, dtype, case, errors)
        yield from errors.rows("signatures against quadruple precision, in epsilons", dtype)
