"""
How fast the CUDA kernels should be on an H100, predicted from their machine code: nothing here was timed on a GPU.

``python -m benchmarks.gpu_model`` counts the instructions of the loops that each kernel spends its time in, as compiled
for sm_90, asks the CUDA code for its tiles and for how it deals shapes to threads, and predicts times from both, as the
tables of docs/performance.md. It needs g++, a library built with CUDA, and on the PATH ``cuobjdump`` and ``nvdisasm``
(on PyPI ``nvidia-cuda-cuobjdump`` and ``nvidia-cuda-nvdisasm``).
"""

import argparse
import math
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .machine_code import Kernel, Loop, kernels_of

ROOT = Path(__file__).resolve().parents[1]

# An H100 SXM: data sheet, and CUDA programming guide, compute capability 9.0.
MULTIPROCESSORS, CLOCK, BANDWIDTH = 132, 1.755e9, 3.35e12  # -, Hz, bytes a second
REGISTERS, SHARED_BYTES, MOST_WARPS, MOST_BLOCKS = 65536, 227 << 10, 64, 32  # of a multiprocessor
ISSUED_PER_CYCLE = 4
FLOATING_PER_CYCLE = {"float": 4, "double": 2}  # instructions of a warp
# Guesses: a warp by itself issues at most one instruction a cycle, and in each step waits for a shuffle and its
# consequences; a strip starts this many steps after the one before.
WAIT_PER_STEP, STEPS_BEHIND = 60, {"group": 0, "block": 48, "chain": 96}

SHAPES = {  # pairs, segments, channels
    "PenDigits, a batch": (50, 7, 3),
    "whale calls, a batch": (50, 29, 29),
    "satellite, a batch": (200, 45, 2),
    "Gram of 45 paths": (1024, 45, 2),
    "128 pairs, L256, D8": (128, 255, 8),
    "32 pairs, L1000, D8": (32, 999, 8),
    "1 pair, L1000, D8": (1, 999, 8),
}


@dataclass(frozen=True)
class Layout:
    """How one shape is dealt to threads, as in csrc/core/goursat/cuda/layout.h."""

    sharing: str
    lanes: int
    rows_per_lane: int
    warps: int


class Code:
    """What the CUDA code says of itself: tiles by kernel, layouts by shape."""

    def __init__(self, shapes: Iterable[tuple[int, int, int]]) -> None:
        self.tiles: dict[tuple[str, str, int, str, int, int], int] = {}  # bytes of shared memory
        self.layouts: dict[tuple[str, str, int, str, int, int, int], Layout] = {}
        for line in self._print(shapes):
            kind, direction, rule, degree, dtype, *rest = line.split()
            if kind == "tile":
                rows_per_lane, channels, shared = map(int, rest)
                self.tiles[direction, rule, int(degree), dtype, rows_per_lane, channels] = shared
            else:
                *shape, sharing, lanes, rows, warps = rest
                layout = Layout(sharing, int(lanes), int(rows), int(warps))
                pairs, segments, channels = map(int, shape)
                self.layouts[direction, rule, int(degree), dtype, pairs, segments, channels] = layout

    @staticmethod
    def _print(shapes: Iterable[tuple[int, int, int]]) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            program = str(Path(folder) / "gpu_layouts")
            flags = ["-std=gnu++17", "-DSIGKERNEL_CUDA_EMULATION", "-Wno-unknown-pragmas"]
            includes = [f"-I{ROOT / 'tests' / 'cuda_emulation'}", f"-I{ROOT / 'csrc'}"]
            source = str(ROOT / "benchmarks" / "gpu_layouts.cc")
            subprocess.run(["g++", *flags, *includes, source, "-o", program], check=True)
            arguments = [str(number) for shape in shapes for number in shape]
            return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout.splitlines()

    def tile(self, kernel: Kernel) -> int:
        """The shared memory of a kernel's warp, in bytes."""
        key = kernel.direction, kernel.rule, kernel.degree, kernel.dtype, kernel.rows_per_lane, kernel.channels
        return self.tiles[key]


