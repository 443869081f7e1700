"""The signature kernel in quadruple precision, and how much errors on the way weigh in it: a program, compiled once."""

import functools
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

# What errors are below, in epsilons of the largest |U W|: see PowerSeries.
MULTIPLE = 300

SOURCE = Path(__file__).resolve().parent / "cpp" / "goursat_oracle.cc"


@dataclass(frozen=True)
class Oracle:
    """
    Solves U_st = p U for given increments p, as ``tests/cpp/goursat_oracle.cc`` says.

    Its own error is about 1e-33 of the largest \\|U W\\|, so it can judge any error that is measured by \\|U W\\|. Of k
    itself no digit is left where \\|U W\\| is beyond 1e33.
    """

    program: Path

    def __call__(self, problems: Sequence[np.ndarray]) -> np.ndarray:
        """k and the largest \\|U W\\| over the nodes, for each of the increments [rows, columns]: [problems, 2]."""
        sent = b"".join(np.array(p.shape, np.int64).tobytes() + p.astype(np.float64).tobytes() for p in problems)
        return np.array(_answers(self.program, sent).split(), np.float64).reshape(-1, 2)

    def one(self, p: np.ndarray) -> tuple[float, float]:
        """The same of a single problem."""
        k, largest = self([p])[0]
        return float(k), float(largest)


@functools.cache
def _answers(program: Path, sent: bytes) -> bytes:
    """What the program prints. Tests ask for the same problems more than once."""
    return subprocess.run([program], input=sent, capture_output=True, check=True).stdout


def compile_oracle(folder: Path) -> Oracle:
    """Skips the test where there is no g++."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    program = folder / "goursat_oracle"
    subprocess.run(["g++", "-std=gnu++17", "-O2", "-Wall", "-Wextra", SOURCE, "-o", program], check=True)
    return Oracle(program)
