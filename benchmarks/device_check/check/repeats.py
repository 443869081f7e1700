"""The same results every time: in one stream, and from several at once."""

from collections.abc import Iterator

import numpy as np

from .accuracy import RULES
from .cases import Case, walks
from .driver import DTYPES, Driver, Kernel, asked_layout
from .report import Row

PART = "equal results, bit by bit"
STREAMS = 4
RUNS = 20
# None: the library's own choice.
LAYOUTS = (None, "group:8:1", "group:16:1", "group:32:1", "block:32:1", "chain:32:1")


def difference(first: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> list[str]:
    """The results that are not equal to the last bit."""
    return [name for name in first if first[name].tobytes() != other[name].tobytes()]


def kernels(driver: Driver, dtype: str, what: str, streams: list, is_small: bool) -> list[Kernel]:
    generator = np.random.default_rng(3)
    pairs, x_length, y_length = (2, 40, 9) if is_small else (64, 150, 90)
    X, Y = (walks(generator, pairs, n, 3, 2.0) for n in (x_length, y_length))
    return [Kernel(driver, dtype, X, Y, what=what, stream=stream) for stream in streams]


def differing_runs(driver: Driver, dtype: str, what: str, is_small: bool) -> list[str]:
    runs = 2 if is_small else RUNS
    alone = kernels(driver, dtype, what, [None], is_small)[0]
    first = alone.both()
    wrong = [f"run {n}: {', '.join(names)}" for n in range(1, runs) if (names := difference(first, alone.both()))]
    many = kernels(driver, dtype, what, [driver.stream() for _ in range(STREAMS)], is_small)
    for kernel in many:
        kernel.clear()
    driver.wait()
    for _ in range(runs):
        for kernel in many:  # all of them launched before any is waited for
            kernel.forward()
            kernel.backward()
    driver.wait()
    wrong += [
        f"stream {n}: {', '.join(names)}"
        for n, kernel in enumerate(many)
        if (names := difference(first, kernel.results()))
    ]
    return wrong


def of_kernels(driver: Driver, cases: dict[str, Case]) -> Iterator[Row]:
    is_small = bool(driver.device().is_emulated)
    layouts = LAYOUTS[::5] if is_small else LAYOUTS
    for dtype in DTYPES:
        for what in RULES:
            wrong = []
            for layout in layouts:
                with asked_layout(layout):
                    wrong += [
                        f"{layout or 'its own layout'}, {one}" for one in differing_runs(driver, dtype, what, is_small)
                    ]
            found = f"{2 if is_small else RUNS} runs, {STREAMS} streams, {len(layouts)} layouts"
            yield Row(
                PART, f"{dtype}, {what}", found if not wrong else "; ".join(wrong[:4]), not wrong, {"wrong": wrong}
            )