def resident_warps(kernel: Kernel, shared_bytes: int) -> int:
    """How many warps a multiprocessor holds at once, where each block has one warp."""
    registers = math.ceil(kernel.registers / 8) * 8 * 32
    return min(MOST_WARPS, MOST_BLOCKS, REGISTERS // registers, SHARED_BYTES // (shared_bytes + 1024))


def predicted_seconds(kernel: Kernel, layout: Layout, code: Code, pairs: int, segments: int, channels: int) -> float:
    """The longest of three times: of issuing instructions, of floating-point work, of one pair's steps in sequence."""
    shared = code.tile(kernel)
    strips = math.ceil(segments / (layout.lanes * layout.rows_per_lane))
    steps = segments + layout.lanes - 1
    instructions, floating = kernel.step(channels, is_kept=strips > 1)
    warp_steps = math.ceil(pairs * layout.lanes / 32) * strips * steps
    at_once = MULTIPROCESSORS * resident_warps(kernel, shared)
    shared_by = {"group": 1, "block": min(strips, layout.warps), "chain": min(strips, at_once)}[layout.sharing]
    sequential = max(steps * strips / shared_by, steps) + STEPS_BEHIND[layout.sharing] * (strips - 1)
    waves = max(1.0, math.ceil(pairs * layout.lanes / 32) * shared_by / at_once)
    cycles = max(
        warp_steps * instructions / ISSUED_PER_CYCLE / MULTIPROCESSORS,
        warp_steps * floating / FLOATING_PER_CYCLE[kernel.dtype] / MULTIPROCESSORS,
        sequential * (instructions + WAIT_PER_STEP) * waves,
    )
    return cycles / CLOCK


def scheme_of_pysiglib_seconds(sweep: Kernel, pairs: int, segments: int) -> float:
    """
    The time of pySigLib's published scheme for the same finite differences.

    It gives a warp to each pair and takes its strips in turn, and reads increments from a matrix that was written to
    global memory. A step is assumed to have as many instructions as one of our sweep with one row a lane.
    """
    size = 4 if sweep.dtype == "float" else 8
    instructions = sweep.sweeps[0].instructions
    strips, steps = math.ceil(segments / 32), segments + 31
    issue = pairs * strips * steps * instructions / ISSUED_PER_CYCLE / MULTIPROCESSORS
    waves = max(1.0, pairs / (MOST_BLOCKS * MULTIPROCESSORS))
    return (
        max(issue, strips * steps * (instructions + WAIT_PER_STEP) * waves) / CLOCK
        + 2 * pairs * segments**2 * size / BANDWIDTH
    )


def row_bytes_per_cell(kernel: Kernel) -> float:
    """Bytes of global memory for each cell where there are several strips: edges between them, backward also bars."""
    size, edge = (4 if kernel.dtype == "float" else 8), (kernel.degree + 1 if kernel.degree else 2)
    return (2 if kernel.direction == "forward" else 5) * edge * size / (32 * kernel.rows_per_lane)


def print_kernels(kernels: list[Kernel], code: Code) -> None:
    """Prints a line for each kernel."""
    print(
        "| kernel | registers | shared memory of a warp | warps at once | instructions a cell: sweep | D = 2 | D = 8 |",
        end="",
    )
    print(" floating, D = 2 | bytes a cell |\n|---|---|---|---|---|---|---|---|---|")
    for kernel in kernels:
        shared = code.tile(kernel)
        per_step: list[float] = []
        if kernel.channels == 0:
            per_step.append(
                sum(loop.instructions for loop in kernel.sweeps[0 if kernel.direction == "forward" else 1 :])
            )
        else:  # forms increments as it sweeps, of so many channels whatever paths have
            per_step.append(kernel.step(kernel.channels, is_kept=False)[0])
        per_step += [kernel.step(d, is_kept=False)[0] for d in (2, 8)] + [kernel.step(2, is_kept=False)[1]]
        listed = " | ".join(f"{n / kernel.rows_per_lane:.0f}" for n in per_step)
        print(
            f"| {kernel.name} | {kernel.registers} | {shared} | {resident_warps(kernel, shared)} | {listed} "
            f"| {row_bytes_per_cell(kernel):.2g} |"
        )


def print_others(others: dict[str, tuple[int, tuple[Loop, ...]]]) -> None:
    """Prints a line for each of the other kernels, with the loops that compute."""
    print("\n| kernel | registers | instructions of its loops (floating ones, loads) |\n|---|---|---|")
    for name, (registers, loops) in sorted(others.items()):
        if not name.startswith(("reach", "reduce", "signature", "one_channel")):
            continue  # those of refined pairs are those of the last degree; the rest does next to nothing
        distinct = {str(loop.kinds): loop for loop in loops if loop.floating}
        listed = "; ".join(
            f"{loop.instructions:.0f} ({loop.floating}, {loop.kinds['LDS'] + loop.kinds['LD'] + loop.kinds['LDG']})"
            for loop in distinct.values()
        )
        print(f"| `{name}` | {registers} | {listed} |")


def as_text(microseconds: float) -> str:
    """The number with two digits."""
    return f"{microseconds:.2g}" if microseconds < 100 else f"{float(f'{microseconds:.2g}'):.0f}"


def kernel_for(kernels: list[Kernel], key: tuple[str, str, int, str, int], channels: float) -> Kernel:
    """The kernel that paths of so many channels take."""
    found = [k for k in kernels if (k.direction, k.rule, k.degree, k.dtype, k.rows_per_lane) == key]
    return min((k for k in found if k.channels == 0 or channels <= k.channels), key=lambda k: k.channels or math.inf)


def print_times(kernels: list[Kernel], code: Code) -> None:
    """Prints a line for each shape."""
    columns = {
        "finite differences": ("forward", "FiniteDifference", 0),
        "backward": ("backward", "FiniteDifference", 0),
        "power series, 8": ("forward", "PowerSeries", 8),
        "backward, 8": ("backward", "PowerSeries", 8),
        "power series, 12": ("forward", "PowerSeries", 12),
        "backward, 12": ("backward", "PowerSeries", 12),
    }
    print(f"\n| pairs × segments × channels | {' | '.join(columns)} | finite differences by pySigLib's scheme |")
    print("|---|" + "---|" * (len(columns) + 1))
    for name, (pairs, segments, channels) in SHAPES.items():
        cells = []
        for key in columns.values():
            pair = []
            for dtype in ("float", "double"):
                where = (*key, dtype, pairs, segments, channels)
                layout = code.layouts[where]
                kernel = kernel_for(kernels, (*key, dtype, layout.rows_per_lane), channels)
                pair.append(predicted_seconds(kernel, layout, code, pairs, segments, channels) * 1e6)
            cells.append(" / ".join(map(as_text, pair)))
        peer = [
            scheme_of_pysiglib_seconds(
                kernel_for(kernels, ("forward", "FiniteDifference", 0, dtype, 1), math.inf), pairs, segments
            )
            * 1e6
            for dtype in ("float", "double")
        ]
        print(f"| {name}: {pairs} × {segments} × {channels} | {' | '.join(cells)} | {' / '.join(map(as_text, peer))} |")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_model", description=__doc__)
    parser.add_argument("--library", type=Path, help="a library built with CUDA; the installed one unless given")
    library = parser.parse_args().library or ROOT / "sigkernel_tf" / "_ops.so"
    kernels, others = kernels_of(library)
    code = Code(set(SHAPES.values()))
    print_kernels(kernels, code)
    print_others(others)
    print_times(kernels, code)


if __name__ == "__main__":
    main()
