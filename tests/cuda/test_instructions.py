"""How many instructions the CUDA kernels take for a cell, counted in their machine code for sm_90."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.machine_code import Kernel, has_tools, kernels_of

ROOT = Path(__file__).resolve().parents[2]
CLOSE = 0.15


@dataclass(frozen=True)
class Count:
    """A kernel's instructions a cell, with what so many channels take; ``aim`` is what is known to be possible."""

    what: str
    direction: str
    rule: str
    degree: int
    dtype: str
    channels: int
    now: float
    aim: float


COUNTS = [
    Count("finite differences forward, 4 rows", "forward", "FiniteDifference", 0, "float", 2, 12, 11.9),
    Count("finite differences forward, 4 rows", "forward", "FiniteDifference", 0, "double", 2, 13.4, 12.2),
    Count("finite differences forward, 4 rows", "forward", "FiniteDifference", 0, "float", 8, 18.2, 18.1),
    Count("finite differences gradient, 4 rows", "backward", "FiniteDifference", 0, "float", 2, 51, 50),
    Count("finite differences gradient, 4 rows", "backward", "FiniteDifference", 0, "double", 2, 55, 54),
    Count("power series, degree 8, forward", "forward", "PowerSeries", 8, "float", 2, 210, 201),
    Count("power series, degree 8, forward", "forward", "PowerSeries", 8, "double", 2, 251, 228),
    Count("how far increments reach, 4 rows", "forward", "LineRanges", 0, "float", 2, 21.2, 21.2),
    Count("how far increments reach, 4 rows", "forward", "LineRanges", 0, "float", 8, 26.9, 26.9),
    Count("how far increments reach, 4 rows", "forward", "LineRanges", 0, "float", 29, 61, 61),
    Count("how far increments reach, 4 rows", "forward", "LineRanges", 0, "double", 2, 31.2, 31.2),
]
INCREMENTS = 78, 10  # of 29 channels, with one row a lane: now, and by tensor cores


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> list[Kernel]:
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc")
    if not has_tools():
        pytest.skip("needs cuobjdump and nvdisasm: pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm")
    made = tmp_path_factory.mktemp("machine_code") / "counted_kernels.cubin"
    command = [nvcc, "-cubin", "-arch=sm_90", "-O3", "-std=c++17", "--expt-relaxed-constexpr", "-I", str(ROOT / "csrc")]
    subprocess.run([*command, str(Path(__file__).parent / "counted_kernels.cu"), "-o", str(made)], check=True)
    return kernels_of(made)[0]


def only(kernels: list[Kernel], direction: str, rule: str, degree: int, dtype: str, channels: int) -> Kernel:
    """The kernel that paths of so many channels take."""
    found = [k for k in kernels if (k.direction, k.rule, k.degree, k.dtype) == (direction, rule, degree, dtype)]
    return min((k for k in found if k.channels in (0, channels)), key=lambda k: k.channels == 0)


@pytest.mark.slow
def test_instructions_a_cell_are_those_of_the_table(kernels: list[Kernel]) -> None:
    """A kernel that takes fewer than the table says has the table changed, so that it does not take more again."""
    counted = []
    print("\nkernel | instructions a cell | in the table | to reach | registers")
    for count in COUNTS:
        kernel = only(kernels, count.direction, count.rule, count.degree, count.dtype, count.channels)
        counted.append(kernel.step(count.channels, is_kept=False)[0] / kernel.rows_per_lane)
        what = f"{count.what}, D = {count.channels}, {count.dtype}"
        print(f"{what} | {counted[-1]:.1f} | {count.now} | {count.aim} | {kernel.registers}")
    for count, got in zip(COUNTS, counted, strict=True):
        assert got == pytest.approx(count.now, rel=CLOSE), count


@pytest.mark.slow
def test_increments_of_many_channels(kernels: list[Kernel]) -> None:
    kernel = only(kernels, "forward", "PowerSeries", 8, "float", 29)
    without, with_them = (kernel.step(channels, is_kept=True)[0] for channels in (0, 29))
    now, aim = INCREMENTS
    print(f"\nincrements, D = 29 | {with_them - without:.1f} | in the table {now} | to reach {aim}")
    assert with_them - without == pytest.approx(now, rel=CLOSE)
