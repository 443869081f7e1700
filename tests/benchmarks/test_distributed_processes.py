"""The benchmark of several processes: the figures that it reckons, and that it runs to its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import distributed


def test_what_a_ring_sends() -> None:
    """M = 2 and C = 3: three triangles of 3 numbers and means of 2 are 15 numbers, of which each machine of two sends
    all, and each of four sends one and a half times as many."""
    assert distributed.sent(2, 2, 3) == 8 * 15
    assert distributed.sent(4, 2, 3) == pytest.approx(1.5 * 8 * 15)


def test_what_a_machine_computes() -> None:
    """20,000 rows take 2 s in a pass and their features 40 s; there is memory for those of 2^27 / 500 rows."""
    measured = {
        "a pass": {"wall": 2000.0},
        "features of all rows": {"wall": 40_000.0},
        "the step after it": {"wall": 500.0},
    }
    assert (distributed.FIT.batch_size, distributed.FIT.num_inducing) == (20_000, 500)
    assert distributed.computed(80_000, 4, measured) == pytest.approx(2.5)
    assert distributed.computed(800_000, 2, measured) == pytest.approx(40.5 + (400_000 - 268_435.456) * 0.002)


@pytest.mark.slow
def test_it_runs_to_its_end() -> None:
    command = [sys.executable, "-m", "benchmarks.distributed", "pendigits", "longest", "--small"]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": "-1"}
    printed = subprocess.run(command, env=environment, cwd=root, check=True, capture_output=True, text=True).stdout
    lines = printed.splitlines()
    for name in ("pendigits rows", "pendigits latents", "longest rows", "least squares fit", "a pass"):
        assert sum(line.startswith(name) for line in lines) == 1 + (name == "a pass")  # and the title of the table
    assert sum("e+0" in line for line in lines) == 8
