"""The problems whose answers the pack holds, and which of them belongs to which compiled kernel."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .driver import INCREMENTS, Line

COLUMNS = 20
FILE = "references.npz"


@dataclass
class Case:
    """
    A pair of paths, or a set of pairs, with its answers in quadruple precision.

    ``arrays`` holds ``X``, ``Y`` where there is one, and the answers: ``k`` and ``scale``, the largest \\|U W\\| over
    the nodes, by which errors are measured; ``dX``, ``dY``, ``d_variance``; or a signature's ``words`` and ``d_paths``.
    """

    name: str
    what: str  # series, differences, theorem_4_1 or signature
    static_kernel: str = "linear"
    pairing: str = "pairs"
    variance: float = 1.0
    depth: int = 0
    is_stream: bool = False
    arrays: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]


def rows_of(line: Line) -> int:
    """Rows that a line's lanes and strips begin and end in."""
    if line.is_refined:
        return 5
    return line.strip_rows + 3 if line.sharing == 0 else 2 * line.strip_rows + 5


def channels_of(line: Line) -> tuple[int, ...]:
    """Finite differences under the linear static kernel have kernels of their own for few channels."""
    return (2, 4, 8, 9) if line.degree == 0 and line.increments == 0 else (5,)


def rule_of(line: Line) -> str:
    """``series``, ``differences`` or ``theorem_4_1``."""
    return "series" if line.degree else "theorem_4_1" if line.theorem_4_1 else "differences"


def case_of(line: Line, channels: int) -> str:
    """The name of the case that a line's kernels are checked by, with so many channels."""
    name = f"{rule_of(line)}, {INCREMENTS[line.increments]}, {rows_of(line)} x {COLUMNS}, {channels} channels"
    if not line.degree:
        return name
    return f"{name}, {line.dtype}, degree {line.degree}{', refined' if line.is_refined else ''}"


def save(cases: list[Case], folder: Path) -> None:
    arrays, listed = {}, []
    for n, case in enumerate(cases):
        listed.append({key: value for key, value in vars(case).items() if key != "arrays"})
        arrays.update({f"{n}.{key}": value for key, value in case.arrays.items()})
    np.savez_compressed(folder / FILE, cases=np.array(json.dumps(listed)), **arrays)


def load(folder: Path) -> dict[str, Case]:
    with np.load(folder / FILE) as stored:
        cases = [Case(**one) for one in json.loads(str(stored["cases"]))]
        for name in stored.files:
            if name != "cases":
                number, key = name.split(".")
                cases[int(number)].arrays[key] = stored[name]
    return {case.name: case for case in cases}


def measured_shapes(is_small: bool) -> Iterator[tuple[str, int, int, int, str]]:
    """The name, paths, length, channels and pairing of what is timed. ``is_small``: for a host that emulates a GPU."""
    if is_small:
        yield from (
            ("8 x L12 x D2", 8, 12, 2, "pairs"),
            ("2 x L40 x D8", 2, 40, 8, "pairs"),
            ("Gram 4 x L12 x D2", 4, 12, 2, "gram"),
        )
        return
    yield from (
        ("1024 x L46 x D2", 1024, 46, 2, "pairs"),
        ("128 x L256 x D8", 128, 256, 8, "pairs"),
        ("32 x L1024 x D8", 32, 1024, 8, "pairs"),
        ("1 x L10000 x D2", 1, 10000, 2, "pairs"),
        ("Gram 2000 x L46 x D2", 2000, 46, 2, "gram"),
    )


def walks(generator: np.random.Generator, count: int, length: int, channels: int, scale: float = 1.0) -> np.ndarray:
    """Random walks of about that size, of numbers that a float32 holds."""
    steps = generator.standard_normal((count, length, channels)) * scale / (length * channels) ** 0.5
    return np.cumsum(steps, axis=1).astype(np.float32).astype(np.float64)
